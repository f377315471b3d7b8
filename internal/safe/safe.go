// Package safe holds the small tools that keep hostile input and broken
// plugins from hurting the process: capped reads that fail loudly, recovery
// at plugin boundaries, text cleaning, and file writes that are whole or not
// there. It knows nothing about configuration, logs or the network.
package safe

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TooLargeError says that an input was longer than allowed. It is a type
// because callers branch on it: too much is not the same as broken.
type TooLargeError struct {
	What string // what was read, in our words, never remote text
	Max  int64  // allowed size in bytes
}

func (e *TooLargeError) Error() string {
	what := e.What
	if what == "" {
		what = "input"
	}
	return fmt.Sprintf("%s is larger than the limit of %d bytes", what, e.Max)
}

// CappedReader returns a reader that hands out at most limit bytes of r and
// then, if r has more, fails with a *TooLargeError. io.LimitReader would end
// with io.EOF instead, which makes a cut input look complete.
func CappedReader(r io.Reader, limit int64, what string) io.Reader {
	return &cappedReader{r: r, left: max(limit, 0), limit: limit, what: what}
}

type cappedReader struct {
	r     io.Reader
	left  int64
	limit int64
	what  string
	err   error // sticky, so that a retry cannot read past the cap
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.left == 0 {
		return 0, c.probe()
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// probe asks the source for one byte more to tell "exactly at the limit"
// from "over it". A reader that keeps returning nothing is given up on, as
// io.Reader users in the standard library do.
func (c *cappedReader) probe() error {
	var one [1]byte
	for range 100 {
		n, err := c.r.Read(one[:])
		if n > 0 {
			c.err = &TooLargeError{What: c.what, Max: c.limit}
			return c.err
		}
		if err != nil {
			c.err = err
			return err
		}
	}
	c.err = io.ErrNoProgress
	return c.err
}

// ReadAll reads all of r, or fails with a *TooLargeError (and no data) when
// it is longer than limit bytes.
func ReadAll(r io.Reader, limit int64, what string) ([]byte, error) {
	b, err := io.ReadAll(CappedReader(r, limit, what))
	if err == nil {
		return b, nil
	}
	if tooLarge, ok := errors.AsType[*TooLargeError](err); ok {
		return nil, tooLarge
	}
	if what == "" {
		what = "input"
	}
	return nil, fmt.Errorf("read %s: %w", what, err)
}

// PanicError is a panic that was caught at a boundary and became an error.
type PanicError struct {
	Name  string // the plugin or part that panicked
	Value any    // what it panicked with; may hold remote text
	Stack []byte
}

// Error prints the panic's value in a form that cannot forge log lines.
func (e *PanicError) Error() string {
	return fmt.Sprintf("%s panicked: %s", e.Name, Clean(fmt.Sprint(e.Value), 500))
}

// Unwrap gives access to the value when the code panicked with an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Recover runs f and turns a panic into a *PanicError. onPanic, when not
// nil, is called first with the value and the stack, for counting.
func Recover(name string, onPanic func(v any, stack []byte), f func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		stack := debug.Stack()
		err = &PanicError{Name: name, Value: v, Stack: stack}
		if onPanic != nil {
			onPanic(v, stack)
		}
	}()
	return f()
}

// Clean makes remote text storable and printable: valid UTF-8 (a bad byte
// becomes U+FFFD), no control characters (each becomes a space), no invisible
// format characters such as direction overrides (dropped), at most limit
// bytes, never cut inside a character.
func Clean(s string, limit int) string {
	if limit <= 0 {
		return ""
	}
	var b strings.Builder
	b.Grow(min(len(s), limit))
	for _, r := range s {
		switch {
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			r = ' '
		case unicode.Is(unicode.Cf, r):
			continue
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
