package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lane carries exchanges to one upstream over connections that the goroutine of the
// exchange writes and reads itself. http.Transport has two more goroutines for each
// connection, and every exchange goes through both: on a short answer that is a third of
// what the whole costs. Heads and bodies are read by net/http here too, with the same
// bounds. What a lane is not made for (a proxy, a large request) is left to the
// Transport. It may be used concurrently.
type lane struct {
	open  func(ctx context.Context) (net.Conn, error)
	first time.Duration // until the head of an answer has come
	wide  http.RoundTripper

	mu     sync.Mutex
	idle   []*laneConn // the last used last
	sweeps bool        // a sweep will come
}

const (
	maxLaneBody = 64 << 10 // fits into the buffers of a socket, so that writing it does not wait for the upstream
	maxHeadDown = 64 << 10 // of an answer
	maxIdle     = 1024
	idleUpTime  = 90 * time.Second
	sweepTime   = 15 * time.Second
)

// newLane makes a lane beside a Transport; nil where only the Transport will do.
func newLane(c *Service, upstream *url.URL, t *http.Transport, value string) *lane {
	host, port := upstream.Hostname(), upstream.Port()
	odd := func(r rune) bool { return r < ' ' || r >= 0x7F }
	if strings.ContainsFunc(value, odd) || strings.ContainsFunc(host, odd) {
		return nil // the Transport knows what to say about it
	}
	if t.Proxy != nil {
		if proxy, err := t.Proxy(&http.Request{URL: upstream}); err != nil || proxy != nil {
			return nil
		}
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[upstream.Scheme]
	}
	at := net.JoinHostPort(host, port)
	l := &lane{first: t.ResponseHeaderTimeout, wide: t}
	switch {
	case port == "":
		return nil
	case t.DialTLSContext != nil || upstream.Scheme == "http": // the keeper speaks TLS itself
		l.open = func(ctx context.Context) (net.Conn, error) { return t.DialContext(ctx, "tcp", at) }
	default:
		config := t.TLSClientConfig.Clone()
		config.ServerName = host
		l.open = func(ctx context.Context) (net.Conn, error) {
			conn, err := t.DialContext(ctx, "tcp", at)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, c.Timeouts.Connect.D())
			defer cancel()
			secure := tls.Client(conn, config)
			if err := secure.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			return secure, nil
		}
	}
	return l
}

// RoundTrip implements http.RoundTripper. The answer's body must be read and closed by
// one goroutine.
func (l *lane) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.ContentLength < 0 || req.ContentLength > maxLaneBody {
		return l.wide.RoundTrip(req)
	}
	c := l.take()
	if c == nil {
		conn, err := l.open(req.Context())
		if err != nil {
			return nil, err
		}
		c = newLaneConn(l, conn)
	}
	resp, err := c.exchange(req)
	if err != nil {
		c.drop()
		return nil, c.because(err)
	}
	return resp, nil
}

// take returns an idle connection on which nothing has come meanwhile; nil when there is
// none. A byte that comes without a question is never taken for the answer to the next.
func (l *lane) take() *laneConn {
	for {
		l.mu.Lock()
		n := len(l.idle)
		if n == 0 {
			l.mu.Unlock()
			return nil
		}
		c := l.idle[n-1]
		l.idle[n-1] = nil
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		if c.quiet() {
			return c
		}
		c.conn.Close()
	}
}

// put keeps a connection that was last used at some time for the next exchange.
func (l *lane) put(c *laneConn, used time.Time) {
	c.since = used
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) >= maxIdle {
		c.conn.Close()
		return
	}
	l.idle = append(l.idle, c)
	if !l.sweeps {
		l.sweeps = true
		time.AfterFunc(sweepTime, l.sweep)
	}
}

// sweep closes connections that nobody has used for long or that the upstream has ended.
func (l *lane) sweep() {
	l.mu.Lock()
	all := l.idle
	l.idle, l.sweeps = nil, false
	l.mu.Unlock()
	for _, c := range all {
		if time.Since(c.since) > idleUpTime || !c.quiet() {
			c.conn.Close()
			continue
		}
		l.put(c, c.since)
	}
}

