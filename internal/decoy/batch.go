package decoy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"bartizan/internal/observe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of the queue between visitors and the pipe. Above them Emit waits,
// which slows visitors down instead of losing what they did.
const (
	maxQueue  = 4096
	maxQueued = 64 << 20 // bytes of evidence waiting
	batchSize = 512
	batchRoom = 4 << 20 // bytes of evidence in one batch; one larger observation travels alone
	linger    = 2 * time.Millisecond
)

// Batcher is the Sink of the decoys' process: it collects observations and
// writes them as JSON batches through send.
type Batcher struct {
	send func([]byte) error

	mu     sync.Mutex
	queue  []observe.Observation
	bytes  int
	room   chan struct{} // closed and replaced whenever the queue shrinks
	filled chan struct{} // one token: there is something to write
	broken error
}

// NewBatcher makes a Batcher; send is called by Run only, one batch at a time.
func NewBatcher(send func([]byte) error) *Batcher {
	return &Batcher{send: send, room: make(chan struct{}), filled: make(chan struct{}, 1)}
}

// Emit implements Sink.
func (b *Batcher) Emit(ctx context.Context, o *observe.Observation) error {
	size := 0
	for i := range o.Evidence {
		size += len(o.Evidence[i].Data)
	}
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
		b.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
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
	for {
		part := b.take()
		if len(part) == 0 {
			return nil
		}
		frame, err := json.Marshal(observe.Batch{Observations: part}, jsontext.AllowInvalidUTF8(true))
		if err != nil {
			// Text that is not UTF-8 is replaced by the encoder's options, so this is ours.
			return b.fail(fmt.Errorf("encode batch: %w", err))
		}
		if err := b.send(frame); err != nil {
			return b.fail(fmt.Errorf("send batch: %w", err))
		}
	}
}

func (b *Batcher) take() []observe.Observation {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.queue) && n < batchSize {
		s := 0
		for i := range b.queue[n].Evidence {
			s += len(b.queue[n].Evidence[i].Data)
		}
		if n > 0 && size+s > batchRoom {
			break
		}
		size += s
		n++
	}
	if n == 0 {
		return nil
	}
	part := append([]observe.Observation(nil), b.queue[:n]...)
	m := copy(b.queue, b.queue[n:])
	clear(b.queue[m:])
	b.queue = b.queue[:m]
	b.bytes -= size
	close(b.room)
	b.room = make(chan struct{})
	return part
}

func (b *Batcher) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = err
	close(b.room)
	b.room = make(chan struct{})
	return err
}
