package sigma

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"bartizan/internal/model"

	"pgregory.net/rapid"
)

const base = `
title: low
id: r-low
name: low
logsource: {product: p}
detection: {s: {kind: low}, condition: s}
---
title: high
id: r-high
name: high
logsource: {product: p}
detection: {s: {kind: high}, condition: s}
---
`

// engineOf loads one file and wants no problem.
func engineOf(t *testing.T, rules string) *Engine {
	t.Helper()
	e, report, err := Load(fstest.MapFS{"r.yml": {Data: []byte(rules)}}, Options{})
	if err != nil || len(report.Problems) > 0 {
		t.Fatalf("load: %v %v", err, report.Problems)
	}
	return e
}

// play runs events "seconds kind user value" and returns "second:rule*count".
func play(t *testing.T, run *Runner, events ...string) (fired []string) {
	t.Helper()
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	take := func(signals []model.Signal) {
		for i := range signals {
			s := &signals[i]
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			fired = append(fired, fmt.Sprintf("%d:%s*%d", int(s.Time.Sub(epoch).Seconds()), s.Rule, s.Count))
		}
	}
	var doc Document
	for _, e := range events {
		var at int
		var kind, user, value string
		if _, err := fmt.Sscan(e, &at, &kind, &user, &value); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"time":%q,"kind":%q,"user":%q,"account":%q,"value":%s}`, epoch.Add(time.Duration(at)*time.Second).Format(time.RFC3339), kind, user, user, value)
		if user == "-" {
			text = strings.Replace(text, `"user":"-","account":"-",`, "", 1)
		}
		if err := doc.Parse([]byte(text), Logsource{Product: "p"}); err != nil {
			t.Fatal(err)
		}
		take(run.Process(&doc, nil))
	}
	take(run.Flush(nil))
	return fired
}

func TestCorrelations(t *testing.T) {
	tests := []struct {
		name, rule string
		events     []string
		want       []string
	}{
		{"event_count", "type: event_count, rules: [low], group-by: [user], timespan: 10s, condition: {gte: 3}",
			[]string{"0 low a 1", "1 low b 1", "5 low a 1", "10 low a 1", "30 low b 1", "31 low b 1"}, []string{"10:c*3"}},
		{"event_count: beyond the span", "type: event_count, rules: [low], timespan: 10s, condition: {gt: 2}",
			[]string{"0 low a 1", "5 low a 1", "11 low a 1"}, nil},
		{"event_count: out of order", "type: event_count, rules: [low], timespan: 10s, condition: {gte: 3}",
			[]string{"0 low a 1", "12 low a 1", "6 low a 1", "8 low a 1"}, []string{"8:c*3"}},
		{"event_count: no field to group by", "type: event_count, rules: [low], group-by: [user], timespan: 10s, condition: {gte: 2}",
			[]string{"0 low - 1", "1 low - 1"}, nil},
		{"event_count below a number", "type: event_count, rules: [low], group-by: [user], timespan: 10s, condition: {lt: 2}",
			[]string{"0 low a 1", "1 low a 1", "2 low b 1", "50 low c 1"}, []string{"2:c*1", "50:c*1"}},
		{"value_count", "type: value_count, rules: [low], group-by: [user], timespan: 10s, condition: {field: value, gte: 3}",
			[]string{"0 low a 1", "1 low a 1", "2 low a 2", "3 low a 3"}, []string{"3:c*4"}},
		{"value_sum", "type: value_sum, rules: [low], timespan: 10s, condition: {field: value, gt: 5}",
			[]string{"0 low a 4", "20 low a 3", "21 low a 2.5"}, []string{"21:c*2"}},
		{"value_avg", "type: value_avg, rules: [low], timespan: 10s, condition: {field: value, gte: 5}",
			[]string{"0 low a 4", "1 low a 8", "40 low a 1"}, []string{"1:c*2"}},
		{"value_percentile", "type: value_percentile, rules: [low], timespan: 10s, condition: {field: value, percentile: 50, eq: 2}",
			[]string{"0 low a 1", "1 low a 2", "2 low a 9"}, []string{"2:c*3"}},
		{"temporal", "type: temporal, rules: [low, high], group-by: [user], timespan: 10s",
			[]string{"0 high a 1", "1 low b 1", "9 low a 1"}, []string{"9:c*2"}},
		{"temporal: too far apart", "type: temporal, rules: [low, high], timespan: 10s", []string{"0 high a 1", "11 low a 1"}, nil},
		{"temporal_ordered", "type: temporal_ordered, rules: [low, high], timespan: 10s",
			[]string{"0 high a 1", "5 low a 1", "9 high a 1"}, []string{"9:c*2"}},
		{"temporal_ordered: late arrival", "type: temporal_ordered, rules: [low, high], timespan: 10s",
			[]string{"5 high a 1", "3 low a 1"}, []string{"3:c*2"}},
		{"temporal_ordered: wrong order", "type: temporal_ordered, rules: [low, high], timespan: 10s", []string{"0 high a 1", "5 low a 1"}, nil},
		{"temporal: so many of them", "type: temporal, rules: [low, high], timespan: 10s, condition: {gte: 1}",
			[]string{"0 high a 1", "20 low a 1"}, []string{"0:c*1", "20:c*1"}},
		{"temporal: more than so many", "type: temporal, rules: [low, high], timespan: 10s, condition: {gt: 1}",
			[]string{"0 high a 1", "20 low a 1", "21 high a 1"}, []string{"21:c*2"}},
		{"temporal: either", "type: temporal, rules: [low, high], timespan: 10s, condition: low or high",
			[]string{"0 high a 1", "20 low a 1"}, []string{"0:c*1", "20:c*1"}},
		{"temporal_extended: both", "type: temporal_extended, rules: [low, high], group-by: [user], timespan: 10s, condition: (low and high)",
			[]string{"0 high a 1", "1 low b 1", "9 low a 1"}, []string{"9:c*2"}},
		{"temporal: one without the other", "type: temporal, rules: [low, high], group-by: [user], timespan: 10s, condition: low and not high",
			[]string{"0 low a 1", "1 low b 1", "5 high b 1", "40 high a 1"}, []string{"0:c*1"}},
		{"temporal: one without the other, at the end", "type: temporal, rules: [low, high], timespan: 10s, condition: low and not high",
			[]string{"0 low a 1", "1 low a 1"}, []string{"1:c*2"}},
		{"temporal_ordered: one of them", "type: temporal_ordered, rules: [low, high], timespan: 10s, condition: {gte: 1}",
			[]string{"0 high a 1"}, []string{"0:c*1"}},
		{"aliases", "type: temporal, rules: [low, high], group-by: [who], timespan: 10s, aliases: {who: {low: user, high: account}}",
			[]string{"0 low a 1", "1 high b 1", "2 high a 1"}, []string{"2:c*2"}},
		{"generate", "type: event_count, rules: [low], timespan: 10s, condition: {gte: 2}, generate: true",
			[]string{"0 low a 1", "1 low a 1"}, []string{"0:r-low*1", "1:r-low*1", "1:c*2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := engineOf(t, base+"title: c\nid: c\nlevel: high\ncorrelation: {"+tt.rule+"}\n")
			got := play(t, e.NewRunner(Limits{}), tt.events...)
			got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, "r-high") && !strings.Contains(tt.rule, "high") })
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCorrelationOfCorrelations(t *testing.T) {
	e := engineOf(t, base+`
title: outer
id: outer
correlation: {type: temporal_ordered, rules: [inner, high], group-by: [user], timespan: 1m}
---
title: inner
id: inner
correlation: {type: event_count, rules: [low], group-by: [user], timespan: 10s, condition: {gte: 2}}
`)
	got := play(t, e.NewRunner(Limits{}), "0 low a 1", "1 low a 1", "30 high a 1")
	if want := []string{"30:outer*2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestDecidedLateFeedsOthers: what is decided when its time is over feeds others
// with what its last event said.
func TestDecidedLateFeedsOthers(t *testing.T) {
	e := engineOf(t, base+`
title: outermost
id: outermost
correlation: {type: event_count, rules: [outer], group-by: [user], timespan: 1h, condition: {gte: 2}, generate: true}
---
title: outer
id: outer
correlation: {type: temporal_ordered, rules: [inner, high], group-by: [user], timespan: 1m}
---
title: inner
id: inner
correlation: {type: event_count, rules: [low], group-by: [user], timespan: 10s, condition: {lt: 2}}
`)
	for _, c := range []struct {
		events []string
		want   []string
	}{
		{[]string{"0 low a 1", "30 high a 1"}, []string{"30:outer*2"}},
		{[]string{"0 low a 1", "1 low a 1", "30 high a 1"}, nil},                                                         // two are not below two
		{[]string{"0 low a 1", "30 high b 1"}, nil},                                                                      // of somebody else
		{[]string{"0 low a 1", "30 high a 1", "100 low a 1", "130 high a 1"}, []string{"30:outer*2", "130:outermost*2"}}, // and on
	} {
		got := play(t, e.NewRunner(Limits{}), c.events...)
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "130:outer*") })
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.events, got, c.want)
		}
	}
	late := engineOf(t, base+`
title: second
id: second
correlation: {type: event_count, rules: [first], timespan: 1h, condition: {lte: 5}}
---
title: first
id: first
correlation: {type: event_count, rules: [low], group-by: [user], timespan: 10s, condition: {lt: 2}}
`)
	if got, want := play(t, late.NewRunner(Limits{}), "0 low a 1", "5 low b 1"), []string{"5:second*2"}; !slices.Equal(got, want) { // all at the end
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAggregationOfVersion1(t *testing.T) {
	rule := "title: t\nid: v1\nlogsource: {product: p}\ndetection:\n  s: {kind: low}\n  o: {kind: high}\n  timeframe: 10s\n  condition: "
	for _, tt := range []struct {
		condition string
		events    []string
		want      []string
	}{
		{"s | count() by user > 1", []string{"0 low a 1", "1 low b 1", "2 low a 1"}, []string{"2:v1*2"}},
		{"s | count(value) by user >= 2", []string{"0 low a 1", "1 low a 1", "2 low a 7"}, []string{"2:v1*3"}},
		{"s | sum(value) > 9", []string{"0 low a 5", "1 high a 50", "2 low a 5"}, []string{"2:v1*2"}},
		{"s | near o", []string{"0 low a 5", "1 high a 50"}, []string{"1:v1*2"}},
	} {
		got := play(t, engineOf(t, rule+tt.condition+"\n").NewRunner(Limits{}), tt.events...)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.condition, got, tt.want)
		}
	}
}

// TestCorrelationMemoryIsBounded: a stranger who invents users cannot grow the
// state, and what was given up is counted.
func TestCorrelationMemoryIsBounded(t *testing.T) {
	e := engineOf(t, base+"title: c\nid: c\ncorrelation: {type: event_count, rules: [low], group-by: [user], timespan: 1h, condition: {gte: 50}}\n")
	run := e.NewRunner(Limits{Groups: 10, Entries: 100, Group: 60})
	var events []string
	for i := range 500 {
		events = append(events, fmt.Sprintf("%d low user%d 1", i, i%37))
	}
	play(t, run, events...)
	if s := run.Stats(); s.Groups > 10 || s.Entries > 100 || s.Evicted == 0 {
		t.Errorf("state %+v", s)
	}
}

// TestWindowsProperty: the windows agree with trying every window.
func TestWindowsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const span = 10
		n := rapid.IntRange(1, 12).Draw(t, "n")
		var list []entry
		for range n {
			list = append(list, entry{at: int64(rapid.IntRange(0, 40).Draw(t, "at")), value: uint64(rapid.IntRange(0, 3).Draw(t, "v")), input: int32(rapid.IntRange(0, 2).Draw(t, "in"))})
		}
		slices.SortFunc(list, func(a, b entry) int { return int((a.at-b.at)*4) + int(a.input-b.input) })
		e := rapid.SampledFrom(list).Draw(t, "new")
		need := rapid.IntRange(1, 5).Draw(t, "need")
		count, distinct, all, ordered := false, false, false, false
		for start := int64(-10); start <= 50; start++ {
			var in []entry
			for _, x := range list {
				if x.at >= start && x.at <= start+span {
					in = append(in, x)
				}
			}
			values, inputs, next := map[uint64]bool{}, map[int32]bool{}, int32(0)
			for _, x := range in {
				values[x.value], inputs[x.input] = true, true
				if x.input == next {
					next++
				}
			}
			if e.at >= start && e.at <= start+span {
				count = count || len(in) >= need
				distinct = distinct || len(values) >= need
				all = all || len(inputs) == 3
			}
			ordered = ordered || next == 3
		}
		for _, c := range []struct {
			name string
			got  int
			want bool
		}{
			{"count", countWithin(list, e.at, span, need), count}, {"distinct", distinctWithin(list, e.at, span, need), distinct},
			{"all", (&correlation{inputs: 3, value: 3, span: time.Duration(span)}).allWithin(list, e.at), all}, {"ordered", orderedWithin(list, span, 3, 3), ordered},
		} {
			if (c.got > 0) != c.want {
				t.Fatalf("%s of %v at %d, need %d: %d, want %v", c.name, list, e.at, need, c.got, c.want)
			}
		}
	})
}
