package decide

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"bartizan/internal/model"
)

// ErrHeldFull says that a decision was not even held, because too many wait
// for a person already.
var ErrHeldFull = errors.New("too many held decisions: approve or reject some, or raise guardrails.max_held")

// ErrAlertBudget says that an alert was left out, because there are too many.
var ErrAlertBudget = errors.New("too many alerts")

// Evaluate says what the policy makes of an indicator: at most one entry for
// the ledger, or none when no rule applies, when a decision on the target
// stands, or when nothing new was seen since the last one ended. Evaluating
// again, with or without the entry applied, does no harm.
//
// A decision that a guardrail stops is held for a person. In observe mode it
// is a dry run. A drill lease in force that names the exact actor lifts the
// observe mode and the reserved-range check, nothing else, and makes the
// decision last as long as the lease says; for IPv6 the actor is the /64 of
// the address named, all of which lies in documentation space.
//
// The error joins what could not be told (a condition that failed, too many
// held decisions); the entries are valid nevertheless.
func Evaluate(now time.Time, ind model.Indicator, led *Ledger, pol *Policy, facts Facts) ([]model.Entry, error) {
	rule, err := pol.match(now, &ind, &facts)
	if rule == nil {
		return nil, err
	}
	p := &proposal{now: now, target: ind.Entity, action: rule.Action, ind: &ind, rule: rule, led: led, pol: pol, facts: &facts}
	p.aim()
	if forcible(p.action) && p.prefix.IsValid() {
		p.lease = led.leaseFor(p.prefix, now)
	}
	p.dry = pol.Mode == ModeObserve && p.lease == nil
	p.standing = led.standingOf(p.target, p.action, p.dry, now)
	if p.idle() {
		return nil, err
	}
	p.duration = rule.lasts(p.standing.repeats)
	if p.lease != nil {
		p.duration = min(p.lease.BlockFor.Duration(), model.MaxLeaseBlock)
	}
	d, stopped := p.decision()
	if d.Action != p.action {
		// Lowered: what stands, or stood, may be as much already.
		low := *p
		low.action = d.Action
		if low.standing = led.standingOf(p.target, d.Action, p.dry, now); low.idle() {
			return nil, err
		}
	}
	if !forcible(p.action) {
		// Guardrails do not stop an alert, but somebody with many addresses
		// must not fill the ledger with them.
		if b := guardBudget(p); b.verdict != model.GuardPass {
			return nil, errors.Join(err, fmt.Errorf("alert about %s: %w: %s", p.target, ErrAlertBudget, b.detail))
		}
	}
	d.Policy = rule.Name
	d.Reason = clip(fmt.Sprintf("confidence %.4g from %s", ind.Confidence, kindsOf(d.Because.Classes)), MaxReason)
	d.Because.Indicator, d.Because.Signals, d.Because.Confidence = ind.Entity, ind.Signals, ind.Confidence
	d.Because.Seen = ind.LastProof
	if stopped && led.Stats().Held >= pol.Limits.MaxHeld {
		return nil, errors.Join(err, fmt.Errorf("hold decision on %s: %w", p.target, ErrHeldFull))
	}
	return []model.Entry{entryFor(d, stopped, "policy", now)}, err
}

func kindsOf(classes []model.Class) string {
	switch len(classes) {
	case 0:
		return "evidence of no independent kind"
	case 1:
		return "1 kind of evidence: " + string(classes[0])
	}
	words := make([]string, len(classes))
	for i, c := range classes {
		words[i] = string(c)
	}
	return fmt.Sprintf("%d independent kinds of evidence: %s", len(classes), strings.Join(words, ", "))
}

// aim works out what the target's address is and reaches.
func (p *proposal) aim() {
	if pfx, ok := p.target.Prefix(); ok {
		p.reach = reach(pfx)
		p.prefix = p.reach[0]
	}
}

