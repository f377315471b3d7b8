package pii

import (
	"regexp"

	"bartizan/internal/guard"
)

// place is where a regular expression can match: in a run of some characters, outside
// of which it has none, that has enough of what it wants. Most texts have digits and
// hardly any has such a run, and the expression itself is slow.
type place struct {
	in   [256]bool
	want func(r counts) bool
}

// counts of what is in a run.
type counts struct {
	digits, groups int // groups: of digits
	dots, colons   int
	plus, zeros    bool // a plus sign, two zeros in a row
}

var places = map[string]*place{
	"card":  {set("0123456789 -"), func(r counts) bool { return r.digits >= 13 }},
	"ssn":   {set("0123456789 -"), func(r counts) bool { return r.digits >= 9 && r.groups >= 3 }},
	"phone": {set("0123456789 -.()/+"), func(r counts) bool { return r.digits >= 7 && (r.groups >= 3 || r.plus || r.zeros) }},
	"ip":    {set("0123456789abcdefABCDEF.:"), func(r counts) bool { return r.dots >= 3 && r.groups >= 4 || r.colons >= 2 }},
}

func set(chars string) (in [256]bool) {
	for i := range len(chars) {
		in[chars[i]] = true
	}
	return in
}

// find is what the expression finds in the whole text, looked for in the runs only. Each
// is looked at with the byte before and behind it, on which borders of words depend.
func (p *place) find(re *regexp.Regexp, text string, end func(text string, from, to int) int) (out []guard.Span) {
	for i, from := 0, 0; i < len(text); {
		if !p.in[text[i]] {
			i++
			continue
		}
		begin := i
		var n counts
		if n, i = p.count(text, i); !p.want(n) {
			continue
		}
		for w := max(from, begin-1); w < i; w = from {
			m := re.FindStringIndex(text[w:min(i+1, len(text))])
			if m == nil {
				break
			}
			a, b := w+m[0], w+m[1]
			if e := end(text, a, b); e > 0 {
				out = append(out, guard.Span{From: a, To: e})
				if b = e; len(out) == maxFound {
					return out
				}
			}
			from = max(b, a+1)
		}
	}
	return out
}

// count reads the run that begins at a place and says where it ends.
func (p *place) count(text string, i int) (n counts, end int) {
	before := byte(0)
	for ; i < len(text) && p.in[text[i]]; i++ {
		switch c := text[i]; {
		case isDigit(c):
			n.digits++
			if !isDigit(before) {
				n.groups++
			}
			n.zeros = n.zeros || c == '0' && before == '0'
		case c == '.':
			n.dots++
		case c == ':':
			n.colons++
		case c == '+':
			n.plus = true
		}
		before = text[i]
	}
	return n, i
}
