package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestLook(t *testing.T) {
	a, b := newNS(t), newNS(t)
	join(t, a, b, []string{"198.51.100.1/24", "2001:db8:1::1/64"}, []string{"198.51.100.2/24"})
	root := t.TempDir()
	write(t, root+"/etc/resolv.conf", "# comment\nnameserver 127.0.0.53\noptions edns0\n")
	write(t, root+"/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\nnameserver fe80::53%eth0\n")
	var f Facts
	a.do(t, func() error {
		west, err := netlink.LinkByName("west")
		if err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		_, any, _ := net.ParseCIDR("203.0.113.0/24")
		_, far, _ := net.ParseCIDR("192.0.2.0/24")
		for _, r := range []*netlink.Route{
			{LinkIndex: west.Attrs().Index, Gw: net.ParseIP("198.51.100.254")},
			{LinkIndex: west.Attrs().Index, Gw: net.ParseIP("2001:db8:1::fe")},
			{LinkIndex: lo.Attrs().Index, Dst: any, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST},
			{LinkIndex: west.Attrs().Index, Dst: far, Gw: net.ParseIP("198.51.100.253"), Table: 100},
		} {
			if err := netlink.RouteAdd(r); err != nil {
				return fmt.Errorf("%v: %w", r, err)
			}
		}
		f, err = look(context.Background(), root)
		return err
	})
	if len(f.Unknown) != 0 {
		t.Errorf("unknown: %v", f.Unknown)
	}
	has := func(what string, list []netip.Addr, want ...string) {
		t.Helper()
		for _, w := range want {
			if !slices.Contains(list, addr(w)) {
				t.Errorf("%s: %s is not in %v", what, w, list)
			}
		}
	}
	has("addresses", f.Addresses, "127.0.0.1", "::1", "198.51.100.1", "2001:db8:1::1")
	has("gateways", f.Gateways, "198.51.100.254", "2001:db8:1::fe", "198.51.100.253")
	has("default", f.Default4, "198.51.100.254")
	has("default", f.Default6, "2001:db8:1::fe")
	has("resolvers", f.Resolvers, "127.0.0.53", "192.0.2.53", "fe80::53")
	for _, w := range []string{"198.51.100.0/24", "2001:db8:1::/64"} {
		if !slices.Contains(f.OnLink, prefix(w)) {
			t.Errorf("on-link: %s is not in %v", w, f.OnLink)
		}
	}
	if !slices.Contains(f.Local, prefix("203.0.113.0/24")) || slices.Contains(f.OnLink, prefix("192.0.2.0/24")) || slices.Contains(f.Default4, addr("198.51.100.253")) {
		t.Errorf("local %v, on-link %v, default %v", f.Local, f.OnLink, f.Default4)
	}
}

