// Package httpd is the HTTP/1 of the decoys that speak it: a reader that takes
// what attackers send, however malformed, and keeps the order and spelling of
// everything; and a writer that answers like the server a persona claims to be.
//
// It is not a general server: no HTTP/2, no routing, no files. The standard
// library's parser refuses many of the requests a decoy is there to record,
// which is why this exists.
package httpd

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// Caps on one request.
const (
	MaxHead = 32 << 10 // request line and headers
	maxWord = 8 << 10
)

// Malformed is a request that no server would take; Raw is what came.
type Malformed struct {
	Why string
	Raw []byte
}

func (m *Malformed) Error() string { return "malformed request: " + m.Why }

// Request is one request as it arrived.
type Request struct {
	Method    string
	Target    string // as sent
	Path      string // decoded once, without query; "/" when it cannot be decoded
	Query     string // raw
	Proto     string // "HTTP/1.1", "" for HTTP/0.9
	Headers   []observe.Field
	Body      []byte // up to the cap
	BodyLen   int64  // as far as it was read
	Cut       bool   // Body is not the whole
	KeepAlive bool
	head      []byte
}

// Raw is the request as bytes: its head as it came, and its body.
func (r *Request) Raw() []byte {
	return append(bytes.Clone(r.head), r.Body...)
}

// Header returns the first value of a header, matched without case.
func (r *Request) Header(name string) string {
	for i := range r.Headers {
		if len(r.Headers[i].Name) == len(name) && strings.EqualFold(r.Headers[i].Name, name) {
			return r.Headers[i].Value
		}
	}
	return ""
}

// Form decodes the query and an urlencoded body; what cannot be decoded is left out.
func (r *Request) Form() url.Values {
	v, _ := url.ParseQuery(cut(r.Query, maxWord)) // keeps what it could decode
	if strings.HasPrefix(r.Header("Content-Type"), "application/x-www-form-urlencoded") {
		more, _ := url.ParseQuery(cut(string(r.Body), 64<<10))
		for k, x := range more {
			v[k] = append(v[k], x...)
		}
	}
	return v
}

// Observation is the request as the node wants to know it.
func (r *Request) Observation(status int, lure string, tls bool) observe.HTTPRequest {
	return observe.HTTPRequest{Method: r.Method, Target: r.Target, Proto: r.Proto, Host: r.Header("Host"), Headers: r.Headers,
		Body: r.Body, BodyLen: r.BodyLen, Status: status, Lure: lure, TLS: tls}
}

// Read reads one request; maxBody caps what of its body is kept and read.
// Errors are a *Malformed, or those of the connection.
func Read(s *decoy.Session, maxBody int) (*Request, error) {
	r := &Request{}
	line, err := r.line(s)
	if err != nil {
		return nil, err
	}
	for line == "" { // RFC 9112 §2.2: empty lines before the request line are ignored
		if len(r.head) > 8 {
			return nil, &Malformed{"no request line", r.head}
		}
		if line, err = r.line(s); err != nil {
			return nil, err
		}
	}
	if err := r.requestLine(line); err != nil {
		return nil, err
	}
	if r.Proto == "" {
		return r, nil
	}
	for {
		line, err := r.line(s)
		if err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || len(r.Headers) >= observe.MaxFields {
			return nil, &Malformed{"bad or too many headers", r.head}
		}
		r.Headers = append(r.Headers, observe.Field{Name: name, Value: strings.Trim(value, " \t")})
	}
	r.KeepAlive = r.keepAlive()
	return r, r.body(s, maxBody)
}

// line reads one line of the head and remembers its bytes.
func (r *Request) line(s *decoy.Session) (string, error) {
	start := len(r.head)
	for {
		br, err := s.Reader()
		if err != nil {
			return "", err
		}
		part, err := br.ReadSlice('\n')
		r.head = append(r.head, part...)
		if len(r.head) > MaxHead {
			return "", &Malformed{"head too large", r.head[:MaxHead]}
		}
		if err == nil {
			break
		}
		if len(part) < br.Size() {
			if start == 0 && len(r.head) == 0 {
				return "", err
			}
			return "", &Malformed{"ended in the head", r.head}
		}
	}
	line := bytes.TrimSuffix(r.head[start:], []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))), nil
}

