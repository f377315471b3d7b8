package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ConsumeOptions tune Consume. The zero value is right for most.
type ConsumeOptions struct {
	// Batch is the most messages handed over at once, 1 to 4096; default 256. Whatever has arrived is handed over
	// at once, Consume never waits for a batch to fill.
	Batch int
	// New starts a durable that does not exist yet at the end of the stream instead of at its beginning.
	New bool
	// Retry is the wait after the first failure of the handler; it doubles up to 64 times that. Default 50 ms.
	Retry time.Duration
}

const (
	batchBytes = 8 << 20 // of one handed-over batch; a single message may be as large as maxPayload
	// ackWait never fires in practice: a restart resets the durable to its last acknowledgement instead of waiting.
	ackWait = time.Hour
)

// Consume hands the topic's messages to handle, in order, and blocks until ctx ends (then it returns nil).
//
// Delivery is at least once: a batch is acknowledged after handle has returned nil, and the acknowledgement is
// confirmed by the server before the next batch, so a kill at any moment only repeats messages. The durable's
// position is kept by the bus under its name, over restarts. When handle fails (or panics) the same batch is handed
// over again after a growing pause, marked Redelivered; later messages wait, because order is what the folds behind
// this rely on. handle must not keep the slice.
//
// A message that cannot be decoded goes to the dead-letter stream with its reason and is counted, then the stream
// goes on. A message with an unknown schema version ends Consume with a *VersionError and is not acknowledged.
//
// A durable belongs to one Consume call at a time; a second one in the same process is refused.
func Consume[T any](ctx context.Context, b *Bus, t Topic[T], durable string, opt ConsumeOptions,
	handle func(context.Context, []Message[T]) error) error {
	if err := checkName("durable", durable); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	if opt.Batch == 0 {
		opt.Batch = 256
	}
	if opt.Batch < 1 || opt.Batch > 4096 {
		return fmt.Errorf("consume %s: batch of %d; use 1 to 4096", t.Stream, opt.Batch)
	}
	if opt.Retry <= 0 {
		opt.Retry = 50 * time.Millisecond
	}
	if _, err := ensureTopic(ctx, b, &t); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	name := t.Stream + "/" + durable
	if !b.claim(name) {
		return fmt.Errorf("consume %s: durable is already being consumed in this process", name)
	}
	defer b.unclaim(name)
	c := &consumer[T]{b: b, c: t.codec(), durable: durable, opt: opt, handle: handle,
		log: b.log.With("stream", t.Stream, "durable", durable)}
	for wait := opt.Retry; ; wait = min(2*wait, 5*time.Second) {
		progress, err := c.session(ctx)
		var ve *VersionError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &ve):
			return fmt.Errorf("consume %s: %w", name, err)
		case b.closed():
			return fmt.Errorf("consume %s: %w", name, ErrClosed)
		}
		if progress {
			wait = opt.Retry
		}
		c.log.Debug("consumer starts over", "err", err, "wait", wait)
		if !pause(ctx, wait) {
			return nil
		}
	}
}

func (b *Bus) closed() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

func (b *Bus) claim(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.durables[name] {
		return false
	}
	b.durables[name] = true
	return true
}

func (b *Bus) unclaim(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.durables, name)
}

// pause waits d; false means ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

type consumer[T any] struct {
	b       *Bus
	c       codec[T]
	durable string
	opt     ConsumeOptions
	handle  func(context.Context, []Message[T]) error
	log     *slog.Logger

	// of the running session
	dseq, sseq uint64 // last delivery and stream sequence seen
	batch      []Message[T]
}

// errGap: a delivery got lost between server and us; the session starts over at the last acknowledgement.
var errGap = errors.New("gap in deliveries")

// session delivers until something goes wrong. Every session begins by resetting the durable to its last
// acknowledgement: what a killed predecessor had in flight comes again now and in order, not after a timeout and
// behind newer messages. Acknowledging one message acknowledges all before it (AckAll), which is sound because within
// a session deliveries are checked to be gapless.
func (c *consumer[T]) session(ctx context.Context) (progress bool, err error) {
	epoch := c.b.thisEpoch()
	cons, err := c.attach(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	msgs := make(chan jetstream.Msg, 2*c.opt.Batch)
	errs := make(chan error, 1)
	run, err := cons.Consume(
		func(m jetstream.Msg) {
			select {
			case msgs <- m:
			case <-ctx.Done():
			}
		},
		// A pull larger than MaxAckPending would stall until it expires; attach sets twice the batch.
		jetstream.PullMaxMessagesWithBytesLimit(c.opt.Batch, 2*batchBytes),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case errs <- err:
			default:
			}
		}))
	if err != nil {
		return false, fmt.Errorf("pull: %w", err)
	}
	defer func() { cancel(); run.Stop(); <-run.Closed() }()
	for {
		if ctx.Err() != nil { // select picks at random: an ended context must win over waiting messages
			return progress, ctx.Err()
		}
		select {
		case <-ctx.Done():
			return progress, ctx.Err()
		case <-c.b.done:
			return progress, ErrClosed
		case <-epoch:
			return progress, errors.New("connection was renewed")
		case err := <-errs:
			return progress, err
		case m := <-msgs:
			if err := c.deliver(ctx, m, msgs); err != nil {
				return progress, err
			}
			progress = true
		}
	}
}