// TestLookSaysWhatItCannotSee: an unreadable part must show up, never look like an empty one.
func TestLookSaysWhatItCannotSee(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no resolv.conf":      {},
		"empty":               {"etc/resolv.conf": "search example.com\n"},
		"broken":              {"etc/resolv.conf": "nameserver ten\n"},
		"stub, asks who":      {"etc/resolv.conf": "nameserver 127.0.0.1\n"},
		"stub, broken source": {"etc/resolv.conf": "nameserver ::1\n", "run/systemd/resolve/resolv.conf": "nameserver 1.2\n"},
	} {
		root := t.TempDir()
		for path, text := range files {
			write(t, filepath.Join(root, path), text)
		}
		f, err := look(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(f.Unknown, func(s string) bool { return strings.HasPrefix(s, "resolvers: ") }) {
			t.Errorf("%s: unknown is %v", name, f.Unknown)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Look(ctx); err == nil {
		t.Error("looked after the end")
	}
	n := newNS(t)
	n.do(t, func() error { // loopback down and bare: nothing to see is not clean
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(lo); err != nil {
			return err
		}
		list, err := netlink.AddrList(lo, netlink.FAMILY_ALL)
		for _, a := range list {
			err = errors.Join(err, netlink.AddrDel(lo, &a))
		}
		if err != nil {
			return err
		}
		f, err := look(context.Background(), t.TempDir())
		if err == nil && !slices.ContainsFunc(f.Unknown, func(s string) bool { return strings.HasPrefix(s, "addresses: ") }) {
			err = fmt.Errorf("unknown is %v, addresses %v", f.Unknown, f.Addresses)
		}
		return err
	})
}

// TestSessionsAndCut connects over a cable, in v4, v4 to a v6 socket, and v6, looks, and cuts one of the peers.
func TestSessionsAndCut(t *testing.T) {
	a, b := newNS(t), newNS(t)
	join(t, a, b, []string{"198.51.100.1/24", "2001:db8:1::1/64"}, []string{"198.51.100.2/24", "198.51.100.3/24", "2001:db8:1::2/64"})
	tracked := false
	a.do(t, func() error {
		cmd := exec.Command("nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in ct state established accept")
		tracked = cmd.Run() == nil
		return nil
	})
	var servers, clients []net.Conn
	t.Cleanup(func() {
		for _, c := range append(servers, clients...) {
			c.Close()
		}
	})
	var both, four net.Listener
	a.do(t, func() (err error) {
		if both, err = net.Listen("tcp", "[::]:7000"); err == nil {
			four, err = net.Listen("tcp4", "0.0.0.0:7001")
		}
		return err
	})
	defer both.Close()
	defer four.Close()
	for _, c := range []struct {
		l        net.Listener
		from, to string
	}{
		{both, "198.51.100.2", "198.51.100.1:7000"}, {both, "198.51.100.2", "198.51.100.1:7000"}, {four, "198.51.100.2", "198.51.100.1:7001"},
		{both, "198.51.100.3", "198.51.100.1:7000"}, {both, "2001:db8:1::2", "[2001:db8:1::1]:7000"},
	} {
		b.do(t, func() error {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.from)}, Timeout: 5 * time.Second}
			conn, err := d.Dial("tcp", c.to)
			if err == nil {
				clients = append(clients, conn)
			}
			return err
		})
		conn, err := c.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, conn)
	}
	var got []Session
	a.do(t, func() (err error) { got, err = Sessions(context.Background()); return err })
	want := []Session{{7000, addr("198.51.100.2"), 2}, {7000, addr("198.51.100.3"), 1}, {7000, addr("2001:db8:1::2"), 1}, {7001, addr("198.51.100.2"), 1}}
	if !slices.Equal(got, want) {
		t.Fatalf("sessions %v, want %v", got, want)
	}
	var cut Cutting
	a.do(t, func() (err error) { cut, err = Cut(context.Background(), prefix("198.51.100.2/32")); return err })
	if cut.Sockets != 3 || (tracked && cut.Flows != 3) {
		t.Errorf("cut %+v, want 3 each (tracking: %v)", cut, tracked)
	}
	for i, c := range servers {
		patience := 20 * time.Second // with the news that it is cut; a moment shows that nothing comes
		if i >= 3 {
			patience = 50 * time.Millisecond
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, err := c.Read(make([]byte, 1))
		if alive := errors.Is(err, os.ErrDeadlineExceeded); alive != (i >= 3) {
			t.Errorf("connection %d from %s: %v", i, c.RemoteAddr(), err)
		}
	}
	a.do(t, func() (err error) { cut, err = Cut(context.Background(), prefix("2001:db8:1::/64")); return err })
	if cut.Sockets != 1 {
		t.Errorf("cut %+v of the /64, want one socket", cut)
	}
	a.do(t, func() (err error) { got, err = Sessions(context.Background()); return err })
	if !slices.Equal(got, want[1:2]) {
		t.Errorf("left are %v, want %v", got, want[1:2])
	}
}

func TestCutRefusesTheWorld(t *testing.T) {
	for _, s := range []string{"0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/3", "::ffff:0:0/96"} {
		if _, err := Cut(t.Context(), prefix(s)); err == nil {
			t.Errorf("cut %s", s)
		}
	}
	if _, err := Cut(t.Context(), netip.Prefix{}); err == nil {
		t.Error("cut nothing")
	}
}

