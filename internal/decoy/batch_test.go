package decoy_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

func seen(n, evidence int) *observe.Observation {
	now := time.Now()
	o := &observe.Observation{Kind: observe.KindCommand, Time: now, Session: model.NewULID(now), Decoy: "d", Service: "s",
		Remote: netip.MustParseAddrPort("192.0.2.1:1"), Command: &observe.Command{Line: fmt.Sprint(n)}}
	if evidence > 0 {
		o.Evidence = []observe.Blob{{What: "file", Size: evidence, Data: make([]byte, evidence)}}
	}
	return o
}

// pipe collects what a Batcher sends; while shut it blocks.
type pipe struct {
	mu      sync.Mutex
	all     []observe.Observation
	largest int
	frames  int
}

func (p *pipe) send(b []byte) error {
	batch, err := observe.DecodeBatch(b)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, batch.Observations...)
	p.largest = max(p.largest, len(b))
	p.frames++
	return nil
}

func (p *pipe) got() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

func TestBatcherKeepsOrderAndLosesNothing(t *testing.T) {
	p := &pipe{}
	b := decoy.NewBatcher(p.send)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	const writers, each = 8, 3000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := b.Emit(context.Background(), seen(w*each+i, 0)); err != nil {
					t.Errorf("emit: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	cancel() // what is queued still leaves
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(p.all) != writers*each {
		t.Fatalf("%d observations arrived, want %d", len(p.all), writers*each)
	}
	var next [writers]int
	for i := range p.all {
		var n int
		if _, err := fmt.Sscan(p.all[i].Command.Line, &n); err != nil {
			t.Fatal(err)
		}
		if w := n / each; n%each != next[w] {
			t.Fatalf("writer %d: observation %d arrived, want %d", w, n%each, next[w])
		} else {
			next[w]++
		}
	}
	if p.frames > writers*each/4 {
		t.Errorf("%d frames for %d observations", p.frames, writers*each)
	}
}

// A reader that stops makes visitors wait; nothing is dropped, nothing piles up.
func TestBatcherHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{}
		gate := make(chan struct{})
		b := decoy.NewBatcher(func(frame []byte) error { <-gate; return p.send(frame) })
		run(t, b.Run)
		var in atomic.Int64
		const offered = 20000
		done := make(chan error, 1)
		go func() {
			for i := range offered {
				if err := b.Emit(context.Background(), seen(i, 0)); err != nil {
					done <- err
					return
				}
				in.Add(1)
			}
			done <- nil
		}()
		// It comes to a halt, once the first batch has gathered and is under way: all
		// may be blocked before that, too.
		time.Sleep(time.Second)
		synctest.Wait()
		if n := in.Load(); n == 0 || n > 6000 {
			t.Errorf("%d observations were taken while nobody read", n)
		}
		// One that waits can give up.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := b.Emit(ctx, seen(0, 0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting in vain ends with %v", err)
		}
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		wait(t, "everything to arrive", func() bool { return p.got() == offered })
	})
}

func TestBatcherWeighsEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{}
		gate := make(chan struct{})
		b := decoy.NewBatcher(func(frame []byte) error { <-gate; return p.send(frame) })
		run(t, b.Run)
		const each = 8 << 20
		n := 0
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			err := b.Emit(ctx, seen(n, each))
			cancel()
			if err != nil {
				break
			}
			if n++; n > 30 {
				t.Fatal("240 MiB of evidence were queued")
			}
		}
		close(gate)
		wait(t, "everything to arrive", func() bool { return p.got() == n })
		if n < 8 || p.largest > 2*each {
			t.Errorf("%d were queued, the largest frame is of %d bytes", n, p.largest)
		}
	})
}

func TestBatcherEndsWithItsReader(t *testing.T) {
	broken := errors.New("pipe is closed")
	b := decoy.NewBatcher(func([]byte) error { return broken })
	if err := b.Emit(t.Context(), seen(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Run ends with %v", err)
	}
	if err := b.Emit(t.Context(), seen(2, 0)); !errors.Is(err, broken) {
		t.Errorf("Emit says %v after the end", err)
	}
}

func TestBatcherDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{}
		b := decoy.NewBatcher(p.send)
		run(t, b.Run)
		begin := time.Now()
		if err := b.Emit(t.Context(), seen(1, 0)); err != nil {
			t.Fatal(err)
		}
		wait(t, "one observation", func() bool { return p.got() == 1 })
		if d := time.Since(begin); d > 20*time.Millisecond { // of the bubble's clock
			t.Errorf("one observation took %v", d)
		}
	})
}
