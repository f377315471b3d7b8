package httpd

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"bartizan/internal/decoy"
)

// bodyStep is how much memory is taken at once for a body: never much more than
// the visitor has paid for with bytes.
const bodyStep = 4 << 10

// body reads one body.
type body struct {
	s    *decoy.Session
	r    *Request
	keep int   // bytes kept
	most int64 // bytes read
}

// read reads what the headers announce.
func (b *body) read() (why string, status int) {
	length, chunked := int64(-1), false
	for i := range b.r.Headers {
		f := &b.r.Headers[i]
		switch {
		case len(f.Name) == 14 && strings.EqualFold(f.Name, "content-length"):
			n, err := strconv.ParseUint(f.Value, 10, 62)
			if err != nil || length >= 0 && length != int64(n) {
				return "bad content length", 400
			}
			length = int64(n)
		case len(f.Name) == 17 && strings.EqualFold(f.Name, "transfer-encoding"):
			if !strings.EqualFold(f.Value, "chunked") {
				return "unknown transfer encoding", 501
			}
			chunked = true
		}
	}
	switch {
	case chunked && length >= 0:
		return "two lengths", 400 // RFC 9112 §6.3: an attempt at request smuggling
	case !chunked && length <= 0:
		return "", 0
	}
	if containsFold(b.r.Header("Expect"), "100-continue") {
		_, _ = b.s.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
		_ = b.s.Flush() // an error shows in the read that follows
	}
	if chunked {
		return b.chunks()
	}
	b.take(min(length, b.most))
	if length > b.most {
		b.tooLarge()
	}
	return "", 0
}

func (b *body) tooLarge() {
	b.r.TooLarge, b.r.Cut, b.r.KeepAlive = true, true, false
}

// lost notes that the visitor left or fell silent in the middle; what came is
// still worth a report.
func (b *body) lost() { b.r.Cut, b.r.KeepAlive = true, false }

// take reads n bytes and keeps what the caps allow. It says whether they all came.
func (b *body) take(n int64) bool {
	for n > 0 {
		br, err := await(b.s)
		if err != nil {
			b.lost()
			return false
		}
		part, _ := br.Peek(int(min(n, int64(br.Buffered())))) // no error: the bytes are there
		b.store(part)
		n -= int64(len(part))
		_, _ = br.Discard(len(part))
	}
	return true
}

func (b *body) store(part []byte) {
	r := b.r
	r.BodyLen += int64(len(part))
	if room := b.keep - len(r.Body); room < len(part) {
		part, r.Cut = part[:max(room, 0)], true
	}
	if grow := len(r.Body) + len(part) - cap(r.Body); grow > 0 {
		if len(r.Body) > 0 {
			grow = max(grow, bodyStep, min(cap(r.Body), b.keep-len(r.Body)))
		}
		if !b.s.Hold(grow) {
			b.keep, r.Cut = len(r.Body), true // all visitors together hold enough
			return
		}
		r.Body = slices.Grow(r.Body, grow)
	}
	r.Body = append(r.Body, part...)
}

// chunks reads a chunked body with its trailers (RFC 9112 §7.1).
func (b *body) chunks() (why string, status int) {
	for {
		line, why, status := b.line()
		if status != 0 || b.r.Cut && !b.r.KeepAlive {
			return why, status
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 32)
		if err != nil {
			return "bad chunk", 400
		}
		if n == 0 {
			break
		}
		if b.r.BodyLen+int64(n) > b.most {
			b.take(b.most - b.r.BodyLen)
			b.tooLarge()
			return "", 0
		}
		if !b.take(int64(n)) {
			return "", 0
		}
		if line, _, status = b.line(); status != 0 || line != "" {
			return "bad chunk", 400
		}
	}
	for range 64 {
		line, why, status := b.line()
		if status != 0 || line == "" {
			return why, status
		}
	}
	return "too many trailers", 400
}

func (b *body) line() (line, why string, status int) {
	line, err := b.s.ReadLine()
	switch {
	case errors.Is(err, decoy.ErrLimit) || err == nil && len(line) > maxWord:
		return "", "bad chunk", 400
	case err != nil:
		b.lost()
		return "", "", 0
	}
	return line, "", 0
}
