package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/safe"
)

// Container is a Format that also reads inputs which are no lines of text:
// Parquet files, packet captures, captured datagrams.
type Container interface {
	// Open looks at an input and prepares to read it. ErrFormat: it is not one
	// of this format, and nothing was taken from in.Stream; another error: it is
	// one, and cannot be read at all.
	Open(in *Input) (Records, error)
}

// Input is what a container is read from.
type Input struct {
	Head   []byte    // the first bytes, up to HeadLen
	Stream io.Reader // everything from the beginning, Head included
	// All gives random access to everything, of size bytes. Of what is no file
	// it makes a temporary one, by reading Stream to its end.
	All func() (at io.ReaderAt, size int64, err error)
}

// HeadLen is how many bytes of an input are looked at to tell what it is.
const HeadLen = 4096

// Records are the records of one container; used by one goroutine.
type Records interface {
	// Next appends to b what the next records say, of which the first has the
	// index at, and says how many it took; about BatchLen are enough. (0, nil):
	// nothing came for a while, what is in b is handed on. io.EOF: there are no more, and what was held back is in b. A
	// *RecordError: the record behind the n it took is malformed and was passed
	// over. Every other error ends the input. Close gives back what is held.
	Next(at uint64, b *observe.LogBatch) (n int, err error)
	Close()
}

// RecordError says that one record of a container is malformed.
type RecordError struct {
	Why    error  // in our words
	Record []byte // its beginning, for the quarantine
}

func (e *RecordError) Error() string { return e.Why.Error() }

// ReadRecords takes in a container to its end, emitting batches. It fails with
// a *WrongError when none of its records could be read.
func ReadRecords(ctx context.Context, o Options, head []byte, recs Records, emit Emit) (Counts, error) {
	r := NewReader(o)
	r.batch.Flows = make([]observe.Flow, 0, 2*BatchLen)
	r.head = append(r.head, head[:min(len(head), 512)]...)
	for {
		if err := ctx.Err(); err != nil {
			return r.counts, err
		}
		var n int
		err := safe.Recover("read "+o.Format, nil, func() (err error) { // libraries read what strangers wrote
			n, err = recs.Next(r.pos.Records, &r.batch)
			return err
		})
		r.counts.Records += uint64(n)
		r.pos.Records += uint64(n)
		r.pos.Line = r.pos.Records
		var bad *RecordError
		switch {
		case errors.As(err, &bad):
			r.sample(bad.Record, bad.Why)
			r.malformed()
		case errors.Is(err, io.EOF):
			if err := r.flush(ctx, emit); err != nil {
				return r.counts, err
			}
			return r.counts, r.Verdict()
		case err != nil:
			var broke *safe.PanicError
			if errors.As(err, &broke) {
				err = errors.New("it is damaged in a way that no reader expects") // what it panicked with may quote it
			}
			err = fmt.Errorf("read %s after %d records: %w", safe.Clean(o.Input, 200), r.counts.Records, err)
			return r.counts, errors.Join(r.flush(ctx, emit), err)
		}
		if r.batch.Len() >= BatchLen || n == 0 && err == nil {
			if err := r.flush(ctx, emit); err != nil {
				return r.counts, err
			}
		}
	}
}

// Open implements Container: the first format that takes the input reads it.
func (a *Auto) Open(in *Input) (Records, error) {
	for _, f := range a.formats {
		if c, ok := f.Format.(Container); ok {
			if r, err := c.Open(in); !errors.Is(err, ErrFormat) {
				return r, err
			}
		}
	}
	return nil, ErrFormat
}

// Datagrams is a Format whose records also arrive one per datagram.
type Datagrams interface {
	Datagrams() DatagramDecoder
}

// DatagramDecoder reads datagrams; used by one goroutine.
type DatagramDecoder interface {
	// Decode appends what a datagram says to b, under the index at. It must not
	// keep data. from is who sent it and now when it came; both may be zero.
	// Errors are as those of Decoder.
	Decode(from netip.AddrPort, now time.Time, data []byte, at uint64, b *observe.LogBatch) error
}
