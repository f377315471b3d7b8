package sigma

import (
	"maps"
	"slices"
)

// bucket is the index of the rules of one log source. It is built once and
// only read.
type bucket struct {
	source Logsource
	always []int32 // rules without a needle
	fields []indexed
}

// indexed is what rules need of one field.
type indexed struct {
	field int32
	whole map[string][]int32 // folded value → rules
	part  *automaton
	rules [][]int32 // of a text of part
}

// buckets sorts the rules into an index per log source.
func (c *compiler) buckets() []*bucket {
	bySource := map[Logsource][]*Rule{}
	for _, r := range c.rules {
		bySource[r.Logsource] = append(bySource[r.Logsource], r)
	}
	var out []*bucket
	for _, r := range c.rules { // in the order of the rules, so that results have an order
		if rules := bySource[r.Logsource]; rules != nil {
			out = append(out, c.bucket(r.Logsource, rules))
			delete(bySource, r.Logsource)
		}
	}
	return out
}

func (c *compiler) bucket(source Logsource, rules []*Rule) *bucket {
	b := &bucket{source: source}
	wanted := map[int32]map[needle][]int32{}
	for _, r := range rules {
		needles, _, ok := c.guard(r.cond)
		if !ok {
			b.always = append(b.always, r.index)
			continue
		}
		for _, n := range needles {
			if wanted[n.field] == nil {
				wanted[n.field] = map[needle][]int32{}
			}
			if list := wanted[n.field][n]; len(list) == 0 || list[len(list)-1] != r.index {
				wanted[n.field][n] = append(list, r.index)
			}
		}
	}
	for _, field := range slices.Sorted(maps.Keys(wanted)) {
		b.fields = append(b.fields, index(field, wanted[field]))
	}
	return b
}

func index(field int32, wanted map[needle][]int32) indexed {
	x := indexed{field: field}
	var parts []string
	byPart := map[string][]int32{}
	for n, rules := range wanted {
		if n.whole {
			if x.whole == nil {
				x.whole = map[string][]int32{}
			}
			x.whole[n.text] = rules
		} else {
			parts = append(parts, n.text)
			byPart[n.text] = rules
		}
	}
	if len(parts) == 0 {
		return x
	}
	slices.Sort(parts)
	x.part = newAutomaton(parts)
	for _, p := range parts {
		x.rules = append(x.rules, byPart[p])
	}
	return x
}
