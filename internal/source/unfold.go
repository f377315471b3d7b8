package source

import (
	"bufio"
	"bytes"
	"io"
)

// Unfold makes one record per line of JSON that is not written so: a file of
// CloudTrail ({"Records":[…]} in one line of any length), an array of objects,
// objects spread over lines. Everything else passes through unchanged. It
// looks at structure only and holds nothing of the input, so a broken document
// becomes broken lines, which the reader counts.
func Unfold(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	head, _ := b.Peek(b.Size()) // an error shows again when it is read
	base, ok := folded(head)
	if !ok {
		return b
	}
	return &unfolder{in: b, base: base, buf: make([]byte, 32<<10)}
}

// wrapper is how a file that CloudTrail writes to S3 begins.
const wrapper = `{"Records":[`

// folded says whether the input is JSON to unfold, and at which depth its
// records begin.
func folded(head []byte) (base int, ok bool) {
	t := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	var tight [len(wrapper)]byte // the beginning without white space
	n := 0
	for _, c := range t[:min(len(t), 256)] {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' && n < len(tight) {
			tight[n] = c
			n++
		}
	}
	switch {
	case string(tight[:n]) == wrapper, delivered(t):
		return 2, true
	case n > 1 && tight[0] == '[' && (tight[1] == '{' || tight[1] == ']'):
		return 1, true
	case n > 1 && tight[0] == '{' && (tight[1] == '"' || tight[1] == '}'):
		// An object whose first line does not complete it, or holds another one.
		line, _, more := bytes.Cut(t, []byte("\n"))
		return 0, more && open(line) || several(line)
	}
	return 0, false
}

// delivered reports what CloudWatch Logs delivers to subscribers, and what
// "aws logs filter-log-events" writes: a list of events beside other members.
func delivered(t []byte) bool {
	t = t[:min(len(t), 4096)]
	var s scanner
	for i, c := range t {
		if c == '"' && !s.quoted && s.depth == 1 {
			if rest := t[i:]; bytes.HasPrefix(rest, []byte(`"logEvents"`)) || bytes.HasPrefix(rest, []byte(`"events"`)) {
				_, rest, _ = bytes.Cut(rest, []byte(":"))
				rest = bytes.TrimLeft(rest, " \t\r\n")
				return len(rest) > 1 && rest[0] == '[' && firstIs(rest[1:], '{')
			}
		}
		s.next(c)
		if c == '\n' && s.depth == 0 {
			return false // JSON lines
		}
	}
	return false
}

func firstIs(b []byte, c byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == c
}

// several reports a line of objects one behind the other, as streams that know
// no lines deliver them.
func several(line []byte) bool {
	var s scanner
	for i, c := range line {
		s.next(c)
		if s.depth == 0 && i+1 < len(line) {
			return firstIs(line[i+1:], '{')
		}
	}
	return false
}

// open reports whether a line ends inside an object but outside a string.
func open(line []byte) bool {
	var s scanner
	for _, c := range line {
		s.next(c)
	}
	return s.depth > 0 && !s.quoted
}

// scanner follows the structure of JSON.
type scanner struct {
	depth           int
	quoted, escaped bool
}

func (s *scanner) next(c byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case s.quoted:
		s.quoted, s.escaped = c != '"', c == '\\'
	case c == '"':
		s.quoted = true
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth = max(0, s.depth-1)
	}
}

// unfolder writes what is deeper than base, each object on a line of its own.
type unfolder struct {
	in   io.Reader
	base int
	s    scanner
	buf  []byte
	out  []byte // not handed out yet
	have []byte // memory of out
	err  error
}

// Read implements io.Reader.
func (u *unfolder) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		n, err := u.in.Read(u.buf)
		u.err = err
		u.have = u.have[:0]
		for _, c := range u.buf[:n] {
			u.take(c)
		}
		if err == io.EOF && u.s.depth > u.base {
			u.have = append(u.have, '\n') // an object that was cut
		}
		u.out = u.have
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

func (u *unfolder) take(c byte) {
	before := u.s.depth
	u.s.next(c)
	switch {
	case before <= u.base && u.s.depth <= u.base:
		return // between records: brackets, commas, white space, other members
	case before <= u.base && c == '[':
		return
	case c == '\n' || c == '\r':
		c = ' ' // between tokens; inside a string it is not allowed
	}
	u.have = append(u.have, c)
	if u.s.depth <= u.base {
		u.have = append(u.have, '\n')
	}
}
