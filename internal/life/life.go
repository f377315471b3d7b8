// Package life starts and stops the long-lived parts of the process in order:
// what was started first stops last, each part is waited for before the next
// is told to stop, and a part that fails or ends unasked ends all of them. It
// does not restart anything; a part that can be retried retries by itself.
package life

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"bartizan/internal/safe"
)

// State of a part.
type State string

// The states a part goes through.
const (
	Running State = "running"
	Stopped State = "stopped"
	Failed  State = "failed"
)

// PartState is what status shows about one part.
type PartState struct {
	Name  string
	State State
	Since time.Time // when it entered the state
	Err   error     // why it failed; nil otherwise
}

// Group is a stack of parts. Use New. Its methods may be called from any
// goroutine; Wait is called once.
type Group struct {
	log   *slog.Logger
	ended chan struct{} // closed when the first part fails or ends unasked

	mu       sync.Mutex
	parts    []*part
	stopping bool
	cause    error // why everything ends; nil for an ordinary stop
}

// part is one line of the stack: a goroutine (run) or a step (stop).
type part struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	stop   func(context.Context) error

	// guarded by Group.mu
	asked bool // its end is wanted
	state State
	since time.Time
	err   error
}

// New makes an empty group. Panics of parts are logged to log with their
// stack, because the error that Wait returns carries no stack.
func New(log *slog.Logger) *Group {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Group{log: log, ended: make(chan struct{})}
}

// Go starts run in its own goroutine at once and puts it on the stack. run
// must return when its context ends; returning earlier, with or without an
// error, ends the whole group. When the group is already stopping run is not
// started.
func (g *Group) Go(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{name: name, cancel: cancel, done: make(chan struct{}), state: Running, since: time.Now()}
	g.mu.Lock()
	if g.stopping {
		p.state, p.asked = Stopped, true
		g.parts = append(g.parts, p)
		g.mu.Unlock()
		cancel()
		close(p.done)
		return
	}
	g.parts = append(g.parts, p)
	g.mu.Unlock()
	go func() {
		defer close(p.done)
		defer cancel()
		finished := false
		defer func() {
			if !finished { // runtime.Goexit, as t.FailNow does it
				g.partEnded(p, errors.New("goroutine was ended with runtime.Goexit"))
			}
		}()
		err := safe.Recover(name, func(v any, stack []byte) {
			g.log.Error("part panicked", "part", name, "stack", string(stack))
		}, func() error { return run(ctx) })
		finished = true
		g.partEnded(p, err)
	}()
}

// OnStop puts a step on the stack that is run, with the time that is left,
// when everything started after it has ended: register it the moment the
// thing it closes exists.
func (g *Group) OnStop(name string, stop func(context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		panic(fmt.Sprintf("BUG: life: OnStop(%q) after the group began to stop would never run", name))
	}
	g.parts = append(g.parts, &part{name: name, stop: stop, state: Running, since: time.Now()})
}

// Fail ends the group as if a part had failed with err.
func (g *Group) Fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failLocked(err)
}

func (g *Group) failLocked(err error) {
	if g.cause == nil && !g.stopping {
		g.cause = err
		close(g.ended)
	}
}

// partEnded records the end of a part and, when nobody asked for it, makes
// it the cause that ends the group.
func (g *Group) partEnded(p *part, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.state == Failed {
		return // given up on before; ending late does not make it good
	}
	p.since = time.Now()
	_, panicked := errors.AsType[*safe.PanicError](err)
	if p.asked && !panicked && (err == nil || errors.Is(err, context.Canceled)) {
		p.state = Stopped
		return
	}
	if err == nil {
		err = fmt.Errorf("part %q ended unasked", p.name)
	} else {
		err = fmt.Errorf("part %q: %w", p.name, err)
	}
	p.state, p.err = Failed, err
	if !p.asked {
		g.failLocked(err)
	}
}

// Wait blocks until ctx ends or a part does, then stops everything, last
// started first. grace bounds the whole stop; one part may use at most half
// of what is left of it, so that a stuck one cannot take the time that those
// below it need for their data. A part that does not end in its time is named in
// the error and left behind. The result is nil after an ordinary stop, else
// the first cause joined with what went wrong while stopping.
func (g *Group) Wait(ctx context.Context, grace time.Duration) error {
	select {
	case <-ctx.Done():
	case <-g.ended:
	}
	g.mu.Lock()
	g.stopping = true
	parts := append([]*part(nil), g.parts...)
	cause := g.cause
	g.mu.Unlock()

	deadline := time.Now().Add(grace)
	errs := []error{cause}
	for i := len(parts) - 1; i >= 0; i-- {
		share := time.Until(deadline)
		if i > 0 {
			share /= 2
		}
		if err := g.stopPart(parts[i], max(share, minShare)); err != nil && !errors.Is(cause, err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// minShare lets a part that ends at once do so even when the grace is used up.
const minShare = 20 * time.Millisecond

func (g *Group) stopPart(p *part, share time.Duration) error {
	if p.stop != nil {
		return g.stopStep(p, share)
	}
	g.mu.Lock()
	alreadyFailed := p.state == Failed
	p.asked = true
	g.mu.Unlock()
	p.cancel()
	timer := time.NewTimer(share)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		return g.giveUp(p, share)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if alreadyFailed && errors.Is(g.cause, p.err) {
		return nil // it is the cause
	}
	return p.err
}

// stopStep runs a step in a goroutine so that one that ignores its context
// cannot hold up the end of the process.
func (g *Group) stopStep(p *part, share time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), share)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		result <- safe.Recover(p.name, func(_ any, stack []byte) {
			g.log.Error("stop step panicked", "part", p.name, "stack", string(stack))
		}, func() error { return p.stop(ctx) })
	}()
	timer := time.NewTimer(share + minShare) // a step that honours its context gets to say what it lost
	defer timer.Stop()
	var err error
	select {
	case err = <-result:
	case <-timer.C:
		return g.giveUp(p, share)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p.state, p.since = Stopped, time.Now()
	if err != nil {
		p.state, p.err = Failed, fmt.Errorf("stop %q: %w", p.name, err)
	}
	return p.err
}

func (g *Group) giveUp(p *part, share time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.state, p.since = Failed, time.Now()
	p.err = fmt.Errorf("part %q did not end within %s", p.name, share.Round(time.Millisecond))
	return p.err
}

// Parts lists all parts in the order they were started.
func (g *Group) Parts() []PartState {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]PartState, len(g.parts))
	for i, p := range g.parts {
		out[i] = PartState{Name: p.name, State: p.state, Since: p.since, Err: p.err}
	}
	return out
}
