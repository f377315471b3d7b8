package records

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/decide"
	"bartizan/internal/detect"
	"bartizan/internal/intel"
	"bartizan/internal/model"
)

// Reason is a signal that a decision rests on, and where it came from.
type Reason struct {
	ID     model.ULID `json:"id"`
	Rule   string     `json:"rule"`
	Title  string     `json:"title"`
	File   string     `json:"file"`
	Record uint64     `json:"record"`
}

// Decision is what the policy made of what is known about somebody.
type Decision struct {
	model.Decision
	Held    string   // why a person would have to release it; "" when it came into force
	Reasons []Reason // newest first
}

// Decider folds signals into intelligence and decides by a policy with its
// guardrails, as a node does, on the records' own clock. It is used by one
// goroutine, writes nothing and enforces nothing.
type Decider struct {
	store  *intel.Store
	ledger *decide.Ledger
	policy *decide.Policy
	facts  decide.Facts
	seen   *detect.Table[model.ULID, Reason]
	now    time.Time
	due    time.Time // when something in the ledger is
	swept  time.Time
	seq    uint64
	errs   []string
}

const (
	maxReasons   = 65536 // signals remembered, to say where they came from
	maxErrors    = 10
	sweepDecider = time.Minute
)

// NewDecider makes a decider. own are networks that are one's own; nothing is
// done about them without a person.
func NewDecider(policy *decide.Policy, own []string) (*Decider, error) {
	d := &Decider{store: intel.New(intel.Default()), policy: policy, seen: detect.NewTable[model.ULID, Reason](maxReasons),
		ledger: decide.NewLedger(decide.LedgerConfig{HoldFor: policy.Limits.HoldFor.D()})}
	for _, s := range own {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("--own: %.50q is no prefix such as 192.0.2.0/24", s)
		}
		d.facts.Own = append(d.facts.Own, p.Masked())
	}
	return d, nil
}

// Add takes a signal in and hands out what is decided because of it.
func (d *Decider) Add(s Detected, out func(Decision)) {
	*d.reason(s.Signal.ID) = Reason{ID: s.Signal.ID, Rule: s.Signal.Rule, Title: s.Signal.Title, File: s.File, Record: s.Record}
	if s.Signal.Time.After(d.now) {
		d.now = s.Signal.Time
	}
	if !d.due.IsZero() && !d.now.Before(d.due) {
		d.apply(d.ledger.Expiries(d.now))
		d.due, _ = d.ledger.NextDue()
	}
	if d.now.Sub(d.swept) >= sweepDecider {
		d.swept = d.now
		d.store.Expire(d.now)
	}
	for _, e := range d.store.Fold(&s.Signal) {
		ind, ok := d.store.Get(e, d.now)
		if !ok {
			continue
		}
		entries, err := decide.Evaluate(d.now, ind, d.ledger, d.policy, d.facts)
		d.note(err)
		d.apply(entries)
		d.due, _ = d.ledger.NextDue()
		for i := range entries {
			if entries[i].Decision != nil {
				out(d.explain(&entries[i]))
			}
		}
	}
}

func (d *Decider) reason(id model.ULID) *Reason {
	r, _ := d.seen.Get(id)
	return r
}

func (d *Decider) explain(e *model.Entry) Decision {
	x := Decision{Decision: *e.Decision}
	if e.Change == model.ChangeHold {
		x.State, x.Held = model.StateHeld, e.Reason
	}
	for _, id := range x.Because.Signals {
		if r := d.seen.Peek(id); r != nil {
			x.Reasons = append(x.Reasons, *r)
		}
	}
	return x
}

func (d *Decider) apply(entries []model.Entry) {
	for _, e := range entries {
		d.seq++
		_, err := d.ledger.Apply(d.seq, e)
		d.note(err)
	}
}

// note keeps what could not be told, each thing once.
func (d *Decider) note(err error) {
	if err == nil || len(d.errs) >= maxErrors || errors.Is(err, decide.ErrAlertBudget) {
		return
	}
	if msg := err.Error(); !slices.Contains(d.errs, msg) {
		d.errs = append(d.errs, msg)
	}
}

// Errors lists what could not be decided, and why.
func (d *Decider) Errors() []string { return d.errs }
