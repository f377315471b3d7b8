package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway/abuse"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/budget"
	"bartizan/internal/gateway/front"
	"bartizan/internal/gateway/intent"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/gateway/price"
	"bartizan/internal/gateway/traffic"
	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
)

// Options are what a gateway is made of.
type Options struct {
	Config Config // completed
	// Format makes the format of an API by name.
	Format func(name string) (wire.Format, error)
	// Inspectors makes all inspectors with their options, and what the guard's engine needs besides.
	Inspectors func(options map[string]conf.Raw) ([]guard.Named, decode.Likeness, error)
	Keys       *keys.Book
	// Audit stores one line; when it fails nothing more is served. It may be called concurrently.
	Audit func(*Record) error
	// Signal takes what was concluded; it does not wait. Nil: nobody wants to know.
	Signal func(model.Signal)
	// Fingerprint identifies a prompt by its words: 16 hex digits. Nil: none.
	Fingerprint func(prompt string) string
	// Known is what is known of hosts and URLs. Nil: nothing.
	Known guard.Known
	// Traffic takes what was said on routes that are recorded, to mask and keep it; it does not wait. Nil: nothing is recorded.
	Traffic func(Said)
	// Secrets are the texts that a route's inspectors know to be secret. Nil: none.
	Secrets func(options map[string]conf.Raw) ([]string, error)
	Mark    func(name string) string // stands for the name of a user that must not be kept. Nil: names are kept
	Denied  *Denied                  // nil: nobody is
	People  *approval.Folder         // where what a person has to approve waits; nil: nobody can be asked, and it is refused
	Budget  *budget.Book             // nil: nothing is limited
	Prices  *price.Table
	Abuse   *abuse.Watch // nil: nobody looks at how models are used
	Keeper  Dialer       // nil: the providers' keys are in this process
	Log     *slog.Logger
}

// Dialer opens connections to the upstream of a route through the process that has
// its key: what is sent there is HTTP/1.1 in plain, without a credential.
type Dialer interface {
	Dial(ctx context.Context, route string) (net.Conn, error)
}

// Gateway serves the routes. Use New; it may be used concurrently.
type Gateway struct {
	opt    Options
	routes []*route // longest prefix first
	broken atomic.Pointer[error]
	busy   atomic.Int64

	throttle *shares
	memories *memories
	tries    *intent.Tries // what was stopped, by client
	people   *people
	drillMu  sync.Mutex
	drills   atomic.Pointer[[]*route]
	buffers  *sync.Pool
	personal *guard.Engine // see userName
}

// route is one upstream with everything that was made of its configuration.
type route struct {
	Route
	name     string
	format   wire.Format
	upstream *url.URL
	header   string
	value    string // of header; the credential
	client   http.RoundTripper
	sides    map[string]*side   // by direction
	demands  guard.Demander     // of schemas that requests name; nil: nobody
	keeps    *guard.Withholding // of secrets in the application's words; nil: nobody
	turns    *guard.Engine      // for turns together; nil: nobody asks
	masks    bool               // something of a request may be masked
	masker   *traffic.Masker    // nil: what is said is not recorded
	drill    *Drill             // nil: a route of the configuration
	asks     bool               // something of an answer may be handed to a person
	runners  []guard.Runner     // inspectors with something that runs beside them
}

// New makes a gateway; the error is the operator's.
func New(o Options) (*Gateway, error) {
	g := &Gateway{opt: o, people: newPeople(o.People, o.Config.Approval), throttle: newShares(), memories: newMemories(), tries: intent.NewTries(), buffers: newBuffers()}
	if o.Mark != nil {
		var err error
		if g.personal, err = personal(o); err != nil {
			return nil, err
		}
	}
	for _, name := range sorted(o.Config.Routes) {
		r, err := newRoute(name, o.Config.Routes[name], o)
		if err != nil {
			return nil, fmt.Errorf("routes.%s: %w", name, err)
		}
		g.routes = append(g.routes, r)
	}
	slices.SortStableFunc(g.routes, func(a, b *route) int { return len(b.Prefix) - len(a.Prefix) })
	return g, nil
}

