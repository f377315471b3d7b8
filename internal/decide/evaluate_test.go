package decide

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/intel"
	"bartizan/internal/model"

	"pgregory.net/rapid"
)

const attacker = "185.220.101.7"

func TestShippedPolicyObserves(t *testing.T) {
	w := newWorld(t, DefaultPolicy())
	d := w.decide(t0, proof(t, attacker, t0))
	if !d.DryRun || d.State != model.StateActive || d.Action != model.Block || d.Policy != "block-proven" {
		t.Fatalf("%+v", d)
	}
	if len(d.Guardrails) != len(guardrails) {
		t.Fatalf("%d guardrail results stored, %d exist", len(d.Guardrails), len(guardrails))
	}
	if !slices.Equal(d.Because.Sensors, []string{"s1"}) || len(d.Because.Classes) != 3 || len(d.Because.Signals) != 4 {
		t.Fatalf("because %+v", d.Because)
	}
}

func TestEnforceBlocksAndGrows(t *testing.T) {
	w := newWorld(t, enforcing(t))
	now := t0
	for i, want := range []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute} {
		d := w.decide(now, proof(t, attacker, now))
		if d.DryRun || d.State != model.StateActive || d.Until.Sub(d.From) != want || d.Recurrence != i {
			t.Fatalf("round %d: %s, %+v", i, d.Until.Sub(d.From), d)
		}
		now = d.Until.Add(time.Second)
		w.tick(now)
	}
	if n := w.led.Recurrences(ip(t, attacker)); n != 4 {
		t.Fatalf("%d recurrences", n)
	}
	r := Rule{For: 10 * time.Minute, Grow: 2, Max: 24 * time.Hour}
	if got := r.lasts(5000); got != 24*time.Hour {
		t.Fatalf("grows to %s", got)
	}
}

func TestNothingNewNoDecision(t *testing.T) {
	w := newWorld(t, enforcing(t))
	ind := proof(t, attacker, t0)
	d := w.decide(t0, ind)
	if e := w.evaluate(at(time.Minute), proof(t, attacker, at(time.Minute))); len(e) != 0 {
		t.Fatalf("a second decision while one stands: %+v", e)
	}
	w.tick(d.Until)
	// The evidence is still alive, and from before the end.
	if e := w.evaluate(d.Until.Add(time.Second), proof(t, attacker, at(time.Minute))); len(e) != 0 {
		t.Fatalf("old evidence blocks again: %+v", e)
	}
	// Nor before the end was written.
	w2 := newWorld(t, enforcing(t))
	w2.decide(t0, ind)
	if e := w2.evaluate(d.Until.Add(time.Second), ind); len(e) != 0 {
		t.Fatalf("old evidence blocks again before the expiry was written: %+v", e)
	}
	w2.decide(d.Until.Add(time.Second), proof(t, attacker, d.Until.Add(time.Second)))
}

func TestPersonsWordIsRespected(t *testing.T) {
	w := newWorld(t, enforcing(t))
	d := w.decide(t0, proof(t, attacker, t0))
	e, err := Remove(at(time.Minute), d.ID, "uid=0", "that is our office", w.led)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(e)
	if e := w.evaluate(at(30*time.Minute), proof(t, attacker, at(30*time.Minute))); len(e) != 0 {
		t.Fatalf("blocked again within the quiet time: %+v", e)
	}
	again := w.decide(at(2*time.Hour), proof(t, attacker, at(2*time.Hour)))
	if again.Recurrence != 0 {
		t.Fatal("a decision that a person took back counts as a recurrence")
	}
}

func TestFreshDryRunDoesNotShieldFromEnforcing(t *testing.T) {
	w := newWorld(t, DefaultPolicy())
	ind := proof(t, attacker, t0)
	w.decide(t0, ind)
	w.pol = enforcing(t)
	if d := w.decide(at(time.Second), ind); d.DryRun {
		t.Fatal("still a dry run")
	}
	w.pol = DefaultPolicy()
	if e := w.evaluate(at(2*time.Second), ind); len(e) != 0 {
		t.Fatal("a dry run beside a real decision")
	}
}

