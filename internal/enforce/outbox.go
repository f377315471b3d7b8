package enforce

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// forgetAfter is how long an ended decision is remembered so that a late
// receipt for it is recognised as a second one.
const forgetAfter = time.Hour

// lastWords is how long receipts may still be delivered after the end.
const lastWords = 2 * time.Second

// outbox takes receipts without blocking, drops what was said before, and
// delivers the rest in order.
type outbox struct {
	name string

	mu      sync.Mutex
	said    map[model.ULID]*said
	queue   []model.Receipt
	settled bool // a state was applied: what earlier runs left open is closed
	pruned  time.Time
	wake    chan struct{}
}

// said is what was receipted for one decision.
type said struct {
	applied, refused, expired, verified bool
	at                                  time.Time // of the newest
}

// mark records a status and reports whether it is news. Delivered and Applied
// are one: both say that the order reached the device.
func (s *said) mark(st model.ReceiptStatus, at time.Time) bool {
	flag := &s.applied
	switch st {
	case model.Refused:
		flag = &s.refused
	case model.Expired:
		flag = &s.expired
	case model.Verified:
		flag = &s.verified
	}
	if *flag {
		return false
	}
	*flag = true
	s.at = at
	return true
}

func (o *outbox) init(name string, persisted []model.Receipt) {
	o.name, o.said, o.wake = name, make(map[model.ULID]*said), make(chan struct{}, 1)
	o.pruned = time.Now()
	for _, r := range persisted {
		if r.Enforcer == name || r.Enforcer == "" {
			o.of(r.Decision).mark(r.Status, r.Time)
		}
	}
}

func (o *outbox) of(id model.ULID) *said {
	s := o.said[id]
	if s == nil {
		s = &said{}
		o.said[id] = s
	}
	return s
}

// put takes one receipt of the enforcer.
func (o *outbox) put(r model.Receipt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.putLocked(r)
}

func (o *outbox) putLocked(r model.Receipt) {
	if r.Time.IsZero() {
		r.Time = time.Now().UTC()
	}
	if !o.of(r.Decision).mark(r.Status, r.Time) {
		return
	}
	r.Enforcer = o.name
	if r.ID.IsZero() {
		r.ID = receiptID(r)
	}
	o.queue = append(o.queue, r)
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// receiptID depends on what is said only, so a receipt that is delivered again
// because its acknowledgement was lost can be recognised.
func receiptID(r model.Receipt) model.ULID {
	id := model.NewULID(r.Time)
	sum := sha256.Sum256([]byte(r.Decision.String() + "\n" + r.Enforcer + "\n" + string(r.Status)))
	copy(id[6:], sum[:10])
	return id
}

// settle says after a successful Apply what the enforcer cannot know: orders
// that ended before they reached it, and orders of an earlier run that are
// wanted no more.
func (o *outbox) settle(t *Tracker, ended []Order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, late := range ended {
		s := o.of(late.Decision)
		switch {
		case s.expired || s.refused:
		case s.applied:
			o.putLocked(model.Receipt{Decision: late.Decision, Status: model.Expired, Detail: "ended while the enforcer was away"})
		default:
			o.putLocked(model.Receipt{Decision: late.Decision, Status: model.Expired, Detail: "ended before it reached the device"})
		}
	}
	if !o.settled {
		o.settled = true
		for id, s := range o.said {
			if s.applied && !s.expired && !t.Holds(id) {
				o.putLocked(model.Receipt{Decision: id, Status: model.Expired, Detail: "ended while the enforcer was away"})
			}
		}
	}
	if now := time.Now(); now.Sub(o.pruned) > forgetAfter/6 {
		o.pruned = now
		for id, s := range o.said {
			if (s.expired || s.refused) && now.Sub(s.at) > forgetAfter && !t.Holds(id) {
				delete(o.said, id)
			}
		}
	}
}

func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

func (o *outbox) head() (model.Receipt, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return model.Receipt{}, false
	}
	return o.queue[0], true
}

func (o *outbox) pop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = o.queue[1:]
	if len(o.queue) == 0 {
		o.queue = nil
	}
}

// run delivers until ctx ends, and then for a moment what is left: a receipt
// that is not delivered is not lost, the next run makes it again.
func (o *outbox) run(ctx context.Context, deliver func(context.Context, model.Receipt) error, opts Options) {
	if !o.drain(ctx, ctx.Done(), deliver, opts) {
		return
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	o.drain(grace, nil, deliver, opts)
}

// drain delivers receipts until ctx ends, which it reports with true, or, when
// stop is nil, until none is left.
func (o *outbox) drain(ctx context.Context, stop <-chan struct{}, deliver func(context.Context, model.Receipt) error, opts Options) bool {
	for failures := 0; ctx.Err() == nil; {
		r, ok := o.head()
		if !ok && stop == nil {
			return false
		}
		if !ok {
			select {
			case <-stop:
			case <-o.wake:
			}
			continue
		}
		err := safe.Recover("receipt delivery", nil, func() error { return deliver(ctx, r) })
		if err == nil {
			o.pop()
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			break
		}
		failures++
		opts.Log.Warn("receipt not stored, retrying", "enforcer", o.name, "error", safe.Clean(err.Error(), 300))
		timer := time.NewTimer(backoff(failures, opts.MaxDelay))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	return true
}
