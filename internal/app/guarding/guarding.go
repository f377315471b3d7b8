// Package guarding answers for a node what its gateway in front of language models has seen.
package guarding

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/app/inventory"
	"bartizan/internal/app/recent"
	"bartizan/internal/bus"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/model"
)

// Desk has what the answers are made of.
type Desk struct {
	Bus       *bus.Bus
	Gateway   *gate.Role // nil: it has no routes
	Config    gateway.Config
	Data      string        // data folder
	Age       time.Duration // how long the lake keeps what was said; 0: for ever
	Inventory *inventory.Inventory
}

const day = 24 * time.Hour

// API is what the node offers.
func (d *Desk) API() api.Guard {
	return api.Guard{Exchanges: d.exchanges, Traffic: d.recordedTraffic, Verdicts: d.verdicts, Budgets: d.budgets, Routes: d.routes, Keys: d.guardKeys, CreateKey: d.createGuardKey, RevokeKey: d.revokeGuardKey,
		Agents: d.Inventory.Agents, Tools: d.Inventory.Tools, Inventory: d.Inventory.Put}
}

func (d *Desk) exchanges(ctx context.Context, q api.ExchangeQuery) ([]api.Stored[model.LLMCall], error) {
	if d.Gateway == nil {
		return nil, nil
	}
	id, err := optionalID(q.ID)
	if err != nil {
		return nil, err
	}
	from := bus.From{Time: q.Since, Key: q.Route, OneKey: q.Route != ""}
	list, err := recent.Newest(ctx, d.Bus, gate.Topic(), from, q.Before, q.Limit, func(r *gateway.Record) bool {
		return (q.ID == "" || r.ID == id) && (q.Key == "" || r.Key == q.Key || r.KeyName == q.Key) && (q.Model == "" || r.Model == q.Model) &&
			(q.Action == "" || string(r.Action) == q.Action) && (q.Category == "" || string(r.Category) == q.Category) && (q.Result == "" || string(r.Outcome) == q.Result)
	})
	out := make([]api.Stored[model.LLMCall], len(list))
	for i := range list {
		out[i] = api.Stored[model.LLMCall]{Seq: list[i].Seq, Value: list[i].Value.Call()}
	}
	return out, err
}

func (d *Desk) recordedTraffic(ctx context.Context, q api.TrafficQuery) ([]api.Stored[model.LLMTraffic], error) {
	if d.Gateway == nil {
		return nil, nil
	}
	id, err := optionalID(q.ID)
	if err != nil {
		return nil, err
	}
	from := bus.From{Time: q.Since, Key: q.Route, OneKey: q.Route != ""}
	return recent.Newest(ctx, d.Bus, gate.Traffic(d.Age), from, q.Before, q.Limit, func(x *model.LLMTraffic) bool { return q.ID == "" || x.ID == id })
}

