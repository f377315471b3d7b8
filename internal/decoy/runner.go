package decoy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Limits bound everything a visitor can make grow.
type Limits struct {
	Connections int           // at once, whole instance
	PerSource   int           // at once, per actor (IPv4 address or IPv6 /64)
	Idle        time.Duration // without a byte from the visitor
	Total       time.Duration // whole conversation
	Line        int           // bytes of one line
	In, Out     int64         // bytes of one conversation
	Transcript  int           // bytes of transcript kept; 0 records none
	File        int           // bytes of one captured file
	Events      int           // observations of one conversation
}

// DefaultLimits suit an Internet-facing host of any size.
func DefaultLimits() Limits {
	return Limits{
		Connections: 20000, PerSource: 256, Idle: 2 * time.Minute, Total: 30 * time.Minute, Line: 64 << 10,
		In: 32 << 20, Out: 32 << 20, Transcript: 256 << 10, File: 10 << 20, Events: 2000,
	}
}

// Instance is one decoy as configured: a service behind some listeners.
type Instance struct {
	Name      string // as in the configuration
	Service   string // registry name
	Impl      Service
	Limits    Limits
	Persona   *persona.Persona
	ProxyFrom []netip.Prefix // peers whose PROXY protocol header is believed

	sink    Sink
	runner  *Runner
	dropped atomic.Int64 // observations over a session's share
	shed    atomic.Int64 // connections refused for load, not yet reported
}

// Stats are counters since the runner started.
type Stats struct {
	Accepted int64 `json:"accepted"`
	Active   int64 `json:"active"`
	Shed     int64 `json:"shed"`    // closed at once because a limit was reached
	Dropped  int64 `json:"dropped"` // observations over a visitor's share
	Panics   int64 `json:"panics"`
	Errors   int64 `json:"errors"` // Serve said that we made a mistake
}

// Runner owns all visitors of all instances.
type Runner struct {
	sink     Sink
	onFault  func(instance string, err error) // our own bugs, for the log
	readers  sync.Pool
	writers  sync.Pool
	accepted atomic.Int64
	shed     atomic.Int64
	panics   atomic.Int64
	faults   atomic.Int64
	dropped  atomic.Int64

	mu      sync.Mutex
	live    map[*Session]struct{}
	sources map[netip.Prefix]int
	fresh   []*Session // in order of arrival, not announced yet
}

// NewRunner makes a runner that sends what it sees to sink. onFault is told of
// panics and errors of services; it must not block.
func NewRunner(sink Sink, onFault func(instance string, err error)) *Runner {
	return &Runner{
		sink: sink, onFault: onFault,
		readers: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }},
		writers: sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bufferSize) }},
		live:    map[*Session]struct{}{},
		sources: map[netip.Prefix]int{},
	}
}

func (in *Instance) getReader(r io.Reader) *bufio.Reader {
	b := in.runner.readers.Get().(*bufio.Reader)
	b.Reset(r)
	return b
}

func (in *Instance) putReader(b *bufio.Reader) {
	b.Reset(nil)
	in.runner.readers.Put(b)
}

func (in *Instance) getWriter(w io.Writer) *bufio.Writer {
	b := in.runner.writers.Get().(*bufio.Writer)
	b.Reset(w)
	return b
}

func (in *Instance) putWriter(b *bufio.Writer) {
	b.Reset(nil)
	in.runner.writers.Put(b)
}

// Stats returns the counters.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	active := len(r.live)
	r.mu.Unlock()
	return Stats{Accepted: r.accepted.Load(), Active: int64(active), Shed: r.shed.Load(), Dropped: r.dropped.Load(), Panics: r.panics.Load(), Errors: r.faults.Load()}
}

// Serve accepts visitors of one instance on one listener until ctx ends or the
// listener fails. It returns when the last visitor has gone.
func (r *Runner) Serve(ctx context.Context, in *Instance, l net.Listener) error {
	in.runner, in.sink = r, r.sink
	var visitors sync.WaitGroup
	defer visitors.Wait()
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		r.hangUp(in)
	})
	defer stop()
	for pause := time.Millisecond; ; {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var temp interface{ Temporary() bool }
			if !errors.As(err, &temp) || !temp.Temporary() {
				return fmt.Errorf("accept for decoy %q: %w", in.Name, err)
			}
			// Out of descriptors or memory: wait for visitors to leave instead of spinning.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			pause = min(2*pause, 100*time.Millisecond)
			continue
		}
		pause = time.Millisecond
		r.accepted.Add(1)
		s := r.admit(ctx, in, c)
		if s == nil {
			continue
		}
		visitors.Go(func() { r.visit(s) })
	}
}

