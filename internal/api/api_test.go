package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/model"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("BARTIZAN_TEST_ASK"); dir != "" {
		// The stranger of TestStrangersAreTurnedAway.
		_, err := NewClient(dir).Status(context.Background())
		fmt.Println(err)
		return
	}
	goleak.VerifyTestMain(m)
}

// Even when the file's mode is opened by mistake, another user gets nowhere.
func TestStrangersAreTurnedAway(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	var asked atomic.Bool
	n := fakeNode()
	n.Status = func(context.Context) Status { asked.Store(true); return Status{Name: "secret"} }
	c := serveNode(t, n)
	for dir := filepath.Dir(c.where); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(c.where, 0o666); err != nil {
		t.Fatal(err)
	}
	ask := func(uid uint32) string {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{"BARTIZAN_TEST_ASK=" + filepath.Dir(c.where)}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("ask as uid %d: %v: %s", uid, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if out := ask(65534); out == "<nil>" || asked.Load() {
		t.Errorf("another user was answered: %s", out)
	}
	if out := ask(0); out != "<nil>" || !asked.Load() {
		t.Errorf("root was not answered: %s", out)
	}
}

// fakeNode answers what a test wants; the transport is the real one.
func fakeNode() Node {
	return Node{
		Status:    func(context.Context) Status { return Status{Name: "n", State: "ok"} },
		Decisions: func(context.Context, DecisionQuery) ([]Decision, error) { return []Decision{{}}, nil },
		Change: func(_ context.Context, c DecisionChange, who string) (Decision, error) {
			switch c.Op {
			case "remove":
				return Decision{}, fmt.Errorf("%w: no such decision", ErrNotFound)
			case "approve":
				return Decision{}, fmt.Errorf("%w: guardrail says never", ErrRefused)
			case "reject":
				return Decision{}, errors.New("internal")
			}
			return Decision{Decision: model.Decision{Actor: who, Reason: c.Reason}}, nil
		},
		Intel:    func(context.Context, IntelQuery) ([]model.Indicator, error) { return nil, nil },
		Why:      func(_ context.Context, id string) (Why, error) { return Why{Asked: id}, nil },
		Evidence: func(context.Context, string) ([]byte, error) { return []byte{0, 1, 2}, nil },
		Signals:  func(context.Context, SignalQuery) ([]Stored[model.Signal], error) { return nil, nil },
		Hunt:     func(context.Context, HuntRequest) (HuntAnswer, error) { return HuntAnswer{}, nil },
		HuntList: func(context.Context, HuntListRequest) (HuntListAnswer, error) { return HuntListAnswer{}, nil },
		Record:   func(context.Context, AuditRecord) error { return nil },
		Audit:    func(context.Context, AuditQuery) ([]Stored[AuditRecord], error) { return nil, nil },
		Replay:   func(context.Context, ReplayRequest) (Replay, error) { return Replay{}, nil },
		Verified: func(context.Context, Verification, string) (Decision, error) { return Decision{}, nil },
		Lease: func(context.Context, LeaseRequest, string) (Lease, func(string), error) {
			return Lease{}, nil, ErrRefused
		},
		Guard:   fakeGuard(),
		Metrics: http.NotFoundHandler(), Health: http.NotFoundHandler(),
	}
}

// serveNode runs the administration server on a socket of its own.
func serveNode(t *testing.T, n Node) *Client {
	t.Helper()
	dir := t.TempDir()
	l, err := ListenAdmin(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := newServer(t, n)
	go func() { done <- s.ServeAdmin(ctx, l) }()
	c := NewClient(dir)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server ended with %v", err)
		}
	})
	return c
}

func TestAnswersAndErrors(t *testing.T) {
	c := serveNode(t, fakeNode())
	ctx := t.Context()
	if s, err := c.Status(ctx); err != nil || s.Name != "n" {
		t.Fatalf("status %+v, %v", s, err)
	}
	d, err := c.Change(ctx, DecisionChange{Op: "add", Target: "192.0.2.1", Reason: "why not"})
	if err != nil || d.Reason != "why not" {
		t.Fatalf("add: %+v, %v", d, err)
	}
	if want := fmt.Sprintf("uid=%d pid=%d", os.Getuid(), os.Getpid()); d.Actor != want {
		t.Errorf("the node was told %q did it, want %q", d.Actor, want)
	}
	for op, want := range map[string]error{"remove": ErrNotFound, "approve": ErrRefused} {
		if _, err := c.Change(ctx, DecisionChange{Op: op}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", op, err, want)
		}
	}
	if _, err := c.Change(ctx, DecisionChange{Op: "reject"}); err == nil || errors.Is(err, ErrInput) {
		t.Errorf("an internal error came back as %v", err)
	}
	if b, err := c.Evidence(ctx, strings.Repeat("ab", 32)); err != nil || string(b) != "\x00\x01\x02" {
		t.Errorf("evidence %q, %v", b, err)
	}
}

func TestRefusesStrangeRequests(t *testing.T) {
	c := serveNode(t, fakeNode())
	for name, body := range map[string]string{
		"not json":    "hello",
		"unknown key": `{"op":"add","taget":"192.0.2.1"}`,
		"too large":   `{"op":"` + strings.Repeat("a", maxRequest) + `"}`,
	} {
		if _, err := c.do(t.Context(), http.MethodPost, "/v1/decisions", []byte(body)); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v, want a bad request", name, err)
		}
	}
}

func TestNoNode(t *testing.T) {
	dir := t.TempDir()
	_, err := NewClient(dir).Status(t.Context())
	if !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), "bartizan up") {
		t.Errorf("%v, want a hint how to start a node", err)
	}
	// A socket that a dead node left behind is the same to a user, and no obstacle to the next node.
	l, err := ListenAdmin(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.(*checked).SetUnlinkOnClose(false)
	l.Close()
	if _, err := NewClient(dir).Status(t.Context()); !errors.Is(err, ErrNoNode) {
		t.Errorf("a dead socket gives %v", err)
	}
	l, err = ListenAdmin(dir)
	if err != nil {
		t.Fatalf("a dead socket is in the way: %v", err)
	}
	defer l.Close()
	if st, err := os.Stat(filepath.Join(dir, SocketName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v; want 0600", st.Mode(), err)
	}
}

// A lease lives as long as the request that got it.
func TestLeaseEndsWithItsConnection(t *testing.T) {
	n := fakeNode()
	ended := make(chan string, 1)
	n.Lease = func(context.Context, LeaseRequest, string) (Lease, func(string), error) {
		return Lease{Lease: model.Lease{By: "x", Until: time.Now().Add(time.Hour)}}, func(reason string) { ended <- reason }, nil
	}
	c := serveNode(t, n)
	l, end, err := c.Lease(t.Context(), LeaseRequest{Addresses: []string{"198.18.0.1"}})
	if err != nil || l.By != "x" {
		t.Fatalf("lease %+v, %v", l, err)
	}
	select {
	case why := <-ended:
		t.Fatalf("the lease ended while it was held: %s", why)
	default:
	}
	end()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the lease outlives its connection")
	}
}

func TestLeaseEndsWithItsTime(t *testing.T) {
	n := fakeNode()
	ended := make(chan string, 1)
	n.Lease = func(context.Context, LeaseRequest, string) (Lease, func(string), error) {
		return Lease{Lease: model.Lease{Until: time.Now().Add(20 * time.Millisecond)}}, func(reason string) { ended <- reason }, nil
	}
	_, end, err := serveNode(t, n).Lease(t.Context(), LeaseRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if why := <-ended; !strings.Contains(why, "time") {
		t.Errorf("ended because %q", why)
	}
}
