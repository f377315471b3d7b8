package budget

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"

	"pgregory.net/rapid"
)

const hour = conf.Duration(time.Hour)

func start() time.Time { return time.Unix(1_700_000_000, 0).Truncate(time.Hour) }

func book(t interface {
	Helper()
	Fatal(...any)
}, dir string, now time.Time, limits ...Limit) *Book {
	t.Helper()
	for i := range limits {
		if err := limits[i].Check(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := Open(dir, limits, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryBudgetHolds(t *testing.T) {
	now := start()
	b := book(t, t.TempDir(), now, Limit{By: "key", Per: hour, Requests: 2}, Limit{By: "user", Per: hour, Tokens: 100}, Limit{By: "model", Only: []string{"dear-*"}, Per: hour, Dollars: 1},
		Limit{By: "route", Per: hour, Concurrency: 1}, Limit{By: "tool", Per: hour, Requests: 1})
	var x *Exceeded
	take := func(w Who, s Spend) *Hold {
		t.Helper()
		h, err := b.Reserve(now, w, s)
		if err != nil && !errors.As(err, &x) {
			t.Fatal(err)
		}
		return h
	}
	for range 2 {
		if take(Who{Key: "a"}, Spend{}) == nil {
			t.Fatalf("%v", x)
		}
	}
	if take(Who{Key: "a"}, Spend{}) != nil || x.By != "key" || x.Wait != time.Hour {
		t.Errorf("%+v", x)
	}
	if take(Who{Key: "b"}, Spend{}) == nil {
		t.Error("another key has no account of its own")
	}
	h := take(Who{User: "ann"}, Spend{Tokens: 90})
	if take(Who{User: "ann"}, Spend{Tokens: 20}) != nil {
		t.Error("110 of 100 tokens reserved")
	}
	if err := h.Settle(now, &Spend{Tokens: 10}); err != nil {
		t.Fatal(err)
	}
	if take(Who{User: "ann"}, Spend{Tokens: 90}) == nil {
		t.Error("what was not used is not given back")
	}
	if take(Who{Model: "dear-1"}, Spend{Tokens: 5}) != nil || !x.Unpriced {
		t.Errorf("a model without a price and a budget in dollars: %+v", x)
	}
	if take(Who{Model: "dear-1"}, Spend{Micros: 900_000, Priced: true}) == nil || take(Who{Model: "dear-1"}, Spend{Micros: 200_000, Priced: true}) != nil {
		t.Error("dollars")
	}
	if take(Who{Model: "cheap"}, Spend{Micros: 9e9, Priced: true}) == nil {
		t.Error("a model the budget is not for")
	}
	r := take(Who{Route: "r"}, Spend{})
	if take(Who{Route: "r"}, Spend{}) != nil {
		t.Error("two at once")
	}
	if err := r.Settle(now, nil); err != nil || take(Who{Route: "r"}, Spend{}) == nil {
		t.Errorf("after the end of the one before: %v", err)
	}
	if err := b.Tool(now, Who{Tool: "mail"}); err != nil {
		t.Error(err)
	}
	if err := b.Tool(now, Who{Tool: "mail"}); !errors.As(err, &x) {
		t.Errorf("a second call: %v", err)
	}
	now = now.Add(time.Hour)
	if take(Who{Key: "a"}, Spend{}) == nil {
		t.Error("the next window")
	}
	b.Close()
}

func TestBadLimits(t *testing.T) {
	for _, l := range []Limit{{}, {By: "key", Per: hour}, {By: "key", Per: 1, Requests: 1}, {By: "keys", Per: hour, Requests: 1}, {By: "tool", Per: hour, Tokens: 1}, {By: "key", Per: hour, Requests: -1}} {
		if l.Check() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}

// Whatever happens in whatever order, with the process ending at any moment: what was
// spent is never forgotten, and no budget is exceeded.
func TestNothingIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "budget")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		now := start()
		const tokens = 1000
		limits := []Limit{{By: "key", Per: hour, Tokens: tokens}, {By: "user", Per: hour, Requests: 50}}
		b := book(t, dir, now, limits...)
		var open []*Hold
		least := int64(0) // that must be on the account
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				n := rapid.Int64Range(0, 300).Draw(t, "n")
				if h, err := b.Reserve(now, Who{Key: "k", User: "u"}, Spend{Tokens: n}); err == nil {
					open = append(open, h)
					least += n
				}
			case 3:
				if len(open) > 0 {
					h := open[0]
					open = open[1:]
					n := rapid.Int64Range(0, h.reserved.Tokens).Draw(t, "real")
					if err := h.Settle(now, &Spend{Tokens: n}); err != nil {
						t.Fatal(err)
					}
					least -= h.reserved.Tokens - n
				}
			case 4: // killed: nothing is closed, the last line may be cut
				open = nil
				if rapid.Bool().Draw(t, "cut") {
					f, err := os.OpenFile(filepath.Join(dir, "budget.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
					if err != nil {
						t.Fatal(err)
					}
					f.WriteString(`{"op":"reserve","id":9`)
					f.Close()
				}
				b.log.file.Close()
				b = book(t, dir, now, limits...)
			case 5:
				b.mu.Lock()
				err := b.rewrite(now)
				b.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, u := range b.List(now) {
				if u.By == "key" && (u.Tokens != least || u.Tokens > tokens) {
					t.Fatalf("%d tokens on the account, spent %d of %d", u.Tokens, least, tokens)
				}
			}
		}
		b.Close()
	})
}

func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "budget.jsonl"), []byte("x\ny\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil, start()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
	}
}

