package sigma

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// exprOp is what a node of a condition does.
type exprOp uint8

const (
	opName exprOp = iota // a search, by name
	opAnd
	opOr
	opNot
)

// expr is a condition as written, quantifiers already written out.
type expr struct {
	op   exprOp
	name string
	kids []*expr
}

// aggregate is what stands behind the pipe of a version 1 condition.
type aggregate struct {
	function string // count, min, max, avg, sum, near
	field    string // "" counts events
	by       []string
	op       string   // gt, gte, lt, lte, eq
	value    float64  // compared with
	near     []string // searches that have to follow
}

// Limits on a condition.
const (
	maxCondition = 16 << 10
	maxNesting   = 64
	maxSearches  = 1000
)

// conditionParser is a recursive descent over words: not binds closer than
// and, and closer than or.
type conditionParser struct {
	words    []string
	at       int
	depth    int
	searches []string // names the condition may use
	used     int
}

// parseCondition reads a condition of the specification, and the aggregation
// of version 1 behind its pipe.
func parseCondition(text string, searches []string) (*expr, *aggregate, error) {
	if len(text) > maxCondition {
		return nil, nil, fmt.Errorf("condition of %d bytes, at most %d", len(text), maxCondition)
	}
	search, agg, piped := strings.Cut(text, "|")
	p := &conditionParser{words: conditionWords(search), searches: searches}
	e, err := p.or()
	if err != nil {
		return nil, nil, err
	}
	if p.at < len(p.words) {
		return nil, nil, fmt.Errorf("condition: %.40q is not expected here", p.words[p.at])
	}
	if !piped {
		return e, nil, nil
	}
	a, err := parseAggregate(agg, searches)
	return e, a, err
}

func conditionWords(s string) []string {
	s = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s)
	return strings.Fields(s)
}

func (p *conditionParser) peek(word string) bool {
	return p.at < len(p.words) && strings.EqualFold(p.words[p.at], word)
}

func (p *conditionParser) next() string {
	if p.at == len(p.words) {
		return ""
	}
	p.at++
	return p.words[p.at-1]
}

func (p *conditionParser) or() (*expr, error) { return p.chain("or", opOr, p.and) }

func (p *conditionParser) and() (*expr, error) { return p.chain("and", opAnd, p.not) }

func (p *conditionParser) chain(word string, op exprOp, operand func() (*expr, error)) (*expr, error) {
	first, err := operand()
	if err != nil || !p.peek(word) {
		return first, err
	}
	e := &expr{op: op, kids: []*expr{first}}
	for p.peek(word) {
		p.at++
		k, err := operand()
		if err != nil {
			return nil, err
		}
		e.kids = append(e.kids, k)
	}
	return e, nil
}

func (p *conditionParser) not() (*expr, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, fmt.Errorf("condition: nested deeper than %d", maxNesting)
	}
	defer func() { p.depth-- }()
	if !p.peek("not") {
		return p.operand()
	}
	p.at++
	e, err := p.not()
	if err != nil {
		return nil, err
	}
	return &expr{op: opNot, kids: []*expr{e}}, nil
}

func (p *conditionParser) operand() (*expr, error) {
	word := p.next()
	switch lower := strings.ToLower(word); {
	case word == "":
		return nil, errors.New("condition ends where a search is expected")
	case word == "(":
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		if p.next() != ")" {
			return nil, errors.New("condition: a closing parenthesis is missing")
		}
		return e, nil
	case (lower == "1" || lower == "any" || lower == "all") && p.peek("of"):
		p.at++
		return p.quantified(lower, p.next())
	case lower == "and" || lower == "or" || lower == ")" || lower == "of":
		return nil, fmt.Errorf("condition: %.40q where a search is expected", word)
	}
	return p.named(word)
}

