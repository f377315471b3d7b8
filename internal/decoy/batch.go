package decoy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"bartizan/internal/observe"
)

// Bounds of the queue between visitors and the pipe. Above them Emit waits,
// which slows visitors down instead of losing what they did.
const (
	maxQueue  = 4096
	maxQueued = 64 << 20 // bytes of evidence and long texts waiting
	batchSize = 512
	batchRoom = 4 << 20 // bytes of the same in one batch; one larger observation travels alone
	linger    = 2 * time.Millisecond
	keepFrame = 1 << 20 // bytes of the encoding buffer kept between batches
)

// Batcher is the Sink of the decoys' process: it collects observations and
// writes them in batches (observe.DecodeBatch reads them) through send.
type Batcher struct {
	send func([]byte) error

	filled chan struct{} // one token: there is something to write
	part   []observe.Observation
	frame  []byte

	mu     sync.Mutex
	queue  []observe.Observation
	bytes  int
	room   chan struct{} // closed and replaced when the queue shrinks while somebody waits for that
	wait   int           // how many wait
	broken error
}

// NewBatcher makes a Batcher; send is called by Run only, one batch at a time,
// and must not keep what it is given.
func NewBatcher(send func([]byte) error) *Batcher {
	return &Batcher{send: send, room: make(chan struct{}), filled: make(chan struct{}, 1)}
}

// Emit implements Sink.
func (b *Batcher) Emit(ctx context.Context, o *observe.Observation) error {
	size := weight(o)
	for {
		b.mu.Lock()
		if b.broken != nil {
			b.mu.Unlock()
			return b.broken
		}
		if len(b.queue) < maxQueue && (b.bytes == 0 || b.bytes+size <= maxQueued) {
			b.queue = append(b.queue, *o)
			b.bytes += size
			b.mu.Unlock()
			select {
			case b.filled <- struct{}{}:
			default:
			}
			return nil
		}
		room := b.room
		b.wait++
		b.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err() // stays counted as waiting until the next shrinking, which does no harm
		}
	}
}

// Run writes batches until ctx ends, then what is left, and returns. An error
// of send ends it: without a reader the decoys have no purpose.
func (b *Batcher) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return b.drain()
		case <-b.filled:
		}
		if b.waiting() < batchSize/4 {
			// Give a burst a moment to gather: a frame of many costs as much as a frame of one.
			select {
			case <-ctx.Done():
			case <-time.After(linger):
			}
		}
		if err := b.drain(); err != nil {
			return err
		}
	}
}

func (b *Batcher) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

func (b *Batcher) drain() error {
	for b.take() {
		b.frame = observe.AppendBatch(b.frame[:0], b.part)
		clear(b.part)
		if err := b.send(b.frame); err != nil {
			return b.fail(fmt.Errorf("send batch: %w", err))
		}
		if cap(b.frame) > keepFrame {
			b.frame = nil // one large file must not occupy memory for ever
		}
	}
	return nil
}

// take moves the next batch from the queue to b.part and tells whether there is one.
func (b *Batcher) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.queue) && n < batchSize {
		s := weight(&b.queue[n])
		if n > 0 && size+s > batchRoom {
			break
		}
		size += s
		n++
	}
	if n == 0 {
		return false
	}
	b.part = append(b.part[:0], b.queue[:n]...)
	m := copy(b.queue, b.queue[n:])
	clear(b.queue[m:])
	b.queue = b.queue[:m]
	b.bytes -= size
	b.wake()
	return true
}

// wake lets everybody who waits for room look again, under b.mu.
func (b *Batcher) wake() {
	if b.wait > 0 {
		close(b.room)
		b.room, b.wait = make(chan struct{}), 0
	}
}

func (b *Batcher) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = err
	b.wake()
	return err
}

// weight is about how many bytes an observation keeps alive in the queue.
func weight(o *observe.Observation) (size int) {
	for i := range o.Evidence {
		size += len(o.Evidence[i].Data)
	}
	switch {
	case o.HTTP != nil:
		size += len(o.HTTP.Body) + len(o.HTTP.Target)
	case o.Call != nil:
		size += len(o.Call.Detail)
		for _, a := range o.Call.Args {
			size += len(a)
		}
	case o.Exchange != nil:
		size += len(o.Exchange.Prompt) + len(o.Exchange.System) + len(o.Exchange.Answer)
	case o.Command != nil:
		size += len(o.Command.Line)
	}
	return size
}
