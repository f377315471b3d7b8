package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// node is a running bartizan and its folder.
type node struct {
	*process
	lab    *lab
	dir    string // of its configuration
	data   string
	config string
	args   []string
	binary string   // the program; empty: the one under test
	wrap   []string // command line put in front, such as setpriv
	api    *api.Client
	before string // what listened before it
	began  time.Time
	ready  time.Duration // from start to the first answer with decoys locked in
}

// setting is one change of how a node is started.
type setting func(t *testing.T, n *node)

// withPolicy gives the node a policy: the built-in one with words replaced.
func withPolicy(replace ...string) setting {
	return func(t *testing.T, n *node) {
		t.Helper()
		out, err := exec.Command(program(), "config", "policy").Output()
		if err != nil {
			t.Fatalf("print the built-in policy: %v", err)
		}
		text := string(out)
		for i := 0; i+1 < len(replace); i += 2 {
			if !strings.Contains(text, replace[i]) {
				t.Fatalf("the built-in policy does not contain %q", replace[i])
			}
			text = strings.Replace(text, replace[i], replace[i+1], 1)
		}
		file := filepath.Join(n.dir, "policy.yaml")
		write(t, file, text)
		n.config += "policy: " + file + "\n"
	}
}

// enforcing is the policy that blocks.
func enforcing() setting { return withPolicy("mode: observe", "mode: enforce") }

// withConfig adds lines to the configuration.
func withConfig(yaml string) setting { return func(_ *testing.T, n *node) { n.config += yaml + "\n" } }

// withArgs adds words to the command line.
func withArgs(args ...string) setting {
	return func(_ *testing.T, n *node) { n.args = append(n.args, args...) }
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// shortDir is a temporary folder whose name fits into the address of a unix socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}

// prepare makes a node that has not been started.
func (l *lab) prepare(t *testing.T, settings ...setting) *node {
	t.Helper()
	n := &node{lab: l, dir: shortDir(t)}
	n.data = filepath.Join(n.dir, "data")
	n.config = "name: bastion\n"
	for _, s := range settings {
		s(t, n)
	}
	n.api = api.NewClient(n.data)
	t.Cleanup(n.api.Close)
	return n
}

// up starts a node and waits until its decoys are locked in.
func (l *lab) up(t *testing.T, settings ...setting) *node {
	t.Helper()
	n := l.prepare(t, settings...)
	n.start(t)
	n.awaitReady(t)
	return n
}

// start starts the node's process, for the first time or again.
func (n *node) start(t *testing.T) {
	t.Helper()
	file := filepath.Join(n.dir, "bartizan.yaml")
	write(t, file, n.config)
	words := slices.Concat(n.wrap, []string{cmp.Or(n.binary, program()), "up", "--data", n.data, "--config", file}, n.args)
	if n.began.IsZero() { // later, a killed node's decoys may be dying still
		n.before = n.lab.sockets(t)
	}
	n.began = time.Now()
	n.process = n.lab.node.start(t, exec.Command(words[0], words[1:]...))
}

// awaitReady waits for the first answer that names a decoys' process.
func (n *node) awaitReady(t *testing.T) api.Status {
	t.Helper()
	var st api.Status
	err := until(time.Minute, func() (err error) {
		if !n.alive() {
			return nil
		}
		if st, err = n.api.Status(t.Context()); err == nil && st.Decoys.PID == 0 {
			err = errors.New("the decoys are not running yet")
		}
		return err
	})
	n.ready = time.Since(n.began)
	if err != nil || !n.alive() {
		t.Fatalf("the node did not come up: %v\nstdout: %s\nstderr: %s", err, tail(n.out.String()), tail(n.err.String()))
	}
	return st
}

// stop ends the node as a service manager would and looks for what it left.
func (n *node) stop(t *testing.T) {
	t.Helper()
	st, err := n.api.Status(t.Context())
	if err != nil {
		t.Fatalf("ask before the stop: %v", err)
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop the node: %v", err)
	}
	if code := n.wait(t, 25*time.Second); code != 0 {
		t.Errorf("the node ended with %d\nstderr: %s", code, tail(n.err.String()))
	}
	n.gone(t, st.PID, st.Decoys.PID)
	if strings.Contains(n.err.String(), "panic") || strings.Contains(n.err.String(), "DATA RACE") {
		t.Errorf("the node panicked:\n%s", tail(n.err.String()))
	}
	n.lab.untouched(t)
}

// gone waits until processes no longer exist and nobody listens any more.
func (n *node) gone(t *testing.T, pids ...int) {
	t.Helper()
	eventually(t, 20*time.Second, "its processes and sockets are gone", func() error {
		for _, pid := range pids {
			if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && !strings.Contains(string(b), ") Z ") {
				return fmt.Errorf("process %d still runs: %.60s", pid, b)
			}
		}
		if now := n.lab.sockets(t); now != n.before {
			return fmt.Errorf("sockets still listen:\n%s", now)
		}
		return nil
	})
}

// sockets lists what listens in the node's namespace.
func (l *lab) sockets(t *testing.T) string {
	t.Helper()
	lines := slices.Sorted(strings.Lines(l.node.must(t, "ss", "-Hltn")))
	return strings.Join(lines, "")
}

func (n *node) status(t *testing.T) api.Status {
	t.Helper()
	st, err := n.api.Status(t.Context())
	if err != nil {
		t.Fatalf("ask for the status: %v\nstderr: %s", err, tail(n.err.String()))
	}
	return st
}

// port is where an instance listens.
func (n *node) port(t *testing.T, instance string) string {
	t.Helper()
	for _, l := range n.status(t).Decoys.Listening {
		if l.Instance == instance {
			return strconv.Itoa(int(netip.MustParseAddrPort(l.Address).Port()))
		}
	}
	t.Fatalf("the node has no %s decoy", instance)
	return ""
}

// cli runs a verb against the node.
func (n *node) cli(t *testing.T, args ...string) result {
	t.Helper()
	return n.lab.node.run(t, 20*time.Second, cmp.Or(n.binary, program()), append([]string{"--data", n.data}, args...)...)
}

// cliJSON runs a verb with --format json and reads its answer strictly.
func cliJSON[T any](t *testing.T, n *node, args ...string) (v T) {
	t.Helper()
	r := n.cli(t, append(args, "--format", "json")...)
	if r.code != 0 {
		t.Fatalf("bartizan %v: %s", args, r)
	}
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("bartizan %v: %v\n%s", args, err, tail(r.out))
	}
	return v
}

