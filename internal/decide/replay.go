package decide

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"bartizan/internal/model"
)

// Folder is the part of package intel that a replay needs: fold signals, get
// indicators.
type Folder interface {
	Fold(s *model.Signal) []model.Entity
	Get(e model.Entity, now time.Time) (model.Indicator, bool)
}

// Outcome is what one policy did about one target.
type Outcome struct {
	Decisions int           `json:"decisions"` // that came into force, dry runs included
	DryRun    int           `json:"dry_run"`   // of them, written down only
	Held      int           `json:"held"`
	Action    model.Action  `json:"action"` // strongest
	For       time.Duration `json:"for"`    // total time of those in force
	First     time.Time     `json:"first,omitzero"`
	Rules     []string      `json:"rules"`
	Stopped   string        `json:"stopped,omitempty"` // why the last held one was held
}

func (o *Outcome) same(p *Outcome) bool {
	return o.Decisions == p.Decisions && o.DryRun == p.DryRun && o.Held == p.Held && o.Action == p.Action && o.For == p.For
}

// Difference is a target about which two policies disagree. Old or New is nil
// when that policy did nothing about it.
type Difference struct {
	Target model.Entity `json:"target"`
	Old    *Outcome     `json:"old"`
	New    *Outcome     `json:"new"`
}

// Report says what a new policy would have changed.
type Report struct {
	Signals   int          `json:"signals"`
	From      time.Time    `json:"from,omitzero"`
	Until     time.Time    `json:"until,omitzero"`
	Same      int          `json:"same"`     // targets both treat alike
	OnlyNew   []Difference `json:"only_new"` // sorted by target
	OnlyOld   []Difference `json:"only_old"`
	Changed   []Difference `json:"changed"`   // other length, action or number
	Truncated int          `json:"truncated"` // differences left out
	Errors    []string     `json:"errors"`    // what could not be told, at most maxReplayErrors
}

const (
	maxDifferences  = 10_000 // of each kind
	maxReplayErrors = 20
)

// Replay runs old signals through two policies and says what would have been
// different. Time is that of the signals, so they must come in order of time;
// one that is older than those before is judged at their time. Facts are those
// of now, because the past ones are not known. Nothing is written anywhere.
//
// intel must be empty. old may be nil: then everything is new. A failure of
// the iterator ends the replay with what was seen so far.
func Replay(signals iter.Seq2[*model.Signal, error], intel Folder, old, pol *Policy, facts Facts) (Report, error) {
	runs := [2]*run{newRun(old), newRun(pol)}
	var r Report
	var now time.Time
	var failed error
	for s, err := range signals {
		if err != nil {
			failed = fmt.Errorf("read signals: %w", err)
			break
		}
		if s.Time.After(now) {
			now = s.Time
		}
		if r.Signals++; r.From.IsZero() {
			r.From = now
		}
		r.Until = now
		for _, e := range intel.Fold(s) {
			ind, ok := intel.Get(e, now)
			if !ok {
				continue
			}
			for _, one := range runs {
				one.judge(now, ind, facts, &r)
			}
		}
	}
	r.compare(runs[0].outcomes, runs[1].outcomes)
	return r, failed
}

// run is one policy with its own ledger.
type run struct {
	pol      *Policy
	led      *Ledger
	seq      uint64
	outcomes map[model.Entity]*Outcome
	next     time.Time // when something is due
}

func newRun(pol *Policy) *run {
	var c LedgerConfig
	if pol != nil {
		c.HoldFor = pol.Limits.HoldFor.D()
	}
	return &run{pol: pol, led: NewLedger(c), outcomes: map[model.Entity]*Outcome{}}
}

func (x *run) judge(now time.Time, ind model.Indicator, facts Facts, r *Report) {
	if x.pol == nil {
		return
	}
	if !x.next.IsZero() && !now.Before(x.next) {
		x.apply(x.led.Expiries(now), r)
		x.next, _ = x.led.NextDue()
	}
	entries, err := Evaluate(now, ind, x.led, x.pol, facts)
	r.note(err)
	x.apply(entries, r)
	for _, e := range entries {
		o := x.outcomes[e.Decision.Target]
		if o == nil {
			o = &Outcome{First: now}
			x.outcomes[e.Decision.Target] = o
		}
		o.add(&e)
		due := e.Decision.Until
		if e.Change == model.ChangeHold {
			due = e.Decision.From.Add(x.pol.Limits.HoldFor.D())
		}
		if x.next.IsZero() || due.Before(x.next) {
			x.next = due
		}
	}
}

func (x *run) apply(entries []model.Entry, r *Report) {
	for _, e := range entries {
		x.seq++
		_, err := x.led.Apply(x.seq, e)
		r.note(err)
	}
}

func (o *Outcome) add(e *model.Entry) {
	d := e.Decision
	o.Action = max(o.Action, d.Action)
	if !slices.Contains(o.Rules, d.Policy) {
		o.Rules = append(o.Rules, d.Policy)
	}
	if e.Change == model.ChangeHold {
		o.Held++
		o.Stopped = e.Reason
		return
	}
	o.Decisions++
	if d.DryRun {
		o.DryRun++
	}
	o.For += d.Until.Sub(d.From)
}

func (r *Report) note(err error) {
	if err == nil || len(r.Errors) >= maxReplayErrors || errors.Is(err, ErrHeldFull) && slices.Contains(r.Errors, ErrHeldFull.Error()) {
		return
	}
	msg := err.Error()
	if errors.Is(err, ErrHeldFull) {
		msg = ErrHeldFull.Error()
	}
	if !slices.Contains(r.Errors, msg) {
		r.Errors = append(r.Errors, msg)
	}
}

func (r *Report) compare(before, after map[model.Entity]*Outcome) {
	r.OnlyNew, r.OnlyOld, r.Changed = []Difference{}, []Difference{}, []Difference{}
	for e, o := range before {
		n := after[e]
		switch {
		case n == nil:
			r.OnlyOld = append(r.OnlyOld, Difference{Target: e, Old: o})
		case n.same(o):
			r.Same++
		default:
			r.Changed = append(r.Changed, Difference{e, o, n})
		}
	}
	for e, n := range after {
		if before[e] == nil {
			r.OnlyNew = append(r.OnlyNew, Difference{Target: e, New: n})
		}
	}
	for _, list := range []*[]Difference{&r.OnlyNew, &r.OnlyOld, &r.Changed} {
		slices.SortFunc(*list, func(a, b Difference) int { return strings.Compare(a.Target.String(), b.Target.String()) })
		if over := len(*list) - maxDifferences; over > 0 {
			*list = (*list)[:maxDifferences]
			r.Truncated += over
		}
	}
}
