package drill

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// Waiting times of a control; together they keep a run under eight seconds.
const (
	shutWithin = 4 * time.Second
	openWithin = 5 * time.Second
)

// knockPort is a decoy that costs the node little.
func (d *drill) knockPort() uint16 {
	for _, name := range []string{"redis", "tcp-9200", "tcp-5900", "http"} {
		if p, ok := d.ports[name]; ok {
			return p
		}
	}
	for _, p := range d.ports {
		return p
	}
	return 0
}

func (d *drill) target(src netip.Addr) netip.Addr {
	if src.Is6() {
		return d.link.node6
	}
	return d.link.node4
}

// story plays an attack and proves that it was blocked and released.
func (d *drill) story(ctx context.Context, p part) []outcome {
	o, _ := d.blockStory(ctx, p, p.name, nil)
	return []outcome{o}
}

// siege is what blockStory learned.
type siege struct {
	decision api.Decision
	entry    kernelEntry
}

// blockStory plays a story from p.src and watches it end. during is called
// while the block holds.
func (d *drill) blockStory(ctx context.Context, p part, story string, during func(siege) error) (outcome, siege) {
	id := p.name + "/" + p.src.String()
	dst := d.target(p.src)
	ear, err := d.crew.tell(order{ID: id + "/watch", Op: "watch", Source: p.src, Target: dst, Port: d.knockPort()})
	if err != nil {
		return fail(p.name, "%v", err), siege{}
	}
	defer d.quiet(id + "/watch")
	if _, err := d.crew.await(ctx, ear, "open", 2*time.Second, nil); err != nil {
		return fail(p.name, "cannot reach the decoys before the attack: %v", err), siege{}
	}
	steps, err := d.crew.tell(order{ID: id, Op: "play", Story: story, Source: p.src, Target: dst, Ports: d.ports})
	if err != nil {
		return fail(p.name, "%v", err), siege{}
	}
	defer d.crew.forget(id)
	shut, err := d.crew.await(ctx, ear, "shut", shutWithin, nil)
	if err != nil {
		return fail(p.name, "not blocked: %v%s", err, d.explain(ctx, p.src)), siege{}
	}
	var s siege
	if s.decision, err = d.decisionOn(ctx, p.src); err != nil {
		return fail(p.name, "blocked, but no decision says why: %v", err), s
	}
	var inSet bool
	s.entry, inSet, err = inKernel(d.node, d.Table, p.src)
	if err != nil {
		return fail(p.name, "read the kernel: %v", err), s
	}
	o := outcome{name: p.name, ok: true, verified: inSet, detail: describe(&s.decision)}
	o.steps = timeline(s.decision, drain(steps), shut.Time)
	if during != nil {
		if err := during(s); err != nil {
			o.ok, o.verified, o.detail = false, false, err.Error()
		}
	}
	if inSet {
		seen := fmt.Sprintf("no connection of %s was answered from %s on; the kernel's set holds %s–%s", p.src, shut.Time.Format("15:04:05.000"), s.entry.first, s.entry.last)
		if _, err := d.Node.Verified(ctx, api.Verification{ID: s.decision.ID.String(), Enforcer: "nft", Detail: seen}); err != nil {
			o.ok, o.verified, o.detail = false, false, fmt.Sprintf("write the receipt: %v", err)
		}
	} else {
		o.ok, o.detail = false, "connections failed, but the kernel's set does not hold the address"
	}
	open, err := d.crew.await(ctx, ear, "open", openWithin, nil)
	if err != nil {
		o.ok, o.verified, o.detail = false, false, fmt.Sprintf("not released: %v", err)
		return o, s
	}
	o.steps.Released = ms(max(0, open.Time.Sub(s.decision.Until)))
	if o.steps.Dropped != nil && *o.steps.Dropped > 5000 {
		o.ok = false
	}
	return o, s
}

func (d *drill) quiet(id string) {
	_, _ = d.crew.tell(order{ID: id, Op: "unwatch"}) // ended anyway when the attackers are gone
	d.crew.forget(id)
}

// drain takes the steps told so far.
func drain(ear <-chan news) (steps []news) {
	for {
		select {
		case n := <-ear:
			if n.What == "step" {
				steps = append(steps, n)
			}
		default:
			return steps
		}
	}
}

// timeline relates the node's times to the attacker's. The last evidence byte
// is the newest one that the decision rests on: what the attacker sent later
// and before the door shut did not bring the decision about.
func timeline(dec api.Decision, steps []news, shut time.Time) (s Steps) {
	const clockSlack = time.Millisecond // times of signals are stored in milliseconds
	evidence := dec.Because.Seen.Add(clockSlack)
	var last time.Time
	for _, n := range steps {
		if !n.Time.After(evidence) && n.Time.After(last) {
			last = n.Time
		}
	}
	if last.IsZero() {
		return s
	}
	since := func(t time.Time) *float64 {
		if t.IsZero() {
			return nil
		}
		return ms(max(0, t.Sub(last)))
	}
	s.Signal, s.Indicator, s.Decision, s.Dropped = since(dec.Because.Stored), since(dec.Because.Folded), since(dec.From), since(shut)
	for _, r := range dec.Receipts {
		if r.Status == model.Applied {
			s.Enforced = since(r.Time)
			break
		}
	}
	return s
}