func TestAlertsAndEscalation(t *testing.T) {
	w := newWorld(t, enforcing(t))
	ind := proof(t, attacker, t0)
	ind.Confidence = 0.85
	d := w.decide(t0, ind)
	if d.Action != model.Alert || d.Policy != "alert-suspicious" {
		t.Fatalf("%+v", d)
	}
	if e := w.evaluate(at(time.Second), ind); len(e) != 0 {
		t.Fatal("alerted twice")
	}
	if d := w.decide(at(2*time.Second), proof(t, attacker, t0)); d.Action != model.Block {
		t.Fatalf("an alert stands in the way of a block: %+v", d)
	}
}

func TestAlertsAreBounded(t *testing.T) {
	w := newWorld(t, policy(t, `
rules: [{name: a, when: "true", action: alert, min_classes: 0, for: 1h}]
guardrails: {budget: {new_per_minute: 20}}`))
	made := 0
	var err error
	for i := range 100 {
		ind := proof(t, netip.AddrFrom4([4]byte{185, 1, byte(i), 1}).String(), t0)
		var entries []model.Entry
		entries, err = Evaluate(t0, ind, w.led, w.pol, w.facts)
		made += len(entries)
		w.apply(entries...)
	}
	if made != 20 || !errors.Is(err, ErrAlertBudget) {
		t.Fatalf("%d alerts, %v", made, err)
	}
}

func TestOnlyAddressesAreBlocked(t *testing.T) {
	pol := policy(t, `
mode: enforce
rules:
  - {name: b, when: "true", action: block, for: 1h, min_classes: 1}
  - {name: a, when: "true", action: alert, for: 1h, min_classes: 0}`)
	w := newWorld(t, pol)
	e, err := model.ParseEntity(model.TypeURL, "http://evil.example/x")
	if err != nil {
		t.Fatal(err)
	}
	ind := proof(t, attacker, t0)
	ind.Entity = e
	if d := w.decide(t0, ind); d.Action != model.Alert {
		t.Fatalf("%+v", d)
	}
}

func TestConditionThatFailsDoesNotApply(t *testing.T) {
	pol := policy(t, `
mode: enforce
rules:
  - {name: broken, when: "indicator.classes[99] == 'x'", action: block, for: 1h}
  - {name: good, when: "indicator.severity >= high && now > indicator.first_seen - duration('1s')", action: alert, for: 1h}`)
	w := newWorld(t, pol)
	entries, err := Evaluate(t0, proof(t, attacker, t0), w.led, pol, Facts{})
	if err == nil || !strings.Contains(err.Error(), `rule "broken"`) {
		t.Fatalf("error %v", err)
	}
	if len(entries) != 1 || entries[0].Decision.Policy != "good" {
		t.Fatalf("entries %+v", entries)
	}
}

// TestSpoofedEvidenceNeverBlocks: any mix of forged signals, whatever they
// claim, never makes an active decision that acts; not even a held one.
func TestSpoofedEvidenceNeverBlocks(t *testing.T) {
	pol := policy(t, `
mode: enforce
rules: [{name: anything, when: "true", action: block, for: 1h, min_classes: 1}]`)
	classes := []model.Class{model.ClassScan, model.ClassAuth, model.ClassCommand, model.ClassExploit, model.ClassFile}
	rapid.Check(t, func(r *rapid.T) {
		st := intel.New(intel.Default())
		led := NewLedger(LedgerConfig{})
		seq := uint64(0)
		for i := range rapid.IntRange(1, 40).Draw(r, "n") {
			s := &model.Signal{
				ID: ulid(i), Time: at(time.Duration(i) * time.Second), Actor: ip(t, rapid.SampledFrom([]string{attacker, "185.220.101.8", "2a01:4f8::1"}).Draw(r, "actor")),
				Kind: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "kind"), Class: rapid.SampledFrom(classes).Draw(r, "class"),
				Sensor:     rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(r, "sensor"),
				Confidence: rapid.Float64Range(0, 1).Draw(r, "confidence"), Severity: model.Critical, Count: 1, Spoofable: true,
				Related: []model.Entity{ip(t, "185.220.101.9")},
			}
			for _, e := range st.Fold(s) {
				ind, _ := st.Get(e, s.Time)
				entries, err := Evaluate(s.Time, ind, led, pol, Facts{})
				if err != nil {
					r.Fatal(err)
				}
				for _, e := range entries {
					seq++
					if _, err := led.Apply(seq, e); err != nil {
						r.Fatal(err)
					}
				}
			}
		}
		if got := led.List(Filter{}); len(got) != 0 {
			r.Fatalf("forged evidence made %+v", got)
		}
	})
}

