package enforcetest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Net is a network namespace that lives as long as the test.
type Net struct {
	// Path names the namespace for this process and its children.
	Path string
	file *os.File
}

// NewNet makes a namespace with its loopback up. Without root the test is
// skipped, because nothing of it can be shown then.
func NewNet(t testing.TB) *Net {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces and changes their packet filter")
	}
	n, err := newNet()
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	t.Cleanup(func() { n.file.Close() })
	return n
}

func newNet() (*Net, error) {
	var n *Net
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			return err
		}
		n = &Net{Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()), file: f}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n, err
}

// onOwnThread runs f on a thread that ends with it, so that nothing else can
// wake up in the namespace f entered.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// Do runs f inside the namespace, on a thread of its own; f must not use t.FailNow.
func (n *Net) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Run runs a program inside the namespace and returns what it printed.
func (n *Net) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var out []byte
	err := n.Do(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// Join connects two namespaces with a veth pair and gives each end its
// addresses; both can be used at once.
func Join(t testing.TB, a, b *Net, addrA, addrB []netip.Prefix) {
	t.Helper()
	JoinAs(t, "veth0", a, b, addrA, addrB)
}

// JoinAs is Join with a name for both ends, for a namespace that has several.
func JoinAs(t testing.TB, name string, a, b *Net, addrA, addrB []netip.Prefix) {
	t.Helper()
	err := a.Do(func() error {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name,
			PeerNamespace: netlink.NsFd(int(b.file.Fd()))}
		if err := netlink.LinkAdd(pair); err != nil {
			return fmt.Errorf("add veth pair: %w", err)
		}
		return address(name, addrA)
	})
	if err == nil {
		err = b.Do(func() error { return address(name, addrB) })
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Net{a, b} { // the kernel takes up to a second to believe in a new cable
		Until(t, "veth pair is up", 5*time.Second, func() bool { return n.Do(func() error { return linkUp(name) }) == nil })
	}
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil && link.Attrs().OperState != netlink.OperUp {
		err = errors.New("not up yet")
	}
	return err
}

func address(name string, list []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, p := range list {
		a, err := netlink.ParseAddr(p.String())
		if err != nil {
			return err
		}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD // usable at once
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add address %s: %w", p, err)
		}
	}
	return nil
}
