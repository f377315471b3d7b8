// Package front serves the ordinary requests of a reverse proxy on the goroutine of
// their connection. net/http starts another one for each request, which reads from the
// connection to learn when the client leaves: on a short exchange that goroutine and the
// threads it wakes are a tenth of what the whole costs. Here a client is watched only
// when its answer takes a while.
//
// What is served here is narrow on purpose: POST in HTTP/1.1, one Content-Length, a head
// of visible characters that has come whole (see plain). The first request that is
// anything else goes to net/http, as it came and with everything that follows on its
// connection. So whatever could be read in two ways is read by net/http alone, and
// requests are parsed by net/http here too.
package front

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves connections beside a http.Server, whose Handler and bounds it has. Use
// New; Serve is called once.
type Server struct {
	http    *http.Server
	over    *over
	base    context.Context //nolint:containedctx // of every request
	end     context.CancelFunc
	pool    sync.Pool // buffers of what is written
	closing atomic.Bool

	mu    sync.Mutex
	conns map[*conn]struct{}
	l     net.Listener
	wg    sync.WaitGroup
}

// New makes a server beside another one, which nobody else starts or stops.
func New(h *http.Server) *Server {
	s := &Server{http: h, conns: map[*conn]struct{}{}, over: newOver()}
	s.base, s.end = context.WithCancel(context.Background())
	s.pool.New = func() any { b := make([]byte, 0, bufferSize); return &b }
	return s
}

// Serve answers on a listener until Shutdown or Close; then the error is
// http.ErrServerClosed. TLS is spoken on connections of tls.NewListener.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.l = l
	closing := s.closing.Load()
	s.mu.Unlock()
	if closing {
		l.Close()
		return http.ErrServerClosed
	}
	s.over.at = l.Addr()
	ended := make(chan struct{})
	go func() { _ = s.http.Serve(s.over); close(ended) }() // it ends when over does, and has nothing else to say
	err := s.accept(l)
	if s.closing.Load() {
		err = http.ErrServerClosed
	} else {
		s.over.Close()
	}
	<-ended
	return err
}

// accept takes connections. As in net/http, an error that passes is waited for.
func (s *Server) accept(l net.Listener) error {
	var pause time.Duration
	for {
		c, err := l.Accept()
		if err != nil {
			var passing interface{ Temporary() bool }
			if s.closing.Load() || !errors.As(err, &passing) || !passing.Temporary() {
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.base.Done():
			}
			continue
		}
		pause = 0
		s.start(c)
	}
}

// start serves a connection on a goroutine of its own.
func (s *Server) start(rwc net.Conn) {
	c := newConn(s, rwc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		rwc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.wg.Go(func() {
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// Shutdown ends the server: no connection is taken any more, those that are idle are
// closed, and exchanges under way may end until ctx does.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing.Store(true)
	if s.l != nil {
		s.l.Close()
	}
	for c := range s.conns {
		if c.state.CompareAndSwap(idle, closed) {
			c.rwc.Close()
		}
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { s.wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

// Close ends the server and every connection at once. It waits for those that are served.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closing.Store(true)
	if s.l != nil {
		s.l.Close()
	}
	s.end()
	for c := range s.conns {
		c.rwc.Close()
	}
	s.mu.Unlock()
	err := s.http.Close()
	s.wg.Wait()
	return err
}

// over is the listener of the http.Server: connections that are not served here.
type over struct {
	at    net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newOver() *over { return &over{conns: make(chan net.Conn), done: make(chan struct{})} }

// give hands a connection over; it is closed when nobody takes it any more.
func (o *over) give(c net.Conn) {
	select {
	case o.conns <- c:
	case <-o.done:
		c.Close()
	}
}

// Accept implements net.Listener.
func (o *over) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (o *over) Close() error {
	o.once.Do(func() { close(o.done) })
	return nil
}

// Addr implements net.Listener.
func (o *over) Addr() net.Addr { return o.at }
