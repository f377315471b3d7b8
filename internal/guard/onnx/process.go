package onnx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"bartizan/internal/jail"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json"
)

// Limits of the process.
const (
	loadLimit = 2 * time.Minute        // from its start until it has the model
	grace     = 500 * time.Millisecond // after the time limit of a text, then the process is stuck and is ended
	leastWait = time.Second            // after a failure
	mostWait  = time.Minute
)

// process is the gateway's side of the process that has the model. One text at a time is asked about.
type process struct {
	setup setup
	turn  chan struct{} // held by whoever talks to it

	mu     sync.Mutex
	served bool // Run starts it; else whoever asks first
	up     *running
	failed error // of the last start
	again  time.Time
	wait   time.Duration
	number uint64
	log    io.Writer
}

// running is one life of it.
type running struct {
	child  *jail.Reader
	to     *jail.FrameWriter
	frames *jail.FrameReader
	in     deadliner
	out    deadliner
}

type deadliner interface{ SetDeadline(time.Time) error }

func newProcess(s setup) *process {
	return &process{setup: s, turn: make(chan struct{}, 1), wait: leastWait, log: io.Discard}
}

// start starts the process and waits until it has the model.
func (p *process) start(ctx context.Context) (*running, error) {
	child, err := jail.StartReader(ctx, jail.ReaderSpec{Args: []string{ChildVerb}, Owner: p.setup.Folder, Stderr: p.log})
	if err != nil {
		return nil, err
	}
	r := &running{child: child, to: jail.NewFrameWriter(child.In, maxRequest), frames: jail.NewFrameReader(child.Out, maxAnswer)}
	if err := r.begin(&p.setup); err != nil {
		_ = r.end()
		return nil, err
	}
	return r, nil
}

func (r *running) begin(s *setup) error {
	in, ok1 := r.child.In.(*os.File)
	out, ok2 := r.child.Out.(*os.File)
	if !ok1 || !ok2 {
		return errors.New("BUG: pipes of a child are no files")
	}
	r.in, r.out = in, out
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	a, err := r.exchange(raw, 0, s.Labels, time.Now().Add(loadLimit))
	if err == nil && a.Why != "" {
		err = errors.New(safe.Clean(a.Why, maxWhy))
	}
	return err
}

// exchange sends a frame and reads the answer. After an error the process cannot be used any more.
func (r *running) exchange(frame []byte, number uint64, labels int, until time.Time) (*answer, error) {
	if err := errors.Join(r.in.SetDeadline(until), r.out.SetDeadline(until)); err != nil {
		return nil, err
	}
	_, err := r.to.Write(frame)
	var raw []byte
	if err == nil {
		raw, err = r.frames.Read()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errors.New("it did not answer in time, and was ended")
	case err != nil:
		return nil, fmt.Errorf("the model's process ended (out of memory, or the model's doing); it is started again: %w", err)
	}
	return readAnswer(raw, number, labels)
}

// end ends the process and says how it ended.
func (r *running) end() error {
	r.child.Kill()
	err := r.child.Wait()
	r.child.In.Close()
	r.child.Out.Close()
	return err
}

// ask asks about one text.
func (p *process) ask(text string, until time.Time) (*answer, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-timer.C:
		return nil, errors.New("too many texts wait for it")
	}
	r, err := p.current()
	if err != nil {
		return nil, err
	}
	p.number++
	a, err := r.exchange(request(p.number, time.Until(until), text), p.number, p.setup.Labels, until.Add(grace))
	if err != nil {
		p.lost(r)
		return nil, err
	}
	if a.Why != "" {
		return nil, errors.New(safe.Clean(a.Why, maxWhy))
	}
	return a, nil
}

// current is the process that runs. Without Run it is started here, which takes as long as the model takes to load.
func (p *process) current() (r *running, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.up != nil:
		return p.up, nil
	case p.failed != nil && (p.served || time.Now().Before(p.again)):
		return nil, p.failed
	case p.served:
		return nil, errors.New("the model is being loaded")
	}
	p.up, err = p.start(context.Background())
	p.record(err)
	return p.up, err
}

// record remembers how a start went. The caller holds mu.
func (p *process) record(err error) {
	p.failed = err
	if err == nil {
		p.wait = leastWait
		return
	}
	p.again = time.Now().Add(p.wait)
	p.wait = min(2*p.wait, mostWait)
}

// lost ends a process that cannot be used any more.
func (p *process) lost(r *running) {
	p.mu.Lock()
	if p.up == r {
		p.up = nil
	}
	served := p.served
	p.mu.Unlock()
	r.child.Kill()
	if !served { // else Run sees it
		_ = r.end()
	}
}

// run keeps the process running until ctx ends.
func (p *process) run(ctx context.Context, log *slog.Logger) {
	p.mu.Lock()
	p.served, p.log = true, &lines{log}
	r := p.up // of a text that came before
	p.mu.Unlock()
	for ctx.Err() == nil {
		began := time.Now()
		var err error
		if r == nil {
			r, err = p.start(ctx)
		}
		p.mu.Lock()
		p.up = r
		p.record(err)
		pause := time.Until(p.again)
		p.mu.Unlock()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			log.Error("the model cannot be loaded, and texts are not judged by it; it is tried again", "folder", p.setup.Folder, "error", err, "in", pause.Round(time.Second).String())
			rest(ctx, pause)
			continue
		}
		log.Info("the model is loaded, in a process of its own without files and network", "folder", p.setup.Folder, "pid", r.child.Pid(), "took", time.Since(began).Round(time.Millisecond).String())
		stop := context.AfterFunc(ctx, r.child.Kill)
		err = r.child.Wait()
		stop()
		p.mu.Lock()
		if p.up == r {
			p.up = nil
		}
		p.mu.Unlock()
		_ = r.end() // closes its pipes
		r = nil
		if ctx.Err() == nil {
			log.Warn("the process that has the model ended; it is started again", "folder", p.setup.Folder, "error", err)
			rest(ctx, leastWait)
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// lines logs what the process says.
type lines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		l.log.Warn("process of the model", "says", safe.Clean(strings.TrimSpace(line), maxWhy))
	}
	return len(b), nil
}
