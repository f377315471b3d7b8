// Package transporttest runs a feed and collects what it brings.
package transporttest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
)

// Words is a format whose records are lines without "bad" in them.
type Words struct{}

// Decoder implements source.Format.
func (Words) Decoder() source.Decoder { return Words{} }

// Decode implements source.Decoder.
func (Words) Decode(record []byte, at uint64, b *observe.LogBatch) error {
	if bytes.Contains(record, []byte("bad")) {
		return source.ErrFormat
	}
	b.Events = append(b.Events, observe.LogEvent{Record: at, Observation: observe.Observation{Service: string(record)}})
	return nil
}

// Running is a feed that runs.
type Running struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan error
	news   chan struct{}
	Places Places

	mu     sync.Mutex
	got    []string
	counts source.Counts
	doing  string
	wrong  error
	refuse error
}

// Start runs a feed until the test ends. places may be nil.
func Start(t *testing.T, feed transport.Feed, places Places) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if places == nil {
		places = NewPlaces()
	}
	r := &Running{t: t, cancel: cancel, done: make(chan error, 1), news: make(chan struct{}, 1), Places: places}
	go func() { r.done <- feed.Run(ctx, r.intake()) }()
	t.Cleanup(func() { r.Stop() })
	return r
}

func (r *Running) intake() transport.Intake {
	return transport.Intake{
		Source: "test", Format: "words", Decoder: Words{}, Places: r.Places,
		Emit: func(_ context.Context, b *observe.LogBatch) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.refuse != nil {
				return r.refuse
			}
			for i := range b.Events {
				r.got = append(r.got, b.Events[i].Service)
			}
			r.tell()
			return nil
		},
		Count: func(c source.Counts) { r.mu.Lock(); defer r.mu.Unlock(); r.counts.Add(c); r.tell() },
		Say: func(doing string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.doing, r.wrong = doing, err
			r.tell()
		},
	}
}

func (r *Running) tell() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// Stop ends the feed and gives its error.
func (r *Running) Stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	return <-r.done
}

// Ended waits for the feed to end by itself and gives its error.
func (r *Running) Ended() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		r.cancel()
		r.cancel = nil
		return err
	case <-time.After(10 * time.Second):
		r.t.Fatal("the feed goes on")
		return nil
	}
}

// Refuse makes every batch fail from now on; nil: no longer.
func (r *Running) Refuse(err error) { r.mu.Lock(); defer r.mu.Unlock(); r.refuse = err }

// Await waits until ask, given what came, what was counted and what was said, is
// content.
func (r *Running) Await(what string, ask func(got []string, c source.Counts, doing string, wrong error) bool) {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		r.mu.Lock()
		ok := ask(r.got, r.counts, r.doing, r.wrong)
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-r.news:
		case err := <-r.done:
			r.done <- err
			r.t.Fatalf("waited for %s, and the feed ended with %v", what, err)
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("waited in vain for %s: got %q, %+v, %q, %v", what, r.got[max(0, len(r.got)-10):], r.counts, r.doing, r.wrong)
		}
	}
}

// Ready waits until the feed says what it does.
func (r *Running) Ready() {
	r.t.Helper()
	r.Await("the feed to start", func(_ []string, _ source.Counts, doing string, wrong error) bool { return doing != "" && wrong == nil })
}

// Want waits for exactly these records, in any order.
func (r *Running) Want(list ...string) {
	r.t.Helper()
	slices.Sort(list)
	r.Await("records", func(got []string, _ source.Counts, _ string, _ error) bool { return len(got) >= len(list) })
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.Sorted(slices.Values(r.got))
	if !slices.Equal(got, list) {
		r.t.Fatalf("got %.600q, want %.600q", got, list)
	}
}

// Places is a transport.Places that outlives a feed.
type Places interface {
	transport.Places
	All() []transport.Place
}

// NewPlaces makes an empty one in memory.
func NewPlaces() Places { return &memory{m: map[string]transport.Place{}} }

type memory struct {
	mu sync.Mutex
	m  map[string]transport.Place
}

func (m *memory) All() []transport.Place {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.m))
}

func (m *memory) Load(context.Context) ([]transport.Place, error) { return m.All(), nil }

func (m *memory) Save(_ context.Context, p transport.Place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[p.Key] = p
	return nil
}
