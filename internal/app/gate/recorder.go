package gate

import (
	"context"
	"sync/atomic"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/gateway"
	"bartizan/internal/model"
)

// Traffic is the stream of what was said, masked, for the lake and for those who watch. What
// lasts is in the lake; age is how long it stays there (0: for ever).
func Traffic(age time.Duration) bus.Topic[model.LLMTraffic] {
	most := 24 * time.Hour
	if age > 0 {
		most = min(most, age)
	}
	return bus.Topic[model.LLMTraffic]{Stream: "TRAFFIC", Subject: "traffic", Schema: "llm-traffic", Version: 1,
		Limits: bus.Limits{MaxBytes: 128 << 20, MaxAge: most, DiscardOld: true}}
}

// Bounds of what waits to be masked.
const (
	waitingSaid  = 512
	waitingBytes = 32 << 20
)

// recorder masks what was said, one exchange after the other, beside the exchanges.
type recorder struct {
	said  chan gateway.Said
	bytes atomic.Int64
	lost  atomic.Uint64
	tell  func(lost uint64)
}

func newRecorder(tell func(uint64)) *recorder {
	return &recorder{said: make(chan gateway.Said, waitingSaid), tell: tell}
}

// take never waits: an exchange is not slowed down by what is kept of it.
func (r *recorder) take(s gateway.Said) {
	if r.bytes.Load()+int64(s.Size()) <= waitingBytes {
		select {
		case r.said <- s:
			r.bytes.Add(int64(s.Size()))
			return
		default:
		}
	}
	if n := r.lost.Add(1); n%queue == 1 {
		r.tell(n)
	}
}

// run hands on what is masked until ctx ends and nothing waits.
func (r *recorder) run(ctx context.Context, hand func(context.Context, []model.LLMTraffic) error) error {
	return drain(ctx, r.said, func(ctx context.Context, some []gateway.Said) error {
		out := make([]model.LLMTraffic, 0, len(some))
		for i := range some {
			r.bytes.Add(-int64(some[i].Size()))
			out = append(out, some[i].Keep())
			some[i] = gateway.Said{}
		}
		return hand(ctx, out)
	})
}
