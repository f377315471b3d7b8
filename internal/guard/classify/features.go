// Package classify is the injection classifier's arithmetic: how a text becomes
// features, linear models over them, and the file they are kept in. Training
// (bench/guardmodel) and the inspector (guard/injection) share it, so that
// they cannot count differently. It uses no cgo and allocates little.
//
// There are three questions. "Direct": does a text try to take the model over
// (override, extraction, jailbreak)? It is asked of every text, in windows.
// "Indirect": is one sentence of a document an order to the model that reads
// it? It is asked of documents only, sentence by sentence, because what is an
// attack inside an e-mail is an ordinary request when a user says it. "Mixed"
// is the same question about a text whose author is not known and that looks
// like a document: it may be one, or a person's request with something pasted
// below it.
package classify

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bits is the size of each model: 2^Bits weights.
const Bits = 18

const mask = 1<<Bits - 1

// Head is one of the questions.
type Head int

// The heads.
const (
	Direct Head = iota
	Indirect
	Mixed
	heads
)

// MaxText is how much of a text is looked at, in bytes; the rest is not.
const MaxText = 64 << 10

// Kind of a text by its shape.
type Kind uint8

// Kinds. Prose is everything else.
const (
	Prose Kind = iota
	Mail
	Table
	Code
	Markup
	Transcript
	kinds
)

// Kinds is how many there are.
const Kinds = int(kinds)

// Features collects the hashed features of a span, each once. The zero value
// is ready; it is reused from span to span and not safe for concurrent use.
type Features struct {
	List   []uint32 // words and their pieces
	Strong []uint32 // how the span begins, how long it is, where it stands: few, and counted more
	stamp  []uint32
	turn   uint32
	words  []span
}

type span struct{ from, to int }

func (f *Features) reset() {
	if f.stamp == nil {
		f.stamp = make([]uint32, 1<<Bits)
	}
	f.List, f.Strong = f.List[:0], f.Strong[:0]
	f.turn++
	if f.turn == 0 {
		clear(f.stamp)
		f.turn = 1
	}
}

func (f *Features) add(h uint32) {
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h &= mask
	if f.stamp[h] != f.turn {
		f.stamp[h] = f.turn
		f.List = append(f.List, h)
	}
}

const (
	fnvBasis = 2166136261
	fnvPrime = 16777619
)

func hash(seed uint32, s string) uint32 {
	h := fnvBasis ^ seed*0x9e3779b1
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * fnvPrime
	}
	return h
}

// named adds a strong feature.
func (f *Features) named(kind byte, s string) {
	n := len(f.List)
	f.add(hash(uint32(kind), s))
	if len(f.List) > n {
		f.Strong = append(f.Strong, f.List[n])
		f.List = f.List[:n]
	}
}

// wordByte: bytes of words are ASCII letters and everything beyond ASCII;
// digits are words of their own.
func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= utf8.RuneSelf || c == '\'' || c == '_'
}

func digitByte(c byte) bool { return c >= '0' && c <= '9' }

// split finds the words of a lower-case text. A number, whatever its length,
// and a sign are words too.
func (f *Features) split(s string) {
	f.words = f.words[:0]
	for i := 0; i < len(s); {
		c := s[i]
		j := i + 1
		switch {
		case wordByte(c):
			for j < len(s) && wordByte(s[j]) {
				j++
			}
		case digitByte(c):
			for j < len(s) && digitByte(s[j]) {
				j++
			}
		case c <= ' ':
			i++
			continue
		}
		f.words = append(f.words, span{i, j})
		i = j
	}
}

// Text computes the features that both heads share: words, pairs and triples
// of words, pieces of words. s must be lower case.
func (f *Features) text(s string) {
	f.split(s)
	var one, two uint32 // hashes of the words before
	n := 0
	for _, w := range f.words {
		word := s[w.from:w.to]
		if digitByte(word[0]) {
			word = "0"
		}
		h := hash('w', word)
		f.add(h)
		if n > 0 {
			f.add(one*31 + h*17 + 'b')
		}
		if n > 1 && wordByte(word[0]) {
			f.add(two*131 + one*31 + h*17 + 't')
			f.add(two*31 + h*17 + 's') // with a gap
		}
		two, one = one, h
		n++
		if wordByte(word[0]) {
			f.pieces(word)
		}
	}
}

// pieces adds the 3- to 5-byte pieces of a word with its borders.
func (f *Features) pieces(word string) {
	if len(word) > 40 {
		word = word[:40]
	}
	var b [44]byte
	b[0] = '<'
	n := copy(b[1:], word) + 1
	b[n] = '>'
	n++
	for i := 0; i+3 <= n; i++ {
		h := uint32(fnvBasis ^ 'p')
		for k := 0; k < 5 && i+k < n; k++ {
			h = (h ^ uint32(b[i+k])) * fnvPrime
			if k >= 2 {
				f.add(h)
			}
		}
	}
}

// DirectFeatures of a window or a whole text, lower case.
func (f *Features) DirectFeatures(s string) {
	f.reset()
	f.text(s)
	f.opening(s, 'D')
}

