package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bartizan/internal/api"
	"bartizan/internal/app/recent"
	"bartizan/internal/bus"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// record stores an audit record; a failure shows in the status until the next
// one can be stored.
func (n *Node) record(ctx context.Context, a api.AuditRecord) error {
	if _, err := n.remote.audits.Publish(ctx, a.Operation, a.Request.String()+" "+a.Result, a); err != nil {
		n.health.Set("audit", obs.StateDegraded, fmt.Sprintf("changes cannot be written to the audit log: %v", err))
		return fmt.Errorf("write audit record: %w", err)
	}
	n.health.Remove("audit")
	return nil
}

// audit lists requests, the newest first. A request has the place of its first
// record, so that pages stay as they are when it ends, and says what its last
// one says.
func (n *Node) audit(ctx context.Context, q api.AuditQuery) ([]api.Stored[api.AuditRecord], error) {
	from := bus.From{Time: q.Since, Key: q.Operation, OneKey: q.Operation != ""}
	ends := map[model.ULID]api.AuditRecord{} // how those ended that were written down as begun
	first := func(a *api.AuditRecord) bool {
		switch {
		case !strings.Contains(a.Actor, q.Actor):
			return false
		case a.Result == api.ResultBegun:
			return true
		}
		ends[a.Request] = *a
		return a.Begun.IsZero() && (q.Result == "" || q.Result == a.Result)
	}
	out := []api.Stored[api.AuditRecord]{}
	for before := q.Before; ; {
		some, err := recent.Newest(ctx, n.bus, auditTopic(&n.conf), from, before, q.Limit, first)
		if err != nil {
			return nil, err
		}
		if err := n.outcomes(ctx, q.Before, some, ends); err != nil {
			return nil, err
		}
		for _, s := range some {
			if end, ok := ends[s.Value.Request]; ok && s.Value.Result == api.ResultBegun {
				delete(ends, s.Value.Request)
				if end.Begun.IsZero() {
					continue // stored although that was not known: the other record has the request's place
				}
				s.Value = end
			}
			if q.Result != "" && q.Result != s.Value.Result {
				continue
			}
			if out = append(out, s); len(out) == q.Limit {
				return out, nil
			}
		}
		if len(some) < q.Limit {
			return out, nil
		}
		before = some[len(some)-1].Seq
	}
}

// outcomes looks for how requests ended that began before a place: after it.
// Requests end soon, or, when the node was killed, never: then all that was
// written since is read, which is what a page with such a request costs.
func (n *Node) outcomes(ctx context.Context, place uint64, begun []api.Stored[api.AuditRecord], ends map[model.ULID]api.AuditRecord) error {
	open := map[model.ULID]bool{}
	for _, b := range begun {
		if _, ended := ends[b.Value.Request]; !ended && b.Value.Result == api.ResultBegun {
			open[b.Value.Request] = true
		}
	}
	if place == 0 || len(open) == 0 {
		return nil
	}
	_, err := bus.Read(ctx, n.bus, auditTopic(&n.conf), bus.From{Seq: place}, func(m bus.Message[api.AuditRecord]) error {
		if !open[m.Value.Request] {
			return nil
		}
		ends[m.Value.Request] = m.Value
		if delete(open, m.Value.Request); len(open) == 0 {
			return recent.ErrEnough
		}
		return nil
	})
	if errors.Is(err, recent.ErrEnough) {
		return nil
	}
	return err
}
