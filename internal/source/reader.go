package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"bartizan/internal/observe"
	"bartizan/internal/safe"
)

// Counts is what was read of one input.
type Counts struct {
	Records   uint64 `json:"records"`   // without header lines and empty lines
	Malformed uint64 `json:"malformed"` // records that no format could read
	Emitted   uint64 `json:"emitted"`   // observations
}

// Add sums up.
func (c *Counts) Add(d Counts) {
	c.Records += d.Records
	c.Malformed += d.Malformed
	c.Emitted += d.Emitted
}

// Position is where a reader stands between two batches.
type Position struct {
	Offset  int64  `json:"offset"`  // bytes read up to the end of the last whole line
	Line    uint64 `json:"line"`    // lines before Offset
	Records uint64 `json:"records"` // records before Offset
}

// Options of a reader.
type Options struct {
	Input   string // name of the input in batches and errors
	Format  string // name of the format
	Decoder Decoder
	// Quarantine, when not nil, gets a JSON line per sampled malformed record.
	Quarantine io.Writer
	// From is where the bytes given to Read begin.
	From Position
	// After, when not nil, is called when everything before p was emitted.
	After func(p Position) error
	// Live holds back a last line without its end, which may still be written.
	Live bool
}

// Reader turns the lines of one input into batches. It is used by one goroutine.
type Reader struct {
	opts   Options
	batch  observe.LogBatch
	buf    []byte
	have   int  // bytes of buf in use
	long   bool // inside a line that is longer than MaxRecord
	pos    Position
	counts Counts
	bad    uint64 // samples written
	head   []byte // the first bytes, to say what they look like
	why    error  // of the first malformed record
	inner  inner
}

// NewReader makes a reader.
func NewReader(o Options) *Reader {
	r := &Reader{opts: o, pos: o.From, buf: make([]byte, 128<<10)}
	r.batch.Input, r.batch.Format = o.Input, o.Format
	r.batch.Flows = make([]observe.Flow, 0, BatchLen)
	return r
}

// Counts is what was read so far.
func (r *Reader) Counts() Counts { return r.counts }

// Position is behind the last line that was taken in.
func (r *Reader) Position() Position { return r.pos }

// Prime shows the decoder a line it has seen before a restart, so that it
// knows the header again. What it would emit is dropped.
func (r *Reader) Prime(line []byte) {
	_ = r.opts.Decoder.Decode(line, 0, &r.batch) // only its memory of the header counts
	r.batch.Reset()
}

// Read takes in src to its end, emitting batches. The last batch may be short.
func (r *Reader) Read(ctx context.Context, src io.Reader, emit Emit) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := src.Read(r.buf[r.have:])
		if len(r.head) < 512 && n > 0 {
			r.head = append(r.head, r.buf[r.have:r.have+min(n, 512-len(r.head))]...)
		}
		r.have += n
		if e := r.lines(ctx, emit, err == io.EOF && !r.opts.Live); e != nil {
			return e
		}
		switch {
		case err == io.EOF:
			if r.opts.Live {
				r.have = 0 // read again from the position when there is more
			}
			return r.flush(ctx, emit)
		case err != nil:
			return errors.Join(r.flush(ctx, emit), fmt.Errorf("read %s after %d bytes: %w", r.opts.Input, r.pos.Offset, err))
		}
	}
}

// lines takes the whole lines out of buf, and at the end the rest.
func (r *Reader) lines(ctx context.Context, emit Emit, end bool) error {
	rest := r.buf[:r.have]
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		if err := r.line(ctx, emit, rest[:i], i+1); err != nil {
			return err
		}
		rest = rest[i+1:]
	}
	if end && (len(rest) > 0 || r.long) {
		err := r.line(ctx, emit, rest, len(rest))
		rest = nil
		if err != nil {
			return err
		}
	}
	r.have = copy(r.buf, rest)
	if r.have < len(r.buf) {
		return nil
	}
	if len(r.buf) < MaxRecord {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
		return nil
	}
	// Too long: forget the beginning, count it once when its end comes.
	if !r.long {
		r.sample(r.buf[:maxSample], fmt.Errorf("longer than %d bytes", MaxRecord))
	}
	r.long = true
	r.pos.Offset += int64(r.have)
	r.have = 0
	return nil
}

