// Package enforce carries decisions to the devices that can act on them: the
// contract every enforcer keeps, and the reconciler that drives them.
//
// An enforcer is told the whole state that should hold, never a sequence of
// additions and deletions, so whatever a crash left behind is corrected by the
// next Apply.
package enforce

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"bartizan/internal/model"
)

// Order is one decision as a device needs it.
type Order struct {
	Decision model.ULID
	Prefix   netip.Prefix // canonical: unmapped and masked
	Action   model.Action // Throttle, Block or Isolate
	Until    time.Time    // the device stops by itself then, whatever happens to us
	Manual   bool         // a person ordered it: may be wider than what the policy may order
}

// State is the set of orders that should be in force: an immutable snapshot
// with a generation that grows with every change.
type State interface {
	Generation() uint64
	// All yields every order, sorted by decision id.
	All() iter.Seq[Order]
	// Since yields what was added and removed after the given generation, or
	// ok false when that is not known any more and All must be used.
	Since(generation uint64) (added, removed []Order, ok bool)
}

// Enforcer makes a device hold a state.
//
// Apply is idempotent and is called by one goroutine at a time. It returns when
// the device holds want, or with an error when it does not know that it does;
// the caller retries with backoff and a newer state, the enforcer never does.
// For every order it calls receipt once when the device starts to enforce it
// (Applied), cannot (Refused, with the reason) and once when it no longer does
// (Expired); receipt does not block. Orders whose Until has passed count as not
// wanted. It must never touch what it does not own.
type Enforcer interface {
	Apply(ctx context.Context, want State, receipt func(model.Receipt)) error
}

// Auditor is an Enforcer that can compare its device with what it last applied.
// Audit may run while Apply does and must not make it wait; it reports true
// when the device differs, and the next Apply then repairs it whatever state
// it is given.
type Auditor interface {
	Audit(ctx context.Context) (drift bool, err error)
}

// Protected is an Enforcer with a last line of defence: an order that touches
// one of the prefixes is refused, whoever made it, and withdrawn with the next
// Apply if it is already in force. Protect replaces the list given before and
// is added to what the configuration says.
type Protected interface {
	Protect(never []netip.Prefix)
}

// Cutter is an Enforcer that can have established connections ended: cut is
// called for each prefix after it was blocked, beside Apply, and must return
// when its context ends. SetCut is called before the first Apply.
type Cutter interface {
	SetCut(cut func(ctx context.Context, p netip.Prefix))
}

// Counter is what was dropped for a decision.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Counting is an Enforcer whose device counts. A packet counts for every
// decision that covers its source; the numbers never shrink while a decision
// is in force. It does not delay Apply.
type Counting interface {
	Counters(ctx context.Context) (map[model.ULID]Counter, error)
}

// Reader is an Enforcer whose device can be read back.
type Reader interface {
	// Read returns the prefixes the device holds now, as it holds them.
	Read(ctx context.Context) ([]netip.Prefix, error)
}

// Closer is an Enforcer that holds something to be released at the end. What
// is in force stays in force: stopping the program does not let attackers in.
type Closer interface {
	Close() error
}
