package redis

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"bartizan/internal/decoy"
)

// Bounds of one request. Redis itself takes a million words of 512 MiB; what
// goes beyond ours is read and forgotten.
const (
	maxWords     = 1 << 20 // announced; more is a protocol error, as in Redis
	maxBulk      = 512 << 20
	maxWordsKept = 1024
	maxWordKept  = 4 << 20
	maxKept      = 8 << 20 // of one request
	chunk        = 16 << 10
)

// protocolError is told to the visitor before the connection is closed.
type protocolError string

func (e protocolError) Error() string { return string(e) }

// read returns the words of the next request, none for an empty line.
func (c *conversation) read() ([]string, error) {
	line, err := c.s.ReadLine()
	if err != nil {
		if errors.Is(err, decoy.ErrLimit) {
			return nil, protocolError("too big inline request")
		}
		return nil, err
	}
	if line == "" || line[0] != '*' {
		return words(line)
	}
	n, ok := number(line[1:])
	if !ok || n > maxWords {
		return nil, protocolError("invalid multibulk length")
	}
	var args []string
	kept := 0
	for range n {
		w, err := c.bulk(kept)
		if err != nil {
			return nil, err
		}
		if len(args) < maxWordsKept {
			args = append(args, w)
			kept += len(w)
		}
	}
	return args, nil
}

func number(s string) (int, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return int(n), err == nil && (len(s) == 1 || s[0] != '0') && s[0] != '+'
}

// bulk reads one word of a request of which kept bytes are kept already. Memory
// follows what has arrived, never what was announced.
func (c *conversation) bulk(kept int) (string, error) {
	line, err := c.s.ReadLine()
	if err != nil {
		return "", err
	}
	if line == "" || line[0] != '$' {
		return "", protocolError("expected '$', got '" + printable(line) + "'")
	}
	n, ok := number(line[1:])
	if !ok || n < 0 || n > maxBulk {
		return "", protocolError("invalid bulk length")
	}
	keep := min(n, maxKept-kept, maxWordKept)
	if keep > chunk && !c.hold(kept+keep) {
		keep = chunk
	}
	var b []byte
	for len(b) < keep {
		step := min(keep-len(b), max(chunk, len(b)))
		b = append(b, make([]byte, step)...)
		if err := c.s.ReadFull(b[len(b)-step:]); err != nil {
			return "", err
		}
	}
	if err := c.skip(n - keep); err != nil {
		return "", err
	}
	var end [2]byte
	if err := c.s.ReadFull(end[:]); err != nil { // Redis does not look at them either
		return "", err
	}
	return string(b), nil
}

func (c *conversation) skip(n int) error {
	for n > 0 {
		r, err := c.s.Reader()
		if err != nil {
			return err
		}
		if _, err := r.Peek(1); err != nil {
			return err
		}
		m, err := r.Discard(min(n, r.Buffered()))
		n -= m
		if err != nil {
			return err
		}
	}
	return nil
}

func printable(line string) string {
	if line == "" {
		return "\\n"
	}
	return strconv.QuoteToASCII(line[:1])[1:2]
}

// words splits an inline request as sdssplitargs of Redis does.
func words(line string) (out []string, err error) {
	for i := 0; i < len(line); {
		if space(line[i]) {
			i++
			continue
		}
		var w strings.Builder
		for i < len(line) && !space(line[i]) {
			switch line[i] {
			case '"', '\'':
				n, ok := quoted(line[i:], &w)
				if !ok {
					return nil, protocolError("unbalanced quotes in request")
				}
				i += n
				if i < len(line) && !space(line[i]) {
					return nil, protocolError("unbalanced quotes in request")
				}
			default:
				w.WriteByte(line[i])
				i++
			}
		}
		if len(out) < maxWordsKept {
			out = append(out, w.String())
		}
	}
	return out, nil
}

func space(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b == 0 }

// quoted reads a quoted part and tells how many bytes it took.
func quoted(s string, w *strings.Builder) (n int, ok bool) {
	q := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == q:
			return i + 1, true
		case s[i] == '\\' && q == '\'' && i+1 < len(s) && s[i+1] == '\'':
			w.WriteByte('\'')
			i++
		case s[i] == '\\' && q == '"' && i+3 < len(s) && s[i+1] == 'x' && isHex(s[i+2]) && isHex(s[i+3]):
			v, _ := strconv.ParseUint(s[i+2:i+4], 16, 8) // no error: two hex digits
			w.WriteByte(byte(v))
			i += 3
		case s[i] == '\\' && q == '"' && i+1 < len(s):
			i++
			w.WriteByte(unescape(s[i]))
		default:
			w.WriteByte(s[i])
		}
	}
	return 0, false
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func unescape(b byte) byte {
	switch b {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return b
}

// The replies (redis.io/docs/reference/protocol-spec). What cannot be written
// is found out by the next flush.

func (c *conversation) send(s string) { _, _ = io.WriteString(c.s, s) }

func (c *conversation) ok()             { c.send("+OK\r\n") }
func (c *conversation) simple(s string) { c.send("+" + s + "\r\n") }
func (c *conversation) integer(n int64) { c.send(":" + strconv.FormatInt(n, 10) + "\r\n") }
func (c *conversation) array(n int)     { c.send("*" + strconv.Itoa(n) + "\r\n") }

func (c *conversation) bulkReply(s string) {
	c.send("$" + strconv.Itoa(len(s)) + "\r\n")
	c.send(s)
	c.send("\r\n")
}

// fail answers with an error; line ends in it are replaced, as Redis does.
func (c *conversation) fail(text string) {
	c.failed = true
	c.send("-" + strings.NewReplacer("\r", " ", "\n", " ").Replace(text) + "\r\n")
}

func (c *conversation) null() {
	if c.proto >= 3 {
		c.send("_\r\n")
		return
	}
	c.send("$-1\r\n")
}

// pairs begins a map of n entries, in RESP2 an array of twice as many.
func (c *conversation) pairs(n int) {
	if c.proto >= 3 {
		c.send("%" + strconv.Itoa(n) + "\r\n")
		return
	}
	c.array(2 * n)
}

// unordered begins a set.
func (c *conversation) unordered(n int) {
	if c.proto >= 3 {
		c.send("~" + strconv.Itoa(n) + "\r\n")
		return
	}
	c.array(n)
}

// text is long output for people.
func (c *conversation) text(s string) {
	if c.proto >= 3 {
		c.send("=" + strconv.Itoa(len(s)+4) + "\r\ntxt:" + s + "\r\n")
		return
	}
	c.bulkReply(s)
}

func (c *conversation) bulks(list ...string) {
	c.array(len(list))
	for _, s := range list {
		c.bulkReply(s)
	}
}

func (c *conversation) flag(b bool) {
	if b {
		c.send(":1\r\n")
		return
	}
	c.send(":0\r\n")
}
