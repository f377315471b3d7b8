package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/bus"
	"bartizan/internal/export"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/ocsf/ocsftest"
)

// moody is a sink that is away until told otherwise.
type moody struct {
	mu   sync.Mutex
	away bool
	got  []export.Event
}

func (m *moody) Send(_ context.Context, events []export.Event) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return 0, errors.New("nobody there")
	}
	m.got = append(m.got, events...)
	return 0, nil
}

func (*moody) Close() error { return nil }

func (m *moody) set(away bool) { m.mu.Lock(); m.away = away; m.mu.Unlock() }

func (m *moody) events() []export.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]export.Event(nil), m.got...)
}

// exporting starts an exporter of everything on a bus; the function stops it.
func exporting(t *testing.T, n *Node, sink export.Sink) (stop func()) {
	n.exported = obs.NewMetrics().Counter("export_events_total", "help", "sink", "class", "outcome")
	places, err := export.OpenPlaces(n.bus, "siem")
	if err != nil {
		t.Fatal(err)
	}
	x := &exporter{node: n, name: "siem", sink: sink, log: n.log, place: places}
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	for _, class := range streamed {
		parts.Go(func() {
			if err := x.run(ctx, class); err != nil {
				t.Error(err)
			}
		})
	}
	return func() { cancel(); parts.Wait() }
}

func wait(t *testing.T, ask func() error) {
	t.Helper()
	end, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-end:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// TestExportLosesNothing: a receiver that is away over a restart of the node gets
// everything when it is back, once, in order, as valid events, and the status
// tells.
func TestExportLosesNothing(t *testing.T) {
	schema := ocsftest.Load(t)
	c := DefaultConfig()
	n := &Node{conf: c, env: Env{Version: "v1"}, log: slog.New(slog.DiscardHandler), health: obs.NewHealth()}
	var err error
	if n.bus, err = bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, n.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.bus.Close(context.Background()) })
	signals, err := bus.NewPublisher(t.Context(), n.bus, signalTopic(&c))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := bus.NewPublisher(t.Context(), n.bus, ledgerTopic(&c))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().UTC()
	actor, err := model.ParseIP("203.0.113.5")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			at := began.Add(time.Duration(i) * time.Millisecond)
			s := model.Signal{ID: model.NewULID(at), Time: at, Kind: fmt.Sprintf("test.n%d", i), Class: model.ClassAuth, Rule: "r", Title: "t", Actor: actor, Count: 1, Sensor: "s", Confidence: 0.5}
			if _, err := signals.Publish(t.Context(), "", s.ID.String(), s); err != nil {
				t.Fatal(err)
			}
			e := model.Entry{Change: model.ChangeDecide, Time: at, ID: s.ID, Decision: &model.Decision{ID: s.ID, Action: model.Block, Target: actor, Policy: "p", Reason: "r"}}
			if _, err := entries.Publish(t.Context(), "", s.ID.String(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	status := func() string {
		checks, _ := n.health.Checks()
		return fmt.Sprint(checks)
	}
	sink := &moody{}
	arrived := func(want int) func() error {
		return func() error {
			if got := len(sink.events()); got < want {
				return fmt.Errorf("%d of %d events arrived", got, want)
			}
			return nil
		}
	}
	publish(0, 20)
	stop := exporting(t, n, sink)
	wait(t, arrived(40))
	sink.set(true)
	publish(20, 40)
	wait(t, func() error {
		if s := status(); !strings.Contains(s, "held back since") || !strings.Contains(s, "nobody there") {
			return fmt.Errorf("the status says %s", s)
		}
		return nil
	})
	stop()
	publish(40, 60) // while nothing exports
	sink.set(false)
	stop = exporting(t, n, sink)
	wait(t, arrived(120))
	stop()
	if s := status(); strings.Contains(s, "held back") || !strings.Contains(s, "events sent") {
		t.Errorf("the status says %s", s)
	}
	next := map[string]int{}
	for _, e := range sink.events() {
		schema.Check(t, e.JSON)
		if want := began.Add(time.Duration(next[e.Class]) * time.Millisecond); !e.Time.Equal(want) {
			t.Fatalf("event %d of class %s is of %v, want %v", next[e.Class], e.Class, e.Time, want)
		}
		next[e.Class]++
	}
	if next["signal"] != 60 || next["decision"] != 60 {
		t.Errorf("arrived: %v", next)
	}

	// The same of the past, of a time and a class.
	var past []string
	q := api.ExportQuery{From: began.Add(10 * time.Millisecond), To: began.Add(15 * time.Millisecond), Classes: []string{"signal"}}
	if err := n.exportEvents(t.Context(), q, func(e api.ExportedEvent) error {
		past = append(past, string(e.Event))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(past) != 5 || !strings.Contains(past[0], "test.n10") || !strings.Contains(past[4], "test.n14") {
		t.Errorf("the past: %q", past)
	}
}

// TestExportTellsWhatIsLost: events that left the stream while no node was running are counted at the next start, and
// still after the one after that.
func TestExportTellsWhatIsLost(t *testing.T) {
	c := DefaultConfig()
	c.Bus.SignalBytes = 64 << 10
	n := &Node{conf: c, env: Env{Version: "v1"}, log: slog.New(slog.DiscardHandler), health: obs.NewHealth()}
	var err error
	if n.bus, err = bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, n.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.bus.Close(context.Background()) })
	signals, err := bus.NewPublisher(t.Context(), n.bus, signalTopic(&c))
	if err != nil {
		t.Fatal(err)
	}
	actor, err := model.ParseIP("203.0.113.5")
	if err != nil {
		t.Fatal(err)
	}
	published := 0
	publish := func(k int) {
		for range k {
			published++
			at := time.Now()
			s := model.Signal{ID: model.NewULID(at), Time: at, Kind: "test.lost", Class: model.ClassAuth, Rule: "r", Title: strings.Repeat("t", 200), Actor: actor, Count: 1, Sensor: "s", Confidence: 0.5}
			if _, err := signals.Publish(t.Context(), "", s.ID.String(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	sink := &moody{}
	arrived := func(want func(int) bool) func() error {
		return func() error {
			if got := len(sink.events()); !want(got) {
				return fmt.Errorf("%d events of %d arrived", got, published)
			}
			return nil
		}
	}
	publish(10)
	stop := exporting(t, n, sink)
	wait(t, arrived(func(got int) bool { return got == 10 }))
	stop()
	publish(500) // more than the stream keeps
	lastID := func() string { e := sink.events(); return string(e[len(e)-1].JSON) }
	before := lastID()
	stop = exporting(t, n, sink)
	publish(1)
	told := func() error {
		checks, _ := n.health.Checks()
		lost := published - len(sink.events())
		if lost < 100 || lastID() == before {
			return fmt.Errorf("only %d lost so far", lost)
		}
		if s := fmt.Sprint(checks); !strings.Contains(s, fmt.Sprintf("%d lost, ever", lost)) {
			return fmt.Errorf("%d lost; the status says %s", lost, s)
		}
		return nil
	}
	wait(t, told)
	stop()
	n.health = obs.NewHealth()
	stop = exporting(t, n, sink)
	publish(1)
	wait(t, told)
	stop()
}
