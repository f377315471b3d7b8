package keys

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Bait that looks like a provider's key is recognised as a whole, and only that.
func TestBaitLikeAProvider(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	b.Lure(map[string]string{"AKIA" + strings.Repeat("Q", 16): "a key of the decoys"})
	for _, like := range Likes() {
		k, text, err := Create(dir, Key{Name: "bait-" + like, Canary: true, Like: like}, time.Hour, now)
		if err != nil {
			t.Fatal(err)
		}
		if like == "aws" { // of a signed request only the id can be seen
			var secret string
			if text, secret, _ = strings.Cut(strings.TrimPrefix(text, "aws_access_key_id = "), "\naws_secret_access_key = "); len(text) != 20 || len(secret) != 40 {
				t.Errorf("%q %q", text, secret)
			}
		}
		if strings.HasPrefix(text, Prefix) || strings.Contains(k.Hint, text) || !strings.HasPrefix(text, strings.TrimRight(k.Hint[:6], ".")) {
			t.Errorf("%s: %q, hint %q", like, text, k.Hint)
		}
		got, err := b.Check(text, now) // at once, though the file was looked at just now
		if !errors.Is(err, ErrCanary) || got == nil || got.ID != k.ID {
			t.Errorf("%s: %+v, %v", like, got, err)
		}
		if _, err := b.Check(text+"x", now); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s with a letter more: %v", like, err)
		}
		if _, err := Revoke(dir, k.ID, now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(lookEvery)
		if _, err := b.Check(text, now); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s after it was taken back: %v", like, err)
		}
	}
	if k, err := b.Check("AKIA"+strings.Repeat("Q", 16), now); !errors.Is(err, ErrCanary) || k.Name != "a key of the decoys" {
		t.Errorf("%+v %v", k, err)
	}
	for _, k := range []Key{{Name: "x", Like: "openai"}, {Name: "x", Canary: true, Like: "nobody"}} {
		if _, _, err := Create(dir, k, time.Hour, now); !errors.Is(err, ErrInput) {
			t.Errorf("%+v: %v", k, err)
		}
	}
}
