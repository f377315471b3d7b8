package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/api/cert"
	"bartizan/internal/api/token"
	"bartizan/internal/app/gate"
	"bartizan/internal/app/inventory"
	"bartizan/internal/app/people"
	"bartizan/internal/app/recent"
	"bartizan/internal/bus"
	"bartizan/internal/gateway"
	"bartizan/internal/obs"
)

// defaultAPI is where the HTTP API listens unless told otherwise. When
// something else has this port, a free one is taken: nobody chose it.
const defaultAPI = "127.0.0.1:9612"

// APIConfig says where the HTTP API listens, and with which certificate.
type APIConfig struct {
	Listen string   `yaml:"listen"` // address and port; empty: no TCP, only the administration socket
	TLS    string   `yaml:"tls"`    // on, or off, which is for the loopback only
	Cert   string   `yaml:"cert"`   // PEM file with the certificate and its chain; empty: made by the node
	Key    string   `yaml:"key"`    // PEM file with its key
	Names  []string `yaml:"names"`  // host names callers use for this node
}

func (c *Config) checkAPI() (errs []error) {
	bad := func(path []string, format string, args ...any) {
		errs = append(errs, c.wrong(fmt.Errorf(format, args...), path...))
	}
	choice(bad, []string{"api", "tls"}, c.API.TLS, "on", "off")
	if (c.API.Cert == "") != (c.API.Key == "") {
		bad([]string{"api", "cert"}, "a certificate needs its key and the other way round: give api.cert and api.key, or neither")
	}
	if c.API.TLS == "off" && c.API.Cert != "" {
		bad([]string{"api", "cert"}, "a certificate is given and api.tls is off")
	}
	for _, n := range c.API.Names {
		if n == "" || len(n) > 253 || strings.ContainsAny(n, " /:") || n != strings.ToLower(n) {
			bad([]string{"api", "names"}, "%q is not a host name in lower case", obs.Quote([]byte(n), 60))
		}
	}
	if c.API.Listen == "" {
		return errs
	}
	at, err := netip.ParseAddrPort(c.API.Listen)
	switch {
	case err != nil:
		bad([]string{"api", "listen"}, "%q is not an IP address and port, such as %s (empty: none)", obs.Quote([]byte(c.API.Listen), 60), defaultAPI)
	case !at.Addr().Unmap().IsLoopback() && c.API.TLS == "off":
		bad([]string{"api", "listen"}, "%s can be reached from other machines: that needs api.tls: on", at)
	}
	return errs
}

// remote is the HTTP API of a node.
type remote struct {
	node     api.Node
	server   *api.Server
	tokens   *token.Book
	audits   *bus.Publisher[api.AuditRecord]
	listener net.Listener // nil: none
	cert     *cert.Cert   // nil: no TLS
}

// openRemote opens tokens, audit log and, if configured, the TCP address.
func (n *Node) openRemote(ctx context.Context) (*remote, error) {
	r := &remote{node: n.api()}
	kv, err := bus.OpenKV[token.Token](ctx, n.bus, "TOKENS", "api-token", 1, bus.KVOptions[token.Token]{MaxBytes: 4 << 20})
	if err != nil {
		return nil, fmt.Errorf("open tokens: %w", err)
	}
	if r.tokens, err = token.Open(ctx, kv, n.log); err != nil {
		return nil, err
	}
	if r.audits, err = bus.NewPublisher(ctx, n.bus, auditTopic(&n.conf)); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	r.server = api.NewServer(api.Options{Node: r.node, Tokens: r.tokens, Log: n.log, Metrics: n.metrics, Names: n.conf.API.Names})
	if n.conf.API.Listen == "" {
		return r, nil
	}
	if err := n.listenRemote(r); err != nil {
		return nil, err
	}
	n.around.mu.Lock()
	n.around.api = r.server.Sessions
	n.around.mu.Unlock()
	return r, nil
}