// line takes one line of n bytes with its end.
func (r *Reader) line(ctx context.Context, emit Emit, line []byte, n int) error {
	r.pos.Offset += int64(n)
	if r.long {
		r.long = false
		r.pos.Line++
		r.malformed()
		return nil
	}
	if r.pos.Line == 0 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // what Windows puts in front of text
	}
	if k := len(line); k > 0 && line[k-1] == '\r' {
		line = line[:k-1]
	}
	if len(line) > 0 {
		r.record(line)
	}
	r.pos.Line++
	if r.batch.Len() >= BatchLen {
		return r.flush(ctx, emit)
	}
	return nil
}

func (r *Reader) record(line []byte) {
	err := r.opts.Decoder.Decode(line, r.pos.Records, &r.batch)
	if err != nil && err != ErrHeader { //nolint:errorlint // decoders return the value itself; this is per record
		for _, within := range r.inner.of(line) {
			if len(within) == 0 {
				break
			}
			if again := r.opts.Decoder.Decode(within, r.pos.Records, &r.batch); again == nil || again == ErrHeader { //nolint:errorlint // as above
				err = again
				break
			}
		}
	}
	switch {
	case err == nil:
		r.counts.Records++
		r.pos.Records++
	case err == ErrHeader: //nolint:errorlint // decoders return the value itself; this is per record
	default:
		r.sample(line, err)
		r.malformed()
	}
}

func (r *Reader) malformed() {
	r.counts.Records++
	r.counts.Malformed++
	r.pos.Records++
}

// sample writes a malformed record to the quarantine.
func (r *Reader) sample(line []byte, why error) {
	if r.why == nil {
		r.why = why
	}
	if r.opts.Quarantine == nil || r.bad >= MaxSamples {
		return
	}
	r.bad++
	text, err := json.Marshal(struct {
		Input  string `json:"input"`
		Line   uint64 `json:"line"` // from 1
		Why    string `json:"why"`
		Record string `json:"record"`
	}{r.opts.Input, r.pos.Line + 1, why.Error(), string(line[:min(len(line), maxSample)])})
	if err == nil {
		_, err = r.opts.Quarantine.Write(append(text, '\n'))
	}
	if err != nil {
		r.opts.Quarantine = nil // a full disk must not stop the stream; the counts go on
	}
}

func (r *Reader) flush(ctx context.Context, emit Emit) error {
	if n := r.batch.Len(); n > 0 {
		if err := emit(ctx, &r.batch); err != nil {
			return err
		}
		r.counts.Emitted += uint64(n)
		r.batch.Reset()
	}
	if r.opts.After != nil && !r.long {
		return r.opts.After(r.pos)
	}
	return nil
}

// Verdict is the error of an input of which no record could be read; nil for
// every other one, also for an empty one.
func (r *Reader) Verdict() error {
	if r.counts.Records == 0 || r.counts.Malformed < r.counts.Records {
		return nil
	}
	return &WrongError{Input: r.opts.Input, Format: r.opts.Format, Looks: Looks(r.head), Records: r.counts.Records, Why: r.why}
}

// WrongError says that a whole input was not what it was taken for.
type WrongError struct {
	Input, Format string
	Looks         string // what it looks like instead, in our words
	Records       uint64 // tried
	Why           error  // what was wrong with the first
}

func (e *WrongError) Error() string {
	return fmt.Sprintf("read %s as %s: none of its %d records could be read (the first: %v); it looks like %s",
		safe.Clean(e.Input, 200), e.Format, e.Records, e.Why, e.Looks)
}

func (e *WrongError) Unwrap() error { return e.Why }
