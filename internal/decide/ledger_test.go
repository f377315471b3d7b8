package decide

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"

	"pgregory.net/rapid"
)

func block(t testing.TB, n int, target string, from time.Time, length time.Duration) model.Entry {
	t.Helper()
	d := &model.Decision{ID: ulid(n), Action: model.Block, Target: ip(t, target), Policy: "p", From: from, Until: from.Add(length)}
	return model.Entry{Change: model.ChangeDecide, Time: from, ID: d.ID, Decision: d, By: "policy"}
}

func TestIllegalEntriesChangeNothing(t *testing.T) {
	w := newWorld(t, enforcing(t))
	w.apply(block(t, 1, attacker, t0, time.Hour))
	held := block(t, 2, "185.1.1.1", t0, time.Hour)
	held.Change = model.ChangeHold
	w.apply(held)
	before := w.led.List(Filter{})
	bad := func(change func(*model.Entry)) model.Entry {
		e := block(t, 3, "185.3.3.3", t0, time.Hour)
		change(&e)
		return e
	}
	for because, e := range map[string]model.Entry{
		"unknown change":             {Change: "burn", ID: ulid(1)},
		"no such decision":           {Change: model.ChangeRemove, ID: ulid(77), Time: t0},
		"only a held":                {Change: model.ChangeApprove, ID: ulid(1), Time: t0, Until: at(time.Hour)},
		"can be rejected":            {Change: model.ChangeReject, ID: ulid(1), Time: t0},
		"can be removed":             {Change: model.ChangeRemove, ID: ulid(2), Time: t0},
		"end has not come":           {Change: model.ChangeExpire, ID: ulid(1), Time: at(time.Minute)},
		"no end, or one in the past": {Change: model.ChangeApprove, ID: ulid(2), Time: t0},
		"no such lease":              {Change: model.ChangeUnlease, ID: ulid(5), Time: t0},
		"no lease":                   {Change: model.ChangeLease, ID: ulid(5), Time: t0},
		"no decision":                bad(func(e *model.Entry) { e.Decision = nil }),
		"or not the one it names":    bad(func(e *model.Entry) { e.ID = ulid(4) }),
		"of this id exists":          block(t, 1, attacker, t0, time.Hour),
		"ends before it begins":      bad(func(e *model.Entry) { e.Decision.Until = e.Decision.From }),
		"ten years":                  bad(func(e *model.Entry) { e.Decision.Until = e.Decision.From.AddDate(20, 0, 0) }),
		"unknown action":             bad(func(e *model.Entry) { e.Decision.Action = 200 }),
		"no target":                  bad(func(e *model.Entry) { e.Decision.Target = model.Entity{} }),
		"too long":                   bad(func(e *model.Entry) { e.Decision.Reason = strings.Repeat("x", 10_000) }),
		"too many guardrails":        bad(func(e *model.Entry) { e.Decision.Guardrails = make([]model.Guarded, 1000) }),
		"guardrail result":           bad(func(e *model.Entry) { e.Decision.Guardrails = []model.Guarded{{Detail: strings.Repeat("x", 10_000)}} }),
		"says never": bad(func(e *model.Entry) {
			e.Decision.Guardrails = []model.Guarded{{Guardrail: "own", Verdict: model.GuardNever}}
		}),
		"wider than anything": bad(func(e *model.Entry) { e.Decision.Target = ip(t, "2a01:4f8::/48") }),
		"reserved":            bad(func(e *model.Entry) { e.Decision.Target = ip(t, "10.0.0.1") }),
		"private use":         bad(func(e *model.Entry) { e.Decision.Target = ip(t, "172.16.0.0/12") }),
		"not a domain": bad(func(e *model.Entry) {
			d, err := model.ParseEntity(model.TypeDomain, "example.org")
			if err != nil {
				t.Fatal(err)
			}
			e.Decision.Target = d
		}),
	} {
		w.refused(e, because)
	}
	if after := w.led.List(Filter{}); !reflect.DeepEqual(before, after) {
		t.Fatalf("changed to %+v", after)
	}
	// The same end noticed twice is no mistake.
	end := model.Entry{Change: model.ChangeExpire, ID: ulid(1), Time: at(time.Hour)}
	w.apply(end, end)
	// A delivery again, whatever it says, is not looked at.
	if c, err := w.led.Apply(1, model.Entry{Change: "burn"}); c != nil || err != nil {
		t.Fatalf("%v %v", c, err)
	}
}

