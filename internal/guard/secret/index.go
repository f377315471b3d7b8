package secret

import (
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"

	"bartizan/internal/guard"
)

// index is everything that is marked, prepared for search. It does not change.
type index struct {
	needles []needle
	abs     *automaton // symbols, leetspeak folded
	delta   *automaton // letters by their distance from the letter before: the same after any shift of the alphabet
	begins1 []bool     // by state of abs: it is the first symbol of a secret
	begins2 []bool     // … the first two
	size    int        // symbols
	parts   wordSet    // words of secrets
	prompt  prompt
	most    float32 // bits that nothing explains; 0: any
	share   float32 // Config.Unexplained

	scans  sync.Pool // that have read their text
	spares sync.Pool // see recall
}

const maxTransposed = 64 // symbols of a secret that is also looked for in other orders

var (
	errShort = errors.New("has fewer than 8 letters and digits: it would be found everywhere")
	errLong  = errors.New("has more than 256 letters and digits: mark a part of it")
)

// add prepares one secret.
func (ix *index) add(s string, canary bool, share float64) error {
	text := symbolsOf(s)
	if len(text) < minKnown {
		return errShort
	}
	if len(text) > maxSymbol {
		return errLong
	}
	n := needle{text: text, bits: weigh(text), canary: canary, need: int(math.Ceil(share * float64(len(text))))}
	n.back = slices.Clone(text)
	slices.Reverse(n.back)
	n.distinct = len(distinct(text))
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return symbol(r) == noSymbol }) {
		if p := symbolsOf(w); len(p) >= 3 {
			ix.parts.add(p)
		}
	}
	id := len(ix.needles)
	ix.needles = append(ix.needles, n)
	ix.size += 2 * len(text)
	forward := order(len(text))
	back := slices.Clone(forward)
	slices.Reverse(back)
	for _, at := range [][]int16{forward, back} {
		ix.put(ix.abs, id, at, 0)
		ix.put(ix.delta, id, at, 0)
		ix.turned(id, at)
	}
	if len(text) <= maxTransposed && len(ix.needles) <= 32 {
		ix.transposed(id, s)
	}
	return nil
}

func distinct(text []byte) map[byte]int {
	m := map[byte]int{}
	for _, c := range text {
		m[c]++
	}
	return m
}

func order(n int) []int16 {
	out := make([]int16, n)
	for i := range out {
		out[i] = int16(i)
	}
	return out
}

// put adds one order of a secret's symbols.
func (ix *index) put(a *automaton, id int, at []int16, extra float32) {
	n := &ix.needles[id]
	v := variant{secret: id, at: at, extra: extra, sum: make([]float32, len(at)+1)}
	word := make([]byte, len(at))
	var letter byte = noSymbol
	for i, p := range at {
		c := n.text[p]
		v.sum[i+1] = v.sum[i] + n.bits[p]
		switch {
		case a == ix.abs:
			word[i] = leet[c]
		case c >= 26:
			word[i] = c
		case letter == noSymbol:
			word[i], letter = symbols-1, c // whatever stands before it
		default:
			word[i], letter = (c+26-letter)%26, c
		}
	}
	a.add(v, word)
}

// turned adds the secret with the alphabet turned round (atbash), in any shift.
func (ix *index) turned(id int, at []int16) {
	n := &ix.needles[id]
	text := slices.Clone(n.text)
	for i, c := range text {
		if c < 26 {
			text[i] = 25 - c
		}
	}
	n.text, text = text, n.text
	ix.put(ix.delta, id, at, 0)
	n.text = text
}

// transposed adds the orders in which a text comes out of the simple
// transpositions: rails, columns, swapped pairs. They are of the text as it is
// written, with its separators, and as it is squeezed.
func (ix *index) transposed(id int, s string) {
	var places []int16 // of each character in the squeezed text, -1 for separators
	k := int16(0)
	for _, r := range s {
		if symbol(r) == noSymbol {
			places = append(places, -1)
			continue
		}
		places = append(places, k)
		k++
	}
	seen := map[string]bool{}
	for _, in := range [][]int16{places, order(int(k))} {
		for _, out := range transpositions(in) {
			at := slices.DeleteFunc(out, func(p int16) bool { return p < 0 })
			back := slices.Clone(at)
			slices.Reverse(back)
			for _, at := range [][]int16{at, back} {
				key := string(runesOf(at))
				if !seen[key] {
					seen[key] = true
					ix.put(ix.abs, id, at, 5)
				}
			}
		}
	}
}

