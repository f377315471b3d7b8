package pcap

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/observe/fingerprint"
	"bartizan/internal/source/capture"
)

// Caps on what is kept of streams.
const (
	maxStream   = 32 << 10 // bytes of one direction that wait to be understood
	maxStreams  = 64 << 20 // of all
	maxBody     = 8 << 10  // of a request
	maxRequests = 8        // of a connection that wait for their status
	maxHeld     = 4        // segments that came too early
)

// stream is the bytes of a direction that are not understood yet.
type stream struct {
	buf  []byte
	kind kind
	held []segment
}

type segment struct {
	seq  uint32
	data []byte
}

type kind uint8

const (
	fresh kind = iota // nothing was seen
	plain
	secure
	dnsTCP
	dull // nothing to understand in it, or no more
)

// request waits for the status of its answer.
type request struct {
	h      *observe.HTTPRequest
	time   time.Time
	record uint64
	proven bool
	left   int // bytes of its body that were not seen
	size   int // bytes of memory
}

// drop gives back what a stream holds.
func (t *table) drop(s *stream) {
	t.kept -= len(s.buf)
	for i := range s.held {
		t.kept -= len(s.held[i].data)
	}
	s.buf, s.held = nil, nil
}

// stream takes a segment of a connection in its order.
func (t *table) stream(c *conversation, way int, p *capture.Packet, now time.Time, at uint64, b *observe.LogBatch) {
	s := &c.sides[way]
	if s.stream.kind == dull && (way == 0 || len(c.requests) == 0) {
		return
	}
	seq, data := p.Seq, p.Payload
	if !s.started {
		s.next, s.started = seq, true
	}
	switch ahead := int32(seq - s.next); {
	case ahead < 0: // sent again, perhaps with more behind it
		if -int64(ahead) >= int64(len(data)) {
			return
		}
		data = data[-ahead:]
	case ahead > 0:
		if len(s.stream.held) < maxHeld && t.kept+len(data) <= maxStreams {
			s.stream.held = append(s.stream.held, segment{seq, bytes.Clone(data)})
			t.kept += len(data)
			return
		}
		t.drop(&s.stream) // a part is missing for good: begin again behind it
		if s.stream.kind != plain {
			s.stream.kind = dull
		}
		s.next = seq
	}
	s.next += uint32(len(data))
	if p.Missing > 0 {
		s.next += uint32(p.Missing)
	}
	t.bytes(c, way, data, now, at, b)
	for again := true; again; {
		again = false
		for i, h := range s.stream.held {
			ahead := int32(h.seq - s.next)
			if ahead > 0 {
				continue
			}
			s.stream.held = append(s.stream.held[:i:i], s.stream.held[i+1:]...)
			t.kept -= len(h.data)
			if -int64(ahead) < int64(len(h.data)) {
				s.next += uint32(int64(len(h.data)) + int64(ahead))
				t.bytes(c, way, h.data[-ahead:], now, at, b)
			}
			again = true
			break
		}
	}
}

// bytes takes the next bytes of a direction.
func (t *table) bytes(c *conversation, way int, data []byte, now time.Time, at uint64, b *observe.LogBatch) {
	if way == 1 {
		t.answer(c, data, now, at, b)
		return
	}
	s := &c.sides[0].stream
	if s.kind == fresh {
		switch {
		case methodAt(data):
			s.kind = plain
		case len(data) > 2 && data[0] == 22 && data[1] == 3:
			s.kind = secure
		case c.server() == 53:
			s.kind = dnsTCP
		default:
			s.kind = dull
			return
		}
	}
	if s.kind == plain && len(c.requests) > 0 {
		// A body goes on behind its head.
		data = c.requests[len(c.requests)-1].more(data)
	}
	if s.kind == dull || len(data) == 0 {
		return
	}
	if s.kind == plain && len(s.buf) == 0 && !methodAt(data) {
		return // what a length did not announce, or an upgrade
	}
	if t.kept+len(data) > maxStreams || len(s.buf)+len(data) > maxStream {
		t.drop(s)
		if s.kind != plain {
			s.kind = dull
		}
		return
	}
	s.buf = append(s.buf, data...)
	t.kept += len(data)
	before := len(s.buf)
	switch s.kind {
	case plain:
		s.buf = t.requests(c, s.buf, now, at, b)
	case secure:
		s.buf = t.hello(c, s.buf, now, at, b)
	case dnsTCP:
		s.buf = t.messages(c, 0, s.buf, now, at, b)
	}
	t.kept -= before - len(s.buf)
	if len(s.buf) == 0 {
		s.buf = nil
	}
}

// server is the port of who answered.
func (c *conversation) server() uint16 {
	if c.flip {
		return c.key.aPort
	}
	return c.key.bPort
}

// ends are the client's and the server's address.
func (c *conversation) ends() (client, server netip.AddrPort) {
	a, b := netip.AddrPortFrom(c.key.a.Netip(), c.key.aPort), netip.AddrPortFrom(c.key.b.Netip(), c.key.bPort)
	if c.flip {
		return b, a
	}
	return a, b
}

// add appends an event of the conversation.
func (c *conversation) add(b *observe.LogBatch, kind observe.Kind, service string, t time.Time, record uint64, proven bool) *observe.Observation {
	client, server := c.ends()
	o := b.Add(record, t, kind, service, client.Addr(), client.Port())
	o.Local, o.Spoofable = server, !proven
	return o
}

