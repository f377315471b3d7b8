package observe

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestKeyID(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"a":              "...",
		"abcd":           "a...",
		"sk-proj-abcdef": "sk-p...",
		"sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD": "sk-proj-0123...ABCD",
		strings.Repeat("x", 47):                            strings.Repeat("x", 15) + "...",
		strings.Repeat("é", 48):                            strings.Repeat("é", 12) + "..." + strings.Repeat("é", 4),
	} {
		if got := KeyID(in); got != want {
			t.Errorf("KeyID(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzKeyID(f *testing.F) {
	f.Add("sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		shown := utf8.RuneCountInString(KeyID(s)) - len("...")
		if n := utf8.RuneCountInString(s); n > 0 && (shown > n/3 || shown > 16) {
			t.Errorf("KeyID(%q) = %q shows %d of %d characters", s, KeyID(s), shown, n)
		}
	})
}
