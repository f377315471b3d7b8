package decoytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// Option tells the suite about a decoy.
type Option func(*suite)

// Hello is what an ordinary visitor sends first; a request line by default.
// The service should answer it, and must not need anything else to do so.
func Hello(data string) Option { return func(s *suite) { s.hello = []byte(data) } }

// As plays the decoy with another persona than the default one.
func As(p *persona.Persona) Option { return func(s *suite) { s.persona = p } }

// Dialogues is how many dialogues testdata/*.txtar must hold at least.
func Dialogues(n int) Option { return func(s *suite) { s.dialogues = n } }

// minCases is how many cases the suite runs, dialogues not counted. A change
// that drops one has to say so here.
const minCases = 18

type suite struct {
	t         *testing.T
	build     func(testing.TB) decoy.Service
	hello     []byte
	persona   *persona.Persona
	dialogues int
	ran       int
}

// Run proves that the decoys build makes keep the contract.
func Run(t *testing.T, build func(testing.TB) decoy.Service, options ...Option) {
	s := &suite{t: t, build: build, hello: []byte("GET / HTTP/1.0\r\n\r\n"), persona: Persona()}
	for _, o := range options {
		o(s)
	}
	before := goleak.IgnoreCurrent()
	s.hostile()
	s.leaving()
	s.limits()
	s.runner()
	if s.dialogues > 0 {
		s.talk()
	}
	if s.ran < minCases {
		t.Errorf("%d cases ran, at least %d expected", s.ran, minCases)
	}
	goleak.VerifyNone(t, before)
}

func (s *suite) start(t testing.TB, edit func(*decoy.Limits)) *Rig {
	l := Limits()
	if edit != nil {
		edit(&l)
	}
	return Start(t, s.build(t), s.persona, l)
}

func (s *suite) run(name string, f func(t *testing.T)) {
	s.ran++
	s.t.Run(name, f)
}

// hostile input must neither hurt nor be lost count of.
func (s *suite) hostile() {
	s.run("garbage", func(t *testing.T) {
		r := s.start(t, func(l *decoy.Limits) { l.Idle = time.Second })
		gen := rand.New(rand.NewPCG(7, 7))
		const n = 60
		for i := range n {
			data := make([]byte, gen.IntN(3000))
			for j := range data {
				data[j] = byte(gen.Uint32())
			}
			if i%3 == 0 { // an ordinary beginning gets further
				data = append(bytes.Clone(s.hello), data...)
			}
			if i%5 == 0 {
				data = mutate(gen, s.hello)
			}
			r.Visit(data)
		}
		r.Quiet(n)
		s.sound(t, r)
	})
	s.run("byte by byte", func(t *testing.T) {
		r := s.start(t, nil)
		c := r.Dial()
		defer c.Close()
		for i := range s.hello {
			if _, err := c.Write(s.hello[i : i+1]); err != nil {
				break // it has heard enough
			}
		}
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		c.Close()
		r.Quiet(1)
		s.sound(t, r)
	})
	s.run("endless input", func(t *testing.T) {
		s.endless(t, append(bytes.Clone(s.hello), bytes.Repeat([]byte("x y\r\n"), 1000)...))
	})
	s.run("endless line", func(t *testing.T) { s.endless(t, bytes.Repeat([]byte("A"), 8192)) })
	s.run("endless zeros", func(t *testing.T) { s.endless(t, make([]byte, 8192)) })
	s.run("endless requests", func(t *testing.T) { s.endless(t, s.hello) })
	s.run("memory", s.memory)
}

// endless writes until the decoy has had enough.
func (s *suite) endless(t *testing.T, data []byte) {
	const most = 256 << 10
	r := s.start(t, func(l *decoy.Limits) { l.In, l.Idle = most, time.Second })
	c := r.Dial()
	defer c.Close()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
	sent := 0
	for sent < 64*most {
		n, err := c.Write(data)
		sent += n
		if err != nil {
			break
		}
	}
	if sent >= 64*most {
		t.Errorf("took %d bytes, the limit is %d", sent, most)
	}
	c.Close()
	wg.Wait()
	all := r.Quiet(1)
	// One read may go beyond the limit; its size is not ours to know.
	if in := visits(all)[0].Interaction.BytesIn; in > most+1<<20 {
		t.Errorf("%d bytes were taken in, the limit is %d", in, most)
	}
	s.sound(t, r)
}

