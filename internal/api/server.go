package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"bartizan/internal/api/limit"
	"bartizan/internal/api/token"
	"bartizan/internal/obs"
)

// maxRequest bounds the body a client may send.
const maxRequest = 2 << 20

// Bounds of the TCP address. The administration socket has none of them: only
// the node's own user and root get there.
const (
	maxConns        = 256
	maxConnsAddress = 32
	addressRate     = 20 // requests a second from one address, before anything is known about the caller
	addressBurst    = 60
	tokenRate       = 50 // requests a second with one token
	tokenBurst      = 100
	failureRate     = 1.0 / 6 // failed authentications a second from one address: ten a minute
	failureBurst    = 10
	bodyTime        = 10 * time.Second // a body may take to arrive
)

// ErrNotFound is what Node functions wrap when the thing asked for does not exist.
var ErrNotFound = errors.New("not found")

// ErrRefused is what Node functions wrap when the answer is a reasoned no.
var ErrRefused = errors.New("refused")

// ErrInput is what Node functions wrap when the request itself is wrong.
var ErrInput = errors.New("bad request")

// ErrDenied is what a Client returns when its token is missing, dead or too small.
var ErrDenied = errors.New("denied")

// Options are what a Server works with. Every field but Names is set.
type Options struct {
	Node    Node
	Tokens  *token.Book
	Log     *slog.Logger
	Metrics *obs.Metrics
	Names   []string // host names callers may use besides IP addresses and localhost
}

// Server answers people and programs, on the administration socket and on TCP.
type Server struct {
	node    Node
	tokens  *token.Book
	log     *slog.Logger
	names   map[string]bool
	metrics metrics

	build   sync.Once // of routes: describing every type costs memory that an idle node need not have
	handler http.Handler

	addresses, callers, failures *limit.Limiter
	lists                        chan struct{} // places of bodies as large as a list
	sessions                     sessions
	streams                      streams
}

// NewServer makes a server; ServeAdmin and ServeRemote run it.
func NewServer(o Options) *Server {
	s := &Server{
		node: o.Node, tokens: o.Tokens, log: o.Log, names: map[string]bool{"localhost": true}, metrics: newMetrics(o.Metrics),
		addresses: limit.New(addressRate, addressBurst), callers: limit.New(tokenRate, tokenBurst), failures: limit.New(failureRate, failureBurst),
		lists: make(chan struct{}, maxListsAtOnce),
	}
	for _, n := range o.Names {
		s.names[n] = true
	}
	return s
}

// routes are the operations, made when the first request comes.
func (s *Server) routes() http.Handler {
	s.build.Do(func() {
		mux := http.NewServeMux()
		s.describe(mux)
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			problem(w, r, http.StatusNotFound, "nothing is here; GET /openapi.json describes what is")
		})
		s.handler = s.whole(mux)
	})
	return s.handler
}

// ServeAdmin answers on the administration socket until ctx ends. Whoever gets
// there (the node's own user, root) may do everything.
func (s *Server) ServeAdmin(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.routes().ServeHTTP(w, r) }))
	mux.HandleFunc("POST /v1/lease", s.lease)
	mux.Handle("GET /metrics", s.node.Metrics)
	mux.Handle("GET /health", s.node.Health)
	srv := &http.Server{
		Handler: s.begin(mux), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			who := "admin socket"
			if u, ok := c.(*net.UnixConn); ok {
				if cred, err := peer(u); err == nil {
					who = fmt.Sprintf("uid=%d pid=%d", cred.Uid, cred.Pid)
				}
			}
			return withCaller(ctx, caller{actor: who, scope: token.Admin, local: true})
		},
	}
	return serve(ctx, srv, l)
}

// ServeRemote answers callers with tokens on a TCP address until ctx ends. A
// nil conf serves without encryption, which is for the loopback only; the
// caller of this function sees to that.
func (s *Server) ServeRemote(ctx context.Context, l net.Listener, conf *tls.Config) error {
	l = limit.Listen(l, maxConns, maxConnsAddress, func() { s.metrics.limited.WithLabelValues("connection").Inc() })
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // one request at a time per connection: the bounds above are then bounds of work
	srv := &http.Server{
		Handler: s.begin(s.door(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.routes().ServeHTTP(w, r) }))),
		// Handshakes of strangers fail all the time; each would be a line.
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: 60 * time.Second,
		MaxHeaderBytes: 16 << 10, Protocols: protocols,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	return serve(ctx, srv, l)
}

// ServePublic answers /metrics, /health and the console page on a TCP address.
// None of it changes anything or shows evidence.
func ServePublic(ctx context.Context, l net.Listener, n Node) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.Metrics)
	mux.Handle("GET /health", n.Health)
	mux.HandleFunc("GET /{$}", consolePage)
	return serve(ctx, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}, l)
}

func serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err := srv.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		stopped <- err
	})
	err := srv.Serve(l)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// Sessions are the addresses that have shown a valid token lately. Decisions
// must not touch them: whoever operates this node would lock themselves out.
func (s *Server) Sessions() []netip.Addr { return s.sessions.live(time.Now()) }

// Streams is the number of open event streams.
func (s *Server) Streams() int { return s.streams.count() }
