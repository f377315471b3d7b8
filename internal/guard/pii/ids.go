package pii

import (
	"strings"

	"bartizan/internal/guard"
)

// id is a number that a state or an authority gives a person, with published check
// digits.
type id struct {
	name  string
	least int // characters without separators
	most  int
	valid func(s []byte) bool // capitals and digits, without separators
	// words, one of which must stand before it in the text; none: its form and check digits say enough.
	// One of ten or eleven numbers without letters and dates passes a check by chance.
	words string
	form  string // with separators, 9 for a digit: the form in which no word is needed; ""
}

// wordDistance is how far before a number a word is looked for, in bytes.
const wordDistance = 60

// maxID is the longest of them with its separators, in bytes.
const maxID = 32

// findIDs returns numbers of persons in a text.
func findIDs(text string) (out []guard.Span) {
	floor := 0
	for at := nextDigit(text, 0); at >= 0; {
		start := at
		for start > floor && isUpperOrDigit(text[start-1]) {
			start--
		}
		end := 0
		for n := 0; start >= 0 && n < 3; n++ { // with up to two groups of capitals before it
			if startsNumber(text, start) {
				if end = longestID(text, start); end > 0 {
					break
				}
			}
			start = before(text, floor, start)
		}
		if end > 0 {
			out = append(out, guard.Span{From: start, To: end})
			if len(out) == maxFound {
				return out
			}
		} else {
			for end = at; end < len(text) && isUpperOrDigit(text[end]); end++ {
			}
		}
		floor = end
		at = nextDigit(text, end)
	}
	return out
}

// before is where the group of capitals begins that stands before a place and may belong to
// the number that begins there; -1: there is none.
func before(text string, floor, start int) int {
	i := start - 1
	if i <= floor || text[i] != ' ' && text[i] != '-' {
		return -1
	}
	from := i
	for from > floor && i-from < 6 && isCapital(text[from-1]) {
		from--
	}
	if from == i || from > 0 && isWord(text[from-1]) {
		return -1
	}
	return from
}

// startsNumber says that nothing in front of a place belongs to the number.
func startsNumber(text string, at int) bool {
	if at == 0 {
		return true
	}
	c := text[at-1]
	if isWord(c) {
		return false
	}
	return !(at > 1 && isDigit(text[at-2]) && strings.IndexByte("-./,+", c) >= 0)
}

// longestID is where the longest number ends that begins at a place; 0: none does.
func longestID(text string, start int) (end int) {
	var compact [24]byte
	n, digits := 0, 0
	for i := start; i < len(text) && i-start < maxID && n < len(compact); {
		c := text[i]
		switch {
		case isUpperOrDigit(c):
			compact[n] = c
			n++
			if isDigit(c) {
				digits++
			}
			i++
			if (i == len(text) || !isWord(text[i])) && digits >= 6 && endsNumber(text, i) && isID(text, start, i, compact[:n]) {
				end = i
			}
		case strings.IndexByte(" -./+·", c) >= 0 && i+1 < len(text) && isUpperOrDigit(text[i+1]):
			i++
		default:
			return end
		}
	}
	return end
}

// endsNumber says that no digits follow that belong to it.
func endsNumber(text string, at int) bool {
	return !(at+1 < len(text) && isDigit(text[at+1]) && strings.IndexByte("-./,", text[at]) >= 0)
}

func isID(text string, from, to int, compact []byte) bool {
	near := ""
	for k := range ids {
		d := &ids[k]
		if len(compact) < d.least || len(compact) > d.most || !d.valid(compact) {
			continue
		}
		if d.words == "" || d.form != "" && hasForm(text[from:to], d.form) {
			return true
		}
		if near == "" {
			near = strings.ToLower(text[max(0, from-wordDistance):from])
		}
		if hasWord(near, d.words) {
			return true
		}
	}
	return false
}

func hasForm(s, form string) bool {
	if len(s) != len(form) {
		return false
	}
	for i := range len(s) {
		if form[i] == '9' {
			if !isDigit(s[i]) {
				return false
			}
		} else if form[i] != s[i] && !(form[i] == 'X' && (isDigit(s[i]) || s[i] == 'X')) {
			return false
		}
	}
	return true
}

// hasWord says whether one of some words, with blanks between them, stands in a text,
// neither in the middle of a longer word nor, when it is short, at its beginning.
func hasWord(text, words string) bool {
	for w := range strings.FieldsSeq(words) {
		w = strings.ReplaceAll(w, "_", " ")
		for from := 0; ; {
			k := strings.Index(text[from:], w)
			if k < 0 {
				break
			}
			k += from
			end := k + len(w)
			if w[0] >= 0x80 || (k == 0 || !isWord(text[k-1])) && (len(w) > 5 || end == len(text) || !isWord(text[end])) {
				return true
			}
			from = end
		}
	}
	return false
}

func nextDigit(text string, from int) int {
	for i := from; i < len(text); i++ {
		if isDigit(text[i]) {
			return i
		}
	}
	return -1
}

func isUpperOrDigit(c byte) bool { return isDigit(c) || isCapital(c) }

func isWord(c byte) bool {
	return isDigit(c) || isCapital(c) || c >= 'a' && c <= 'z' || c == '_'
}

// tailID is how many bytes at the end of a text may be the beginning of a number.
func tailID(text string) int {
	i, digit, capitals := len(text), false, 0
	for i > 0 && len(text)-i < maxID {
		c := text[i-1]
		if !isUpperOrDigit(c) && strings.IndexByte(" -./+", c) < 0 {
			break
		}
		digit = digit || isDigit(c)
		if isCapital(c) {
			capitals++
		}
		i--
	}
	for i < len(text) && (!isUpperOrDigit(text[i]) || i > 0 && isWord(text[i-1])) {
		i++
	}
	if !digit && capitals < 4 {
		return 0
	}
	return len(text) - i
}
