package secret

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
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

// ascii are the symbols of ASCII.
var ascii = func() (to [0x80]byte) {
	for i := range to {
		switch c := byte(i); {
		case c >= 'a' && c <= 'z':
			to[i] = c - 'a'
		case c >= 'A' && c <= 'Z':
			to[i] = c - 'A'
		case c >= '0' && c <= '9':
			to[i] = c - '0' + 26
		default:
			to[i] = noSymbol
		}
	}
	return to
}()

func symbol(r rune) byte {
	if uint32(r) < uint32(len(ascii)) {
		return ascii[r]
	}
	return otherSymbol(r)
}

func otherSymbol(r rune) byte {
	r = decode.Letter(r)
	if r < 0x80 {
		if r == 0 {
			return noSymbol
		}
		return ascii[r&0x7f]
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
	next [][symbols]int32 // 0: none; below 0: see seal; state 0 is the start, and nothing leads to it
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
	switch n := a.next[c.state][sym]; {
	case n > 0:
		return cursor{n, c.length + 1}
	case n < 0:
		return unpacked(n)
	}
	return cursor{}
}

// seal writes down where a symbol leads from a state that it does not follow: to the
// longest shorter run that it does follow. Nothing can be added any more.
func (a *automaton) seal() {
	order := make([]int32, len(a.size))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(x, y int32) int { return cmp.Compare(a.size[x], a.size[y]) }) // links lead to shorter ones
	for _, state := range order[1:] {
		shorter := a.link[state]
		for sym, n := range a.next[shorter] {
			if n > 0 {
				n = cursor{n, a.size[shorter] + 1}.packed()
			}
			if a.next[state][sym] == 0 {
				a.next[state][sym] = n
			}
		}
	}
}

// A cursor that a symbol leads back to, as a number below 0. A run is at most
// maxSymbol long, and there are fewer states than the rest has numbers for: secrets
// are at most maxKnown, in some 30 orders each.
const lengthBits = 9

func (c cursor) packed() int32 { return ^(c.state<<lengthBits | c.length) }

func unpacked(n int32) cursor { return cursor{^n >> lengthBits, ^n & (1<<lengthBits - 1)} }

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

// leastChanceIn is at most chance, and costs less.
func leastChanceIn(symbolsSeen, needles int) float32 {
	return float32(bits.Len64(uint64(max(symbolsSeen, 4))*uint64(needles))) + 8
}

// chance is how many bits a run must say that comes in a text of so many
// symbols: below, one must expect it in ordinary text.
func chance(symbolsSeen, needles int) float32 {
	return float32(math.Log2(float64(max(symbolsSeen, 4))*float64(needles))) + 9
}
