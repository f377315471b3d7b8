package host

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const fakeServerEnv = "HOST_TEST_LISTEN"

// TestMain lets a copy of the test binary play a shell server.
func TestMain(m *testing.M) {
	if addr := os.Getenv(fakeServerEnv); addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go func() {
			for {
				if _, err := l.Accept(); err != nil {
					return
				}
			}
		}()
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// ns is a network namespace: a thread that lives in it and runs what it is given.
type ns struct {
	jobs chan func()
	tid  int
}

func newNS(t *testing.T) *ns {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	n := &ns{jobs: make(chan func())}
	up, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and the namespace with it
		n.tid = unix.Gettid()
		err := unix.Unshare(unix.CLONE_NEWNET)
		up <- err
		if err != nil {
			return
		}
		for job := range n.jobs {
			job()
		}
	}()
	if err := <-up; err != nil {
		t.Skip("cannot make a network namespace: " + err.Error())
	}
	t.Cleanup(func() { close(n.jobs); <-done })
	n.do(t, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n
}

// do runs fn in the namespace and fails the test when it fails.
func (n *ns) do(t *testing.T, fn func() error) {
	t.Helper()
	ch := make(chan error)
	n.jobs <- func() { ch <- fn() }
	if err := <-ch; err != nil {
		t.Fatal(err)
	}
}

// join lays a cable between two namespaces.
func join(t *testing.T, a, b *ns, addrsA, addrsB []string) {
	t.Helper()
	a.do(t, func() error {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "west"}, PeerName: "east"}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		peer, err := netlink.LinkByName("east")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetNsPid(peer, b.tid), address("west", addrsA))
	})
	b.do(t, func() error { return address("east", addrsB) })
}

func address(name string, addrs []string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, s := range addrs {
		addr, err := netlink.ParseAddr(s)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}
