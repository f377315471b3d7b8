package sigma

import (
	"fmt"
	"slices"

	"bartizan/internal/model"
)

// Rule is a loaded rule.
type Rule struct {
	ID         string // the rule's own UUID
	Name       string
	Title      string
	File       string
	Line       int
	Author     string
	Status     string
	Level      string
	Severity   model.Severity
	Techniques []string // ATT&CK ids of its tags, such as T1078.004
	Tags       []string
	Logsource  Logsource

	cond   *node // nil for a correlation
	index  int32 // in Engine.rules; -1 for a correlation
	silent bool  // reports only through correlations
	part   bool  // the condition of an aggregation, not a rule of its own
	feeds  []feed
}

// feed says which input of which correlation a rule is.
type feed struct{ correlation, input int32 }

// node is a condition over atoms.
type node struct {
	op   nodeOp
	kids []*node
	atom int32
}

type nodeOp uint8

const (
	nodeAtom nodeOp = iota
	nodeAnd
	nodeOr
	nodeNot
)

// compiler builds the tables that rules share.
type compiler struct {
	opts     Options
	fields   []string
	fieldIDs map[string]int32
	atoms    []atom
	atomIDs  map[string]int32
	usage    []int // of an atom, by rules
	rules    []*Rule
}

func newCompiler(o Options) *compiler {
	return &compiler{opts: o, fieldIDs: map[string]int32{}, atomIDs: map[string]int32{}}
}

func (c *compiler) field(name string) int32 {
	id, ok := c.fieldIDs[name]
	if !ok {
		id = int32(len(c.fields))
		c.fields = append(c.fields, name)
		c.fieldIDs[name] = id
	}
	return id
}

func (c *compiler) atom(a atom) *node {
	key := fmt.Sprintf("%d|%d|%t|%+v|%t%t|%s|%v|%d|%s|%s|%t", a.field, a.test, a.cased, a.pattern.segments, a.pattern.head, a.pattern.tail,
		a.network, a.number, a.other, a.shape, a.unit, a.yes)
	if a.re != nil {
		key += a.re.String()
	}
	id, ok := c.atomIDs[key]
	if !ok {
		id = int32(len(c.atoms))
		c.atoms = append(c.atoms, a)
		c.atomIDs[key] = id
		c.usage = append(c.usage, 0)
	}
	return &node{op: nodeAtom, atom: id}
}

// join makes an and or an or, flat, without one for a single operand.
func join(op nodeOp, kids []*node) *node {
	if len(kids) == 1 {
		return kids[0]
	}
	var flat []*node
	for _, k := range kids {
		if k.op == op {
			flat = append(flat, k.kids...)
		} else {
			flat = append(flat, k)
		}
	}
	return &node{op: op, kids: flat}
}

func negate(n *node) *node { return &node{op: nodeNot, kids: []*node{n}} }

// item compiles a field with its values.
func (c *compiler) item(it item) (*node, error) {
	q, err := parseModifiers(it)
	if err != nil {
		return nil, &lineError{it.line, err}
	}
	var each []*node
	for _, v := range it.values {
		atoms, err := c.questions(q, v)
		if err != nil {
			return nil, &lineError{it.line, err}
		}
		var alternatives []*node
		for _, a := range atoms {
			alternatives = append(alternatives, c.atom(a))
		}
		if len(alternatives) == 0 {
			return nil, &lineError{it.line, fmt.Errorf("field %.60q: a value too short to be encoded", it.field)}
		}
		each = append(each, join(nodeOr, alternatives))
	}
	op := nodeOr
	if q.all {
		op = nodeAnd
	}
	n := join(op, each)
	if q.negated {
		n = negate(n)
	}
	return n, nil
}

