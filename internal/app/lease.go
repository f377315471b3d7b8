package app

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/decide"
	"bartizan/internal/model"
)

// drillEcho is how long after a drill its addresses are not decided about: what
// detectors still sum up of it would only fill the list of what waits for a
// person with decisions that no person can release.
const drillEcho = 2 * time.Minute

// lease is a drill lease in the ledger and, if the drill asks for it and there is a
// gateway, a route of the drill's own there. Both end together.
func (n *Node) lease(ctx context.Context, q api.LeaseRequest, who string) (api.Lease, func(reason string), error) {
	l, end, err := n.hub.lease(ctx, q, who)
	if err != nil || q.Gateway == nil || n.gateway == nil {
		return api.Lease{Lease: l}, end, err
	}
	url, key, shut, err := n.gateway.Drill(l, q.Gateway.Upstream, q.Gateway.Canary)
	if err != nil {
		end("the gateway gave it no route")
		return api.Lease{}, nil, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	return api.Lease{Lease: l, Gateway: &api.DrillRoute{URL: url, Key: key, Cert: n.gateway.Fingerprint()}}, func(reason string) {
		shut()
		end(reason)
	}, nil
}

// lease puts a drill lease into the ledger, signed with the node's key. The
// function it returns takes it out again, with everything decided under it.
func (h *hub) lease(ctx context.Context, q api.LeaseRequest, who string) (model.Lease, func(reason string), error) {
	var addrs []netip.Addr
	for _, s := range q.Addresses {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return model.Lease{}, nil, fmt.Errorf("%w: %.64q is not an address", api.ErrInput, s)
		}
		addrs = append(addrs, a)
	}
	now := time.Now()
	l, err := decide.NewLease(now, addrs, q.For.Duration(), q.BlockFor.Duration(), who, h.key)
	if err != nil {
		return l, nil, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.append(ctx, []model.Entry{{Change: model.ChangeLease, Time: now, ID: l.ID, By: who, Lease: &l, Reason: "drill"}}); err != nil {
		return l, nil, err
	}
	if !h.leased(l.ID, now) {
		return l, nil, fmt.Errorf("%w: the ledger did not accept the lease; too many drills may be running", api.ErrRefused)
	}
	return l, func(reason string) { h.unlease(l.ID, reason) }, nil
}

func (h *hub) leased(id model.ULID, now time.Time) bool {
	for _, l := range h.ledger.Leases(now) {
		if l.ID == id {
			return true
		}
	}
	return false
}

// unlease ends a lease and removes what was decided under it. It is called
// when the drill's connection closes, so it has no context of its own; when the
// ledger cannot be written, the lease's end is in it from the start.
func (h *hub) unlease(id model.ULID, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	i := slices.IndexFunc(h.ledger.Leases(now), func(l model.Lease) bool { return l.ID == id })
	if i < 0 {
		return
	}
	drilled := map[model.Entity]bool{} // alerts about drill addresses end with the drill too
	for _, s := range h.ledger.Leases(now)[i].Addresses {
		if e, err := model.ParseIP(s); err == nil {
			drilled[e] = true
			h.drilled[e] = now.Add(drillEcho)
		}
	}
	maps.DeleteFunc(h.drilled, func(_ model.Entity, until time.Time) bool { return now.After(until) })
	entries := []model.Entry{{Change: model.ChangeUnlease, Time: now, ID: id, By: "clock", Reason: reason}}
	for _, d := range h.ledger.Active() {
		if d.Lease == id || drilled[d.Target] && d.Action < model.Throttle {
			entries = append(entries, model.Entry{Change: model.ChangeRemove, Time: now, ID: d.ID, By: "lease", Reason: "the drill is over"})
		}
	}
	if err := h.append(ctx, entries); err != nil {
		h.log.Error("cannot end a drill lease in the ledger; it ends by itself", "lease", id, "error", err)
	}
}

// endLeases ends what an earlier run of the node left behind: whoever held a
// lease lost its connection with that run.
func (h *hub) endLeases(now time.Time) {
	h.mu.Lock()
	list := h.ledger.Leases(now)
	h.mu.Unlock()
	for _, l := range list {
		h.unlease(l.ID, "the node was restarted")
	}
}
