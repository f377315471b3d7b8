package decide

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
)

func TestLeaseLiftsExactlyTwoThings(t *testing.T) {
	w := newWorld(t, DefaultPolicy())
	l := w.lease(t0, 5*time.Minute, 3*time.Second, "198.18.0.5", "2001:db8:1:2::7")
	for _, target := range []string{"198.18.0.5", "2001:db8:1:2::7"} {
		d := w.decide(at(time.Second), proof(t, target, at(time.Second)))
		if d.DryRun || d.State != model.StateActive || d.Lease != l.ID || d.Until.Sub(d.From) != 3*time.Second {
			t.Fatalf("%s: %+v", target, d)
		}
		if g := verdict(d, "reserved"); g.Verdict != model.GuardPass || !strings.Contains(g.Detail, l.ID.String()) {
			t.Fatalf("%+v", g)
		}
	}
	for _, target := range []string{"198.18.0.6", "198.18.0.0/24", "198.19.255.255", "2001:db8:1:3::7", "2001:db8:1:2::/56", attacker} {
		d := w.decide(at(2*time.Second), proof(t, target, at(2*time.Second)))
		if d.State == model.StateActive && !d.DryRun || !d.Lease.IsZero() {
			t.Errorf("%s is not named, but: %+v", target, d)
		}
	}
	// Repeats do not grow.
	now := at(5 * time.Second)
	w.tick(now)
	if d := w.decide(now, proof(t, "198.18.0.5", now)); d.Until.Sub(d.From) != 3*time.Second || d.Recurrence != 0 {
		t.Fatalf("%+v", d)
	}
	// Over: by time, without anybody's help.
	now = at(5*time.Minute + time.Second)
	if d := w.decide(now, proof(t, "2001:db8:1:2::7", now)); d.State != model.StateHeld {
		t.Fatalf("lease is over, but: %+v", d)
	}
	w.tick(now)
	if s := w.led.Stats(); s.Leases != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestLeaseDoesNotLiftOtherGuardrails(t *testing.T) {
	for name, change := range map[string]func(*world){
		"own":            func(w *world) { w.facts.Addresses = addrs("198.18.0.5") },
		"infrastructure": func(w *world) { w.facts.Gateways = addrs("198.18.0.5") },
		"session":        func(w *world) { w.facts.Sessions = addrs("198.18.0.5") },
		"never-list":     func(w *world) { w.pol = policy(t, "never: [198.18.0.0/24]\n"+rulesOnly) },
		"facts":          func(w *world) { w.facts.Unknown = []string{"something"} },
		"blast-radius": func(w *world) {
			w.facts.Baseline = fakeBaseline{known: true, share: map[netip.Prefix]float64{netip.MustParsePrefix("198.18.0.5/32"): 0.5}}
		},
	} {
		w := newWorld(t, DefaultPolicy())
		w.lease(t0, time.Minute, 2*time.Second, "198.18.0.5")
		change(w)
		d := w.decide(at(time.Second), proof(t, "198.18.0.5", at(time.Second)))
		if d.State != model.StateHeld || weigh(verdict(d, name).Verdict) < weigh(model.GuardUnknown) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

const rulesOnly = `rules: [{name: block-proven, when: "indicator.confidence >= 0.95", action: block, for: 10m}]`

func TestForgedLeasesLiftNothing(t *testing.T) {
	_, stranger, err := ed25519.GenerateKey(strings.NewReader(strings.Repeat("evil", 8)))
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, 0, 300)
	for i := range 300 {
		many = append(many, fmt.Sprintf("198.18.1.%03d", i))
	}
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{198, 18, byte(1 + i/250), byte(i % 250)}).String()
	}
	cases := map[string]func(w *world, l *model.Lease){
		"signed by a stranger":  func(w *world, l *model.Lease) { w.key = stranger },
		"address added":         nil, // changed after signing, below
		"too long":              func(_ *world, l *model.Lease) { l.Until = l.From.Add(model.MaxLease + time.Second) },
		"ends before it begins": func(_ *world, l *model.Lease) { l.Until = l.From.Add(-time.Second) },
		"too many addresses":    func(_ *world, l *model.Lease) { l.Addresses = many },
		"no address":            func(_ *world, l *model.Lease) { l.Addresses = nil },
		"a prefix":              func(_ *world, l *model.Lease) { l.Addresses = []string{"198.18.0.0/16"} },
		"not canonical":         func(_ *world, l *model.Lease) { l.Addresses = []string{"::ffff:198.18.0.5"} },
		"a real address":        func(_ *world, l *model.Lease) { l.Addresses = []string{attacker} },
		"a private address":     func(_ *world, l *model.Lease) { l.Addresses = []string{"10.0.0.5"} },
		"named twice":           func(_ *world, l *model.Lease) { l.Addresses = []string{"198.18.0.5", "198.18.0.5"} },
		"blocks too long":       func(_ *world, l *model.Lease) { l.BlockFor = 3600 },
		"blocks too short":      func(_ *world, l *model.Lease) { l.BlockFor = 0.1 },
		"blocks for no number":  func(_ *world, l *model.Lease) { l.BlockFor = model.Seconds(nan()) },
		"nobody asked":          func(_ *world, l *model.Lease) { l.By = "" },
		"no id":                 func(_ *world, l *model.Lease) { l.ID = model.ULID{} },
		"over":                  func(_ *world, l *model.Lease) { l.From, l.Until = at(-5*time.Minute), at(-time.Minute) },
		"of tomorrow":           func(_ *world, l *model.Lease) { l.From, l.Until = at(24*time.Hour), at(24*time.Hour+time.Minute) },
		"signature cut":         nil,
		"no signature":          nil,
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, enforcing(t))
			l := model.Lease{ID: ulid(7), Addresses: []string{"198.18.0.5"}, From: t0, Until: at(time.Minute), BlockFor: 3, By: "uid=0"}
			if change != nil {
				change(w, &l)
			}
			l.Signature = ed25519.Sign(w.key, l.SigningBytes())
			switch name {
			case "address added":
				l.Addresses = append(l.Addresses, "198.18.0.6")
			case "signature cut":
				l.Signature = l.Signature[:32]
			case "no signature":
				l.Signature = nil
			}
			w.refused(model.Entry{Change: model.ChangeLease, Time: t0, ID: l.ID, Lease: &l}, "")
			ind := proof(t, "198.18.0.5", at(time.Second))
			d := w.decide(at(time.Second), ind)
			if d.State != model.StateHeld || verdict(d, "reserved").Verdict != model.GuardNever {
				t.Fatalf("%+v", d)
			}
			// Nor does a decision that claims the lease.
			forged := *d
			forged.ID, forged.Lease, forged.Guardrails = ulid(8), l.ID, nil
			forged.From, forged.Until = at(time.Second), at(4*time.Second)
			w.refused(model.Entry{Change: model.ChangeDecide, Time: at(time.Second), ID: forged.ID, Decision: &forged}, "")
		})
	}
}