// signals are those about an address.
func (n *node) signals(t *testing.T, addr string) []model.Signal {
	t.Helper()
	list, err := n.api.Signals(t.Context(), api.SignalQuery{Actor: addr})
	if err != nil {
		t.Fatalf("ask for signals: %v", err)
	}
	return list
}

// awaitSignals waits until every kind was signalled about an address. A kind
// that ends with a dot or is "a|b" stands for a family, or for either.
func (n *node) awaitSignals(t *testing.T, addr string, kinds ...string) []model.Signal {
	t.Helper()
	var list []model.Signal
	eventually(t, 20*time.Second, "signals about "+addr, func() error {
		list = n.signals(t, addr)
		var missing []string
		for _, want := range kinds {
			if !slices.ContainsFunc(list, func(s model.Signal) bool { return isKind(s.Kind, want) }) {
				missing = append(missing, want)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("no %v among %v", missing, kindsOf(list))
		}
		return nil
	})
	return list
}

func isKind(kind, want string) bool {
	for w := range strings.SplitSeq(want, "|") {
		if kind == w || strings.HasSuffix(w, ".") && strings.HasPrefix(kind, w) {
			return true
		}
	}
	return false
}

func kindsOf(list []model.Signal) (out []string) {
	for _, s := range list {
		out = append(out, s.Kind)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// evidence collects what is kept of signals, as text.
func (n *node) evidence(t *testing.T, list []model.Signal) string {
	t.Helper()
	var b strings.Builder
	seen := map[string]bool{}
	for _, s := range list {
		for _, e := range s.Evidence {
			if e.Blob == "" || seen[e.Blob] {
				continue
			}
			seen[e.Blob] = true
			raw, err := n.api.Evidence(t.Context(), e.Blob)
			if err != nil {
				t.Errorf("evidence %s of %s: %v", e.Blob, s.Kind, err)
			}
			b.Write(raw)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// lease lifts the reserved-range check for addresses until the test ends.
func (n *node) lease(t *testing.T, blockFor model.Seconds, addrs ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	_, end, err := n.api.Lease(ctx, api.LeaseRequest{Addresses: addrs, For: 300, BlockFor: blockFor})
	if err != nil {
		cancel()
		t.Fatalf("get a lease: %v", err)
	}
	t.Cleanup(func() { end(); cancel() })
}

// decisions are all about an address, the oldest first.
func (n *node) decisions(t *testing.T, addr string) []api.Decision {
	t.Helper()
	list, err := n.api.Decisions(t.Context(), api.DecisionQuery{Target: model.AddrEntity(netip.MustParseAddr(addr)).Value(), All: true})
	if err != nil {
		t.Fatalf("ask for decisions: %v", err)
	}
	slices.SortFunc(list, func(a, b api.Decision) int { return a.ID.Compare(b.ID) })
	return list
}

// awaitBlock waits for an enforced block of an address.
func (n *node) awaitBlock(t *testing.T, addr string) (found api.Decision) {
	t.Helper()
	eventually(t, 20*time.Second, "a block of "+addr, func() error {
		list := n.decisions(t, addr)
		for _, d := range list {
			if !d.DryRun && d.Action == model.Block && d.State != model.StateHeld {
				found = d
				return nil
			}
		}
		return fmt.Errorf("%d decisions on it, none a block in force; signals %v", len(list), kindsOf(n.signals(t, addr)))
	})
	return found
}
