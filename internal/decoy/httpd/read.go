package httpd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// Read reads one request; maxBody caps what of its body is kept, eight times
// that what is read. Errors are a *Malformed, or those of the connection.
func Read(s *decoy.Session, maxBody int) (*Request, error) {
	r := &Request{}
	if err := r.readHead(s); err != nil {
		if m, bad := errors.AsType[*Malformed](err); bad && m.Why != noMethod {
			_, _ = r.parse() // as far as it goes
		}
		return nil, err
	}
	why, status := r.parse()
	if status == 0 && r.Proto != "" {
		r.KeepAlive = r.keepAlive()
		b := body{s: s, r: r, keep: maxBody, most: 8 * int64(maxBody)}
		why, status = b.read()
	}
	if r.TooLarge {
		s.Linger() // the visitor is still sending
	}
	if status != 0 {
		s.Linger()
		return nil, r.malformed(why, status)
	}
	return r, nil
}

func (r *Request) malformed(why string, status int) *Malformed {
	r.KeepAlive = false
	return &Malformed{Why: why, Raw: []byte(r.head), Status: status, Request: r}
}

// readHead collects the bytes up to the empty line, in one piece.
func (r *Request) readHead(s *decoy.Session) error {
	br, err := skipEmpty(s)
	if err != nil {
		return err
	}
	var kept []byte // of a head that comes in pieces
	for {
		b, _ := br.Peek(br.Buffered()) // no error: the bytes are there
		if kept == nil && !methodByte(b[0]) {
			// No server waits for more of what cannot become a request.
			r.head = string(b[:min(len(b), 512)])
			s.Linger()
			return r.malformed(noMethod, 400)
		}
		all := b
		if kept != nil {
			kept = append(kept, b...)
			all = kept
		}
		if n := headEnd(all); n > 0 {
			r.head = string(all[:n])
			_, _ = br.Discard(n - (len(all) - len(b))) // no error: the bytes are there
			return nil
		}
		if len(all) > MaxHead {
			r.head = string(all[:MaxHead])
			s.Linger()
			if !strings.Contains(r.head, "\n") {
				return r.malformed("target too long", 414)
			}
			return r.malformed("head too large", 431)
		}
		if kept == nil {
			kept = bytes.Clone(b)
		}
		_, _ = br.Discard(len(b))
		if br, err = await(s); err != nil {
			if errors.Is(err, decoy.ErrLimit) {
				return err
			}
			r.head = string(kept)
			return r.malformed("ended in the head", 400)
		}
	}
}

// await waits for the next byte. Who keeps us waiting in the middle of a
// request occupies no buffer meanwhile.
func await(s *decoy.Session) (*bufio.Reader, error) {
	if s.Buffered() == 0 {
		if err := s.Flush(); err != nil {
			return nil, err
		}
	}
	br, err := s.Reader()
	if err != nil {
		return nil, err
	}
	_, err = br.Peek(1)
	return br, err
}

// noMethod is why bytes are not even the beginning of a request.
const noMethod = "no method"

// skipEmpty waits for a byte that is not of an empty line (RFC 9112 §2.2).
func skipEmpty(s *decoy.Session) (*bufio.Reader, error) {
	for range 64 {
		br, err := await(s)
		if err != nil {
			return nil, err
		}
		b, _ := br.Peek(1) // no error: it is there
		if b[0] != '\r' && b[0] != '\n' {
			return br, nil
		}
		_, _ = br.Discard(1)
	}
	return nil, io.ErrUnexpectedEOF
}

// headEnd returns the length of a complete head, or 0. A request line without
// a version (HTTP/0.9) is complete by itself.
func headEnd(b []byte) int {
	nl := bytes.IndexByte(b, '\n')
	if nl < 0 {
		return 0
	}
	if !bytes.Contains(b[:nl], []byte(" HTTP/")) && !bytes.Contains(b[:nl], []byte(" http/")) {
		return nl + 1
	}
	for {
		rest := b[nl+1:]
		switch {
		case len(rest) >= 1 && rest[0] == '\n':
			return nl + 2
		case len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n':
			return nl + 3
		}
		next := bytes.IndexByte(rest, '\n')
		if next < 0 {
			return 0
		}
		nl += 1 + next
	}
}

// methodByte says whether a byte may be in a method, as nginx sees it.
func methodByte(b byte) bool {
	return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b == '_' || b == '-'
}

