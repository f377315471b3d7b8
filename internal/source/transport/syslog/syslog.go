// Package syslog receives records that other machines send as syslog: over UDP
// (RFC 5426), TCP (RFC 6587, both framings) and TLS (RFC 5425).
package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/safe"
	"bartizan/internal/source/transport"
)

// Config of a receiver.
type Config struct {
	Listen  string         `yaml:"listen"`    // udp://, tcp:// or tls://ADDRESS:PORT
	Peers   []netip.Prefix `yaml:"peers"`     // who may send; empty: the loopback only
	Cert    string         `yaml:"cert"`      // for tls: PEM files
	Key     string         `yaml:"key"`       //
	Clients string         `yaml:"client_ca"` // for tls: senders need a certificate of this authority (PEM file)
	Conns   int            `yaml:"max_connections"`
	Idle    conf.Duration  `yaml:"idle"` // a connection that is silent for so long is closed
}

// Default takes what the loopback sends.
func Default() Config {
	return Config{Listen: "udp://127.0.0.1:5514", Conns: 256, Idle: conf.Duration(time.Hour)}
}

// New makes a receiver. It opens nothing.
func New(c Config) (transport.Feed, error) {
	u, err := url.Parse(c.Listen)
	if err != nil || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("listen: %q is not like udp://192.0.2.7:514", safe.Clean(c.Listen, 60))
	}
	at, err := netip.ParseAddrPort(u.Host)
	if err != nil || at.Port() == 0 {
		return nil, fmt.Errorf("listen: %q is not an IP address and port", safe.Clean(u.Host, 60))
	}
	r := &Receiver{conf: c, kind: u.Scheme, at: at}
	switch {
	case u.Scheme != "udp" && u.Scheme != "tcp" && u.Scheme != "tls":
		return nil, fmt.Errorf("listen: %q is none of udp, tcp, tls", safe.Clean(u.Scheme, 20))
	case len(c.Peers) == 0 && !at.Addr().IsLoopback():
		return nil, errors.New("peers: must name who may send, because whoever can send can accuse anybody; for example [192.0.2.0/24]")
	case u.Scheme == "tls" && (c.Cert == "" || c.Key == ""):
		return nil, errors.New("cert and key: tls needs both")
	case u.Scheme != "tls" && (c.Cert != "" || c.Key != "" || c.Clients != ""):
		return nil, fmt.Errorf("cert, key, client_ca: only tls:// uses them, not %s://", u.Scheme)
	case c.Conns < 1 || c.Conns > 10000:
		return nil, errors.New("max_connections: lies between 1 and 10000")
	case c.Idle <= 0:
		return nil, errors.New("idle: must be longer than nothing")
	}
	return r, nil
}

// Receiver listens for syslog; it implements transport.Feed.
type Receiver struct {
	conf Config
	kind string
	at   netip.AddrPort

	refused atomic.Int64 // datagrams and connections of nobody's that may send
}

// Forgeable implements transport.Forgeable: the sender's address of a datagram is
// whatever the sender wrote there.
func (r *Receiver) Forgeable() bool { return r.kind == "udp" }

// Run implements transport.Feed.
func (r *Receiver) Run(ctx context.Context, in transport.Intake) error {
	if r.kind == "udp" {
		return r.datagrams(ctx, in)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.at.String())
	if err != nil {
		return fmt.Errorf("listen for syslog: %w", err)
	}
	if r.kind == "tls" {
		c, err := r.tls()
		if err != nil {
			l.Close()
			return err
		}
		l = tls.NewListener(l, c)
	}
	return r.connections(ctx, in, l)
}

func (r *Receiver) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(r.conf.Cert, r.conf.Key)
	if err != nil {
		return nil, fmt.Errorf("cert, key: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if r.conf.Clients != "" {
		text, err := os.ReadFile(r.conf.Clients)
		if err != nil {
			return nil, fmt.Errorf("client_ca: %w", err)
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !c.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("client_ca: no certificate in %s (PEM)", r.conf.Clients)
		}
	}
	return c, nil
}

// allowed says whether an address may send, and counts those that may not.
func (r *Receiver) allowed(a net.Addr, in *transport.Intake) bool {
	ap, err := netip.ParseAddrPort(a.String())
	addr := ap.Addr().Unmap().WithZone("")
	ok := err == nil && len(r.conf.Peers) == 0 && addr.IsLoopback()
	for _, p := range r.conf.Peers {
		ok = ok || err == nil && p.Contains(addr)
	}
	if !ok {
		if n := r.refused.Add(1); n&(n-1) == 0 { // 1, 2, 4, …
			in.Say(r.doing(), fmt.Errorf("%d senders that are not among the peers were refused, the last one %s", n, addr))
		}
	}
	return ok
}

func (r *Receiver) doing() string { return "listens on " + r.kind + "://" + r.at.String() }

// datagrams takes a record per datagram.
func (r *Receiver) datagrams(ctx context.Context, in transport.Intake) error {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", r.at.String())
	if err != nil {
		return fmt.Errorf("listen for syslog: %w", err)
	}
	if u, ok := conn.(*net.UDPConn); ok {
		_ = u.SetReadBuffer(8 << 20) // the kernel gives less where it must; what does not fit is lost, as over any UDP
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	in.Say(r.doing(), nil)
	s := transport.NewStream(&in)
	buf := make([]byte, 64<<10)
	var lines []byte
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("receive syslog: %w", err)
		}
		if !r.allowed(from, &in) {
			continue
		}
		lines = appendRecord(lines[:0], buf[:n])
		if err := s.Take(ctx, lines); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// connections serves senders until ctx ends.
func (r *Receiver) connections(ctx context.Context, in transport.Intake, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	in.Say(r.doing(), nil)
	places := make(chan struct{}, r.conf.Conns)
	for {
		conn, err := l.Accept()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
				return cause
			}
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("receive syslog: %w", err)
		}
		select {
		case places <- struct{}{}:
		default:
			conn.Close()
			in.Say(r.doing(), fmt.Errorf("more than %d connections (max_connections)", r.conf.Conns))
			continue
		}
		if !r.allowed(conn.RemoteAddr(), &in) {
			conn.Close()
			<-places
			continue
		}
		wg.Go(func() {
			defer func() { <-places }()
			if err := r.serve(ctx, &in, conn); err != nil && ctx.Err() == nil {
				cancel(err) // records cannot be stored: the node runs the whole receiver again
			}
		})
	}
}

// serve takes the records of one connection. Its error is that of the receiver of
// records; what is wrong with the connection ends only the connection.
func (r *Receiver) serve(ctx context.Context, in *transport.Intake, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	s := transport.NewStream(in)
	var f framer
	buf := make([]byte, 64<<10)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(r.conf.Idle.D())); err != nil {
			return nil
		}
		n, err := conn.Read(buf)
		lines, bad := f.feed(buf[:n], err != nil)
		if len(lines) > 0 {
			if err := s.Take(ctx, lines); err != nil {
				return err
			}
		}
		if bad != nil {
			in.Say(r.doing(), fmt.Errorf("closed a connection: %w", bad))
			return nil
		}
		if err != nil {
			return nil
		}
	}
}