func TestExpiryTimes(t *testing.T) {
	w := newWorld(t, enforcing(t))
	w.apply(block(t, 1, attacker, t0, time.Minute), block(t, 2, "185.1.1.1", t0, time.Hour))
	if next, ok := w.led.NextDue(); !ok || !next.Equal(at(time.Minute)) {
		t.Fatalf("%v %v", next, ok)
	}
	if e := w.led.Expiries(at(59 * time.Second)); len(e) != 0 {
		t.Fatalf("early: %+v", e)
	}
	w.tick(at(10 * time.Minute)) // the node was away
	d, _ := w.led.Get(ulid(1))
	if d.State != model.StateExpired || !d.Ended.Equal(at(time.Minute)) || d.EndReason != "clock: reached its end" {
		t.Fatalf("ended %v: %+v", d.Ended, d)
	}
	if a := w.led.Active(); len(a) != 1 || a[0].ID != ulid(2) {
		t.Fatalf("%+v", a)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	led := NewLedger(LedgerConfig{KeepEnded: 10, KeepFor: 24 * time.Hour})
	seq := uint64(0)
	do := func(e model.Entry) {
		seq++
		if _, err := led.Apply(seq, e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		from := at(time.Duration(i) * time.Minute)
		do(block(t, i, attacker, from, time.Second))
		do(model.Entry{Change: model.ChangeExpire, Time: from.Add(time.Second), ID: ulid(i)})
	}
	s := led.Stats()
	if s.Ended != 10 || s.Forgotten != 40 || len(led.List(Filter{})) != 10 || led.Recurrences(ip(t, attacker)) != 10 {
		t.Fatalf("%+v", s)
	}
	do(block(t, 100, attacker, at(48*time.Hour), time.Second))
	if s := led.Stats(); s.Ended != 0 || len(led.ByTarget(ip(t, attacker))) != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestList(t *testing.T) {
	w := newWorld(t, enforcing(t))
	w.apply(block(t, 1, attacker, t0, time.Minute), block(t, 2, "185.1.1.1", at(time.Second), time.Hour), block(t, 3, "185.1.1.0/24", at(2*time.Second), time.Hour))
	w.tick(at(2 * time.Minute))
	ids := func(f Filter) (out []byte) {
		for _, d := range w.led.List(f) {
			out = append(out, d.ID[15])
		}
		return out
	}
	for name, c := range map[string]struct {
		f    Filter
		want string
	}{
		"all, newest first": {Filter{}, "321"}, "state": {Filter{States: []model.State{model.StateExpired}}, "1"},
		"within": {Filter{Within: prefixes("185.1.1.0/24")[0]}, "32"}, "page": {Filter{Offset: 1, Limit: 1}, "2"},
		"since": {Filter{Since: at(time.Second)}, "32"}, "target": {Filter{Target: ip(t, attacker)}, "1"},
		"least": {Filter{Least: model.Isolate}, ""}, "policy": {Filter{Policy: "p"}, "321"}, "beyond": {Filter{Offset: 9}, ""},
	} {
		if got := string(ids(c.f)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// snapshot is everything a ledger answers.
func snapshot(l *Ledger) any {
	s := l.Stats()
	s.Repeated, s.Refused = 0, 0
	per := [4]int{}
	for i := range l.budget {
		per[i] = l.budget[i].active + 1000*len(l.budget[i].per)
	}
	return []any{l.List(Filter{Limit: 10_000}), l.Active(), l.Held(), s, per}
}

// TestFoldOrder: entries about different decisions may interleave in any way,
// entries may be delivered again, and a JSON round trip changes nothing.
func TestFoldOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var lives [][]model.Entry
		for i := range rapid.IntRange(1, 8).Draw(r, "decisions") {
			target := rapid.SampledFrom([]string{attacker, "185.1.1.1", "2a01:4f8::1"}).Draw(r, "target")
			begin := block(t, i, target, at(time.Duration(i)*time.Second), time.Minute)
			begin.Decision.DryRun = rapid.Bool().Draw(r, "dry")
			life := []model.Entry{begin}
			if rapid.Bool().Draw(r, "held") {
				life[0].Change = model.ChangeHold
				if rapid.Bool().Draw(r, "approved") {
					life = append(life, model.Entry{Change: model.ChangeApprove, Time: at(time.Minute), ID: ulid(i), Until: at(time.Hour), By: "x"})
				} else {
					life = append(life, model.Entry{Change: model.ChangeReject, Time: at(time.Minute), ID: ulid(i), By: "x"})
				}
			}
			switch rapid.IntRange(0, 2).Draw(r, "end") {
			case 0:
				life = append(life, model.Entry{Change: model.ChangeRemove, Time: at(2 * time.Minute), ID: ulid(i), By: "x"})
			case 1:
				life = append(life, model.Entry{Change: model.ChangeExpire, Time: at(30 * time.Hour), ID: ulid(i), By: "clock"})
			}
			lives = append(lives, life)
		}
		order := []int{}
		for i, l := range lives {
			for range l {
				order = append(order, i)
			}
		}
		fold := func(seed uint64, again bool) any {
			o := slices.Clone(order)
			rand.New(rand.NewPCG(seed, 9)).Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
			next := make([]int, len(lives))
			led := NewLedger(LedgerConfig{})
			for n, i := range o {
				e := lives[i][next[i]]
				next[i]++
				b, err := json.Marshal(e)
				if err != nil {
					r.Fatal(err)
				}
				var copied model.Entry
				if err := json.Unmarshal(b, &copied); err != nil {
					r.Fatal(err)
				}
				_, first := led.Apply(uint64(n+1), copied)
				_ = first // some ends are illegal by design of the draw
				if again {
					if c, err := led.Apply(uint64(n+1), copied); c != nil || err != nil {
						r.Fatalf("delivered again: %v %v", c, err)
					}
				}
			}
			// The place in the ledger is what the order is about; leave it out.
			for _, it := range led.items {
				it.d.Seq = uint64(it.d.ID[15])
			}
			return snapshot(led)
		}
		want := fold(0, false)
		for _, seed := range []uint64{1, 2} {
			if got := fold(seed, true); !reflect.DeepEqual(got, want) {
				r.Fatalf("order changed the state:\n%+v\n%+v", got, want)
			}
		}
	})
}

func FuzzLedgerApply(f *testing.F) {
	for _, e := range []model.Entry{
		block(f, 1, attacker, t0, time.Hour),
		{Change: model.ChangeLease, ID: ulid(2), Time: t0, Lease: &model.Lease{ID: ulid(2), Addresses: []string{"198.18.0.5"}, From: t0, Until: at(time.Minute), BlockFor: 3, By: "x", Signature: []byte("x")}},
		{Change: model.ChangeApprove, ID: ulid(3), Time: t0, Until: at(time.Hour)},
		{Change: model.ChangeExpire, ID: ulid(1), Time: at(2 * time.Hour)},
	} {
		b, err := json.Marshal([]model.Entry{e, e})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var entries []model.Entry
		if json.Unmarshal(b, &entries) != nil {
			return
		}
		w := newWorld(t, enforcing(t))
		w.apply(block(t, 1, attacker, t0, time.Hour))
		for i, e := range entries {
			_, _ = w.led.Apply(uint64(10+i), e)
			_ = w.led.Expiries(e.Time)
		}
		for _, d := range w.led.Active() {
			p, ok := d.Target.Prefix()
			if !forcible(d.Action) || d.DryRun {
				continue
			}
			if _, bad := reserved(p); !ok || bad {
				t.Fatalf("in force: %+v", d)
			}
		}
		if s := w.led.Stats(); s.Active+s.Held+s.Ended != len(w.led.List(Filter{Limit: 10_000})) || s.Leases != 0 {
			t.Fatalf("%+v", s)
		}
	})
}
