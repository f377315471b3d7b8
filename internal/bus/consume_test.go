package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

func fill(t testing.TB, b *Bus, from, to int) {
	t.Helper()
	p := must[*Publisher[sample]](t)(NewPublisher(t.Context(), b, sampleTopic()))
	items := make([]Item[sample], 0, to-from)
	for i := from; i < to; i++ {
		items = append(items, Item[sample]{Key: strconv.Itoa(i % 7), Value: sample{N: i}})
	}
	if err := p.PublishBatch(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

// TestConsumeHandlesAllInOrder is the promise of Consume: whatever the batch size, however often the handler fails,
// panics or is cut off, and the store is closed and opened, every message is handled, none is skipped.
func TestConsumeHandlesAllInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.IntRange(2, 150).Draw(rt, "messages")
		opt := ConsumeOptions{Batch: rapid.SampledFrom([]int{1, 2, 7, 64, 4096}).Draw(rt, "batch"), Retry: time.Microsecond}
		badEvery := rapid.IntRange(2, 9).Draw(rt, "bad every")
		cutEvery := rapid.IntRange(3, 20).Draw(rt, "cut every")
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		c := Config{Dir: t.TempDir()}
		b := must[*Bus](t)(Open(t.Context(), c, nil))
		defer func() { closeBus(t, b) }()
		fill(t, b, 0, total/2)
		handled, tries := 0, 0
		refilled := false
		for runs := 0; handled < total; runs++ {
			if runs > 200 {
				rt.Fatalf("no progress: %d of %d", handled, total)
			}
			ctx, cancel := context.WithCancel(t.Context())
			err := Consume(ctx, b, sampleTopic(), "d", opt, func(_ context.Context, ms []Message[sample]) error {
				tries++
				if len(ms) == 0 || len(ms) > opt.Batch {
					return fmt.Errorf("batch of %d", len(ms))
				}
				if ms[0].Value.N > handled {
					rt.Errorf("skipped %d to %d", handled, ms[0].Value.N)
				}
				for i := range ms {
					if ms[i].Value.N != ms[0].Value.N+i || ms[i].Seq != uint64(ms[i].Value.N+1) {
						rt.Errorf("disorder inside a batch: %+v", ms[i])
					}
				}
				if tries%badEvery == 0 {
					if rnd.IntN(2) == 0 {
						panic("handler bug")
					}
					return errors.New("handler fails")
				}
				handled = max(handled, ms[len(ms)-1].Value.N+1)
				if tries%cutEvery == 0 || handled == total || !refilled && handled >= total/2 {
					cancel()
					if rnd.IntN(2) == 0 {
						return context.Canceled // not acknowledged: comes again
					}
				}
				return nil
			})
			cancel()
			if err != nil {
				rt.Fatal(err)
			}
			if !refilled {
				fill(t, b, total/2, total)
				refilled = true
			}
			if runs%3 == 0 {
				closeBus(t, b)
				b = must[*Bus](t)(Open(t.Context(), c, nil))
			}
		}
	})
}

func TestConsumeContinuesAtOnceAfterAKill(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		fill(t, b, 0, 100)
		ctx, cancel := context.WithCancel(t.Context())
		next := 0
		err := Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{Batch: 10}, func(_ context.Context, ms []Message[sample]) error {
			if next >= 50 { // everything behind is in flight and will never be acknowledged
				cancel()
				return context.Canceled
			}
			next = ms[len(ms)-1].Value.N + 1
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		ctx, cancel = context.WithCancel(t.Context())
		first, n := -1, 0
		err = Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{}, func(_ context.Context, ms []Message[sample]) error {
			if first < 0 {
				first = ms[0].Value.N
			}
			if n += len(ms); ms[len(ms)-1].Value.N == 99 {
				cancel()
			}
			return nil
		})
		if err != nil || first != next || n != 100-next || time.Since(begin) > 30*time.Second { // far below ackWait
			t.Errorf("first %d, %d messages, %v, err %v", first, n, time.Since(begin), err)
		}
	})
}

func TestConsumeRetriesMarkRedelivered(t *testing.T) {
	b := openBus(t, Config{Dir: t.TempDir()})
	fill(t, b, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var marks []bool
	err := Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{Retry: time.Microsecond}, func(_ context.Context, ms []Message[sample]) error {
		marks = append(marks, ms[0].Redelivered)
		if len(marks) < 3 {
			return errors.New("not yet")
		}
		cancel()
		return nil
	})
	if err != nil || fmt.Sprint(marks) != "[false true true]" {
		t.Errorf("marks %v, err %v", marks, err)
	}
	st := must[[]StreamStats](t)(b.Stats(t.Context()))
	if c := st[0].Consumers; len(c) != 1 || c[0].Name != "d" || c[0].AckSeq != 1 || c[0].Unacked != 0 || c[0].Pending != 0 {
		t.Errorf("consumers %+v", c)
	}
}

