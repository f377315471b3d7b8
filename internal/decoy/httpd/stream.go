package httpd

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// goHead appends headers as net/http of Go orders them: those of the handler
// by name, then Date, then the length or how else the end is told. length is
// "" for a streamed body.
func (st Style) goHead(b []byte, r *Request, w Response, length string, close bool) []byte {
	field := func(name, value string) { b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...) }
	all := slices.Clone(w.Headers)
	if st.Server != "" {
		all = append(all, observe.Field{Name: "Server", Value: st.Server})
	}
	if w.Type != "" {
		all = append(all, observe.Field{Name: "Content-Type", Value: w.Type})
	}
	slices.SortStableFunc(all, func(x, y observe.Field) int { return cmp.Compare(x.Name, y.Name) })
	for _, h := range all {
		field(h.Name, h.Value)
	}
	b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), Date), "\r\n"...)
	if length != "" && w.Status != 204 && w.Status != 304 {
		field("Content-Length", length)
	}
	switch old := r.Proto == "HTTP/1.0"; {
	case close && !old:
		field("Connection", "close")
	case !close && old:
		field("Connection", "keep-alive")
	}
	return b
}

// goVersion begins a status line: Go answers in the version it was asked in.
func goVersion(r *Request) string {
	if r.Proto == "HTTP/1.0" {
		return "HTTP/1.0 "
	}
	return "HTTP/1.1 "
}

// Stream is an answer whose end is not known when it begins. Every Write
// leaves at once.
type Stream struct {
	s       *decoy.Session
	chunked bool
	mute    bool // HEAD: only headers are sent
}

// Start sends the head of a streamed answer; Body and Close of w do not count.
// To a client that does not know chunks the end is the end of the connection,
// for which r.KeepAlive is cleared.
func (st Style) Start(s *decoy.Session, r *Request, w Response) (*Stream, error) {
	d := &Stream{s: s, chunked: r.Proto == "HTTP/1.1", mute: r.Method == "HEAD"}
	if !d.chunked {
		r.KeepAlive = false
	}
	if r.Proto != "" {
		b := append(strconv.AppendInt([]byte(goVersion(r)), int64(w.Status), 10), ' ')
		b = append(append(b, Reason(w.Status)...), "\r\n"...)
		b = Style{Server: st.Server}.goHead(b, r, w, "", !r.KeepAlive)
		if d.chunked {
			b = append(b, "Transfer-Encoding: chunked\r\n"...)
		}
		if _, err := s.Write(append(b, "\r\n"...)); err != nil {
			return nil, err
		}
	}
	return d, s.Flush()
}

// Write sends p as one chunk.
func (d *Stream) Write(p []byte) (int, error) {
	if len(p) == 0 || d.mute {
		return len(p), nil
	}
	if !d.chunked {
		if _, err := d.s.Write(p); err != nil {
			return 0, err
		}
		return len(p), d.s.Flush()
	}
	b := append(strconv.AppendInt(nil, int64(len(p)), 16), "\r\n"...)
	b = append(append(b, p...), "\r\n"...)
	if _, err := d.s.Write(b); err != nil {
		return 0, err
	}
	return len(p), d.s.Flush()
}

// Close sends the end of the answer.
func (d *Stream) Close() error {
	if d.chunked && !d.mute {
		_, err := d.s.WriteString("0\r\n\r\n")
		return err
	}
	return nil
}

// Upgrade sends the head with which a server gives the connection to another
// protocol (RFC 9110, section 7.8); what follows belongs to the caller. A
// client that did not ask for the upgrade is told 200 and gets the bytes
// anyway, as Docker does. The connection carries no further request.
func Upgrade(s *decoy.Session, r *Request, proto, contentType string, more ...observe.Field) error {
	b := []byte("HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\n")
	if containsFold(r.Header("Connection"), "upgrade") {
		b = []byte("HTTP/1.1 101 UPGRADED\r\nContent-Type: " + contentType + "\r\nConnection: Upgrade\r\nUpgrade: " + proto + "\r\n")
	}
	for _, h := range more {
		b = append(append(append(append(b, h.Name...), ": "...), h.Value...), "\r\n"...)
	}
	r.KeepAlive = false
	if _, err := s.Write(append(b, "\r\n"...)); err != nil {
		return err
	}
	return s.Flush()
}

// GoRefusal answers what is not a request as Go's net/http does, which tells
// less than other servers do, and ends the conversation.
func GoRefusal(s *decoy.Session, m *Malformed) error {
	status := "400 Bad Request"
	switch m.Status {
	case 400:
		if r := m.Request; r.Proto == "HTTP/1.1" && r.Host == "" {
			status += ": missing required Host header"
		}
	case 431, 414: // one limit for the whole head
		status = "431 Request Header Fields Too Large"
	case 501:
		status = "501 Not Implemented: unsupported transfer encoding"
	case 505:
		status = "505 HTTP Version Not Supported: unsupported protocol version"
	}
	s.Linger()
	head, _, _ := strings.Cut(status, ":")
	_, err := s.WriteString("HTTP/1.1 " + head + "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" + status)
	return err
}
