package decoy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// The runner under the suite that every decoy passes.
func TestSuite(t *testing.T) {
	decoytest.Run(t, func(testing.TB) decoy.Service { return echo{} }, decoytest.Hello("hello\n"))
}

// Twice the load there is room for: every connection is served or counted as
// shed, and every shed one is told to the reader.
func TestOverloadIsAccounted(t *testing.T) {
	const places, offered, waves = 20, 40, 15
	l := decoytest.Limits()
	l.Connections = places
	r := decoytest.Start(t, echo{}, decoytest.Persona(), l)
	served, refused := 0, 0
	for range waves {
		var up sync.WaitGroup
		var in, out atomic.Int64
		leave := make(chan struct{})
		for range offered {
			up.Add(1)
			go func() {
				ok := ask(r.Addr, func(answered bool) {
					if answered {
						in.Add(1)
					} else {
						out.Add(1)
					}
					up.Done()
					<-leave
				})
				_ = ok
			}()
		}
		up.Wait()
		close(leave)
		if in.Load() > places {
			t.Errorf("%d of %d visitors were inside, there are %d places", in.Load(), offered, places)
		}
		served, refused = served+int(in.Load()), refused+int(out.Load())
		wait(t, "the house to empty", func() bool { return r.Runner.Stats().Active == 0 })
	}
	if served+refused != waves*offered || refused == 0 {
		t.Fatalf("%d served, %d refused of %d: the test does not overload", served, refused, waves*offered)
	}
	st := r.Runner.Stats()
	if st.Accepted != waves*offered || st.Shed != int64(refused) {
		t.Errorf("%+v; the visitors counted %d served and %d refused", st, served, refused)
	}
	all := r.Sink.Wait("every shed connection to be told", func(all []observe.Observation) bool {
		told := 0
		for _, o := range decoytest.Ends(all) {
			told += o.Interaction.Shed
		}
		return told == refused
	})
	r.Quiet(served)
	for _, o := range decoytest.Ends(all) {
		if i := o.Interaction; i.CloseError != "" && (i.Shed == 0 || i.BytesIn != 0) {
			t.Errorf("a report of refusals says %s", decoytest.Brief(&o))
		}
	}
}

// ask visits, says hello, tells whether there was an answer, and leaves.
func ask(addr string, met func(answered bool)) error {
	c, err := net.Dial("tcp", addr)
	if err != nil { // refused before Dial has returned
		met(false)
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(decoytest.Patience))
	_, _ = io.WriteString(c, "hello\n") // the read says what became of it
	var b [6]byte
	_, err = io.ReadFull(c, b[:])
	met(err == nil)
	return err
}

// A source has its share, and gets its place back.
func TestShareIsGivenBack(t *testing.T) {
	l := decoytest.Limits()
	l.PerSource = 3
	r := decoytest.Start(t, echo{}, decoytest.Persona(), l)
	for range 30 {
		if got := r.Visit([]byte("x\n")); string(got) != "x\n" {
			t.Fatalf("answer %q", got)
		}
		wait(t, "the visitor to have left", func() bool { return r.Runner.Stats().Active == 0 })
	}
	if st := r.Runner.Stats(); st.Shed != 0 {
		t.Errorf("%+v", st)
	}
}

// A long visit is told before it ends, once, and its end once more.
func TestLongVisitIsAnnounced(t *testing.T) {
	r := decoytest.Start(t, echo{}, decoytest.Persona(), decoytest.Limits())
	c := r.Dial()
	defer c.Close()
	all := r.Sink.Wait("the announcement", func(all []observe.Observation) bool { return len(all) == 1 })
	if o := all[0]; o.Interaction == nil || o.Interaction.Ended || o.Interaction.BytesIn != 0 {
		t.Errorf("announced %s", decoytest.Brief(&o))
	}
	if _, err := io.WriteString(c, "x\n"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	all = r.Quiet(1)
	if len(all) != 2 || all[0].Session != all[1].Session || !all[1].Interaction.Ended || all[1].Interaction.Duration < 0.2 {
		t.Errorf("%d observations, the last %s", len(all), decoytest.Brief(&all[len(all)-1]))
	}
}

// broken is a listener that fails first in one way, then in the other.
type broken struct {
	net.Listener
	left atomic.Int32
	last error
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }

func (b *broken) Accept() (net.Conn, error) {
	if b.left.Add(-1) >= 0 {
		return nil, temporary{errors.New("too many open files")}
	}
	if b.last != nil {
		return nil, b.last
	}
	return b.Listener.Accept()
}

func TestAcceptFails(t *testing.T) {
	for name, last := range map[string]error{"for a moment": nil, "for good": errors.New("socket is gone")} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			b := &broken{Listener: l, last: last}
			b.left.Store(4)
			r := decoy.NewRunner(decoytest.NewSink(t), nil)
			in := &decoy.Instance{Name: "x", Service: "echo", Impl: echo{}, Limits: decoytest.Limits(), Persona: decoytest.Persona()}
			if last != nil {
				defer l.Close()
				err := r.Serve(t.Context(), in, b)
				if !errors.Is(err, last) || !strings.Contains(err.Error(), `decoy "x"`) {
					t.Errorf("ends with %v", err)
				}
				return
			}
			run(t, func(ctx context.Context) error { return r.Serve(ctx, in, b) })
			if got := say(t, l.Addr().String(), "x\n"); got != "x\n" {
				t.Errorf("answer %q after the failures", got)
			}
		})
	}
}