func (r *Request) requestLine(line string) error {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || method == "" || len(method) > 32 || strings.IndexFunc(method, notToken) >= 0 {
		return &Malformed{"no method", r.head}
	}
	r.Method, r.Target = method, rest
	if i := strings.LastIndexByte(rest, ' '); i >= 0 && strings.HasPrefix(rest[i+1:], "HTTP/") {
		r.Target, r.Proto = rest[:i], rest[i+1:]
	} else if strings.Contains(rest, " ") {
		return &Malformed{"bad version", r.head}
	}
	if r.Proto != "" && r.Proto != "HTTP/1.1" && r.Proto != "HTTP/1.0" {
		return &Malformed{"unknown version", r.head}
	}
	if r.Target == "" {
		return &Malformed{"no target", r.head}
	}
	path := r.Target
	if i := strings.Index(path, "://"); i > 0 && i < 8 {
		if j := strings.IndexByte(path[i+3:], '/'); j >= 0 {
			path = path[i+3+j:]
		} else {
			path = "/"
		}
	}
	path, r.Query, _ = strings.Cut(path, "?")
	r.Path = path
	if strings.IndexByte(path, '%') >= 0 {
		p, err := url.PathUnescape(path)
		if err != nil {
			p = "/"
		}
		r.Path = p
	}
	return nil
}

func notToken(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune("()<>@,;:\\\"/[]?={}", c)
}

func (r *Request) keepAlive() bool {
	c := r.Header("Connection")
	if r.Proto == "HTTP/1.1" {
		return !containsFold(c, "close")
	}
	return containsFold(c, "keep-alive")
}

func containsFold(s, word string) bool {
	return len(s) >= len(word) && strings.Contains(strings.ToLower(cut(s, 256)), word)
}

func (r *Request) body(s *decoy.Session, max int) error {
	te := r.Header("Transfer-Encoding")
	cl := r.Header("Content-Length")
	if te == "" && (cl == "" || cl == "0") {
		return nil
	}
	if containsFold(r.Header("Expect"), "100-continue") {
		_, _ = s.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
		if err := s.Flush(); err != nil {
			return err
		}
	}
	if te != "" {
		return r.chunked(s, max)
	}
	n, err := strconv.ParseInt(cl, 10, 64)
	if err != nil || n < 0 {
		return &Malformed{"bad content length", r.head}
	}
	return r.take(s, n, max)
}

// take reads n bytes of body, keeping max of them. Beyond eight times the cap
// it stops reading: the connection is then not usable for another request.
func (r *Request) take(s *decoy.Session, n int64, max int) error {
	var buf [4096]byte
	for n > 0 {
		if r.BodyLen >= 8*int64(max) {
			r.Cut, r.KeepAlive = true, false
			return nil
		}
		k, err := s.Read(buf[:min(n, int64(len(buf)))])
		r.BodyLen += int64(k)
		n -= int64(k)
		if room := max - len(r.Body); room < k {
			r.Cut = true
			r.Body = append(r.Body, buf[:room]...)
		} else {
			r.Body = append(r.Body, buf[:k]...)
		}
		if err != nil {
			r.Cut, r.KeepAlive = true, false
			return nil // what came is worth an answer and a report
		}
	}
	return nil
}

func (r *Request) chunked(s *decoy.Session, max int) error {
	for range 4096 {
		line, err := s.ReadLine()
		if err != nil {
			r.Cut, r.KeepAlive = true, false
			return nil
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 31)
		if err != nil {
			return &Malformed{"bad chunk", r.head}
		}
		if n == 0 {
			_, _ = s.ReadLine() // trailers are not worth an error
			return nil
		}
		if err := r.take(s, int64(n), max); err != nil || r.Cut && !r.KeepAlive {
			return err
		}
		if _, err := s.ReadLine(); err != nil {
			r.Cut, r.KeepAlive = true, false
			return nil
		}
	}
	r.KeepAlive = false
	return nil
}