// listenRemote opens the TCP address. A bad certificate is the operator's
// mistake and ends the start; without the address the node works, and says so.
func (n *Node) listenRemote(r *remote) (err error) {
	c := n.conf.API
	switch {
	case c.TLS == "off":
	case c.Cert != "":
		if r.cert, err = cert.Load(c.Cert, c.Key, n.log); err != nil {
			return mistake{fmt.Errorf("api.cert: %w", err)}
		}
	default:
		names := slices.Clone(c.Names)
		if at, err := netip.ParseAddrPort(c.Listen); err == nil && !at.Addr().IsUnspecified() {
			names = append(names, at.Addr().String())
		}
		if r.cert, err = cert.Own(n.conf.Data, names, n.started, n.log); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil && c.Listen == defaultAPI {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		n.health.Set("api", obs.StateDegraded, fmt.Sprintf("no API on %s: %v; choose another address with \"api.listen\"", c.Listen, err))
		return nil
	}
	r.listener = l
	n.group.OnStop("api address", func(context.Context) error { l.Close(); return nil })
	n.health.Set("api", obs.StateOK, r.url())
	return nil
}

func (r *remote) url() string {
	if r.cert == nil {
		return "http://" + r.listener.Addr().String()
	}
	return "https://" + r.listener.Addr().String()
}

func (r *remote) serve(ctx context.Context) error {
	if r.cert == nil {
		return r.server.ServeRemote(ctx, r.listener, nil)
	}
	return r.server.ServeRemote(ctx, r.listener, r.cert.TLS())
}

// info is the API's part of the status.
func (r *remote) info() (i api.APIInfo) {
	i.Streams = r.server.Streams()
	now := time.Now()
	for _, t := range r.tokens.List() {
		if t.State(now) == "valid" {
			i.Tokens++
		}
	}
	if r.listener == nil {
		return i
	}
	i.URL = r.url()
	if r.cert != nil {
		i.Fingerprint = r.cert.Fingerprint()
	}
	return i
}

func (n *Node) lastEvent(ctx context.Context, kind string) (uint64, error) {
	switch kind {
	case api.EventSignal:
		return recent.Last(ctx, n.bus, signalTopic(&n.conf))
	case api.EventDecision:
		return recent.Last(ctx, n.bus, ledgerTopic(&n.conf))
	case api.EventReceipt:
		return recent.Last(ctx, n.bus, receiptTopic(&n.conf))
	case api.EventHeld:
		return recent.Last(ctx, n.bus, people.Topic())
	case api.EventExchange:
		return recent.Last(ctx, n.bus, gate.Topic())
	case api.EventTraffic:
		return recent.Last(ctx, n.bus, trafficTopic(&n.conf))
	case api.EventMCP:
		return recent.Last(ctx, n.bus, inventory.Topic())
	}
	return 0, fmt.Errorf("no events of kind %.32q", kind)
}

func (n *Node) followEvents(ctx context.Context, kind string, from uint64, emit func(api.Event) error) error {
	switch kind {
	case api.EventSignal:
		return followAs(ctx, n.bus, signalTopic(&n.conf), kind, from, emit)
	case api.EventDecision:
		return followAs(ctx, n.bus, ledgerTopic(&n.conf), kind, from, emit)
	case api.EventReceipt:
		return followAs(ctx, n.bus, receiptTopic(&n.conf), kind, from, emit)
	case api.EventHeld:
		return followAs(ctx, n.bus, people.Topic(), kind, from, emit)
	case api.EventExchange:
		return bus.Follow(ctx, n.bus, gate.Topic(), bus.From{Seq: from}, func(m bus.Message[gateway.Record]) error {
			b, err := json.Marshal(m.Value.Call())
			if err != nil {
				return err
			}
			return emit(api.Event{Kind: kind, Seq: m.Seq, Data: b})
		})
	case api.EventTraffic:
		return followAs(ctx, n.bus, trafficTopic(&n.conf), kind, from, emit)
	case api.EventMCP:
		return followAs(ctx, n.bus, inventory.Topic(), kind, from, emit)
	}
	return fmt.Errorf("no events of kind %.32q", kind)
}

func followAs[T any](ctx context.Context, b *bus.Bus, t bus.Topic[T], kind string, from uint64, emit func(api.Event) error) error {
	return bus.Follow(ctx, b, t, bus.From{Seq: from}, func(m bus.Message[T]) error {
		data, err := json.Marshal(m.Value)
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		return emit(api.Event{Kind: kind, Seq: m.Seq, Data: data})
	})
}