func TestSpoofedEvidenceDoesNotHelpRealEvidence(t *testing.T) {
	st := intel.New(intel.Default())
	for i, class := range []model.Class{model.ClassAuth, model.ClassScan, model.ClassProbe, model.ClassExploit} {
		st.Fold(&model.Signal{ID: ulid(i + 1), Time: t0, Actor: ip(t, attacker), Kind: string(class), Class: class, Sensor: "s", Confidence: 0.99, Count: 1, Spoofable: i > 0})
	}
	ind, _ := st.Get(ip(t, attacker), t0)
	ind.Confidence = 1 // even if it were certain
	w := newWorld(t, enforcing(t))
	for _, e := range w.evaluate(t0, ind) {
		if forcible(e.Decision.Action) {
			t.Fatalf("one real kind and three forged ones: %+v", e.Decision)
		}
	}
	// The summary alone is not believed either.
	ind.Classes = []model.Class{model.ClassAuth, model.ClassExploit, model.ClassProbe, model.ClassScan}
	for _, e := range w.evaluate(t0, ind) {
		if forcible(e.Decision.Action) {
			t.Fatalf("believed the summary against its terms: %+v", e.Decision)
		}
	}
}

// TestEvaluateIsIdempotent: with the entry applied, evaluating again gives
// nothing; without, it gives the same one.
func TestEvaluateIsIdempotent(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		pol := rapid.SampledFrom([]*Policy{DefaultPolicy(), enforcing(t)}).Draw(r, "policy")
		w := newWorld(t, pol)
		w.facts.Baseline = fakeBaseline{known: true, clients: map[netip.Prefix]int{netip.MustParsePrefix("185.220.101.8/32"): 50, netip.MustParsePrefix("185.220.101.9/32"): 500}}
		w.facts.Addresses = addrs("185.220.101.6")
		now := t0
		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 900).Draw(r, "wait")) * time.Second)
			w.tick(now)
			ind := proof(t, rapid.SampledFrom([]string{"185.220.101.6", attacker, "185.220.101.8", "185.220.101.9", "2a01:4f8::1", "10.0.0.1"}).Draw(r, "target"), now)
			ind.Signals = nil
			a, b := w.evaluate(now, ind), w.evaluate(now, ind)
			if !reflect.DeepEqual(a, b) {
				r.Fatalf("not the same twice: %+v, %+v", a, b)
			}
			w.apply(a...)
			if again := w.evaluate(now, ind); len(again) != 0 {
				r.Fatalf("decided again: %+v", again[0].Decision)
			}
		}
	})
}

func TestManualAndHeld(t *testing.T) {
	w := newWorld(t, enforcing(t))
	w.facts.Addresses = addrs("185.1.1.1")
	add := func(target string, length time.Duration) ([]model.Entry, error) {
		return EvaluateManual(t0, Manual{Target: ip(t, target), Action: model.Block, For: length, By: "uid=0"}, w.led, w.pol, w.facts)
	}
	e, err := add("185.2.2.0/24", time.Hour)
	if err != nil || len(e) != 1 || e[0].Change != model.ChangeHold || !strings.Contains(e[0].Reason, "no baseline") {
		t.Fatalf("a wide one without a baseline: %+v %v", e, err)
	}
	w.facts.Baseline = fakeBaseline{known: true}
	e, err = add("185.2.2.0/24", time.Hour)
	if err != nil || len(e) != 1 || e[0].Change != model.ChangeDecide || e[0].Decision.Policy != "manual" || e[0].Decision.Actor != "uid=0" {
		t.Fatalf("%+v %v", e, err)
	}
	w.apply(e...)
	if _, err := add("185.2.2.0/24", time.Hour); err == nil {
		t.Fatal("added twice")
	}
	for target, want := range map[string]string{
		"185.1.1.0/24":   "own: 185.1.1.1 is an address of this machine",
		"185.0.0.0/15":   "guardrails.widest_v4",
		"2a01:4f8::/48":  "guardrails.widest_v6",
		"10.1.2.3":       "private use",
		"0.0.0.0/0":      "reserved",
		"198.18.0.1":     "benchmarking",
		"2001:db8::1/64": "documentation",
	} {
		e, err := add(target, time.Hour)
		var n *NeverError
		if !errors.As(err, &n) || !strings.Contains(err.Error(), want) || len(e) != 1 || e[0].Change != model.ChangeHold {
			t.Errorf("%s: %+v, error %v, want %q", target, e, err, want)
			continue
		}
		w.apply(e...)
		if _, err := Approve(t0, e[0].ID, "uid=0", w.led, w.pol, w.facts); !errors.As(err, &n) {
			t.Errorf("%s: approving gave %v", target, err)
		}
		w.refused(model.Entry{Change: model.ChangeApprove, Time: t0, ID: e[0].ID, Until: at(time.Hour), By: "uid=0"}, "")
	}
	if _, err := add("185.3.3.3", 100*24*time.Hour); err == nil || !strings.Contains(err.Error(), "max_duration") {
		t.Errorf("too long: %v", err)
	}
}

