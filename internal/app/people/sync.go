package people

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/gateway/mcp"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Enforcer is the name of MCP gateways in receipts.
const Enforcer = "mcp-gateway"

const (
	presence = 10 * time.Second // a gateway is here for so long after it was heard
	maxHere  = 1000             // names
)

// Sync takes what an MCP gateway has found, as signals, and tells it which of its
// agents and servers are refused. What a kind of alarm means is in our table: a
// gateway says what happened and where, not how bad it is.
func (d *Desk) Sync(ctx context.Context, q api.MCPSync) (api.MCPOrders, error) {
	now := time.Now()
	var signals []model.Signal
	for i := range q.Alarms {
		s, err := q.Alarms[i].Signal(now)
		if err == nil {
			err = s.Check()
		}
		if err != nil {
			return api.MCPOrders{}, fmt.Errorf("%w: alarm %d: %w", api.ErrInput, i, err)
		}
		signals = append(signals, s)
	}
	names, err := targets(q)
	if err != nil {
		return api.MCPOrders{}, err
	}
	if err := d.node.Signals(ctx, signals); err != nil {
		return api.MCPOrders{}, err
	}
	d.saw(names, now)
	o := api.MCPOrders{Stored: len(signals), Refused: []mcp.Order{}}
	for _, e := range names {
		for _, x := range d.node.Ledger.ByTarget(e) {
			if x.State == model.StateActive && !x.DryRun && x.Action == model.Block && now.Before(x.Until) {
				o.Refused = append(o.Refused, mcp.Order{Target: e.Value(), Decision: x.ID.String(), Until: x.Until})
			}
		}
	}
	return o, d.receipts(ctx, q, names, now)
}

// targets are the agents and servers of a gateway.
func targets(q api.MCPSync) (out []model.Entity, err error) {
	for prefix, list := range map[string][]string{mcp.AgentPrefix: q.Agents, mcp.ServerPrefix: q.Servers} {
		for _, name := range list {
			e, err := model.ParseEntity(model.TypeUser, prefix+name)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", api.ErrInput, err)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func (d *Desk) saw(names []model.Entity, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.here, func(_ string, at time.Time) bool { return now.Sub(at) > presence })
	for _, e := range names {
		if _, known := d.here[e.Value()]; known || len(d.here) < maxHere {
			d.here[e.Value()] = now
		}
	}
}

// receipts writes down what a gateway says about decisions on its own agents and
// servers, and that those which are over are.
func (d *Desk) receipts(ctx context.Context, q api.MCPSync, names []model.Entity, now time.Time) error {
	say := func(id model.ULID, s model.ReceiptStatus, detail string) error {
		if d.node.Said(id, s) {
			return nil
		}
		return d.node.Receipt(ctx, model.Receipt{ID: model.NewULID(now), Decision: id, Enforcer: Enforcer, Status: s, Time: now.UTC(), Detail: detail})
	}
	about := func(text string) (model.ULID, bool) {
		id, err := model.ParseULID(text)
		if err != nil {
			return id, false
		}
		x, ok := d.node.Ledger.Get(id)
		return id, ok && slices.Contains(names, x.Target)
	}
	for _, text := range q.Applied {
		if id, ok := about(text); ok {
			d.mu.Lock()
			d.applied[id] = true
			d.mu.Unlock()
			if err := say(id, model.Applied, "requests are refused"); err != nil {
				return err
			}
		}
	}
	for _, v := range q.Verified {
		if id, ok := about(v.Decision); ok {
			if err := say(id, model.Verified, "a request was refused: "+safe.Clean(v.Detail, 100)); err != nil {
				return err
			}
		}
	}
	d.mu.Lock()
	ids := slices.Collect(maps.Keys(d.applied))
	d.mu.Unlock()
	for _, id := range ids {
		if x, ok := d.node.Ledger.Get(id); ok && x.State == model.StateActive {
			continue
		}
		if err := say(id, model.Expired, "requests are answered again"); err != nil {
			return err
		}
		d.mu.Lock()
		delete(d.applied, id)
		d.mu.Unlock()
	}
	return nil
}

// Refuses implements decide.Clients: agents and servers whose gateway is here.
func (d *Desk) Refuses(e model.Entity) bool {
	if e.Type() != model.TypeUser {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.here[e.Value()]
	return ok && time.Since(at) <= presence
}

// Is tells whether an entity is an agent or a server.
func Is(e model.Entity) bool {
	return e.Type() == model.TypeUser && (strings.HasPrefix(e.Value(), mcp.AgentPrefix) || strings.HasPrefix(e.Value(), mcp.ServerPrefix))
}

// Share implements decide.Clients. Calls are not counted.
func (d *Desk) Share(model.Entity) (float64, bool) { return 0, false }
