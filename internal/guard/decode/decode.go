// Package decode reads a text in the ways that hide an order from a filter and
// not from a model: invisible characters, look-alike letters, base64, hex,
// percent and HTML escapes, ROT13 and other shifts, reversed and spaced-out
// letters, digits for letters, nested up to a bound. It judges nothing; it only
// says which readings a text has.
package decode

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the work for one text.
const (
	MaxDepth = 3       // how often a decoded text is decoded again
	MaxViews = 8       // readings per text, the plain one included
	MaxBytes = 1 << 20 // of all readings together; longer texts are read plainly only
	minBlob  = 12      // shortest run that is tried as an encoding, in bytes
)

// View is one reading.
type View struct {
	Text string
	How  []string // the decodings, in the order they were applied
}

// Likeness tells how much a text looks like a natural language: the mean
// logarithm of its letters' probability given the two before. Nil turns the
// decodings off that need it.
type Likeness func(text string) float64

// Views returns the plain reading (what a person sees, look-alike letters
// folded) and then what can be decoded from it. It never returns none.
func Views(text string, like Likeness) ([]View, Hidden) {
	seen, hidden := Reveal(strings.ToValidUTF8(text, "\uFFFD"))
	folded, n := Fold(seen)
	hidden.Homoglyphs = n
	views := []View{{Text: folded}}
	if n > 0 {
		views[0].How = []string{"homoglyph"}
	}
	if hidden.Total() > 0 {
		views[0].How = append(views[0].How, "invisible")
	}
	left := MaxBytes - len(folded)
	known := map[string]bool{folded: true}
	add := func(from View, how, decoded string) {
		decoded, _ = Fold(decoded)
		if len(views) >= MaxViews || len(decoded) > left || known[decoded] {
			return
		}
		known[decoded] = true
		left -= len(decoded)
		views = append(views, View{decoded, append(append([]string(nil), from.How...), how)})
	}
	if hidden.Smuggled != "" {
		add(views[0], "smuggled", hidden.Smuggled)
	}
	depth := map[int]int{0: 0}
	for i := 0; i < len(views); i++ {
		if depth[i] >= MaxDepth || left <= 0 {
			continue
		}
		before := len(views)
		embedded(views[i], add)
		if like != nil {
			whole(views[i], like, add)
		}
		for j := before; j < len(views); j++ {
			depth[j] = depth[i] + 1
		}
	}
	return views, hidden
}

// margin is how much more like a language a reading must look, in nats per
// letter. English is about 2.3 above its own reverse or rotation.
const margin = 0.35

// whole tries the codes that change every letter of the text.
func whole(v View, like Likeness, add func(View, string, string)) {
	sample := v.Text
	if len(sample) > 4096 {
		sample = cut(sample, 4096)
	}
	letters := 0
	for i := 0; i < len(sample); i++ {
		if c := sample[i] | 0x20; c >= 'a' && c <= 'z' {
			letters++
		}
	}
	if letters < 8 {
		return
	}
	if t, ok := joinSpaced(v.Text); ok {
		add(v, "spaced", t)
	}
	if t, ok := Unleet(v.Text, like); ok {
		add(v, "leetspeak", t)
	}
	base := like(sample)
	if base > -2.45 && len(sample) > 200 || base > -2.3 && letters > 60 {
		return // plainly a language
	}
	best, shift := base+margin, 0
	usual := shifts(sample)
	for k := 1; k < 26; k++ {
		if !usual[k] {
			continue
		}
		if s := like(rotate(cut(sample, 600), k)); s > best {
			best, shift = s, k
		}
	}
	if shift != 0 {
		how := "caesar"
		if shift == 13 {
			how = "rot13"
		}
		add(v, how, rotate(v.Text, shift))
	}
	if like(reverse(sample)) > base+margin {
		add(v, "reversed", reverse(v.Text))
	}
	if w := perWord(sample); like(w) > base+margin {
		add(v, "reversed-words", perWord(v.Text))
	}
	if like(atbash(sample)) > base+margin {
		add(v, "atbash", atbash(v.Text))
	}
	if shift == 0 { // both at once
		r := reverse(cut(sample, 600))
		for k := 1; k < 26; k++ {
			if usual[k] && like(rotate(r, k)) > base+2*margin {
				add(v, "reversed-caesar", rotate(reverse(v.Text), k))
				break
			}
		}
	}
}

