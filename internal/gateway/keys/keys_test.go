package keys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/credential"
)

func TestLifeOfAKey(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "gateway"), time.Now()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	k, text, err := Create(dir, Key{Name: "app", User: "ann"}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Check(text, now); err != nil || got.ID != k.ID || got.User != "ann" {
		t.Fatalf("a key made while the book is open: %+v %v", got, err)
	}
	if _, _, err := Create(dir, Key{Name: "app"}, time.Hour, now); !errors.Is(err, ErrInput) {
		t.Errorf("a second key of that name: %v", err)
	}
	for _, c := range []struct {
		text string
		at   time.Time
		want error
	}{{"", now, ErrMissing}, {"bzg_x", now, ErrMalformed}, {strings.ToUpper(text), now, ErrMalformed}, {text + "a", now, ErrMalformed},
		{text[:len(text)-1] + string('a'+(text[len(text)-1]-'a'+1)%26), now, ErrUnknown}, {text, now.Add(2 * time.Hour), ErrExpired}} {
		if _, err := b.Check(c.text, c.at); !errors.Is(err, c.want) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v, want %v", c.text, err, c.want)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "keys.json"))
	if err != nil || strings.Contains(string(data), text[20:]) {
		t.Errorf("the file holds the key (%v)", err)
	}
	if info, _ := os.Stat(filepath.Join(dir, "keys.json")); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := Revoke(dir, "app", now); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(text, now.Add(time.Second)); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := Revoke(dir, "nobody", now); !errors.Is(err, ErrInput) {
		t.Errorf("%v", err)
	}
	all, err := List(dir)
	if err != nil || len(all) != 1 || all[0].Hash != "" || all[0].State(now) != "revoked" {
		t.Errorf("%+v %v", all, err)
	}
}

func TestBadRequestsAndFiles(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for _, k := range []Key{{}, {Name: "a b"}, {Name: "a\n"}, {Name: strings.Repeat("a", 65)}, {Name: "a", User: "<x>"}} {
		if _, _, err := Create(dir, k, time.Hour, now); !errors.Is(err, ErrInput) {
			t.Errorf("%+v: %v", k, err)
		}
	}
	if _, _, err := Create(dir, Key{Name: "a"}, 10*MaxLifetime, now); !errors.Is(err, ErrInput) {
		t.Errorf("%v", err)
	}
	_, text, err := Create(dir, Key{Name: "a"}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), []byte(`{"version":1,"keys":[`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(text, now.Add(time.Minute)); err != nil || b.Err() == nil {
		t.Errorf("a damaged file: the keys before are gone (%v), or nobody says so (%v)", err, b.Err())
	}
	if _, err := Open(dir); err == nil {
		t.Error("opened a damaged file")
	}
	if _, _, err := Create(dir, Key{Name: "b"}, time.Hour, now); err == nil {
		t.Error("wrote over a damaged file")
	}
}

// Keys made at once are all kept.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, _, err := Create(dir, Key{Name: "k" + string(rune('a'+i))}, time.Hour, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all, err := List(dir); err != nil || len(all) != 20 {
		t.Errorf("%d keys, %v", len(all), err)
	}
}

func FuzzParse(f *testing.F) {
	_, text := form.Mint()
	f.Add(text)
	f.Add("bzg_")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := form.ID(s); ok && (len(id) != credential.OwnID || len(s) != form.Len()) {
			t.Errorf("%q: %q", s, id)
		}
	})
}
