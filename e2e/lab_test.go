package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The node's address behind every cable. It is not on any cable, so that
// attackers talk from their routed addresses, like anybody from the Internet.
const (
	node4 = "192.0.2.10"
	node6 = "fd00:77::10"
)

// lab is the network around one node: its namespace, and attackers behind
// routed cables.
type lab struct {
	node      *space
	attackers int
	other     string // somebody else's firewall table, as it was
}

// attacker is an outsider in a namespace of its own. Everything started there
// talks from ip (or ip6), an address of the benchmarking (documentation) range.
type attacker struct {
	*space
	ip, ip6 string
}

// newLab makes the node's namespace, with a firewall table of somebody else in
// it that must be the same afterwards.
func newLab(t *testing.T) *lab {
	t.Helper()
	need(t, "ip", "nft")
	l := &lab{node: newSpace(t)}
	l.node.iproute(t, "addr add "+node4+"/32 dev lo", "addr add "+node6+"/128 dev lo nodad")
	eventually(t, 20*time.Second, "the kernel has the route of the lab's address", func() error { // it makes it a moment later
		if r := l.node.run(t, 10*time.Second, "ip", "-6", "route", "show", "table", "local", "dev", "lo"); !strings.Contains(r.out, "local "+node6) {
			return errors.New(r.out)
		}
		return nil
	})
	rules := `table inet others { set s { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 } }
		chain c { type filter hook input priority 0; policy accept; ip saddr @s tcp dport 9 drop comment "not yours"; }
	}`
	if r := l.node.runWith(t, 10*time.Second, strings.NewReader(rules), nil, "nft", "-f", "-"); r.code != 0 {
		t.Fatalf("make a foreign table: %s", r)
	}
	l.other = l.foreign(t)
	return l
}

func (l *lab) foreign(t *testing.T) string {
	t.Helper()
	return l.node.must(t, "nft", "list", "table", "inet", "others")
}

// untouched fails when somebody else's table has changed.
func (l *lab) untouched(t *testing.T) {
	t.Helper()
	if now := l.foreign(t); now != l.other {
		t.Errorf("the firewall table of somebody else was changed from\n%s\nto\n%s", l.other, now)
	}
}

// iproute runs commands of iproute2 in the namespace.
func (s *space) iproute(t *testing.T, lines ...string) {
	t.Helper()
	r := s.runWith(t, 10*time.Second, strings.NewReader(strings.Join(lines, "\n")+"\n"), nil, "ip", "-batch", "-")
	if r.code != 0 {
		t.Fatalf("ip -batch %q: %s", lines, r)
	}
}

// attacker lays a cable to a new namespace and routes one address of each
// family behind it.
func (l *lab) attacker(t *testing.T) *attacker {
	t.Helper()
	l.attackers++
	n := l.attackers
	if n > 250 {
		t.Fatal("a lab has room for 250 attackers")
	}
	a := &attacker{space: newSpace(t), ip: fmt.Sprintf("198.18.%d.66", n), ip6: fmt.Sprintf("2001:db8:0:%x::66", n)}
	cable := fmt.Sprintf("cable%d", n)
	err := l.node.do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: cable}, PeerName: "up0", PeerNamespace: netlink.NsFd(a.ns)})
	})
	if err != nil {
		t.Fatalf("lay cable: %v", err)
	}
	l.node.iproute(t,
		fmt.Sprintf("addr add 10.200.%d.1/30 dev %s", n, cable),
		fmt.Sprintf("addr add fd42:%x::1/64 dev %s nodad", n, cable),
		fmt.Sprintf("link set %s up", cable),
	)
	a.wire(t, n)
	plugged(t, l.node, cable)
	plugged(t, a.space, "up0")
	l.node.iproute(t,
		fmt.Sprintf("route add 198.18.%d.0/24 via 10.200.%d.2", n, n),
		fmt.Sprintf("route add 2001:db8:0:%x::/64 via fd42:%x::2", n, n),
	)
	eventually(t, 20*time.Second, "both ends of the cable are up", func() error {
		return a.reach(node4, node6)
	})
	return a
}

// wire gives the attacker's end its addresses and the way to the node.
func (a *attacker) wire(t *testing.T, n int) {
	t.Helper()
	a.iproute(t,
		fmt.Sprintf("addr add 10.200.%d.2/30 dev up0", n),
		fmt.Sprintf("addr add fd42:%x::2/64 dev up0 nodad", n),
		"link set up0 up",
		fmt.Sprintf("addr add %s/32 dev lo", a.ip),
		fmt.Sprintf("addr add %s/128 dev lo nodad", a.ip6),
		fmt.Sprintf("route add default via 10.200.%d.1 src %s", n, a.ip),
		fmt.Sprintf("route add default via fd42:%x::1 src %s", n, a.ip6),
	)
}

// plugged waits until the kernel has noticed that the cable is in: until then
// questions for IPv6 neighbours are lost, and asked again only after a second.
func plugged(t *testing.T, s *space, device string) {
	t.Helper()
	eventually(t, 20*time.Second, device+" has a carrier", func() error {
		return s.do(func() error {
			dev, err := netlink.LinkByName(device)
			if err == nil && dev.Attrs().OperState != netlink.OperUp {
				err = fmt.Errorf("state %s", dev.Attrs().OperState)
			}
			return err
		})
	})
}

// reach reports whether the kernel would send to the addresses: an IPv6 address
// or link may need a moment.
func (a *attacker) reach(addrs ...string) error {
	return a.do(func() error {
		var errs []error
		for _, s := range addrs {
			fd, err := unix.Socket(family(s), unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			errs = append(errs, unix.Connect(fd, sockaddr(s, 9)), unix.Close(fd))
		}
		return errors.Join(errs...)
	})
}

func family(s string) int {
	if netip.MustParseAddr(s).Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(s string, port int) unix.Sockaddr {
	a := netip.MustParseAddr(s)
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.As16()}
}

// serve accepts connections in the namespace until the test ends.
func (s *space) serve(t *testing.T, address string) {
	t.Helper()
	var l net.Listener
	if err := s.do(func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		t.Fatalf("listen: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

// open makes a TCP connection from an address of the namespace.
func (s *space) open(src, dst, port string) error {
	return s.do(func() error {
		d := net.Dialer{Timeout: 400 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP(src)}}
		c, err := d.Dial("tcp", net.JoinHostPort(dst, port))
		if err != nil {
			return err
		}
		return c.Close()
	})
}
