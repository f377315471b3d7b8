package ssh

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	gossh "golang.org/x/crypto/ssh"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/login"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is one persona for all tests: making its RSA key takes a second.
var host = sync.OnceValues(func() (*persona.Persona, error) {
	st, err := persona.Create(time.Now())
	if err != nil {
		return nil, err
	}
	return persona.FromState(st)
})

// collector is a sink that keeps everything.
type collector struct {
	mu  sync.Mutex
	all []observe.Observation
	new chan struct{}
}

func (c *collector) Emit(_ context.Context, o *observe.Observation) error {
	if err := o.Check(time.Now()); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, *o)
	select {
	case c.new <- struct{}{}:
	default:
	}
	return nil
}

func (c *collector) seen() []observe.Observation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]observe.Observation(nil), c.all...)
}

// wait returns the first observation that want accepts.
func (c *collector) wait(t testing.TB, what string, want func(*observe.Observation) bool) observe.Observation {
	t.Helper()
	end := time.After(10 * time.Second)
	for {
		all := c.seen()
		for i := range all {
			if want(&all[i]) {
				return all[i]
			}
		}
		select {
		case <-c.new:
		case <-end:
			for i := range all {
				t.Logf("saw %+v", brief(&all[i]))
			}
			t.Fatalf("no observation: %s", what)
		}
	}
}

func brief(o *observe.Observation) any {
	switch {
	case o.Auth != nil:
		return *o.Auth
	case o.Command != nil:
		return *o.Command
	case o.File != nil:
		return *o.File
	case o.Fetch != nil:
		return *o.Fetch
	case o.Forward != nil:
		return *o.Forward
	case o.Interaction != nil:
		return o.Interaction.Client
	}
	return o.Kind
}

func (c *collector) count(want func(*observe.Observation) bool) (n int) {
	for _, o := range c.seen() {
		if want(&o) {
			n++
		}
	}
	return n
}

// rig is a decoy on loopback behind the real runner.
type rig struct {
	addr   string
	port   string
	sink   *collector
	runner *decoy.Runner
	inst   *decoy.Instance
	cancel context.CancelFunc
	done   chan error
}

// open lets everybody in at once; most tests are not about guessing.
func open() Config {
	c := Default()
	c.Login = login.Default()
	c.Login.WeakAfter, c.Login.AnyAfter, c.Login.AnySpread = 0, 0, 0
	c.FailDelay = time.Millisecond
	return c
}

func start(t testing.TB, c Config, change ...func(*decoy.Limits)) *rig {
	t.Helper()
	p, err := host()
	if err != nil {
		t.Fatal(err)
	}
	svc, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{addr: l.Addr().String(), sink: &collector{new: make(chan struct{}, 1)}}
	_, r.port, _ = net.SplitHostPort(r.addr)
	r.runner = decoy.NewRunner(r.sink, func(_ string, err error) { t.Errorf("the decoy reports a mistake of its own: %v", err) })
	r.inst = &decoy.Instance{Name: "ssh", Service: "ssh", Impl: svc, Persona: p, Limits: decoy.DefaultLimits()}
	for _, f := range change {
		f(&r.inst.Limits)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan error, 1)
	go func() { r.done <- r.runner.Serve(ctx, r.inst, l) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the decoy, once.
func (r *rig) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	if r.done == nil {
		return
	}
	select {
	case err := <-r.done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the decoy does not stop")
	}
	r.done = nil
	if n := r.runner.Stats().Panics; n > 0 {
		t.Errorf("%d panics", n)
	}
}

// dial logs in with the library's client.
func (r *rig) dial(user, password string) (*gossh.Client, error) {
	return gossh.Dial("tcp", r.addr, &gossh.ClientConfig{
		User: user, Auth: []gossh.AuthMethod{gossh.Password(password)}, HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second,
	})
}

func (r *rig) mustDial(t testing.TB, user, password string) *gossh.Client {
	t.Helper()
	c, err := r.dial(user, password)
	if err != nil {
		t.Fatalf("log in as %s: %v", user, err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Logf("close client: %v", err)
		}
	})
	return c
}

// run executes a command and returns what it prints.
func run(t testing.TB, c *gossh.Client, line string) string {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.CombinedOutput(line)
	var exit *gossh.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %q: %v", line, err)
	}
	return string(out)
}