func TestSpike(t *testing.T) {
	dir, now := t.TempDir(), start()
	b := book(t, dir, now, Limit{By: "key", Per: hour, Requests: 1000})
	spikes := 0
	for h := range 30 {
		now = start().Add(time.Duration(h) * time.Hour)
		for range 10 {
			if b.Observe(now, "k", 1000) != nil {
				spikes++
			}
		}
	}
	if spikes != 0 {
		t.Fatalf("%d spikes of a steady key", spikes)
	}
	b.mu.Lock()
	if err := b.rewrite(now); err != nil {
		t.Fatal(err)
	}
	b.mu.Unlock()
	b.Close()
	b = book(t, dir, now, Limit{By: "key", Per: hour, Requests: 1000})
	now = now.Add(time.Hour)
	for range 300 {
		if s := b.Observe(now, "k", 1000); s != nil {
			spikes++
		}
	}
	if spikes != 1 {
		t.Errorf("%d alarms of one spike, after a restart", spikes)
	}
	b.Close()
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte(`{"op":"reserve","id":1,"at":1,"who":{"key":"k"},"spend":{"tokens":5}}` + "\n" + `{"op":"settle","id":1,"spend":{"tokens":2}}` + "\n"))
	f.Add([]byte(`{"op":"account","account":{"by":"key","name":"k","per":"1h0m0s","from":"2026-01-01T00:00:00Z","tokens":7}}` + "\n"))
	f.Add([]byte(`{"op":"key","who":{"key":"k"},"baseline":{"hour":3}}` + "\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &Book{limits: []Limit{{By: "key", Per: hour, Tokens: 10}}, accounts: map[accountKey]*account{}, open: map[uint64]*Hold{}, alarms: map[string]*baseline{}}
		if b.replay(bytes.NewReader(data)) != nil {
			return
		}
		for k, a := range b.accounts {
			if a.running < 0 {
				t.Errorf("%+v: %d run", k, a.running)
			}
		}
		if len(b.open) > bytes.Count(data, []byte("\n"))+1 {
			t.Errorf("%d exchanges of %d lines", len(b.open), bytes.Count(data, []byte("\n")))
		}
	})
}

// TestKeysByName: a budget that names a key as people do is its budget, after a kill too.
func TestKeysByName(t *testing.T) {
	dir, now := t.TempDir(), start()
	limits := []Limit{{By: "key", Only: []string{"my-app"}, Per: hour, Requests: 2}, {By: "key", Only: []string{"id2"}, Per: hour, Requests: 1}}
	b := book(t, dir, now, limits...)
	take := func(w Who) bool {
		t.Helper()
		_, err := b.Reserve(now, w, Spend{})
		if err != nil && !errors.As(err, new(*Exceeded)) {
			t.Fatal(err)
		}
		return err == nil
	}
	app, other, second := Who{Key: "id1", KeyName: "my-app"}, Who{Key: "id3", KeyName: "other"}, Who{Key: "id2", KeyName: "two"}
	if !take(app) || !take(second) || take(second) || !take(other) || !take(other) || !take(other) {
		t.Error("a key has another budget than its own")
	}
	b = book(t, dir, now, limits...) // nobody closed it
	if !take(app) || take(app) || take(second) {
		t.Error("a kill forgot what was used")
	}
	b = book(t, dir, now, limits...)
	for _, u := range b.List(now) {
		if u.Limit == nil {
			t.Errorf("%s has no limit", u.Name)
		}
	}
	if take(app) {
		t.Error("what was written anew forgot what was used")
	}
}
