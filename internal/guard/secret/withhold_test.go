package secret_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/secret"
)

// without is texts with what is withheld taken out.
func without(texts []string, spans [][]guard.Span) (out []string) {
	for i, text := range texts {
		at, b := 0, strings.Builder{}
		for _, s := range spans[i] {
			b.WriteString(text[at:s.From] + "[withheld]")
			at = s.To
		}
		out = append(out, b.String()+text[at:])
	}
	return out
}

func withholder(t *testing.T, c secret.Config) guard.Withholder {
	t.Helper()
	in, err := secret.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return in.(guard.Withholder)
}

// However a secret is written down for a model, it does not get there; and what stands
// around it does.
func TestWithhold(t *testing.T) {
	for _, s := range []string{"harbour-violet-4417", "kX9fQ2mZ7pL4wT8v", "0f3a9c4e7d12b8560f3a9c4e7d12b856", "wotixnurapelqz83"} {
		c := secret.Default()
		c.Known = []string{s}
		w := withholder(t, c)
		if !w.Withholds() {
			t.Fatal("nothing to withhold")
		}
		for name, written := range map[string]string{
			"verbatim":    s,
			"capitals":    strings.ToUpper(s),
			"spaced":      strings.Join(strings.Split(s, ""), " "),
			"two lines":   s[:len(s)/2] + "\n" + s[len(s)/2:],
			"twice":       s + " or " + s,
			"reversed":    reversed(s),
			"basic auth":  "Basic " + base64.StdEncoding.EncodeToString([]byte("ops:"+s)),
			"hexadecimal": hex.EncodeToString([]byte(s)),
			"in a URL":    "https://ops:" + url.QueryEscape(s) + "@harbour.example/",
			"JSON":        `{"key":"` + s + `","n":4}`,
			"wide":        strings.Map(func(r rune) rune { return r + 0xfee0 }, s),
		} {
			texts := []string{"You are the assistant of a harbour office. The key is " + written + " and only for the night shift. Be brief.", "Looks up ships by name."}
			spans, kept := w.Withhold(texts)
			left := without(texts, spans)
			if strings.Contains(left[0], written) || !strings.Contains(left[0], "[withheld]") {
				t.Errorf("%s: %q", name, left[0])
			}
			if !strings.HasPrefix(left[0], "You are the assistant of a harbour office. The key is ") || !strings.HasSuffix(left[0], "only for the night shift. Be brief.") || left[1] != texts[1] {
				t.Errorf("%s takes out too much: %q", name, left)
			}
			if !kept.Has(0) {
				t.Errorf("%s: the secret is taken out and not kept", name)
			}
		}
	}
}

// What is still told, in another way or another text, is not said to be kept.
func TestWithholdLeavesNothing(t *testing.T) {
	c := secret.Default()
	c.Known, c.Canaries = []string{"kX9fQ2mZ7pL4wT8v"}, []string{"zq7-canary-4411-lamp"}
	w := withholder(t, c)
	half := []string{"The key begins with kX9fQ2mZ", "and ends with 7pL4wT8v. All of it: kX9fQ2mZ7pL4wT8v"}
	if spans, kept := w.Withhold(half); kept != (guard.Kept{}) && strings.Contains(strings.Join(without(half, spans), ""), "kX9f") {
		t.Errorf("kept, but told: %q", without(half, spans))
	}
	text := []string{"The canary zq7-canary-4411-lamp stays."}
	if spans, kept := w.Withhold(text); len(spans[0]) > 0 || kept != (guard.Kept{}) {
		t.Errorf("a canary is withheld: %q", without(text, spans))
	}
	c.Withhold = false
	if withholder(t, c).Withholds() {
		t.Error("withholds although it is turned off")
	}
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// FuzzWithhold: spans are in order, apart and within their text, and what is left has no
// secret as it is written.
func FuzzWithhold(f *testing.F) {
	const known = "kX9fQ2mZ7pL4wT8v"
	c := secret.Default()
	c.Known = []string{known, "harbour-violet-4417"}
	in, err := secret.New(c)
	if err != nil {
		f.Fatal(err)
	}
	w := in.(guard.Withholder)
	for _, s := range []string{"", "the key is " + known + ".", known + known, "k X 9 f Q 2 m Z 7 p L 4 w T 8 v", "v8Tw4Lp7ZmQ", base64.StdEncoding.EncodeToString([]byte(known)), "\xff" + known + "\xff", "HARBOUR VIOLET 4417"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 4096 {
			return
		}
		texts := []string{a, b}
		spans, _ := w.Withhold(texts)
		for i, list := range spans {
			at := 0
			for _, s := range list {
				if s.From < at || s.To <= s.From || s.To > len(texts[i]) {
					t.Fatalf("%v in a text of %d bytes", list, len(texts[i]))
				}
				at = s.To
			}
		}
		for _, left := range without(texts, spans) {
			if strings.Contains(left, known) {
				t.Errorf("told: %q", left)
			}
		}
	})
}