// memory lets many visitors send a lot and stay.
func (s *suite) memory(t *testing.T) {
	const visitors, each, allowed = 24, 512 << 10, 512 << 10
	r := s.start(t, func(l *decoy.Limits) { l.Transcript = 32 << 10 })
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	chunk := append(bytes.Clone(s.hello), bytes.Repeat([]byte("0123456789abcdef\r\n"), 400)...)
	var wg sync.WaitGroup
	conns := make([]*net.TCPConn, visitors)
	for i := range conns {
		conns[i] = r.Dial()
		wg.Go(func() { _, _ = io.Copy(io.Discard, conns[i]) })
		_ = conns[i].SetWriteDeadline(time.Now().Add(2 * time.Second))
		for n := 0; n < each; n += len(chunk) {
			if _, err := conns[i].Write(chunk); err != nil {
				break
			}
		}
	}
	if after := heap(); after > before+visitors*allowed {
		t.Errorf("%d visitors occupy %d KiB each, at most %d", visitors, (after-before)/visitors>>10, allowed>>10)
	}
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
	r.Quiet(visitors)
}

// leaving in every way there is.
func (s *suite) leaving() {
	s.run("half close", func(t *testing.T) {
		r := s.start(t, nil)
		r.Visit(nil)
		r.Visit(s.hello)
		r.Quiet(2)
		s.sound(t, r)
	})
	s.run("close in mid-word", func(t *testing.T) {
		r := s.start(t, nil)
		n := 0
		for i := 0; i <= len(s.hello); i += 1 + len(s.hello)/40 {
			c := r.Dial()
			_, _ = c.Write(s.hello[:i]) // nothing to say about a decoy that is gone
			c.Close()
			n++
		}
		r.Quiet(n)
		s.sound(t, r)
	})
	s.run("reset", func(t *testing.T) {
		r := s.start(t, nil)
		for i := range 20 {
			c := r.Dial()
			_ = c.SetLinger(0)
			if i%2 == 0 {
				_, _ = c.Write(s.hello)
			}
			c.Close()
		}
		// A connection may be reset before it is accepted; all that were let in have ended.
		s.settle(t, r)
		s.sound(t, r)
	})
	s.run("stop", func(t *testing.T) {
		r := s.start(t, func(l *decoy.Limits) { l.Idle, l.Total = time.Minute, time.Minute })
		const n = 20
		var conns []*net.TCPConn
		for i := range n {
			c := r.Dial()
			defer c.Close()
			_, _ = c.Write(s.hello[:len(s.hello)*(i%3)/2])
			conns = append(conns, c)
		}
		s.admitted(t, r, n)
		begin := time.Now()
		r.Stop()
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("stopping took %v", d)
		}
		for _, c := range conns {
			_, _ = io.Copy(io.Discard, c) // ends: the decoy has hung up
		}
		if got := len(visits(r.Sink.Seen())); got != n {
			t.Errorf("%d of %d visits were reported when the decoy stopped", got, n)
		}
	})
}

// limits hold whatever the service does.
func (s *suite) limits() {
	s.run("idle", func(t *testing.T) {
		r := s.start(t, func(l *decoy.Limits) { l.Idle = 150 * time.Millisecond })
		c := r.Dial()
		defer c.Close()
		begin := time.Now()
		_, _ = io.Copy(io.Discard, c)
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("a silent visitor was kept for %v", d)
		}
		r.Quiet(1)
	})
	s.run("total", func(t *testing.T) {
		r := s.start(t, func(l *decoy.Limits) { l.Total = 300 * time.Millisecond })
		c := r.Dial()
		defer c.Close()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		begin := time.Now()
		for time.Since(begin) < Patience {
			<-tick.C
			if _, err := c.Write(s.hello[:1]); err != nil {
				break
			}
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("a chatty visitor was kept for %v", d)
		}
		wg.Wait()
		r.Quiet(1)
	})
	s.run("output", func(t *testing.T) {
		const most = 2000
		r := s.start(t, func(l *decoy.Limits) { l.Out, l.Idle = most, time.Second })
		if got := r.Visit(bytes.Repeat(s.hello, 200)); len(got) > most {
			t.Errorf("%d bytes were answered, the limit is %d", len(got), most)
		}
		r.Quiet(1)
		s.sound(t, r)
	})
	s.run("observations", func(t *testing.T) {
		const most = 3
		r := s.start(t, func(l *decoy.Limits) { l.Events, l.Idle = most, time.Second })
		r.Visit(bytes.Repeat(s.hello, 50))
		n := 0
		for _, o := range r.Quiet(1) {
			if o.Kind != observe.KindInteraction {
				n++
			}
		}
		if n > most {
			t.Errorf("%d observations of one visit, the limit is %d", n, most)
		}
	})
	s.run("connections", func(t *testing.T) {
		s.crowd(t, func(l *decoy.Limits, n int) { l.PerSource = n })
		s.crowd(t, func(l *decoy.Limits, n int) { l.Connections = n })
	})
}