// opening adds the first words and the last sign: where orders and questions
// differ from statements.
func (f *Features) opening(s string, seed byte) {
	first := f.words
	for len(first) > 0 && !wordByte(s[first[0].from]) {
		first = first[1:] // bullets, quotes, numbers
	}
	for k := 1; k <= 3 && k <= len(first); k++ {
		f.named(seed+byte(k), s[first[0].from:first[k-1].to])
	}
	if n := len(f.words); n > 0 {
		last := s[f.words[n-1].from:f.words[n-1].to]
		if len(last) == 1 && !wordByte(last[0]) {
			f.named(seed+4, last)
		}
	}
	f.named(seed+5, lengthOf(len(f.words)))
}

func lengthOf(n int) string {
	switch {
	case n <= 2:
		return "tiny"
	case n <= 6:
		return "short"
	case n <= 14:
		return "middle"
	case n <= 30:
		return "long"
	}
	return "huge"
}

// Place is what is known about a sentence beside its words.
type Place struct {
	Kind  Kind
	First bool // first or last of the document
	Last  bool
	Known float64 // share of its longer words that occur elsewhere in the document
}

// IndirectFeatures of one sentence of a document, lower case.
func (f *Features) IndirectFeatures(s string, p Place) {
	f.reset()
	f.text(s)
	f.opening(s, 'I')
	kind := [...]string{"prose", "mail", "table", "code", "markup", "transcript"}[p.Kind]
	f.named('k', kind)
	switch {
	case p.First:
		f.named('k', "first")
	case p.Last:
		f.named('k', "last")
	}
	switch {
	case p.Known < 0.15:
		f.named('k', "foreign")
	case p.Known > 0.6:
		f.named('k', "known")
	}
	signs := 0
	for i := 0; i < len(s); i++ {
		if strings.IndexByte("{}()[]=<>;_|\\/*#", s[i]) >= 0 {
			signs++
		}
	}
	if signs*8 > len(s) {
		f.named('k', "signs")
	}
}

// lower is strings.ToLower without surprises of length for ASCII.
func lower(s string) string { return strings.ToLower(s) }

// KindOf guesses what a text is.
func KindOf(s string) Kind {
	if len(s) > 8192 {
		s = s[:8192]
	}
	rows, code, turns, lines := 0, 0, 0, 0
	for line := range strings.SplitSeq(s, "\n") {
		t := strings.TrimSpace(line)
		if t == "" {
			continue
		}
		lines++
		switch {
		case strings.HasPrefix(t, "|") && strings.Count(t, "|") >= 3, strings.Count(t, "\t") >= 2, strings.Count(t, ",") >= 4 && !strings.Contains(t, ", "):
			rows++
		case codeLine(line, t):
			code++
		case speaker(t):
			turns++
		}
	}
	head := lower(s[:min(len(s), 400)])
	switch {
	case rows >= 2:
		return Table
	case strings.Contains(s, "Traceback (most recent call last)"), strings.Contains(s, "```"), code >= 3 && code*4 >= lines:
		return Code
	case mailHead(head, len(s)):
		return Mail
	case strings.HasPrefix(head, "<") && strings.Count(s, "</") >= 2, strings.HasPrefix(head, "{\"") || strings.HasPrefix(head, "[{"):
		return Markup
	case turns >= 3:
		return Transcript
	}
	return Prose
}

func codeLine(line, t string) bool {
	last := t[len(t)-1]
	switch {
	case last == ';' || last == '{' || last == '}':
		return true
	case last == ':' && (strings.HasPrefix(t, "def ") || strings.HasPrefix(t, "class ") || strings.HasPrefix(t, "for ") || strings.HasPrefix(t, "if ") || strings.HasPrefix(t, "with ")):
		return true
	case strings.HasPrefix(t, "import ") || strings.HasPrefix(t, "from ") && strings.Contains(t, " import ") || strings.HasPrefix(t, "File \""):
		return true
	}
	return strings.Contains(t, " = ") || strings.HasPrefix(line, "    ") && strings.Contains(t, "(") && strings.HasSuffix(t, ")")
}

func speaker(t string) bool {
	i := strings.IndexByte(t, ':')
	return i > 1 && i < 20 && !strings.ContainsAny(t[:i], "./()") && unicode.IsUpper(rune(t[0])) && strings.Count(t[:i], " ") < 2
}

func mailHead(head string, size int) bool {
	for _, h := range [...]string{"subject:", "from:", "email_from:", "received:", "reply-to:"} {
		if i := strings.Index(head, h); i >= 0 && (i == 0 || head[i-1] == '\n' || head[i-1] == '|' || h != "from:") {
			return true
		}
	}
	for line := range strings.SplitSeq(head, "\n") { // an order may stand before the greeting
		for _, h := range [...]string{"hi ", "dear ", "hello ", "good morning ", "good afternoon "} {
			if rest, ok := strings.CutPrefix(line, h); ok {
				i := strings.IndexAny(rest+"\n", ",\n!")
				if i > 0 && i < 30 && strings.Count(rest[:i], " ") < 3 {
					return size > i+120
				}
			}
		}
	}
	return false
}