func optionalID(s string) (id model.ULID, err error) {
	if s == "" {
		return id, nil
	}
	if id, err = model.ParseULID(s); err != nil {
		err = fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	return id, err
}

// maxExchanges is how many exchanges are summed up at most: the newest.
const maxExchanges = 50_000

// verdicts sums up what inspectors did.
func (d *Desk) verdicts(ctx context.Context, since time.Time) (api.GuardVerdicts, error) {
	if since.IsZero() {
		since = time.Now().Add(-day)
	}
	v := api.GuardVerdicts{Since: since, Complete: true, Inspectors: []model.LLMInspector{}, Actions: []api.GuardCount{}, Categories: []api.GuardCount{}}
	if d.Gateway == nil {
		return v, nil
	}
	last, err := recent.Last(ctx, d.Bus, gate.Topic())
	if err != nil {
		return v, err
	}
	inspectors, actions, categories := map[string]*model.LLMInspector{}, map[string]int{}, map[string]int{}
	from := bus.From{Seq: max(last, maxExchanges) - maxExchanges + 1}
	_, err = bus.Read(ctx, d.Bus, gate.Topic(), from, func(m bus.Message[gateway.Record]) error {
		if m.Time.Before(since) {
			return nil
		}
		if v.Exchanges == 0 && m.Seq == from.Seq && m.Seq > 1 {
			v.Since, v.Complete = m.Time, false
		}
		v.Exchanges++
		c := m.Value.Call()
		actions[c.Action]++
		for _, f := range c.Found {
			categories[f.Category]++
		}
		for _, i := range c.Inspectors {
			x := inspectors[i.Name]
			if x == nil {
				x = &model.LLMInspector{Name: i.Name}
				inspectors[i.Name] = x
			}
			x.Clean, x.Found, x.Skipped, x.Failed, x.Off = x.Clean+i.Clean, x.Found+i.Found, x.Skipped+i.Skipped, x.Failed+i.Failed, x.Off+i.Off
		}
		return nil
	})
	for _, x := range inspectors {
		v.Inspectors = append(v.Inspectors, *x)
	}
	slices.SortFunc(v.Inspectors, func(a, b model.LLMInspector) int { return strings.Compare(a.Name, b.Name) })
	v.Actions, v.Categories = counted(actions), counted(categories)
	return v, err
}

func counted(m map[string]int) []api.GuardCount {
	out := []api.GuardCount{}
	for name, k := range m {
		out = append(out, api.GuardCount{Name: name, Count: k})
	}
	slices.SortFunc(out, func(a, b api.GuardCount) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

func (d *Desk) budgets(context.Context) ([]api.GuardBudget, error) {
	if d.Gateway == nil {
		return nil, nil
	}
	var out []api.GuardBudget
	for _, u := range d.Gateway.Used(time.Now()) {
		b := api.GuardBudget{By: u.By, Name: u.Name, Seconds: u.Window.Seconds(), From: u.From, Requests: u.Requests, Tokens: u.Tokens, Dollars: u.Dollars, Running: u.Running}
		if l := u.Limit; l != nil {
			b.Limit = api.GuardLimits{Requests: l.Requests, Tokens: l.Tokens, Dollars: l.Dollars, Concurrency: l.Concurrency}
		}
		out = append(out, b)
	}
	return out, nil
}

func (d *Desk) routes(context.Context) ([]api.GuardRoute, error) {
	var out []api.GuardRoute
	for _, name := range slices.Sorted(maps.Keys(d.Config.Routes)) {
		r := d.Config.Routes[name]
		g := api.GuardRoute{Name: name, Format: r.Format, Upstream: r.Upstream, Anonymous: r.Anonymous, Stream: r.Stream, Record: r.Record, Unknown: r.Unknown, Media: r.Media, Unpriced: r.Unpriced,
			Models: slices.Concat([]string{}, r.Models)}
		if d.Gateway != nil {
			g.URL = d.Gateway.URL() + strings.TrimSuffix(r.Prefix, "/")
		}
		for _, d := range []struct {
			name string
			*gateway.Direction
		}{{"system", &r.System}, {"request", &r.Request}, {"tool_result", &r.ToolResult}, {"response", &r.Response}, {"tool_call", &r.ToolCall}} {
			p := api.GuardDirection{Name: d.name, Inspectors: slices.Concat([]string{}, d.Inspectors), Actions: []api.GuardAction{}}
			for _, c := range slices.Sorted(maps.Keys(d.Actions)) {
				p.Actions = append(p.Actions, api.GuardAction{Category: c, Action: d.Actions[c]})
			}
			g.Directions = append(g.Directions, p)
		}
		out = append(out, g)
	}
	return out, nil
}

func guardKey(k *keys.Key, now time.Time) api.GuardKey {
	return api.GuardKey{ID: k.ID, Name: k.Name, User: k.User, Routes: k.Routes, Models: k.Models, Canary: k.Canary, State: k.State(now), Created: k.Created, Expires: k.Expires, Revoked: k.Revoked}
}

func (d *Desk) guardKeys(context.Context) ([]api.GuardKey, error) {
	all, err := keys.List(gate.Dir(d.Data))
	out := make([]api.GuardKey, len(all))
	for i := range all {
		out[i] = guardKey(&all[i], time.Now())
	}
	return out, err
}

func (d *Desk) createGuardKey(_ context.Context, q api.GuardKeyRequest) (api.NewGuardKey, error) {
	now := time.Now()
	k, text, err := keys.Create(gate.Dir(d.Data), keys.Key{Name: q.Name, User: q.User, Routes: q.Routes, Models: q.Models, Canary: q.Canary}, time.Duration(q.Seconds*float64(time.Second)), now)
	if err != nil {
		return api.NewGuardKey{}, keyError(err)
	}
	return api.NewGuardKey{GuardKey: guardKey(&k, now), Key: text}, nil
}

func (d *Desk) revokeGuardKey(_ context.Context, idOrName string) (api.GuardKey, error) {
	now := time.Now()
	k, err := keys.Revoke(gate.Dir(d.Data), idOrName, now)
	if err != nil {
		return api.GuardKey{}, keyError(err)
	}
	return guardKey(&k, now), nil
}

func keyError(err error) error {
	if errors.Is(err, keys.ErrInput) {
		return fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	return err
}
