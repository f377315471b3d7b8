package decide

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/intel"
	"bartizan/internal/model"
)

var t0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

func ip(t testing.TB, s string) model.Entity {
	t.Helper()
	e, err := model.ParseIP(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func addrs(s ...string) []netip.Addr {
	out := make([]netip.Addr, len(s))
	for i := range s {
		out[i] = netip.MustParseAddr(s[i])
	}
	return out
}

func prefixes(s ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(s))
	for i := range s {
		out[i] = netip.MustParsePrefix(s[i])
	}
	return out
}

func policy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := LoadPolicy("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// enforcing is the shipped policy with the one word changed that people change.
func enforcing(t testing.TB) *Policy {
	t.Helper()
	p := *DefaultPolicy()
	p.Mode = ModeEnforce
	return &p
}

// proof makes an indicator that the shipped policy blocks, by way of the real
// fold, with evidence at the given time.
func proof(t testing.TB, target string, when time.Time) model.Indicator {
	t.Helper()
	return fold(t, target, when, when, "s1", false)
}

func fold(t testing.TB, target string, when, now time.Time, sensor string, spoofable bool) model.Indicator {
	t.Helper()
	st := intel.New(intel.Default())
	e := ip(t, target)
	for _, k := range []struct {
		kind  string
		class model.Class
	}{{"contact", model.ClassContact}, {"auth.brute-force", model.ClassAuth}, {"command.download", model.ClassCommand}, {"access.login", model.ClassAccess}} {
		s := &model.Signal{ID: model.NewULID(when), Time: when, Kind: k.kind, Class: k.class, Actor: e, Sensor: sensor,
			Confidence: 0.97, Severity: model.High, Count: 1, Spoofable: spoofable}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		st.Fold(s)
	}
	ind, ok := st.Get(e, now)
	if !ok {
		t.Fatalf("no indicator for %s", target)
	}
	return ind
}

// world drives the pure parts as a node does.
type world struct {
	t     testing.TB
	led   *Ledger
	pol   *Policy
	facts Facts
	key   ed25519.PrivateKey
	seq   uint64
	log   []model.Entry
}

func newWorld(t testing.TB, pol *Policy) *world {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(strings.NewReader(strings.Repeat("seed", 8)))
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, led: NewLedger(LedgerConfig{Key: pub}), pol: pol, key: key}
}

func (w *world) apply(entries ...model.Entry) {
	w.t.Helper()
	for _, e := range entries {
		w.seq++
		w.log = append(w.log, e)
		if _, err := w.led.Apply(w.seq, e); err != nil {
			w.t.Fatal(err)
		}
	}
}

// refused applies an entry that must change nothing.
func (w *world) refused(e model.Entry, because string) {
	w.t.Helper()
	w.seq++
	changed, err := w.led.Apply(w.seq, e)
	if err == nil || changed != nil || !strings.Contains(err.Error(), because) {
		w.t.Fatalf("%s %s: changed %v, error %v, want %q", e.Change, e.ID, changed, err, because)
	}
}

func (w *world) evaluate(now time.Time, ind model.Indicator) []model.Entry {
	w.t.Helper()
	entries, err := Evaluate(now, ind, w.led, w.pol, w.facts)
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}

// decide evaluates and applies; it wants exactly one entry.
func (w *world) decide(now time.Time, ind model.Indicator) *model.Decision {
	w.t.Helper()
	entries := w.evaluate(now, ind)
	if len(entries) != 1 {
		w.t.Fatalf("%d entries for %s, want one", len(entries), ind.Entity)
	}
	w.apply(entries...)
	d, ok := w.led.Get(entries[0].ID)
	if !ok {
		w.t.Fatal("the decision is not in the ledger")
	}
	return &d
}

func (w *world) tick(now time.Time) { w.apply(w.led.Expiries(now)...) }

func (w *world) lease(now time.Time, length, block time.Duration, a ...string) model.Lease {
	w.t.Helper()
	l, err := NewLease(now, addrs(a...), length, block, "uid=0", w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(model.Entry{Change: model.ChangeLease, Time: now, ID: l.ID, Lease: &l, By: "uid=0"})
	return l
}

func verdict(d *model.Decision, name string) model.Guarded {
	for _, g := range d.Guardrails {
		if g.Guardrail == name {
			return g
		}
	}
	return model.Guarded{Guardrail: name, Detail: "did not run"}
}

// fakeBaseline says the same of every prefix it knows.
type fakeBaseline struct {
	share   map[netip.Prefix]float64
	clients map[netip.Prefix]int
	known   bool
}

func (b fakeBaseline) Share(p netip.Prefix) (float64, bool) { return b.share[p], b.known }
func (b fakeBaseline) Clients(p netip.Prefix) int           { return b.clients[p] }

func ulid(n int) (id model.ULID) {
	copy(id[:], fmt.Sprintf("%016d", n))
	return id
}
