// Package decoytest proves that a decoy keeps the contract of package decoy:
// Run sends it the visitors that break servers, over real connections and
// through the real runner. A new decoy's test is a few lines.
//
// It knows no protocol; what a decoy answers is told by its dialogues
// (testdata/*.txtar) and its own tests.
package decoytest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Patience is how long a test waits for what must happen; it passes only when
// something is wrong.
const Patience = 15 * time.Second

// Born is the first start of the test persona.
var Born = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// Persona makes the test persona; it is the same every time and has no keys.
func Persona() *persona.Persona { return persona.New([32]byte{1, 2, 3}, Born) }

// Sink keeps all observations, and fails the test for each one that a reader
// behind the trust boundary would refuse.
type Sink struct {
	t    testing.TB
	mu   sync.Mutex
	all  []observe.Observation
	news chan struct{} // closed and replaced at every observation
}

// NewSink makes a Sink.
func NewSink(t testing.TB) *Sink { return &Sink{t: t, news: make(chan struct{})} }

// Emit implements decoy.Sink.
func (k *Sink) Emit(_ context.Context, o *observe.Observation) error {
	if err := o.Check(time.Now()); err != nil {
		k.t.Errorf("observation is refused: %v\n%+v", err, o)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, *o)
	close(k.news)
	k.news = make(chan struct{})
	return nil
}

// Seen returns everything so far.
func (k *Sink) Seen() []observe.Observation {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]observe.Observation(nil), k.all...)
}

// Forget drops what was seen: a run of a million visits would keep it all.
func (k *Sink) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = nil
}

// Wait returns what is seen when enough says so; it fails the test when that
// does not happen within Patience.
func (k *Sink) Wait(what string, enough func([]observe.Observation) bool) []observe.Observation {
	k.t.Helper()
	end := time.After(Patience)
	for {
		k.mu.Lock()
		all, news := k.all[:len(k.all):len(k.all)], k.news
		k.mu.Unlock()
		if enough(all) {
			return all
		}
		select {
		case <-news:
		case <-end:
			for i := range all {
				k.t.Logf("seen: %s", Brief(&all[i]))
			}
			k.t.Fatalf("waited %v in vain: %s", Patience, what)
		}
	}
}

// Ends are the ended interactions among observations.
func Ends(all []observe.Observation) (out []observe.Observation) {
	for _, o := range all {
		if o.Interaction != nil && o.Interaction.Ended {
			out = append(out, o)
		}
	}
	return out
}

// Rig is a running decoy.
type Rig struct {
	Runner *decoy.Runner
	Sink   *Sink
	Addr   string

	t      testing.TB
	cancel context.CancelFunc
	served chan error
	told   chan error
	once   sync.Once
}

// Limits are small enough for tests to reach.
func Limits() decoy.Limits {
	l := decoy.DefaultLimits()
	l.Idle, l.Total = 5*time.Second, 20*time.Second
	l.In, l.Out = 1<<20, 1<<20
	return l
}

// Start runs a service behind a listener on loopback until the test ends.
func Start(t testing.TB, svc decoy.Service, p *persona.Persona, limits decoy.Limits) *Rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return StartOn(t, l, svc, p, limits)
}

// StartOn is Start on a listener of the caller's.
func StartOn(t testing.TB, l net.Listener, svc decoy.Service, p *persona.Persona, limits decoy.Limits) *Rig {
	t.Helper()
	sink := NewSink(t)
	ctx, cancel := context.WithCancel(context.Background())
	r := &Rig{
		Sink: sink, Addr: l.Addr().String(), t: t, cancel: cancel, served: make(chan error, 1), told: make(chan error, 1),
		Runner: decoy.NewRunner(sink, func(name string, err error) {
			first, _, _ := strings.Cut(err.Error(), "\n") // the rest is a stack
			t.Logf("fault of decoy %s: %s", name, first)
		}),
	}
	in := &decoy.Instance{Name: "under-test", Service: "test", Impl: svc, Limits: limits, Persona: p}
	go func() { r.told <- r.Runner.Announce(ctx) }()
	go func() { r.served <- r.Runner.Serve(ctx, in, l) }()
	t.Cleanup(r.Stop)
	return r
}

// Stop ends the decoy and fails the test when that takes too long.
func (r *Rig) Stop() {
	r.once.Do(func() {
		r.cancel()
		end := time.After(Patience)
		for _, c := range []chan error{r.served, r.told} {
			select {
			case err := <-c:
				if err != nil {
					r.t.Errorf("the runner ended with %v", err)
				}
			case <-end:
				r.t.Errorf("visits did not end within %v of being told to", Patience)
				return
			}
		}
	})
}

// Dial visits the decoy. Deadlines keep a test from hanging.
func (r *Rig) Dial() *net.TCPConn {
	r.t.Helper()
	c, err := net.DialTimeout("tcp", r.Addr, Patience)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(Patience))
	return c.(*net.TCPConn)
}

// Visit sends data, half-closes, reads until the decoy hangs up, and returns
// what it said.
func (r *Rig) Visit(data []byte) []byte {
	r.t.Helper()
	c := r.Dial()
	defer c.Close()
	go func() { // ends when the connection is closed at the latest
		_, _ = c.Write(data) // the decoy may hang up in the middle
		_ = c.CloseWrite()
	}()
	out, _ := io.ReadAll(c) // a reset is one way to say goodbye
	return out
}

// Quiet waits until n visits have been reported as ended and nobody is left,
// and checks that each was reported once.
func (r *Rig) Quiet(n int) []observe.Observation {
	r.t.Helper()
	r.Sink.Wait("the end of every visit", func(all []observe.Observation) bool { return len(visits(all)) >= n })
	end := time.NewTimer(Patience)
	defer end.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for r.Runner.Stats().Active > 0 {
		select {
		case <-tick.C:
		case <-end.C:
			r.t.Fatalf("%d visits are still active", r.Runner.Stats().Active)
		}
	}
	all := r.Sink.Seen()
	ended := map[model.ULID]int{}
	for _, o := range visits(all) {
		ended[o.Session]++
	}
	if len(ended) != n {
		r.t.Errorf("%d visits were reported, want %d", len(ended), n)
	}
	for id, k := range ended {
		if k != 1 {
			r.t.Errorf("visit %s ended %d times", id, k)
		}
	}
	for i := range all {
		if _, ok := ended[all[i].Session]; !ok && !shedOnly(&all[i]) {
			r.t.Errorf("observation of a visit that was never reported: %s", Brief(&all[i]))
		}
		if want := netip.MustParseAddr("127.0.0.1"); all[i].Remote.Addr() != want {
			r.t.Errorf("visitor %v, want %v", all[i].Remote, want)
		}
	}
	return all
}

// visits are the reports of ended visits that were let in.
func visits(all []observe.Observation) (out []observe.Observation) {
	for _, o := range Ends(all) {
		if !shedOnly(&o) {
			out = append(out, o)
		}
	}
	return out
}

// shedOnly is a report that stands for refused connections and no visit.
func shedOnly(o *observe.Observation) bool {
	return o.Interaction != nil && o.Interaction.CloseError != "" && o.Interaction.Shed > 0
}
