package bus

import (
	"strings"
	"testing"
)

func TestTokenIsOneTokenAndReversible(t *testing.T) {
	seen := map[string]string{}
	for _, k := range []string{"", "=", "==", "=2E", "a", "a.b", "*", ">", "\x00", "\r\n", " ", "2001:db8::/32", "é",
		strings.Repeat(".", 60), strings.Repeat(".", 61), strings.Repeat("a", 180), strings.Repeat("a", 181)} {
		checkToken(t, k)
		tok, _, _ := token(k)
		if was, dup := seen[tok]; dup {
			t.Errorf("%q and %q share token %q", k, was, tok)
		}
		seen[tok] = k
	}
	if _, _, err := token(strings.Repeat("a", maxKey+1)); err == nil {
		t.Error("over-long key accepted")
	}
}

func checkToken(t *testing.T, k string) {
	t.Helper()
	tok, full, err := token(k)
	if err != nil {
		t.Fatalf("token(%q): %v", k, err)
	}
	if tok == "" || len(tok) > maxToken || strings.ContainsAny(tok+full, ".*> \t\r\n\x00") {
		t.Fatalf("token(%q) = %q, %q", k, tok, full)
	}
	if full == "" {
		full = tok
	} else if !strings.HasPrefix(tok, "==") {
		t.Fatalf("hashed token %q of %q has no mark", tok, k)
	}
	back, err := unescape(full)
	if err != nil || back != k {
		t.Fatalf("unescape(%q) = %q, %v; want %q", full, back, err, k)
	}
}

func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "=", "a.b", "*", ">", "=2E", "\r\nNats-Msg-Id: x", strings.Repeat(">", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, k string) {
		if len(k) > maxKey {
			k = k[:maxKey]
		}
		checkToken(t, k)
		if back, err := unescape(k); err == nil && escape(back) != k {
			t.Fatalf("%q decodes to %q, which encodes to %q", k, back, escape(back))
		}
		if id := messageID(k); strings.ContainsAny(id, "\r\n ") || len(id) > maxToken {
			t.Fatalf("id %q", id)
		}
	})
}
