package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// One PublishBatch keeps at most this much unacknowledged, which bounds memory on both sides.
const (
	windowMsgs  = 1024
	windowBytes = 8 << 20
	headerRoom  = 4 << 10 // of a message, for our headers: the longest escaped key is 3 KiB
)

// Publisher writes one topic. It may be used concurrently; order is only defined within one caller.
type Publisher[T any] struct {
	b *Bus
	c codec[T]
}

// Item is one message of a batch.
type Item[T any] struct {
	Key   string
	ID    string // deduplication id, unique within the stream; empty for none
	Value T
}

// NewPublisher makes sure the topic's stream exists with its limits and returns a publisher for it.
func NewPublisher[T any](ctx context.Context, b *Bus, t Topic[T]) (*Publisher[T], error) {
	if _, err := ensureTopic(ctx, b, &t); err != nil {
		return nil, err
	}
	return &Publisher[T]{b: b, c: t.codec()}, nil
}

// Publish stores one message and returns its sequence number after the store has acknowledged it. A message with the
// id of an earlier one (within Limits.Dedup) is not stored again; the earlier one's number is returned. After an error
// the message may or may not be stored: publish it again with the same id.
func (p *Publisher[T]) Publish(ctx context.Context, key, id string, v T) (uint64, error) {
	m, err := p.c.encode(key, v)
	if err != nil {
		return 0, err
	}
	seq, err := p.b.publish(ctx, m, messageID(id))
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", p.c.schema, err)
	}
	return seq, nil
}

// BatchError lists the items of a batch that are not known to be stored, by index.
type BatchError struct {
	Failed map[int]error
	Total  int
}

func (e *BatchError) Error() string {
	first := -1
	for i := range e.Failed {
		if first < 0 || i < first {
			first = i
		}
	}
	return fmt.Sprintf("publish batch: %d of %d not stored, first item %d: %v", len(e.Failed), e.Total, first, e.Failed[first])
}

// Unwrap lets errors.Is find ErrNoSpace and the like in any item.
func (e *BatchError) Unwrap() []error {
	var out []error
	for _, err := range e.Failed {
		out = append(out, err)
	}
	return out
}

// PublishBatch stores many messages, pipelined, in order, and returns when all are acknowledged. Its error is a
// *BatchError that names what failed; a failed item does not stop the others, except that after ErrNoSpace,
// ErrStore, ErrClosed or the end of ctx the rest is not tried.
func (p *Publisher[T]) PublishBatch(ctx context.Context, items []Item[T]) error {
	if len(items) == 0 {
		return nil
	}
	failed := map[int]error{}
	if err := p.b.begin(); err != nil {
		return fmt.Errorf("publish batch: %w", err)
	}
	defer p.b.inflight.Done()
	w := window{b: p.b, failed: failed}
	for i := range items {
		if err := w.stop; err != nil {
			failed[i] = err
			continue
		}
		m, err := p.c.encode(items[i].Key, items[i].Value)
		if err != nil {
			failed[i] = err
			continue
		}
		w.send(ctx, i, m, messageID(items[i].ID))
	}
	for len(w.open) > 0 {
		w.settle(ctx)
	}
	if len(failed) > 0 {
		return &BatchError{Failed: failed, Total: len(items)}
	}
	return nil
}

// window holds the unacknowledged part of a batch, oldest first.
type window struct {
	b      *Bus
	open   []pending
	bytes  int
	failed map[int]error
	stop   error // set when going on is pointless
}

type pending struct {
	i, size int
	ack     jetstream.PubAckFuture
}

func (w *window) send(ctx context.Context, i int, m *nats.Msg, id string) {
	size := len(m.Data) + len(m.Subject) + 128
	for len(w.open) > 0 && (len(w.open) >= windowMsgs || w.bytes+size > windowBytes) {
		w.settle(ctx)
	}
	ack, err := w.b.sendMsg(m, id, i%windowMsgs == 0)
	if err != nil {
		w.fail(i, err)
		return
	}
	w.open = append(w.open, pending{i, size, ack})
	w.bytes += size
}

func (w *window) settle(ctx context.Context) {
	p := w.open[0]
	w.open = w.open[1:]
	w.bytes -= p.size
	if _, err := w.b.await(ctx, p.ack); err != nil {
		w.fail(p.i, err)
	}
}

func (w *window) fail(i int, err error) {
	w.failed[i] = err
	if errors.Is(err, ErrNoSpace) || errors.Is(err, ErrStore) || errors.Is(err, ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		w.stop = err
	}
}

// publish sends one message and waits for its acknowledgement.
func (b *Bus) publish(ctx context.Context, m *nats.Msg, id string) (uint64, error) {
	if err := b.begin(); err != nil {
		return 0, err
	}
	defer b.inflight.Done()
	ack, err := b.sendMsg(m, id, true)
	if err != nil {
		return 0, err
	}
	return b.await(ctx, ack)
}

func (b *Bus) sendMsg(m *nats.Msg, id string, checkSpace bool) (jetstream.PubAckFuture, error) {
	if checkSpace && b.local != nil {
		if err := b.local.writable(); err != nil {
			return nil, err
		}
	}
	if limit := b.nc.MaxPayload() - headerRoom; int64(len(m.Data)) > limit {
		return nil, fmt.Errorf("%w: %d bytes, a message holds %d", ErrTooLarge, len(m.Data), limit)
	}
	if id != "" {
		m.Header[jetstream.MsgIDHeader] = []string{id}
	}
	ack, err := b.js.PublishMsgAsync(m)
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil, ErrClosed
	}
	if err != nil {
		return nil, b.explain(err)
	}
	return ack, nil
}

func (b *Bus) await(ctx context.Context, ack jetstream.PubAckFuture) (uint64, error) {
	var failing <-chan struct{}
	if b.local != nil {
		failing = b.local.failing()
	}
	select {
	case a := <-ack.Ok():
		b.acked(a)
		return a.Sequence, nil
	case err := <-ack.Err():
		return 0, b.unanswered(err)
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for acknowledgement: %w", ctx.Err())
	case <-b.done:
		return 0, ErrClosed
	case <-failing:
		// The answer may have been on its way before the store broke.
		select {
		case a := <-ack.Ok():
			b.acked(a)
			return a.Sequence, nil
		default:
			return 0, b.local.why()
		}
	}
}

func (b *Bus) unanswered(err error) error {
	err = b.explain(err)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrNoStreamResponse) {
		return fmt.Errorf("no server answers for this stream: %w", err)
	}
	if strings.Contains(err.Error(), "no space left") {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

func (b *Bus) acked(a *jetstream.PubAck) {
	if b.local != nil {
		b.pos.saw(a.Stream, a.Sequence)
	}
}
