package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/decide"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// hub folds signals into intelligence and intelligence into decisions. It is
// the only writer of the ledger, and the ledger is its only memory: everything
// else is folded again at the next start.
type hub struct {
	conf     *Config
	bus      *bus.Bus
	log      *slog.Logger
	health   *obs.Health
	metrics  hubMetrics
	around   *surroundings
	key      ed25519.PrivateKey
	store    *intel.Store
	entries  *bus.Publisher[model.Entry]
	receipts *receiptBook
	told     func(changed []model.Entity, now time.Time) // whoever else uses what is known; nil: nobody

	mu      sync.Mutex // one decision at a time, and the views below
	ledger  *decide.Ledger
	policy  *decide.Policy
	watch   *decide.Watch
	drilled map[model.Entity]time.Time // addresses of drills that are over → when they are ordinary again
	todo    map[model.Entity]time.Time // changed and not decided yet → when its newest signal was stored
	folded  place                      // the last signal in store
	snapped uint64                     // the last signal in the snapshot on disk
	astray  bool                       // the clock was seen set back: no more snapshots
}

// horizon is how far back signals are folded again at a start: by then the
// evidence of any of them has decayed to nothing that matters.
const horizon = 7 * day

// rebuild folds what the streams hold, before anything runs. Every ledger entry
// is also given to others, so that they need not read it once more; last is
// the number of the newest.
func (h *hub) rebuild(ctx context.Context, now time.Time, also func(seq uint64, e model.Entry)) (last uint64, err error) {
	last, err = bus.Read(ctx, h.bus, ledgerTopic(h.conf), bus.From{}, func(m bus.Message[model.Entry]) error {
		h.fold(m.Seq, m.Value)
		also(m.Seq, m.Value)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read ledger: %w", err)
	}
	n, err := h.foldSignals(ctx, now)
	if err != nil {
		return 0, fmt.Errorf("read signals: %w", err)
	}
	h.log.Info("state folded from the streams", "decisions", len(h.ledger.Active()), "indicators", h.store.Len(), "snapshot", h.snapped, "signals", n)
	return last, nil
}

// fold applies one ledger entry to the view; a bad one is reported and skipped,
// as it will be by everybody else who folds the ledger.
func (h *hub) fold(seq uint64, e model.Entry) {
	if _, err := h.ledger.Apply(seq, e); err != nil {
		h.log.Warn("ledger entry ignored", "seq", seq, "change", e.Change, "error", err)
		h.health.Set("ledger", obs.StateDegraded, fmt.Sprintf("entry %d (%s) ignored: %v", seq, e.Change, err))
	}
}

// append writes entries to the ledger and folds them. The caller holds mu.
func (h *hub) append(ctx context.Context, entries []model.Entry) error {
	for i, e := range entries {
		id := fmt.Sprintf("%s-%s", e.ID, e.Change)
		seq, err := h.entries.Publish(ctx, e.ID.String(), id, e)
		if err != nil {
			state := "decisions cannot be written down, so none is made: "
			if !errors.Is(err, bus.ErrNoSpace) {
				state = "write ledger: "
			}
			h.health.Set("ledger", obs.StateFailed, state+err.Error())
			return fmt.Errorf("write %s (entry %d of %d) to the ledger: %w", e.Change, i+1, len(entries), err)
		}
		h.fold(seq, e)
		h.metrics.ledger.WithLabelValues(string(e.Change)).Inc()
		h.note(e)
	}
	if len(entries) > 0 {
		h.health.Set("ledger", obs.StateOK, "written")
	}
	return nil
}

// note counts and logs what a person will want to find later.
func (h *hub) note(e model.Entry) {
	d := e.Decision
	if d == nil {
		h.log.Info("ledger", "change", e.Change, "id", e.ID, "by", e.By, "reason", e.Reason)
		return
	}
	state := "enforced"
	if d.DryRun {
		state = "dry-run"
	}
	if e.Change == model.ChangeHold {
		state = "held"
	}
	h.metrics.decisions.WithLabelValues(d.Action.String(), state).Inc()
	if !d.Because.Seen.IsZero() {
		h.metrics.latency.WithLabelValues("decided").Observe(max(0, d.From.Sub(d.Because.Seen).Seconds()))
	}
	h.log.Info("decision", "change", e.Change, "id", e.ID, "action", d.Action, "target", d.Target.Value(), "state", state, "for", d.Until.Sub(d.From).Round(time.Millisecond), "reason", d.Reason)
}

// onSignals is the handler of the hub's durable consumer: fold, decide, write,
// and only then acknowledge.
func (h *hub) onSignals(ctx context.Context, batch []bus.Message[model.Signal]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range batch {
		m := &batch[i]
		h.folded = place{m.Seq, m.Value.ID}
		if err := m.Value.Check(); err != nil {
			h.log.Warn("signal ignored", "seq", m.Seq, "error", err)
			continue
		}
		// What changed is remembered until it is decided: when the ledger cannot
		// be written the same batch comes again, and then changes nothing.
		changed := h.store.Fold(&m.Value)
		for _, e := range changed {
			h.todo[e] = m.Time
		}
		if h.told != nil {
			h.told(changed, time.Now())
		}
	}
	return h.decide(ctx, time.Now())
}

// reconsider looks at everything that is known, once after a start: a kill
// between a signal and its decision must not let the attacker off.
func (h *hub) reconsider(ctx context.Context, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ind := range h.store.List(now, intel.Filter{Types: []model.EntityType{model.TypeIP}, Limit: intel.MaxList}) {
		h.todo[ind.Entity] = ind.LastSeen
	}
	return h.decide(ctx, now)
}

// decide evaluates what has changed since it was last decided; what could not
// be written down stays to be done. The caller holds mu.
func (h *hub) decide(ctx context.Context, folded time.Time) error {
	facts := h.around.snapshot()
	for e, stored := range h.todo {
		ind, ok := h.store.Get(e, folded)
		if !ok || h.echo(e, folded) {
			delete(h.todo, e)
			continue
		}
		entries, err := decide.Evaluate(time.Now(), ind, h.ledger, h.policy, facts)
		if err != nil {
			h.log.Error("cannot decide", "entity", e.Type(), "error", err)
			h.health.Set("policy", obs.StateDegraded, err.Error())
		}
		for i := range entries {
			if d := entries[i].Decision; d != nil {
				d.Because.Seen, d.Because.Stored, d.Because.Folded = ind.LastProof, stored, folded
				if d.Because.Seen.IsZero() {
					d.Because.Seen = ind.LastSeen
				}
			}
		}
		if err := h.append(ctx, entries); err != nil {
			return err
		}
		delete(h.todo, e)
	}
	return nil
}

// echo tells whether an entity is an attacker of a drill that is over. Its
// address is of a range that nothing may be done about without a lease.
func (h *hub) echo(e model.Entity, now time.Time) bool {
	until, drilled := h.drilled[e]
	if !drilled || now.After(until) {
		return false
	}
	for _, l := range h.ledger.Leases(now) {
		for _, s := range l.Addresses {
			if x, err := model.ParseIP(s); err == nil && x == e {
				return false // of the next drill
			}
		}
	}
	return true
}

// clock ends what is over, undoes what does harm, and forgets what has decayed.
func (h *hub) clock(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	lastForget, lastSample := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			// A failed write is reported by append and tried again at the next tick.
			_ = h.expire(ctx, now)
			if now.Sub(lastSample) >= trafficEvery {
				lastSample = now
				if good, known := h.around.goodPeers(); known {
					h.mu.Lock()
					h.watch.Sample(now, good)
					h.mu.Unlock()
				}
			}
			if now.Sub(lastForget) > 10*time.Second {
				lastForget = now
				h.store.Expire(now)
				h.gauges()
			}
		}
	}
}

func (h *hub) expire(ctx context.Context, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	entries := h.ledger.Expiries(now)
	entries = append(entries, h.watch.Check(now, h.ledger)...)
	return h.append(ctx, entries)
}

func (h *hub) gauges() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.metrics.active.WithLabelValues().Set(float64(len(h.ledger.Active())))
	h.metrics.held.WithLabelValues().Set(float64(len(h.ledger.Held())))
	h.metrics.indicators.WithLabelValues().Set(float64(h.store.Len()))
}
