package tokenizer

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc) || r == zwj || r == zwj-1 || unicode.Is(unicode.Other_Alphabetic, r)
}

func isPunctuation(r rune) bool {
	return r < utf8.RuneSelf && (r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~') || unicode.Is(unicode.P, r)
}

// behavior says what becomes of what was found: the reference's names.
type behavior string

const (
	removed    behavior = "Removed"
	isolated   behavior = "Isolated"
	previous   behavior = "MergedWithPrevious"
	next       behavior = "MergedWithNext"
	contiguous behavior = "Contiguous"
)

// finder says where the next separator stands in s: from < 0 for nowhere.
type finder func(s string) (from, to int)

func each(is func(rune) bool) finder {
	return func(s string) (int, int) {
		for i, r := range s {
			if is(r) {
				return i, i + max(1, utf8.RuneLen(r))
			}
		}
		return -1, -1
	}
}

func literal(word string) finder {
	return func(s string) (int, int) {
		i := strings.Index(s, word)
		return i, i + len(word)
	}
}

// matches finds what a regular expression matches, one after the other. Regular expressions of the standard
// library look at the whole text once; asking again at each place would be quadratic.
func matches(re *regexp.Regexp, s string) [][]int { return re.FindAllStringIndex(s, -1) }

// bySeparator cuts a piece where find says.
func bySeparator(find finder, what behavior) splitter {
	return func(p piece, out []piece) []piece {
		var at [][]int
		for from := 0; from < len(p.text); {
			a, b := find(p.text[from:])
			if a < 0 || b <= a {
				break
			}
			at = append(at, []int{from + a, from + b})
			from += b
		}
		return cutAt(p, at, what, out)
	}
}

// byExpression cuts a piece at matches; with invert at what stands between them.
func byExpression(re *regexp.Regexp, what behavior, invert bool) splitter {
	return func(p piece, out []piece) []piece {
		at := matches(re, p.text)
		if invert {
			var between [][]int
			from := 0
			for _, m := range append(at, []int{len(p.text), len(p.text)}) {
				if m[0] > from {
					between = append(between, []int{from, m[0]})
				}
				from = m[1]
			}
			at = between
		}
		return cutAt(p, at, what, out)
	}
}

func cutAt(p piece, at [][]int, what behavior, out []piece) []piece {
	add := func(from, to int) {
		if from < to {
			out = append(out, piece{p.text[from:to], p.first && from == 0})
		}
	}
	from := 0
	switch what {
	case previous:
		for _, m := range at {
			add(from, m[1])
			from = m[1]
		}
	case next:
		for _, m := range at {
			add(from, m[0])
			from = m[0]
		}
	default:
		for i := 0; i < len(at); i++ {
			start, end := at[i][0], at[i][1]
			for what == contiguous && i+1 < len(at) && at[i+1][0] == end {
				i++
				end = at[i][1]
			}
			add(from, start)
			if what != removed {
				add(start, end)
			}
			from = end
		}
	}
	add(from, len(p.text))
	return out
}

func isDigit(r rune) bool { return unicode.Is(unicode.N, r) }

// bert splits at white space, which is dropped, and makes every mark of punctuation a word.
func bert(p piece, out []piece) []piece {
	var words []piece
	words = bySeparator(each(unicode.IsSpace), removed)(p, words)
	cut := bySeparator(each(isPunctuation), isolated)
	for _, w := range words {
		out = cut(w, out)
	}
	return out
}

// wordsAndMarks is the pre-tokenizer Whitespace: runs of word characters, and of what is neither that nor space.
func wordsAndMarks(p piece, out []piece) []piece {
	kind := func(r rune) int {
		switch {
		case unicode.IsSpace(r):
			return 0
		case isWord(r):
			return 1
		}
		return 2
	}
	for from := 0; from < len(p.text); {
		r, n := utf8.DecodeRuneInString(p.text[from:])
		k, to := kind(r), from+n
		for to < len(p.text) {
			r, n := utf8.DecodeRuneInString(p.text[to:])
			if kind(r) != k {
				break
			}
			to += n
		}
		if k != 0 {
			out = append(out, piece{p.text[from:to], p.first && from == 0})
		}
		from = to
	}
	return out
}

// metaspace marks words by the character that stands for a space.
func metaspace(mark, scheme string, split bool) splitter {
	return func(p piece, out []piece) []piece {
		text := strings.ReplaceAll(p.text, " ", mark)
		if (scheme == "always" || scheme == "first" && p.first) && !strings.HasPrefix(text, mark) {
			text = mark + text
		}
		p.text = text
		if !split {
			return append(out, p)
		}
		return bySeparator(literal(mark), next)(p, out)
	}
}

// byteLevel splits as GPT-2 does and writes every byte as a character that can be seen.
func byteLevel(prefix, split bool) splitter {
	return func(p piece, out []piece) []piece {
		if prefix && !strings.HasPrefix(p.text, " ") {
			p.text = " " + p.text
		}
		if !split {
			return append(out, piece{visible(p.text), p.first})
		}
		for from := 0; from < len(p.text); {
			n := gpt2(p.text[from:])
			out = append(out, piece{visible(p.text[from : from+n]), p.first && from == 0})
			from += n
		}
		return out
	}
}

// gpt2 is the length of the first match of GPT-2's expression, which matches at every place:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func gpt2(s string) int {
	if s[0] == '\'' {
		for _, w := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
			if strings.HasPrefix(s[1:], w) {
				return 1 + len(w)
			}
		}
	}
	kind := func(r rune) int {
		switch {
		case unicode.IsSpace(r):
			return 0
		case unicode.IsLetter(r):
			return 1
		case unicode.Is(unicode.N, r):
			return 2
		}
		return 3
	}
	from := 0
	r, size := utf8.DecodeRuneInString(s)
	if r == ' ' && len(s) > 1 {
		if r2, size2 := utf8.DecodeRuneInString(s[1:]); kind(r2) != 0 {
			from, r, size = 1, r2, size2
		}
	}
	k, to, last := kind(r), from+size, from
	for to < len(s) {
		r, size := utf8.DecodeRuneInString(s[to:])
		if kind(r) != k {
			break
		}
		last = to
		to += size
	}
	if k == 0 && to < len(s) && last > 0 {
		return last // the last white space belongs to what follows
	}
	return to
}

// visible maps bytes to the 256 characters of byte-level vocabularies.
func visible(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	for i := range len(s) {
		b.WriteRune(seen(s[i]))
	}
	return b.String()
}

func seen(c byte) rune {
	switch {
	case c >= '!' && c <= '~', c >= 0xa1 && c <= 0xac, c >= 0xae:
		return rune(c)
	case c <= ' ': // the others are numbered from 256 on, in order
		return 256 + rune(c)
	case c <= 0xa0:
		return 256 + 33 + rune(c-0x7f)
	}
	return 256 + 33 + 34 // 0xad
}