// parse splits the head; the strings share its memory. It returns why the
// request is malformed and what it deserves, or 0.
func (r *Request) parse() (why string, status int) {
	line, rest := cutLine(r.head)
	if why, status = r.requestLine(line); status != 0 && r.Proto == "" || r.Proto == "" {
		return why, status
	}
	r.Headers = make([]observe.Field, 0, min(strings.Count(rest, "\n"), observe.MaxFields))
	hosts := 0
	for {
		line, rest = cutLine(rest)
		if line == "" {
			break
		}
		if len(r.Headers) >= observe.MaxFields {
			return "too many headers", 431
		}
		name, value, _ := strings.Cut(line, ":") // a line without a colon is a name only
		value = strings.Trim(value, " \t")
		r.Headers = append(r.Headers, observe.Field{Name: name, Value: value})
		if len(name) == 4 && strings.EqualFold(name, "host") {
			r.Host = value
			hosts++
		}
	}
	if status == 0 && (hosts > 1 || hosts == 0 && r.Proto == "HTTP/1.1") {
		return "not one host", 400
	}
	return why, status
}

func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return s, ""
	}
	line, rest = s[:i], s[i+1:]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, rest
}

func (r *Request) requestLine(line string) (why string, status int) {
	method, rest, ok := strings.Cut(line, " ")
	r.Method = method
	for i := range len(method) {
		if !methodByte(method[i]) {
			return noMethod, 400
		}
	}
	i := strings.LastIndexByte(rest, ' ')
	if i < 0 || len(rest) < i+6 || !strings.EqualFold(rest[i+1:i+6], "HTTP/") {
		r.Target = strings.TrimSpace(rest)
		r.resolve()
		if !ok || method != "GET" || r.Target == "" {
			return "no version", 400
		}
		return "", 0
	}
	r.Target, r.Proto = strings.TrimSpace(rest[:i]), rest[i+1:]
	r.resolve()
	version := r.Proto[5:]
	switch {
	case r.Target == "":
		return "no target", 400
	case version == "1.1" || version == "1.0":
		return "", 0
	case len(version) == 3 && version[:2] == "1." && version[2] >= '0' && version[2] <= '9':
		return "", 0
	case len(version) >= 1 && version[0] >= '2' && version[0] <= '9':
		return "unknown version", 505
	}
	return "bad version", 400
}

// resolve takes the target apart.
func (r *Request) resolve() {
	path := r.Target
	if i := strings.Index(path, "://"); i > 0 && i < 8 && path[0] != '/' {
		r.Authority, path = path[i+3:], "/"
		if j := strings.IndexAny(r.Authority, "/?#"); j >= 0 {
			r.Authority, path = r.Authority[:j], r.Authority[j:]
		}
	}
	path, _, _ = strings.Cut(path, "#")
	path, r.Query, _ = strings.Cut(path, "?")
	if path == "" {
		path = "/"
	}
	r.Path = Unescape(path, false)
}

// Resolve is the path without empty and dot segments, as a server looks it up.
// climbed tells that it tried to leave the root.
func (r *Request) Resolve() (path string, climbed bool) {
	path = r.Path
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") && !strings.Contains(path, "\\") {
		return path, false
	}
	var keep []string
	segments := strings.Split(strings.ReplaceAll(path, "\\", "/"), "/")
	for _, s := range segments {
		switch {
		case s == "" || s == ".":
		case s != "..":
			keep = append(keep, s)
		case len(keep) == 0:
			climbed = true
		default:
			keep = keep[:len(keep)-1]
		}
	}
	out := "/" + strings.Join(keep, "/")
	if last := segments[len(segments)-1]; (last == "" || last == "." || last == "..") && out != "/" {
		out += "/"
	}
	return out, climbed
}

// Unescape decodes %XX once, and '+' in a query; what is not an escape stays.
func Unescape(s string, query bool) string {
	if !strings.Contains(s, "%") && (!query || !strings.Contains(s, "+")) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		if s[i] == '+' && query {
			out = append(out, ' ')
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func (r *Request) keepAlive() bool {
	c := r.Header("Connection")
	if r.Proto == "HTTP/1.0" {
		return containsFold(c, "keep-alive")
	}
	return c == "" || !containsFold(c, "close")
}

func containsFold(s, word string) bool {
	return len(s) >= len(word) && strings.Contains(strings.ToLower(cut(s, 256)), word)
}