func TestConsumeRefusesASecondUseOfADurable(t *testing.T) {
	b := openBus(t, Config{Dir: t.TempDir()})
	fill(t, b, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	err := Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{}, func(ctx context.Context, ms []Message[sample]) error {
		err := Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{}, nil)
		if err == nil || !strings.Contains(err.Error(), "already being consumed") {
			t.Errorf("got %v", err)
		}
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestConsumeNewStartsAtTheEnd(t *testing.T) {
	b := openBus(t, Config{Dir: t.TempDir()})
	fill(t, b, 0, 5)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	got := make(chan int, 10)
	go func() {
		done <- Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{New: true}, func(_ context.Context, ms []Message[sample]) error {
			got <- ms[0].Value.N
			return nil
		})
	}()
	eventually(t, "durable made", func() bool {
		st, err := b.Stats(t.Context())
		return err == nil && len(st[0].Consumers) == 1
	})
	fill(t, b, 5, 6)
	if n := <-got; n != 5 {
		t.Errorf("first message is %d", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// raw stores a message as a foreign or future program would.
func raw(t *testing.T, b *Bus, subject, schema, version, body string) {
	t.Helper()
	m := &nats.Msg{Subject: subject, Header: nats.Header{hdrSchema: []string{schema}, hdrVersion: []string{version}}, Data: []byte(body)}
	must[*jetstream.PubAck](t)(b.js.PublishMsg(t.Context(), m))
}

func TestPoisonGoesToTheDeadLetters(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		fill(t, b, 0, 2)
		raw(t, b, "samples.a", "sample", "2", `{"n":`)
		raw(t, b, "samples.b", "other", "2", `{}`)
		raw(t, b, "samples.=zz", "sample", "2", `{}`)
		raw(t, b, "samples.d", "sample", "x", `{}`)
		raw(t, b, "samples.==00", "sample", "2", `{}`)
		raw(t, b, "samples.e", "sample", "2", `{"n":2}`)
		ctx, cancel := context.WithCancel(t.Context())
		var got []int
		err := Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{}, func(_ context.Context, ms []Message[sample]) error {
			for _, m := range ms {
				got = append(got, m.Value.N)
			}
			if len(got) == 3 {
				cancel()
			}
			return nil
		})
		if err != nil || fmt.Sprint(got) != "[0 1 2]" {
			t.Errorf("handled %v, err %v", got, err)
		}
		var dead []DeadLetter
		if err := ReadDeadLetters(t.Context(), b, func(d DeadLetter) error { dead = append(dead, d); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(dead) != 5 || b.DeadLettered() != 5 {
			t.Fatalf("%d dead letters, counted %d", len(dead), b.DeadLettered())
		}
		if d := dead[0]; d.Stream != "SAMPLES" || d.Durable != "d" || d.Original != 3 || string(d.Data) != `{"n":` || d.Subject != "samples.a" || d.Reason == "" || d.Time.IsZero() {
			t.Errorf("dead letter %+v", d)
		}
		// Readers choose: stop, or be told and go on.
		var de *DecodeError
		if _, err := Read(t.Context(), b, sampleTopic(), From{}, func(Message[sample]) error { return nil }); !errors.As(err, &de) || de.Seq != 3 {
			t.Errorf("read: %v", err)
		}
		bad, good := 0, 0
		must[uint64](t)(Read(t.Context(), b, sampleTopic(), From{OnBad: func(*DecodeError) error { bad++; return nil }},
			func(Message[sample]) error { good++; return nil }))
		if bad != 5 || good != 3 {
			t.Errorf("bad %d, good %d", bad, good)
		}
	})
}

func TestNewerVersionStopsAndStays(t *testing.T) {
	b := openBus(t, Config{Dir: t.TempDir()})
	fill(t, b, 0, 2)
	raw(t, b, "samples.a", "sample", "3", `{"n":2}`)
	handled := 0
	run := func() error {
		return Consume(t.Context(), b, sampleTopic(), "d", ConsumeOptions{}, func(_ context.Context, ms []Message[sample]) error {
			handled += len(ms)
			return nil
		})
	}
	for range 2 { // the second run proves that the first did not acknowledge it
		var ve *VersionError
		if err := run(); !errors.As(err, &ve) || ve.Got != 3 || ve.Known != 2 ||
			!strings.Contains(err.Error(), "version 3 is newer than this program, which knows version 2") {
			t.Fatalf("got %v", err)
		}
	}
	if handled != 2 {
		t.Errorf("handled %d", handled)
	}
	topic := sampleTopic()
	topic.Version = 3
	topic.Old = map[int]func([]byte) (sample, error){}
	_, err := Read(t.Context(), b, topic, From{}, func(Message[sample]) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "version 2 is older than this program's version 3") {
		t.Errorf("got %v", err)
	}
}

func TestOlderVersionIsConverted(t *testing.T) {
	b := openBus(t, Config{Dir: t.TempDir()})
	fill(t, b, 0, 1)
	raw(t, b, "samples.a", "sample", "1", `41`)
	var got []sample
	must[uint64](t)(Read(t.Context(), b, sampleTopic(), From{}, func(m Message[sample]) error { got = append(got, m.Value); return nil }))
	if len(got) != 2 || got[1] != (sample{N: 41, Text: "was version 1"}) {
		t.Errorf("got %+v", got)
	}
}

func TestFollowReplaysThenFollows(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		fill(t, b, 0, 10)
		last := must[uint64](t)(Read(t.Context(), b, sampleTopic(), From{}, func(Message[sample]) error { return nil }))
		fill(t, b, 10, 12) // between Read and Follow: no gap, no repeat
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan int, 100)
		done := make(chan error, 1)
		go func() {
			done <- Follow(ctx, b, sampleTopic(), From{Seq: last + 1}, func(m Message[sample]) error { got <- m.Value.N; return nil })
		}()
		for want := 10; want < 20; want++ {
			if n := <-got; n != want {
				t.Fatalf("got %d, want %d", n, want)
			}
			if want == 11 {
				fill(t, b, 12, 20)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("follow: %v", err)
		}
		mine := errors.New("mine")
		if err := Follow(t.Context(), b, sampleTopic(), From{}, func(Message[sample]) error { return mine }); !errors.Is(err, mine) {
			t.Errorf("got %v", err)
		}
	})
}