func (p *conditionParser) named(word string) (*expr, error) {
	if p.used++; p.used > maxSearches {
		return nil, fmt.Errorf("condition: more than %d searches", maxSearches)
	}
	for _, s := range p.searches {
		if s == word {
			return &expr{op: opName, name: s}, nil
		}
	}
	return nil, fmt.Errorf("condition: there is no search %.60q in detection", word)
}

// quantified writes "1 of" as or, "all of" as and. "them" leaves out searches
// whose names begin with an underscore.
func (p *conditionParser) quantified(quantity, of string) (*expr, error) {
	e := &expr{op: opOr}
	if quantity == "all" {
		e.op = opAnd
	}
	for _, s := range p.searches {
		match := strings.EqualFold(of, "them") && !strings.HasPrefix(s, "_")
		if !match && strings.ContainsAny(of, "*?") {
			match, _ = path.Match(strings.ReplaceAll(of, `\`, `\\`), s) // a malformed pattern matches nothing
		}
		if match || s == of {
			k, err := p.named(s)
			if err != nil {
				return nil, err
			}
			e.kids = append(e.kids, k)
		}
	}
	if len(e.kids) == 0 {
		return nil, fmt.Errorf("condition: no search is named like %.60q", of)
	}
	return e, nil
}

// comparisons of version 1, and their words in correlation rules.
func comparison(sign string) string {
	switch sign {
	case ">":
		return "gt"
	case ">=":
		return "gte"
	case "<":
		return "lt"
	case "<=":
		return "lte"
	case "=", "==":
		return "eq"
	}
	return ""
}

// parseAggregate reads `count(field) by a, b > 5` and `near a and b`.
func parseAggregate(text string, searches []string) (*aggregate, error) {
	function, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	if strings.EqualFold(function, "near") {
		return parseNear(rest, searches)
	}
	text = strings.TrimSpace(text)
	open, end := strings.IndexByte(text, '('), strings.IndexByte(text, ')')
	if open < 0 || end < open {
		return nil, fmt.Errorf("aggregation %.60q: want count(field) by field > number, or near search", text)
	}
	a := &aggregate{function: strings.ToLower(strings.TrimSpace(text[:open])), field: strings.TrimSpace(text[open+1 : end])}
	switch a.function {
	case "count":
	case "min", "max", "avg", "sum":
		if a.field == "" {
			return nil, fmt.Errorf("aggregation: %s needs a field", a.function)
		}
	default:
		return nil, fmt.Errorf("aggregation: unknown function %.40q (count, min, max, avg, sum, near)", a.function)
	}
	rest = text[end+1:]
	i := strings.IndexAny(rest, "<>=")
	if i < 0 {
		return nil, errors.New("aggregation: no comparison with a number")
	}
	j := i + 1
	if j < len(rest) && rest[j] == '=' {
		j++
	}
	a.op = comparison(rest[i:j])
	var err error
	if a.value, err = strconv.ParseFloat(strings.TrimSpace(rest[j:]), 64); err != nil {
		return nil, fmt.Errorf("aggregation: %.40q is not a number", strings.TrimSpace(rest[j:]))
	}
	by := strings.Fields(strings.ReplaceAll(rest[:i], ",", " "))
	if len(by) > 0 {
		if !strings.EqualFold(by[0], "by") || len(by) == 1 {
			return nil, fmt.Errorf("aggregation: %.60q, want by and field names", strings.Join(by, " "))
		}
		a.by = by[1:]
	}
	return a, nil
}

func parseNear(text string, searches []string) (*aggregate, error) {
	a := &aggregate{function: "near"}
	for i, w := range strings.Fields(text) {
		switch {
		case i%2 == 1 && strings.EqualFold(w, "and"):
		case i%2 == 1:
			return nil, fmt.Errorf("aggregation near: %.40q, only and is understood", w)
		default:
			p := conditionParser{searches: searches}
			if _, err := p.named(w); err != nil {
				return nil, err
			}
			a.near = append(a.near, w)
		}
	}
	if len(a.near) == 0 {
		return nil, errors.New("aggregation near: no search named")
	}
	return a, nil
}
