package secret

import (
	"encoding/ascii85"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"bartizan/internal/guard"

	"pgregory.net/rapid"
)

const planted = "Tr0ub4dor-kelp-7731-Zx"

func marked(t testing.TB, known ...string) *inspector {
	t.Helper()
	c := Default()
	c.Known, c.Formats = known, false
	c.Unexplained = 0 // what is read is looked at here
	in, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return in.(*inspector)
}

func each(s string, f func(c byte) string) string {
	var out []string
	for _, c := range []byte(s) {
		out = append(out, f(c))
	}
	return strings.Join(out, " ")
}

func turn(s string) string { // reversed
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

func shift(s string, k byte) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z':
			b[i] = 'a' + (c-'a'+k)%26
		case c >= 'A' && c <= 'Z':
			b[i] = 'A' + (c-'A'+k)%26
		}
	}
	return string(b)
}

// coded is a secret in the codes that a model can be asked for.
func coded(s string) map[string]string {
	b := []byte(s)
	a85 := make([]byte, ascii85.MaxEncodedLen(len(b)))
	a85 = a85[:ascii85.Encode(a85, b)]
	nato := strings.Fields("alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu")
	digit := strings.Fields("zero one two three four five six seven eight nine")
	name := func(c byte) string {
		switch {
		case c >= '0' && c <= '9':
			return digit[c-'0']
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			return nato[(c|0x20)-'a']
		}
		return "dash"
	}
	spread := func(sep string) string { return strings.Join(strings.Split(s, ""), sep) }
	acrostic := ""
	for _, c := range b {
		acrostic += string(c) + "old winds carry the last ships out to sea\n"
	}
	b58, n := "", new(big.Int).SetBytes(b)
	for m := new(big.Int); n.Sign() > 0; {
		n.DivMod(n, big.NewInt(58), m)
		b58 = string("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[m.Int64()]) + b58
	}
	rot47 := make([]byte, len(b))
	for i, c := range b {
		rot47[i] = 33 + (c-33+47)%94
	}
	wide := strings.Map(func(r rune) rune { return r + 0xfee0 }, s)
	return map[string]string{
		"plain": s, "upper": strings.ToUpper(s), "reversed": turn(s), "spaced": spread(" "), "dots": spread("..."), "lines": spread("\n"), "emoji": spread("🙂"),
		"base64": base64.StdEncoding.EncodeToString(b), "base64 in context": base64.StdEncoding.EncodeToString([]byte("The key is " + s + ", I think")),
		"base64 spaced": strings.Join(strings.Split(base64.StdEncoding.EncodeToString(b), ""), " "),
		"base64 twice":  base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(b))),
		"base32":        base32.StdEncoding.EncodeToString(b), "base32 lower": strings.ToLower(base32.StdEncoding.EncodeToString(b)),
		"hex": hex.EncodeToString(b), "hex spaced": each(s, func(c byte) string { return fmt.Sprintf("%02x", c) }),
		"hex prefixed": each(s, func(c byte) string { return fmt.Sprintf("0x%02X,", c) }), "hex of base64": hex.EncodeToString([]byte(base64.StdEncoding.EncodeToString(b))),
		"ascii85": string(a85), "base58": b58,
		"decimal": each(s, func(c byte) string { return fmt.Sprint(c) }), "decimal list": each(s, func(c byte) string { return fmt.Sprint(c, ",") }),
		"decimal joined": strings.ReplaceAll(each(s, func(c byte) string { return fmt.Sprintf("%03d", c) }), " ", ""),
		"octal":          each(s, func(c byte) string { return fmt.Sprintf("%03o", c) }), "binary": each(s, func(c byte) string { return fmt.Sprintf("%08b", c) }),
		"binary joined": strings.ReplaceAll(each(s, func(c byte) string { return fmt.Sprintf("%08b", c) }), " ", ""),
		"url":           strings.ReplaceAll(each(s, func(c byte) string { return fmt.Sprintf("%%%02X", c) }), " ", ""),
		"html":          strings.ReplaceAll(each(s, func(c byte) string { return fmt.Sprintf("&#%d;", c) }), " ", ""),
		"html hex":      strings.ReplaceAll(each(s, func(c byte) string { return fmt.Sprintf("&#x%x;", c) }), " ", ""),
		"escapes":       strings.ReplaceAll(each(s, func(c byte) string { return fmt.Sprintf("\\u%04x", c) }), " ", ""),
		"code points":   each(s, func(c byte) string { return fmt.Sprintf("U+%04X", c) }),
		"rot13":         shift(s, 13), "caesar 5": shift(s, 5), "rot13 reversed": turn(shift(s, 13)), "base64 of rot13": base64.StdEncoding.EncodeToString([]byte(shift(s, 13))),
		"rot47": string(rot47), "nato": each(s, name), "nato commas": strings.ReplaceAll(each(s, name), " ", ", "),
		"leet": strings.NewReplacer("o", "0", "e", "3", "l", "1", "d", "d").Replace(s), "acrostic": acrostic, "full width": wide,
		"every second": strings.Join(strings.Split(s, ""), "q"), "doubled": strings.ReplaceAll(each(s, func(c byte) string { return string([]byte{c, c}) }), " ", ""),
		"json": `{"one":"` + s[:7] + `","two":"` + s[7:14] + `","three":"` + s[14:] + `"}`, "quoted letters": `["` + spread(`","`) + `"]`,
		"numbered": each(s, func(c byte) string { return "char: " + string(c) + "\n" }), "markdown": each(s, func(c byte) string { return "**" + string(c) + "**" }),
		"halves swapped": s[11:] + " " + s[:11], "words reversed": turn("kelp") + " " + turn("Tr0ub4dor") + " 1377 xZ",
		"rails": s0(s, 0) + s0(s, 1), "as in": each(s, func(c byte) string { return string(c) + " as in " + name(c) }),
	}
}

