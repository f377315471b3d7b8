// Package stdout prints events on standard output, one JSON object per line: for
// pipes, and for containers whose output is collected.
package stdout

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"bartizan/internal/export"
)

// Config of the sink: there is nothing to say.
type Config struct{}

// Default is empty.
func Default() Config { return Config{} }

// New makes the sink.
func New(Config) (export.Sink, error) { return &sink{out: os.Stdout}, nil }

type sink struct {
	out *os.File
	buf bytes.Buffer
}

// Send implements export.Sink. What was printed before an error is printed again.
func (s *sink) Send(ctx context.Context, events []export.Event) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.buf.Reset()
	for i := range events {
		s.buf.Write(events[i].JSON)
		s.buf.WriteByte('\n')
	}
	if _, err := s.out.Write(s.buf.Bytes()); err != nil {
		return 0, fmt.Errorf("print events: %w", err)
	}
	return 0, nil
}

// Close implements export.Sink; standard output is not ours to close.
func (*sink) Close() error { return nil }
