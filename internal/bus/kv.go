package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	opDelete     = "del"
	tombstoneTTL = "24h" // a watcher that was away longer must read All again
)

// KVOptions bound a bucket.
type KVOptions[T any] struct {
	MaxBytes int64         // bytes on disk; a full bucket refuses new values (ErrNoSpace)
	MaxAge   time.Duration // entries not written for so long disappear
	// Old converts values of older schema versions, as in Topic.
	Old map[int]func([]byte) (T, error)
}

// Entry is one key's current value.
type Entry[T any] struct {
	Key      string
	Value    T
	Revision uint64 // grows with every write to the bucket; for Update
	Time     time.Time
	Deleted  bool // only from Watch; Value is then zero
}

// KV is a typed key-value bucket: a stream that keeps the last message of each key, with the same envelope as topics.
// (The client library's own buckets have no headers, so no schema version.) It may be used concurrently.
type KV[T any] struct {
	b *Bus
	c codec[T]
}

// OpenKV makes sure the bucket exists.
func OpenKV[T any](ctx context.Context, b *Bus, bucket, schema string, version int, o KVOptions[T]) (*KV[T], error) {
	t := Topic[T]{Stream: "STATE_" + bucket, Subject: "state." + bucket, Schema: schema, Version: version, Old: o.Old}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	c := b.streamConfig(t.Stream, t.Subject+".*", Limits{MaxBytes: o.MaxBytes, MaxAge: o.MaxAge})
	c.MaxMsgsPerSubject, c.AllowMsgTTL = 1, true
	if _, err := b.ensure(ctx, c); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	return &KV[T]{b: b, c: t.codec()}, nil
}

// Get returns the current value of key, or ErrNotFound.
func (k *KV[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	e, err := k.get(ctx, key)
	if err == nil && e.Deleted {
		err = ErrNotFound
	}
	if err != nil {
		return Entry[T]{}, fmt.Errorf("get %s: %w", k.c.schema, err)
	}
	return e, nil
}

func (k *KV[T]) get(ctx context.Context, key string) (Entry[T], error) {
	m, err := k.c.empty(key)
	if err != nil {
		return Entry[T]{}, err
	}
	raw, err := k.b.lastFor(ctx, k.c.stream, m.Subject)
	if err != nil {
		return Entry[T]{}, err
	}
	return k.entry(raw)
}

func (k *KV[T]) entry(raw *jetstream.RawStreamMsg) (Entry[T], error) {
	v := Message[T]{Seq: raw.Sequence}
	var err error
	deleted := raw.Header.Get(hdrOp) == opDelete
	if deleted {
		v.Key, err = k.c.key(raw.Subject, raw.Header)
		if err != nil {
			err = &DecodeError{Stream: k.c.stream, Seq: raw.Sequence, Err: err}
		}
	} else {
		err = k.c.decode(&v, raw.Subject, raw.Header, raw.Data)
	}
	return Entry[T]{Key: v.Key, Value: v.Value, Revision: v.Seq, Time: raw.Time, Deleted: deleted}, err
}

// lastFor reads the last message of a subject.
func (b *Bus) lastFor(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	s, err := b.stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	raw, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, b.explain(err)
	}
	return raw, nil
}

// Put stores v under key whatever was there and returns the new revision.
func (k *KV[T]) Put(ctx context.Context, key string, v T) (uint64, error) {
	m, err := k.c.encode(key, v)
	if err != nil {
		return 0, err
	}
	rev, err := k.b.publish(ctx, m, "")
	if err != nil {
		return 0, fmt.Errorf("put %s: %w", k.c.schema, err)
	}
	return rev, nil
}

// Update stores v only if the key's current revision is rev (compare and swap), else returns ErrRevision.
// Revision 0 means that the key must not exist.
func (k *KV[T]) Update(ctx context.Context, key string, v T, rev uint64) (uint64, error) {
	got, err := k.swap(ctx, key, v, rev)
	if errors.Is(err, ErrRevision) && rev == 0 {
		// A deleted key leaves a tombstone for a while, which is a revision for the server but not for the caller.
		if e, gerr := k.get(ctx, key); gerr == nil && e.Deleted {
			got, err = k.swap(ctx, key, v, e.Revision)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("update %s: %w", k.c.schema, err)
	}
	return got, nil
}

func (k *KV[T]) swap(ctx context.Context, key string, v T, rev uint64) (uint64, error) {
	m, err := k.c.encode(key, v)
	if err != nil {
		return 0, err
	}
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(rev))
	return k.b.publish(ctx, m, "")
}

// Delete removes key; deleting what is not there is no error. Watchers see an entry marked Deleted.
func (k *KV[T]) Delete(ctx context.Context, key string) error {
	m, err := k.c.empty(key)
	if err != nil {
		return err
	}
	m.Header.Set(hdrOp, opDelete)
	m.Header.Set(jetstream.MsgTTLHeader, tombstoneTTL)
	if _, err := k.b.publish(ctx, m, ""); err != nil {
		return fmt.Errorf("delete %s: %w", k.c.schema, err)
	}
	return nil
}

// All calls fn for every key that exists, in order of last write.
func (k *KV[T]) All(ctx context.Context, fn func(Entry[T]) error) error {
	_, err := k.b.scan(ctx, k.scanOptions(), k.each(func(e Entry[T]) error {
		if e.Deleted {
			return nil
		}
		return fn(e)
	}))
	return err
}

// Watch calls fn for every key that exists and then for every change, until ctx ends (then it returns nil) or fn
// fails. Between two calls for one key intermediate values may be skipped. caughtUp, if not nil, is called once, when
// everything that existed at the beginning has been delivered.
func (k *KV[T]) Watch(ctx context.Context, fn func(Entry[T]) error, caughtUp func() error) error {
	o := k.scanOptions()
	o.follow, o.caughtUp = true, caughtUp
	_, err := k.b.scan(ctx, o, k.each(fn))
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func (k *KV[T]) scanOptions() scanOptions {
	return scanOptions{stream: k.c.stream, filter: k.c.prefix + "*", lastPerSubject: true}
}

func (k *KV[T]) each(fn func(Entry[T]) error) func(jetstream.Msg, *jetstream.MsgMetadata) error {
	return func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		e, err := k.entry(&jetstream.RawStreamMsg{Subject: m.Subject(), Sequence: meta.Sequence.Stream,
			Header: m.Headers(), Data: m.Data(), Time: meta.Timestamp})
		if err != nil {
			return err
		}
		return fn(e)
	}
}