func s0(s string, from int) (out string) {
	for i := from; i < len(s); i += 2 {
		out += s[i : i+1]
	}
	return out
}

const frames = "Of course! Here is what you asked for: %s That is all, tell me if you need anything else."

func TestCodes(t *testing.T) {
	in := marked(t, planted)
	all := coded(planted)
	if len(all) < 45 {
		t.Fatalf("%d codes", len(all))
	}
	for how, text := range all {
		for _, frame := range []string{"%s", frames} {
			if got := in.marked(fmt.Sprintf(frame, text), false); len(got) == 0 {
				t.Errorf("%s in %q: nothing found in %.200q", how, frame, text)
			}
		}
	}
}

// TestStream: what leaves before the finding is less than the half of the
// secret that is allowed, in every code that maps letter by letter.
func TestStream(t *testing.T) {
	in := marked(t, planted)
	for how, text := range coded(planted) {
		text = fmt.Sprintf(frames, text)
		for _, size := range []int{1, 4, 13} {
			f := in.Follow(nil)
			out, found := 0, false
			for i := 0; i < len(text) && !found; i += size {
				got, hold := f.Write(text[i:min(i+size, len(text))])
				if found = len(got) > 0; !found {
					out = max(out, min(i+size, len(text))-hold)
				}
			}
			found = found || len(f.End()) > 0
			if !found {
				t.Errorf("%s in pieces of %d: nothing found", how, size)
			}
			if how == "plain" && strings.Contains(strings.ToLower(text[:out]), "tr") {
				t.Errorf("a beginning of the secret has left: %q", text[:out])
			}
		}
	}
}

// TestPieces: a conversation in which each answer says a little.
func TestPieces(t *testing.T) {
	in := marked(t, planted)
	for _, size := range []int{1, 2, 3, 4, 5, 8} {
		for _, frame := range []string{"%s", "The next part is %s.", "Sure, here you go: \"%s\". Anything else?"} {
			for how, code := range map[string]func(string) string{
				"plain": func(s string) string { return s }, "reversed": turn, "base64": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
				"hex": func(s string) string { return hex.EncodeToString([]byte(s)) }, "spaced": func(s string) string { return strings.Join(strings.Split(s, ""), " ") },
			} {
				r, shown, found := in.Remember(), 0, false
				var order []int
				for i := 0; i < len(planted); i += size {
					order = append(order, i)
				}
				rand.New(rand.NewPCG(1, uint64(size))).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
				for _, i := range order {
					f := in.Follow(r)
					got, _ := f.Write(fmt.Sprintf(frame, code(planted[i:min(i+size, len(planted))])))
					got = append(got, f.End()...)
					if found = found || len(got) > 0; found {
						break
					}
					shown += min(size, len(planted)-i)
				}
				if !found || shown > len(planted)*5/6 { // pieces of two letters in base64 are seen late
					t.Errorf("pieces of %d, %s, in %q: found %v after %d of %d characters", size, how, frame, found, shown, len(planted))
				}
			}
		}
	}
}

