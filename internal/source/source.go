// Package source reads flows and logs of the outside world: formats turn
// records into typed observations, transports bring the bytes.
//
// A format is a folder with Config, Default and New; it recognises its own
// records by their content and never by a name. A transport is in package
// transport. Everything read here may have been written by an attacker: a
// record that cannot be read is counted, sampled to the quarantine and skipped,
// and never stops the stream; an input of which nothing could be read is an
// error that says what it looked like.
package source

import (
	"context"
	"errors"

	"bartizan/internal/observe"
)

// Source is something that yields observations until it ends or ctx does.
//
// Run blocks. It never retries what Emit refused, never closes what it was
// given, and ends every goroutine it started before it returns. It returns nil
// at the end of a finite input, ctx's error when cancelled, and Emit's error
// when Emit fails.
type Source interface {
	Run(ctx context.Context, emit Emit) error
}

// Emit takes a batch. It blocks while the receiver is busy (back-pressure) and
// fails with ctx's error or the receiver's. The batch belongs to the source
// again when Emit returns. Whatever was emitted without an error counts as
// delivered: checkpoints are moved behind it.
type Emit func(ctx context.Context, b *observe.LogBatch) error

// Format is one way to write records down.
type Format interface {
	// Decoder makes a decoder for one input. Decoders keep state (a header
	// line, a year) and are used by one goroutine.
	Decoder() Decoder
}

// Decoder reads the records of one input.
type Decoder interface {
	// Decode appends what a record says to b, under the index at. It must not
	// keep record. A record that is in the format and of no interest appends
	// nothing and returns nil. ErrHeader: the line describes the following
	// ones and is no record. Every other error means that the record is not in
	// this format, or broken; its text is ours and quotes nothing of the record.
	Decode(record []byte, at uint64, b *observe.LogBatch) error
}

// ErrHeader says that a line described the records and was none itself.
var ErrHeader = errors.New("a header line, not a record")

// ErrFormat says that a record is not in the decoder's format at all.
var ErrFormat = errors.New("not in this format")

// Caps on what one input may make the reader hold.
const (
	MaxRecord  = 1 << 20 // longest record in bytes; longer ones are malformed
	BatchLen   = 128     // observations in a batch
	MaxSamples = 100     // malformed records of one input that are quarantined
	maxSample  = 4096    // bytes kept of each
)
