// Package recent reads the streams of a node backwards.
package recent

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/bus"
)

// ErrEnough ends a read that has seen all it wants.
var ErrEnough = errors.New("enough")

const (
	firstWindow = 256 // messages looked at first, at least
	widerBy     = 4
)

// Newest reads a stream backwards, in windows that grow, until it has limit
// values that are wanted: the cost is that of what is returned and what had to
// be passed over, not of all that is kept. The newest comes first. Only those
// before a sequence number count, unless that is 0.
func Newest[T any](ctx context.Context, b *bus.Bus, t bus.Topic[T], from bus.From, before uint64, limit int, want func(*T) bool) ([]api.Stored[T], error) {
	high := before - 1
	if before == 0 {
		var err error
		if high, err = Last(ctx, b, t); err != nil {
			return nil, err
		}
	}
	out := []api.Stored[T]{}
	since := from.Time
	from.Time = time.Time{}
	for window := uint64(max(firstWindow, 2*limit)); high > 0; window *= widerBy {
		from.Seq = max(high, window) - window + 1
		var some []api.Stored[T]
		old := false
		_, err := bus.Read(ctx, b, t, from, func(m bus.Message[T]) error {
			switch {
			case m.Seq > high:
				return ErrEnough
			case m.Time.Before(since):
				old = true
			case want(&m.Value):
				some = append(some, api.Stored[T]{Seq: m.Seq, Value: m.Value})
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrEnough) {
			return nil, err
		}
		slices.Reverse(some)
		if out = append(out, some...); len(out) >= limit {
			return out[:limit], nil
		}
		if old || from.Seq == 1 {
			break
		}
		high = from.Seq - 1
	}
	return out, nil
}

// Last is the sequence number of a stream's newest message; 0 without one.
func Last[T any](ctx context.Context, b *bus.Bus, t bus.Topic[T]) (uint64, error) {
	return bus.Read(ctx, b, t, bus.From{Seq: math.MaxInt64}, func(bus.Message[T]) error { return nil })
}
