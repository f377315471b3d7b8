package secret

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// names of letters and digits: the alphabets of the ICAO and of radio amateurs,
// letters as English spells them, digits in some languages.
var names = func() map[string]byte {
	m := map[string]byte{}
	for i, w := range strings.Fields("alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu") {
		m[w] = byte(i)
	}
	for i, w := range strings.Fields("able baker charlie dog easy fox george how item jig king love mike nan oboe peter queen roger sugar tare uncle victor william xray yoke zebra") {
		m[w] = byte(i)
	}
	for i, w := range strings.Fields("adam boy charles david edward frank george henry ida john king lincoln mary nora ocean paul queen robert sam tom union victor william xray young zebra") {
		m[w] = byte(i)
	}
	for i, w := range strings.Fields("ay bee cee dee ee ef gee aitch eye jay kay el em en oh pee cue ar ess tee you vee doubleu ex wye zee") {
		m[w] = byte(i)
	}
	for w, c := range map[string]byte{"alfa": 0, "juliett": 9, "whisky": 22, "zed": 25, "oscars": 14, "xerox": 23, "dubya": 22, "kew": 16, "nought": 26, "niner": 35, "fower": 30, "fife": 31, "tree": 29} {
		m[w] = c
	}
	for _, list := range []string{"zero one two three four five six seven eight nine", "cero uno dos tres cuatro cinco seis siete ocho nueve",
		"zero un deux trois quatre cinq six sept huit neuf", "null eins zwei drei vier fünf sechs sieben acht neun", "zero uno due tre quattro cinque sei sette otto nove",
		"zero um dois três quatro cinco seis sete oito nove", "nul een twee drie vier vijf zes zeven acht negen"} {
		for i, w := range strings.Fields(list) {
			m[strings.NewReplacer("ü", "u", "ê", "e").Replace(w)] = 26 + byte(i)
		}
	}
	return m
}()

// lower is the word as ASCII in buf; characters that are not are left out.
func lower(buf *[maxToken]byte, raw []byte) []byte {
	n := 0
	for _, c := range raw {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != 0 {
			buf[n] = c
			n++
		}
	}
	return buf[:n]
}

func named(low []byte) (byte, bool) {
	if len(low) < 2 || len(low) > 9 || !listed(low) {
		return 0, false
	}
	c, ok := names[string(low)]
	return c, ok
}

// value reads digits of a base; -1 when they are none.
func value(text []byte, base int) int {
	if len(text) == 0 || len(text) > 8 {
		return -1
	}
	v := 0
	for _, c := range text {
		d := value16(c)
		if d < 0 || d >= base {
			return -1
		}
		v = v*base + d
	}
	return v
}

// number reads a word as a character's code or as its place in the alphabet.
func (n *node) number(s *scan, low []byte, at int) {
	if len(low) > 10 {
		n.greedy(s, low, at)
		return
	}
	char := func(t *rare, v int) {
		if v >= 32 && v < 127 {
			t.char(s, n, byte(v), at)
		}
	}
	if v := value(low, 10); v >= 0 {
		char(&n.codes[0], v)
		if v >= 1 && v <= 26 {
			n.codes[3].char(s, n, 'a'+byte(v-1), at)
		}
		if v <= 25 {
			n.codes[4].char(s, n, 'a'+byte(v), at)
		}
		if len(low) >= 4 {
			n.greedy(s, low, at)
		}
	}
	if len(low) == 3 || len(low) == 4 {
		char(&n.codes[2], value(bytes.TrimPrefix(low, []byte("o")), 8))
	}
	hexa := low
	for _, p := range [...]string{"0x", "u", "x"} {
		if len(hexa) > len(p) && string(hexa[:len(p)]) == p {
			hexa = hexa[len(p):]
		}
	}
	if len(hexa) == 4 && hexa[0] == '0' && hexa[1] == '0' {
		hexa = hexa[2:]
	}
	if len(hexa) == 2 {
		char(&n.codes[1], value(hexa, 16))
	}
}

// greedy reads decimal codes without anything in between.
func (n *node) greedy(s *scan, raw []byte, at int) {
	for _, c := range raw {
		if c < '0' || c > '9' {
			return
		}
	}
	for i := 0; i+1 < len(raw); {
		k := 2
		if raw[i] == '1' && i+2 < len(raw) {
			k = 3
		}
		v, _ := strconv.Atoi(string(raw[i : i+k])) // digits only
		if v >= 32 && v < 127 {
			n.codes[0].char(s, n, byte(v), at)
		}
		i += k
	}
}

