package rule

import (
	"hash/maphash"
	"regexp"
	"slices"
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
	need   []string   // literals of which one occurs wherever re matches
	also   [][]string // more such sets
}

type operator uint8

const (
	opContains operator = iota
	opEquals
	opPrefix
	opSuffix
	opRegex
)

// possible asks for the further necessary literals of an expression.
func (c *condition) possible(s string) bool {
	for _, set := range c.also {
		if !slices.ContainsFunc(set, func(l string) bool { return strings.Contains(s, l) }) {
			return false
		}
	}
	return true
}

// in returns where in s the condition holds, -1 where it does not.
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
	spans   []span       // where each rule's conditions are
	conds   []*condition // of all rules, in order
	always  []int32      // conditions without necessary literals
	limit   int          // bytes given to regular expressions for one observation
	scanner *scanner
	uses    [][]int32 // literal → conditions it can make true
}

// span is the place of a rule's conditions: all, then any, then not.
type span struct{ all, any, not, end int32 }

// NewSet compiles rules to be tried together.
func NewSet(rules []*Rule) *Set {
	s := &Set{rules: rules, limit: maxWork}
	ids := map[string]int{}
	var literals []string
	add := func(conds []condition) int32 {
		for i := range conds {
			c := &conds[i]
			n := int32(len(s.conds))
			s.conds = append(s.conds, c)
			set := c.literals()
			if score(set) < minLiteral {
				s.always = append(s.always, n)
				continue
			}
			for _, l := range set {
				l = l[:min(len(l), maxLiteral)]
				id, known := ids[l]
				if !known {
					id = len(literals)
					ids[l] = id
					literals = append(literals, l)
					s.uses = append(s.uses, nil)
				}
				s.uses[id] = append(s.uses[id], n)
			}
		}
		return int32(len(s.conds))
	}
	for _, r := range rules {
		sp := span{all: int32(len(s.conds))}
		sp.any, sp.not, sp.end = add(r.all), add(r.any), add(r.not)
		s.spans = append(s.spans, sp)
	}
	s.scanner = newScanner(literals)
	return s
}

// Rules returns the rules in the order they are tried.
func (s *Set) Rules() []*Rule { return s.rules }

// Scratch is the memory of one goroutine's calls of Match.
type Scratch struct {
	Texts   []Text // for the caller: reuse between observations
	Strings []string

	set       *Set
	found     []place // condition → where it holds
	flagged   []int32 // conditions to try on the current text
	mark      []uint32
	round     uint32
	field     Field
	long      bool
	where     [][maxPlaces]int32 // in a long text: places of a condition's literals
	places    []uint8
	spent     int
	onLiteral func(int32, int)

	// Texts in which no condition of set holds, by keyed hash. Most texts are
	// said again and again: agents, accepted types, banners.
	seed  maphash.Seed
	quiet map[quiet]struct{}
}

type quiet struct {
	hash  uint64
	field Field
}

// Linear time is not enough when a visitor chooses both the length of a text and
// how many expressions it interests: 64 KB of keywords would cost a second.
const (
	longText  = 4096    // longer texts are looked at around literals only
	window    = 384     // bytes before and after a literal's end
	maxPlaces = 3       // per condition: the first ones and the last
	maxWork   = 1 << 20 // bytes given to regular expressions for one observation
)

const (
	maxQuiet    = 8192 // texts remembered; when full, all are forgotten
	maxQuietLen = 512
)

// place is where a condition holds; text is the index of the text plus one.
type place struct{ text, at int32 }

func (sc *Scratch) prepare(s *Set) {
	if sc.onLiteral == nil {
		sc.onLiteral = sc.literal
	}
	if sc.set != s {
		sc.set = s
		sc.found = make([]place, len(s.conds))
		sc.mark = make([]uint32, len(s.conds))
		sc.where = make([][maxPlaces]int32, len(s.conds))
		sc.places = make([]uint8, len(s.conds))
		sc.round = 0
		sc.seed, sc.quiet = maphash.MakeSeed(), map[quiet]struct{}{}
	}
	clear(sc.found)
	sc.spent = 0
}

// Match calls hit for every rule that holds for texts, with the text around the
// place where it does. A condition is only tried on a text in which one of its
// necessary literals occurs.
func (s *Set) Match(texts []Text, sc *Scratch, hit func(r *Rule, excerpt string)) {
	sc.prepare(s)
	for i := range texts {
		short := len(texts[i].S) <= maxQuietLen
		var q quiet
		if short {
			q = quiet{maphash.String(sc.seed, texts[i].S), texts[i].Field}
			if _, known := sc.quiet[q]; known {
				continue
			}
		}
		if sc.text(i, texts[i]) || !short {
			continue
		}
		if len(sc.quiet) >= maxQuiet {
			clear(sc.quiet)
		}
		sc.quiet[q] = struct{}{}
	}
	s.conclude(texts, sc, hit)
}

