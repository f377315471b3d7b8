// Package decoy is the contract every honeypot service keeps, and the runner
// that owns everything around it: listeners, limits, timeouts, transcripts,
// panics, and the way observations leave.
//
// The runner lives in a child process without privileges, so nothing in here
// reads files, opens sockets or holds secrets that matter. Services know one
// visitor at a time and nothing else.
package decoy

import (
	"context"

	"bartizan/internal/observe"
)

// Service plays one protocol to one visitor at a time.
//
// Serve is called for every connection, by many goroutines at once; it returns
// when the conversation is over. The runner owns the connection: it closes it
// afterwards, applies idle and total time limits, counts bytes, records the
// transcript and recovers panics. Serve must end soon after ctx is done or the
// connection fails (reads and writes then return an error), must not keep s,
// and must not start goroutines that outlive it. A returned error means our
// mistake, never the visitor's: bad input is a reason to answer as the real
// service would, then return nil.
type Service interface {
	Serve(ctx context.Context, s *Session) error
}

// Sink takes observations. Emit may block while the reader is slow, which slows
// the visitor down; it returns ctx's error when that ends first.
type Sink interface {
	Emit(ctx context.Context, o *observe.Observation) error
}
