package decode

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Hidden counts the characters of a text that a reader does not see.
type Hidden struct {
	ZeroWidth  int // joiners, non-joiners, word joiners, soft hyphens, byte order marks
	Bidi       int // direction overrides, embeddings, isolates
	Tags       int // U+E0000 to U+E007F
	Selectors  int // variation selectors that do not follow an emoji or a CJK character
	Homoglyphs int // letters of another script inside a Latin word
	Smuggled   string
}

// Total of the characters that nobody sees.
func (h Hidden) Total() int { return h.ZeroWidth + h.Bidi + h.Tags + h.Selectors }

func zeroWidth(r rune) bool {
	return r >= 0x200b && r <= 0x200f || r >= 0x2060 && r <= 0x2064 || r == 0xfeff || r == 0xad || r == 0x180e || r == 0x34f || r == 0x61c
}

func bidi(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

func tag(r rune) bool { return r >= 0xe0000 && r <= 0xe007f }

// selector returns the byte that a variation selector stands for in the
// encoding that hides bytes behind an emoji (VS1 to VS256).
func selector(r rune) (byte, bool) {
	switch {
	case r >= 0xfe00 && r <= 0xfe0f:
		return byte(r - 0xfe00), true
	case r >= 0xe0100 && r <= 0xe01ef:
		return byte(r - 0xe0100 + 16), true
	}
	return 0, false
}

// Reveal removes what a reader does not see and reports it; text written with
// tag characters or variation selectors is returned in Smuggled.
func Reveal(s string) (string, Hidden) {
	var h Hidden
	if ascii(s) {
		return s, h
	}
	var out, tags strings.Builder
	var hidden []byte
	out.Grow(len(s))
	emoji := false // the last visible character may carry one selector
	run := 0
	for _, r := range s {
		if b, ok := selector(r); ok {
			run++
			hidden = append(hidden, b)
			if run > 1 || !emoji {
				h.Selectors++
			}
			continue
		}
		switch {
		case tag(r):
			h.Tags++
			if r >= 0xe0020 && r < 0xe007f {
				tags.WriteRune(r - 0xe0000)
			}
		case zeroWidth(r):
			if r != 0xfeff || out.Len() > 0 { // a byte order mark at the start is no secret
				h.ZeroWidth++
			}
		case bidi(r):
			h.Bidi++
		default:
			emoji, run = r > 0x2000, 0
			out.WriteRune(r)
		}
	}
	h.Smuggled = tags.String()
	if h.Selectors > 3 && utf8.Valid(hidden) && printable(string(hidden)) {
		h.Smuggled += string(hidden)
	}
	return out.String(), h
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Fold gives letters that look like ASCII letters their ASCII form: full-width
// and mathematical letters, accents, small capitals; letters of Cyrillic, Greek
// and other scripts only in a text that is Latin for the most part, because in
// a Russian text they are what they look like. n counts the latter.
func Fold(s string) (folded string, n int) {
	if ascii(s) {
		return s, 0
	}
	latin, other, lookalike := 0, 0, 0
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && unicode.IsLetter(r):
			latin++
		case twins[r] != 0:
			lookalike++
		case unicode.IsLetter(r) && compat(r) == 0:
			other++
		}
	}
	foldTwins := lookalike > 0 && latin+lookalike > 4*other && 3*latin > lookalike
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteByte(byte(r))
			continue
		}
		if r >= 0x300 && r <= 0x36f {
			continue // combining marks
		}
		if c := compat(r); c != 0 {
			b.WriteRune(c)
			continue
		}
		if t := twins[r]; t != 0 && foldTwins {
			n++
			b.WriteByte(t)
			continue
		}
		b.WriteRune(r)
	}
	return b.String(), n
}

// compat is the part of Unicode's compatibility mapping that attacks use.
func compat(r rune) rune {
	switch {
	case r == 0x3000 || r == 0xa0 || r == 0x202f || r >= 0x2000 && r <= 0x200a:
		return ' '
	case r >= 0xff01 && r <= 0xff5e:
		return r - 0xfee0
	case r >= 0x1d400 && r <= 0x1d6a3:
		if k := (r - 0x1d400) % 52; k < 26 {
			return 'A' + k
		} else {
			return 'a' + k - 26
		}
	case r >= 0x1d7ce && r <= 0x1d7ff:
		return '0' + (r-0x1d7ce)%10
	case r >= 0x24b6 && r <= 0x24cf:
		return 'A' + r - 0x24b6
	case r >= 0x24d0 && r <= 0x24e9:
		return 'a' + r - 0x24d0
	case r >= 0x1f130 && r <= 0x1f149:
		return 'A' + r - 0x1f130
	case r >= 0x1f170 && r <= 0x1f189:
		return 'A' + r - 0x1f170
	case r == 0x2018 || r == 0x2019 || r == 0x201b || r == 0x2032:
		return '\''
	case r == 0x201c || r == 0x201d || r == 0x2033:
		return '"'
	case r == 0x2013 || r == 0x2014 || r == 0x2212:
		return '-'
	}
	return accents[r]
}

