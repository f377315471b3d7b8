package docker

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
				t.Logf("saw %s call=%+v command=%+v", all[i].Kind, all[i].Call, all[i].Command)
			}
			t.Fatalf("no observation: %s", what)
		}
	}
}

// rig is a decoy on loopback behind the real runner.
type rig struct {
	addr   string
	sink   *collector
	runner *decoy.Runner
	inst   *decoy.Instance
	host   *persona.Persona
}

func start(t testing.TB, c Config, change ...func(*decoy.Limits)) *rig {
	t.Helper()
	svc, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := persona.New([32]byte{7}, time.Now())
	r := &rig{addr: l.Addr().String(), sink: &collector{new: make(chan struct{}, 1)}, host: p}
	r.runner = decoy.NewRunner(r.sink, func(_ string, err error) { t.Errorf("the decoy reports a mistake of its own: %v", err) })
	r.inst = &decoy.Instance{Name: "docker", Service: "docker", Impl: svc, Persona: p, Limits: decoy.DefaultLimits()}
	for _, f := range change {
		f(&r.inst.Limits)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.runner.Serve(ctx, r.inst, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the decoy does not stop")
		}
		if n := r.runner.Stats().Panics; n > 0 {
			t.Errorf("%d panics", n)
		}
	})
	return r
}
