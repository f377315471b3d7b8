package secret

import (
	"math"
	"unicode"

	"bartizan/internal/guard/decode"
)

// Symbols are what is left of a text when case and separators are gone:
// letters 0 to 25, digits 26 to 35, other letters by their number.
const (
	symbols   = 64
	noSymbol  = 0xff
	maxSymbol = 256 // of a needle that are looked at in a row; a longer one is looked for in parts
)

func symbol(r rune) byte {
	switch {
	case r >= 'a' && r <= 'z':
		return byte(r - 'a')
	case r >= 'A' && r <= 'Z':
		return byte(r - 'A')
	case r >= '0' && r <= '9':
		return byte(r-'0') + 26
	case r < 0x80:
		return noSymbol
	}
	r = decode.Letter(r)
	if r < 0x80 {
		if r == 0 {
			return noSymbol
		}
		return symbol(r)
	}
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		return byte(36 + unicode.ToLower(r)%28)
	}
	return noSymbol
}

// leet makes one symbol of those that stand for each other: 0 and o, 1, l and i.
var leet = func() (to [symbols]byte) {
	for i := range to {
		to[i] = byte(i)
	}
	for i, c := range "oizeasgtbg" { // 0 to 9
		to[26+i] = byte(c - 'a')
	}
	to['l'-'a'] = 'i' - 'a'
	return to
}()

// sign is a letter for a sign that leetspeak uses for one.
func sign(r rune) byte {
	switch r {
	case '@':
		return 0
	case '(':
		return 2
	case '€':
		return 4
	case '!', '|':
		return 8
	case '$', '§':
		return 18
	case '+':
		return 19
	}
	return noSymbol
}

func symbolsOf(s string) (out []byte) {
	for _, r := range s {
		if b := symbol(r); b != noSymbol {
			out = append(out, b)
		}
	}
	return out
}

// variant is one order in which the symbols of a secret may come out.
type variant struct {
	secret int
	at     []int16   // position in the secret of each symbol
	sum    []float32 // bits of the symbols before each
	extra  float32   // bits that a run must say more
}

// place is where a match ends in a variant.
type place struct {
	variant int32
	pos     int32 // of its last symbol
}

// automaton accepts every factor (run of symbols) of every variant: the
// suffix automaton of Blumer et al. (1985), for several words.
type automaton struct {
	next [][symbols]int32 // 0: none; state 0 is the start, and nothing leads to it
	link []int32
	size []int32
	end  []place
	vars []variant
}

func newAutomaton() *automaton {
	return &automaton{next: make([][symbols]int32, 1), link: []int32{-1}, size: []int32{0}, end: []place{{}}}
}

func (a *automaton) state(size int32, end place) int32 {
	a.next = append(a.next, [symbols]int32{})
	a.link = append(a.link, 0)
	a.size = append(a.size, size)
	a.end = append(a.end, end)
	return int32(len(a.size) - 1)
}

// add puts one word in.
func (a *automaton) add(v variant, word []byte) {
	a.vars = append(a.vars, v)
	last := int32(0)
	for i, c := range word {
		last = a.extend(last, c, place{int32(len(a.vars) - 1), int32(i)})
	}
}

func (a *automaton) extend(last int32, c byte, end place) int32 {
	if q := a.next[last][c]; q != 0 { // already there, from another word
		if a.size[last]+1 == a.size[q] {
			return q
		}
		return a.split(last, q, c)
	}
	cur := a.state(a.size[last]+1, end)
	p := last
	for p >= 0 && a.next[p][c] == 0 {
		a.next[p][c] = cur
		p = a.link[p]
	}
	if p < 0 {
		return cur
	}
	q := a.next[p][c]
	if a.size[p]+1 == a.size[q] {
		a.link[cur] = q
	} else {
		a.link[cur] = a.split(p, q, c)
	}
	return cur
}

func (a *automaton) split(p, q int32, c byte) int32 {
	clone := a.state(a.size[p]+1, a.end[q])
	a.next[clone] = a.next[q]
	a.link[clone] = a.link[q]
	for p >= 0 && a.next[p][c] == q {
		a.next[p][c] = clone
		p = a.link[p]
	}
	a.link[q] = clone
	return clone
}

// cursor reads symbols: the longest factor that ends with the last of them.
type cursor struct{ state, length int32 }

func (a *automaton) step(c cursor, sym byte) cursor {
	for c.state != 0 && a.next[c.state][sym] == 0 {
		c.state = a.link[c.state]
		c.length = a.size[c.state]
	}
	if n := a.next[c.state][sym]; n != 0 {
		return cursor{n, c.length + 1}
	}
	return cursor{}
}

// needle is one secret.
type needle struct {
	text, back []byte // symbols, and the other way round
	bits       []float32
	canary     bool
	need       int // positions that must not come out together
	distinct   int // different symbols
}

// common pairs of letters in English and its neighbours: what follows one of
// them by chance says little.
const common = "thheinerannrondatesedtooritareasensthaleveteteticharseouisngrofalsitnecomerillanoderarhodisalinulroamiolmanichlavitotelmirieraccepelossnstrhoswhutamurayaidchbeponafougherpllfowostoonbuldssomepsdetsigaiutctetctavkeowseissaiirntsueryerflytydayearemgesunprtwofutrrhitie"

var pairs = func() (p [26][26]bool) {
	for i := 0; i+1 < len(common); i++ {
		p[common[i]-'a'][common[i+1]-'a'] = true
	}
	return p
}()

// weigh returns how many bits each symbol says: what one expects after the
// letter before it says little.
func weigh(text []byte) []float32 {
	out := make([]float32, len(text))
	for i, c := range text {
		switch {
		case c >= 26:
			out[i] = 3.3
			if i > 0 && text[i-1] < 26 || i+1 < len(text) && text[i+1] < 26 {
				out[i] = 4.5 // a digit among letters
			}
		case i > 0 && text[i-1] < 26 && pairs[text[i-1]][c]:
			out[i] = 2.2
		default:
			out[i] = 4.5
		}
	}
	return out
}

// leastChance is below every chance.
const leastChance = 11

// chance is how many bits a run must say that comes in a text of so many
// symbols: below, one must expect it in ordinary text.
func chance(symbolsSeen, needles int) float32 {
	return float32(math.Log2(float64(max(symbolsSeen, 4))*float64(needles))) + 9
}
