package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
)

// UDPScheme begins the name of an input that listens, "udp://0.0.0.0:2055".
const UDPScheme = "udp://"

// UDP listens for datagrams until ctx ends. It implements source.Source.
type UDP struct {
	Address string // host:port
	Format  source.Format
	Opts    source.Options
	From    []netip.Prefix // who may send; empty: anybody
	// Listening, when not nil, is called with the address once datagrams arrive.
	Listening func(netip.AddrPort)
	// Count, when not nil, is told what was read since its last call.
	Count func(source.Counts)

	counts source.Counts
}

// Counts is what Run has read.
func (u *UDP) Counts() source.Counts { return u.counts }

const (
	udpBuffer = 4 << 20 // bytes that the kernel keeps while detectors are busy
	udpIdle   = 250 * time.Millisecond
)

// Run implements source.Source. It ends with ctx's error only.
func (u *UDP) Run(ctx context.Context, emit source.Emit) error {
	f, ok := u.Format.(source.Datagrams)
	if !ok {
		return fmt.Errorf("listen on %s: format %s has no datagrams; netflow has", u.Address, u.Opts.Format)
	}
	addr, err := net.ResolveUDPAddr("udp", strings.TrimPrefix(u.Address, UDPScheme))
	if err != nil {
		return fmt.Errorf("listen on %s: %w", u.Address, err)
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", u.Address, err)
	}
	defer conn.Close()
	_ = conn.SetReadBuffer(udpBuffer) // a smaller one loses datagrams only in bursts
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok && u.Listening != nil {
		u.Listening(a.AddrPort())
	}
	d := &datagrams{conn: conn, d: f.Datagrams(), from: u.From}
	if u.Count != nil {
		u.Opts.After = func(source.Position) error {
			u.Count(d.news)
			d.news = source.Counts{}
			return nil
		}
	}
	u.counts, err = source.ReadRecords(ctx, u.Opts, nil, d, func(ctx context.Context, b *observe.LogBatch) error {
		n := b.Len()
		if err := emit(ctx, b); err != nil {
			return err
		}
		d.news.Emitted += uint64(n)
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// datagrams are the records of a socket.
type datagrams struct {
	conn *net.UDPConn
	d    source.DatagramDecoder
	from []netip.Prefix
	news source.Counts
	buf  [65536]byte
}

// Close implements source.Records.
func (d *datagrams) Close() {}

// Next implements source.Records.
func (d *datagrams) Next(at uint64, b *observe.LogBatch) (int, error) {
	if err := d.conn.SetReadDeadline(time.Now().Add(udpIdle)); err != nil {
		return 0, err
	}
	n, from, err := d.conn.ReadFromUDPAddrPort(d.buf[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if len(d.from) > 0 && !slices.ContainsFunc(d.from, func(p netip.Prefix) bool { return p.Contains(from.Addr()) }) {
		return 0, nil
	}
	d.news.Records++
	if err := d.d.Decode(from, time.Now(), d.buf[:n], at, b); err != nil {
		d.news.Malformed++
		return 0, &source.RecordError{Why: err, Record: d.buf[:min(n, 256)]}
	}
	return 1, nil
}
