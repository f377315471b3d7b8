package nft

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/enforce"
	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/model"
)

// network is a gateway between a network of hosts and two outside, one of which
// isolated hosts may talk with.
type network struct {
	gateway, inside, outside *enforcetest.Net
	e                        *Enforcer
	book                     *enforce.Book
	receipts                 []model.Receipt
}

func (n *network) apply(t *testing.T) {
	t.Helper()
	if err := n.e.Apply(t.Context(), n.book.Snapshot(), func(r model.Receipt) { n.receipts = append(n.receipts, r) }); err != nil {
		t.Fatal(err)
	}
}

func list(prefixes ...string) (out []netip.Prefix) {
	for _, p := range prefixes {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	needNft(t)
	n := &network{book: enforce.NewBook(), gateway: enforcetest.NewNet(t), inside: enforcetest.NewNet(t), outside: enforcetest.NewNet(t)}
	enforcetest.JoinAs(t, "lan", n.gateway, n.inside, list("10.77.0.1/24", "fd77::1/64"), list("10.77.0.5/24", "10.77.0.6/24", "fd77:0:0:1::5/64"))
	enforcetest.JoinAs(t, "wan", n.gateway, n.outside, list("192.0.2.1/24", "2001:db8::1/64"), list("192.0.2.7/24", "192.0.2.8/24", "2001:db8::7/64", "2001:db8::8/64"))
	n.gateway.Run(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; ip -6 route add fd77:0:0:1::/64 dev lan")
	n.inside.Run(t, "sh", "-c", "ip route add default via 10.77.0.1; ip -6 route add fd77::1 dev lan; ip -6 route add default via fd77::1 src fd77:0:0:1::5")
	n.outside.Run(t, "sh", "-c", "ip route add 10.77.0.0/24 via 192.0.2.1; ip -6 route add fd77::/48 via 2001:db8::1")
	c := Default()
	c.Netns = n.gateway.Path
	c.Isolate.Allow = list("192.0.2.8/32", "2001:db8::8/128")
	e, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	n.e = e
	return n
}

// How long reaches waits: for what should come, as long as a busy machine needs;
// for what should not, a moment.
const (
	patience = 10 * time.Second
	moment   = 400 * time.Millisecond
)

// reaches tries to open a TCP connection.
func reaches(from, to *enforcetest.Net, src, dst string, limit time.Duration) error {
	var l net.Listener
	if err := to.Do(func() (err error) { l, err = net.Listen("tcp", net.JoinHostPort(dst, "0")); return err }); err != nil {
		return errors.Join(errors.New("listen"), err)
	}
	defer l.Close()
	var c net.Conn
	err := from.Do(func() (err error) {
		d := net.Dialer{Timeout: limit, LocalAddr: &net.TCPAddr{IP: netip.MustParseAddr(src).AsSlice()}}
		c, err = d.DialContext(context.Background(), "tcp", l.Addr().String())
		return err
	})
	if err == nil {
		c.Close()
	}
	return err
}

// TestIsolateCutsOffBothWays: on a gateway, an isolated host reaches nothing and
// is reached by nobody, except what it may talk with; its neighbour is not touched.
func TestIsolateCutsOffBothWays(t *testing.T) {
	n := newNetwork(t)
	for _, f := range []struct{ name, host, neighbour, outer, allowed, order string }{
		{"v4", "10.77.0.5", "10.77.0.6", "192.0.2.7", "192.0.2.8", "10.77.0.5/32"},
		{"v6", "fd77:0:0:1::5", "", "2001:db8::7", "2001:db8::8", "fd77:0:0:1::/64"},
	} {
		t.Run(f.name, func(t *testing.T) {
			all := func(outer bool) {
				t.Helper()
				for _, c := range []struct {
					what     string
					from, to *enforcetest.Net
					src, dst string
					want     bool
				}{
					{"the host goes out", n.inside, n.outside, f.host, f.outer, outer},
					{"somebody comes in", n.outside, n.inside, f.outer, f.host, outer},
					{"the host calls who may help it", n.inside, n.outside, f.host, f.allowed, true},
					{"who may help it comes in", n.outside, n.inside, f.allowed, f.host, true},
					{"its neighbour goes out", n.inside, n.outside, f.neighbour, f.outer, true},
				} {
					if c.src == "" {
						continue
					}
					limit := moment
					if c.want {
						limit = patience
					}
					if err := reaches(c.from, c.to, c.src, c.dst, limit); (err == nil) != c.want {
						t.Errorf("%s: %v, want %t", c.what, err, c.want)
					}
				}
			}
			n.apply(t)
			enforcetest.Until(t, "neighbours know each other", 20*time.Second, func() bool {
				return reaches(n.inside, n.outside, f.host, f.outer, moment) == nil && reaches(n.inside, n.outside, f.host, f.allowed, moment) == nil
			})
			all(true)
			n.book.Set(enforcetest.Order(1, f.order, model.Isolate, time.Hour))
			n.apply(t)
			all(false)
			if r := n.receipts[len(n.receipts)-1]; r.Status != model.Applied || !strings.Contains(r.Detail, "2 allowed") {
				t.Errorf("receipt %+v", r)
			}
			if c, err := n.e.Counters(t.Context()); err != nil || c[id(1)].Packets == 0 {
				t.Errorf("counters %v, %v", c, err)
			}
			if drift, err := n.e.Audit(t.Context()); err != nil || drift {
				t.Errorf("audit: %t, %v", drift, err)
			}
			n.book.Delete(id(1))
			n.apply(t)
			all(true)
		})
	}
}

// TestIsolationLimits: who repairs isolated hosts cannot be isolated, and a table
// made with another list is rebuilt.
func TestIsolationLimits(t *testing.T) {
	n := newNetwork(t)
	n.book.Set(enforcetest.Order(1, "192.0.2.8/32", model.Isolate, time.Hour))
	n.book.Set(enforcetest.Order(2, "192.0.2.8/32", model.Block, time.Hour)) // that is another matter
	n.apply(t)
	var got []string
	for _, r := range n.receipts {
		got = append(got, string(r.Status))
		if r.Status == model.Refused && !strings.Contains(r.Detail, "isolate.allow") {
			t.Errorf("%+v", r)
		}
	}
	if strings.Join(got, " ") != "refused applied" {
		t.Errorf("%v", got)
	}
	n.book.Set(enforcetest.Order(3, "10.77.0.5/32", model.Isolate, time.Hour))
	n.apply(t)
	c := n.e.conf
	c.Isolate.Allow = list("192.0.2.7/32")
	e, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	n.e = e
	n.apply(t)
	if err := reaches(n.inside, n.outside, "10.77.0.5", "192.0.2.7", patience); err != nil {
		t.Errorf("what is allowed now: %v", err)
	}
	if reaches(n.inside, n.outside, "10.77.0.5", "192.0.2.8", moment) == nil {
		t.Error("what was allowed before still is")
	}
	for _, bad := range [][]netip.Prefix{{{}}, list("0.0.0.0/0"), make([]netip.Prefix, 65)} {
		c.Isolate.Allow = bad
		if len(bad) == 65 {
			for i := range bad {
				bad[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)
			}
		}
		if c.Validate() == nil {
			t.Errorf("%v is taken", bad[:1])
		}
	}
}
