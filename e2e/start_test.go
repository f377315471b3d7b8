package e2e

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// occupy takes a port in the node's namespace, as another program would.
func (l *lab) occupy(t *testing.T, address string) {
	t.Helper()
	var listener net.Listener
	err := l.node.do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatalf("take %s: %v", address, err)
	}
	t.Cleanup(func() { listener.Close() })
}

// refusesToStart runs a node that must not come up, and returns what it said.
func (n *node) refusesToStart(t *testing.T, code int) string {
	t.Helper()
	n.start(t)
	if got := n.wait(t, 20*time.Second); got != code {
		t.Errorf("exit code %d, want %d\n%s%s", got, code, n.out, n.err)
	}
	return n.err.String()
}

// TestTakenPort: strict is an error that names the port, otherwise the second
// port is used and the printed line and the status name it.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.occupy(t, "0.0.0.0:22")
	said := l.prepare(t, withConfig("decoys: {listen: strict}")).refusesToStart(t, 3)
	contains(t, "the error", said, "decoy ssh", "port 22 is taken", "strict")
	if s := l.node.must(t, "ss", "-Hltn"); strings.Count(strings.TrimSpace(s), "\n") != 0 {
		t.Errorf("a node that did not start left sockets: %s", s)
	}
	n := l.up(t)
	if p := n.port(t, "ssh"); p != "2222" {
		t.Errorf("ssh listens on %s", p)
	}
	for _, x := range n.status(t).Decoys.Listening {
		if x.Instance == "ssh" && (x.Standard || !strings.Contains(x.Note, "22") || !strings.Contains(x.Note, "second port")) {
			t.Errorf("the status says %+v", x)
		}
	}
	contains(t, "the printed lines", n.out.String(), "2222", "port 22 is taken", "WARNING: decoys listen on every address", "--listen")
	a := l.attacker(t)
	if banner, err := a.send("", "2222", "\r\n"); !strings.HasPrefix(banner, "SSH-2.0-OpenSSH") {
		t.Errorf("on its second port: %q, %v", banner, err)
	}
	n.stop(t)
	// Both ports taken: nothing starts half-way.
	l.occupy(t, "0.0.0.0:2222")
	contains(t, "the error", l.prepare(t).refusesToStart(t, 3), "decoy ssh", "2222", "fallback")
}

// TestListenNarrows: --listen opens nothing elsewhere.
func TestListenNarrows(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.up(t, withArgs("--listen", "127.0.0.1"))
	for line := range strings.Lines(l.node.must(t, "ss", "-Hltn")) {
		if f := strings.Fields(line); len(f) > 3 && !strings.HasPrefix(f[3], "127.0.0.1:") {
			t.Errorf("listens on %s", f[3])
		}
	}
	if strings.Contains(n.out.String(), "WARNING") {
		t.Errorf("warns although it listens on the loopback only: %s", n.out)
	}
	a := l.attacker(t)
	if err := a.knock("", "80"); err == nil {
		t.Error("an outsider reaches a decoy")
	}
	if r := l.node.run(t, 10*time.Second, "curl", "-sSI", "http://127.0.0.1/"); r.code != 0 {
		t.Errorf("from the machine itself: %s", r)
	}
	n.stop(t)
}

// TestSecondNode: a data folder has one node; the second one says who has it
// and leaves the first alone.
func TestSecondNode(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.up(t)
	other := *n
	said := other.refusesToStart(t, 3)
	contains(t, "the error", said, "process "+strconv.Itoa(n.status(t).PID), "data folder")
	if st := n.status(t); st.State == "failed" {
		t.Errorf("the first node is %s", st.State)
	}
	if r := n.cli(t, "status"); r.code > 1 {
		t.Errorf("the first node's socket is gone: %s", r)
	}
	n.stop(t)
	// The folder is free again.
	n.start(t)
	n.awaitReady(t)
	n.stop(t)
}

// TestPersonaIsStable: a node is the same machine after a restart, and another
// node is another one.
func TestPersonaIsStable(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.attacker(t)
	n := l.up(t)
	keys := func() string {
		return a.must(t, "sh", "-c", "ssh-keyscan -T 10 "+node4+" 2>/dev/null | sort")
	}
	need(t, "ssh-keyscan")
	first, host := keys(), n.status(t).Decoys.Host
	if strings.Count(first, "\n") < 2 || host == "" {
		t.Errorf("host keys %q of %q", first, host)
	}
	n.stop(t)
	n.start(t)
	n.awaitReady(t)
	if again := keys(); again != first || n.status(t).Decoys.Host != host {
		t.Errorf("after a restart the host keys are\n%s, were\n%s", again, first)
	}
	n.stop(t)
	other := l.up(t)
	if keys() == first {
		t.Error("another node has the same host keys")
	}
	other.stop(t)
}

// TestWithoutRoot: a node without rights does what it can, and says what it
// cannot and why.
func TestWithoutRoot(t *testing.T) {
	t.Parallel()
	need(t, "setpriv")
	l := newLab(t)
	n := l.prepare(t)
	n.wrap = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	dir := n.data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, dir + "/.."} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	n.start(t)
	st := n.awaitReady(t)
	if st.State != "degraded" && st.State != "failed" {
		t.Errorf("the state is %s", st.State)
	}
	if p := n.port(t, "ssh"); p != "2222" {
		t.Errorf("ssh listens on %s", p)
	}
	contains(t, "the printed lines", n.out.String(), "2222", "CAP_NET_BIND_SERVICE")
	eventually(t, 20*time.Second, "the firewall's state", func() error {
		for _, e := range n.status(t).Enforcers {
			if e.Name == "nft" && e.State == "failed" && (strings.Contains(e.LastError, "root") || strings.Contains(e.LastError, "CAP_NET_ADMIN")) {
				return nil
			}
		}
		return fmt.Errorf("enforcers %+v", n.status(t).Enforcers)
	})
	r := n.cli(t, "status")
	if r.code != 1 {
		t.Errorf("status: %s", r)
	}
	contains(t, "status", r.out, "2222", "CAP_NET_ADMIN")
	a := l.attacker(t)
	if sent, err := a.attackWeb("", n.port(t, "http")); err != nil {
		t.Errorf("after %d requests: %v", sent, err)
	}
	n.awaitSignals(t, a.ip, "secrets.env-file", "web.path-traversal")
	n.stop(t)
}
