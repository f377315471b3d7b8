package transport

import (
	"bytes"
	"context"

	"bartizan/internal/source"
)

// Stream reads records that arrive in pieces, such as those of a connection: what
// has arrived is delivered at once and not when enough has come together.
// One goroutine uses it.
type Stream struct {
	reader *source.Reader
	in     *Intake
	told   source.Counts
}

// NewStream begins a stream of records.
func NewStream(in *Intake) *Stream {
	o := in.Options()
	o.Live = true
	return &Stream{reader: source.NewReader(o), in: in}
}

// Take delivers whole lines, each with its end. When it returns without an error
// they have been stored.
func (s *Stream) Take(ctx context.Context, lines []byte) error {
	err := s.reader.Read(ctx, bytes.NewReader(lines), s.in.Emit)
	c := s.reader.Counts()
	s.in.Count(source.Counts{Records: c.Records - s.told.Records, Malformed: c.Malformed - s.told.Malformed, Emitted: c.Emitted - s.told.Emitted})
	s.told = c
	return err
}

// Verdict is an error when nothing of the stream could be read.
func (s *Stream) Verdict() error { return s.reader.Verdict() }

// Counts is what was read so far.
func (s *Stream) Counts() source.Counts { return s.reader.Counts() }