// crowd offers twice what is allowed; what is not served is counted, and told.
func (s *suite) crowd(t *testing.T, edit func(*decoy.Limits, int)) {
	const allowed, offered = 4, 8
	r := s.start(t, func(l *decoy.Limits) { edit(l, allowed) })
	var conns []*net.TCPConn
	for range offered {
		// The reset of a refused connection may come before Dial returns.
		if c, err := net.DialTimeout("tcp", r.Addr, Patience); err == nil {
			conns = append(conns, c.(*net.TCPConn))
		}
	}
	s.admitted(t, r, offered)
	// A connection is counted as accepted before it is let in or refused.
	until(t, "connections above the limit to be refused", func() bool { return r.Runner.Stats().Shed >= offered-allowed })
	if st := r.Runner.Stats(); st.Active > allowed {
		t.Errorf("%+v with %d allowed of %d", st, allowed, offered)
	}
	for _, c := range conns {
		c.Close()
	}
	shed := int(r.Runner.Stats().Shed)
	r.Sink.Wait("every refused connection to be told", func(all []observe.Observation) bool {
		told := 0
		for _, o := range Ends(all) {
			told += o.Interaction.Shed
		}
		return told == shed
	})
	r.Quiet(offered - shed)
}

// runner checks what surrounds the service.
func (s *suite) runner() {
	s.run("panic", func(t *testing.T) {
		bad := &faulty{Service: s.build(t)}
		bad.left.Store(3)
		r := Start(t, bad, s.persona, Limits())
		for range 5 {
			r.Visit(s.hello)
		}
		r.Quiet(5)
		if st := r.Runner.Stats(); st.Panics != 3 || st.Errors != 3 {
			t.Errorf("%+v, want three panics that count as errors", st)
		}
	})
	s.run("accounts", func(t *testing.T) {
		r := s.start(t, func(l *decoy.Limits) { l.Idle = 2 * time.Second })
		got := r.Visit(s.hello)
		end := visits(r.Quiet(1))[0].Interaction
		if end.BytesOut != int64(len(got)) {
			t.Errorf("%d bytes out are reported, %d were received", end.BytesOut, len(got))
		}
		if end.BytesIn > int64(len(s.hello)) || end.BytesIn == 0 || !bytes.HasPrefix(s.hello, end.First) {
			t.Errorf("%d bytes in, beginning %q; %d were sent, beginning %q", end.BytesIn, end.First, len(s.hello), s.hello[:min(16, len(s.hello))])
		}
		if end.Duration < 0 || end.Duration > Patience.Seconds() {
			t.Errorf("a duration of %v s", end.Duration)
		}
	})
}

// sound checks that nothing so far was our own fault.
func (s *suite) sound(t *testing.T, r *Rig) {
	t.Helper()
	if st := r.Runner.Stats(); st.Panics+st.Errors > 0 {
		t.Errorf("%d panics, %d errors of ours", st.Panics, st.Errors)
	}
}

// admitted waits until the runner has seen n connections.
func (s *suite) admitted(t *testing.T, r *Rig, n int) {
	t.Helper()
	until(t, "connections to be accepted", func() bool { return r.Runner.Stats().Accepted >= int64(n) })
}

// settle waits until everybody who was let in has left and been reported.
func (s *suite) settle(t *testing.T, r *Rig) {
	t.Helper()
	until(t, "visits to end", func() bool {
		st := r.Runner.Stats()
		return st.Active == 0 && int(st.Accepted-st.Shed) == len(visits(r.Sink.Seen()))
	})
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(Patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %v in vain for %s", Patience, what)
		}
	}
}

// faulty panics for its first visitors.
type faulty struct {
	decoy.Service
	left atomic.Int32
}

func (f *faulty) Serve(ctx context.Context, s *decoy.Session) error {
	if f.left.Add(-1) >= 0 {
		panic(errors.New("made for the test"))
	}
	return f.Service.Serve(ctx, s)
}

// mutate changes a few bytes of a good beginning.
func mutate(gen *rand.Rand, data []byte) []byte {
	out := bytes.Clone(data)
	for range 1 + gen.IntN(6) {
		switch i := gen.IntN(len(out) + 1); gen.IntN(3) {
		case 0:
			out = append(out[:i], append([]byte{byte(gen.Uint32())}, out[i:]...)...)
		case 1:
			out = append(out[:i], out[min(i+1, len(out)):]...)
		default:
			if i < len(out) {
				out[i] = byte(gen.Uint32())
			}
		}
	}
	return out
}

// Brief is an observation without its evidence, for messages.
func Brief(o *observe.Observation) string {
	c := *o
	c.Evidence = nil
	b, err := json.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(b[:min(len(b), 600)])
}