// frequency of English letters, a to z, as -100 ln p.
var frequency = [26]int{250, 422, 361, 316, 207, 380, 389, 282, 263, 650, 487, 321, 373, 268, 259, 391, 691, 282, 276, 239, 358, 464, 375, 650, 393, 713}

// shifts tells which rotations have letters that are more usual than those of the
// text itself: a cheap test before each is read. Texts of few letters have none that
// are usual, so all of theirs are read.
func shifts(s string) (usual [26]bool) {
	var count [26]int
	n := 0
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; c >= 'a' && c <= 'z' {
			count[c-'a']++
			n++
		}
	}
	cost := func(k int) (sum int) {
		for c, x := range count {
			sum += x * frequency[(c+k)%26]
		}
		return sum
	}
	own := cost(0) + 10*n // a tenth of a nat for each letter
	for k := 1; k < 26; k++ {
		usual[k] = n < 40 || cost(k) < own
	}
	return usual
}

// cut shortens to at most n bytes, at a character's border.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func rotate(s string, k int) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z':
			b[i] = 'a' + (c-'a'+byte(k))%26
		case c >= 'A' && c <= 'Z':
			b[i] = 'A' + (c-'A'+byte(k))%26
		}
	}
	return string(b)
}

func atbash(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z':
			b[i] = 'z' - (c - 'a')
		case c >= 'A' && c <= 'Z':
			b[i] = 'Z' - (c - 'A')
		}
	}
	return string(b)
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

// perWord reverses the letters of each word and leaves the order of words.
func perWord(s string) string {
	r := []rune(s)
	for i := 0; i < len(r); {
		if unicode.IsSpace(r[i]) {
			i++
			continue
		}
		j := i
		for j < len(r) && !unicode.IsSpace(r[j]) {
			j++
		}
		for a, b := i, j-1; a < b; a, b = a+1, b-1 {
			r[a], r[b] = r[b], r[a]
		}
		i = j
	}
	return string(r)
}

// joinSpaced undoes "i g n o r e   a l l", "i-g-n-o-r-e" and "i.g.n.o.r.e".
func joinSpaced(s string) (string, bool) {
	if !spacedOut(s) {
		return s, false
	}
	return joined(s)
}

// joined is joinSpaced without the test before it.
func joined(s string) (string, bool) {
	var b strings.Builder
	r := []rune(s)
	all := 0
	for i := 0; i < len(r); {
		j := i // a run of single letters with one separator in between
		for j+2 < len(r) && unicode.IsLetter(r[j]) && spacer(r[j+1]) && unicode.IsLetter(r[j+2]) &&
			(j+3 >= len(r) || !unicode.IsLetter(r[j+3])) && r[j+1] == r[i+1] {
			j += 2
		}
		if n := (j - i) / 2; n >= 2 && (i == 0 || !unicode.IsLetter(r[i-1])) {
			for k := i; k <= j; k += 2 {
				b.WriteRune(r[k])
			}
			all += n + 1
			i = j + 1
			continue
		}
		b.WriteRune(r[i])
		i++
	}
	return b.String(), all >= 6
}

// spacedOut is a cheap necessary test: three letters that stand alone, with the same
// separator in between.
func spacedOut(s string) bool {
	if !ascii(s) {
		return true // looked at with care
	}
	letter := func(i int) bool { return i >= 0 && i < len(s) && (s[i]|0x20) >= 'a' && (s[i]|0x20) <= 'z' }
	for i := 3; i+1 < len(s); i++ {
		if s[i] == s[i-2] && spacer(rune(s[i])) && letter(i-1) && letter(i-3) && letter(i+1) && !letter(i-4) && !letter(i+2) {
			return true
		}
	}
	return false
}

func spacer(r rune) bool { return r == ' ' || r == '-' || r == '.' || r == '_' || r == '*' || r == '|' }