// decisionOn finds the first leased decision on an address.
func (d *drill) decisionOn(ctx context.Context, a netip.Addr) (api.Decision, error) {
	list, err := d.Node.Decisions(ctx, api.DecisionQuery{Target: model.AddrEntity(a).Value(), All: true})
	if err != nil {
		return api.Decision{}, err
	}
	slices.SortFunc(list, func(x, y api.Decision) int { return x.ID.Compare(y.ID) })
	for _, x := range list {
		if !x.DryRun && x.Action == model.Block && x.State != model.StateHeld {
			return x, nil
		}
	}
	return api.Decision{}, fmt.Errorf("%d decisions on it, none of them a block in force", len(list))
}

func describe(d *api.Decision) string {
	return fmt.Sprintf("confidence %.3f from %v", d.Because.Confidence, d.Because.Classes)
}

// explain says what the node knows about an address that was not blocked.
func (d *drill) explain(ctx context.Context, a netip.Addr) string {
	y, err := d.Node.Why(ctx, model.AddrEntity(a).Value())
	if err != nil || y.Indicator == nil {
		return fmt.Sprintf(" (the node knows nothing of it: %v)", err)
	}
	text := fmt.Sprintf(" (confidence %.3f from %v", y.Indicator.Confidence, y.Indicator.Classes)
	for _, x := range y.Decisions {
		for _, g := range x.Guardrails {
			if g.Verdict != model.GuardPass {
				text += fmt.Sprintf("; %s says %s: %s", g.Guardrail, g.Verdict, g.Detail)
			}
		}
	}
	return text + ")"
}

// setV4 proves the IPv4 set: the address and nothing beside it, and that a
// connection which was open before is cut.
func (d *drill) setV4(ctx context.Context, p part) []outcome {
	id := p.name + "/" + p.src.String() + "/held"
	held, err := d.crew.tell(order{ID: id, Op: "hold", Source: p.src, Target: d.link.node4, Port: d.ports["redis"]})
	if err != nil {
		return []outcome{fail(p.name, "%v", err)}
	}
	defer d.crew.forget(id)
	if _, err := d.crew.await(ctx, held, "open", 2*time.Second, nil); err != nil {
		return []outcome{fail(p.name, "open a connection before the attack: %v", err)}
	}
	o, _ := d.blockStory(ctx, p, "http-exploit", func(s siege) error {
		if s.entry.first != p.src || s.entry.last != p.src {
			return fmt.Errorf("the kernel blocks %s–%s instead of %s alone", s.entry.first, s.entry.last, p.src)
		}
		if limit := s.decision.Until.Sub(s.decision.From) + time.Second; s.entry.left > limit {
			return fmt.Errorf("the kernel would block for %v, the decision for %v", s.entry.left, limit)
		}
		if err := d.neighbour(ctx, p, p.src.Next(), true); err != nil {
			return err
		}
		if _, err := d.crew.await(ctx, held, "cut", 1500*time.Millisecond, nil); err != nil {
			return fmt.Errorf("an established connection lives on: %w", err)
		}
		return nil
	})
	return []outcome{o}
}

// setV6 proves the IPv6 set: the attacker's /64, all of it, and no more.
func (d *drill) setV6(ctx context.Context, p part) []outcome {
	o, _ := d.blockStory(ctx, p, "http-exploit", func(s siege) error {
		want := model.ActorPrefix(p.src)
		if s.entry.first != want.Addr() || !want.Contains(s.entry.last) || want.Contains(s.entry.last.Next()) {
			return fmt.Errorf("the kernel blocks %s–%s instead of %s", s.entry.first, s.entry.last, want)
		}
		if err := d.neighbour(ctx, p, p.src.Next(), false); err != nil {
			return err
		}
		return d.neighbour(ctx, p, d.link.attacker(0x7fff, true), true) // another /64 of the same attackers
	})
	return []outcome{o}
}

// neighbour proves that an address is, or is not, let in while p is blocked.
func (d *drill) neighbour(ctx context.Context, p part, a netip.Addr, open bool) error {
	id := p.name + "/" + p.src.String() + "/neighbour/" + a.String()
	ear, err := d.crew.tell(order{ID: id, Op: "watch", Source: a, Target: d.target(a), Port: d.knockPort()})
	if err != nil {
		return err
	}
	defer d.quiet(id)
	want := "shut"
	if open {
		want = "open"
	}
	if _, err := d.crew.await(ctx, ear, want, 1200*time.Millisecond, nil); err != nil {
		return fmt.Errorf("its neighbour %s should find the door %s: %w", a, want, err)
	}
	return nil
}

