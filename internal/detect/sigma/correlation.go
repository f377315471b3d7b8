package sigma

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Kinds of correlation: those of the specification, and min and max for the
// aggregations of version 1.
const (
	eventCount      = "event_count"
	valueCount      = "value_count"
	valueSum        = "value_sum"
	valueAvg        = "value_avg"
	valueMin        = "value_min"
	valueMax        = "value_max"
	valueMedian     = "value_median"
	valuePercentile = "value_percentile"
	temporal        = "temporal"
	temporalOrdered = "temporal_ordered"
)

// Limits on a correlation.
const (
	maxInputs    = 64 // rules of one
	maxGroupBy   = 16
	maxThreshold = 100_000 // of a count
	maxSpan      = 366 * 24 * time.Hour
	maxChain     = 8 // correlations of correlations
)

// correlation is a compiled correlation rule.
type correlation struct {
	rule   *Rule // whose id and words its signals carry
	index  int32
	kind   string
	inputs int
	parts  []*Rule   // of an aggregation: its own conditions
	group  [][]int32 // per group-by, the field per input
	field  []int32   // whose values count, one or more
	op     string
	value  float64
	want   *expr          // temporal: of the rules that fired, instead of how many
	names  map[string]int // of want: the input of each
	rank   float64        // percentile
	span   time.Duration
}

// sliding says whether the condition can only become true by more events, so
// that it is decided at the event that makes it true. Others are decided when
// their time is over.
func (c *correlation) sliding() bool {
	switch c.kind {
	case temporal:
		return !c.want.negates()
	case temporalOrdered:
		return true
	case eventCount, valueCount, valueSum, valueMax:
		return c.op == "gt" || c.op == "gte"
	}
	return false
}

func (c *correlation) holds(v float64) bool {
	switch c.op {
	case "gt":
		return v > c.value
	case "gte":
		return v >= c.value
	case "lt":
		return v < c.value
	case "lte":
		return v <= c.value
	case "neq":
		return v != c.value
	}
	return v == c.value
}

// need is the least count that holds, for counts that only grow.
func (c *correlation) need() int {
	n := int(math.Ceil(c.value))
	if c.op == "gt" {
		n = int(math.Floor(c.value)) + 1
	}
	return max(n, 1)
}

func (c *correlation) check() error {
	if c.span <= 0 || c.span > maxSpan {
		return fmt.Errorf("a correlation needs a timespan between 1s and 366d")
	}
	if (c.kind == eventCount || c.kind == valueCount) && (c.value > maxThreshold || c.value < 0) {
		return fmt.Errorf("a count of %v, at most %d", c.value, maxThreshold)
	}
	return nil
}

// parseSpan reads 30s, 5m, 1h, 7d, 2w, 1M, 1y.
func parseSpan(s string) (time.Duration, error) {
	day := 24 * time.Hour
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "M": 30 * day, "y": 365 * day}
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, fmt.Errorf("no timespan (such as 5m)")
	}
	unit, ok := units[s[len(s)-1:]]
	n, err := strconv.Atoi(strings.TrimSpace(s[:len(s)-1]))
	if !ok || err != nil || n < 1 || time.Duration(n) > maxSpan/unit {
		return 0, fmt.Errorf("timespan %.40q: want a number and s, m, h, d, w, M or y, at most 366d", s)
	}
	return time.Duration(n) * unit, nil
}

// aggregation makes the correlation that a condition of version 1 means.
func aggregation(l *compiler, r *Rule, d *document, k compiled) (*correlation, error) {
	span, err := parseSpan(d.timeframe)
	if err != nil {
		return nil, fmt.Errorf("%s needs a timeframe: %w", k.agg.function, err)
	}
	c := &correlation{rule: r, span: span, op: k.agg.op, value: k.agg.value, inputs: 1}
	part := func(n *node) {
		p := *r
		p.cond, p.silent, p.part = n, true, true
		c.parts = append(c.parts, &p)
	}
	part(k.node)
	switch f := k.agg.function; {
	case f == "near":
		for _, n := range k.near {
			part(n)
		}
		c.inputs = len(c.parts)
		c.kind, c.op, c.value = temporal, "gte", float64(c.inputs)
	case f == "count" && k.agg.field == "":
		c.kind = eventCount
	case f == "count":
		c.kind = valueCount
	default:
		c.kind = "value_" + f
	}
	if k.agg.field != "" {
		c.field = []int32{l.field(k.agg.field)}
	}
	for _, by := range k.agg.by {
		c.group = append(c.group, []int32{l.field(by)})
	}
	return c, c.check()
}

// correlate reads the correlation documents. One may name another that stands
// later, so they are read in rounds until a round adds nothing.
func (l *loader) correlate() {
	depth := 0
	for len(l.pending) > 0 && depth < maxChain {
		depth++
		var later []document
		for i := range l.pending {
			d := &l.pending[i]
			if l.waits(d) {
				later = append(later, *d)
				continue
			}
			if err := l.correlationRule(d); err != nil {
				l.problem(d, err)
			}
		}
		if len(later) == len(l.pending) {
			break
		}
		l.pending = later
	}
	for i := range l.pending {
		l.problem(&l.pending[i], fmt.Errorf("correlations name each other in a circle, or more than %d deep", maxChain))
	}
}

