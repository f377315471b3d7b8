package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"bartizan/internal/safe"
)

const (
	bufferSize = 4 << 10 // of what is read and of what is written; a head that is longer is not plain
	patience   = 20 * time.Millisecond
	lingerTime = 500 * time.Millisecond
	maxLinger  = 256 << 10
)

// States of a connection.
const (
	idle int32 = iota
	busy
	closed
)

// conn is one connection. It belongs to the goroutine of serve, but for what mu guards.
type conn struct {
	s      *Server
	rwc    net.Conn
	in     *bufio.Reader
	remote string
	tls    *tls.ConnectionState // nil: it speaks none
	ctx    context.Context      //nolint:containedctx // ends when the client leaves
	cancel context.CancelFunc
	state  atomic.Int32
	until  time.Time // when the next Read ends
	sent   time.Time // write deadline of rwc
	w      writer
	body   body

	mu       sync.Mutex
	cond     sync.Cond
	limit    time.Time // read deadline of rwc
	timer    *time.Timer
	armed    bool // the timer will call watch, or has
	over     bool // the exchange is: nobody watches any more
	watching bool
	ahead    [1]byte // what watch has read
	has      bool
}

func newConn(s *Server, rwc net.Conn) *conn {
	c := &conn{s: s, rwc: rwc}
	c.in = bufio.NewReaderSize(c, bufferSize)
	c.cond.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(s.base)
	c.w.c, c.w.header = c, http.Header{}
	return c
}

// serve answers one request after the other until the connection ends or is handed over.
func (c *conn) serve() {
	defer c.cancel()
	c.remote = c.rwc.RemoteAddr().String()
	if secure, ok := c.rwc.(*tls.Conn); ok && !c.shake(secure) {
		return
	}
	c.until = time.Now().Add(c.s.http.ReadHeaderTimeout)
	for least := 1; ; least = 4 { // as in net/http, whose tolerances these are
		if _, err := c.in.Peek(least); err != nil || !c.state.CompareAndSwap(idle, busy) {
			c.rwc.Close()
			return
		}
		if least == 4 {
			c.passEnds()
		}
		b, _ := c.in.Peek(c.in.Buffered())
		length, ok := plain(b)
		if !ok {
			c.handOver(b)
			return
		}
		if !c.exchange(length) {
			c.rwc.Close()
			return
		}
		c.state.Store(idle)
		if c.s.closing.Load() {
			c.rwc.Close()
			return
		}
		c.wait(c.s.http.IdleTimeout)
	}
}

