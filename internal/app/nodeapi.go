package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/app/guarding"
	"bartizan/internal/app/recent"
	"bartizan/internal/bus"
	"bartizan/internal/decide"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// api is what the node offers its operators.
func (n *Node) api() api.Node {
	return api.Node{
		Status: n.status, Decisions: n.decisions, Change: n.change, Intel: n.intel, Why: n.why, Evidence: n.evidenceOf,
		Signals: n.signals, Replay: n.replay, Lease: n.lease, Verified: n.verified, Export: n.exportEvents, Hunt: n.hunts.Hunt, HuntList: n.hunts.HuntList,
		Held: n.people.Held, DecideHeld: n.people.Decide, AskHeld: n.people.Ask, SyncMCP: n.people.Sync,
		Guard:  (&guarding.Desk{Bus: n.bus, Gateway: n.gateway, Config: n.conf.Gateway, Data: n.conf.Data, Age: n.conf.Lake.Traffic.Age.D(), Inventory: n.inventory}).API(),
		Record: n.record, Audit: n.audit, Events: api.Events{Last: n.lastEvent, Follow: n.followEvents},
		Metrics: n.metrics.Handler(), Health: obs.Handler(n.metrics, n.health),
	}
}

func (n *Node) status(ctx context.Context) api.Status {
	checks, worst := n.health.Checks()
	s := api.Status{
		Version: n.env.Version, Name: n.conf.Name, Mode: string(n.hub.policy.Mode), Started: n.started, Now: time.Now(), PID: os.Getpid(),
		Data: n.conf.Data, State: string(worst), Checks: []api.Check{}, Parts: []api.Part{}, Enforcers: []api.Enforcer{}, Streams: []api.Stream{}, Leases: []api.LeaseInfo{},
		Intel: n.hub.store.Len(), Decoys: n.sensor.view(), API: n.remote.info(),
	}
	for _, c := range checks {
		s.Checks = append(s.Checks, api.Check{Name: c.Name, State: string(c.State), Detail: c.Detail, Since: c.Since})
	}
	for _, p := range n.group.Parts() {
		part := api.Part{Name: p.Name, State: string(p.State), Since: p.Since}
		if p.Err != nil {
			part.Error = p.Err.Error()
		}
		s.Parts = append(s.Parts, part)
	}
	for _, d := range n.enforcing.devices {
		h := d.reconciler.Health()
		e := api.Enforcer{Name: d.name, State: "ok", Orders: h.Orders, LastOK: h.LastOK}
		if h.Pending {
			e.Pending, e.State = 1, "behind"
		}
		if h.LastErrorAt.After(h.LastOK) {
			e.State, e.LastError = "failed", h.LastError
		}
		s.Enforcers = append(s.Enforcers, e)
	}
	if n.gateway != nil {
		s.Enforcers = append(s.Enforcers, api.Enforcer{Name: gate.Enforcer, State: "ok", Orders: n.gateway.Refusing(), LastOK: s.Now})
	}
	s.Decisions = n.counts()
	for _, l := range n.hub.ledger.Leases(s.Now) {
		s.Leases = append(s.Leases, api.LeaseInfo{ID: l.ID, Addresses: len(l.Addresses), Until: l.Until, By: l.By})
	}
	streams, err := n.bus.Stats(ctx)
	if err != nil {
		s.Checks = append(s.Checks, api.Check{Name: "streams", State: string(obs.StateDegraded), Detail: err.Error(), Since: s.Now})
	}
	for _, l := range n.bus.Losses() {
		s.Checks = append(s.Checks, api.Check{Name: "bus", State: string(obs.StateDegraded), Detail: fmt.Sprintf("lost at the last crash: %+v", l), Since: n.started})
	}
	if dead := n.bus.DeadLettered(); dead > 0 {
		s.Checks = append(s.Checks, api.Check{Name: "dead-letters", State: string(obs.StateDegraded), Detail: fmt.Sprintf("%d messages could not be read and were put aside", dead), Since: s.Now})
	}
	for _, st := range streams {
		s.Streams = append(s.Streams, api.Stream{Name: st.Name, Messages: st.Messages, Bytes: st.Bytes})
	}
	return s
}

func (n *Node) counts() (c api.Counts) {
	for _, d := range n.hub.ledger.Active() {
		if d.DryRun {
			c.DryRun++
			continue
		}
		c.Active++
		applied := 0
		for _, r := range n.receipts.of(d.ID) {
			if r.Status == model.Applied || r.Status == model.Delivered {
				applied++
			}
		}
		want := len(n.enforcing.devices)
		if n.gateway != nil {
			want++
		}
		if d.Target.Type() != model.TypeIP {
			want = 1 // a firewall knows no keys
		}
		if applied >= want && applied > 0 {
			c.Enforced++
		}
	}
	c.Held, c.Ended = len(n.hub.ledger.Held()), n.hub.ledger.Stats().Ended
	return c
}