// waits says whether a correlation names one that has not been read.
func (l *loader) waits(d *document) bool {
	names, _ := texts(get(d.correlation, "rules"), maxInputs) // a mistake is reported by correlationRule
	for _, n := range names {
		if len(l.targets[n]) > 0 {
			continue
		}
		for i := range l.pending {
			if p := &l.pending[i]; p.id == n || p.name != "" && p.name == n {
				return true
			}
		}
	}
	return false
}

func (l *loader) correlationRule(d *document) error {
	m := mapping(d.correlation)
	if m == nil {
		return at(d.correlation, "correlation is a mapping (type:, rules:, timespan:)")
	}
	r, err := l.identity(d)
	if err != nil {
		return err
	}
	c := &correlation{rule: r}
	if c.kind, err = text(m, "type", 40); err != nil {
		return err
	}
	span, err := text(m, "timespan", 32)
	if err != nil {
		return err
	}
	if span == "" {
		span, _ = text(m, "timeframe", 32) // the name in drafts of the specification
	}
	if c.span, err = parseSpan(span); err != nil {
		return at(m, "correlation: %w", err)
	}
	names, err := texts(get(m, "rules"), maxInputs)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return at(m, "correlation names no rules")
	}
	c.inputs = len(names)
	var inputs [][]*Rule
	for _, n := range names {
		if len(l.targets[n]) == 0 {
			return at(m, "correlation: there is no loaded rule with the id or name %.80q", n)
		}
		inputs = append(inputs, l.targets[n])
	}
	if err := l.condition(c, m, names); err != nil {
		return err
	}
	if err := l.groupBy(c, m, names, inputs); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return at(m, "correlation: %w", err)
	}
	generate := get(m, "generate")
	l.attach(c)
	l.report.Rules++
	for i, rules := range inputs {
		for _, in := range rules {
			in.feeds = append(in.feeds, feed{c.index, int32(i)})
			in.silent = in.silent || generate == nil || generate.Value != "true"
		}
	}
	l.targets[r.ID] = []*Rule{r}
	if r.Name != "" {
		l.targets[r.Name] = append(l.targets[r.Name], r)
	}
	return nil
}

// condition reads what has to hold: a comparison, and for values their field.
func (l *loader) condition(c *correlation, m *yaml.Node, names []string) error {
	n := get(m, "condition")
	switch c.kind {
	case temporal, temporalOrdered, "temporal_extended":
		return c.together(n, names)
	case eventCount, valueCount, valueSum, valueAvg, valueMedian, valuePercentile:
	default:
		return at(m, "correlation: unknown type %.40q (event_count, value_count, value_sum, value_avg, value_median, value_percentile, temporal, temporal_extended, temporal_ordered)", c.kind)
	}
	cond := mapping(n)
	if cond == nil {
		return at(m, "correlation: %s needs a condition such as gte: 10", c.kind)
	}
	for _, op := range []string{"gt", "gte", "lt", "lte", "eq", "neq"} {
		s, err := text(cond, op, 32)
		if err != nil || s == "" {
			continue
		}
		if c.op != "" {
			return at(n, "correlation: one comparison per condition; use two correlations")
		}
		c.op = op
		if c.value, err = strconv.ParseFloat(s, 64); err != nil || math.IsNaN(c.value) {
			return at(n, "correlation: %s: %.40q is not a number", op, s)
		}
	}
	if c.op == "" {
		return at(n, "correlation: no comparison (gt, gte, lt, lte, eq, neq)")
	}
	fields, err := texts(get(cond, "field"), maxGroupBy)
	if err != nil {
		return err
	}
	if (len(fields) == 0) != (c.kind == eventCount) {
		return at(n, "correlation: %s and condition field do not go together like this", c.kind)
	}
	for _, f := range fields {
		c.field = append(c.field, l.field(f))
	}
	if c.kind == valuePercentile {
		s, err := text(cond, "percentile", 16)
		if c.rank, _ = strconv.ParseFloat(s, 64); err != nil || !(c.rank > 0 && c.rank <= 100) {
			return at(n, "correlation: value_percentile needs percentile: between 0 and 100")
		}
	}
	return nil
}

// groupBy reads the fields that events have to share, through the aliases that
// name them differently per rule.
func (l *loader) groupBy(c *correlation, m *yaml.Node, names []string, inputs [][]*Rule) error {
	by, err := texts(get(m, "group-by"), maxGroupBy)
	if err != nil {
		return err
	}
	aliases := mapping(get(m, "aliases"))
	for _, name := range by {
		fields := make([]int32, len(names))
		own := mapping(get(aliases, name))
		for i := range names {
			f := name
			if own != nil {
				f = ""
				for _, key := range []string{names[i], inputs[i][0].ID, inputs[i][0].Name} {
					if s, err := text(own, key, 512); err == nil && s != "" && f == "" && key != "" {
						f = s
					}
				}
				if f == "" {
					return at(own, "correlation: alias %.60q has no field for rule %.80q", name, names[i])
				}
			}
			fields[i] = l.field(f)
		}
		c.group = append(c.group, fields)
	}
	return nil
}
