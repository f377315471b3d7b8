package transport

import (
	"context"
	"errors"
	"io"

	"bartizan/internal/source"
)

// Feed brings records to a node for as long as it runs: files that grow, a
// port that others send to, a queue.
//
// Run blocks until ctx ends, which is no error, or until the feed cannot go on;
// the node then waits and runs it again. It ends every goroutine it started.
type Feed interface {
	Run(ctx context.Context, in Intake) error
}

// Forgeable is a Feed whose records anybody can send who reaches it, whatever
// address they write in front. What such records say never counts towards a block.
type Forgeable interface{ Forgeable() bool }

// Picky is a Feed that not every format suits.
type Picky interface {
	// Takes says why a format does not suit.
	Takes(f source.Format) error
}

// Intake is what a node gives a feed.
type Intake struct {
	Source  string        // name of the source in the configuration; the input's name in batches
	Format  string        // name of the format
	Decoder source.Format // makes a decoder per file, connection or request
	// Emit delivers a batch; see source.Emit. It may be called by several goroutines.
	Emit source.Emit
	// Places is where to go on after a restart; it outlives the node.
	Places Places
	// Quarantine gets a JSON line per sampled malformed record; nil: none.
	Quarantine io.Writer
	// Count is told what was read since the last call.
	Count func(source.Counts)
	// Say tells the operator how the feed is: err nil when it works, with what
	// it does in our own words.
	Say func(doing string, err error)
}

// Options are the reader's options of an input of the feed.
func (in *Intake) Options() source.Options {
	return source.Options{Input: in.Source, Format: in.Format, Decoder: in.Decoder.Decoder(), Quarantine: in.Quarantine}
}

// Place is how far one file or object was read.
type Place struct {
	Source string          `json:"source"`           // name of the source
	Key    string          `json:"key"`              // of the file or object, within the source
	Path   string          `json:"path,omitempty"`   // its last known name
	Head   string          `json:"head,omitempty"`   // SHA-256 (hexadecimal) of its first HeadLen bytes: whether it is still the same
	HeadN  int             `json:"head_n,omitempty"` // at most 256
	At     source.Position `json:"at"`
	Done   bool            `json:"done,omitempty"` // nothing more will come
	Packed bool            `json:"packed,omitempty"`
}

// Places remembers places of one source. A place is written when everything
// before it was delivered.
type Places interface {
	// Load lists every place of the source.
	Load(ctx context.Context) ([]Place, error)
	// Save stores a place under its key.
	Save(ctx context.Context, p Place) error
}

// Stopped says whether a feed ended because it was told to.
func Stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
