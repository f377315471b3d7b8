package decide

import (
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/model"
)

// Get returns one decision.
func (l *Ledger) Get(id model.ULID) (model.Decision, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	it := l.items[id]
	if it == nil {
		return model.Decision{}, false
	}
	return it.d, true
}

// Active returns the decisions in force (dry runs and alerts included), oldest
// first. Whoever enforces leaves out DryRun and what is below Throttle.
func (l *Ledger) Active() []model.Decision {
	return l.view(func(l *Ledger) []*item { return values(l.active) })
}

// Held returns the decisions that wait for a person, oldest first.
func (l *Ledger) Held() []model.Decision {
	return l.view(func(l *Ledger) []*item { return values(l.held) })
}

// ByTarget returns what was decided about exactly this entity, oldest first.
func (l *Ledger) ByTarget(e model.Entity) []model.Decision {
	return l.view(func(l *Ledger) []*item { return slices.Clone(l.byTarget[e]) })
}

func (l *Ledger) view(pick func(*Ledger) []*item) []model.Decision {
	l.mu.RLock()
	defer l.mu.RUnlock()
	items := pick(l)
	slices.SortFunc(items, bySeq)
	out := make([]model.Decision, len(items))
	for i, it := range items {
		out[i] = it.d
	}
	return out
}

func bySeq(a, b *item) int {
	switch {
	case a.d.Seq < b.d.Seq:
		return -1
	case a.d.Seq > b.d.Seq:
		return 1
	}
	return 0
}

func values(m map[model.ULID]*item) []*item {
	out := make([]*item, 0, len(m))
	for _, it := range m {
		out = append(out, it)
	}
	return out
}

// Filter narrows List. Zero fields do not narrow.
type Filter struct {
	States []model.State
	Target model.Entity
	Within netip.Prefix // targets inside it
	Policy string
	Least  model.Action // at least this action
	Since  time.Time    // begun at or after this
	Before uint64       // first entry has a smaller sequence number; 0: all
	Offset int
	Limit  int // 0 means 100, more than 10,000 means 10,000
}

// List returns decisions of any state, newest first.
func (l *Ledger) List(f Filter) []model.Decision {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 10_000)
	found := l.view(func(l *Ledger) []*item {
		if !f.Target.IsZero() {
			return f.admitted(slices.Clone(l.byTarget[f.Target]))
		}
		return f.admitted(values(l.items))
	})
	slices.Reverse(found)
	found = found[min(max(f.Offset, 0), len(found)):]
	return found[:min(limit, len(found))]
}

func (f *Filter) admitted(items []*item) []*item {
	return slices.DeleteFunc(items, func(it *item) bool {
		d := &it.d
		if len(f.States) > 0 && !slices.Contains(f.States, d.State) || f.Policy != "" && d.Policy != f.Policy ||
			d.Action < f.Least || f.Before > 0 && d.Seq >= f.Before || !f.Since.IsZero() && d.From.Before(f.Since) {
			return true
		}
		if !f.Within.IsValid() {
			return false
		}
		p, ok := d.Target.Prefix()
		w := model.CanonicalPrefix(f.Within)
		return !ok || p.Bits() < w.Bits() || !w.Contains(p.Addr())
	})
}

// Leases returns the drill leases in force at a moment, oldest first.
func (l *Ledger) Leases(now time.Time) []model.Lease {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []model.Lease
	for _, x := range l.leases {
		if inForce(x, now) {
			out = append(out, *x)
		}
	}
	slices.SortFunc(out, func(a, b model.Lease) int { return a.ID.Compare(b.ID) })
	return out
}

func inForce(x *model.Lease, now time.Time) bool {
	return !now.Before(x.From) && now.Before(x.Until)
}

