package syslog

import (
	"bytes"
	"errors"

	"bartizan/internal/source"
)

// framer takes apart what a connection carries: frames with their length in front
// (octet counting, RFC 6587 §3.4.1 and RFC 5425) or with a line's end behind
// (non-transparent framing, §3.4.2), as each frame begins.
type framer struct {
	rest []byte
	out  []byte
}

var errFrame = errors.New("a frame whose length is no number, or too large")

// feed takes what has arrived and gives the records that are complete, as lines.
// They are valid until the next call. At the end the rest is a record, too.
func (f *framer) feed(p []byte, end bool) (lines []byte, err error) {
	f.rest = append(f.rest, p...)
	f.out = f.out[:0]
	b := f.rest
	for len(b) > 0 {
		record, n, err := next(b)
		if err != nil {
			return f.out, err
		}
		if n == 0 {
			break
		}
		f.out = appendRecord(f.out, record)
		b = b[n:]
	}
	f.rest = f.rest[:copy(f.rest, b)]
	if end && len(f.rest) > 0 {
		f.out = appendRecord(f.out, f.rest)
		f.rest = f.rest[:0]
	}
	if len(f.rest) > source.MaxRecord+16 {
		return f.out, errFrame
	}
	return f.out, nil
}

// next finds the first frame. n 0: it is not complete yet.
func next(b []byte) (record []byte, n int, err error) {
	if b[0] < '1' || b[0] > '9' { // a counted frame begins with its length, without zeros in front
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil, 0, nil
		}
		return b[:i], i + 1, nil
	}
	size := 0
	for i, c := range b {
		switch {
		case c == ' ' && len(b) < i+1+size:
			return nil, 0, nil
		case c == ' ':
			return b[i+1 : i+1+size], i + 1 + size, nil
		case c < '0' || c > '9':
			return lineOf(b)
		}
		if size = size*10 + int(c-'0'); size > source.MaxRecord {
			return nil, 0, errFrame
		}
	}
	if len(b) > 8 {
		return nil, 0, errFrame
	}
	return nil, 0, nil
}

// lineOf takes a record that begins with digits and is not counted, such as one
// with a time in front and no priority.
func lineOf(b []byte) ([]byte, int, error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, 0, nil
	}
	return b[:i], i + 1, nil
}

// appendRecord appends a record as one line: line ends inside it become spaces, so
// that a record cannot pretend to be two.
func appendRecord(out, record []byte) []byte {
	record = bytes.TrimRight(record, "\r\n\x00")
	if len(record) == 0 {
		return out
	}
	from := len(out)
	out = append(out, record...)
	for i := from; i < len(out); i++ {
		if out[i] == '\n' {
			out[i] = ' '
		}
	}
	return append(out, '\n')
}
