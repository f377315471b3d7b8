package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// space is a network namespace without a name: it exists as long as this
// process, or one started in it, so nothing is left behind by a kill.
type space struct{ ns netns.NsHandle }

// newSpace makes an empty namespace with its loopback up.
func newSpace() (*space, error) {
	s := &space{ns: netns.None()}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w (this needs root or CAP_SYS_ADMIN)", err)
		}
		var err error
		if s.ns, err = netns.Get(); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return s, err
}

// here is the namespace of the calling process.
func here() (*space, error) {
	ns, err := netns.Get()
	return &space{ns: ns}, err
}

// spaceOf is the namespace of a running process.
func spaceOf(pid int) (*space, error) {
	ns, err := netns.GetFromPid(pid)
	return &space{ns: ns}, err
}

func (s *space) close() error { return s.ns.Close() }

// do runs fn on a thread of its own inside the namespace.
func (s *space) do(fn func() error) error {
	return onThread(func() error {
		if err := netns.Set(s.ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return fn()
	})
}

// start starts a process inside the namespace; it dies with this one. The
// kernel ties that to the starting thread, so the thread waits for the
// process; wait returns what it ended with.
func (s *space) start(cmd *exec.Cmd) (wait func() error, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- s.do(func() error {
			err := cmd.Start()
			started <- err
			if err != nil {
				return err
			}
			return cmd.Wait()
		})
	}()
	select {
	case err = <-started:
	case err = <-ended: // the namespace could not be entered
	}
	if err != nil {
		return nil, err
	}
	return func() error { return <-ended }, nil
}

// onThread runs fn on a thread that is thrown away afterwards, because fn may
// change the thread's namespace.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- fn()
	}()
	return <-done
}

// link is the cable between the node and its attackers. Attackers have
// addresses of the benchmarking and documentation ranges (RFC 2544, RFC 3849),
// routed behind the cable and not on it, like anybody from the Internet.
type link struct {
	node, attackers *space
	nodeName        string
	made            bool
	node4, node6    netip.Addr // how the attackers reach the node
	peer4, peer6    netip.Addr
	net4, net6      netip.Prefix // the attackers' addresses
}

// lanes is how many drills can run beside each other on one machine.
const lanes = 32

// newLink lays a cable and its routes. lane (below lanes) keeps drills apart.
func newLink(node, attackers *space, lane uint8) (_ *link, err error) {
	lane %= lanes
	l := &link{
		node: node, attackers: attackers, nodeName: fmt.Sprintf("bzdrill%d", lane),
		node4: netip.AddrFrom4([4]byte{169, 254, 200, 4*lane + 1}), peer4: netip.AddrFrom4([4]byte{169, 254, 200, 4*lane + 2}),
		node6: v6(0xfdba, 0x7212, uint16(lane), 1), peer6: v6(0xfdba, 0x7212, uint16(lane), 2),
		net4: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + lane/16, lane % 16 * 16, 0}), 20),
		net6: netip.PrefixFrom(v6(0x2001, 0x0db8, uint16(lane), 0), 48),
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("lay cable for the drill: %w", err), l.close())
		}
	}()
	peer := fmt.Sprintf("bzpeer%d", lane)
	if err := node.do(func() error {
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.nodeName}, PeerName: peer, PeerNamespace: netlink.NsFd(attackers.ns)})
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%w: another drill runs, or ended badly: \"ip link del %s\" cleans up", err, l.nodeName)
		}
		return err
	}); err != nil {
		return l, err
	}
	l.made = true
	if err := node.do(func() error { return up(l.nodeName, l.node4, l.node6) }); err != nil {
		return l, err
	}
	if err := attackers.do(func() error { return up(peer, l.peer4, l.peer6) }); err != nil {
		return l, err
	}
	if err := errors.Join(node.do(func() error { return plugged(l.nodeName) }), attackers.do(func() error { return plugged(peer) })); err != nil {
		return l, err
	}
	if err := node.do(func() error {
		return errors.Join(route(l.nodeName, l.net4, l.peer4), route(l.nodeName, l.net6, l.peer6))
	}); err != nil {
		return l, err
	}
	return l, attackers.do(func() error {
		// The attackers' whole ranges are local to them: any address can be used.
		// For IPv6 the kernel wants to be told once more before a socket may.
		if err := os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0); err != nil {
			return fmt.Errorf("let attackers use any IPv6 address: %w", err)
		}
		return errors.Join(local(l.net4), local(l.net6))
	})
}