func nan() float64 { z := 0.0; return z / z }

func TestLeaseCannotBeUsedAgain(t *testing.T) {
	w := newWorld(t, DefaultPolicy())
	l := w.lease(t0, 5*time.Minute, 3*time.Second, "198.18.0.5")
	again := model.Entry{Change: model.ChangeLease, Time: at(time.Second), ID: l.ID, Lease: &l}
	w.refused(again, "in force already")
	w.apply(model.Entry{Change: model.ChangeUnlease, Time: at(2 * time.Second), ID: l.ID, By: "uid=0"})
	again.Time = at(3 * time.Second)
	w.refused(again, "cannot begin again")
	again.Time = at(time.Hour)
	w.refused(again, "")
	if d := w.decide(at(4*time.Second), proof(t, "198.18.0.5", at(4*time.Second))); d.State != model.StateHeld {
		t.Fatalf("%+v", d)
	}
}

func TestLeasedDecisionsAreCheckedInTheLedger(t *testing.T) {
	w := newWorld(t, DefaultPolicy())
	l := w.lease(t0, time.Minute, 3*time.Second, "198.18.0.5")
	for name, change := range map[string]func(*model.Decision){
		"does not name":            func(d *model.Decision) { d.Target = ip(t, "198.18.0.6") },
		"longer":                   func(d *model.Decision) { d.Until = d.From.Add(time.Minute) },
		"outside":                  func(d *model.Decision) { d.From, d.Until = at(time.Hour), at(time.Hour+3*time.Second) },
		"no drill":                 func(d *model.Decision) { d.Lease = model.ULID{} },
		"does not name the target": func(d *model.Decision) { d.Target = ip(t, attacker) },
		"wider":                    func(d *model.Decision) { d.Target = ip(t, "0.0.0.0/0") },
	} {
		d := model.Decision{ID: ulid(3), Action: model.Block, Target: ip(t, "198.18.0.5"), Lease: l.ID, From: at(time.Second), Until: at(3 * time.Second)}
		change(&d)
		w.refused(model.Entry{Change: model.ChangeDecide, Time: at(time.Second), ID: d.ID, Decision: &d}, name)
	}
}

func TestLeasesAreBounded(t *testing.T) {
	w := newWorld(t, DefaultPolicy())
	for range maxLeases {
		w.lease(t0, time.Minute, 3*time.Second, "198.18.0.5")
	}
	l, err := NewLease(t0, addrs("198.18.0.5"), time.Minute, 3*time.Second, "uid=0", w.key)
	if err != nil {
		t.Fatal(err)
	}
	w.refused(model.Entry{Change: model.ChangeLease, Time: t0, ID: l.ID, Lease: &l}, "no more at once")
	if _, err := NewLease(t0, addrs(attacker), time.Minute, 3*time.Second, "uid=0", w.key); err == nil {
		t.Fatal("a lease for a real address was made")
	}
}
