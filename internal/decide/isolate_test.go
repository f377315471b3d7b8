package decide

import (
	"errors"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
)

const isolating = `
mode: enforce
rules:
  - {name: isolate, when: 'indicator.type == "ip"', action: isolate, min_classes: 1, for: 1h}
`

// TestOwnHostWaitsForAPerson: to isolate a host of one's own is proposed, held,
// and done when somebody approves it; nothing makes it happen by itself.
func TestOwnHostWaitsForAPerson(t *testing.T) {
	for _, host := range []string{"10.0.0.5", "172.31.4.4", "192.168.1.9", "100.64.0.3", "fd00:1::5"} {
		w := newWorld(t, policy(t, isolating))
		w.facts.Addresses = addrs("10.0.0.1", "fd00:1:0:2::1")
		d := w.decide(t0, proof(t, host, t0))
		if g := verdict(d, "reserved"); d.State != model.StateHeld || d.Action != model.Isolate || g.Verdict != model.GuardHold {
			t.Errorf("%s: %s %s, %+v", host, d.State, d.Action, g)
			continue
		}
		forged := *d // somebody writes the ledger
		forged.ID, forged.State = ulid(7), model.StateActive
		w.refused(model.Entry{Change: model.ChangeDecide, Time: t0, ID: forged.ID, Decision: &forged}, "reserved")
		w.refused(model.Entry{Change: model.ChangeApprove, Time: at(time.Minute), ID: d.ID, Until: at(time.Hour)}, "reserved") // nobody says so
		e, err := Approve(at(time.Minute), d.ID, "uid=0", w.led, w.pol, w.facts)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		w.apply(e)
		if got, _ := w.led.Get(d.ID); got.State != model.StateActive || !got.Until.Equal(at(time.Hour+time.Minute)) {
			t.Errorf("%s: %s until %s", host, got.State, got.Until)
		}
	}
}

// TestOwnHostsKeepTheOtherGuardrails: what is no single host, another action and
// what the machine lives on stay out of reach of everybody.
func TestOwnHostsKeepTheOtherGuardrails(t *testing.T) {
	for _, c := range []struct {
		target string
		action model.Action
		rail   string
	}{
		{"10.0.0.0/24", model.Isolate, "reserved"}, {"10.0.0.5", model.Block, "reserved"}, {"127.0.0.1", model.Isolate, "reserved"},
		{"169.254.1.1", model.Isolate, "reserved"}, {"10.0.0.1", model.Isolate, "own"}, {"10.0.0.254", model.Isolate, "infrastructure"},
		{"10.0.0.53", model.Isolate, "infrastructure"}, {"10.0.0.9", model.Isolate, "session"}, {"10.0.0.77", model.Isolate, "never-list"},
	} {
		w := newWorld(t, policy(t, isolating))
		w.facts.Addresses, w.facts.Gateways, w.facts.Resolvers = addrs("10.0.0.1"), addrs("10.0.0.254"), addrs("10.0.0.53")
		w.facts.Sessions, w.facts.Never = addrs("10.0.0.9"), prefixes("10.0.0.77/32")
		var no *NeverError
		_, err := EvaluateManual(t0, Manual{Target: ip(t, c.target), Action: c.action, For: time.Hour, By: "uid=0"}, w.led, w.pol, w.facts)
		if !errors.As(err, &no) || !strings.Contains(strings.Join(no.Why, "; "), c.rail) {
			t.Errorf("%s %s: %v, want %s", c.action, c.target, err, c.rail)
		}
	}
	w := newWorld(t, policy(t, isolating))
	entries, err := EvaluateManual(t0, Manual{Target: ip(t, "10.0.0.5"), Action: model.Isolate, For: time.Hour, By: "uid=0"}, w.led, w.pol, w.facts)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(entries...)
	if d, _ := w.led.Get(entries[0].ID); d.State != model.StateActive {
		t.Errorf("a person's own order: %s", d.State)
	}
}
