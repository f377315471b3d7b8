package cli

import "testing"

// TestOneLine: text from outside turns no line of a terminal around and starts no new one.
func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain ümlaut 日本": "plain ümlaut 日本", "a\nb\x1b[31m": "a·b·[31m", "\u202egnp.exe": "·gnp.exe", "\u2066x\u2069": "·x·", "a\u200bb\ufeff": "a·b·",
		"\u2028x\u0085": "·x·", "abcdefghijklmnopqrstuvwxyz": "abcdefghijklmnopqrs…",
	} {
		if got := oneLine(in, 20); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}