// TestAdministration starts a process named sshd on an odd port and connects to it.
func TestAdministration(t *testing.T) {
	a, b := newNS(t), newNS(t)
	join(t, a, b, []string{"198.51.100.1/24"}, []string{"198.51.100.2/24"})
	raw, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sshd")
	if err := os.WriteFile(path, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = []string{fakeServerEnv + "=198.51.100.1:2022"}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.do(t, cmd.Start) // the child is in the thread's namespace
	defer func() { in.Close(); _ = cmd.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	var conn net.Conn
	b.do(t, func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", "198.51.100.1:2022")
		return err
	})
	defer conn.Close()
	var got Admin
	a.do(t, func() (err error) { got, err = Administration(context.Background(), 8443); return err })
	if !slices.Equal(got.Ports, []uint16{2022, 8443}) || !slices.Contains(got.Remotes, addr("198.51.100.2")) {
		t.Errorf("%+v", got)
	}
}

func TestOwnSession(t *testing.T) {
	proc := t.TempDir()
	write(t, proc+"/30/stat", "30 (a) b (c)) S 20 1 1")
	write(t, proc+"/30/environ", "A=B\x00SSH_CONNECTIONS=1.1.1.1\x00")
	write(t, proc+"/20/stat", "20 (bash) S 10 1 1")
	write(t, proc+"/20/environ", "HOME=/\x00SSH_CONNECTION=2001:db8::7 4242 2001:db8::1 22\x00TERM=x")
	write(t, proc+"/10/stat", "10 (sshd) S 1 1 1")
	write(t, proc+"/10/environ", "SSH_CONNECTION=::ffff:192.0.2.9 1 2 3\x00")
	write(t, proc+"/1/stat", "1 (init) S 0 1 1")
	got, err := ancestorRemotes(proc, 30)
	if want := []netip.Addr{addr("2001:db8::7"), addr("192.0.2.9")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if err := os.Remove(proc + "/10/stat"); err != nil {
		t.Fatal(err)
	}
	if _, err := ancestorRemotes(proc, 30); err == nil {
		t.Error("a chain that breaks off is not reported")
	}
	write(t, proc+"/10/stat", "10 (loop) S 30 1 1")
	if got, err := ancestorRemotes(proc, 30); err != nil || len(got) > 2*ancestorsMax {
		t.Errorf("a chain in a circle: %d, %v", len(got), err)
	}
}

func TestWatch(t *testing.T) {
	n := newNS(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, ended := make(chan struct{}, 100), make(chan error, 1)
	watcher := newNS(t)
	join(t, watcher, n, []string{"198.51.100.1/24"}, []string{"198.51.100.2/24"})
	go func() {
		watcher.jobs <- func() { ended <- Watch(ctx, func() { seen <- struct{}{} }) }
	}()
	// The watcher's thread is busy, so the change comes from the other end: a cable that loses its carrier.
	deadline := time.After(8 * time.Second)
	up := true
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; {
		n.do(t, func() error {
			link, err := netlink.LinkByName("east")
			if err != nil {
				return err
			}
			if up = !up; up {
				return netlink.LinkSetUp(link)
			}
			return netlink.LinkSetDown(link)
		})
		select {
		case <-seen:
			done = true
		case <-deadline:
			t.Fatal("no change seen")
		case <-tick.C: // the watcher may not have been listening yet
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func FuzzNameservers(f *testing.F) {
	f.Add("nameserver 1.2.3.4\n")
	f.Add("nameserver fe80::1%eth0 x\nnameserver\n;nameserver 1.1.1.1")
	f.Add("nameserver ::ffff:1.2.3.4")
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := parseNameservers(strings.NewReader(text))
		if len(list) > resolverMax {
			t.Fatalf("%d", len(list))
		}
		for _, a := range list {
			if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
				t.Fatalf("%v", a)
			}
		}
	})
}

func FuzzDiag(f *testing.F) {
	f.Add(make([]byte, diagMsgLen))
	f.Add(append([]byte{unix.AF_INET}, make([]byte, diagMsgLen)...))
	f.Add(append([]byte{unix.AF_INET6, 1, 2}, make([]byte, 200)...))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, _, _, ok := parseDiag(raw)
		if ok && (!c.Remote.Addr().IsValid() || c.Remote.Addr().Is4In6()) {
			t.Fatalf("%v", c)
		}
	})
}

func FuzzProc(f *testing.F) {
	f.Add("1 (a) S 2", "SSH_CONNECTION=1.2.3.4 5")
	f.Add(") )", "SSH_CONNECTION=")
	f.Fuzz(func(t *testing.T, stat, environ string) {
		_ = parentOf(stat)
		if a, ok := sshConnection(environ); ok && (!a.IsValid() || a.Zone() != "") {
			t.Fatal(a)
		}
	})
}
