package decide

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"bartizan/internal/model"
)

// Manual is a person's order.
type Manual struct {
	Target model.Entity
	Action model.Action
	For    time.Duration
	Reason string
	By     string // who: "uid=0 via admin socket"
}

// EvaluateManual makes the entry for a person's order. The guardrails run as
// for every decision; one that says "never" makes the entry a held one that
// cannot be released, and an error that says what would have to change. In
// observe mode the order is a dry run like all others.
func EvaluateManual(now time.Time, m Manual, led *Ledger, pol *Policy, facts Facts) ([]model.Entry, error) {
	switch {
	case m.Target.IsZero():
		return nil, errors.New("add decision: no target; give an address or a prefix, such as 192.0.2.7 or 192.0.2.0/24, or a key, a user or a prompt, such as user:alice")
	case m.Action <= model.Observe || m.Action > model.Isolate:
		return nil, errors.New("add decision: no action; give one of alert, throttle, block, isolate")
	case m.For <= 0:
		return nil, errors.New("add decision: no duration; give one, such as 1h")
	case m.By == "":
		return nil, errors.New("add decision: nobody is named who wants it")
	case actable(m.Target, m.Action) != "":
		return nil, fmt.Errorf("add decision: %s", actable(m.Target, m.Action))
	case forcible(m.Action) && !facts.refusable(m.Target):
		return nil, fmt.Errorf("add decision: nothing that runs here could refuse a %s: it needs a gateway (the section \"gateway\" of the node's configuration, or \"bartizan guard mcp\" with this node)", m.Target.Type())
	}
	p := &proposal{now: now, target: m.Target, action: m.Action, duration: m.For,
		dry: pol.Mode == ModeObserve, led: led, pol: pol, facts: &facts}
	p.aim()
	p.standing = led.standingOf(p.target, p.action, p.dry, now)
	if p.standing.taken {
		return nil, fmt.Errorf("add decision: one on %s stands already; see `bartizan decisions list`", m.Target.Value())
	}
	d, stopped := p.decision()
	d.Policy, d.Actor = "manual", clip(m.By, 256)
	d.Reason = clip(m.Reason, MaxReason)
	if d.Reason == "" {
		d.Reason = "ordered by " + clip(m.By, 256)
	}
	if stopped && led.Stats().Held >= pol.Limits.MaxHeld {
		return nil, fmt.Errorf("add decision: %w", ErrHeldFull)
	}
	// The ledger refuses what is absurd in any policy; say so here instead.
	if msg := oversized(d); msg != "" {
		return nil, errors.New("add decision: " + msg)
	}
	return []model.Entry{entryFor(d, stopped, clip(m.By, 256), now)}, forbidden("add decision", d.Guardrails, stopped)
}

// forbidden is the error for a "never"; nil when there is none, or when
// nothing is stopped by it.
func forbidden(what string, results []model.Guarded, stopped bool) error {
	if !stopped {
		return nil
	}
	var nos []string
	for _, g := range results {
		if g.Verdict == model.GuardNever {
			nos = append(nos, g.Guardrail+": "+g.Detail)
		}
	}
	if nos == nil {
		return nil
	}
	return &NeverError{what, nos}
}

// NeverError says that guardrails forbid something to everybody.
type NeverError struct {
	What string   // what was asked for
	Why  []string // guardrail: detail
}

func (e *NeverError) Error() string {
	return fmt.Sprintf("%s: no one may release this while the configuration is as it is (%s)", e.What, strings.Join(e.Why, "; "))
}

// Approve makes the entry that releases a held decision, for the time it was
// meant to last, from now. The guardrails that say "never" are asked again:
// the world may have changed since it was held.
func Approve(now time.Time, id model.ULID, by string, led *Ledger, pol *Policy, facts Facts) (model.Entry, error) {
	d, err := find(led, id, "approve", model.StateHeld)
	if err != nil {
		return model.Entry{}, err
	}
	length := d.Until.Sub(d.From)
	p := &proposal{now: now, target: d.Target, action: d.Action, duration: length, dry: d.DryRun, led: led, pol: pol, facts: &facts}
	p.aim()
	results, _, _ := judge(p)
	results = append(results, d.Guardrails...)
	what := fmt.Sprintf("approve decision %s", id)
	switch {
	case !d.Lease.IsZero():
		return model.Entry{}, fmt.Errorf("%s: it belongs to a drill, which only takes what passes by itself", what)
	case by == "":
		return model.Entry{}, fmt.Errorf("%s: nobody is named who wants it", what)
	}
	if err := forbidden(what, results, forcible(d.Action)); err != nil {
		return model.Entry{}, err
	}
	return model.Entry{Change: model.ChangeApprove, Time: now.UTC(), ID: id, Until: now.Add(length).UTC(), By: clip(by, 256)}, nil
}

// Reject makes the entry that refuses a held decision.
func Reject(now time.Time, id model.ULID, by, reason string, led *Ledger) (model.Entry, error) {
	if _, err := find(led, id, "reject", model.StateHeld); err != nil {
		return model.Entry{}, err
	}
	return model.Entry{Change: model.ChangeReject, Time: now.UTC(), ID: id, By: clip(by, 256), Reason: clip(reason, MaxReason)}, nil
}

// Remove makes the entry that ends an active decision early.
func Remove(now time.Time, id model.ULID, by, reason string, led *Ledger) (model.Entry, error) {
	if _, err := find(led, id, "remove", model.StateActive); err != nil {
		return model.Entry{}, err
	}
	return model.Entry{Change: model.ChangeRemove, Time: now.UTC(), ID: id, By: clip(by, 256), Reason: clip(reason, MaxReason)}, nil
}

// find returns a decision that must be in a state, or the error a person needs.
func find(led *Ledger, id model.ULID, verb string, want model.State) (model.Decision, error) {
	d, ok := led.Get(id)
	switch {
	case !ok:
		return d, fmt.Errorf("%s decision %s: no such decision; see `bartizan decisions list`", verb, id)
	case d.State == want:
		return d, nil
	}
	hint := ""
	switch {
	case want == model.StateHeld && d.State == model.StateActive:
		hint = "; `bartizan decisions remove` ends it"
	case want == model.StateActive && d.State == model.StateHeld:
		hint = "; `bartizan decisions reject` refuses it"
	}
	return d, fmt.Errorf("%s decision %s: it is %s, not %s%s", verb, id, d.State, want, hint)
}