// view is the sensor's part of the status.
func (s *sensor) view() api.Decoys {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := api.Decoys{
		PID: s.pid, Restarts: s.restarts, Jail: s.report.String(), Missing: slices.Concat([]string{}, s.report.Missing), Tripped: s.tripped,
		Accepted: s.stats.Accepted, Active: s.stats.Active, Shed: s.stats.Shed, Dropped: s.stats.Dropped, Panics: s.stats.Panics,
		Refused: s.refused, Listening: []api.Listen{}, Host: s.hostName,
	}
	for _, l := range s.lines {
		d.Listening = append(d.Listening, api.Listen(l))
	}
	return d
}

func (n *Node) decisions(ctx context.Context, q api.DecisionQuery) ([]api.Decision, error) {
	f := decide.Filter{Limit: q.Limit, Before: q.Before}
	switch {
	case q.ID != "":
		return n.decision(ctx, q.ID)
	case q.State != "":
		if !slices.Contains([]model.State{model.StateHeld, model.StateActive, model.StateRejected, model.StateExpired, model.StateRemoved}, q.State) {
			return nil, fmt.Errorf("%w: state %.32q: one of held, active, rejected, expired, removed", api.ErrInput, string(q.State))
		}
		f.States = []model.State{q.State}
	case !q.All:
		f.States = []model.State{model.StateHeld, model.StateActive}
	}
	if q.Target != "" {
		e, err := gate.Target(q.Target)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", api.ErrInput, err)
		}
		f.Target = e
	}
	return n.complete(ctx, n.hub.ledger.List(f)), nil
}

// decision is the one with this id, or none.
func (n *Node) decision(ctx context.Context, text string) ([]api.Decision, error) {
	id, err := model.ParseULID(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	d, ok := n.hub.ledger.Get(id)
	if !ok {
		return nil, nil
	}
	return n.complete(ctx, []model.Decision{d}), nil
}

// complete adds what the enforcers and their devices say.
func (n *Node) complete(ctx context.Context, list []model.Decision) []api.Decision {
	out := []api.Decision{}
	counted := n.enforcing.counted(ctx)
	for _, d := range list {
		full := n.receiptsOf(d)
		if c, ok := counted[d.ID]; ok {
			full.Dropped = &api.Dropped{Packets: c.Packets, Bytes: c.Bytes}
		}
		out = append(out, full)
	}
	return out
}

func (n *Node) intel(_ context.Context, q api.IntelQuery) ([]model.Indicator, error) {
	now := q.AsOf
	if now.IsZero() {
		now = time.Now()
	}
	if q.Value != "" {
		e, err := parseEntity(q.Type, q.Value)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", api.ErrInput, err)
		}
		ind, ok := n.hub.store.Get(e, now)
		if !ok {
			return []model.Indicator{}, nil
		}
		return []model.Indicator{ind}, nil
	}
	f := intel.Filter{MinConfidence: q.MinConfidence, Limit: q.Limit, After: intel.Place(q.After)}
	if q.Type != "" {
		f.Types = []model.EntityType{q.Type}
	}
	return slices.Concat([]model.Indicator{}, n.hub.store.List(now, f)), nil
}

// parseEntity reads "type:value", or a value of a given type, or an address.
func parseEntity(t model.EntityType, s string) (model.Entity, error) {
	if t != "" {
		return model.ParseEntity(t, s)
	}
	return gate.Target(s)
}

func (n *Node) signals(ctx context.Context, q api.SignalQuery) ([]api.Stored[model.Signal], error) {
	from := bus.From{Time: q.Since}
	if q.Actor != "" {
		e, err := gate.Target(q.Actor)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", api.ErrInput, err)
		}
		from.Key, from.OneKey = e.Value(), true
	}
	return recent.Newest(ctx, n.bus, signalTopic(&n.conf), from, q.Before, q.Limit, func(s *model.Signal) bool { return q.Kind == "" || s.Kind == q.Kind })
}

func (n *Node) evidenceOf(ctx context.Context, sha string) ([]byte, error) {
	if _, err := model.ParseEntity(model.TypeSHA256, sha); err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	b, err := n.evidence.Get(ctx, sha)
	if errors.Is(err, bus.ErrNotFound) {
		return nil, fmt.Errorf("%w: no evidence with this hash; it may have reached its age or size limit (bus.evidence_age, bus.evidence_bytes)", api.ErrNotFound)
	}
	return b, err
}