func (c *compiler) search(s search) (*node, error) {
	var alts []*node
	for _, alt := range s.alts {
		var all []*node
		for _, it := range alt {
			n, err := c.item(it)
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
		alts = append(alts, join(nodeAnd, all))
	}
	return join(nodeOr, alts), nil
}

func expression(e *expr, searches map[string]*node) *node {
	if e.op == opName {
		return searches[e.name]
	}
	var kids []*node
	for _, k := range e.kids {
		kids = append(kids, expression(k, searches))
	}
	switch e.op {
	case opNot:
		return negate(kids[0])
	case opAnd:
		return join(nodeAnd, kids)
	}
	return join(nodeOr, kids)
}

// compiled is one condition of a rule.
type compiled struct {
	node *node
	agg  *aggregate
	near []*node
}

// conditions compiles what a document detects, condition by condition.
func (c *compiler) conditions(d *document) (out []compiled, err error) {
	searches := map[string]*node{}
	var names []string
	for _, s := range d.searches {
		if searches[s.name] != nil {
			return nil, fmt.Errorf("search %.60q stands twice in detection", s.name)
		}
		n, err := c.search(s)
		if err != nil {
			return nil, err
		}
		searches[s.name] = n
		names = append(names, s.name)
	}
	slices.Sort(names)
	for _, text := range d.conditions {
		e, agg, err := parseCondition(text, names)
		if err != nil {
			return nil, &lineError{d.conditionLine, err}
		}
		k := compiled{node: expression(e, searches), agg: agg}
		if agg != nil {
			for _, n := range agg.near {
				k.near = append(k.near, searches[n])
			}
		}
		out = append(out, k)
	}
	return out, nil
}

// count notes which atoms a rule uses, once per rule.
func (c *compiler) count(n *node, seen map[int32]bool) {
	if n.op == nodeAtom {
		if !seen[n.atom] {
			seen[n.atom] = true
			c.usage[n.atom]++
		}
		return
	}
	for _, k := range n.kids {
		c.count(k, seen)
	}
}

// guard finds texts of which at least one occurs in its field whenever n is
// true, the rarest it can. ok is false when there are none: the rule then is a
// candidate for every event of its log source.
func (c *compiler) guard(n *node) (g []needle, cost float64, ok bool) {
	switch n.op {
	case nodeAtom:
		g = c.needles(n.atom)
		for _, k := range g {
			cost = max(cost, k.cost(c.usage[n.atom]))
		}
		return g, cost, len(g) > 0
	case nodeAnd:
		for _, k := range n.kids {
			if kg, kc, kok := c.guard(k); kok && (!ok || kc+float64(len(kg))/64 < cost+float64(len(g))/64) {
				g, cost, ok = kg, kc, true
			}
		}
		return g, cost, ok
	case nodeOr:
		for _, k := range n.kids {
			kg, kc, kok := c.guard(k)
			if !kok {
				return nil, 0, false
			}
			g, cost = append(g, kg...), max(cost, kc)
		}
		return g, cost, len(g) > 0
	}
	return nil, 0, false
}

// needle is a text that makes a rule a candidate: the whole of a value of the
// field, or a part of one. It is folded.
type needle struct {
	field int32
	whole bool
	text  string
}

// cost estimates how often a needle is found in vain: what many rules use is
// common, and so is what is short.
func (k needle) cost(usage int) float64 {
	base := 0.0
	switch n := len(k.text); {
	case k.whole:
	case n <= 2:
		base = 200
	case n <= 4:
		base = 30
	case n <= 7:
		base = 6
	default:
		base = 2
	}
	return base + float64(usage)
}

func (c *compiler) needles(id int32) []needle {
	a := &c.atoms[id]
	switch a.test {
	case isPattern:
		text, plain := a.pattern.literal()
		switch {
		case plain && !a.pattern.head && !a.pattern.tail:
			return []needle{{a.field, true, fold(text)}}
		case plain:
			return partOf(a.field, fold(text))
		}
		return partOf(a.field, fold(a.pattern.longest()))
	case isRegexp:
		var out []needle
		for _, t := range required(a.re2.Simplify(), 0) {
			if t == "" {
				return nil
			}
			out = append(out, needle{a.field, false, t})
		}
		return out
	}
	return nil
}

func partOf(field int32, text string) []needle {
	if text == "" {
		return nil
	}
	return []needle{{field, false, text}}
}
