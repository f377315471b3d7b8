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
	"slices"
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

	lastShed [2]netip.AddrPort // remote and local of the newest of them; guarded by runner.mu
}

// Stats are counters since the runner started.
type Stats struct {
	Accepted int64 `json:"accepted"`
	Active   int64 `json:"active"`
	Shed     int64 `json:"shed"`    // closed at once because a limit was reached
	Unnamed  int64 `json:"unnamed"` // closed because a named proxy did not say whose visit it is
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
	records  sync.Pool // of *[recordSize]byte
	accepted atomic.Int64
	shed     atomic.Int64
	panics   atomic.Int64
	faults   atomic.Int64
	dropped  atomic.Int64
	unnamed  atomic.Int64
	held     atomic.Int64 // bytes taken by Session.Hold

	mu        sync.Mutex
	instances []*Instance
	live      map[*Session]struct{}
	sources   map[netip.Prefix]int
	fresh     []*Session // in order of arrival, not announced yet
}

// NewRunner makes a runner that sends what it sees to sink. onFault is told of
// panics and errors of services; it must not block.
func NewRunner(sink Sink, onFault func(instance string, err error)) *Runner {
	return &Runner{
		sink: sink, onFault: onFault,
		readers: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }},
		records: sync.Pool{New: func() any { return new([recordSize]byte) }},
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
	return Stats{Accepted: r.accepted.Load(), Active: int64(active), Shed: r.shed.Load(), Unnamed: r.unnamed.Load(), Dropped: r.dropped.Load(), Panics: r.panics.Load(), Errors: r.faults.Load()}
}

// Serve accepts visitors of one instance on one listener until ctx ends or the
// listener fails. It returns when the last visitor has gone.
func (r *Runner) Serve(ctx context.Context, in *Instance, l net.Listener) error {
	r.adopt(in)
	hands := &hands{visit: r.visit}
	defer hands.dismiss()
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
		hands.take(s)
	}
}

// adopt ties an instance to the runner; it may be served on several listeners.
func (r *Runner) adopt(in *Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.instances, in) {
		in.runner, in.sink = r, r.sink
		r.instances = append(r.instances, in)
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
	if !r.enter(s) {
		w.refuse()
		return nil
	}
	if ctx.Err() != nil {
		_ = c.Close() // hangUp may have run before the session was on its list
	}
	return s
}

// enter takes a place for the session, or counts it as shed. The share of a
// named proxy is not its own: its visitors are counted once they are known.
func (r *Runner) enter(s *Session) bool {
	in := s.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.live) >= in.Limits.Connections || !in.named(s.remote.Addr()) && !r.take(s) {
		r.refused(s)
		return false
	}
	r.live[s] = struct{}{}
	return true
}

// take counts the session for its source, under r.mu.
func (r *Runner) take(s *Session) bool {
	key := model.ActorPrefix(s.remote.Addr())
	if r.sources[key] >= s.run.Limits.PerSource {
		return false
	}
	r.sources[key]++
	s.source = key
	return true
}

// refused counts a shed connection, under r.mu.
func (r *Runner) refused(s *Session) {
	r.shed.Add(1)
	s.run.shed.Add(1)
	s.run.lastShed = [2]netip.AddrPort{s.remote, s.local}
}

// refuse closes a connection with a reset: no resources stay behind.
func (w *wire) refuse() {
	if w.tcp != nil {
		_ = w.tcp.SetLinger(0)
	}
	_ = w.Conn.Close()
}