// Our own mistakes are told, the visitors' are not.
func TestFaultsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		told bool
	}{
		"mistake": {errors.New("no such table"), true}, "nothing": {nil, false}, "end": {io.EOF, false}, "early end": {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), false},
		"limit": {fmt.Errorf("x: %w", decoy.ErrLimit), false}, "closed": {net.ErrClosed, false}, "reset": {&net.OpError{Op: "read", Err: errors.New("reset")}, false},
	} {
		var faults atomic.Int64
		sink := decoytest.NewSink(t)
		r := decoy.NewRunner(sink, func(instance string, err error) {
			if instance != "inst" || err == nil {
				t.Errorf("told of %q: %v", instance, err)
			}
			faults.Add(1)
		})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		in := &decoy.Instance{Name: "inst", Service: "s", Limits: decoytest.Limits(), Persona: decoytest.Persona(),
			Impl: play(func(context.Context, *decoy.Session) error { return c.err })}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Serve(ctx, in, l) }()
		say(t, l.Addr().String(), "")
		sink.Wait("the end", func(all []observe.Observation) bool { return len(decoytest.Ends(all)) == 1 })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := faults.Load() == 1; got != c.told || (r.Stats().Errors == 1) != c.told {
			t.Errorf("%s: told %v, want %v", name, got, c.told)
		}
	}
}

// One instance behind two listeners: ending one leaves the other alone.
func TestTwoListeners(t *testing.T) {
	sink := decoytest.NewSink(t)
	r := decoy.NewRunner(sink, nil)
	in := &decoy.Instance{Name: "x", Service: "echo", Impl: echo{}, Limits: decoytest.Limits(), Persona: decoytest.Persona()}
	var addr [2]string
	var cancel [2]context.CancelFunc
	var done [2]chan error
	for i := range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var ctx context.Context
		ctx, cancel[i] = context.WithCancel(t.Context())
		defer cancel[i]()
		addr[i], done[i] = l.Addr().String(), make(chan error, 1)
		go func() { done[i] <- r.Serve(ctx, in, l) }()
	}
	stays, err := net.Dial("tcp", addr[1])
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	goes, err := net.Dial("tcp", addr[0])
	if err != nil {
		t.Fatal(err)
	}
	defer goes.Close()
	wait(t, "both visitors", func() bool { return r.Stats().Active == 2 })
	cancel[0]()
	if err := <-done[0]; err != nil {
		t.Error(err)
	}
	_ = stays.SetDeadline(time.Now().Add(decoytest.Patience))
	if _, err := io.WriteString(stays, "x\n"); err != nil {
		t.Fatal(err)
	}
	var b [2]byte
	if _, err := io.ReadFull(stays, b[:]); err != nil {
		t.Errorf("the other listener's visitor was cut off: %v", err)
	}
	cancel[1]()
	if err := <-done[1]; err != nil {
		t.Error(err)
	}
}

// slow is a sink whose reader has stopped.
type slow struct {
	decoy.Sink
	gate chan struct{}
}

func (s slow) Emit(ctx context.Context, o *observe.Observation) error {
	select {
	case <-s.gate:
		return s.Sink.Emit(ctx, o)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Visits whose reports wait for the reader keep their places, so that a flood
// is shed and not queued.
func TestSlowReaderFillsTheHouse(t *testing.T) {
	sink := decoytest.NewSink(t)
	gate := make(chan struct{})
	r := decoy.NewRunner(slow{sink, gate}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limits := decoytest.Limits()
	limits.Connections = 5
	in := &decoy.Instance{Name: "x", Service: "echo", Impl: echo{}, Limits: limits, Persona: decoytest.Persona()}
	run(t, r.Announce, func(ctx context.Context) error { return r.Serve(ctx, in, l) })
	for range 5 {
		say(t, l.Addr().String(), "x\n")
	}
	_ = ask(l.Addr().String(), func(answered bool) {
		if answered {
			t.Error("a sixth visitor was let in while five reports wait")
		}
	})
	close(gate)
	sink.Wait("five visits and one refusal", func(all []observe.Observation) bool {
		n, shed := 0, 0
		for _, o := range decoytest.Ends(all) {
			shed += o.Interaction.Shed
			if o.Interaction.CloseError == "" {
				n++
			}
		}
		return n == 5 && shed == 1
	})
}

// An idle visitor costs what the design allows, kernel memory not counted.
func TestIdleMemory(t *testing.T) {
	if racing {
		t.Skip("the race detector's own memory is counted too")
	}
	const visitors = 400
	l := decoytest.Limits()
	l.PerSource, l.Idle = visitors, time.Minute
	r := decoytest.Start(t, echo{}, decoytest.Persona(), l)
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	var conns []*net.TCPConn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	r.Visit(bytes.Repeat([]byte("warm\n"), 10))
	before := used()
	for i := range visitors {
		c := r.Dial()
		if i%2 == 0 { // half of them have talked before they fell silent
			if _, err := io.WriteString(c, "hello\n"); err != nil {
				t.Fatal(err)
			}
			var b [6]byte
			if _, err := io.ReadFull(c, b[:]); err != nil {
				t.Fatal(err)
			}
		}
		conns = append(conns, c)
	}
	wait(t, "all visitors", func() bool { return r.Runner.Stats().Active == visitors })
	// Both ends of each connection live in this process: about 1 KB is the client's.
	if each := (int64(used()) - int64(before)) / visitors; each > 10<<10 {
		t.Errorf("an idle visitor occupies %d bytes", each)
	}
}