// digits reads runs of ones and zeros, and of digits three by three.
func (n *node) digits(s *scan, sym byte, at int) {
	if sym < 26 || sym > 35 {
		return
	}
	c, d := n.chars, sym-26
	c.dec = [3]byte{c.dec[1], c.dec[2], d}
	c.decN++
	if v := int(c.dec[0])*100 + int(c.dec[1])*10 + int(d); v >= 32 && v < 127 {
		c.triples[c.decN%3].char(s, n, byte(v), at)
	}
	if d > 1 {
		return
	}
	c.reg = c.reg<<1 | uint32(d)
	c.bitN++
	if v := c.reg & 0xff; v >= 32 && v < 127 {
		c.bits[c.bitN%8].char(s, n, byte(v), at)
	}
	if v := c.reg & 0x7f; v >= 32 && v < 127 {
		c.bits[8+c.bitN%7].char(s, n, byte(v), at)
	}
}

var morseCode = func() map[string]byte {
	m := map[string]byte{}
	for i, code := range strings.Fields(".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. " +
		"----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.") {
		m[code] = byte(i)
	}
	return m
}()

// dashes collects Morse code.
func (n *node) dashes(s *scan, r rune, at int) {
	c := byte(0)
	switch r {
	case '.', '·', '•', '∙', '⋅', '*':
		c = '.'
	case '-', '−', '–', '—', '_':
		c = '-'
	}
	if c == 0 {
		n.dashEnd(s)
		return
	}
	if n.chars.dashN == 0 {
		n.chars.dashAt = at
	}
	if n.chars.dashN < len(n.chars.dash) {
		n.chars.dash[n.chars.dashN] = c
	}
	n.chars.dashN++
}

func (n *node) dashEnd(s *scan) {
	if n.chars.dashN > 0 && n.chars.dashN <= 5 {
		if c, ok := morseCode[string(n.chars.dash[:n.chars.dashN])]; ok {
			n.chars.morse.char(s, n, char(c), n.chars.dashAt)
		}
	}
	n.chars.dashN = 0
}

// short are words of up to four letters that say nothing when they stand alone.
var short = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`of to in it is be as at so we he by or on do if me my up an go no us am the and for are but not you all any can had her was one our out day get has him his
how man new now old see two way who boy did its let put say she too use dad mom yes yet via per etc off own set try end add ask big few got key lot may run ten top why air art bad bed bit box buy car cut dog due eat eye far fit fun god gas guy hit hot ice job kid law lay led leg lie low map men mix net oil pay red row sea sit six sky sun tax tea tie war web win won able also area away baby back ball bank base been best bill blue body book both call came card care case city club code cold come copy cost data date days dear deal does done door down draw drop each easy else even ever face fact fall farm fast feel feet file fill film find fine fire firm fish five flow food foot form four free from full fund game gave give glad goal goes gold gone good grew grow hair half hall hand hard have head hear heat held help here high hill hold home hope host hour huge idea into item join just keep kept kind king knew know lack lady land last late lead left less life lift like line link list live loan long look lost love made mail main make many mark mass mean meet mind mine miss more most move much must name near need news next nice nine none note okay once only onto open oral over page paid part pass past path plan play plus poor post pure race rain read real rest rice rich ride ring rise risk road rock role room rule safe said sale same save seat seek seem seen self sell send sent show shut sick side sign site size skin slow snow soft soil sold some song soon sort star stay step stop such sure take talk tall task team tell term test text than that them then they thin this thus time told took tool tour town tree trip true turn type unit upon used user vary very view vote wait walk wall want warm wash wave ways weak wear week well went were west what when whom wide wife wild will wind wine wish with wood word work yard yeah year your zero
le la les de des du et en un une est il ce que qui pas je tu el los las es no y se lo con por der die das und ist ein von mit den dem zu im auf`) {
		m[w] = true
	}
	return m
}()

// ordinary says whether a word may stand in any text: short words of a list,
// longer ones that are built like words, numbers of one or two digits.
func ordinary(tok []byte) bool {
	letters, digits, odd := 0, 0, 0
	for i, c := range tok {
		switch {
		case c < 26:
			letters++
			if i > 0 && tok[i-1] < 26 && !pairs[tok[i-1]][c] {
				odd++
			}
		case c < 36:
			digits++
		}
	}
	switch {
	case letters > 0 && digits > 0:
		return false
	case digits == len(tok):
		return digits < 3
	case letters < len(tok):
		return true // of another script
	case len(tok) <= 4:
		var b [4]byte
		for i, c := range tok {
			b[i] = 'a' + c
		}
		return short[string(b[:len(tok)])]
	}
	return odd*2 < len(tok)-1
}

// codes in which a word is read by itself.
const wordCodes = 5

