// Package inventory is what a node knows of the MCP gateways beside it: their agents with
// their policies, and the tools of their servers with the definitions that are pinned.
package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/bus"
	"bartizan/internal/obs"
	"bartizan/internal/safe"
)

// Topic is the stream of agents and tools that are new, different or gone.
func Topic() bus.Topic[api.MCPChange] {
	return bus.Topic[api.MCPChange]{Stream: "MCP", Subject: "mcp", Schema: "mcp-change", Version: 1,
		Limits: bus.Limits{MaxBytes: 32 << 20, MaxAge: 30 * 24 * time.Hour, DiscardOld: true}}
}

const (
	present     = 5 * time.Minute // a gateway is listed for so long after it was heard
	maxGateways = 100
	maxTools    = 5000 // of all gateways
)

// Inventory is a node's. It may be used concurrently.
type Inventory struct {
	pub    *bus.Publisher[api.MCPChange]
	health *obs.Health

	mu sync.Mutex
	by map[string]told
}

type told struct {
	api.MCPInventory
	at time.Time
}

// Open makes an empty one: gateways tell again within a minute.
func Open(ctx context.Context, b *bus.Bus, health *obs.Health) (*Inventory, error) {
	pub, err := bus.NewPublisher(ctx, b, Topic())
	if err != nil {
		return nil, fmt.Errorf("open the stream of agents and tools: %w", err)
	}
	return &Inventory{pub: pub, health: health, by: map[string]told{}}, nil
}

// Put takes what a gateway serves, in place of what it told before.
func (v *Inventory) Put(ctx context.Context, q api.MCPInventory) error {
	now := time.Now()
	q.Gateway = safe.Clean(q.Gateway, 100)
	v.mu.Lock()
	maps.DeleteFunc(v.by, func(name string, t told) bool { return name != q.Gateway && now.Sub(t.at) > present })
	tools := len(q.Tools)
	for name, t := range v.by {
		if name != q.Gateway {
			tools += len(t.Tools)
		}
	}
	before, known := v.by[q.Gateway]
	if tools > maxTools || !known && len(v.by) >= maxGateways {
		v.mu.Unlock()
		return fmt.Errorf("%w: a node lists %d gateways and %d tools at most", api.ErrRefused, maxGateways, maxTools)
	}
	v.by[q.Gateway] = told{q, now}
	v.mu.Unlock()
	changes := compare(before.MCPInventory, q, now)
	items := make([]bus.Item[api.MCPChange], len(changes))
	for i := range changes {
		items[i] = bus.Item[api.MCPChange]{Key: "mcp", ID: fmt.Sprintf("%s %d %d", q.Gateway, now.UnixNano(), i), Value: changes[i]}
	}
	if err := v.pub.PublishBatch(ctx, items); err != nil {
		v.health.Set("mcp", obs.StateDegraded, "changes of agents and tools cannot be stored in the stream; the lists are right: "+err.Error())
	}
	return nil
}

// compare lists what is new, different or gone.
func compare(before, after api.MCPInventory, now time.Time) (out []api.MCPChange) {
	agents, tools := map[string]api.MCPAgent{}, map[string]api.MCPTool{}
	for _, a := range before.Agents {
		agents[a.Name] = a
	}
	for _, t := range before.Tools {
		tools[t.Server+"\x00"+t.Name] = t
	}
	for _, a := range after.Agents {
		if old, ok := agents[a.Name]; !ok || !equal(old, a) {
			a.Gateway = after.Gateway
			out = append(out, api.MCPChange{Time: now, Agent: &a})
		}
		delete(agents, a.Name)
	}
	for _, t := range after.Tools {
		if old, ok := tools[t.Server+"\x00"+t.Name]; !ok || !equal(old, t) {
			t.Gateway = after.Gateway
			out = append(out, api.MCPChange{Time: now, Tool: &t})
		}
		delete(tools, t.Server+"\x00"+t.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(agents)) {
		a := agents[name]
		a.Gateway = after.Gateway
		out = append(out, api.MCPChange{Time: now, Gone: true, Agent: &a})
	}
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		t := tools[name]
		t.Gateway = after.Gateway
		out = append(out, api.MCPChange{Time: now, Gone: true, Tool: &t})
	}
	return out
}

func equal[T any](a, b T) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

// Agents lists the agents of the gateways that were heard lately.
func (v *Inventory) Agents(context.Context) ([]api.MCPAgent, error) {
	var out []api.MCPAgent
	v.each(func(t told) {
		for _, a := range t.Agents {
			a.Gateway, a.Seen = t.Gateway, t.at
			out = append(out, a)
		}
	})
	slices.SortFunc(out, func(a, b api.MCPAgent) int { return strings.Compare(a.Name+"\x00"+a.Gateway, b.Name+"\x00"+b.Gateway) })
	return out, nil
}

// Tools lists the tools of the servers behind them.
func (v *Inventory) Tools(context.Context) ([]api.MCPTool, error) {
	var out []api.MCPTool
	v.each(func(t told) {
		for _, x := range t.Tools {
			x.Gateway, x.Seen = t.Gateway, t.at
			out = append(out, x)
		}
	})
	slices.SortFunc(out, func(a, b api.MCPTool) int {
		return strings.Compare(a.Server+"\x00"+a.Name+"\x00"+a.Gateway, b.Server+"\x00"+b.Name+"\x00"+b.Gateway)
	})
	return out, nil
}

func (v *Inventory) each(f func(told)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.by {
		if time.Since(t.at) <= present {
			f(t)
		}
	}
}
