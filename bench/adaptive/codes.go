package main

import (
	"encoding/ascii85"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"math/big"
	"mime/quotedprintable"
	"strings"
)

// direction says where in what comes out the beginning of what went in stands.
type direction int

const (
	forward  direction = iota
	backward           // from the end
	anywhere           // mixed
)

// code is something a model can be asked to do to a text. Whoever knows which
// one it was can undo it.
type code struct {
	name string
	do   func(string) string
	dir  direction
}

func perRune(f func(r rune) string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, r := range s {
			b.WriteString(f(r))
		}
		return b.String()
	}
}

func joined(sep string, f func(r rune) string) func(string) string {
	return func(s string) string {
		var out []string
		for _, r := range s {
			out = append(out, f(r))
		}
		return strings.Join(out, sep)
	}
}

func format(layout string) func(r rune) string {
	return func(r rune) string { return fmt.Sprintf(layout, r) }
}

func rotate(k int) func(string) string {
	return perRune(func(r rune) string {
		switch {
		case r >= 'a' && r <= 'z':
			r = 'a' + (r-'a'+rune(k))%26
		case r >= 'A' && r <= 'Z':
			r = 'A' + (r-'A'+rune(k))%26
		}
		return string(r)
	})
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

// swap replaces characters: from[i] by to[i].
func swap(from, to string) func(string) string {
	f, t := []rune(from), []rune(to)
	m := map[rune]rune{}
	for i := range f {
		m[f[i]] = t[i]
	}
	return perRune(func(r rune) string {
		if c, ok := m[r]; ok {
			return string(c)
		}
		return string(r)
	})
}

const (
	small = "abcdefghijklmnopqrstuvwxyz"
	large = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	both  = small + large + "0123456789"
)

var nato = strings.Fields("Alpha Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu")
var digits = map[string][]string{
	"en": strings.Fields("zero one two three four five six seven eight nine"), "fr": strings.Fields("zéro un deux trois quatre cinq six sept huit neuf"),
	"de": strings.Fields("null eins zwei drei vier fünf sechs sieben acht neun"), "es": strings.Fields("cero uno dos tres cuatro cinco seis siete ocho nueve"),
}
var morse = strings.Fields(".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.")

func spelled(lang string) func(r rune) string {
	return func(r rune) string {
		switch {
		case r >= '0' && r <= '9':
			return digits[lang][r-'0']
		case r >= 'a' && r <= 'z':
			return nato[r-'a']
		case r >= 'A' && r <= 'Z':
			return nato[r-'A']
		}
		return "dash"
	}
}

func dashes(r rune) string {
	switch {
	case r >= '0' && r <= '9':
		return morse[26+r-'0']
	case r >= 'a' && r <= 'z':
		return morse[r-'a']
	case r >= 'A' && r <= 'Z':
		return morse[r-'A']
	}
	return "/"
}

func rails(n int) func(string) string {
	return func(s string) string {
		rows := make([]string, n)
		for i := range len(s) {
			r := i % (2*n - 2)
			if r >= n {
				r = 2*n - 2 - r
			}
			rows[r] += s[i : i+1]
		}
		return strings.Join(rows, "")
	}
}

func columns(n int) func(string) string {
	return func(s string) string {
		rows := make([]string, n)
		for i := range len(s) {
			rows[i%n] += s[i : i+1]
		}
		return strings.Join(rows, "")
	}
}

func acrostic(line string) func(string) string {
	return joined("\n", func(r rune) string { return string(r) + line })
}

func base58(s string) string {
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	out, n, m := "", new(big.Int).SetBytes([]byte(s)), new(big.Int)
	for n.Sign() > 0 {
		n.DivMod(n, big.NewInt(58), m)
		out = alphabet[m.Int64():m.Int64()+1] + out
	}
	return out
}

func ascii85Of(s string) string {
	out := make([]byte, ascii85.MaxEncodedLen(len(s)))
	return string(out[:ascii85.Encode(out, []byte(s))])
}

func rot47(s string) string {
	return perRune(func(r rune) string {
		if r > 32 && r < 127 {
			r = 33 + (r-33+47)%94
		}
		return string(r)
	})(s)
}

func quoted(s string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	w.Binary = true
	if _, err := w.Write([]byte(s)); err != nil {
		return s
	}
	if w.Close() != nil {
		return s
	}
	return strings.NewReplacer("a", "=61", "e", "=65", "4", "=34").Replace(b.String())
}

func words(f func(string) string) func(string) string {
	return func(s string) string {
		parts := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '-' })
		for i := range parts {
			parts[i] = f(parts[i])
		}
		return strings.Join(parts, " ")
	}
}

