package decide

import (
	"errors"
	"strings"
	"testing"
	"time"

	"bartizan/internal/intel"
	"bartizan/internal/model"
)

// gatewayFor refuses what its types say and knows these shares.
type gatewayFor map[model.Entity]float64

func (g gatewayFor) Refuses(e model.Entity) bool { _, ok := g[e]; return ok }
func (g gatewayFor) Share(e model.Entity) (float64, bool) {
	return g[e], g[e] >= 0
}

const unknownShare = -1

func named(t testing.TB, s string) model.Entity {
	t.Helper()
	e, err := model.ParseNamed(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func verdictOf(d *model.Decision, guardrail string) model.Verdict {
	for _, g := range d.Guardrails {
		if g.Guardrail == guardrail {
			return g.Verdict
		}
	}
	return model.GuardUnknown
}

// A person's order about a key lives like one about an address: in force, over by
// itself, taken back, and not again while it stands.
func TestClientsByHand(t *testing.T) {
	for _, target := range []string{"key:bzg_k3v7q2m5xa", "user:alice", "prompt:0123456789abcdef"} {
		w := newWorld(t, enforcing(t))
		e := named(t, target)
		w.facts.Clients = gatewayFor{e: unknownShare}
		w.facts.Unknown = []string{FactOwn, FactSessions} // say nothing about a key
		order := Manual{Target: e, Action: model.Block, For: time.Hour, Reason: "leaked", By: "uid=0"}
		entries, err := EvaluateManual(t0, order, w.led, w.pol, w.facts)
		if err != nil || len(entries) != 1 || entries[0].Change != model.ChangeDecide {
			t.Fatalf("%s: %+v, %v", target, entries, err)
		}
		w.apply(entries...)
		if got := w.led.Active(); len(got) != 1 || got[0].Target != e || got[0].DryRun {
			t.Fatalf("%s: %+v", target, got)
		}
		if _, err := EvaluateManual(t0, order, w.led, w.pol, w.facts); err == nil {
			t.Errorf("%s: decided twice", target)
		}
		w.apply(w.led.Expiries(at(2 * time.Hour))...)
		if d, _ := w.led.Get(entries[0].ID); d.State != model.StateExpired {
			t.Errorf("%s: %s after its end", target, d.State)
		}
	}
}

func TestClientsRefusedOrders(t *testing.T) {
	e := named(t, "user:alice")
	for name, c := range map[string]struct {
		facts  Facts
		policy string
		action model.Action
		want   string
	}{
		"nobody could refuse it": {action: model.Block, want: "needs a gateway"},
		"not half":               {facts: Facts{Clients: gatewayFor{e: 0}}, action: model.Throttle, want: "no more and no less"},
		"isolated":               {facts: Facts{Clients: gatewayFor{e: 0}}, action: model.Isolate, want: "no more and no less"},
		"on the never-list":      {facts: Facts{Clients: gatewayFor{e: 0}}, policy: "mode: enforce\nnever: [\"user:alice\"]\n", action: model.Block, want: "never-list"},
	} {
		pol := enforcing(t)
		if c.policy != "" {
			pol = policy(t, c.policy)
		}
		w := newWorld(t, pol)
		_, err := EvaluateManual(t0, Manual{Target: e, Action: c.action, For: time.Hour, By: "uid=0"}, w.led, w.pol, c.facts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the ledger says about keys is checked where it is folded, too.
func TestClientsInLedger(t *testing.T) {
	for name, d := range map[string]model.Decision{
		"throttled": {Action: model.Throttle, Target: named(t, "user:alice")},
		"a domain":  {Action: model.Block, Target: named(t, "domain:example.org")},
		"leased":    {Action: model.Block, Target: named(t, "user:alice"), Lease: model.NewULID(t0)},
		"never":     {Action: model.Block, Target: named(t, "user:alice"), Guardrails: []model.Guarded{{Guardrail: "never-list", Verdict: model.GuardNever}}},
	} {
		d.ID, d.From, d.Until = model.NewULID(t0), t0, at(time.Hour)
		_, err := NewLedger(LedgerConfig{}).Apply(1, model.Entry{Change: model.ChangeDecide, Time: t0, ID: d.ID, Decision: &d})
		if _, ok := errors.AsType[*EntryError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keyProof is a key that was used for two independent kinds of evil.
func keyProof(t *testing.T, key model.Entity) model.Indicator {
	t.Helper()
	st := intel.New(intel.Default())
	for _, k := range []struct {
		kind  string
		class model.Class
	}{{"guard.injection", model.ClassModelAbuse}, {"guard.secret-leak", model.ClassSecrets}, {"guard.exfiltration", model.ClassExfil}} {
		for range 3 {
			st.Fold(&model.Signal{ID: model.NewULID(t0), Time: t0, Kind: k.kind, Class: k.class, Actor: ip(t, "203.0.113.9"), Sensor: "gateway/openai",
				Confidence: 0.99, Severity: model.High, Count: 1, Related: []model.Entity{key}})
		}
	}
	ind, ok := st.Get(key, t0)
	if !ok || ind.Confidence < 0.95 {
		t.Fatalf("%+v", ind)
	}
	return ind
}

func TestClientsByPolicy(t *testing.T) {
	key, foreign := named(t, "key:bzg_k3v7q2m5xa"), named(t, "key:AKIAIOSFODNN7EXAMPLE")
	for name, c := range map[string]struct {
		key     model.Entity
		clients Clients
		want    model.Change // "": nothing
	}{
		"a stolen key":                {key, gatewayFor{key: 0.004}, model.ChangeDecide},
		"a key nobody counted":        {key, gatewayFor{key: unknownShare}, model.ChangeDecide},
		"a key most people use":       {key, gatewayFor{key: 0.6}, model.ChangeHold},
		"no gateway":                  {key, nil, ""},
		"a key that is somebody else": {foreign, gatewayFor{foreign: 0}, ""},
	} {
		w := newWorld(t, enforcing(t))
		w.facts.Clients = c.clients
		entries, err := Evaluate(t0, keyProof(t, c.key), w.led, w.pol, w.facts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch {
		case c.want == "" && len(entries) != 0, c.want != "" && (len(entries) != 1 || entries[0].Change != c.want):
			t.Errorf("%s: %+v", name, entries)
		case c.want == model.ChangeHold && verdictOf(entries[0].Decision, "blast-radius") != model.GuardHold:
			t.Errorf("%s: %+v", name, entries[0].Decision.Guardrails)
		}
		w.apply(entries...)
	}
}
