// Package host reads the machine the node runs on: its addresses, routes, resolvers, and who is connected to it. The
// guardrails need it to never act against the machine itself, its way out, or the person who administers it; the baseline
// of good traffic needs it to tell how much a block would hurt.
//
// What could not be looked at is never reported as clean: it is listed in Unknown, and who decides treats it as a reason
// not to act. Everything here works on the network namespace of the calling thread. The package changes nothing on the
// machine, with the one exception of Cut.
package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Facts is what the machine looks like at a moment.
type Facts struct {
	Time      time.Time      `json:"time"`
	Hostname  string         `json:"hostname"`
	Addresses []netip.Addr   `json:"addresses"` // of all interfaces
	OnLink    []netip.Prefix `json:"on_link"`   // reached without a gateway; host routes to the machine itself are in Local
	Local     []netip.Prefix `json:"local"`     // what the kernel delivers to this machine, loopback included
	Gateways  []netip.Addr   `json:"gateways"`  // next hops of any route
	Default4  []netip.Addr   `json:"default_v4"`
	Default6  []netip.Addr   `json:"default_v6"`
	Resolvers []netip.Addr   `json:"resolvers"` // configured, and the upstreams of a local stub
	Unknown   []string       `json:"unknown"`   // what could not be read, and why
}

// Look reads the facts. The error is only the context's; every part that could not be read is in Unknown.
func Look(ctx context.Context) (Facts, error) {
	return look(ctx, "/")
}

func look(ctx context.Context, root string) (Facts, error) {
	f := Facts{Time: time.Now(), Unknown: []string{}}
	unknown := func(what string, err error) {
		if err != nil {
			f.Unknown = append(f.Unknown, what+": "+err.Error())
		}
	}
	var err error
	f.Hostname, err = os.Hostname()
	unknown("host name", err)
	for _, part := range []struct {
		name string
		read func() error
	}{
		{"addresses", f.readAddresses}, {"routes", f.readRoutes}, {"resolvers", func() error { return f.readResolvers(root) }},
	} {
		if err := ctx.Err(); err != nil {
			return f, fmt.Errorf("look at host: %w", err)
		}
		unknown(part.name, part.read())
	}
	for _, list := range []*[]netip.Addr{&f.Addresses, &f.Gateways, &f.Default4, &f.Default6, &f.Resolvers} {
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
	}
	for _, list := range []*[]netip.Prefix{&f.OnLink, &f.Local} {
		slices.SortFunc(*list, netip.Prefix.Compare)
		*list = slices.Compact(*list)
	}
	return f, nil
}

// again repeats a dump that was disturbed by a change, because half a picture is none.
func again[T any](read func() (T, error)) (T, error) {
	var last T
	var err error
	for range 5 {
		if last, err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return last, err
		}
	}
	return last, fmt.Errorf("tables changed while they were read: %w", err)
}

func (f *Facts) readAddresses() error {
	list, err := again(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	for _, a := range list {
		own, p, ok := prefixOf(a.IPNet)
		if !ok {
			continue
		}
		f.Addresses = append(f.Addresses, own)
		if p.Bits() < own.BitLen() {
			f.OnLink = append(f.OnLink, p)
		}
		if _, peer, ok := prefixOf(a.Peer); ok { // the other end of a point-to-point link
			f.OnLink = append(f.OnLink, peer)
		}
	}
	if err == nil && len(f.Addresses) == 0 {
		return errors.New("no interface has an address")
	}
	return err
}

// prefixOf converts; the address is without a zone and never 4-in-6.
func prefixOf(n *net.IPNet) (netip.Addr, netip.Prefix, bool) {
	if n == nil {
		return netip.Addr{}, netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Addr{}, netip.Prefix{}, false
	}
	if a.Is4In6() && size == 32 {
		a = a.Unmap()
	}
	p, err := a.Prefix(ones)
	return a.Unmap(), p, err == nil
}

func (f *Facts) readRoutes() error {
	var errs error
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := again(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		errs = errors.Join(errs, err)
		for i := range list {
			f.addRoute(&list[i], family)
		}
	}
	return errs
}

func (f *Facts) addRoute(r *netlink.Route, family int) {
	_, dst, hasDst := prefixOf(r.Dst)
	isDefault := !hasDst || dst.Bits() == 0
	var hops []netip.Addr
	add := func(ip net.IP, via netlink.Destination) {
		if a, ok := netip.AddrFromSlice(ip); ok && !a.IsUnspecified() {
			hops = append(hops, a.Unmap())
		}
		if v, ok := via.(*netlink.Via); ok && v != nil {
			if a, ok := netip.AddrFromSlice(v.Addr); ok {
				hops = append(hops, a.Unmap())
			}
		}
	}
	add(r.Gw, r.Via)
	for _, h := range r.MultiPath {
		add(h.Gw, h.Via)
	}
	f.Gateways = append(f.Gateways, hops...)
	switch {
	case isDefault && family == netlink.FAMILY_V4:
		f.Default4 = append(f.Default4, hops...)
	case isDefault:
		f.Default6 = append(f.Default6, hops...)
	case r.Type == unix.RTN_LOCAL:
		f.Local = append(f.Local, dst)
	case r.Type == unix.RTN_UNICAST && len(hops) == 0:
		f.OnLink = append(f.OnLink, dst)
	}
}

const (
	fileMax     = 64 << 10
	resolverMax = 64
)

// readResolvers reads what libc reads, and where that is a stub on this machine, whom the stub asks.
func (f *Facts) readResolvers(root string) error {
	list, err := nameservers(filepath.Join(root, "etc/resolv.conf"))
	f.Resolvers = list
	if err != nil {
		return err
	}
	stub := slices.ContainsFunc(list, netip.Addr.IsLoopback)
	// systemd-resolved writes its upstreams here whether libc uses the stub or not.
	up, err := nameservers(filepath.Join(root, "run/systemd/resolve/resolv.conf"))
	f.Resolvers = append(f.Resolvers, up...)
	switch {
	case len(list) == 0: // resolv.conf(5): then the name server on the local machine is asked
		return errors.New("resolv.conf names none")
	case stub && err != nil:
		return fmt.Errorf("a stub on this machine answers, whom it asks is not known (name its upstreams in the never-list): %w", err)
	}
	return nil
}

func nameservers(path string) ([]netip.Addr, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseNameservers(file)
}

// parseNameservers reads resolv.conf(5).
func parseNameservers(r io.Reader) ([]netip.Addr, error) {
	var out []netip.Addr
	lines := bufio.NewScanner(io.LimitReader(r, fileMax))
	for lines.Scan() && len(out) < resolverMax {
		word := strings.Fields(lines.Text())
		if len(word) < 2 || word[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(word[1])
		if err != nil {
			return out, fmt.Errorf("name server %q: %w", word[1], err)
		}
		out = append(out, a.WithZone("").Unmap())
	}
	return out, lines.Err()
}
