package jail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrFrame is wrapped by every error that says the peer broke the framing: a length of zero or one over the cap. The
// peer is then hostile or broken, and there is no way to find the next frame; the owner ends the child.
var ErrFrame = errors.New("malformed frame")

const (
	frameHeader = 4
	// frameStep is how much of a claimed length is believed before the bytes are there: a header alone must not make
	// the reader allocate the whole cap.
	frameStep = 64 << 10
)

// FrameWriter writes length-prefixed frames (32-bit little endian length, then the payload), each with a single Write.
// It is safe for concurrent use.
type FrameWriter struct {
	mu  sync.Mutex
	w   io.Writer
	max int
	buf []byte
}

// NewFrameWriter returns a writer of frames whose payload is at most max bytes.
func NewFrameWriter(w io.Writer, max int) *FrameWriter {
	return &FrameWriter{w: w, max: max}
}

// Write sends one frame. It returns an error that wraps ErrFrame when p is empty or over the cap, before anything is
// written; after any other error the stream is in an unknown state and must be given up.
func (f *FrameWriter) Write(p []byte) (int, error) {
	if len(p) == 0 || len(p) > f.max {
		return 0, fmt.Errorf("write frame: %d bytes, allowed are 1 to %d: %w", len(p), f.max, ErrFrame)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf = binary.LittleEndian.AppendUint32(f.buf[:0], uint32(len(p)))
	f.buf = append(f.buf, p...)
	if _, err := f.w.Write(f.buf); err != nil {
		return 0, fmt.Errorf("write frame: %w", err)
	}
	if cap(f.buf) > frameStep { // one big frame must not pin its size for ever
		f.buf = nil
	}
	return len(p), nil
}

// FrameReader reads what FrameWriter wrote, from a peer that may be hostile. It is for one goroutine.
type FrameReader struct {
	r    io.Reader
	max  int
	buf  []byte // window of bytes read and not yet given out: buf[from:to]
	from int
	to   int
}

// NewFrameReader returns a reader that accepts payloads of 1 to max bytes. Memory stays below max + 64 KiB and grows only
// with bytes that have really arrived.
func NewFrameReader(r io.Reader, max int) *FrameReader {
	return &FrameReader{r: r, max: max, buf: make([]byte, 4<<10)}
}

// Read returns the next payload; it is valid until the next call. The error is io.EOF at a clean end between two frames,
// io.ErrUnexpectedEOF inside one, and wraps ErrFrame when the peer broke the protocol.
func (f *FrameReader) Read() ([]byte, error) {
	if err := f.fill(frameHeader); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(f.buf[f.from:])
	if n == 0 || uint64(n) > uint64(f.max) {
		return nil, fmt.Errorf("read frame: length %d, allowed are 1 to %d: %w", n, f.max, ErrFrame)
	}
	if err := f.fill(frameHeader + int(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	p := f.buf[f.from+frameHeader : f.from+frameHeader+int(n)]
	f.from += frameHeader + int(n)
	return p, nil
}

// fill makes at least n bytes available at f.from.
func (f *FrameReader) fill(n int) error {
	if f.to-f.from >= n {
		return nil
	}
	if f.from > 0 {
		f.to = copy(f.buf, f.buf[f.from:f.to])
		f.from = 0
	}
	for f.to < n {
		if f.to == len(f.buf) {
			bigger := make([]byte, min(max(2*len(f.buf), frameStep/4), f.to+frameStep, max(n, frameStep)))
			copy(bigger, f.buf[:f.to])
			f.buf = bigger
		}
		got, err := f.r.Read(f.buf[f.to:])
		f.to += got
		if err != nil && f.to < n {
			if errors.Is(err, io.EOF) && f.to > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// WriteFrame writes one frame without keeping state; for the rare message. Hot paths use FrameWriter.
func WriteFrame(w io.Writer, p []byte, max int) error {
	_, err := NewFrameWriter(w, max).Write(p)
	return err
}

// ReadFrame reads exactly one frame and not a byte more, so that the stream can be handed to someone else afterwards.
func ReadFrame(r io.Reader, max int) ([]byte, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || uint64(n) > uint64(max) {
		return nil, fmt.Errorf("read frame: length %d, allowed are 1 to %d: %w", n, max, ErrFrame)
	}
	p, err := io.ReadAll(io.LimitReader(r, int64(n))) // grows with what arrives
	if err == nil && len(p) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return p, err
}