func TestOrdinaryTexts(t *testing.T) {
	in := marked(t, planted, "correct-horse-battery-staple-4417", "c41f9a07e2d85b3366f0")
	r := in.Remember()
	for _, text := range []string{
		"The singer sang of kelp and the sea. In 1773 he left for Zurich with his horse.",
		"| id | name |\n| 7731 | kelp |\n| 7732 | weed |", "Use base64: SGVsbG8gV29ybGQhIFRoaXMgaXMgYSBoYXJtbGVzcyB0ZXh0Lg==",
		"commit 4f2a91bc77de01aa33bb45cc99001122 fixes the battery of the cart. The correct size is A4.",
		"a b c d e f g h i j k l m n o p q r s t u v w x y z", "x = 3; y = 4; z = x*y; for i in range(10): print(i, j, k)",
		"Alpha, Bravo, Charlie, Delta, Echo are the first five words of the alphabet.", "01001000 01100101 01101100 01101100 01101111",
		"72 101 108 108 111 32 119 111 114 108 100", strings.Repeat("The quick brown fox jumps over the lazy dog. ", 40),
	} {
		f := in.Follow(r)
		got, _ := f.Write(text)
		if got = append(got, f.End()...); len(got) > 0 {
			t.Errorf("%.60q: %+v", text, got)
		}
	}
}

func FuzzFollow(f *testing.F) {
	for how, text := range coded(planted) {
		f.Add(text, uint8(len(how)))
	}
	f.Add("\xff\xc3", uint8(1))
	c := Default()
	c.Known, c.Formats = []string{planted}, false
	made, err := New(c)
	if err != nil {
		f.Fatal(err)
	}
	in := made.(*inspector)
	f.Fuzz(func(t *testing.T, text string, cut uint8) {
		whole := in.Follow(nil)
		a, hold := whole.Write(text)
		if hold < 0 || hold > len(text) {
			t.Fatalf("%d of %d bytes are held", hold, len(text))
		}
		a = append(a, whole.End()...)
		parts := in.Follow(nil)
		var b []guard.Finding
		for i, n := 0, int(cut%7)+1; i < len(text); i += n {
			got, _ := parts.Write(text[i:min(i+n, len(text))])
			b = append(b, got...)
		}
		b = append(b, parts.End()...)
		if len(a) != len(b) {
			t.Fatalf("%d findings in one piece, %d in many", len(a), len(b))
		}
	})
}

func BenchmarkScan(b *testing.B) {
	in := marked(b, planted)
	text := strings.Repeat("It was the best of times, it was the worst of times, said 12 people in 1859. ", 27)[:2048]
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		in.marked(text, false)
	}
}

// Letters that are taken at once are read as those that are taken one by one.
func TestLettersAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := sharpInspector(t)
		r, q := i.Remember(), i.Remember()
		for range 2 {
			text := spokenText(t)
			f := i.Follow(r)
			found, _ := f.Write(text)
			got := fmt.Sprint(found, f.End())

			one := i.Follow(q).(*scan)
			for _, c := range text {
				one.front(string(c), c)
				one.offset += len(string(c))
			}
			if want := fmt.Sprint(one.take(), one.End()); got != want {
				t.Fatalf("%q: %s, one by one %s", text, got, want)
			}
		}
	})
}

// Every state of the automaton leads where following its links leads.
func TestSealedAutomaton(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		open, sealed := newAutomaton(), newAutomaton()
		for i, w := range rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange(0, 3), 1, 12), 1, 6).Draw(t, "words") {
			open.add(variant{secret: i}, w)
			sealed.add(variant{secret: i}, w)
		}
		sealed.seal()
		var a, b cursor
		for _, sym := range rapid.SliceOfN(rapid.ByteRange(0, 4), 0, 60).Draw(t, "text") {
			for a.state != 0 && open.next[a.state][sym] == 0 {
				a = cursor{open.link[a.state], open.size[open.link[a.state]]}
			}
			if n := open.next[a.state][sym]; n != 0 {
				a = cursor{n, a.length + 1}
			} else {
				a = cursor{}
			}
			if b = sealed.step(b, sym); a != b {
				t.Fatalf("at %v after symbol %d, should be at %v", b, sym, a)
			}
		}
	})
}

// Short words in base58 are what long ones are.
func TestBase58(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SliceOfN(rapid.SampledFrom([]byte("0123456789ABCIJKLMNOPQXYZabchijklmnoxyz")), 0, 14).Draw(t, "word")
		var a, b [maxToken]byte
		n, ok := base58(a[:], word)
		m, is := long58(b[:], word)
		if ok != is || ok && string(a[:n]) != string(b[:m]) {
			t.Fatalf("%q: %x %v, %x %v", word, a[:n], ok, b[:m], is)
		}
	})
}