func TestApproveAndReject(t *testing.T) {
	w := newWorld(t, enforcing(t))
	target := netip.MustParsePrefix(attacker + "/32")
	w.facts.Baseline = fakeBaseline{known: true, share: map[netip.Prefix]float64{target: 0.2}}
	d := w.decide(t0, proof(t, attacker, t0))
	if d.State != model.StateHeld || verdict(d, "blast-radius").Verdict != model.GuardHold {
		t.Fatalf("%+v", d)
	}
	later := at(3 * time.Hour)
	// Somebody administers from there now: the hold has become a never.
	w.facts.Sessions = addrs(attacker)
	if _, err := Approve(later, d.ID, "uid=0", w.led, w.pol, w.facts); err == nil || !strings.Contains(err.Error(), "administers") {
		t.Fatalf("approved: %v", err)
	}
	w.facts.Sessions = nil
	e, err := Approve(later, d.ID, "uid=0", w.led, w.pol, w.facts)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(e)
	got, _ := w.led.Get(d.ID)
	if got.State != model.StateActive || !got.Until.Equal(later.Add(10*time.Minute)) || got.Actor != "uid=0" {
		t.Fatalf("%+v", got)
	}
	for name, f := range map[string]func() error{
		"approve twice": func() error { _, err := Approve(later, d.ID, "x", w.led, w.pol, w.facts); return err },
		"reject active": func() error { _, err := Reject(later, d.ID, "x", "", w.led); return err },
		"remove nobody": func() error { _, err := Remove(later, ulid(99), "x", "", w.led); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "decision") {
			t.Errorf("%s: %v", name, err)
		}
	}
	d = w.decide(later, func() model.Indicator {
		w.facts.Baseline = fakeBaseline{known: false}
		w.pol.Limits.BlastRadius.Unknown = UnsureHold
		return proof(t, "185.220.101.8", later)
	}())
	if verdict(d, "blast-radius").Verdict != model.GuardUnknown || d.State != model.StateHeld {
		t.Fatalf("%+v", d)
	}
	if e, err = Reject(later, d.ID, "uid=0", "our partner", w.led); err != nil {
		t.Fatal(err)
	}
	w.apply(e)
	if got, _ := w.led.Get(d.ID); got.State != model.StateRejected || got.EndReason != "uid=0: our partner" {
		t.Fatalf("%+v", got)
	}
}

func TestHeldAreBounded(t *testing.T) {
	pol := enforcing(t)
	pol.Limits.MaxHeld = 3
	w := newWorld(t, pol)
	var err error
	for i := range 10 {
		var e []model.Entry
		e, err = Evaluate(t0, proof(t, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String(), t0), w.led, pol, w.facts)
		w.apply(e...)
	}
	if !errors.Is(err, ErrHeldFull) || len(w.led.Held()) != 3 {
		t.Fatalf("%d held, %v", len(w.led.Held()), err)
	}
	// They lapse by themselves.
	w.tick(at(25 * time.Hour))
	if len(w.led.Held()) != 0 {
		t.Fatal("held for ever")
	}
}

func BenchmarkEvaluate(b *testing.B) {
	w := newWorld(b, enforcing(b))
	w.facts = Facts{Addresses: addrs("185.1.1.1"), Resolvers: addrs("9.9.9.9"), Baseline: fakeBaseline{known: true}}
	ind := proof(b, attacker, t0)
	for b.Loop() {
		if e, err := Evaluate(t0, ind, w.led, w.pol, w.facts); err != nil || len(e) != 1 {
			b.Fatal(e, err)
		}
	}
}
