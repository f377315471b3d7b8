package sigma

import (
	"math"
	"slices"
	"sort"
)

// complete says how many events make a sliding correlation true now that e has
// been put in; 0: it is not.
func (s *correlator) complete(c *correlation, g *group, e entry) int {
	switch c.kind {
	case eventCount:
		return countWithin(g.entries, e.at, int64(c.span), c.need())
	case valueCount:
		if len(g.values) < c.need() {
			return 0
		}
		return distinctWithin(g.entries, e.at, int64(c.span), c.need())
	case temporal:
		return c.allWithin(g.entries, e.at)
	case temporalOrdered:
		return orderedWithin(g.entries, int64(c.span), c.inputs, int(c.value))
	}
	// value_sum and value_max: the windows that end at or after e.
	for i := range g.entries {
		if end := g.entries[i].at; end >= e.at && end <= e.at+int64(c.span) {
			from := sort.Search(i+1, func(k int) bool { return g.entries[k].at >= end-int64(c.span) })
			if v, ok := c.measure(g.entries[from : i+1]); ok && c.holds(v) {
				return i + 1 - from
			}
		}
	}
	return 0
}

// countWithin looks for n events within span of each other that include one at t.
func countWithin(list []entry, t, span int64, n int) int {
	from := sort.Search(len(list), func(i int) bool { return list[i].at >= t-span })
	for i := from; i+n <= len(list) && list[i].at <= t; i++ {
		if last := list[i+n-1].at; last >= t && last-list[i].at <= span {
			return n
		}
	}
	return 0
}

// distinctWithin looks for n different values within a span that covers t.
func distinctWithin(list []entry, t, span int64, n int) int {
	seen := map[uint64]int{}
	return slide(list, t, span, func(e entry, in bool) bool {
		if in {
			seen[e.value]++
		} else if seen[e.value]--; seen[e.value] == 0 {
			delete(seen, e.value)
		}
		return len(seen) >= n
	})
}

// allWithin looks for the events that are wanted together within a span that covers t.
func (c *correlation) allWithin(list []entry, t int64) int {
	seen, different := make([]int, c.inputs), 0
	return slide(list, t, int64(c.span), func(e entry, in bool) bool {
		switch {
		case in && seen[e.input] == 0:
			different++
		case !in && seen[e.input] == 1:
			different--
		}
		if in {
			seen[e.input]++
		} else {
			seen[e.input]--
		}
		return c.fired(seen, different)
	})
}

// slide moves a window of the length span over the events around t and returns
// how many it holds when full first says true.
func slide(list []entry, t, span int64, full func(e entry, in bool) bool) int {
	from := sort.Search(len(list), func(i int) bool { return list[i].at >= t-span })
	for i := from; i < len(list) && list[i].at <= t+span; i++ {
		yes := full(list[i], true)
		for list[from].at < list[i].at-span {
			yes = full(list[from], false)
			from++
		}
		if yes {
			return i + 1 - from
		}
	}
	return 0
}

// orderedWithin looks for events of need inputs, in the order of the inputs,
// within a span. reach[k][n] is the latest start of a series of n+1 inputs whose
// last is k.
func orderedWithin(list []entry, span int64, inputs, need int) int {
	reach := make([][]int64, inputs)
	for k := range reach {
		reach[k] = make([]int64, need)
		for n := range reach[k] {
			reach[k][n] = math.MinInt64
		}
	}
	for _, e := range list {
		for n := range need {
			start := e.at
			if n > 0 {
				start = math.MinInt64
				for k := range e.input {
					start = max(start, reach[k][n-1])
				}
				if start == math.MinInt64 || e.at-start > span {
					continue
				}
			}
			reach[e.input][n] = max(reach[e.input][n], start)
			if n == need-1 {
				return need
			}
		}
	}
	return 0
}

// measure is what the condition is compared with, over a whole window.
func (c *correlation) measure(list []entry) (float64, bool) {
	if len(list) == 0 {
		return 0, false
	}
	switch c.kind {
	case eventCount:
		return float64(len(list)), true
	case temporal: // with a "not", decided when its time is over
		seen := make([]int, c.inputs)
		for _, e := range list {
			seen[e.input]++
		}
		if c.fired(seen, 0) {
			return 1, true
		}
		return 0, true
	case valueCount:
		seen := map[uint64]bool{}
		for _, e := range list {
			seen[e.value] = true
		}
		return float64(len(seen)), true
	}
	values := make([]float64, len(list))
	sum := 0.0
	for i, e := range list {
		values[i] = math.Float64frombits(e.value)
		sum += values[i]
	}
	switch c.kind {
	case valueSum:
		return sum, true
	case valueAvg:
		return sum / float64(len(values)), true
	}
	slices.Sort(values)
	switch c.kind {
	case valueMin:
		return values[0], true
	case valueMax:
		return values[len(values)-1], true
	case valueMedian:
		if n := len(values); n%2 == 0 {
			return (values[n/2-1] + values[n/2]) / 2, true
		}
		return values[len(values)/2], true
	}
	// The nearest-rank percentile.
	k := int(math.Ceil(c.rank/100*float64(len(values)))) - 1
	return values[min(max(k, 0), len(values)-1)], true
}