// admit makes a session, or refuses and counts.
func (r *Runner) admit(ctx context.Context, in *Instance, c net.Conn) *Session {
	now := time.Now()
	s := &Session{run: in, start: now, id: model.NewULID(now), ctx: ctx, recording: in.Limits.Transcript > 0}
	s.remote, s.local = addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	w := &wire{Conn: c, s: s, end: now.Add(in.Limits.Total)}
	w.tcp, _ = c.(*net.TCPConn)
	s.conn, s.wire = w, w
	key := model.ActorPrefix(s.remote.Addr())
	r.mu.Lock()
	full := len(r.live) >= in.Limits.Connections || r.sources[key] >= in.Limits.PerSource
	if !full {
		r.live[s] = struct{}{}
		r.sources[key]++
	}
	r.mu.Unlock()
	if full {
		r.shed.Add(1)
		in.shed.Add(1)
		if w.tcp != nil {
			_ = w.tcp.SetLinger(0)
		}
		_ = c.Close()
		return nil
	}
	return s
}

// visit runs one conversation from the first byte to the report of its end.
func (r *Runner) visit(s *Session) {
	in, peer := s.run, model.ActorPrefix(s.remote.Addr())
	err := s.proxied()
	known := err == nil // whose visit it is
	if known {
		r.mu.Lock()
		r.fresh = append(r.fresh, s)
		r.mu.Unlock()
		err = r.guarded(s)
	}
	_ = s.Flush()
	s.release()
	_ = s.wire.Conn.Close()
	if err != nil && s.ctx.Err() == nil && r.onFault != nil && !visitorsFault(err) {
		r.faults.Add(1)
		r.onFault(in.Name, err)
	}
	r.mu.Lock()
	delete(r.live, s)
	if r.sources[peer]--; r.sources[peer] <= 0 {
		delete(r.sources, peer)
	}
	r.mu.Unlock()
	r.dropped.Add(in.dropped.Swap(0))
	if known {
		r.report(s, true)
	}
}

// guarded calls the service and turns a panic into an error.
func (r *Runner) guarded(s *Session) (err error) {
	defer func() {
		if v := recover(); v != nil {
			r.panics.Add(1)
			err = fmt.Errorf("panic in decoy service %q: %v\n%s", s.run.Service, v, debug.Stack())
		}
	}()
	return s.run.Impl.Serve(s.ctx, s)
}

// visitorsFault tells what only says that the visitor left or misbehaved.
func visitorsFault(err error) bool {
	var ne net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrLimit) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) || errors.As(err, &ne)
}

// report emits the interaction: once at its end, and before that when it is old
// enough that waiting for the end would hide it.
func (r *Runner) report(s *Session, ended bool) {
	s.mu.Lock()
	if !ended {
		s.announced = true
	}
	i := observe.Interaction{Ended: ended, Client: s.client, Prints: s.prints}
	record := s.record
	s.mu.Unlock()
	o := observe.Observation{Kind: observe.KindInteraction, Interaction: &i}
	if ended {
		w := s.wire
		i.Duration = time.Since(s.start).Seconds()
		i.BytesIn, i.BytesOut, i.First = w.in, w.out, w.first
		i.Protocol = GuessProtocol(w.first)
		i.Shed = int(s.run.shed.Swap(0))
		// The first bytes say it all when there were no more.
		if w.in > int64(len(w.first)) && len(record) > 0 {
			o.Evidence = blobs("transcript", record)
		}
	} else {
		o.Time = s.start
	}
	s.fill(&o)
	ctx := s.ctx
	if ctx.Err() != nil {
		// The end of a visit is reported even while the runner stops.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
	}
	if err := r.sink.Emit(ctx, &o); err != nil {
		r.dropped.Add(1)
	}
}

// announceAfter is how old a visit is when it is reported before its end.
const announceAfter = 200 * time.Millisecond

// Announce reports visits that outlast announceAfter, and connections that were
// refused while nobody else could say so. It runs until ctx ends.
func (r *Runner) Announce(ctx context.Context) error {
	tick := time.NewTicker(announceAfter / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, s := range r.due(now) {
				r.report(s, false)
			}
		}
	}
}

// due takes the sessions off the queue that are old enough, and returns those
// that are still there.
func (r *Runner) due(now time.Time) (out []*Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.fresh) && now.Sub(r.fresh[n].start) >= announceAfter {
		if _, here := r.live[r.fresh[n]]; here {
			out = append(out, r.fresh[n])
		}
		n++
	}
	m := copy(r.fresh, r.fresh[n:])
	clear(r.fresh[m:])
	r.fresh = r.fresh[:m]
	return out
}

// hangUp closes the connections of an instance, so that every Serve returns.
func (r *Runner) hangUp(in *Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.live {
		if s.run == in {
			_ = s.wire.Conn.Close()
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}