// attach finds or makes the durable and resets it.
func (c *consumer[T]) attach(ctx context.Context) (jetstream.Consumer, error) {
	want := jetstream.ConsumerConfig{
		Durable: c.durable, AckPolicy: jetstream.AckAllPolicy, AckWait: ackWait, FilterSubject: c.c.prefix + "*",
		MaxAckPending: 2 * c.opt.Batch, DeliverPolicy: jetstream.DeliverAllPolicy, MaxDeliver: -1,
	}
	if c.opt.New {
		want.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	s, err := c.b.js.Stream(ctx, c.c.stream)
	if err != nil {
		return nil, fmt.Errorf("look up stream: %w", err)
	}
	cons, err := s.Consumer(ctx, c.durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		cons, err = s.CreateConsumer(ctx, want)
	} else if err == nil {
		have := cons.CachedInfo().Config
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = have.DeliverPolicy, have.OptStartSeq, have.OptStartTime
		if have.MaxAckPending != want.MaxAckPending || have.FilterSubject != want.FilterSubject || have.AckWait != want.AckWait {
			cons, err = s.UpdateConsumer(ctx, want)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open durable: %w", err)
	}
	r, err := s.ResetConsumer(ctx, c.durable)
	if err != nil {
		return nil, fmt.Errorf("reset durable (needs NATS 2.14 or newer): %w", err)
	}
	c.dseq, c.sseq = r.Delivered.Consumer, r.ResetSeq-1
	return cons, nil
}

// deliver takes what has arrived, up to a batch, hands it over and acknowledges it.
func (c *consumer[T]) deliver(ctx context.Context, m jetstream.Msg, more <-chan jetstream.Msg) error {
	c.batch = c.batch[:0]
	var last jetstream.Msg
	var stop error
	size := 0
collect:
	for {
		fresh, err := c.take(ctx, m)
		if err != nil {
			stop = err
			break
		}
		if fresh {
			last = m
			size += len(m.Data())
		}
		if len(c.batch) >= c.opt.Batch || size >= batchBytes {
			break
		}
		select {
		case m = <-more:
		default:
			break collect
		}
	}
	if last == nil {
		return stop
	}
	if len(c.batch) > 0 {
		if err := c.hand(ctx); err != nil {
			return err
		}
	}
	// Handled is handled: the acknowledgement goes out even when ctx has just ended.
	actx, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
	defer cancel()
	if err := last.DoubleAck(actx); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return stop
}

// take checks and decodes one delivery into the batch. fresh is false for a repeat that must be ignored.
func (c *consumer[T]) take(ctx context.Context, m jetstream.Msg) (fresh bool, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return false, fmt.Errorf("read delivery: %w", err)
	}
	if meta.Sequence.Consumer != c.dseq+1 {
		return false, fmt.Errorf("%w: %d after %d", errGap, meta.Sequence.Consumer, c.dseq)
	}
	if meta.Sequence.Stream <= c.sseq {
		c.dseq++
		return false, nil
	}
	v := Message[T]{Seq: meta.Sequence.Stream, Time: meta.Timestamp, Redelivered: meta.NumDelivered > 1}
	err = c.c.decode(&v, m.Subject(), m.Headers(), m.Data())
	var de *DecodeError
	switch {
	case errors.As(err, &de):
		if err := c.b.deadLetter(ctx, c.c.stream, c.durable, m, v.Seq, v.Time, de.Err); err != nil {
			return false, fmt.Errorf("move message %d aside: %w", v.Seq, err)
		}
		c.log.Warn("message cannot be decoded; moved to the dead letters", "seq", v.Seq)
	case err != nil:
		return false, err
	default:
		c.batch = append(c.batch, v)
	}
	c.dseq, c.sseq = meta.Sequence.Consumer, meta.Sequence.Stream
	return true, nil
}

// hand calls the handler until it succeeds or ctx ends.
func (c *consumer[T]) hand(ctx context.Context) error {
	wait := c.opt.Retry
	for try := 1; ; try++ {
		err := c.call(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if try&(try-1) == 0 { // the first, second, fourth, eighth … time
			c.log.Warn("handler failed; the batch comes again", "err", err, "try", try, "messages", len(c.batch),
				"first_seq", c.batch[0].Seq)
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		wait = min(2*wait, 64*c.opt.Retry)
		for i := range c.batch {
			c.batch[i].Redelivered = true
		}
	}
}

func (c *consumer[T]) call(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("handler panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("handler panicked: %v", r)
		}
	}()
	return c.handle(ctx, c.batch)
}