// refused proves the reserved-range guardrail: the same attack without a
// lease is held and nothing is blocked.
func (d *drill) refused(ctx context.Context, p part) []outcome {
	id := p.name + "/" + p.src.String()
	ear, err := d.crew.tell(order{ID: id + "/watch", Op: "watch", Source: p.src, Target: d.link.node4, Port: d.knockPort()})
	if err != nil {
		return []outcome{fail(p.name, "%v", err)}
	}
	defer d.quiet(id + "/watch")
	if _, err := d.crew.await(ctx, ear, "open", 2*time.Second, nil); err != nil {
		return []outcome{fail(p.name, "cannot reach the decoys: %v", err)}
	}
	steps, err := d.crew.tell(order{ID: id, Op: "play", Story: "http-exploit", Source: p.src, Target: d.link.node4, Ports: d.ports})
	if err != nil {
		return []outcome{fail(p.name, "%v", err)}
	}
	defer d.crew.forget(id)
	if _, err := d.crew.await(ctx, steps, "done", 4*time.Second, nil); err != nil {
		return []outcome{fail(p.name, "play the attack: %v", err)}
	}
	if n, err := d.crew.await(ctx, ear, "shut", time.Second, nil); err == nil {
		return []outcome{fail(p.name, "an address of a reserved range without a lease was blocked at %s", n.Time.Format(time.TimeOnly))}
	}
	held, why, err := d.heldAsReserved(ctx, p.src)
	if err != nil {
		return []outcome{fail(p.name, "%v", err)}
	}
	_, inSet, err := inKernel(d.node, d.Table, p.src)
	if err != nil || inSet {
		return []outcome{fail(p.name, "the kernel holds an address that must not be blocked (%v)", err)}
	}
	if held == "" {
		return []outcome{fail(p.name, "not blocked, but no decision says that the guardrail stopped it%s", d.explain(ctx, p.src))}
	}
	if _, err := d.Node.Change(ctx, api.DecisionChange{Op: "reject", ID: held, Reason: "drill is over"}); err != nil {
		return []outcome{fail(p.name, "clean up: %v", err)}
	}
	return []outcome{{name: p.name, ok: true, verified: true, detail: "held: " + why}}
}

// heldAsReserved waits for a decision that the guardrail of reserved ranges holds: a busy
// node comes to it later than the attack ends. "" when none comes.
func (d *drill) heldAsReserved(ctx context.Context, a netip.Addr) (id, why string, err error) {
	late, tick := time.NewTimer(shutWithin), time.NewTicker(20*time.Millisecond)
	defer late.Stop()
	defer tick.Stop()
	for {
		list, err := d.Node.Decisions(ctx, api.DecisionQuery{Target: a.String(), All: true})
		if err != nil {
			return "", "", err
		}
		for _, x := range list {
			for _, g := range x.Guardrails {
				if g.Guardrail == "reserved" && g.Verdict == model.GuardNever && x.State == model.StateHeld {
					return x.ID.String(), g.Detail, nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return "", "", ctx.Err()
		case <-late.C:
			return "", "", nil
		case <-tick.C:
		}
	}
}

// never proves the never-list with the node's own address: even a person's
// order does not block it, and the door stays open.
func (d *drill) never(ctx context.Context, p part) []outcome {
	own := d.link.node4
	dec, err := d.Node.Change(ctx, api.DecisionChange{Op: "add", Target: own.String(), Action: model.Block, Seconds: 2, Reason: "drill: must be refused"})
	if err != nil {
		return []outcome{fail(p.name, "order a block of the node's own address: %v", err)}
	}
	stopped := ""
	for _, g := range dec.Guardrails {
		if g.Verdict == model.GuardNever && g.Guardrail == "own" {
			stopped = g.Detail
		}
	}
	if dec.State != model.StateHeld || stopped == "" {
		return []outcome{fail(p.name, "a block of the node's own address %s became %s", own, dec.State)}
	}
	if _, err := d.Node.Change(ctx, api.DecisionChange{Op: "approve", ID: dec.ID.String()}); err == nil {
		return []outcome{fail(p.name, "a block of the node's own address %s could be approved", own)}
	}
	if _, inSet, err := inKernel(d.node, d.Table, own); err != nil || inSet {
		return []outcome{fail(p.name, "the kernel holds the node's own address (%v)", err)}
	}
	if err := d.neighbour(ctx, p, p.src, true); err != nil {
		return []outcome{fail(p.name, "%v", err)}
	}
	if _, err := d.Node.Change(ctx, api.DecisionChange{Op: "reject", ID: dec.ID.String(), Reason: "drill is over"}); err != nil {
		return []outcome{fail(p.name, "clean up: %v", err)}
	}
	return []outcome{{name: p.name, ok: true, verified: true, detail: "held for good: " + stopped}}
}
