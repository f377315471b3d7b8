package decide

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"

	"github.com/gaissmai/bart"
)

// TestUnknownFactsHold: what could not be read is not clean.
func TestUnknownFactsHold(t *testing.T) {
	for fact, rail := range map[string]string{
		FactOwn: "own", FactResolvers: "infrastructure", FactGateways: "infrastructure", FactBalancers: "infrastructure",
		FactSessions + ": permission denied": "session", FactBenign: "benign", "the weather": "facts",
	} {
		w := newWorld(t, enforcing(t))
		w.facts.Unknown = []string{fact}
		d := w.decide(t0, proof(t, attacker, t0))
		g := verdict(d, rail)
		if d.State != model.StateHeld || g.Verdict != model.GuardUnknown || !strings.Contains(g.Detail, fact) {
			t.Errorf("%s: %+v", fact, d)
		}
		for _, other := range d.Guardrails {
			if other.Guardrail != rail && other.Verdict != model.GuardPass {
				t.Errorf("%s: %s says %s too", fact, other.Guardrail, other.Verdict)
			}
		}
	}
}

func TestSharedAddressLowers(t *testing.T) {
	for clients, want := range map[int]model.Action{0: model.Block, 10: model.Block, 11: model.Throttle, 100: model.Throttle, 101: model.Alert} {
		w := newWorld(t, enforcing(t))
		w.facts.Baseline = fakeBaseline{known: true, clients: map[netip.Prefix]int{netip.MustParsePrefix(attacker + "/32"): clients}}
		d := w.decide(t0, proof(t, attacker, t0))
		if d.Action != want || d.State != model.StateActive {
			t.Errorf("%d clients: %s", clients, d.Action)
		}
		if e := w.evaluate(at(time.Second), proof(t, attacker, at(time.Second))); len(e) != 0 {
			t.Errorf("%d clients: decided again: %+v", clients, e[0].Decision)
		}
		w.tick(d.Until)
		if e := w.evaluate(d.Until.Add(time.Second), proof(t, attacker, at(time.Second))); len(e) != 0 {
			t.Errorf("%d clients: decided again on old evidence: %+v", clients, e[0].Decision)
		}
	}
}

func TestBlastRadius(t *testing.T) {
	target := netip.MustParsePrefix(attacker + "/32")
	for _, c := range []struct {
		baseline Baseline
		unsure   Unsure
		want     model.Verdict
	}{
		{nil, UnsureSingle, model.GuardPass}, {nil, UnsurePass, model.GuardPass}, {nil, UnsureHold, model.GuardUnknown},
		{fakeBaseline{}, UnsureHold, model.GuardUnknown},
		{fakeBaseline{known: true}, UnsureHold, model.GuardPass},
		{fakeBaseline{known: true, share: map[netip.Prefix]float64{target: 0.01}}, UnsureHold, model.GuardPass},
		{fakeBaseline{known: true, share: map[netip.Prefix]float64{target: 0.011}}, UnsurePass, model.GuardHold},
		{fakeBaseline{known: false, share: map[netip.Prefix]float64{target: 0.5}}, UnsurePass, model.GuardHold},
	} {
		w := newWorld(t, enforcing(t))
		w.facts.Baseline, w.pol.Limits.BlastRadius.Unknown = c.baseline, c.unsure
		if g := verdict(w.decide(t0, proof(t, attacker, t0)), "blast-radius"); g.Verdict != c.want {
			t.Errorf("%+v %s: %+v", c.baseline, c.unsure, g)
		}
	}
}

