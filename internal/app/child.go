package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"bartizan/internal/builtin"
	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/host"
	"bartizan/internal/jail"
	"bartizan/internal/life"
)

// ChildVerb is the hidden command line word under which the binary runs as the
// decoys' process.
const ChildVerb = "__decoys"

// Frame sizes on the pipe between the node and its decoys.
const (
	maxSetup = 4 << 20
	maxFrame = 32 << 20
)

// setup is the first and only frame the decoys' process gets.
type setup struct {
	Persona   persona.State   `json:"persona"`
	Instances []setupInstance `json:"instances"`
	Files     []setupFile     `json:"files"` // in the order of the handed-over descriptors
}

type setupInstance struct {
	Name      string         `json:"name"`
	Service   string         `json:"service"`
	Options   string         `json:"options"` // complete, as YAML; decoy options hold no secrets
	Limits    decoy.Limits   `json:"limits"`
	ProxyFrom []netip.Prefix `json:"proxy_from"`
}

type setupFile struct {
	Instance string `json:"instance"`
}

// The frames that come back are one byte of kind and a JSON body.
const (
	frameBatch = 'B' // observe.Batch
	frameStats = 'S' // decoy.Stats
)

// RunChild is the whole life of the decoys' process: lock in, read the setup,
// play decoys until the node goes away. It returns nil when asked to end.
func RunChild(ctx context.Context) error {
	pages, _ := host.FindProgramPages() // without them the process is larger, and that is all
	cell, err := jail.Enter(jail.Options{})
	if err != nil {
		return err
	}
	raw, err := jail.ReadFrame(cell.Conn, maxSetup)
	if err != nil {
		return fmt.Errorf("read setup from the node: %w", err)
	}
	var s setup
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read setup from the node: %w", err)
	}
	return runDecoys(ctx, s, cell.Files, cell.Conn, pages)
}

// runDecoys plays the decoys of a setup and writes what they see to conn.
func runDecoys(ctx context.Context, s setup, files []*os.File, conn net.Conn, pages host.ProgramPages) error {
	who, err := persona.FromState(s.Persona)
	if err != nil {
		return fmt.Errorf("read persona: %w", err)
	}
	if len(files) != len(s.Files) {
		return fmt.Errorf("got %d sockets, the setup names %d", len(files), len(s.Files))
	}
	table := builtin.Decoys()
	instances := map[string]*decoy.Instance{}
	for _, in := range s.Instances {
		options, err := conf.Parse(in.Name, []byte(in.Options))
		if err != nil {
			return fmt.Errorf("decoy %s: %w", in.Name, err)
		}
		impl, err := table.Build(in.Service, options)
		if err != nil {
			return fmt.Errorf("decoy %s: %w", in.Name, err)
		}
		instances[in.Name] = &decoy.Instance{Name: in.Name, Service: in.Service, Impl: impl, Limits: in.Limits, Persona: who, ProxyFrom: in.ProxyFrom}
	}
	out := &childOut{w: jail.NewFrameWriter(conn, maxFrame)}
	batch := decoy.NewBatcher(func(b []byte) error { return out.frame(frameBatch, b) })
	runner := decoy.NewRunner(batch, newFaultLog(10*time.Second).report)
	g := life.New(nil)
	g.Go("batches", batch.Run)
	g.Go("announcements", runner.Announce)
	g.Go("statistics", func(ctx context.Context) error { return sendStats(ctx, runner, out) })
	g.Go("node", func(ctx context.Context) error { return awaitEnd(ctx, conn) })
	for i, f := range files {
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			g.Fail(fmt.Errorf("take over socket %d: %w", i, err))
			break
		}
		in := instances[s.Files[i].Instance]
		if in == nil {
			g.Fail(fmt.Errorf("socket %d is for an unknown instance", i))
			break
		}
		g.Go("decoy "+in.Name+" "+l.Addr().String(), func(ctx context.Context) error { return runner.Serve(ctx, in, l) })
	}
	g.Go("memory", func(ctx context.Context) error { return pages.GiveBack(ctx, func(error) {}) })
	err = g.Wait(ctx, 5*time.Second)
	if errors.Is(err, errNodeGone) {
		return nil
	}
	return err
}

// errNodeGone is the ordinary end of a child: its parent closed the pipe.
var errNodeGone = errors.New("the node closed the connection")

// awaitEnd returns when the node closes its side.
func awaitEnd(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetReadDeadline(time.Time{})
	var b [1]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return errNodeGone
		}
	}
}

// childOut serialises frames of several writers.
type childOut struct {
	mu  sync.Mutex
	w   *jail.FrameWriter
	buf []byte
}

func (o *childOut) frame(kind byte, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(append(o.buf[:0], kind), body...)
	_, err := o.w.Write(o.buf)
	if cap(o.buf) > 1<<20 {
		o.buf = nil // one large capture must not be paid for ever
	}
	return err
}

// sendStats tells the node the counters once a second, when they change.
func sendStats(ctx context.Context, r *decoy.Runner, out *childOut) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last decoy.Stats
	for {
		now := r.Stats()
		if now != last {
			b, err := json.Marshal(now)
			if err != nil {
				return err
			}
			if err := out.frame(frameStats, b); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// faultLog writes our own mistakes to standard error, which the node logs: at
// most one per period, because a visitor may be able to trigger them at will.
type faultLog struct {
	mu     sync.Mutex
	period time.Duration
	last   time.Time
	muted  int
}

func newFaultLog(period time.Duration) *faultLog { return &faultLog{period: period} }

func (f *faultLog) report(instance string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.last) < f.period {
		f.muted++
		return
	}
	fmt.Fprintf(os.Stderr, "decoy %s: %s (%d more not shown)\n", instance, strings.ReplaceAll(err.Error(), "\n", " | "), f.muted)
	f.last, f.muted = time.Now(), 0
}