// Response is what to answer. Body is sent with its length; for HEAD only the
// length is.
type Response struct {
	Status  int
	Type    string          // Content-Type; "" for none
	Headers []observe.Field // more, in order
	Body    []byte
	Close   bool
}

// Style is how a server orders and spells its headers.
type Style struct {
	Server string // value of the Server header; "" for none
	Nginx  bool   // Server before Date, Type before Length, and Connection always said
}

// Write buffers a response to r; the caller flushes.
func (st Style) Write(s *decoy.Session, r *Request, w Response) error {
	close := w.Close || !r.KeepAlive
	if r.Proto == "" {
		_, err := s.Write(w.Body)
		return err
	}
	var b []byte
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.Status), 10)
	b = append(append(append(b, ' '), Reason(w.Status)...), "\r\n"...)
	field := func(name, value string) { b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...) }
	length := strconv.Itoa(len(w.Body))
	connection := "keep-alive"
	if close {
		connection = "close"
	}
	date := func() {
		b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), "Mon, 02 Jan 2006 15:04:05 GMT"), "\r\n"...)
	}
	typed := func() {
		if w.Type != "" {
			field("Content-Type", w.Type)
		}
	}
	sized := func() {
		if w.Status >= 200 && w.Status != 204 && w.Status != 304 {
			field("Content-Length", length)
		}
	}
	if st.Nginx {
		field("Server", st.Server)
		date()
		typed()
		sized()
		field("Connection", connection)
		for _, h := range w.Headers {
			field(h.Name, h.Value)
		}
	} else {
		date()
		if st.Server != "" {
			field("Server", st.Server)
		}
		for _, h := range w.Headers {
			field(h.Name, h.Value)
		}
		sized()
		if close {
			field("Connection", "close")
		}
		typed()
	}
	b = append(b, "\r\n"...)
	if r.Method != "HEAD" && w.Status != 204 && w.Status != 304 {
		b = append(b, w.Body...)
	}
	_, err := s.Write(b)
	return err
}

// Serve reads requests and answers them until the visitor leaves or handle
// says that it is over. handle writes the answer and reports the request.
// bad is called for what is not a request; it may answer.
func Serve(s *decoy.Session, maxBody int, handle func(*Request) (more bool, err error), bad func(*Malformed)) error {
	for {
		r, err := Read(s, maxBody)
		var m *Malformed
		switch {
		case errors.As(err, &m):
			bad(m)
			return s.Flush()
		case err != nil:
			return nil // the visitor left
		}
		more, err := handle(r)
		if err != nil {
			return err
		}
		// Answers to pipelined requests leave together.
		if s.Buffered() == 0 || !more {
			if err := s.Flush(); err != nil {
				return nil // the visitor left
			}
		}
		if !more || !r.KeepAlive {
			return nil
		}
	}
}

// Reason is the phrase of a status, as nginx and Apache write it.
func Reason(status int) string {
	for _, r := range reasons {
		if r.status == status {
			return r.phrase
		}
	}
	return fmt.Sprintf("Status %d", status)
}

var reasons = []struct {
	status int
	phrase string
}{
	{200, "OK"}, {404, "Not Found"}, {302, "Found"}, {301, "Moved Permanently"}, {403, "Forbidden"}, {401, "Unauthorized"}, {400, "Bad Request"},
	{201, "Created"}, {204, "No Content"}, {304, "Not Modified"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
	{411, "Length Required"}, {413, "Request Entity Too Large"}, {414, "Request-URI Too Long"}, {415, "Unsupported Media Type"}, {422, "Unprocessable Entity"},
	{429, "Too Many Requests"}, {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"}, {101, "UPGRADED"},
}

func cut(s string, max int) string {
	if len(s) > max {
		return s[:max]
	}
	return s
}
