package app

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"bartizan/internal/bus"
	"bartizan/internal/model"
)

// receiptBook is the fold of the RECEIPTS stream: what enforcers said about
// each decision.
type receiptBook struct {
	topic bus.Topic[model.Receipt]
	pub   *bus.Publisher[model.Receipt]

	mu  sync.Mutex
	by  map[model.ULID][]model.Receipt
	fed []model.ULID // in order of their first receipt, for forgetting
}

// maxReceipted bounds the decisions whose receipts are kept in memory; older
// ones are still in the stream.
const maxReceipted = 200_000

func openReceipts(ctx context.Context, b *bus.Bus, c *Config) (*receiptBook, error) {
	r := &receiptBook{topic: receiptTopic(c), by: map[model.ULID][]model.Receipt{}}
	var err error
	if r.pub, err = bus.NewPublisher(ctx, b, r.topic); err != nil {
		return nil, fmt.Errorf("open receipts: %w", err)
	}
	_, err = bus.Read(ctx, b, r.topic, bus.From{}, func(m bus.Message[model.Receipt]) error {
		r.fold(m.Value)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return r, nil
}

// add stores a receipt; nil means that it cannot get lost any more.
func (r *receiptBook) add(ctx context.Context, v model.Receipt) error {
	id := fmt.Sprintf("%s-%s-%s", v.Decision, v.Enforcer, v.Status)
	if _, err := r.pub.Publish(ctx, v.Decision.String(), id, v); err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	r.fold(v)
	return nil
}

func (r *receiptBook) fold(v model.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, seen := r.by[v.Decision]
	for _, x := range old {
		if x.Enforcer == v.Enforcer && x.Status == v.Status {
			return // told twice around a restart
		}
	}
	if !seen {
		r.fed = append(r.fed, v.Decision)
		if len(r.fed) > maxReceipted {
			delete(r.by, r.fed[0])
			r.fed = r.fed[1:]
		}
	}
	r.by[v.Decision] = append(old, v)
}

// has tells whether an enforcer said something about a decision.
func (r *receiptBook) has(id model.ULID, enforcer string, s model.ReceiptStatus) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.by[id], func(x model.Receipt) bool { return x.Enforcer == enforcer && x.Status == s })
}

// of returns what was said about a decision, in order.
func (r *receiptBook) of(id model.ULID) []model.Receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]model.Receipt{}, r.by[id]...)
}

// from returns everything one enforcer said, so that it does not repeat itself
// after a restart.
func (r *receiptBook) from(enforcer string) (out []model.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.fed {
		for _, v := range r.by[id] {
			if v.Enforcer == enforcer {
				out = append(out, v)
			}
		}
	}
	return out
}
