// Package file writes events to a file, one JSON object per line.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bartizan/internal/export"
)

// Config of the sink.
type Config struct {
	Path string `yaml:"path"` // absolute; made with mode 0600 when it does not exist
}

// Default names no file.
func Default() Config { return Config{} }

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	if !filepath.IsAbs(c.Path) {
		return fmt.Errorf("path %.200q must be absolute, such as /var/log/bartizan/events.jsonl", c.Path)
	}
	return nil
}

// New makes the sink; the file is opened when the first event comes.
func New(c Config) (export.Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &sink{path: c.Path}, nil
}

type sink struct {
	path string
	f    *os.File
	buf  bytes.Buffer
}

// Send appends and syncs. A file that was moved or removed since (logrotate) is
// made anew. What a failed write left is taken back, so that no line is torn.
func (s *sink) Send(ctx context.Context, events []export.Event) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.open(); err != nil {
		return 0, fmt.Errorf("open export file: %w", err)
	}
	s.buf.Reset()
	for i := range events {
		s.buf.Write(events[i].JSON)
		s.buf.WriteByte('\n')
	}
	end, err := s.f.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = s.f.Write(s.buf.Bytes()); err == nil {
			err = s.f.Sync()
		}
		if err != nil {
			err = errors.Join(err, s.f.Truncate(end))
		}
	}
	if err != nil {
		return 0, fmt.Errorf("write export file: %w", errors.Join(err, s.Close()))
	}
	return 0, nil
}

// open makes s.f the file that has the name now.
func (s *sink) open() error {
	if s.f != nil {
		have, err := s.f.Stat()
		if err == nil {
			var named os.FileInfo
			if named, err = os.Stat(s.path); err == nil && os.SameFile(have, named) {
				return nil
			}
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := mend(f); err != nil {
		return errors.Join(err, f.Close())
	}
	s.f = f
	return nil
}

// mend removes a line of ours that a crash has torn: the events in it come again.
func mend(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	const step = 64 << 10
	buf := make([]byte, step)
	for end := size; end > 0; {
		start := max(0, end-step)
		n, err := f.ReadAt(buf[:end-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 || start == 0 {
			keep := start + int64(i+1)
			if keep == size {
				return nil
			}
			first := make([]byte, 1)
			if _, err := f.ReadAt(first, keep); err != nil {
				return err
			}
			if first[0] != '{' {
				return fmt.Errorf("%s ends in the middle of a line that is no event: it is not ours", f.Name())
			}
			return f.Truncate(keep)
		}
		end = start
	}
	return nil
}

// Close implements export.Sink.
func (s *sink) Close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}