// shake begins TLS; false when the connection has ended or is net/http's.
func (c *conn) shake(secure *tls.Conn) bool {
	_ = secure.SetDeadline(time.Now().Add(c.s.http.ReadHeaderTimeout))
	if err := secure.HandshakeContext(c.ctx); err != nil {
		why := err.Error()
		if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && likeHTTP(e.RecordHeader) {
			_, _ = io.WriteString(e.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
			why = "client sent an HTTP request to an HTTPS server"
		}
		if c.s.http.ErrorLog != nil {
			c.s.http.ErrorLog.Printf("TLS handshake error from %s: %s", c.remote, why)
		}
		secure.Close()
		return false
	}
	_ = secure.SetDeadline(time.Time{})
	state := secure.ConnectionState()
	if p := state.NegotiatedProtocol; p != "" && p != "http/1.1" {
		c.s.over.give(secure)
		return false
	}
	c.tls = &state
	return true
}

// likeHTTP tells whether a client that should speak TLS speaks HTTP.
func likeHTTP(begin [5]byte) bool {
	switch string(begin[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// passEnds passes over up to four ends of lines that old clients send after a body.
func (c *conn) passEnds() {
	b, _ := c.in.Peek(4)
	n := len(b) - len(bytes.TrimLeft(b, "\r\n"))
	_, _ = c.in.Discard(n)
}

// handOver gives the connection to net/http, with what has been read of it.
func (c *conn) handOver(read []byte) {
	_ = c.rwc.SetDeadline(time.Time{})
	b := &begun{Conn: c.rwc, first: append([]byte(nil), read...)}
	if c.tls != nil {
		c.s.over.give(&secured{b, *c.tls})
		return
	}
	c.s.over.give(b)
}

// secured is such a connection that speaks TLS: net/http tells its handlers so.
type secured struct {
	*begun
	state tls.ConnectionState
}

// ConnectionState is what net/http asks for.
func (s *secured) ConnectionState() tls.ConnectionState { return s.state }

// begun is a connection of which something was read before.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		if b.first = b.first[n:]; len(b.first) == 0 {
			b.first = nil
		}
		return n, nil
	}
	return b.Conn.Read(p)
}

// Read implements io.Reader for the buffer.
func (c *conn) Read(p []byte) (int, error) {
	from := 0
	if c.has { // nothing can be told from one byte: more is waited for, like for a head that has begun
		c.has = false
		if from = copy(p, c.ahead[:]); from == len(p) {
			return from, nil
		}
		c.until = time.Now().Add(c.s.http.ReadHeaderTimeout)
	}
	c.mu.Lock()
	err := c.deadline(c.until)
	c.mu.Unlock()
	if err != nil {
		return from, err
	}
	n, err := c.rwc.Read(p[from:])
	return from + n, err
}

// wait lets the next request come for a while, or up to an eighth less: the clock of a
// connection is not set again for each of many that come one after the other.
func (c *conn) wait(long time.Duration) {
	now := time.Now()
	if left := c.limit.Sub(now); left > long-long/8 && left <= long {
		c.until = c.limit
		return
	}
	c.until = now.Add(long)
}

// deadline sets when reading ends; the caller holds mu.
func (c *conn) deadline(t time.Time) error {
	if t.Equal(c.limit) {
		return nil
	}
	c.limit = t
	return c.rwc.SetReadDeadline(t)
}

// exchange serves one request; false when it was the connection's last.
func (c *conn) exchange(length int64) (more bool) {
	r, err := http.ReadRequest(c.in)
	if err != nil { // such as an escape in the path that is none
		_ = c.rwc.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = io.WriteString(c.rwc, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request")
		return false
	}
	if r.ContentLength != length || len(r.TransferEncoding) > 0 {
		return false // plain has not understood it: no second meaning is served
	}
	c.until = time.Time{}
	c.body = body{c: c, from: r.Body, left: length, come: length - int64(c.in.Buffered())}
	r.Body = &c.body
	r.RemoteAddr, r.TLS = c.remote, c.tls
	r = r.WithContext(c.ctx)
	c.w.reset()
	c.over = false
	if c.body.come <= 0 {
		c.arm()
	}
	ok := c.handle(r)
	c.disarm()
	if !ok {
		return false
	}
	c.w.finish()
	// A client that left while it was answered may have asked for more before: as in
	// net/http, that is still looked at.
	return c.rest() && !c.w.last && (c.ctx.Err() == nil || c.in.Buffered() > 0)
}

// handle calls the handler; false when it panicked.
func (c *conn) handle(r *http.Request) bool {
	err := safe.Recover("handler", func(v any, stack []byte) {
		if c.s.http.ErrorLog != nil && v != http.ErrAbortHandler { //nolint:errorlint // a value that was panicked with
			c.s.http.ErrorLog.Printf("panic serving %s: %v\n%s", c.remote, v, stack)
		}
	}, func() error {
		c.s.http.Handler.ServeHTTP(&c.w, r)
		return nil
	})
	return err == nil
}

// rest passes over what the handler has not read of the body, when it has come. When it has
// not, the connection ends, with time for the client to read its answer before it does.
func (c *conn) rest() bool {
	n := min(c.body.left, int64(c.in.Buffered()))
	if _, err := c.in.Discard(int(n)); err != nil {
		return false
	}
	if c.body.left -= n; c.body.left == 0 {
		return true
	}
	if s, ok := c.rwc.(interface{ CloseWrite() error }); ok {
		_ = s.CloseWrite()
	}
	_ = c.rwc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.rwc, min(c.body.left, maxLinger))
	return false
}

// body is what a handler reads.
type body struct {
	c    *conn
	from io.Reader
	left int64 // bytes that were not read
	come int64 // bytes that the client may not have sent yet, as far as is known
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left == 0 && b.come > 0 {
		b.come = 0
		b.c.arm()
	}
	return n, err
}

// Close does nothing: what is left is passed over at the end.
func (b *body) Close() error { return nil }

// arm begins to watch whether the client leaves, when the exchange takes longer than most
// do. All of the request has come.
func (c *conn) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
	if c.timer == nil {
		c.timer = time.AfterFunc(patience, c.watch)
		return
	}
	c.timer.Reset(patience)
}

// watch reads until the client leaves, sends more, or the exchange is over. It runs on the
// goroutine of the timer.
func (c *conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		n, err := 0, c.deadline(time.Time{})
		if err == nil {
			c.watching = true
			c.mu.Unlock()
			n, err = c.rwc.Read(c.ahead[:])
			c.mu.Lock()
			c.watching = false
		}
		switch {
		case n > 0:
			c.has = true
		case err != nil && !c.over:
			c.cancel()
		}
	}
	c.armed = false
	c.cond.Broadcast()
}

// disarm ends the watch and waits until nobody reads.
func (c *conn) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if !c.armed {
		return
	}
	if c.timer.Stop() {
		c.armed = false
		return
	}
	if c.watching {
		_ = c.deadline(time.Unix(1, 0))
	}
	for c.armed {
		c.cond.Wait()
	}
}