func runesOf(at []int16) []rune {
	out := make([]rune, len(at))
	for i, p := range at {
		out[i] = rune(p)
	}
	return out
}

func transpositions(in []int16) (out [][]int16) {
	n := len(in)
	for rails := 2; rails <= 5; rails++ {
		rows := make([][]int16, rails)
		for i, p := range in {
			r := i % (2*rails - 2)
			if r >= rails {
				r = 2*rails - 2 - r
			}
			rows[r] = append(rows[r], p)
		}
		out = append(out, slices.Concat(rows...))
	}
	for columns := 2; columns <= 6; columns++ {
		rows := make([][]int16, columns)
		for i, p := range in {
			rows[i%columns] = append(rows[i%columns], p)
		}
		out = append(out, slices.Concat(rows...))
	}
	swapped := slices.Clone(in)
	for i := 0; i+1 < n; i += 2 {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	out = append(out, swapped)
	ends := make([]int16, 0, n) // from both ends to the middle
	for i, j := 0, n-1; i <= j; i, j = i+1, j-1 {
		ends = append(ends, in[i])
		if i != j {
			ends = append(ends, in[j])
		}
	}
	return append(out, ends)
}

// seal finishes the index.
func (ix *index) seal() {
	ix.begins1, ix.begins2 = make([]bool, len(ix.abs.size)), make([]bool, len(ix.abs.size))
	for _, n := range ix.needles {
		for _, text := range [][]byte{n.text, n.back} {
			one := ix.abs.next[0][leet[text[0]]]
			two := ix.abs.next[one][leet[text[1]]]
			ix.begins1[one], ix.begins2[two] = true, true
		}
	}
	ix.abs.seal()
	ix.delta.seal()
}

// unexplained sets what nothing explains may be at most: a share of the known secret
// that is worth least, within bounds. Canaries do not count: that they come out is
// known at once.
func (ix *index) unexplained(share float64) {
	ix.share = float32(share)
	ix.most = ix.least(guard.Kept{})
}

// least is that of the secrets which are not kept.
func (ix *index) least(k guard.Kept) (most float32) {
	for i := range ix.needles {
		if n := &ix.needles[i]; !n.canary && ix.share > 0 && !k.Has(i) {
			if m := min(maxUnexplained, max(minUnexplained, ix.share*n.worth())); most == 0 || m < most {
				most = m
			}
		}
	}
	return most
}

// Bounds of it in bits: one word of a code, and four.
const minUnexplained, maxUnexplained = 30, 120

// worth is how many bits a secret has at most.
func (n *needle) worth() (bits float32) {
	for _, c := range n.text {
		if c >= 26 && c < 36 {
			bits += digitBits
			continue
		}
		bits += letterBits
	}
	return bits
}

const knownSecret = "a known secret"

func (n *needle) name() string {
	if n.canary {
		return "a canary"
	}
	return knownSecret
}

// prompt is a system prompt as words.
type prompt struct {
	seed     maphash.Seed
	n        int // words of a passage
	words    []uint64
	all      wordSet
	pairs    map[[2]uint64]bool
	passages map[uint64]bool
	maybe    [64]uint64 // a bit for each pair, by its hash
}

func (p *prompt) add(s string, n int) {
	p.seed, p.n, p.pairs, p.passages = maphash.MakeSeed(), n, map[[2]uint64]bool{}, map[uint64]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if b := symbolsOf(w); len(b) > 0 {
			b = b[:min(len(b), maxToken)]
			p.all.add(b)
			p.words = append(p.words, maphash.Bytes(p.seed, b))
		}
	}
	for i := range p.words {
		if i > 0 {
			p.pairs[[2]uint64{p.words[i-1], p.words[i]}] = true
			at, bit := pairBit(p.words[i-1], p.words[i])
			p.maybe[at] |= bit
		}
		if i+n <= len(p.words) {
			p.passages[mix(p.words[i:i+n])] = true
		}
	}
}

// follows says whether two words stand behind each other in the prompt.
func (p *prompt) follows(first, second uint64) bool {
	at, bit := pairBit(first, second)
	return p.maybe[at]&bit != 0 && p.pairs[[2]uint64{first, second}]
}

func pairBit(first, second uint64) (at int, bit uint64) {
	h := first*0x9e3779b97f4a7c15 ^ second
	return int(h >> 58), 1 << (h >> 52 & 63)
}

func mix(words []uint64) (h uint64) {
	for _, w := range words {
		h = (h ^ w) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}