// leaseFor returns the lease that names an actor; of several, the oldest.
func (l *Ledger) leaseFor(p netip.Prefix, now time.Time) *model.Lease {
	if !drillRange(p) {
		return nil
	}
	for _, x := range l.Leases(now) {
		if leaseCovers(&x, p) {
			return &x
		}
	}
	return nil
}

// Seq is the sequence of the last entry seen.
func (l *Ledger) Seq() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.seq
}

// Stats returns the counters and current sizes.
func (l *Ledger) Stats() LedgerStats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.stats
	s.Active, s.Held, s.Ended, s.Leases = len(l.active), len(l.held), len(l.ended), len(l.leases)
	return s
}

// Recurrences is how many real decisions that change something on a device a
// target has had, without drills and without those a person took back.
func (l *Ledger) Recurrences(e model.Entity) int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.recurrences(e, false)
}

func (l *Ledger) recurrences(e model.Entity, dryRun bool) (n int) {
	for _, it := range l.byTarget[e] {
		if it.begun && it.ended != model.ChangeRemove && forcible(it.d.Action) && it.d.DryRun == dryRun && it.d.Lease.IsZero() {
			n++
		}
	}
	return n
}

// standing is what a target's history means for a new decision.
type standing struct {
	taken   bool      // an active or held decision stands already
	ended   time.Time // when the last one that matters ended
	refused time.Time // when a person or a rollback last ended one
	repeats int
}

// standingOf looks at a target's history. A dry run does not stand in the way
// of a real decision, but a real one makes a dry run pointless.
func (l *Ledger) standingOf(e model.Entity, action model.Action, dryRun bool, now time.Time) standing {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := standing{repeats: l.recurrences(e, dryRun)}
	for _, it := range l.byTarget[e] {
		d := &it.d
		if d.DryRun && !dryRun {
			continue
		}
		over := d.Ended
		switch d.State {
		case model.StateHeld:
			if now.Before(d.From.Add(l.conf.HoldFor)) {
				s.taken = s.taken || d.Action >= action
				continue
			}
			over = d.From.Add(l.conf.HoldFor)
		case model.StateActive:
			if now.Before(d.Until) {
				s.taken = s.taken || d.Action >= action
				continue
			}
			over = d.Until // its end is not written yet
		}
		if forcible(action) && !forcible(d.Action) {
			continue
		}
		if over.After(s.ended) {
			s.ended = over
		}
		if (it.ended == model.ChangeReject || it.ended == model.ChangeRemove) && over.After(s.refused) {
			s.refused = over
		}
	}
	return s
}

// Expiries returns the entries that are due: decisions that have reached their
// end, held ones that nobody looked at, and leases that are over. Calling it
// again before they are applied returns them again; applying them twice
// changes nothing.
func (l *Ledger) Expiries(now time.Time) []model.Entry {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []model.Entry
	for _, set := range []map[model.ULID]*item{l.active, l.held} {
		for id, it := range set {
			if due := l.due(it); !now.Before(due) {
				reason := "reached its end"
				if it.d.State == model.StateHeld {
					reason = "held for " + l.conf.HoldFor.String() + " and nobody decided"
				}
				out = append(out, model.Entry{Change: model.ChangeExpire, Time: now, ID: id, By: "clock", Reason: reason})
			}
		}
	}
	for id, x := range l.leases {
		if !now.Before(x.Until) {
			out = append(out, model.Entry{Change: model.ChangeUnlease, Time: now, ID: id, By: "clock", Reason: "reached its end"})
		}
	}
	slices.SortFunc(out, func(a, b model.Entry) int { return a.ID.Compare(b.ID) })
	return out
}

// NextDue is the earliest moment at which Expiries has something to return;
// false when nothing is in force.
func (l *Ledger) NextDue() (time.Time, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var next time.Time
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, it := range l.active {
		earlier(l.due(it))
	}
	for _, it := range l.held {
		earlier(l.due(it))
	}
	for _, x := range l.leases {
		earlier(x.Until)
	}
	return next, !next.IsZero()
}