// idle reports whether there is nothing to decide: something stands, or
// nothing new was seen.
func (p *proposal) idle() bool {
	s := p.standing
	if s.taken {
		return true
	}
	fresh := p.ind.LastProof
	if !forcible(p.action) && p.ind.LastSeen.After(fresh) {
		fresh = p.ind.LastSeen
	}
	if !s.ended.IsZero() && !fresh.After(s.ended) {
		return true
	}
	quiet := p.pol.Limits.Quiet.D()
	return p.lease == nil && !s.refused.IsZero() && p.now.Before(s.refused.Add(quiet))
}

// decision runs the guardrails and fills in everything they and the times say.
func (p *proposal) decision() (d *model.Decision, stopped bool) {
	results, worst, action := judge(p)
	d = &model.Decision{
		Action: action, Target: p.target, Guardrails: results,
		From: p.now.UTC(), Until: p.now.Add(p.duration).UTC(),
		Recurrence: p.standing.repeats, DryRun: p.dry, State: model.StateActive,
	}
	if p.ind != nil {
		d.Because.Classes, d.Because.Sensors = proven(p.ind), counted(p.ind)
		d.Because.Sensors = d.Because.Sensors[:min(len(d.Because.Sensors), 64)]
	}
	if p.lease != nil {
		d.Lease = p.lease.ID
	}
	stopped = weigh(worst) >= weigh(model.GuardUnknown)
	if stopped {
		d.State = model.StateHeld
		d.Action = p.action // what a person would release
	}
	d.ID = p.id()
	return d, stopped
}

// id is the same for the same target at the same moment, so that two
// evaluations that race make one decision.
func (p *proposal) id() model.ULID {
	h := sha256.New()
	rule := "manual"
	if p.rule != nil {
		rule = p.rule.Name
	}
	fmt.Fprintf(h, "%s\n%s\n%d\n%d\n%t\n", p.target, rule, p.action, p.now.UnixNano(), p.dry)
	var id model.ULID
	binary.BigEndian.PutUint64(id[:8], uint64(p.now.UnixMilli())<<16)
	copy(id[6:], h.Sum(nil))
	return id
}

func entryFor(d *model.Decision, stopped bool, by string, now time.Time) model.Entry {
	e := model.Entry{Change: model.ChangeDecide, Time: now.UTC(), Decision: d, ID: d.ID, By: by, Reason: d.Reason}
	if stopped {
		e.Change = model.ChangeHold
		e.Reason = clip(stops(d.Guardrails), MaxReason)
	}
	return e
}

// stops says in one line what stands in the way.
func stops(results []model.Guarded) string {
	var out []string
	for _, g := range results {
		if weigh(g.Verdict) >= weigh(model.GuardUnknown) {
			out = append(out, fmt.Sprintf("%s (%s): %s", g.Guardrail, g.Verdict, g.Detail))
		}
	}
	return strings.Join(out, "; ")
}

// match returns the first rule that applies. A condition that fails does not
// apply: what cannot be told is no reason to act.
func (pol *Policy) match(now time.Time, ind *model.Indicator, facts *Facts) (*Rule, error) {
	classes, sensors := len(proven(ind)), len(counted(ind))
	var errs []error
	for i := range pol.Rules {
		r := &pol.Rules[i]
		if !(ind.Confidence >= r.MinConfidence) || classes < r.MinClasses || sensors < r.MinSensors {
			continue
		}
		if forcible(r.Action) && (actable(ind.Entity, r.Action) != "" || !facts.refusable(ind.Entity) || ind.LastProof.IsZero()) {
			continue
		}
		ok, err := r.When.Match(now, ind)
		if err != nil {
			errs = append(errs, fmt.Errorf("evaluate rule %q of %s: %w", r.Name, pol.Name, err))
		}
		if ok {
			return r, errors.Join(errs...)
		}
	}
	return nil, errors.Join(errs...)
}

// lasts is the duration of a decision after so many earlier ones.
func (r *Rule) lasts(repeats int) time.Duration {
	return min(scale(r.For, math.Pow(r.Grow, float64(repeats))), r.Max)
}
