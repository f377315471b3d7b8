package bus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
	Messages int    `json:"messages"` // at least; expired and evicted ones may be counted in
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

// findLosses compares what recovery kept with what was there, and starts the record of this run.
func (b *Bus) findLosses(ctx context.Context) error {
	was := loadPositions(b.conf.Dir)
	b.pos.last = map[string]position{}
	b.pos.dirty = true
	list := b.js.StreamNames(ctx)
	for n := range list.Name() {
		s, err := b.js.Stream(ctx, n)
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", n, err)
		}
		si, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", n, err)
		}
		gaps := uint64(0)
		if st := si.State; si.Config.MaxMsgsPerSubject < 1 && st.Msgs > 0 { // else gaps are how it works
			gaps = st.LastSeq - st.FirstSeq + 1 - st.Msgs
		}
		b.pos.last[n] = position{si.State.LastSeq, gaps}
		switch l := lossOf(si, was[n], gaps); {
		case l.Messages > 0:
			b.lost = append(b.lost, l)
		case l.Bytes > 0: // a kill in the middle of a write; nobody had been told that this message is stored
			b.log.Warn("event store dropped a torn record that had not been acknowledged", "stream", n, "bytes", l.Bytes)
		}
		delete(was, n)
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	for n, p := range was {
		if p.Last > 0 {
			b.lost = append(b.lost, Loss{Stream: n, Messages: int(p.Last), Detail: "the whole stream is gone"})
		}
	}
	slices.SortFunc(b.lost, func(x, y Loss) int { return strings.Compare(x.Stream, y.Stream) })
	for _, l := range b.lost {
		b.log.Error("event store lost data; restore a backup if it matters", "stream", l.Stream, "messages", l.Messages,
			"bytes", l.Bytes, "detail", l.Detail)
	}
	return nil
}

func lossOf(si *jetstream.StreamInfo, was position, gaps uint64) Loss {
	l := Loss{Stream: si.Config.Name}
	if lost := si.State.Lost; lost != nil {
		l.Messages, l.Bytes, l.Detail = len(lost.Msgs), lost.Bytes, "unreadable records"
	}
	missing := 0
	if gaps > was.Gaps {
		missing += int(gaps - was.Gaps)
	}
	if last := si.State.LastSeq; last < was.Last {
		missing += int(was.Last - last)
	}
	if missing > 0 {
		l.Messages = max(l.Messages, missing)
		l.Detail = fmt.Sprintf("holds %d messages up to number %d, had reached %d", si.State.Msgs, si.State.LastSeq, was.Last)
	}
	return l
}
