// Package exporttest is the conformance suite of sinks.
package exporttest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"bartizan/internal/export"
)

// Receiver is the other end of a sink under test.
type Receiver interface {
	// Events returns the events that have arrived, in order, as JSON.
	Events() [][]byte
	// Down makes sending fail until Up.
	Down()
	Up()
}

// Options say what a sink cannot do.
type Options struct {
	// Unconfirmed is true when a receiver that is away, or slow, goes unnoticed (UDP).
	Unconfirmed bool
}

// Wait is how long anything may take.
const Wait = 20 * time.Second

// Run checks a sink against what package export promises. start makes a sink
// and a receiver of its own for each part.
func Run(t *testing.T, o Options, start func(t *testing.T) (export.Sink, Receiver)) {
	part := func(name string, run func(t *testing.T, s export.Sink, r Receiver)) {
		t.Run(name, func(t *testing.T) {
			s, r := start(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			run(t, s, r)
		})
	}
	part("everything arrives in order", func(t *testing.T, s export.Sink, r Receiver) {
		events, step := Events(700), 100
		if o.Unconfirmed {
			events, step = events[:100], 10 // what the receiver's buffer holds
		}
		for to := step; to <= len(events); to += step {
			send(t, s, events[to-step:to])
			if o.Unconfirmed {
				arrived(t, r, events[:to])
			}
		}
		arrived(t, r, events)
	})
	part("nothing is sent of nothing", func(t *testing.T, s export.Sink, r Receiver) {
		if left, err := s.Send(t.Context(), nil); left != 0 || err != nil {
			t.Errorf("empty batch: %d, %v", left, err)
		}
		events := Events(1)
		send(t, s, events)
		arrived(t, r, events)
	})
	part("keeps nothing", func(t *testing.T, s export.Sink, r Receiver) {
		events, want := Events(3), Events(3)
		send(t, s, events)
		for i := range events {
			for j := range events[i].JSON {
				events[i].JSON[j] = 'x'
			}
		}
		arrived(t, r, want)
	})
	part("ends with its context", func(t *testing.T, s export.Sink, r Receiver) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if _, err := s.Send(ctx, Events(5)); err == nil {
			t.Error("sent although its context had ended")
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %v to notice", d)
		}
		send(t, s, Events(6))
		arrived(t, r, Events(6))
	})
	if !o.Unconfirmed {
		part("finds a receiver again", again)
	}
}

// again: what is sent while the receiver is away fails, and arrives later.
func again(t *testing.T, s export.Sink, r Receiver) {
	events := Events(30)
	send(t, s, events[:10])
	arrived(t, r, events[:10])
	r.Down()
	if _, err := s.Send(t.Context(), events[10:20]); err == nil {
		t.Error("sent to a receiver that is away")
	}
	if _, err := s.Send(t.Context(), events[10:20]); err == nil {
		t.Error("sent again to a receiver that is away")
	}
	r.Up()
	send(t, s, events[10:20])
	send(t, s, events[20:])
	arrived(t, r, events)
}

func send(t *testing.T, s export.Sink, events []export.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Wait)
	defer cancel()
	left, err := export.Deliver(ctx, s, events, export.Retry{First: 10 * time.Millisecond, Most: 100 * time.Millisecond})
	if err != nil || left != 0 {
		t.Fatalf("send: %d left out, %v", left, err)
	}
}

// arrived waits until the receiver has the events. Ones that came twice count once.
func arrived(t *testing.T, r Receiver, want []export.Event) {
	t.Helper()
	var got [][]byte
	Eventually(t, func() error {
		got = got[:0]
		seen := map[string]bool{}
		for _, e := range r.Events() {
			if !seen[string(e)] {
				seen[string(e)] = true
				got = append(got, e)
			}
		}
		if len(got) < len(want) {
			return fmt.Errorf("%d of %d events arrived", len(got), len(want))
		}
		return nil
	})
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i].JSON) {
			t.Fatalf("event %d is\n%q, want\n%q", i, got[i], want[i].JSON)
		}
	}
}

// Eventually waits until ask is content.
func Eventually(t *testing.T, ask func() error) {
	t.Helper()
	end := time.After(Wait)
	tick := time.NewTicker(5 * time.Millisecond)
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

// Events are n events, all different, with text that protocols stumble over.
func Events(n int) []export.Event {
	at := time.Date(2026, 11, 27, 1, 2, 3, 456_000_000, time.UTC)
	hostile := []string{"", `\u0000`, `\n<13>1 - - - - - injected`, `é🦠`, `\"}{\"`, `12 <34>1 `, `\\`, strings.Repeat("x", 9000), `%n%s`, `\u2028`}
	out := make([]export.Event, n)
	for i := range out {
		out[i] = export.Event{Class: "signal", Time: at.Add(time.Duration(i) * time.Millisecond), Severity: 1 + i%5,
			JSON: fmt.Appendf(nil, `{"n":%d,"severity_id":%d,"text":"%s"}`, i, 1+i%5, hostile[i%len(hostile)])}
	}
	return out
}

// Lines reads the lines of a file that may not exist.
func Lines(t testing.TB, file string) (out [][]byte) {
	text, err := os.ReadFile(file)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if l, whole := bytes.CutSuffix(line, []byte("\n")); whole {
			out = append(out, l)
		}
	}
	return out
}