// named says whether a peer's PROXY protocol header is believed.
func (in *Instance) named(a netip.Addr) bool {
	for _, p := range in.ProxyFrom {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// identify learns whose visit it is. When it says no, nobody is to be blamed
// and nothing more to be done.
func (r *Runner) identify(s *Session) bool {
	if len(s.run.ProxyFrom) == 0 || !s.run.named(s.remote.Addr()) {
		return true
	}
	if s.proxied() != nil {
		r.unnamed.Add(1)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.take(s) {
		r.refused(s)
		return false
	}
	return true
}

// visit runs one conversation from the first byte to the report of its end.
func (r *Runner) visit(s *Session) {
	in := s.run
	known := r.identify(s)
	var err error
	if known {
		r.mu.Lock()
		r.fresh = append(r.fresh, s)
		r.mu.Unlock()
		err = r.guarded(s)
		_ = s.Flush()
		if s.linger && s.ctx.Err() == nil {
			s.drain()
		}
		s.release()
		_ = s.wire.Conn.Close()
	} else {
		s.release()
		s.wire.refuse()
	}
	if err != nil && s.ctx.Err() == nil && !visitorsFault(err) {
		r.faults.Add(1)
		if r.onFault != nil {
			r.onFault(in.Name, err)
		}
	}
	r.dropped.Add(in.dropped.Swap(0))
	if known {
		r.report(s, true)
	}
	r.leave(s)
}

// leave gives back what the visit occupied. It comes after the report, so that
// visits whose reports wait for a slow reader still count against the limits.
func (r *Runner) leave(s *Session) {
	r.mu.Lock()
	delete(r.live, s)
	if s.source.IsValid() {
		if r.sources[s.source]--; r.sources[s.source] <= 0 {
			delete(r.sources, s.source)
		}
	}
	r.mu.Unlock()
	s.mu.Lock()
	r.held.Add(-int64(s.held))
	r.lend(s.record)
	s.held, s.record = 0, nil // the announcement queue may know s a moment longer
	s.mu.Unlock()
}

// drain ends our side of the conversation and ignores what still comes, within
// bounds, until the visitor ends its own.
func (s *Session) drain() {
	const most, patience = 256 << 10, 2 * time.Second
	s.release()
	w := s.wire
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	_ = w.Conn.SetReadDeadline(time.Now().Add(patience))
	b := s.run.getReader(w.Conn) // not the wire: what is ignored is not counted as heard
	defer s.run.putReader(b)
	_, _ = b.WriteTo(&discard{left: most})
}

// discard forgets what is written to it, up to an amount.
type discard struct{ left int }

func (d *discard) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left <= 0 {
		return 0, ErrLimit
	}
	return len(p), nil
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
	s.report.Lock()
	defer s.report.Unlock()
	s.mu.Lock()
	late := s.ended
	s.ended = s.ended || ended
	i := observe.Interaction{Ended: ended, Client: s.client, Prints: s.prints}
	var record []byte
	if w := s.wire; ended && !late && (w.in > int64(len(w.first)) || w.quiet.Load()) {
		record, s.record = s.record, nil // it belongs to the evidence now
	} // else the first bytes say it all, in clear text
	s.mu.Unlock()
	if late {
		return // the end has been told already
	}
	o := observe.Observation{Kind: observe.KindInteraction, Interaction: &i}
	o.Time = s.start
	if ended {
		w := s.wire
		o.Time = time.Now()
		i.Duration = o.Time.Sub(s.start).Seconds()
		i.BytesIn, i.BytesOut, i.First = w.in, w.out, w.first
		i.Protocol = GuessProtocol(w.first)
		i.Shed = int(s.run.shed.Swap(0))
		o.Evidence = blobs("transcript", record)
	}
	s.fill(&o)
	r.emit(s.ctx, &o)
}

// emit hands on what the runner itself has to say. The end of a visit is
// reported even while the runner stops.
func (r *Runner) emit(ctx context.Context, o *observe.Observation) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
	}
	if err := r.sink.Emit(ctx, o); err != nil {
		r.dropped.Add(1)
	}
}

// shedError is the CloseError of an interaction that stands for refused
// connections and nothing else.
const shedError = "refused: too many connections"

// reportShed speaks for the refused connections that no other report has told:
// one interaction per instance, in the name of the newest of them.
func (r *Runner) reportShed(ctx context.Context) {
	r.mu.Lock()
	all := slices.Clone(r.instances)
	r.mu.Unlock()
	for _, in := range all {
		n := in.shed.Swap(0)
		if n == 0 {
			continue
		}
		r.mu.Lock()
		who := in.lastShed
		r.mu.Unlock()
		now := time.Now()
		r.emit(ctx, &observe.Observation{
			Kind: observe.KindInteraction, Time: now, Session: model.NewULID(now), Decoy: in.Name, Service: in.Service, Remote: who[0], Local: who[1],
			Interaction: &observe.Interaction{Ended: true, Shed: int(n), CloseError: shedError},
		})
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
			r.reportShed(ctx)
			return nil
		case now := <-tick.C:
			for _, s := range r.due(now) {
				r.report(s, false)
			}
			r.reportShed(ctx)
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
		if s.run == in && s.ctx.Err() != nil { // another listener of the instance may go on
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