// Letter gives one character its plain form whatever stands around it: for
// comparisons with what is known, where a mistake costs nothing. 0 for what a
// reader does not see.
func Letter(r rune) rune {
	if _, ok := selector(r); ok || zeroWidth(r) || bidi(r) || r >= 0x300 && r <= 0x36f || r == 0x20e3 {
		return 0
	}
	switch {
	case r >= 0xe0020 && r < 0xe007f: // tags
		return r - 0xe0000
	case r >= 0x1f1e6 && r <= 0x1f1ff: // flags
		return 'a' + r - 0x1f1e6
	case r >= 0x249c && r <= 0x24b5: // in brackets
		return 'a' + r - 0x249c
	case r >= 0x1f110 && r <= 0x1f129:
		return 'a' + r - 0x1f110
	case r >= 0x1f150 && r <= 0x1f169:
		return 'a' + r - 0x1f150
	case r >= 0x2460 && r <= 0x2468: // digits in circles, brackets, with a stop
		return '1' + r - 0x2460
	case r >= 0x2474 && r <= 0x247c:
		return '1' + r - 0x2474
	case r >= 0x2488 && r <= 0x2490:
		return '1' + r - 0x2488
	case r >= 0x2776 && r <= 0x277e:
		return '1' + r - 0x2776
	case r == 0x24ea || r == 0x24ff:
		return '0'
	case r >= 0x2080 && r <= 0x2089:
		return '0' + r - 0x2080
	case r >= 0x2074 && r <= 0x2079:
		return '0' + r - 0x2070
	case r >= 0x660 && r <= 0x669:
		return '0' + r - 0x660
	case r >= 0x6f0 && r <= 0x6f9:
		return '0' + r - 0x6f0
	case r >= 0x966 && r <= 0x96f:
		return '0' + r - 0x966
	}
	if c := compat(r); c != 0 {
		return c
	}
	if t := twins[r]; t != 0 {
		return rune(t)
	}
	if t := shapes[r]; t != 0 {
		return t
	}
	return r
}

// shapes are letters that are turned, raised, lowered or written with dots (Braille).
var shapes = func() map[rune]rune {
	m := pairs("ɐqɔpǝɟƃɓɥᴉıɾʞןꞁɯuodbɹsʇnʌʍxʎz∀ᗺƆᗡƎℲ⅁HIſʞ˥WNOԀὉᴚS⊥∩ΛMX⅄Z0ƖᄅƐㄣϛ9ㄥ86ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ⁰¹²³ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓßøæœþ",
		"abcdefgghiijkllmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnoprstuvwxyz0123aehijklmnoprstuvxsoaop")
	for r := range m {
		if r < 0x80 {
			delete(m, r)
		}
	}
	for i, r := range "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵" {
		m[r] = rune('a' + i/3)
	}
	return m
}()

// pairs builds a table from "from" and "to" of equal length in characters.
func pairs(from, to string) map[rune]rune {
	m := map[rune]rune{}
	t := []rune(to)
	for i, r := range []rune(from) {
		m[r] = t[i]
	}
	return m
}

var accents = pairs(
	"àáâãäåāăąçćčďđèéêëēėęěğģìíîïīįıķĺļľłñńņňòóôõöøōőŕřśşšșťţțùúûüūůűųŵýÿŷźżžÀÁÂÃÄÅÇČÈÉÊËÌÍÎÏÑÒÓÔÕÖØŠÙÚÛÜÝŽᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
	"aaaaaaaaacccddeeeeeeeeggiiiiiiikllllnnnnoooooooorrsssstttuuuuuuuuwyyyzzzAAAAAACCEEEEIIIINOOOOOOSUUUUYZabcdefghijklmnoprstuvwyz")

// twins are letters of other scripts that look like an ASCII letter, from
// Unicode's list of confusables (UTS 39).
var twins = func() map[rune]byte {
	m := map[rune]byte{}
	for r, to := range pairs(
		"абвгдеёзіїјкмнопрѕстухһԁԛԝѵӏІЇЈАВЕЅЗКМНОРСТУХҺԌԚԜѴӀЬиюяѡԍӕ", "abbrdeeziijkmhonpsctyxhdqwvlIIJABESZKMHOPCTYXHGQWVIbnorwga") {
		m[r] = byte(to)
	}
	for r, to := range pairs("αβγεζηικνορτυχωϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "abyeznikvoptuxwcjABEZHIKMNOPTYXC") {
		m[r] = byte(to)
	}
	for r, to := range pairs("ɑɡɩɪıʋոսօհցԁƽꓐꓓꓖꓡꓢꓣᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏚᎢᏙᏃ", "agiiivnuohgdsBDGLSRABCDEHJKLMPSTVZ") {
		m[r] = byte(to)
	}
	return m
}()