// hello reads what a TLS client says first.
func (t *table) hello(c *conversation, buf []byte, now time.Time, at uint64, b *observe.LogBatch) []byte {
	h, err := fingerprint.ParseClientHello(buf)
	if errors.Is(err, fingerprint.ErrShort) {
		return buf
	}
	c.sides[0].stream.kind = dull
	if err != nil {
		return nil
	}
	i := &observe.Interaction{Protocol: "tls", Prints: observe.Fingerprints{JA3: h.JA3(), JA4: h.JA4(), SNI: printable(h.ServerName)}}
	if len(h.ALPN) > 0 {
		i.Prints.ALPN = printable(h.ALPN[0])
	}
	c.add(b, observe.KindInteraction, "tls", now, at, c.proven).Interaction = i
	return nil
}

// printable keeps hostile bytes out of names.
func printable(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 512)], "\uFFFD")
}

// methods are the methods of HTTP and WebDAV (IANA registry) that requests begin with.
var methods = [...]string{"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PROPFIND ", "PROPPATCH ", "MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "SEARCH ", "REPORT ", "DEBUG ", "TRACK "}

// methodAt reports whether bytes begin with a method, or with the beginning of
// one where they end too early.
func methodAt(b []byte) bool {
	for _, m := range methods {
		n := min(len(m), len(b))
		if n > 0 && string(b[:n]) == m[:n] {
			return true
		}
	}
	return false
}

// requests reads as many requests as are complete; what is left is returned.
func (t *table) requests(c *conversation, buf []byte, now time.Time, at uint64, b *observe.LogBatch) []byte {
	for len(buf) > 0 {
		if !methodAt(buf) {
			return nil
		}
		end, skip := bytes.Index(buf, []byte("\r\n\r\n")), 4
		if lf := bytes.Index(buf, []byte("\n\n")); end < 0 && lf >= 0 {
			end, skip = lf, 2
		}
		if end < 0 {
			return buf
		}
		h, length := parseHead(buf[:end])
		buf = buf[end+skip:]
		if h == nil {
			return nil
		}
		r := request{h: h, time: now, record: at, proven: c.proven, left: length, size: end + min(length, maxBody)}
		buf = r.more(buf)
		if t.kept+r.size > maxStreams {
			emitRequest(c, &r, 0, at, b) // there is no room to wait for its status
			continue
		}
		if len(c.requests) >= maxRequests { // the answers were not captured
			t.told(c, 0, c.requests[0].record, b)
		}
		t.kept += r.size
		c.requests = append(c.requests, r)
	}
	return nil
}

// more takes the bytes of a body and returns what is behind it.
func (r *request) more(data []byte) []byte {
	n := min(r.left, len(data))
	r.left -= n
	if k := min(n, maxBody-len(r.h.Body)); k > 0 {
		r.h.Body = append(r.h.Body, data[:k]...)
	}
	return data[n:]
}

// parseHead reads a request line and its fields (RFC 9112 §3, §5); length is
// that of the body.
func parseHead(head []byte) (h *observe.HTTPRequest, length int) {
	line, rest, _ := strings.Cut(string(head), "\n")
	method, target, ok := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
	if !ok {
		return nil, 0
	}
	h = &observe.HTTPRequest{Method: method, Target: target}
	if i := strings.LastIndexByte(target, ' '); i >= 0 && strings.HasPrefix(target[i+1:], "HTTP/") {
		h.Target, h.Proto = target[:i], target[i+1:]
	}
	h.Target = h.Target[:min(len(h.Target), observe.MaxText)]
	h.Proto = h.Proto[:min(len(h.Proto), 16)]
	for rest != "" && len(h.Headers) < observe.MaxFields {
		line, rest, _ = strings.Cut(rest, "\n")
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\r"), ":")
		if !ok || name == "" || len(name) > 256 {
			continue
		}
		value = strings.Trim(value, " \t")
		value = value[:min(len(value), observe.MaxText)]
		h.Headers = append(h.Headers, observe.Field{Name: name, Value: value})
		switch {
		case strings.EqualFold(name, "Host"):
			h.Host = value
		case strings.EqualFold(name, "Content-Length"):
			if n, err := strconv.Atoi(value); err == nil && n >= 0 {
				length = min(n, 1<<40)
			}
		}
	}
	h.BodyLen = int64(length)
	return h, length
}

// answer reads the status of the answer to the request that waits longest, and
// of DNS over TCP the answer itself.
func (t *table) answer(c *conversation, data []byte, now time.Time, at uint64, b *observe.LogBatch) {
	s := &c.sides[1].stream
	if c.sides[0].stream.kind == dnsTCP || len(c.questions) > 0 {
		if t.kept+len(data) > maxStreams || len(s.buf)+len(data) > maxStream*2+2 {
			t.drop(s)
			return
		}
		s.buf = append(s.buf, data...)
		t.kept += len(data)
		before := len(s.buf)
		s.buf = t.messages(c, 1, s.buf, now, at, b)
		t.kept -= before - len(s.buf)
		return
	}
	if len(c.requests) == 0 || len(data) < 12 || string(data[:7]) != "HTTP/1." || data[8] != ' ' {
		return
	}
	status, err := strconv.Atoi(string(data[9:12]))
	if err != nil || status < 100 {
		return
	}
	if status < 200 && status != 101 {
		return // the final one follows (RFC 9110 §15.2)
	}
	c.requests[0].proven = c.requests[0].proven || c.proven
	t.told(c, status, at, b)
	if status == 101 {
		c.sides[0].stream.kind = dull
	}
}

// told hands out the request that waits longest.
func (t *table) told(c *conversation, status int, record uint64, b *observe.LogBatch) {
	r := &c.requests[0]
	emitRequest(c, r, status, record, b)
	t.kept -= r.size
	c.requests[0] = request{}
	c.requests = append(c.requests[:0], c.requests[1:]...)
}

func emitRequest(c *conversation, r *request, status int, record uint64, b *observe.LogBatch) {
	r.h.Status = status
	c.add(b, observe.KindHTTP, "http", r.time, record, r.proven).HTTP = r.h
}
