// Package export carries events to where other programs look for them: the
// contract every sink keeps, and the loop that sends until it has succeeded.
//
// Delivery is at least once: after a failure or a restart a sink is given events
// again that it may have had. Events are OCSF, one JSON object each (package
// ocsf); the sinks know nothing of what is in them.
package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Event is one event, ready to be sent.
type Event struct {
	Class    string    // of the lake: "signal", "decision", …; from our own list
	Time     time.Time // when it happened
	Severity int       // OCSF severity_id: 1 informational … 5 critical
	JSON     []byte    // one JSON object without line breaks
}

// Sink sends events somewhere.
//
// Send returns when the receiver has taken all events, as far as its protocol
// says so, or with an error when it does not know that; the caller then sends
// the same events again, after a pause, and the sink never does by itself.
// Events that the receiver can never take, because they are too large for it,
// are counted in left and do not make Send fail. Send is called by one goroutine
// at a time, keeps nothing of its argument, returns soon after ctx has ended,
// and finds its way back to a receiver that was away. Close lets go of what is
// held; Send is not called after it.
type Sink interface {
	Send(ctx context.Context, events []Event) (left int, err error)
	Close() error
}

// Limits of what is handed to a sink at once.
const (
	MaxBatch = 500
	MaxEvent = 32 << 20 // longest line Parse takes: a row may carry raw evidence
)

// Parse makes an event of a line of JSON whose class is known.
func Parse(class string, line []byte) (Event, error) {
	if len(line) > MaxEvent {
		return Event{}, fmt.Errorf("read event: %d bytes, at most %d", len(line), MaxEvent)
	}
	var head struct {
		Time     int64 `json:"time"` // milliseconds since 1970
		Severity int   `json:"severity_id"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return Event{}, fmt.Errorf("read event: %w", err)
	}
	return Event{Class: class, Time: time.UnixMilli(head.Time).UTC(), Severity: head.Severity, JSON: line}, nil
}

// Retry is how long and how often Deliver tries.
type Retry struct {
	First, Most time.Duration // pause after the first failure, and the longest; it doubles in between
	Times       int           // tries in all; 0: until ctx ends
	Failed      func(err error, pause time.Duration)
}

// Deliver sends until the sink has taken the events or the tries are used up.
func Deliver(ctx context.Context, s Sink, events []Event, r Retry) (left int, err error) {
	pause := r.First
	for try := 1; ; try++ {
		if left, err = s.Send(ctx, events); err == nil {
			return left, nil
		}
		if ctx.Err() != nil {
			return 0, errors.Join(ctx.Err(), err)
		}
		if try == r.Times {
			return 0, fmt.Errorf("send, %d tries: %w", try, err)
		}
		wait := pause
		var later *LaterError
		if errors.As(err, &later) {
			wait = min(max(wait, later.After), r.Most)
		}
		if r.Failed != nil {
			r.Failed(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0, errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
		pause = min(2*pause, r.Most)
	}
}

// LaterError is a receiver's wish to be left alone for a while.
type LaterError struct {
	After time.Duration
	Err   error
}

func (e *LaterError) Error() string { return e.Err.Error() }

// Unwrap returns the answer itself.
func (e *LaterError) Unwrap() error { return e.Err }