func newRoute(name string, c Route, o Options) (r *route, err error) {
	r = &route{Route: c, name: name, sides: map[string]*side{}}
	if r.format, err = o.Format(c.Format); err != nil {
		return nil, err
	}
	if r.upstream, err = url.Parse(c.Upstream); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	kept := o.Keeper != nil && c.Credential.IsSet()
	if c.Credential.IsSet() && !kept {
		secret, err := c.Credential.Read()
		if err != nil {
			return nil, fmt.Errorf("credential: %w", err)
		}
		r.header, r.value = c.KeyHeader(), secret.Reveal()
		if r.header == "Authorization" && !strings.Contains(r.value, " ") {
			r.value = "Bearer " + r.value
		}
	}
	all, like, err := o.Inspectors(c.Options)
	if err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	r.runners = runners(r.directions(), all)
	for key, d := range r.directions() {
		r.sides[key] = newSide(key, *d, all, like)
		if o.Known != nil {
			r.sides[key].engine.Inform(o.Known)
		}
		for _, a := range d.Actions {
			r.masks = r.masks || a == string(Mask)
			r.asks = r.asks || a == string(Ask) && (key == "response" || key == "tool_call")
		}
	}
	if c.Record == Masked && o.Traffic != nil {
		if r.masker, err = newMasker(c, all, like, o); err != nil {
			return nil, fmt.Errorf("options: %w", err)
		}
	}
	r.turns, r.keeps = turnEngine(r, all, like), guard.NewWithholding(all)
	for _, in := range all {
		if d, ok := in.Inspector.(guard.Demander); ok && in.Name == schemas {
			r.demands = d
		}
	}
	dialer := &net.Dialer{Timeout: c.Timeouts.Connect.D(), KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: c.Timeouts.Connect.D(), ResponseHeaderTimeout: c.Timeouts.First.D(), IdleConnTimeout: 90 * time.Second,
		MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, // one exchange per connection: HTTP/1.1
	}
	if kept {
		through := func(ctx context.Context, _, _ string) (net.Conn, error) { return o.Keeper.Dial(ctx, name) }
		t.Proxy, t.DialContext, t.DialTLSContext = nil, through, through
	}
	r.client = t
	if l := newLane(&c.Service, r.upstream, t, r.value); l != nil {
		r.client = l
	}
	return r, nil
}

// KeyHeader is the header a provider wants its key in.
func (s *Service) KeyHeader() string {
	switch {
	case s.Header != "":
		return http.CanonicalHeaderKey(s.Header)
	case s.Format == "anthropic":
		return "X-Api-Key"
	case s.Format == "gemini":
		return "X-Goog-Api-Key"
	}
	return "Authorization"
}

// Bounds of the server that nobody needs to choose.
const (
	maxHeader = 64 << 10
	headTime  = 10 * time.Second
	idleTime  = 3 * time.Minute
	drainTime = 10 * time.Second
)

// Serve answers on a listener until ctx ends; exchanges that are under way then
// have a while to end. secure is nil without TLS.
func (g *Gateway) Serve(ctx context.Context, l net.Listener, secure *tls.Config) error {
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	s := &http.Server{Handler: g, ReadHeaderTimeout: headTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(g.opt.Log.Handler(), slog.LevelDebug)}
	beside, stop := context.WithCancel(context.WithoutCancel(ctx)) // exchanges under way still need them
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, r := range g.routes {
		for _, in := range r.runners {
			running.Go(func() { in.Run(beside, g.opt.Log) })
		}
	}
	ended := make(chan error, 1)
	f := front.New(s)
	go func() { ended <- f.Serve(l) }()
	select {
	case err := <-ended:
		_ = f.Close()
		return fmt.Errorf("serve the gateway on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := f.Shutdown(wait); err != nil {
		_ = f.Close() // those that are left see their connection end
	}
	if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the gateway: %w", err)
	}
	for _, r := range g.routes {
		r.closeIdle()
	}
	return nil
}

// closeIdle closes the connections to the upstream that nobody uses.
func (r *route) closeIdle() {
	if c, ok := r.client.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// find is the route of a path, and the path without its prefix.
func (g *Gateway) find(path string) (*route, string) {
	for _, r := range g.drillRoutes() {
		if rest, ok := strings.CutPrefix(path, r.Prefix); ok && strings.HasPrefix(rest, "/") {
			return r, rest
		}
	}
	for _, r := range g.routes {
		if r.Prefix == "/" {
			return r, path
		}
		if rest, ok := strings.CutPrefix(path, r.Prefix); ok && strings.HasPrefix(rest, "/") {
			return r, rest
		}
	}
	return nil, ""
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