// settleWithin is how long a new cable may take to carry both families: the
// kernel announces a carrier to IPv6 at most once a second.
const settleWithin = 8 * time.Second

// settle waits until the node can be reached over the cable. A refusal is an
// answer: it knocks at port 1, where nobody listens.
func (l *link) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for _, to := range []netip.Addr{l.node4, l.node6} {
		for {
			var err error
			if serr := l.attackers.do(func() error {
				d := net.Dialer{Timeout: 250 * time.Millisecond}
				var c net.Conn
				if c, err = d.DialContext(ctx, "tcp", netip.AddrPortFrom(to, 1).String()); err == nil {
					return c.Close()
				}
				return nil
			}); serr != nil {
				return serr
			}
			if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("reach the node at %s over the drill's cable: %w; does a firewall drop what comes in on %s?", to, err, l.nodeName)
			}
		}
	}
	return nil
}

// attacker is the n-th attacker's address: its own address of the IPv4 range,
// or one in its own /64 of the IPv6 range.
func (l *link) attacker(n int, six bool) netip.Addr {
	if six {
		b := l.net6.Addr().As16()
		b[6], b[7], b[15] = byte(n>>8), byte(n), 0x66
		return netip.AddrFrom16(b)
	}
	b := l.net4.Addr().As4()
	n = n%4090 + 2
	b[2] += byte(n >> 8)
	b[3] = byte(n)
	return netip.AddrFrom4(b)
}

// close takes the cable away, with the addresses and routes on it.
func (l *link) close() error {
	if !l.made {
		return nil
	}
	return l.node.do(func() error {
		dev, err := netlink.LinkByName(l.nodeName)
		if err != nil {
			return nil // gone with the other end
		}
		return netlink.LinkDel(dev)
	})
}

func v6(groups ...uint16) netip.Addr {
	var b [16]byte
	for i, g := range groups[:min(3, len(groups))] {
		b[2*i], b[2*i+1] = byte(g>>8), byte(g)
	}
	if len(groups) > 3 {
		b[14], b[15] = byte(groups[3]>>8), byte(groups[3])
	}
	return netip.AddrFrom16(b)
}

// up brings a device up with a /30 and a /64. Duplicate address detection is
// off: nobody else is on this cable, and it would take a second.
func up(name string, a4, a6 netip.Addr) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, key := range []string{"accept_dad", "dad_transmits"} { // of the link-local address too: neighbours are asked from it
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+key, []byte("0"), 0); err != nil {
			return fmt.Errorf("switch duplicate address detection off: %w", err)
		}
	}
	if err := netlink.AddrAdd(dev, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a4, 30))}); err != nil {
		return fmt.Errorf("add %s: %w", a4, err)
	}
	if err := netlink.AddrAdd(dev, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a6, 64)), Flags: unix.IFA_F_NODAD}); err != nil {
		return fmt.Errorf("add %s: %w", a6, err)
	}
	return netlink.LinkSetUp(dev)
}

// plugged waits until the kernel has noticed that both ends are up. It looks
// at such events at most once a second, and until then the IPv6 side is deaf:
// a question for a neighbour is lost, and asked again only a second later.
func plugged(name string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); ; <-tick.C {
		dev, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if dev.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("device %s has no carrier after 5 s", name)
		}
	}
}

func route(name string, to netip.Prefix, via netip.Addr) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: dev.Attrs().Index, Dst: ipNet(to), Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("route %s: %w", to, err)
	}
	return nil
}

func local(p netip.Prefix) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipNet(p), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}); err != nil {
		return fmt.Errorf("own %s: %w", p, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
