package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// From says where reading begins: at Seq if not zero, else at Time if not zero, else at the first message.
type From struct {
	Seq  uint64
	Time time.Time
	// Key restricts reading to one key when OneKey is set (the empty string is a key too).
	Key    string
	OneKey bool
	// OnBad is told of a message that cannot be decoded; returning nil skips it. Without it such a message ends the
	// read with a *DecodeError. Messages of unknown versions always end the read with a *VersionError.
	OnBad func(*DecodeError) error
}

// Read calls fn for every message that is in the stream now, from the given place, in order, and returns the last
// sequence number the stream had when it began: Follow from that plus one continues without gap or repeat.
func Read[T any](ctx context.Context, b *Bus, t Topic[T], from From, fn func(Message[T]) error) (uint64, error) {
	return scanTopic(ctx, b, t, from, false, fn)
}

// Follow calls fn for every message from the given place, in order, and keeps following until ctx ends (then it
// returns nil) or fn fails (its error is returned). Nothing is acknowledged or remembered: for folds that rebuild.
func Follow[T any](ctx context.Context, b *Bus, t Topic[T], from From, fn func(Message[T]) error) error {
	_, err := scanTopic(ctx, b, t, from, true, fn)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func scanTopic[T any](ctx context.Context, b *Bus, t Topic[T], from From, follow bool, fn func(Message[T]) error) (uint64, error) {
	if _, err := ensureTopic(ctx, b, &t); err != nil {
		return 0, err
	}
	c := t.codec()
	o := scanOptions{stream: t.Stream, filter: c.prefix + "*", seq: from.Seq, time: from.Time, follow: follow}
	if from.OneKey {
		tok, _, err := token(from.Key)
		if err != nil {
			return 0, err
		}
		o.filter = c.prefix + tok
	}
	return b.scan(ctx, o, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		v := Message[T]{Seq: meta.Sequence.Stream, Time: meta.Timestamp}
		err := c.decode(&v, m.Subject(), m.Headers(), m.Data())
		var de *DecodeError
		if errors.As(err, &de) && from.OnBad != nil {
			return from.OnBad(de)
		}
		if err != nil {
			return err
		}
		return fn(v)
	})
}

type scanOptions struct {
	stream, filter string
	seq            uint64
	time           time.Time
	lastPerSubject bool
	follow         bool
	caughtUp       func() error // called once when everything present has been delivered; only with follow
}

// callerError marks an error of the callback, which ends a scan instead of renewing it.
type callerError struct{ error }

func (e callerError) Unwrap() error { return e.error }

// scan drives an ordered consumer. Without follow it ends at the last message present at its beginning.
func (b *Bus) scan(ctx context.Context, o scanOptions, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) (uint64, error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		last, err := b.scanOnce(ctx, &o, fn)
		var ce callerError
		switch {
		case err == nil:
			return last, nil
		case errors.As(err, &ce):
			return last, ce.error
		case ctx.Err() != nil:
			return last, fmt.Errorf("read %s: %w", o.stream, ctx.Err())
		case b.closed():
			return last, fmt.Errorf("read %s: %w", o.stream, ErrClosed)
		case !o.follow:
			return last, fmt.Errorf("read %s: %w", o.stream, b.explain(err))
		}
		b.log.Debug("follower starts over", "stream", o.stream, "next", o.seq, "err", err)
		if !pause(ctx, wait) {
			return last, ctx.Err()
		}
	}
}

func (b *Bus) scanOnce(ctx context.Context, o *scanOptions, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) (last uint64, err error) {
	s, err := b.js.Stream(ctx, o.stream)
	if err != nil {
		return 0, fmt.Errorf("look up stream: %w", err)
	}
	end := s.CachedInfo().State.LastSeq
	if !o.follow && (end == 0 || o.seq > end || s.CachedInfo().State.Msgs == 0) {
		return end, nil
	}
	cons, err := s.OrderedConsumer(ctx, o.config())
	if err != nil {
		return 0, fmt.Errorf("make reader: %w", err)
	}
	info := cons.CachedInfo()
	defer func() { // else it would stay for its whole InactiveThreshold
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.DeleteConsumer(dctx, info.Name)
	}()
	empty := info.NumPending == 0
	if empty {
		if !o.follow {
			return end, nil
		}
		if err := o.reached(); err != nil {
			return 0, callerError{err}
		}
	}
	it, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(1024, 2*batchBytes))
	if err != nil {
		return 0, fmt.Errorf("start reader: %w", err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return last, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return last, fmt.Errorf("read delivery: %w", err)
		}
		seq := meta.Sequence.Stream
		if !o.follow && seq > end {
			return end, nil
		}
		if err := fn(m, meta); err != nil {
			return last, callerError{err}
		}
		last = seq
		o.seq, o.lastPerSubject, o.time = seq+1, false, time.Time{} // a renewed follower goes on here
		if meta.NumPending == 0 || seq >= end {
			if !o.follow {
				return end, nil
			}
			if meta.NumPending == 0 {
				if err := o.reached(); err != nil {
					return last, callerError{err}
				}
			}
		}
	}
}

func (o *scanOptions) reached() error {
	f := o.caughtUp
	o.caughtUp = nil
	if f == nil {
		return nil
	}
	return f()
}

func (o *scanOptions) config() jetstream.OrderedConsumerConfig {
	c := jetstream.OrderedConsumerConfig{FilterSubjects: []string{o.filter}, InactiveThreshold: 30 * time.Second,
		DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case o.lastPerSubject:
		c.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	case o.seq > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, o.seq
	case !o.time.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &o.time
	}
	return c
}
