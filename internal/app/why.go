package app

import (
	"context"
	"fmt"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/bus"
	"bartizan/internal/decide"
	"bartizan/internal/model"
)

// why gathers the chain behind a decision, a signal, a lease or an indicator.
func (n *Node) why(ctx context.Context, asked string) (api.Why, error) {
	y := api.Why{Asked: asked}
	if id, err := model.ParseULID(asked); err == nil && !id.IsZero() {
		return y, n.whyID(ctx, &y, id)
	}
	e, err := parseEntity("", asked)
	if err != nil {
		return y, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	y.Kind = "indicator"
	return y, n.whyEntity(ctx, &y, e)
}

func (n *Node) whyID(ctx context.Context, y *api.Why, id model.ULID) error {
	if d, ok := n.hub.ledger.Get(id); ok {
		y.Kind = "decision"
		full := n.receiptsOf(d)
		if c, ok := n.enforcing.counted(ctx)[id]; ok {
			full.Dropped = &api.Dropped{Packets: c.Packets, Bytes: c.Bytes}
		}
		y.Decision = &full
		if err := n.ledgerLines(ctx, y, id, d.Lease); err != nil {
			return err
		}
		if !d.Because.Indicator.IsZero() {
			if ind, ok := n.hub.store.Get(d.Because.Indicator, time.Now()); ok {
				y.Indicator = &ind
			} else {
				y.Gone = append(y.Gone, "indicator "+d.Because.Indicator.String()+": its evidence has decayed")
			}
		}
		return n.findSignals(ctx, y, d.Target, d.Because.Signals)
	}
	if err := n.ledgerLines(ctx, y, id, id); err != nil {
		return err
	}
	if y.Lease != nil {
		y.Kind = "lease"
		for _, d := range n.hub.ledger.List(decide.Filter{Limit: 10_000}) {
			if d.Lease == id {
				y.Decisions = append(y.Decisions, n.receiptsOf(d))
			}
		}
		return nil
	}
	return n.whySignal(ctx, y, id)
}

// whySignal finds a signal by its identity, which carries the time it was made.
func (n *Node) whySignal(ctx context.Context, y *api.Why, id model.ULID) error {
	y.Kind = "signal"
	_, err := bus.Read(ctx, n.bus, signalTopic(&n.conf), bus.From{Time: id.Time().Add(-time.Second)}, func(m bus.Message[model.Signal]) error {
		if m.Value.ID == id {
			y.Signals = append(y.Signals, m.Value)
			return errFound
		}
		return nil
	})
	if err != nil && len(y.Signals) == 0 {
		return err
	}
	if len(y.Signals) == 0 {
		return fmt.Errorf("%w: nothing here has the id %s", api.ErrNotFound, id)
	}
	actor := y.Signals[0].Actor
	if ind, ok := n.hub.store.Get(actor, time.Now()); ok {
		y.Indicator = &ind
	}
	for _, d := range n.hub.ledger.ByTarget(actor) {
		for _, s := range d.Because.Signals {
			if s == id {
				y.Decisions = append(y.Decisions, n.receiptsOf(d))
			}
		}
	}
	return nil
}

func (n *Node) whyEntity(ctx context.Context, y *api.Why, e model.Entity) error {
	for _, d := range n.hub.ledger.ByTarget(e) {
		y.Decisions = append(y.Decisions, n.receiptsOf(d))
	}
	ind, ok := n.hub.store.Get(e, time.Now())
	if !ok {
		if len(y.Decisions) == 0 {
			return fmt.Errorf("%w: nothing is known about %s", api.ErrNotFound, e)
		}
		y.Gone = append(y.Gone, "indicator "+e.String()+": its evidence has decayed")
		return nil
	}
	y.Indicator = &ind
	return n.findSignals(ctx, y, e, ind.Signals)
}

// ledgerLines reads the entries about one decision or lease.
func (n *Node) ledgerLines(ctx context.Context, y *api.Why, id, lease model.ULID) error {
	keys := []model.ULID{id}
	if !lease.IsZero() && lease != id {
		keys = append(keys, lease)
	}
	for _, key := range keys {
		_, err := bus.Read(ctx, n.bus, ledgerTopic(&n.conf), bus.From{Key: key.String(), OneKey: true}, func(m bus.Message[model.Entry]) error {
			e := m.Value
			if e.Lease != nil {
				y.Lease = e.Lease
			}
			if key == id {
				y.Ledger = append(y.Ledger, api.LedgerLine{Seq: m.Seq, Time: e.Time, Change: e.Change, By: e.By, Reason: e.Reason})
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read ledger: %w", err)
		}
	}
	return nil
}

// findSignals fetches signals by identity from their actor's part of the stream.
func (n *Node) findSignals(ctx context.Context, y *api.Why, about model.Entity, ids []model.ULID) error {
	if len(ids) == 0 {
		return nil
	}
	want := map[model.ULID]bool{}
	oldest := ids[0].Time()
	for _, id := range ids {
		want[id] = true
		if id.Time().Before(oldest) {
			oldest = id.Time()
		}
	}
	from := bus.From{Time: oldest.Add(-time.Second)}
	if about.Type() == model.TypeIP {
		from.Key, from.OneKey = about.Value(), true
	}
	_, err := bus.Read(ctx, n.bus, signalTopic(&n.conf), from, func(m bus.Message[model.Signal]) error {
		if want[m.Value.ID] {
			delete(want, m.Value.ID)
			y.Signals = append(y.Signals, m.Value)
		}
		return nil
	})
	for id := range want {
		y.Gone = append(y.Gone, "signal "+id.String()+": older than the stream keeps")
	}
	return err
}
