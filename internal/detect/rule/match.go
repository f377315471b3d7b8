package rule

import (
	"math/bits"
	"regexp"
	"strings"
)

// Text is one reading of one field of an observation, in lower case.
type Text struct {
	Field Field
	S     string
}

// condition is one compiled line of a match.
type condition struct {
	fields Field
	op     operator
	values []string
	re     *regexp.Regexp
	need   []string // literals of which one occurs wherever re matches
}

type operator uint8

const (
	opContains operator = iota
	opEquals
	opPrefix
	opSuffix
	opRegex
)

// find returns the place where the condition holds.
func (c *condition) find(texts []Text) (text string, at int, ok bool) {
	for i := range texts {
		if texts[i].Field&c.fields == 0 {
			continue
		}
		if at := c.in(texts[i].S); at >= 0 {
			return texts[i].S, at, true
		}
	}
	return "", 0, false
}

func (c *condition) in(s string) int {
	if c.op == opRegex {
		if loc := c.re.FindStringIndex(s); loc != nil {
			return loc[0]
		}
		return -1
	}
	for _, v := range c.values {
		switch c.op {
		case opContains:
			if i := strings.Index(s, v); i >= 0 {
				return i
			}
		case opEquals:
			if s == v {
				return 0
			}
		case opPrefix:
			if strings.HasPrefix(s, v) {
				return 0
			}
		case opSuffix:
			if strings.HasSuffix(s, v) {
				return len(s) - len(v)
			}
		}
	}
	return -1
}

// Set is rules compiled to be tried together. It does not change and may be
// used by many goroutines, each with its own Scratch.
type Set struct {
	rules   []*Rule
	always  []uint64 // rules without necessary literals
	scanner *scanner
	uses    [][]use // literal → rules it can make true
}

type use struct {
	rule   int32
	fields Field
}

// NewSet compiles rules to be tried together.
func NewSet(rules []*Rule) *Set {
	s := &Set{rules: rules, always: make([]uint64, (len(rules)+63)/64)}
	ids := map[string]int{}
	var literals []string
	for i, r := range rules {
		groups := r.filter()
		if groups == nil {
			s.always[i/64] |= 1 << (i % 64)
			continue
		}
		for _, g := range groups {
			for _, l := range g.literals {
				l = l[:min(len(l), maxLiteral)]
				id, known := ids[l]
				if !known {
					id = len(literals)
					ids[l] = id
					literals = append(literals, l)
					s.uses = append(s.uses, nil)
				}
				s.uses[id] = append(s.uses[id], use{int32(i), g.fields})
			}
		}
	}
	s.scanner = newScanner(literals)
	return s
}

// Rules returns the rules in the order they are tried.
func (s *Set) Rules() []*Rule { return s.rules }

// Scratch is the memory of one goroutine's calls of Match.
type Scratch struct {
	Texts     []Text // for the caller: reuse between observations
	Strings   []string
	candidate []uint64
	field     Field
	set       *Set
	onLiteral func(int32)
}

// Match calls hit for every rule that holds for texts, with the text around the
// place where it does.
func (s *Set) Match(texts []Text, sc *Scratch, hit func(r *Rule, excerpt string)) {
	if sc.onLiteral == nil {
		sc.onLiteral = sc.literal
	}
	sc.set = s
	sc.candidate = append(sc.candidate[:0], s.always...)
	for i := range texts {
		sc.field = texts[i].Field
		s.scanner.scan(texts[i].S, sc.onLiteral)
	}
	for w, word := range sc.candidate {
		for ; word != 0; word &= word - 1 {
			r := s.rules[w*64+bits.TrailingZeros64(word)]
			if excerpt, ok := r.holds(texts); ok {
				hit(r, excerpt)
			}
		}
	}
}

func (sc *Scratch) literal(id int32) {
	for _, u := range sc.set.uses[id] {
		if u.fields&sc.field != 0 {
			sc.candidate[u.rule/64] |= 1 << (u.rule % 64)
		}
	}
}

// MatchAll is Match without the shortcut: every rule's conditions are tried.
// It is the definition that Match is tested against.
func (s *Set) MatchAll(texts []Text, hit func(r *Rule, excerpt string)) {
	for _, r := range s.rules {
		if excerpt, ok := r.holds(texts); ok {
			hit(r, excerpt)
		}
	}
}

// holds says whether all of All, one of Any and none of Not are true.
func (r *Rule) holds(texts []Text) (excerpt string, ok bool) {
	where, at := "", 0
	for i := range r.all {
		s, p, found := r.all[i].find(texts)
		if !found {
			return "", false
		}
		if len(s) > len(where) { // the longest text tells most
			where, at = s, p
		}
	}
	if len(r.any) > 0 {
		found := false
		for i := range r.any {
			if where, at, found = r.any[i].find(texts); found {
				break
			}
		}
		if !found {
			return "", false
		}
	}
	for i := range r.not {
		if _, _, found := r.not[i].find(texts); found {
			return "", false
		}
	}
	return around(where, at), true
}

// around cuts a long text to what surrounds a place.
func around(s string, at int) string {
	const before, after = 40, 200
	from := max(0, at-before)
	return s[from:min(len(s), at+after)]
}

type literalGroup struct {
	fields   Field
	literals []string
}

// filter returns literals of which one must occur when the rule holds, with the
// fields to look in; nil when there are none.
func (r *Rule) filter() []literalGroup {
	var best []literalGroup
	for i := range r.all {
		c := &r.all[i]
		if set := c.literals(); score(set) >= minLiteral && (best == nil || score(set) > score(best[0].literals)) {
			best = []literalGroup{{c.fields, set}}
		}
	}
	if best != nil {
		return best
	}
	for i := range r.any {
		c := &r.any[i]
		set := c.literals()
		if score(set) < minLiteral {
			return nil
		}
		best = append(best, literalGroup{c.fields, set})
	}
	return best
}

func (c *condition) literals() []string {
	if c.op != opRegex {
		return c.values
	}
	return c.need
}