// decodedWord reads a word by itself as base64, hexadecimal, base32, base58 and
// as the decimal code of one character. Most words are none of these, so that
// nothing is kept of what is no text.
func decodedWord(raw []byte) (out [wordCodes]string, any bool) {
	if len(raw) == 2 && inCode[raw[0]&0x7f][raw[1]>>6&1]>>(raw[1]&63)&1 == 0 {
		return out, false
	}
	return decodeWord(raw)
}

func decodeWord(raw []byte) (out [wordCodes]string, any bool) {
	word := true // written as a word is
	for i, c := range raw {
		word = word && (c >= 'a' && c <= 'z' || i == 0 && c >= 'A' && c <= 'Z')
	}
	if word && len(raw) > 2 || len(raw) < 2 || len(raw) > 4 && !mixed(raw) {
		return out, false
	}
	var buf, up [maxToken]byte
	add := func(how, n int, ok bool) {
		if !ok || n == 0 {
			return
		}
		for _, c := range buf[:n] {
			if c < ' ' || c >= 0x7f {
				return
			}
		}
		out[how], any = string(buf[:n]), true
	}
	if len(raw)%4 != 1 {
		n, ok := unpack(buf[:], raw, 6, value64)
		add(0, n, ok)
	}
	if len(raw)%2 == 0 {
		n, ok := unpack(buf[:], raw, 4, value16)
		add(1, n, ok)
	}
	for i, c := range raw {
		if up[i] = c; c >= 'a' && c <= 'z' {
			up[i] -= 'a' - 'A'
		}
	}
	switch len(raw) % 8 {
	case 1, 3, 6:
	default:
		n, ok := unpack(buf[:], up[:len(raw)], 5, value32)
		add(2, n, ok)
	}
	n, ok := base58(buf[:], raw)
	add(3, n, ok)
	if v := value(raw, 10); v > 0 && v < 128 {
		buf[0] = byte(v)
		add(4, 1, true)
	}
	return out, any
}

// inCode has a bit for each pair of ASCII that is a word in some code: words of two letters
// are many, and nearly none of them is.
var inCode = func() (set [0x80][2]uint64) {
	for i, x := range ascii {
		for j, y := range ascii {
			if x == noSymbol || y == noSymbol { // of no word
				continue
			}
			if _, any := decodeWord([]byte{byte(i), byte(j)}); any {
				set[i][j>>6] |= 1 << (j & 63)
			}
		}
	}
	return set
}()

// unpack decodes digits of some bits each; what is left over must be zero.
func unpack(to, from []byte, width int, value func(byte) int) (n int, ok bool) {
	reg, have := uint32(0), 0
	for _, c := range from {
		v := value(c)
		if v < 0 {
			return 0, false
		}
		reg = reg<<width | uint32(v)
		if have += width; have >= 8 {
			have -= 8
			if to[n] = byte(reg >> have); to[n] < ' ' || to[n] >= 0x7f { // no text
				return 0, false
			}
			n++
		}
	}
	return n, reg&(1<<have-1) == 0
}

// mixed: it has digits, or capitals after small letters.
func mixed(raw []byte) bool {
	for i, c := range raw {
		if c < 'A' || i > 0 && c <= 'Z' && raw[i-1] > 'Z' {
			return true
		}
	}
	for _, c := range raw {
		if c >= 'a' && c <= 'z' {
			return false
		}
	}
	return true
}

// base58 as Bitcoin addresses use it: a number of base 58, its bytes from the first.
func base58(to, from []byte) (n int, ok bool) {
	if len(from) <= 10 { // less than 2^64
		v := uint64(0)
		for _, c := range from {
			d := table58[c]
			if d < 0 {
				return 0, false
			}
			v = v*58 + uint64(d)
		}
		n = (bits.Len64(v) + 7) / 8
		for i := range n {
			to[n-1-i] = byte(v >> (8 * i))
		}
		return n, true
	}
	return long58(to, from)
}

func long58(to, from []byte) (n int, ok bool) {
	for _, c := range from {
		v := int(table58[c])
		if v < 0 {
			return 0, false
		}
		for i := range n { // from the last byte
			v += 58 * int(to[i])
			to[i] = byte(v)
			v >>= 8
		}
		for v > 0 {
			to[n] = byte(v)
			n++
			v >>= 8
		}
	}
	slices.Reverse(to[:n])
	return n, true
}

var table58 = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz" {
		t[c] = int8(i)
	}
	return t
}()

// Keys beside each other on a keyboard, by letter.
var keyLeft, keyRight = func() (l, r [26]byte) {
	for _, row := range []string{"qwertyuiop", "asdfghjkl", "zxcvbnm"} {
		for i := range len(row) {
			c := row[i] - 'a'
			l[c], r[c] = c, c
			if i > 0 {
				l[c] = row[i-1] - 'a'
			}
			if i+1 < len(row) {
				r[c] = row[i+1] - 'a'
			}
		}
	}
	return l, r
}()
