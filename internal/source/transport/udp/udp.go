// Package udp listens for datagrams that exporters of flows send (NetFlow,
// IPFIX, sFlow). What is sent while the node is away is lost, as with every
// collector: the protocol knows no second try.
package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"bartizan/internal/source"
	"bartizan/internal/source/transport"
)

// Config of a port.
type Config struct {
	Listen string   `yaml:"listen"` // host:port
	From   []string `yaml:"from"`   // prefixes of the exporters; empty: anybody, for a port that a firewall protects
}

// Default has no port.
func Default() Config { return Config{} }

// Feed listens; it implements transport.Feed.
type Feed struct {
	conf Config
	from []netip.Prefix
}

// New makes a feed. It opens nothing.
func New(c Config) (transport.Feed, error) {
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		return nil, fmt.Errorf("listen: %q is not HOST:PORT, for example 0.0.0.0:2055", c.Listen)
	}
	f := &Feed{conf: c}
	for _, s := range c.From {
		p, err := netip.ParsePrefix(s)
		if a, e := netip.ParseAddr(s); err != nil && e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("from: %q is neither an address nor a prefix", s)
		}
		f.from = append(f.from, p)
	}
	return f, nil
}

// Forgeable implements transport.Forgeable: a datagram's sender is whatever the
// sender wrote there.
func (f *Feed) Forgeable() bool { return true }

// Takes implements transport.Picky.
func (f *Feed) Takes(format source.Format) error {
	if _, ok := format.(source.Datagrams); !ok {
		return errors.New("does not come in datagrams; netflow does")
	}
	return nil
}

// Run implements transport.Feed.
func (f *Feed) Run(ctx context.Context, in transport.Intake) error {
	if err := f.Takes(in.Decoder); err != nil {
		return fmt.Errorf("format %s %w", in.Format, err)
	}
	u := transport.UDP{Address: f.conf.Listen, Format: in.Decoder, Opts: in.Options(), Count: in.Count, From: f.from,
		Listening: func(a netip.AddrPort) {
			doing := "listens on UDP " + a.String()
			if len(f.conf.From) > 0 {
				doing += " for " + strings.Join(f.conf.From, ", ")
			}
			in.Say(doing, nil)
		}}
	err := u.Run(ctx, in.Emit)
	if transport.Stopped(ctx, err) {
		return nil
	}
	return err
}
