package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

// StreamStats describes one stream for status displays.
type StreamStats struct {
	Name      string          `json:"name"`
	Messages  uint64          `json:"messages"`
	Bytes     uint64          `json:"bytes"`
	MaxBytes  int64           `json:"max_bytes"` // 0: no limit
	FirstSeq  uint64          `json:"first_seq"`
	LastSeq   uint64          `json:"last_seq"`
	FirstTime time.Time       `json:"first_time,omitzero"`
	LastTime  time.Time       `json:"last_time,omitzero"`
	Consumers []ConsumerStats `json:"consumers,omitempty"`
}

// ConsumerStats describes one durable.
type ConsumerStats struct {
	Name        string `json:"name"`
	Pending     uint64 `json:"pending"`     // stored, not yet delivered
	Unacked     int    `json:"unacked"`     // delivered, not yet acknowledged
	Redelivered int    `json:"redelivered"` // of the unacknowledged ones
	AckSeq      uint64 `json:"ack_seq"`     // everything up to here is handled
}

// Loss is what a stream lost on disk, found when the store was opened.
type Loss struct {
	Stream   string `json:"stream"`
	Messages int    `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	Detail   string `json:"detail"`
}

// Stats lists all streams with their durables, sorted by name as the server does.
func (b *Bus) Stats(ctx context.Context) ([]StreamStats, error) {
	var out []StreamStats
	list := b.js.ListStreams(ctx)
	for si := range list.Info() {
		st := si.State
		out = append(out, StreamStats{Name: si.Config.Name, Messages: st.Msgs, Bytes: st.Bytes, MaxBytes: max(si.Config.MaxBytes, 0),
			FirstSeq: st.FirstSeq, LastSeq: st.LastSeq, FirstTime: st.FirstTime, LastTime: st.LastTime})
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	for i := range out {
		s, err := b.js.Stream(ctx, out[i].Name)
		if err != nil {
			return nil, fmt.Errorf("look up stream %s: %w", out[i].Name, err)
		}
		cl := s.ListConsumers(ctx)
		for ci := range cl.Info() {
			if ci.Config.Durable == "" {
				continue // a reader of this or another process
			}
			out[i].Consumers = append(out[i].Consumers, ConsumerStats{Name: ci.Name, Pending: ci.NumPending,
				Unacked: ci.NumAckPending, Redelivered: ci.NumRedelivered, AckSeq: ci.AckFloor.Stream})
		}
		if err := cl.Err(); err != nil {
			return nil, fmt.Errorf("list consumers of %s: %w", out[i].Name, err)
		}
	}
	return out, nil
}

// Losses reports what was missing or unreadable in the store when it was opened; empty for a sound store.
func (b *Bus) Losses() []Loss { return b.lost }

// findLosses asks each stream what recovery had to give up.
func (b *Bus) findLosses(ctx context.Context) error {
	list := b.js.StreamNames(ctx)
	var names []string
	for n := range list.Name() {
		names = append(names, n)
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	for _, n := range names {
		s, err := b.js.Stream(ctx, n)
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", n, err)
		}
		si, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", n, err)
		}
		if l := si.State.Lost; l != nil {
			b.lost = append(b.lost, Loss{Stream: n, Messages: len(l.Msgs), Bytes: l.Bytes})
		}
	}
	for _, l := range b.lost {
		b.log.Error("event store lost data", "stream", l.Stream, "messages", l.Messages, "bytes", l.Bytes)
	}
	return nil
}

func fsSize(dir string) (size, free int64) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, 0
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize
}
