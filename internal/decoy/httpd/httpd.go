// Package httpd is the HTTP/1 of the decoys that speak it: a reader that takes
// what attackers send, however malformed, and keeps the order and spelling of
// everything; and a writer that answers like the server a persona claims to be.
//
// It is not a general server: no HTTP/2, no routing, no files. The standard
// library's parser refuses many of the requests a decoy is there to record,
// which is why this exists.
package httpd

import (
	"errors"
	"net/url"
	"strings"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// Caps on one request.
const (
	MaxHead = 32 << 10 // request line and headers
	maxWord = 8 << 10
)

// Malformed is a request that no server would take.
type Malformed struct {
	Why     string
	Raw     []byte
	Status  int      // what it deserves: 400, 413, 414, 431, 501 or 505
	Request *Request // as far as it was understood; never nil
}

func (m *Malformed) Error() string { return "malformed request: " + m.Why }

// Request is one request as it arrived.
type Request struct {
	Method    string
	Target    string // as sent
	Path      string // decoded once, without query
	Query     string // raw
	Authority string // of an absolute target: host and port as sent; "" for the usual form
	Proto     string // "HTTP/1.1", "" for HTTP/0.9
	Host      string
	Headers   []observe.Field
	Body      []byte // up to the cap, without chunk framing
	BodyLen   int64  // as far as it was read
	Cut       bool   // Body is not the whole
	TooLarge  bool   // more was announced than is read: the answer is 413 and the end
	KeepAlive bool
	head      string
}

// Head is the request line and the headers as they came.
func (r *Request) Head() string { return r.head }

// Raw is the request as bytes: its head as it came, and its body.
func (r *Request) Raw() []byte {
	return append([]byte(r.head), r.Body...)
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
	return observe.HTTPRequest{Method: r.Method, Target: r.Target, Proto: r.Proto, Host: r.Host, Headers: r.Headers,
		Body: r.Body, BodyLen: r.BodyLen, Status: status, Lure: lure, TLS: tls}
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

func cut(s string, max int) string {
	if len(s) > max {
		return s[:max]
	}
	return s
}