// text tries on one text the conditions its literals allow; false when none of
// them holds there, whatever the other texts are.
func (sc *Scratch) text(i int, t Text) (any bool) {
	if sc.round++; sc.round == 0 { // wrapped: old marks could look new
		clear(sc.mark)
		sc.round = 1
	}
	sc.field, sc.flagged, sc.long = t.Field, sc.flagged[:0], len(t.S) > longText
	sc.set.scanner.scan(t.S, sc.onLiteral)
	for _, n := range sc.flagged {
		any = sc.try(n, i, t.S) || any
	}
	for _, n := range sc.set.always {
		if sc.set.conds[n].fields&t.Field != 0 {
			any = sc.at(n, i, t.S, 0, min(len(t.S), longText)) || any
		}
	}
	return any
}

// literal notes the conditions that a literal found in the current text allows.
func (sc *Scratch) literal(id int32, end int) {
	for _, n := range sc.set.uses[id] {
		if sc.set.conds[n].fields&sc.field == 0 {
			continue
		}
		if sc.mark[n] != sc.round {
			sc.mark[n] = sc.round
			sc.flagged = append(sc.flagged, n)
			sc.places[n] = 0
		}
		if sc.long {
			sc.place(n, int32(end))
		}
	}
}

// place keeps the first places far enough apart, and the last of all: a payload
// behind padding is found, wherever its author put keywords before it.
func (sc *Scratch) place(n, end int32) {
	k := sc.places[n]
	if k > 0 && end-sc.where[n][k-1] < window && k < maxPlaces {
		return
	}
	if k < maxPlaces {
		sc.places[n]++
	} else {
		k--
	}
	sc.where[n][k] = end
}

// try tries condition n on a text unless it is known to hold already.
func (sc *Scratch) try(n int32, text int, s string) bool {
	if !sc.long || sc.set.conds[n].op != opRegex {
		return sc.at(n, text, s, 0, len(s))
	}
	for _, end := range sc.where[n][:sc.places[n]] {
		if sc.at(n, text, s, max(0, int(end)-window), min(len(s), int(end)+window)) {
			return true
		}
	}
	return false
}

// at tries condition n on s[from:to]. When the work allowed is done it says
// true, which means no more than "not known to be quiet".
func (sc *Scratch) at(n int32, text int, s string, from, to int) bool {
	c := sc.set.conds[n]
	if sc.found[n].text != 0 || sc.spent > sc.set.limit {
		return true
	}
	if c.op == opRegex {
		if !c.possible(s[from:to]) {
			return false
		}
		sc.spent += to - from
	}
	at := c.in(s[from:to])
	if at < 0 || at == 0 && from > 0 { // ^ would match where the window begins
		return false
	}
	sc.found[n] = place{int32(text) + 1, int32(from + at)}
	return true
}

// MatchAll is Match without the shortcut: every condition is tried on every
// text. It is the definition that Match is tested against.
func (s *Set) MatchAll(texts []Text, sc *Scratch, hit func(r *Rule, excerpt string)) {
	sc.prepare(s)
	for i := range texts {
		for n, c := range s.conds {
			if c.fields&texts[i].Field != 0 {
				if at := c.in(texts[i].S); at >= 0 && sc.found[n].text == 0 {
					sc.found[n] = place{int32(i) + 1, int32(at)}
				}
			}
		}
	}
	s.conclude(texts, sc, hit)
}

// conclude puts conditions together: all of All, one of Any, none of Not.
func (s *Set) conclude(texts []Text, sc *Scratch, hit func(r *Rule, excerpt string)) {
	for i, r := range s.rules {
		if p, ok := sc.holds(s.spans[i], texts); ok {
			hit(r, around(texts[p.text-1].S, int(p.at)))
		}
	}
}

func (sc *Scratch) holds(sp span, texts []Text) (where place, ok bool) {
	for _, p := range sc.found[sp.all:sp.any] {
		if p.text == 0 {
			return p, false
		}
		// The longest text tells most.
		if where.text == 0 || len(texts[p.text-1].S) > len(texts[where.text-1].S) {
			where = p
		}
	}
	if sp.any < sp.not {
		i := slices.IndexFunc(sc.found[sp.any:sp.not], func(p place) bool { return p.text != 0 })
		if i < 0 {
			return where, false
		}
		where = sc.found[int(sp.any)+i]
	}
	for _, p := range sc.found[sp.not:sp.end] {
		if p.text != 0 {
			return where, false
		}
	}
	return where, true
}

// around cuts a long text to what surrounds a place.
func around(s string, at int) string {
	const before, after = 40, 200
	from := max(0, at-before)
	return s[from:min(len(s), at+after)]
}

func (c *condition) literals() []string {
	if c.op != opRegex {
		return c.values
	}
	return c.need
}
