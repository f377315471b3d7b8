package decide

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/model"
)

// LedgerConfig bounds what a Ledger remembers.
type LedgerConfig struct {
	Key       ed25519.PublicKey // the node's own, for drill leases; without it no lease counts
	KeepEnded int               // ended decisions remembered; 0 means 100,000
	KeepFor   time.Duration     // and for how long; 0 means 30 days
	HoldFor   time.Duration     // a held decision lapses after it; 0 means a day
}

// Ledger is the fold of the ledger's entries. It is safe for concurrent use;
// entries are applied one at a time.
type Ledger struct {
	mu       sync.RWMutex
	conf     LedgerConfig
	seq      uint64
	items    map[model.ULID]*item
	byTarget map[model.Entity][]*item // oldest first
	active   map[model.ULID]*item
	held     map[model.ULID]*item
	ended    []*item // in the order they ended
	leases   map[model.ULID]*model.Lease
	spent    map[model.ULID]time.Time // leases that ended, until they would have anyway
	budget   [4]tally                 // see tallyOf
	latest   time.Time                // newest entry time
	stats    LedgerStats
}

// LedgerStats counts what happened since New.
type LedgerStats struct {
	Applied   uint64 `json:"applied"`
	Repeated  uint64 `json:"repeated"`  // entries delivered again
	Refused   uint64 `json:"refused"`   // entries that are not valid, or not now
	Forgotten uint64 `json:"forgotten"` // ended decisions dropped from memory
	Active    int    `json:"active"`
	Held      int    `json:"held"`
	Ended     int    `json:"ended"`
	Leases    int    `json:"leases"`
}

// item is a decision with what only the ledger knows.
type item struct {
	d     model.Decision
	begun bool         // it was in force
	ended model.Change // how it ended
}

// NewLedger makes an empty ledger.
func NewLedger(c LedgerConfig) *Ledger {
	if c.KeepEnded <= 0 {
		c.KeepEnded = 100_000
	}
	if c.KeepFor <= 0 {
		c.KeepFor = 30 * 24 * time.Hour
	}
	if c.HoldFor <= 0 {
		c.HoldFor = 24 * time.Hour
	}
	return &Ledger{
		conf: c, items: map[model.ULID]*item{}, byTarget: map[model.Entity][]*item{},
		active: map[model.ULID]*item{}, held: map[model.ULID]*item{},
		leases: map[model.ULID]*model.Lease{}, spent: map[model.ULID]time.Time{},
		budget: [4]tally{newTally(), newTally(), newTally(), newTally()},
	}
}

// EntryError is an entry that changed nothing, and why.
type EntryError struct {
	Seq    uint64
	Change model.Change
	ID     model.ULID
	Msg    string
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("apply ledger entry %d (%.16q of %s): %s", e.Seq, string(e.Change), e.ID, e.Msg)
}

// Apply folds one entry. seq is its place in the ledger, starting with 1; one
// that was applied before changes nothing, so that entries may be delivered
// again. It returns the decisions or leases that changed. An entry that is not
// valid, or not possible in the present state, is ignored and reported as an
// *EntryError.
//
// The ledger may have been written by somebody else, so everything that keeps
// a block harmless is checked again here: what is in force is never reserved
// (except under a lease that this node signed, and for a single host of one's
// own that a person isolates), never wider than allowed and
// never against a guardrail's "never".
func (l *Ledger) Apply(seq uint64, e model.Entry) ([]model.ULID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq <= l.seq {
		l.stats.Repeated++
		return nil, nil
	}
	l.seq = seq
	changed, msg := l.apply(seq, &e)
	if msg != "" {
		l.stats.Refused++
		return nil, &EntryError{seq, e.Change, e.ID, msg}
	}
	l.stats.Applied++
	if e.Time.After(l.latest) {
		l.latest = e.Time
	}
	l.forget()
	return changed, nil
}

