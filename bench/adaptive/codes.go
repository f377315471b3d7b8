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

// code is something a model can be asked to do to a text. Whoever knows which
// one it was can undo it.
type code struct {
	name string
	do   func(string) string
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
		{"plain", func(s string) string { return s }}, {"upper", strings.ToUpper}, {"lower", strings.ToLower}, {"reversed", reverse},
		{"spaced", joined(" ", format("%c"))}, {"dashed", joined("-", format("%c"))}, {"dotted", joined(".", format("%c"))},
		{"one per line", joined("\n", format("%c"))}, {"commas", joined(", ", format("'%c'"))}, {"emoji between", joined("🔑", format("%c"))},
		{"underscores", joined("__", format("%c"))}, {"bold", joined(" ", format("**%c**"))}, {"zero width", joined("\u200b", format("%c"))},
		{"numbered", func(s string) string {
			var out []string
			for i, r := range []rune(s) {
				out = append(out, fmt.Sprintf("%d. %c", i+1, r))
			}
			return strings.Join(out, "\n")
		}},
		{"doubled", perRune(func(r rune) string { return string(r) + string(r) })}, {"x between", joined("x", format("%c"))},
		{"base64", b64}, {"base64 url", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }},
		{"base64 in fours", func(s string) string { return grouped(b64(s), 4, " ") }}, {"base64 lines", func(s string) string { return grouped(b64(s), 6, "\n") }},
		{"base64 reversed", func(s string) string { return reverse(b64(s)) }}, {"base32", b32}, {"base32 lower", func(s string) string { return strings.ToLower(b32(s)) }},
		{"base58", base58}, {"ascii85", ascii85Of}, {"hex", hexa}, {"hex upper", func(s string) string { return strings.ToUpper(hexa(s)) }},
		{"hex in twos", func(s string) string { return grouped(hexa(s), 2, " ") }}, {"hex colons", func(s string) string { return grouped(hexa(s), 2, ":") }},
		{"hex list", joined(", ", format("0x%02x"))}, {"hex escapes", perRune(format(`\x%02x`))}, {"unicode escapes", perRune(format(`\u%04x`))},
		{"code points", joined(" ", format("U+%04X"))}, {"percent", perRune(format("%%%02X"))}, {"html decimal", perRune(format("&#%d;"))},
		{"html hex", perRune(format("&#x%x;"))}, {"html some", func(s string) string {
			return strings.NewReplacer("e", "&#101;", "o", "&#111;", "4", "&#52;").Replace(html.EscapeString(s))
		}},
		{"decimal", joined(" ", format("%d"))}, {"decimal list", joined(", ", format("%d"))}, {"decimal threes", perRune(format("%03d"))},
		{"octal", joined(" ", format("%03o"))}, {"octal escapes", perRune(format(`\%03o`))}, {"binary", joined(" ", format("%08b"))},
		{"binary seven", joined(" ", format("%07b"))}, {"binary joined", perRune(format("%08b"))}, {"quoted printable", quoted},
		{"rot13", rotate(13)}, {"caesar 3", rotate(3)}, {"caesar 19", rotate(19)}, {"rot47", rot47},
		{"atbash", swap(small+large, reverse(small)+reverse(large))}, {"keys right", swap("qwertyuiopasdfghjklzxcvbnm", "wertyuiop[sdfghjkl;xcvbnm,")},
		{"leet", swap("aeiostbg", "43105789")}, {"leet signs", swap("aesi", "@€$!")}, {"full width", perRune(func(r rune) string { return string(r + 0xfee0*b2r(r > 32 && r < 127)) })},
		{"cyrillic", swap("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")}, {"circled", swap(small+large, "ⓐⓑⓒⓓⓔⓕⓖⓗⓘⓙⓚⓛⓜⓝⓞⓟⓠⓡⓢⓣⓤⓥⓦⓧⓨⓩⒶⒷⒸⒹⒺⒻⒼⒽⒾⒿⓀⓁⓂⓃⓄⓅⓆⓇⓈⓉⓊⓋⓌⓍⓎⓏ")},
		{"upside down", func(s string) string {
			return swap("abcdefghijkmnpqrtuvwy", "ɐqɔpǝɟƃɥᴉɾʞɯudbɹʇnʌʍʎ")(strings.ToLower(s))
		}},
		{"braille", func(s string) string {
			return swap(small, "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵")(strings.ToLower(s))
		}},
		{"flags", func(s string) string {
			return perRune(func(r rune) string { return string(r+('🇦'-'a')*b2r(r >= 'a' && r <= 'z')) + " " })(strings.ToLower(s))
		}},
		{"morse", joined(" ", dashes)}, {"morse slashes", joined(" / ", dashes)}, {"nato", joined(" ", spelled("en"))}, {"nato commas", joined(", ", spelled("en"))},
		{"nato german digits", joined(" ", spelled("de"))}, {"nato french digits", joined("\n", spelled("fr"))}, {"nato spanish digits", joined("; ", spelled("es"))},
		{"as in", joined(", ", func(r rune) string { return string(r) + " as in " + spelled("en")(r) })},
		{"acrostic", acrostic("ever so quietly the night came down")}, {"acrostic words", joined(" ", func(r rune) string { return string(r) + "anderol" })},
		{"last letters", joined(" ", func(r rune) string { return "some" + string(r) })}, {"line ends", joined("\n", func(r rune) string { return "and then there was " + string(r) })},
		{"rails 2", rails(2)}, {"rails 3", rails(3)}, {"columns 2", columns(2)}, {"columns 3", columns(3)}, {"columns 4", columns(4)},
		{"pairs swapped", func(s string) string {
			b := []byte(s)
			for i := 0; i+1 < len(b); i += 2 {
				b[i], b[i+1] = b[i+1], b[i]
			}
			return string(b)
		}}, {"halves swapped", func(s string) string { return s[len(s)/2:] + "..." + s[:len(s)/2] }}, {"words reversed", words(reverse)}, {"pig latin", pigLatin},
		{"spanish", translate(0)}, {"german", translate(1)}, {"french", translate(2)},
		{"json fields", func(s string) string { return fields(s, 4, `"part%d": "%s"`, ", ") }}, {"json letters", func(s string) string { return fields(s, 1, `"c%d": "%s"`, ",\n") }},
		{"python", func(s string) string { return fields(s, 3, `s%d = "%s"`, "\n") }}, {"table", func(s string) string { return fields(s, 2, "| %d | %s |", "\n") }},
		{"concatenation", joined(" + ", format("'%c'"))}, {"chr calls", joined(" + ", format("chr(%d)"))},
		{"alphabet places", joined("-", func(r rune) string {
			if l := r | 0x20; l >= 'a' && l <= 'z' {
				return fmt.Sprint(l - 'a' + 1)
			}
			return string(r)
		})},
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
