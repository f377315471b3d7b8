package verify

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Options of a Prober. The zero value is useful.
type Options struct {
	Every   time.Duration // between two attempts; 5 ms when 0
	Timeout time.Duration // until an attempt counts as dropped; 250 ms when 0
	Confirm int           // failed attempts in a row that make a block, so that one lost packet is none; 2 when 0
}

func (o Options) withDefaults() Options {
	if o.Every <= 0 {
		o.Every = 5 * time.Millisecond
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Confirm <= 0 {
		o.Confirm = 2
	}
	return o
}

// Report is what a Prober has seen. Times are those at which the attempt that
// showed it was made, with a monotonic reading; zero when it was not seen.
type Report struct {
	First    time.Time // first accepted attempt: the way was open
	Blocked  time.Time // first of the attempts that failed in a row
	How      Outcome   // how that one failed
	Released time.Time // first accepted attempt after that
	Accepted int
	Refused  int
	Dropped  int
	Unknown  int // attempts that could not be judged
}

// Prober attempts a connection every few milliseconds and notes when the way
// is closed and when it opens again.
type Prober struct {
	loop     *loop
	blocked  chan struct{}
	released chan struct{}
	done     chan struct{}

	mu     sync.Mutex
	report Report
	err    error

	run   int // failed attempts in a row; the loop's thread only
	since Result
}

// Start begins to probe until ctx ends. Call Wait to get the end of it.
func Start(ctx context.Context, t Target, o Options) (*Prober, error) {
	l, err := newLoop(t, o)
	if err != nil {
		return nil, err
	}
	p := &Prober{loop: l, blocked: make(chan struct{}), released: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if err := l.onThread(func() error { return p.probe(ctx) }); err != nil {
			p.mu.Lock()
			p.err = fmt.Errorf("probe %s: %w", t.Dest, err)
			p.mu.Unlock()
		}
	}()
	return p, nil
}

// Blocked is closed when the way was seen closed.
func (p *Prober) Blocked() <-chan struct{} { return p.blocked }

// Released is closed when the way was seen open again after it was closed.
func (p *Prober) Released() <-chan struct{} { return p.released }

// Report is what was seen so far.
func (p *Prober) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report
}

// Wait returns when probing has ended: with what was seen, and with an error
// when it ended because it could not look.
func (p *Prober) Wait() (Report, error) {
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report, p.err
}

// probe is the loop. Attempts are judged in the order they were made, each
// when it and all before it are answered or overdue.
func (p *Prober) probe(ctx context.Context) error {
	l := p.loop
	next := time.Now()
	for ctx.Err() == nil {
		now := time.Now()
		if !now.Before(next) {
			if err := l.connect(now); err != nil {
				return err
			}
			if next = next.Add(l.opts.Every); next.Before(now) {
				next = now.Add(l.opts.Every) // was held up: do not make up for it in a burst
			}
		}
		l.wait(next)
		l.overdue(time.Now())
		p.judge()
	}
	return nil
}

func (p *Prober) judge() {
	l := p.loop
	for len(l.flying) > 0 && l.flying[0].fd < 0 {
		p.see(l.flying[0].Result)
		l.flying = l.flying[1:]
	}
}

func (p *Prober) see(r Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rep := &p.report
	switch r.Outcome {
	case Accepted:
		rep.Accepted++
		p.run = 0
		if rep.First.IsZero() {
			rep.First = r.Start
		}
		if !rep.Blocked.IsZero() && rep.Released.IsZero() {
			rep.Released = r.Start
			close(p.released)
		}
		return
	case Refused:
		rep.Refused++
	case Dropped:
		rep.Dropped++
	default:
		rep.Unknown++
		return
	}
	if p.run++; p.run == 1 {
		p.since = r
	}
	if p.run >= p.loop.opts.Confirm && rep.Blocked.IsZero() {
		rep.Blocked, rep.How = p.since.Start, p.since.Outcome
		close(p.blocked)
	}
}