func (l *Ledger) apply(seq uint64, e *model.Entry) (changed []model.ULID, msg string) {
	switch e.Change {
	case model.ChangeDecide, model.ChangeHold:
		return l.begin(seq, e)
	case model.ChangeLease:
		return l.lease(e)
	case model.ChangeUnlease:
		return l.unlease(e)
	case model.ChangeApprove, model.ChangeReject, model.ChangeRemove, model.ChangeExpire:
	default:
		return nil, "unknown change"
	}
	it := l.items[e.ID]
	if it == nil {
		return nil, "no such decision"
	}
	switch e.Change {
	case model.ChangeApprove:
		return l.approve(it, e)
	case model.ChangeReject:
		if it.d.State != model.StateHeld {
			return nil, "only a held decision can be rejected, this one is " + string(it.d.State)
		}
		l.end(it, model.StateRejected, e, e.Time)
	case model.ChangeRemove:
		if it.d.State != model.StateActive {
			return nil, "only an active decision can be removed, this one is " + string(it.d.State)
		}
		l.end(it, model.StateRemoved, e, e.Time)
	case model.ChangeExpire:
		due := l.due(it)
		switch {
		case it.d.State != model.StateActive && it.d.State != model.StateHeld:
			return nil, "" // several clocks may notice the same end
		case e.Time.Before(due):
			return nil, "its end has not come"
		}
		l.end(it, model.StateExpired, e, due)
	}
	return []model.ULID{e.ID}, ""
}

// due is when a decision ends by itself.
func (l *Ledger) due(it *item) time.Time {
	if it.d.State == model.StateHeld {
		return it.d.From.Add(l.conf.HoldFor)
	}
	return it.d.Until
}

func (l *Ledger) begin(seq uint64, e *model.Entry) ([]model.ULID, string) {
	d := e.Decision
	if d == nil || d.ID.IsZero() || d.ID != e.ID {
		return nil, "no decision, or not the one it names"
	}
	if l.items[d.ID] != nil {
		return nil, "a decision of this id exists"
	}
	if msg := oversized(d); msg != "" {
		return nil, msg
	}
	it := &item{d: *d}
	it.d.Seq, it.d.Ended, it.d.EndReason = seq, time.Time{}, ""
	if e.Change == model.ChangeHold {
		it.d.State = model.StateHeld
		l.held[d.ID] = it
	} else {
		if msg := l.harmless(&it.d, it.d.Policy == "manual"); msg != "" {
			return nil, msg
		}
		it.d.State = model.StateActive
		l.activate(it, e.Time)
	}
	l.items[d.ID] = it
	l.byTarget[d.Target] = append(l.byTarget[d.Target], it)
	return []model.ULID{d.ID}, ""
}

// oversized checks a decision's form.
func oversized(d *model.Decision) string {
	switch {
	case d.Target.IsZero() || d.Action > model.Isolate:
		return "no target, or an unknown action"
	case !d.Until.After(d.From) || d.Until.Sub(d.From) > 10*366*24*time.Hour:
		return "ends before it begins, or lasts longer than ten years"
	case len(d.Policy) > 64 || len(d.Reason) > MaxReason || len(d.Actor) > 256:
		return "policy, reason or actor too long"
	case len(d.Guardrails) > 64 || len(d.Because.Signals) > 64 || len(d.Because.Classes) > 32 || len(d.Because.Sensors) > 64:
		return "too many guardrails, signals, classes or sensors"
	}
	for _, g := range d.Guardrails {
		if len(g.Guardrail) > 64 || len(g.Detail) > MaxReason {
			return "guardrail result too long"
		}
	}
	return ""
}

// The widest prefixes that can be in force whatever the policy says.
const (
	widest4 = 8
	widest6 = 56
)

// harmless says why a decision must not come into force; person: somebody said
// that it shall.
func (l *Ledger) harmless(d *model.Decision, person bool) string {
	if !forcible(d.Action) {
		return ""
	}
	if no := actable(d.Target, d.Action); no != "" {
		return no
	}
	p, isIP := d.Target.Prefix()
	switch {
	case !isIP:
	case p.Addr().Is4() && p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6:
		return fmt.Sprintf("%s is wider than anything that may be in force", p)
	}
	for _, g := range d.Guardrails {
		if g.Verdict == model.GuardNever {
			return "guardrail " + g.Guardrail + " says never"
		}
	}
	if !d.Lease.IsZero() {
		return l.leased(d, p)
	}
	if d.DryRun || !isIP {
		return ""
	}
	if what, bad := reserved(p); bad && !(person && ownHost(d.Action, p)) {
		return "reserved, and no drill lease: " + what
	}
	return ""
}

// leased checks a decision that claims to be made under a lease.
func (l *Ledger) leased(d *model.Decision, p netip.Prefix) string {
	lease := l.leases[d.Lease]
	switch {
	case lease == nil:
		return "made under a drill lease that is not in force"
	case !leaseCovers(lease, p):
		return "its drill lease does not name the target"
	case d.From.Before(lease.From) || !d.From.Before(lease.Until):
		return "made outside the time of its drill lease"
	case d.Until.Sub(d.From) > model.MaxLeaseBlock:
		return fmt.Sprintf("lasts longer than %s, the most under a drill lease", model.MaxLeaseBlock)
	}
	return ""
}