// CloseIdleConnections is what http.Transport has under this name.
func (l *lane) CloseIdleConnections() {
	l.mu.Lock()
	all := l.idle
	l.idle = nil
	l.mu.Unlock()
	for _, c := range all {
		c.conn.Close()
	}
	if t, ok := l.wide.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// laneConn is one connection. It carries one exchange at a time.
type laneConn struct {
	lane   *lane
	conn   net.Conn
	raw    syscall.RawConn // nil: it cannot be asked whether it is quiet, and is used once
	peek   func(fd uintptr) bool
	still  bool // what peek found
	out    bytes.Buffer
	in     *bufio.Reader
	left   int64 // bytes that may be read
	since  time.Time
	ctx    context.Context //nolint:containedctx // of the exchange that is under way
	detach func() bool     // ends the watch over ctx

	mu  sync.Mutex
	cut bool // ctx has ended: no deadline is moved any more
}

func newLaneConn(l *lane, conn net.Conn) *laneConn {
	c := &laneConn{lane: l, conn: conn}
	c.in = bufio.NewReader(c)
	under := conn
	if s, ok := conn.(*tls.Conn); ok {
		under = s.NetConn()
	}
	if s, ok := under.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.peek = func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		c.still = errors.Is(err, syscall.EAGAIN)
		return true
	}
	return c
}

// quiet tells whether the connection is open and nothing has come on it.
func (c *laneConn) quiet() bool {
	c.still = false
	if c.raw.Read(c.peek) != nil || !c.still {
		return false
	}
	secure, ok := c.conn.(*tls.Conn)
	if !ok {
		return true
	}
	// TLS may have read more from the socket than it has handed on. A read whose time is
	// over sees that and nothing else, and does no harm to the connection.
	var one [1]byte
	var timeout net.Error
	_ = secure.SetReadDeadline(time.Unix(1, 0))
	n, err := secure.Read(one[:])
	return n == 0 && errors.As(err, &timeout) && timeout.Timeout() && secure.SetReadDeadline(time.Time{}) == nil
}

// Read implements io.Reader within the bounds of what is being read.
func (c *laneConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errLongHead
	}
	n, err := c.conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

var errLongHead = fmt.Errorf("the head of the answer has more than %d bytes", maxHeadDown)

// exchange writes a request and reads the head of its answer.
func (c *laneConn) exchange(req *http.Request) (*http.Response, error) {
	c.ctx = req.Context()
	c.detach = context.AfterFunc(c.ctx, c.stop)
	c.out.Reset()
	if err := req.Write(&c.out); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return nil, err
	}
	if c.out.Cap() > 8<<10 {
		c.out = bytes.Buffer{} // thousands of connections are idle
	}
	if c.lane.first > 0 {
		c.until(time.Now().Add(c.lane.first))
	}
	c.left = maxHeadDown
	resp, err := http.ReadResponse(c.in, req)
	for err == nil && resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(c.in, req) // with the same bound: heads without end are one long head
	}
	if err != nil {
		return nil, fmt.Errorf("read the head of the answer: %w", err)
	}
	if c.lane.first > 0 {
		c.until(time.Time{})
	}
	c.left = math.MaxInt64
	again := !resp.Close && !req.Close && resp.StatusCode >= 200 && c.raw != nil
	if resp.Body == http.NoBody {
		c.release(again)
		return resp, nil
	}
	resp.Body = &laneBody{from: resp.Body, c: c, again: again, counted: resp.ContentLength > 0}
	return resp, nil
}

// until sets when reading ends.
func (c *laneConn) until(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cut {
		_ = c.conn.SetReadDeadline(t)
	}
}

// stop ends everything that waits, because the exchange is over.
func (c *laneConn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	_ = c.conn.SetDeadline(time.Unix(1, 0))
}

// release ends an exchange whose answer was read whole.
func (c *laneConn) release(again bool) {
	if free := c.detach(); !free || !again || c.in.Buffered() > 0 {
		c.conn.Close()
		return
	}
	c.ctx, c.detach = nil, nil
	c.lane.put(c, time.Now())
}

// drop ends an exchange in the middle.
func (c *laneConn) drop() {
	c.detach()
	c.conn.Close()
}

// because says why reading or writing failed: the end of the exchange comes before what
// the connection says about it.
func (c *laneConn) because(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// laneBody is the body of an answer.
type laneBody struct {
	from  io.Reader
	c     *laneConn // nil: it was read whole, or closed
	again bool      // another exchange can follow on the connection
	err   error     // what every following Read says

	counted bool // its length was said: it is read as it comes, without a sign between that may be late
}

// ready tells whether the next Read does not wait for the upstream.
func (b *laneBody) ready() bool { return b.c == nil || b.counted && b.c.in.Buffered() > 0 }

func (b *laneBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.from.Read(p)
	if err == nil {
		return n, nil
	}
	c := b.c
	b.c = nil
	if errors.Is(err, io.EOF) {
		c.release(b.again)
	} else {
		c.drop()
		err = c.because(err)
	}
	b.err = err
	return n, err
}

// Close ends the connection when the body was not read to its end: how much would follow
// is for the upstream to say.
func (b *laneBody) Close() error {
	if b.c != nil {
		b.c.drop()
		b.c, b.err = nil, http.ErrBodyReadAfterClose
	}
	return nil
}
