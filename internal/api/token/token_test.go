package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/credential"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStore is the real store, in a folder.
func openStore(t *testing.T, dir string) (*bus.KV[Token], func()) {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	kv, err := bus.OpenKV[Token](t.Context(), b, "TOKENS", "api-token", 1, bus.KVOptions[Token]{})
	if err != nil {
		t.Fatal(err)
	}
	return kv, func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func open(t *testing.T, s Store) *Book {
	t.Helper()
	b, err := Open(t.Context(), s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A token works until it is revoked or over, and both hold after a restart.
func TestLifeOfATokenOverRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bus")
	kv, closeBus := openStore(t, dir)
	b := open(t, kv)
	now := time.Now()
	tok, text, err := b.Create(t.Context(), now, "ci", Operate, time.Hour, "me")
	if err != nil {
		t.Fatal(err)
	}
	_, gone, err := b.Create(t.Context(), now, "gone", Admin, time.Hour, "me")
	if err != nil {
		t.Fatal(err)
	}
	g, err := b.Check(gone, now)
	if err != nil || g.Scope != Admin || g.Name != "gone" {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := b.Revoke(t.Context(), now, "gone"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-g.Gone:
	default:
		t.Error("whoever holds the grant is not told")
	}
	if _, err := b.Check(text, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil { // writes what is left to write
		t.Fatal(err)
	}
	closeBus()

	kv, closeBus = openStore(t, dir)
	defer closeBus()
	b = open(t, kv)
	if g, err := b.Check(text, now); err != nil || g.ID != tok.ID || g.Scope != Operate {
		t.Errorf("after a restart: %+v, %v", g, err)
	}
	if _, err := b.Check(gone, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("a revoked token after a restart: %v", err)
	}
	if _, err := b.Check(text, now.Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("an expired token: %v", err)
	}
	for _, x := range b.List() {
		if x.Hash != "" || x.Name == "ci" && x.LastUsed.Before(now) {
			t.Errorf("listed as %+v", x)
		}
	}
	err = kv.All(t.Context(), func(e bus.Entry[Token]) error {
		if s := fmt.Sprint(e); strings.Contains(s, text) || strings.Contains(s, text[len(Prefix)+credential.OwnID+1:]) {
			t.Errorf("the secret is stored: %s", s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// failing is a store whose disk is full.
type failing struct{ err error }

func (f *failing) Put(context.Context, string, Token) (uint64, error)      { return 0, f.err }
func (f *failing) Delete(context.Context, string) error                    { return f.err }
func (f *failing) All(context.Context, func(bus.Entry[Token]) error) error { return nil }

func TestStoreFails(t *testing.T) {
	f := &failing{}
	b := open(t, f)
	now := time.Now()
	_, text, err := b.Create(t.Context(), now, "a", Read, time.Hour, "me")
	if err != nil {
		t.Fatal(err)
	}
	f.err = bus.ErrNoSpace
	if _, _, err := b.Create(t.Context(), now, "b", Read, time.Hour, "me"); !errors.Is(err, bus.ErrNoSpace) {
		t.Errorf("a token that is nowhere: %v", err)
	}
	if _, err := b.Revoke(t.Context(), now, "a"); !errors.Is(err, bus.ErrNoSpace) {
		t.Errorf("a revocation that will be forgotten: %v", err)
	}
	if _, err := b.Check(text, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("refused at once although it cannot be stored: %v", err)
	}
}

func TestRefusedRequests(t *testing.T) {
	b := open(t, &failing{})
	now := time.Now()
	for name, err := range map[string]error{
		"no scope":     second(b.Create(t.Context(), now, "x", "root", time.Hour, "")),
		"too long":     second(b.Create(t.Context(), now, "x", Read, MaxLifetime+1, "")),
		"no time":      second(b.Create(t.Context(), now, "x", Read, 0, "")),
		"bad name":     second(b.Create(t.Context(), now, "x\ny", Read, time.Hour, "")),
		"empty name":   second(b.Create(t.Context(), now, "", Read, time.Hour, "")),
		"name of many": second(b.Create(t.Context(), now, strings.Repeat("x", 65), Read, time.Hour, "")),
	} {
		if !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Revoke(t.Context(), now, "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoke nobody: %v", err)
	}
	for i := range maxTokens {
		if _, _, err := b.Create(t.Context(), now, fmt.Sprint("n", i), Read, time.Second, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := second(b.Create(t.Context(), now, "more", Read, time.Hour, "")); !errors.Is(err, ErrInput) {
		t.Errorf("too many: %v", err)
	}
	if err := second(b.Create(t.Context(), now.Add(time.Minute), "more", Read, time.Hour, "")); err != nil {
		t.Errorf("dead tokens are in the way: %v", err)
	}
}

func second(_ Token, _ string, err error) error { return err }

// A gateway's token tells and sees nothing; a reader's tells nothing.
func TestReport(t *testing.T) {
	kv, end := openStore(t, t.TempDir())
	defer end()
	b := open(t, kv)
	tok, _, err := b.Create(t.Context(), time.Now(), "gw", Report, time.Hour, "test")
	if err != nil || tok.Scope != Report {
		t.Fatal(tok, err)
	}
	for have, want := range map[Scope][]bool{Report: {true, false, false, false}, Read: {false, true, false, false}, Operate: {true, true, true, false}, Admin: {true, true, true, true}} {
		for i, need := range []Scope{Report, Read, Operate, Admin} {
			if have.Allows(need) != want[i] {
				t.Errorf("%s allows %s: %v", have, need, !want[i])
			}
		}
	}
}

func TestScopes(t *testing.T) {
	order := []Scope{Read, Operate, Admin}
	for i, have := range order {
		for j, need := range order {
			if have.Allows(need) != (i >= j) {
				t.Errorf("%s allows %s: %v", have, need, have.Allows(need))
			}
		}
		if have.Allows("") || have.Allows("root") || Scope("").Allows(have) || Scope("root").Allows(have) {
			t.Errorf("%s and an unknown scope", have)
		}
	}
}

func TestTokensDiffer(t *testing.T) {
	ids, texts := map[string]bool{}, map[string]bool{}
	for range 1000 {
		id, text := form.Mint()
		if got, ok := form.ID(text); !ok || got != id || ids[id] || texts[text] {
			t.Fatalf("%s: id %s, %v, seen %v %v", text, got, ok, ids[id], texts[text])
		}
		ids[id], texts[text] = true, true
	}
}

func FuzzBearer(f *testing.F) {
	_, text := form.Mint()
	for _, s := range []string{"Bearer " + text, "bearer " + text, "Bearer  " + text, "Basic " + text, text, "Bearer " + text + " ", "Bearer " + Prefix, ""} {
		f.Add(s)
	}
	b, err := Open(context.Background(), &failing{}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := Bearer(header)
		if err != nil {
			return
		}
		if !strings.HasSuffix(header, " "+got) || len(header) != len("bearer ")+form.Len() {
			t.Fatalf("%q gives %q", header, got)
		}
		if _, err := b.Check(got, time.Now()); !errors.Is(err, ErrUnknown) {
			t.Fatalf("nobody's token: %v", err)
		}
	})
}
