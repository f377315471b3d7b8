package enforce

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Options of a Reconciler. The zero value is useful.
type Options struct {
	Window    time.Duration   // at least this long between the starts of two Applies; 50 ms when 0
	Timeout   time.Duration   // for one Apply; 30 s when 0
	MaxDelay  time.Duration   // longest wait after failures; 5 s when 0
	ReadBack  time.Duration   // between two audits of an Auditor; 30 s when 0, none when negative
	Persisted []model.Receipt // this enforcer's receipts of earlier runs: none is given twice
	Log       *slog.Logger
	Changed   func(Health) // told after every Apply and audit; does not block
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		p *time.Duration
		v time.Duration
	}{{&o.Window, 50 * time.Millisecond}, {&o.Timeout, 30 * time.Second}, {&o.MaxDelay, 5 * time.Second}, {&o.ReadBack, 30 * time.Second}} {
		if *d.p == 0 {
			*d.p = d.v
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Health is what a Reconciler knows of its enforcer.
type Health struct {
	Name        string    `json:"name"`
	LastOK      time.Time `json:"last_ok,omitzero"`       // end of the last Apply that succeeded
	LastError   string    `json:"last_error,omitempty"`   // of the last Apply or audit that failed
	LastErrorAt time.Time `json:"last_error_at,omitzero"` //
	Pending     bool      `json:"pending"`                // the device may not hold the newest state
	Since       time.Time `json:"pending_since,omitzero"` // since when
	Generation  uint64    `json:"generation"`             // of the state the device holds
	Orders      int       `json:"orders"`                 // in force
	Receipts    int       `json:"receipts_waiting"`       // not yet delivered
	Applies     uint64    `json:"applies"`
	Failures    uint64    `json:"failures"`
	Panics      uint64    `json:"panics"`
	Audits      uint64    `json:"audits"`
	Drifts      uint64    `json:"drifts"` // audits that found the device changed by others
}

// Reconciler makes one enforcer follow the newest state. Each enforcer has its
// own, so a slow or broken device delays no other.
type Reconciler struct {
	name string
	e    Enforcer
	opts Options

	tracker *Tracker // when something expires; Run's goroutine only
	late    []Order  // ended before an Apply succeeded; Run's goroutine only
	out     outbox
	drift   chan struct{}

	mu     sync.Mutex
	health Health
}

// New makes a Reconciler; name appears in receipts. It starts nothing.
func New(name string, e Enforcer, opts Options) *Reconciler {
	r := &Reconciler{name: name, e: e, opts: opts.withDefaults(), tracker: NewTracker(), drift: make(chan struct{}, 1)}
	r.health.Name = name
	r.out.init(name, opts.Persisted)
	return r
}

// Health returns what is known now.
func (r *Reconciler) Health() Health {
	r.mu.Lock()
	h := r.health
	r.mu.Unlock()
	h.Receipts = r.out.waiting()
	return h
}

// Run follows latest until ctx ends and hands receipts to deliver, one at a
// time and again until it returns nil; nil means the receipt is stored. Before
// latest has a state the device is left as it is. Run never fails for what the
// device does; it returns nil when ctx has ended and everything it started has.
func (r *Reconciler) Run(ctx context.Context, latest *Latest, deliver func(context.Context, model.Receipt) error) error {
	var wg sync.WaitGroup
	wg.Go(func() { r.out.run(ctx, deliver, r.opts) })
	if a, ok := r.e.(Auditor); ok && r.opts.ReadBack > 0 {
		wg.Go(func() { r.audit(ctx, a) })
	}
	r.follow(ctx, latest)
	wg.Wait()
	return nil
}

// follow is the loop that calls Apply.
func (r *Reconciler) follow(ctx context.Context, latest *Latest) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var (
		failures int
		started  time.Time // of the last Apply
		retryAt  time.Time // zero unless the last Apply failed
		applied  uint64
		first    = true // nothing applied yet
		drifted  bool
	)
	for {
		state, newer := latest.Get()
		due, wait := r.due(state, first, applied, drifted, started, retryAt)
		if due {
			started = time.Now()
			if err := r.apply(ctx, state); err != nil {
				failures++
				retryAt = time.Now().Add(backoff(failures, r.opts.MaxDelay))
			} else {
				failures, retryAt, first, drifted, applied = 0, time.Time{}, false, false, state.Generation()
			}
			if ctx.Err() != nil {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-newer:
		case <-timer.C:
		case <-r.drift:
			drifted = true
		}
	}
}

// due says whether to apply now, else how long nothing needs to be done.
func (r *Reconciler) due(state State, first bool, applied uint64, drifted bool, started, retryAt time.Time) (bool, time.Duration) {
	const idle = time.Minute
	now := time.Now()
	if state == nil {
		return false, idle
	}
	if !retryAt.IsZero() {
		return !now.Before(retryAt), max(retryAt.Sub(now), 0)
	}
	work := first || drifted || state.Generation() != applied
	if !work {
		at, ok := r.tracker.NextEnd()
		if !ok {
			return false, idle
		}
		// Wall clock on purpose: an end is a moment of the calendar. The
		// idle cap re-reads the clock if it was set meanwhile.
		wait := min(time.Until(at)+time.Millisecond, time.Second)
		if time.Now().Before(at) {
			return false, max(wait, time.Millisecond)
		}
	}
	if open := started.Add(r.opts.Window); now.Before(open) {
		return false, open.Sub(now)
	}
	return true, 0
}

// backoff doubles from 50 ms to most, less up to a half so that enforcers that
// failed together do not come back together.
func backoff(failures int, most time.Duration) time.Duration {
	d := min(50*time.Millisecond<<min(failures-1, 20), most)
	return d/2 + rand.N(d/2+1)
}

func (r *Reconciler) apply(ctx context.Context, state State) error {
	r.update(func(h *Health) {
		if !h.Pending {
			h.Pending, h.Since = true, time.Now()
		}
	})
	r.late = append(r.late, r.tracker.Next(state, time.Now()).Late...)
	limited, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	panics := uint64(0)
	err := safe.Recover("enforcer "+r.name, func(_ any, stack []byte) {
		panics = 1
		r.opts.Log.Error("enforcer panicked", "enforcer", r.name, "stack", string(stack))
	}, func() error { return r.e.Apply(limited, state, r.out.put) })
	if err == nil {
		r.out.settle(r.tracker, r.late)
		r.late = nil
	} else if ctx.Err() == nil {
		r.opts.Log.Warn("enforcer failed, retrying", "enforcer", r.name, "error", safe.Clean(err.Error(), 500))
	}
	r.update(func(h *Health) {
		h.Applies++
		h.Panics += panics
		h.Orders = r.tracker.Len()
		if err != nil {
			h.Failures++
			h.LastError, h.LastErrorAt = safe.Clean(err.Error(), 500), time.Now()
			return
		}
		h.LastOK, h.Pending, h.Since, h.Generation = time.Now(), false, time.Time{}, state.Generation()
	})
	return err
}

// Again makes Run apply the newest state once more although it has not changed,
// because what it is judged by has: the list of what must never be hit.
func (r *Reconciler) Again() {
	select {
	case r.drift <- struct{}{}:
	default: // it is about to anyway
	}
}

// audit compares the device with what it should hold, beside the decisions.
func (r *Reconciler) audit(ctx context.Context, a Auditor) {
	ticker := time.NewTicker(r.opts.ReadBack)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var drift bool
		err := safe.Recover("audit of enforcer "+r.name, nil, func() (err error) {
			drift, err = a.Audit(ctx)
			return err
		})
		if ctx.Err() != nil {
			return
		}
		if drift {
			r.opts.Log.Warn("device was changed by others, repairing", "enforcer", r.name)
			r.Again()
		}
		r.update(func(h *Health) {
			h.Audits++
			if drift {
				h.Drifts++
			}
			if err != nil {
				h.LastError, h.LastErrorAt = fmt.Sprintf("read back: %s", safe.Clean(err.Error(), 500)), time.Now()
			}
		})
	}
}

func (r *Reconciler) update(f func(*Health)) {
	r.mu.Lock()
	f(&r.health)
	h := r.health
	r.mu.Unlock()
	if r.opts.Changed != nil {
		h.Receipts = r.out.waiting()
		r.opts.Changed(h)
	}
}