// change is a person's word on a decision.
func (n *Node) change(ctx context.Context, c api.DecisionChange, who string) (api.Decision, error) {
	n.around.look(ctx) // a person's order is judged by the machine as it is now, not as it was last seen
	h := n.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	length := time.Duration(c.Seconds * float64(time.Second))
	var entries []model.Entry
	var err error
	switch c.Op {
	case "add":
		entries, err = n.manual(now, c, length, who)
	case "approve", "reject", "remove":
		var id model.ULID
		if id, err = n.target(c); err == nil {
			entries, err = n.judge(now, c, id, length, who)
		}
	default:
		err = fmt.Errorf("%w: operation %.32q: one of add, approve, reject, remove", api.ErrInput, c.Op)
	}
	if err != nil {
		return api.Decision{}, err
	}
	if err := h.append(ctx, entries); err != nil {
		return api.Decision{}, err
	}
	d, ok := h.ledger.Get(entries[0].ID)
	if !ok {
		return api.Decision{}, fmt.Errorf("%w: the ledger did not accept it; \"bartizan status\" says why", api.ErrRefused)
	}
	return n.receiptsOf(d), nil
}

// manual makes the entry for a person's order. What nobody may release is
// written down as held all the same: that somebody wanted it is worth keeping.
func (n *Node) manual(now time.Time, c api.DecisionChange, length time.Duration, who string) ([]model.Entry, error) {
	e, err := gate.Target(c.Target)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	action := c.Action
	if action == model.Observe {
		action = model.Block
	}
	entries, err := decide.EvaluateManual(now, decide.Manual{Target: e, Action: action, For: length, By: who, Reason: c.Reason}, n.hub.ledger, n.hub.policy, n.around.snapshot())
	var never *decide.NeverError
	if err != nil && !errors.As(err, &never) {
		return nil, fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	return entries, nil
}

// target finds the decision a person means.
func (n *Node) target(c api.DecisionChange) (model.ULID, error) {
	if c.ID != "" {
		id, err := model.ParseULID(c.ID)
		if err != nil {
			return id, fmt.Errorf("%w: %w", api.ErrInput, err)
		}
		if _, ok := n.hub.ledger.Get(id); !ok {
			return id, fmt.Errorf("%w: no decision %s; \"bartizan decisions list --all\" shows them", api.ErrNotFound, id)
		}
		return id, nil
	}
	e, err := gate.Target(c.Target)
	if err != nil {
		return model.ULID{}, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	for _, d := range n.hub.ledger.ByTarget(e) {
		if d.State == model.StateActive {
			return d.ID, nil
		}
	}
	return model.ULID{}, fmt.Errorf("%w: no decision in force on %s; a wider or narrower one has to be named as it is listed", api.ErrNotFound, e.Value())
}

func (n *Node) judge(now time.Time, c api.DecisionChange, id model.ULID, length time.Duration, who string) ([]model.Entry, error) {
	h := n.hub
	var entry model.Entry
	var err error
	switch c.Op {
	case "approve":
		entry, err = decide.Approve(now, id, who, h.ledger, h.policy, n.around.snapshot())
		if length > 0 {
			entry.Until = now.Add(min(length, h.policy.Limits.MaxDuration.D())).UTC()
		}
		entry.Reason = c.Reason
	case "reject":
		entry, err = decide.Reject(now, id, who, c.Reason, h.ledger)
	default:
		entry, err = decide.Remove(now, id, who, c.Reason, h.ledger)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	return []model.Entry{entry}, nil
}

// verified stores a receipt of somebody who saw an enforcement from outside.
func (n *Node) verified(ctx context.Context, v api.Verification, who string) (api.Decision, error) {
	id, err := model.ParseULID(v.ID)
	if err != nil {
		return api.Decision{}, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	d, ok := n.hub.ledger.Get(id)
	if !ok {
		return api.Decision{}, fmt.Errorf("%w: no decision %s", api.ErrNotFound, id)
	}
	if !slices.ContainsFunc(n.enforcing.devices, func(x device) bool { return x.name == v.Enforcer }) && (n.gateway == nil || v.Enforcer != gate.Enforcer) {
		return api.Decision{}, fmt.Errorf("%w: no enforcer %.32q", api.ErrInput, v.Enforcer)
	}
	if len(v.Detail) > 256 {
		return api.Decision{}, fmt.Errorf("%w: detail longer than 256 bytes", api.ErrInput)
	}
	now := time.Now()
	r := model.Receipt{ID: model.NewULID(now), Decision: id, Enforcer: v.Enforcer, Status: model.Verified, Time: now, Detail: v.Detail + " (" + who + ")"}
	if err := n.receipts.add(ctx, r); err != nil {
		return api.Decision{}, err
	}
	return n.receiptsOf(d), nil
}

// goodPeers is how many peers of real services are connected, and whether that
// is known.
func (s *surroundings) goodPeers() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good, s.traffic == ""
}