func TestBudgets(t *testing.T) {
	many := func(change func(*Budget), sensors int, step time.Duration) (active int, d *model.Decision) {
		w := newWorld(t, enforcing(t))
		w.pol.Limits.Budget = Budget{NewPerMinute: 1000, PerSensorPerMinute: 1000, Active: 1000, PerPrefix: 1000}
		change(&w.pol.Limits.Budget)
		for i := range 60 {
			now := at(time.Duration(i) * step)
			a := netip.AddrFrom4([4]byte{185, 1, byte(i % 3), byte(i)})
			if d = w.decide(now, fold(t, a.String(), now, now, []string{"s1", "s2"}[i%sensors], false)); d.State == model.StateActive {
				active++
			}
		}
		return active, d
	}
	for _, c := range []struct {
		name    string
		change  func(*Budget)
		sensors int
		step    time.Duration
		want    int
		says    string
	}{
		{"new per minute", func(b *Budget) { b.NewPerMinute = 20 }, 2, 0, 20, "new_per_minute"},
		{"slow enough", func(b *Budget) { b.NewPerMinute = 20 }, 2, 3 * time.Second, 60, ""},
		{"active", func(b *Budget) { b.Active = 25 }, 2, time.Second, 25, "budget.active"},
		{"per prefix", func(b *Budget) { b.PerPrefix = 5 }, 2, time.Second, 15, "per_prefix"},
		{"one sensor", func(b *Budget) { b.PerSensorPerMinute = 10 }, 1, 0, 10, "one sensor"},
		{"two sensors", func(b *Budget) { b.PerSensorPerMinute = 10 }, 2, 0, 20, "one sensor"},
	} {
		active, d := many(c.change, c.sensors, c.step)
		if active != c.want || c.says != "" && !strings.Contains(verdict(d, "budget").Detail, c.says) {
			t.Errorf("%s: %d active, want %d; %+v", c.name, active, c.want, verdict(d, "budget"))
		}
	}
}

func TestBenignVerdicts(t *testing.T) {
	var set bart.Lite
	set.Insert(netip.MustParsePrefix("185.220.0.0/16"))
	for v, want := range map[model.Verdict]model.Verdict{model.GuardHold: model.GuardHold, model.GuardNever: model.GuardNever, model.GuardUnknown: model.GuardHold} {
		w := newWorld(t, enforcing(t))
		w.facts.Benign = []BenignList{{Name: "empty"}, {Name: "cdn", Verdict: v, List: &set}}
		d := w.decide(t0, proof(t, attacker, t0))
		if g := verdict(d, "benign"); g.Verdict != want || !strings.Contains(g.Detail, "cdn") || d.State != model.StateHeld {
			t.Errorf("%s: %+v", v, g)
		}
	}
}

func TestEvidenceOfTheFutureIsHeld(t *testing.T) {
	w := newWorld(t, enforcing(t))
	ind := proof(t, attacker, t0)
	ind.LastProof = at(time.Hour)
	if d := w.decide(t0, ind); d.State != model.StateHeld || verdict(d, "evidence").Verdict != model.GuardHold {
		t.Fatalf("%+v", d)
	}
}

func TestMinSensors(t *testing.T) {
	w := newWorld(t, policy(t, strings.Replace(rulesOnly, "for:", "min_sensors: 2, for:", 1)))
	ind := proof(t, attacker, t0)
	if e := w.evaluate(t0, ind); len(e) != 0 {
		t.Fatal("one sensor is enough")
	}
	ind.Terms = append(ind.Terms, model.Term{What: "x", Class: model.ClassAuth, Sensor: "s2", LogLR: 1})
	w.decide(t0, ind)
}

// TestEveryGuardrailCanStop: a guardrail that lost its wire would pass all
// other tests of its neighbours.
func TestEveryGuardrailCanStop(t *testing.T) {
	seen := map[string]bool{}
	note := func(d *model.Decision) {
		for _, g := range d.Guardrails {
			if g.Verdict != model.GuardPass {
				seen[g.Guardrail] = true
			}
		}
	}
	w := newWorld(t, enforcing(t))
	w.pol.Never = policy(t, "never: [0.0.0.0/0, '::/0']").Never
	w.pol.Limits.Budget.Active, w.pol.Limits.MaxDuration, w.pol.Limits.BlastRadius.Unknown = 0, 1, UnsureHold
	var all bart.Lite
	all.Insert(netip.MustParsePrefix("0.0.0.0/0"))
	w.facts = Facts{Addresses: addrs("10.0.0.1"), Gateways: addrs("10.0.0.1"), Sessions: addrs("10.0.0.1"), Unknown: []string{"x"},
		Benign: []BenignList{{List: &all}}, Baseline: fakeBaseline{clients: map[netip.Prefix]int{netip.MustParsePrefix("10.0.0.0/16"): 1000}}}
	ind := proof(t, "10.0.0.0/16", t0)
	ind.LastProof = at(time.Hour)
	note(w.decide(t0, ind))
	for _, g := range guardrails {
		if !seen[g.name] {
			t.Errorf("guardrail %s said nothing", g.name)
		}
	}
}
