package classify

import (
	"strings"
	"unicode/utf8"
)

// Segment is one sentence or line of a text, as bytes [From, To).
type Segment struct{ From, To int }

const (
	maxSentence = 400
	window      = 200 // bytes of text that one window of the direct head spans
	maxSegments = 1500
)

// Segments cuts a text into sentences: at line ends, after . ! ? and their
// wide forms when white space follows, and at maxSentence at the latest.
func Segments(s string) []Segment {
	out := make([]Segment, 0, len(s)/60+1)
	from := 0
	put := func(to int) {
		a, b := from, to
		for a < b && (s[a] <= ' ') {
			a++
		}
		for b > a && s[b-1] <= ' ' {
			b--
		}
		if b > a && len(out) < maxSegments {
			out = append(out, Segment{a, b})
		}
		from = to
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\n':
			put(i + 1)
		case c == '.' || c == '!' || c == '?':
			if i+1 < len(s) && (s[i+1] == ' ' || s[i+1] == '\t' || (s[i+1] == '"' || s[i+1] == ')') && i+2 < len(s) && s[i+2] == ' ') && !abbreviation(s[from:i]) {
				put(i + 2)
			}
		case c == 0xe3 || c == 0xef: // 。 ！ ？
			if strings.HasPrefix(s[i:], "。") || strings.HasPrefix(s[i:], "！") || strings.HasPrefix(s[i:], "？") {
				put(i + 3)
				i += 2
			}
		case i-from >= maxSentence && utf8.RuneStart(c) && s[from] != '|': // a row of a table stays one
			put(i)
		}
	}
	put(len(s))
	return out
}

func abbreviation(s string) bool {
	i := strings.LastIndexByte(s, ' ')
	w := s[i+1:]
	switch strings.ToLower(w) {
	case "mr", "mrs", "ms", "dr", "st", "e.g", "i.e", "vs", "no", "inc", "ltd", "approx":
		return true
	}
	return len(w) == 1 && w[0] >= 'A' && w[0] <= 'Z'
}

// Windows groups neighbouring sentences to spans of about window bytes.
func Windows(segs []Segment) []Segment {
	var out []Segment
	for i := 0; i < len(segs); {
		w := segs[i]
		j := i + 1
		for j < len(segs) && segs[j].To-w.From <= window {
			w.To = segs[j].To
			j++
		}
		out = append(out, w)
		i = j
	}
	return out
}

// vocabulary counts in how many sentences each longer word of a text occurs.
type vocabulary map[uint32]uint16

func (v vocabulary) add(s string, by int) {
	longWords(s, func(h uint32) { v[h] += uint16(by) })
}

// known is the share of a sentence's longer words that occur in others too.
func (v vocabulary) known(s string) float64 {
	n, found := 0, 0
	longWords(s, func(h uint32) {
		n++
		if v[h] > 1 {
			found++
		}
	})
	if n == 0 {
		return 0.5
	}
	return float64(found) / float64(n)
}

func longWords(s string, f func(uint32)) {
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && wordByte(s[j]) {
			j++
		}
		if j-i >= 5 {
			f(hash('v', s[i:i+5])) // the stem, roughly
		}
		i = max(j, i+1)
	}
}

// Sentence is one sentence of a document with its place.
type Sentence struct {
	Segment
	Place
}

// Sentences returns what the indirect head looks at: the sentences of a
// lower-case document that are not plainly data. Rows of tables are data.
func Sentences(s string, kind Kind) []Sentence {
	segs := Segments(s)
	v := vocabulary{}
	for _, g := range segs {
		v.add(s[g.From:g.To], 1)
	}
	out := make([]Sentence, 0, len(segs))
	for i, g := range segs {
		t := s[g.From:g.To]
		if dataLine(t) {
			continue
		}
		out = append(out, Sentence{g, Place{Kind: kind, First: i == 0, Last: i == len(segs)-1, Known: v.known(t)}})
	}
	return out
}

// dataLine: a row of a table, or too few letters to say anything.
func dataLine(t string) bool {
	if t[0] == '|' && strings.Count(t, "|") >= 3 {
		return len(t) < 200 || longestCell(t) < 60
	}
	letters, words := 0, 0
	in := false
	for i := 0; i < len(t); i++ {
		w := wordByte(t[i])
		if w {
			letters++
			if !in {
				words++
			}
		}
		in = w
	}
	return words < 3 && letters < 24
}

func longestCell(t string) int {
	n := 0
	for c := range strings.SplitSeq(t, "|") {
		n = max(n, len(strings.TrimSpace(c)))
	}
	return n
}
