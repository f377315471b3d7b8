package decode

import (
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hexSlowly is decodeHex without its short cuts.
func hexSlowly(s string) (string, bool) {
	s = strings.NewReplacer(" ", "", ":", "").Replace(s)
	if len(s) < minBlob || len(s)%2 != 0 {
		return "", false
	}
	b, err := hex.DecodeString(s)
	if err != nil || !printable(string(b)) {
		return "", false
	}
	return string(b), true
}

// The tests before what is slow refuse nothing that it would take.
func TestShortCuts(t *testing.T) {
	letters := rapid.StringOfN(rapid.SampledFrom([]rune("ab XY-._*|  --éж1\n")), 0, 40, -1)
	spaced := rapid.Custom(func(t *rapid.T) string {
		sep := rapid.SampledFrom([]string{" ", "-", ".", "_", "*", "|"}).Draw(t, "separator")
		return letters.Draw(t, "before") + strings.Join(strings.Split(rapid.StringMatching(`[a-zA-Z]{1,9}`).Draw(t, "word"), ""), sep) + letters.Draw(t, "behind")
	})
	coded := rapid.Custom(func(t *rapid.T) string {
		s := hex.EncodeToString([]byte(rapid.StringMatching(`[a-z ]{0,30}[\x00-\xff]?`).Draw(t, "text")))
		for range rapid.IntRange(0, 4).Draw(t, "blanks") {
			k := rapid.IntRange(0, len(s)).Draw(t, "at")
			s = s[:k] + rapid.SampledFrom([]string{" ", ":", "F", "g"}).Draw(t, "blank") + s[k:]
		}
		return s
	})
	found, decoded := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(letters, spaced).Draw(t, "s") + spaced.Draw(t, "more")
		if _, ok := joined(s); ok {
			if found++; !spacedOut(s) {
				t.Fatalf("%q is not looked at", s)
			}
		}
		h := coded.Draw(t, "hex")
		want, ok := hexSlowly(h)
		if got, is := decodeHex(h); is != ok || got != want {
			t.Fatalf("%q: %q %v, want %q %v", h, got, is, want, ok)
		}
		if ok {
			decoded++
		}
	})
	if found < 5 || decoded < 5 {
		t.Errorf("only %d texts of single letters and %d of digits: the test looks at too little", found, decoded)
	}
}
