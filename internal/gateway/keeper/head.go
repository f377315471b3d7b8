package keeper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// maxHead is the largest head of a request in bytes: what the gateway takes from its
// clients, and room for what it adds.
const maxHead = 80 << 10

// errHead is wrapped by every error that says a head is not as the gateway writes it.
var errHead = errors.New("malformed request")

// head is the head of one request. Its slices belong to the reader's buffer.
type head struct {
	method, target []byte
	lines          [][]byte // the others, without line ends
	length         int64    // of the body
}

// methods are those of the model APIs. TRACE would send the key back.
var methods = []string{"GET", "POST", "DELETE", "HEAD", "PUT", "PATCH"}

// readHead reads one head into buf, which it returns grown. It accepts only the form that
// Go's client writes: nothing that two readers could take for different requests.
func readHead(r *bufio.Reader, buf []byte) ([]byte, *head, error) {
	h, ends := &head{}, []int{}
	buf = buf[:0]
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		switch {
		case len(buf) > maxHead:
			return buf, nil, fmt.Errorf("%w: its head is longer than %d bytes", errHead, maxHead)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(buf) > 0:
			return buf, nil, io.ErrUnexpectedEOF
		case err != nil:
			return buf, nil, err
		}
		n := len(buf)
		if n < 2 || buf[n-2] != '\r' {
			return buf, nil, fmt.Errorf("%w: a line does not end in CR LF", errHead)
		}
		ends = append(ends, n)
		if n == 2 || len(ends) > 1 && ends[len(ends)-2] == n-2 {
			break
		}
	}
	from := 0
	for _, end := range ends[:len(ends)-1] {
		line := buf[from : end-2]
		if bytes.IndexFunc(line, control) >= 0 {
			return buf, nil, fmt.Errorf("%w: a control character", errHead)
		}
		h.lines = append(h.lines, line)
		from = end
	}
	if len(h.lines) == 0 {
		return buf, nil, fmt.Errorf("%w: it has no first line", errHead)
	}
	err := h.parse()
	return buf, h, err
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func (h *head) parse() error {
	first := bytes.Split(h.lines[0], []byte(" "))
	if len(first) != 3 || string(first[2]) != "HTTP/1.1" || !slices.Contains(methods, string(first[0])) || len(first[1]) == 0 || first[1][0] != '/' {
		return fmt.Errorf("%w: its first line is none of the gateway's", errHead)
	}
	h.method, h.target, h.lines = first[0], first[1], h.lines[1:]
	seen := false
	for _, line := range h.lines {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.IndexFunc(name, func(r rune) bool { return !tokenChar(r) }) >= 0 {
			return fmt.Errorf("%w: a line is no field", errHead)
		}
		switch {
		case bytes.EqualFold(name, []byte("Transfer-Encoding")), bytes.EqualFold(name, []byte("Upgrade")):
			return fmt.Errorf("%w: the field %s", errHead, name)
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 62)
			if err != nil || seen {
				return fmt.Errorf("%w: its length is not one number", errHead)
			}
			h.length, seen = int64(n), true
		}
	}
	return nil
}

// tokenChar is tchar of RFC 9110 §5.6.2.
func tokenChar(r rune) bool {
	return r > ' ' && r < 0x7f && bytes.IndexByte([]byte(`"(),/:;<=>?@[\]{}`), byte(r)) < 0
}

// field is the value of a field; nil without it.
func (h *head) field(name string) []byte {
	for _, line := range h.lines {
		if n, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(n, []byte(name)) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

// write appends the head to b, without the fields of drop and with those of add, which
// are whole lines.
func (h *head) write(b []byte, drop []string, add []byte) []byte {
	b = append(append(append(append(b, h.method...), ' '), h.target...), " HTTP/1.1\r\n"...)
	for _, line := range h.lines {
		name, _, _ := bytes.Cut(line, []byte(":"))
		if slices.ContainsFunc(drop, func(s string) bool { return bytes.EqualFold(name, []byte(s)) }) {
			continue
		}
		b = append(append(b, line...), "\r\n"...)
	}
	return append(append(b, add...), "\r\n"...)
}
