package secret

import (
	"strings"

	"bartizan/content"
)

const gramBits = 4 // four letters in a row that no word has: one in 16 has been seen

// grams are the runs of four letters that words have, shorts the words of up to four.
var grams, shorts = func() (g, s []byte) {
	b := content.WordGrams()
	return b[:len(b)/2], b[len(b)/2:]
}()

const gramCube = 27 * 27 * 27

func has(set []byte, i int) bool { return set[i>>3]>>(i&7)&1 != 0 }

// units that are written behind a number without a blank.
var units = func() map[string]bool {
	m := map[string]bool{}
	for _, u := range strings.Fields("st nd rd th s am pm AM PM k K m M h d ms kg km cm mm ml g lb lbs px x KB MB GB TB KiB MiB GiB TiB kB Hz kHz MHz GHz V W kW kWh A mA B b bit min sec") {
		m[u] = true
	}
	return m
}()

// oddness is how many bits letters and digits say that are no word and no name
// made of words: 0 for those.
func oddness(tok []byte) (bits float32) {
	pieces, numbers, short := 0, 0, 0
	for i := 0; i < len(tok); pieces++ {
		j := i + 1
		switch c := tok[i]; {
		case c <= '9':
			for j < len(tok) && tok[j] <= '9' {
				j++
			}
			if numbers++; numbers > 1 {
				bits += digitBits * float32(j-i)
			} else {
				bits += 1 + 2*float32(max(0, j-i-2))
			}
			i = j
			continue
		case c >= 'a':
			for j < len(tok) && tok[j] >= 'a' {
				j++
			}
		default: // a capital: with small letters behind it, or others
			for j < len(tok) && tok[j] >= 'A' && tok[j] <= 'Z' {
				j++
			}
			switch {
			case j == len(tok)-1 && tok[j] == 's': // URLs
				j++
			case j > i+1 && j < len(tok) && tok[j] >= 'a': // the last one begins the next
				j--
			case j == i+1:
				for j < len(tok) && tok[j] >= 'a' {
					j++
				}
			}
		}
		b := strange(tok[i:j])
		if j-i < 3 && len(tok) > 3 { // words are not made of such short ones
			short++
			b = max(b, 3)
		}
		bits += b
		i = j
	}
	if short == 1 && pieces < 4 && len(tok) > 3 { // userID, ipv4
		bits = max(0, bits-3)
	}
	return bits
}

// strange is how many bits letters say that are no word.
func strange(w []byte) (bits float32) {
	if len(w) == 1 {
		return letterBits
	}
	if len(w) <= 4 {
		idx := 0
		for i := range 4 {
			idx *= 27
			if i < len(w) {
				idx += int(w[i] & 0x1f)
			}
		}
		if idx < len(shorts)*8 && has(shorts, idx) {
			return 0
		}
		bits = gramBits
		if len(w) == 2 {
			return 2 * gramBits
		}
	}
	roll := 0 // of the last four; borders are 0
	for i := 0; i <= len(w); i++ {
		v := 0
		if i < len(w) {
			v = int(w[i]&0x1f) % 27
		}
		roll = roll%gramCube*27 + v
		if i >= 2 && !has(grams, roll) {
			bits += gramBits
		}
	}
	return min(bits, letterBits*float32(len(w)))
}

// begins says whether a word can begin with these letters and digits.
func begins(tok []byte) bool {
	roll, n := 0, 0
	for i, c := range tok {
		if c < 'A' || c < 'a' && i > 0 && tok[i-1] >= 'a' {
			return false
		}
		roll = roll%gramCube*27 + int(c&0x1f)%27
		if n++; n >= 3 && !has(grams, roll) {
			return false
		}
	}
	return true
}