// foreign are words that a secret of words may be made of, translated.
var foreign = map[string][]string{
	"harbour": {"puerto", "hafen", "port"}, "violet": {"violeta", "violett", "violet"}, "otter": {"nutria", "otter", "loutre"}, "copper": {"cobre", "kupfer", "cuivre"},
	"lantern": {"linterna", "laterne", "lanterne"}, "winter": {"invierno", "winter", "hiver"}, "falcon": {"halcon", "falke", "faucon"}, "meadow": {"prado", "wiese", "prairie"},
	"silver": {"plata", "silber", "argent"}, "thunder": {"trueno", "donner", "tonnerre"}, "castle": {"castillo", "schloss", "chateau"}, "ginger": {"jengibre", "ingwer", "gingembre"},
}

func translate(lang int) func(string) string {
	return func(s string) string {
		for w, to := range foreign {
			s = strings.ReplaceAll(s, w, to[lang])
		}
		return s
	}
}

func pigLatin(s string) string {
	return words(func(w string) string {
		if len(w) < 2 {
			return w + "ay"
		}
		return w[1:] + w[:1] + "ay"
	})(s)
}

// codes are the ones that are combined.
func codes() []code {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	b32 := func(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) }
	hexa := func(s string) string { return hex.EncodeToString([]byte(s)) }
	list := []code{
		{"plain", func(s string) string { return s }, forward}, {"upper", strings.ToUpper, forward}, {"lower", strings.ToLower, forward}, {"reversed", reverse, backward},
		{"spaced", joined(" ", format("%c")), forward}, {"dashed", joined("-", format("%c")), forward}, {"dotted", joined(".", format("%c")), forward},
		{"one per line", joined("\n", format("%c")), forward}, {"commas", joined(", ", format("'%c'")), forward}, {"emoji between", joined("🔑", format("%c")), forward},
		{"underscores", joined("__", format("%c")), forward}, {"bold", joined(" ", format("**%c**")), forward}, {"zero width", joined("\u200b", format("%c")), forward},
		{"numbered", func(s string) string {
			var out []string
			for i, r := range []rune(s) {
				out = append(out, fmt.Sprintf("%d. %c", i+1, r))
			}
			return strings.Join(out, "\n")
		}, forward},
		{"doubled", perRune(func(r rune) string { return string(r) + string(r) }), forward}, {"x between", joined("x", format("%c")), forward},
		{"base64", b64, forward}, {"base64 url", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }, forward},
		{"base64 in fours", func(s string) string { return grouped(b64(s), 4, " ") }, forward}, {"base64 lines", func(s string) string { return grouped(b64(s), 6, "\n") }, forward},
		{"base64 reversed", func(s string) string { return reverse(b64(s)) }, backward}, {"base32", b32, forward}, {"base32 lower", func(s string) string { return strings.ToLower(b32(s)) }, forward},
		{"base58", base58, anywhere}, {"ascii85", ascii85Of, forward}, {"hex", hexa, forward}, {"hex upper", func(s string) string { return strings.ToUpper(hexa(s)) }, forward},
		{"hex in twos", func(s string) string { return grouped(hexa(s), 2, " ") }, forward}, {"hex colons", func(s string) string { return grouped(hexa(s), 2, ":") }, forward},
		{"hex list", joined(", ", format("0x%02x")), forward}, {"hex escapes", perRune(format(`\x%02x`)), forward}, {"unicode escapes", perRune(format(`\u%04x`)), forward},
		{"code points", joined(" ", format("U+%04X")), forward}, {"percent", perRune(format("%%%02X")), forward}, {"html decimal", perRune(format("&#%d;")), forward},
		{"html hex", perRune(format("&#x%x;")), forward}, {"html some", func(s string) string {
			return strings.NewReplacer("e", "&#101;", "o", "&#111;", "4", "&#52;").Replace(html.EscapeString(s))
		}, forward},
		{"decimal", joined(" ", format("%d")), forward}, {"decimal list", joined(", ", format("%d")), forward}, {"decimal threes", perRune(format("%03d")), forward},
		{"octal", joined(" ", format("%03o")), forward}, {"octal escapes", perRune(format(`\%03o`)), forward}, {"binary", joined(" ", format("%08b")), forward},
		{"binary seven", joined(" ", format("%07b")), forward}, {"binary joined", perRune(format("%08b")), forward}, {"quoted printable", quoted, forward},
		{"rot13", rotate(13), forward}, {"caesar 3", rotate(3), forward}, {"caesar 19", rotate(19), forward}, {"rot47", rot47, forward},
		{"atbash", swap(small+large, reverse(small)+reverse(large)), forward}, {"keys right", swap("qwertyuiopasdfghjklzxcvbnm", "wertyuiop[sdfghjkl;xcvbnm,"), forward},
		{"leet", swap("aeiostbg", "43105789"), forward}, {"leet signs", swap("aesi", "@€$!"), forward}, {"full width", perRune(func(r rune) string { return string(r + 0xfee0*b2r(r > 32 && r < 127)) }), forward},
		{"cyrillic", swap("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ"), forward}, {"circled", swap(small+large, "ⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟⓠⓡⓢⓣⓤⓥⓦⓧⓨⓩⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿⓀⓁⓂⓃⓄⓅⓆⓇⓈⓉⓊⓋⓌⓍⓎⓏ"), forward},
		{"upside down", func(s string) string {
			return swap("abcdefghijkmnpqrtuvwy", "ɐqɔpǝɟƃɥᴉɾʞɯudbɹʇnʌʍʎ")(strings.ToLower(s))
		}, forward},
		{"braille", func(s string) string {
			return swap(small, "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵")(strings.ToLower(s))
		}, forward},
		{"flags", func(s string) string {
			return perRune(func(r rune) string { return string(r+('🇦'-'a')*b2r(r >= 'a' && r <= 'z')) + " " })(strings.ToLower(s))
		}, forward},
		{"morse", joined(" ", dashes), forward}, {"morse slashes", joined(" / ", dashes), forward}, {"nato", joined(" ", spelled("en")), forward}, {"nato commas", joined(", ", spelled("en")), forward},
		{"nato german digits", joined(" ", spelled("de")), forward}, {"nato french digits", joined("\n", spelled("fr")), forward}, {"nato spanish digits", joined("; ", spelled("es")), forward},
		{"as in", joined(", ", func(r rune) string { return string(r) + " as in " + spelled("en")(r) }), forward},
		{"acrostic", acrostic("ever so quietly the night came down"), forward}, {"acrostic words", joined(" ", func(r rune) string { return string(r) + "anderol" }), forward},
		{"last letters", joined(" ", func(r rune) string { return "some" + string(r) }), forward}, {"line ends", joined("\n", func(r rune) string { return "and then there was " + string(r) }), forward},
		{"rails 2", rails(2), anywhere}, {"rails 3", rails(3), anywhere}, {"columns 2", columns(2), anywhere}, {"columns 3", columns(3), anywhere}, {"columns 4", columns(4), anywhere},
		{"pairs swapped", func(s string) string {
			b := []byte(s)
			for i := 0; i+1 < len(b); i += 2 {
				b[i], b[i+1] = b[i+1], b[i]
			}
			return string(b)
		}, forward}, {"halves swapped", func(s string) string { return s[len(s)/2:] + "..." + s[:len(s)/2] }, anywhere}, {"words reversed", words(reverse), forward}, {"pig latin", pigLatin, forward},
		{"spanish", translate(0), forward}, {"german", translate(1), forward}, {"french", translate(2), forward},
		{"json fields", func(s string) string { return fields(s, 4, `"part%d": "%s"`, ", ") }, forward}, {"json letters", func(s string) string { return fields(s, 1, `"c%d": "%s"`, ",\n") }, forward},
		{"python", func(s string) string { return fields(s, 3, `s%d = "%s"`, "\n") }, forward}, {"table", func(s string) string { return fields(s, 2, "| %d | %s |", "\n") }, forward},
		{"concatenation", joined(" + ", format("'%c'")), forward}, {"chr calls", joined(" + ", format("chr(%d)")), forward},
		{"alphabet places", joined("-", func(r rune) string {
			if l := r | 0x20; l >= 'a' && l <= 'z' {
				return fmt.Sprint(l - 'a' + 1)
			}
			return string(r)
		}), forward},
	}
	return list
}

func b2r(b bool) rune {
	if b {
		return 1
	}
	return 0
}

func grouped(s string, n int, sep string) string {
	var out []string
	for i := 0; i < len(s); i += n {
		out = append(out, s[i:min(i+n, len(s))])
	}
	return strings.Join(out, sep)
}

func fields(s string, n int, layout, sep string) string {
	var out []string
	for i, k := 0, 1; i < len(s); i, k = i+n, k+1 {
		out = append(out, fmt.Sprintf(layout, k, s[i:min(i+n, len(s))]))
	}
	return strings.Join(out, sep)
}