func (l *Ledger) approve(it *item, e *model.Entry) ([]model.ULID, string) {
	d := it.d
	switch {
	case d.State != model.StateHeld:
		return nil, "only a held decision can be approved, this one is " + string(d.State)
	case !d.Lease.IsZero():
		return nil, "a drill's decision cannot be approved"
	case !e.Until.After(e.Time) || e.Until.Sub(e.Time) > 10*366*24*time.Hour:
		return nil, "no end, or one in the past"
	}
	d.From, d.Until = e.Time, e.Until
	if msg := l.harmless(&d, e.By != ""); msg != "" {
		return nil, msg
	}
	d.State, d.Actor = model.StateActive, clip(e.By, 256)
	it.d = d
	delete(l.held, d.ID)
	l.activate(it, e.Time)
	return []model.ULID{d.ID}, ""
}

func (l *Ledger) activate(it *item, at time.Time) {
	l.active[it.d.ID], it.begun = it, true
	l.tallyOf(it.d.Action, it.d.DryRun).begin(it, at)
}

// tallyOf is where a decision counts: what acts on a device and what does not
// have budgets of their own, and so have dry runs.
func (l *Ledger) tallyOf(a model.Action, dryRun bool) *tally {
	i := 0
	if dryRun {
		i++
	}
	if !forcible(a) {
		i += 2
	}
	return &l.budget[i]
}

func (l *Ledger) end(it *item, s model.State, e *model.Entry, at time.Time) {
	if it.d.State == model.StateActive {
		l.tallyOf(it.d.Action, it.d.DryRun).end(it)
	}
	delete(l.active, it.d.ID)
	delete(l.held, it.d.ID)
	it.d.State, it.d.Ended, it.ended = s, at, e.Change
	reason := e.Reason
	if reason == "" {
		reason = string(e.Change)
	}
	if e.By != "" && !strings.HasPrefix(reason, e.By+":") {
		reason = e.By + ": " + reason
	}
	it.d.EndReason = clip(reason, MaxReason)
	l.ended = append(l.ended, it)
}

// maxLeases bounds how many leases can be in force at once.
const maxLeases = 16

func (l *Ledger) lease(e *model.Entry) ([]model.ULID, string) {
	if e.Lease == nil || e.Lease.ID != e.ID {
		return nil, "no lease, or not the one it names"
	}
	if err := VerifyLease(l.conf.Key, e.Lease); err != nil {
		return nil, err.Error()
	}
	_, spent := l.spent[e.ID]
	maps.DeleteFunc(l.leases, func(_ model.ULID, x *model.Lease) bool { return !e.Time.Before(x.Until) })
	maps.DeleteFunc(l.spent, func(_ model.ULID, until time.Time) bool { return !e.Time.Before(until) })
	switch {
	case spent:
		return nil, "the lease has ended; it cannot begin again"
	case l.leases[e.ID] != nil:
		return nil, "the lease is in force already"
	case e.Time.Before(e.Lease.From.Add(-time.Second)) || !e.Time.Before(e.Lease.Until):
		return nil, "written outside the lease's own time"
	case len(l.leases) >= maxLeases:
		return nil, fmt.Sprintf("%d leases are in force, no more at once", maxLeases)
	}
	copied := *e.Lease
	copied.Addresses = slices.Clone(e.Lease.Addresses)
	l.leases[e.ID] = &copied
	return []model.ULID{e.ID}, ""
}

func (l *Ledger) unlease(e *model.Entry) ([]model.ULID, string) {
	x := l.leases[e.ID]
	if x == nil {
		return nil, "no such lease in force"
	}
	delete(l.leases, e.ID)
	l.spent[e.ID] = x.Until
	return []model.ULID{e.ID}, ""
}

// forget drops the oldest ended decisions beyond what is kept.
func (l *Ledger) forget() {
	old := l.latest.Add(-l.conf.KeepFor)
	for len(l.ended) > 0 && (len(l.ended) > l.conf.KeepEnded || l.ended[0].d.Ended.Before(old)) {
		it := l.ended[0]
		l.ended[0] = nil
		l.ended = l.ended[1:]
		delete(l.items, it.d.ID)
		same := slices.DeleteFunc(l.byTarget[it.d.Target], func(x *item) bool { return x == it })
		if len(same) == 0 {
			delete(l.byTarget, it.d.Target)
		} else {
			l.byTarget[it.d.Target] = same
		}
		l.stats.Forgotten++
	}
}
