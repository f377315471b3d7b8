package sigma

import (
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// together reads the condition of a temporal correlation (Sigma correlation rules
// specification 2.1): without one all rules have to fire, a comparison says how
// many, an expression over their names which.
func (c *correlation) together(n *yaml.Node, names []string) error {
	extended := c.kind == "temporal_extended"
	if extended {
		c.kind = temporal
	}
	c.op, c.value = "gte", float64(len(names))
	switch {
	case n == nil && extended:
		return at(n, "correlation: temporal_extended needs a condition over the names of its rules")
	case n == nil:
		return nil
	case n.Kind == yaml.ScalarNode:
		return c.expression(n, names)
	}
	cond := mapping(n)
	if cond == nil {
		return at(n, "correlation: the condition of a temporal correlation is a number of rules (gte: 2) or an expression over their names")
	}
	found := false
	for _, op := range []string{"gt", "gte", "eq", "lt", "lte", "neq"} {
		s, err := text(cond, op, 32)
		if err != nil || s == "" {
			continue
		}
		v, err := strconv.ParseFloat(s, 64)
		switch {
		case err != nil || math.IsNaN(v):
			return at(n, "correlation: %s: %.40q is not a number", op, s)
		case found:
			return at(n, "correlation: one comparison per condition; use two correlations")
		case op == "gt":
			v = math.Floor(v) + 1
		case op == "eq" && v == float64(len(names)), op == "gte":
		default:
			return at(n, "correlation: %s of a temporal correlation is not supported: a number of rules that fire is at least something (gte, gt)", op)
		}
		c.value, found = math.Ceil(v), true
	}
	if !found {
		return at(n, "correlation: no comparison (gt, gte)")
	}
	if c.value < 1 || c.value > float64(len(names)) {
		return at(n, "correlation: %v of %d rules cannot fire together", c.value, len(names))
	}
	return nil
}

// expression reads which rules have to fire, such as "a and (b or not c)".
func (c *correlation) expression(n *yaml.Node, names []string) error {
	if c.kind == temporalOrdered {
		return at(n, "correlation: an expression says nothing about an order; use temporal")
	}
	want, agg, err := parseCondition(n.Value, names)
	switch {
	case err != nil:
		return at(n, "correlation: %w", err)
	case agg != nil:
		return at(n, "correlation: an aggregation has no place in the condition of a correlation")
	}
	c.names = map[string]int{}
	for i, name := range names {
		c.names[name] = i
	}
	if want.holds(c.names, make([]int, len(names))) {
		return at(n, "correlation: the condition holds when nothing fires")
	}
	c.want, c.value = want, 1
	return nil
}

// negates reports whether more events can make the expression untrue.
func (e *expr) negates() bool {
	if e == nil {
		return false
	}
	for _, k := range e.kids {
		if k.negates() {
			return true
		}
	}
	return e.op == opNot
}

// holds says whether the expression is true of how often each input fired.
func (e *expr) holds(names map[string]int, seen []int) bool {
	switch e.op {
	case opName:
		return seen[names[e.name]] > 0
	case opNot:
		return !e.kids[0].holds(names, seen)
	case opAnd:
		for _, k := range e.kids {
			if !k.holds(names, seen) {
				return false
			}
		}
		return true
	}
	for _, k := range e.kids {
		if k.holds(names, seen) {
			return true
		}
	}
	return false
}

// fired says whether what fired in a window is what is wanted of a temporal correlation.
func (c *correlation) fired(seen []int, different int) bool {
	if c.want != nil {
		return c.want.holds(c.names, seen)
	}
	return float64(different) >= c.value
}
