package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// streamConfig is what the bus decides about a stream; everything else stays at the server's default.
func (b *Bus) streamConfig(name, subject string, l Limits) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage, Replicas: b.conf.Replicas,
		MaxBytes: -1, MaxMsgs: -1, MaxConsumers: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		MaxAge: l.MaxAge, Discard: jetstream.DiscardNew, Duplicates: l.Dedup, AllowDirect: true,
	}
	if l.MaxBytes > 0 {
		c.MaxBytes = l.MaxBytes
	}
	if l.DiscardOld {
		c.Discard = jetstream.DiscardOld
	}
	if c.Duplicates <= 0 {
		c.Duplicates = 2 * time.Minute
	}
	if c.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, c.MaxAge)
	}
	return c
}

// ensure makes the stream, or changes it where it differs. An equal stream is not touched: an update writes to the
// disk, and a node must be able to start reading while the disk is full.
func (b *Bus) ensure(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = b.js.CreateStream(ctx, want)
		if err != nil {
			return nil, fmt.Errorf("make stream %s: %w", want.Name, b.explain(err))
		}
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", want.Name, b.explain(err))
	}
	have := s.CachedInfo().Config
	for _, subj := range have.Subjects { // what an older program wrote must stay readable
		if !slices.Contains(want.Subjects, subj) {
			want.Subjects = append(want.Subjects, subj)
		}
	}
	if sameConfig(have, want) {
		return s, nil
	}
	upd := have
	upd.Subjects, upd.MaxBytes, upd.MaxAge, upd.Discard = want.Subjects, want.MaxBytes, want.MaxAge, want.Discard
	upd.Duplicates, upd.MaxMsgsPerSubject, upd.Replicas = want.Duplicates, want.MaxMsgsPerSubject, want.Replicas
	upd.AllowDirect, upd.AllowMsgTTL = want.AllowDirect, want.AllowMsgTTL || have.AllowMsgTTL
	if s, err = b.js.UpdateStream(ctx, upd); err != nil {
		return nil, fmt.Errorf("change limits of stream %s: %w", want.Name, b.explain(err))
	}
	b.log.Info("stream changed", "stream", want.Name, "max_bytes", want.MaxBytes, "max_age", want.MaxAge)
	return s, nil
}

func sameConfig(a, b jetstream.StreamConfig) bool {
	slices.Sort(a.Subjects)
	slices.Sort(b.Subjects)
	return slices.Equal(a.Subjects, b.Subjects) && a.MaxBytes == b.MaxBytes && a.MaxAge == b.MaxAge &&
		a.Discard == b.Discard && a.Duplicates == b.Duplicates && a.MaxMsgsPerSubject == b.MaxMsgsPerSubject &&
		a.Replicas == b.Replicas && a.AllowDirect == b.AllowDirect && a.AllowMsgTTL == b.AllowMsgTTL
}

func ensureTopic[T any](ctx context.Context, b *Bus, t *Topic[T]) (jetstream.Stream, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	return b.ensure(ctx, b.streamConfig(t.Stream, t.Subject+".*", t.Limits))
}

// Error codes of the JetStream API that nats.go has no name for.
const (
	codeInsufficientResources = 10023
	codeMemoryExceeded        = 10028
	codeStorageExceeded       = 10047
	codeStoreFailed           = 10077
)

// explain turns a client or server error into one of this package's, keeping the chain.
func (b *Bus) explain(err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeInsufficientResources, codeStorageExceeded:
			return fmt.Errorf("%w: the limits of all streams together exceed the store's cap; lower a limit or raise max_bytes: %w", ErrNoSpace, err)
		case codeStoreFailed:
			return fmt.Errorf("%w: the stream is at its own limit and keeps what it has; raise its limit: %w", ErrNoSpace, err)
		case jetstream.JSErrCodeStreamMessageExceedsMaximum:
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return fmt.Errorf("%w: %w", ErrRevision, err)
		}
	}
	if b.local != nil {
		select {
		case <-b.local.failing():
			return fmt.Errorf("%w (%w)", b.local.why(), err)
		default:
		}
	}
	return err
}

// stream returns a handle without asking the server each time: reads by key are frequent.
func (b *Bus) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if s, ok := b.handles.Load(name); ok {
		return s.(jetstream.Stream), nil
	}
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, b.explain(err))
	}
	b.handles.Store(name, s)
	return s, nil
}
