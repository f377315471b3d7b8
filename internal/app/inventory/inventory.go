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
	present      = 45 * time.Second // a process is here for so long after it was heard: it tells again within 15 seconds
	presentOld   = 5 * time.Minute  // one of a version that gives no name to its processes and tells again within a minute
	sweepEvery   = 5 * time.Second
	maxGateways  = 100
	maxProcesses = 100  // of one gateway
	maxTools     = 5000 // of all gateways
)

// Inventory is a node's. It may be used concurrently.
type Inventory struct {
	pub    *bus.Publisher[api.MCPChange]
	health *obs.Health

	mu sync.Mutex
	by map[string]*told
}

// told is a gateway: processes with one folder, which serve the same.
type told struct {
	api.MCPInventory
	at        time.Time            // of the last word
	processes map[string]time.Time // when each was heard last
}

// without forgets the processes that were not heard for long; it says whether any is left.
func (t *told) without(now time.Time) bool {
	maps.DeleteFunc(t.processes, func(name string, at time.Time) bool {
		return now.Sub(at) > present && (name != "" || now.Sub(at) > presentOld)
	})
	return len(t.processes) > 0
}

// Open makes an empty one: gateways that say that nothing has changed are asked to tell all of it.
func Open(ctx context.Context, b *bus.Bus, health *obs.Health) (*Inventory, error) {
	pub, err := bus.NewPublisher(ctx, b, Topic())
	if err != nil {
		return nil, fmt.Errorf("open the stream of agents and tools: %w", err)
	}
	return &Inventory{pub: pub, health: health, by: map[string]*told{}}, nil
}

// Put takes what a process of a gateway serves, in place of what was told before.
func (v *Inventory) Put(ctx context.Context, q api.MCPInventory) error {
	now := time.Now()
	q.Gateway, q.Process = safe.Clean(q.Gateway, 100), safe.Clean(q.Process, 60)
	v.sweep(ctx, now)
	v.mu.Lock()
	changes, err := v.put(q, now)
	v.mu.Unlock()
	if err != nil {
		return err
	}
	v.publish(ctx, q.Gateway, changes, now)
	return nil
}

func (v *Inventory) put(q api.MCPInventory, now time.Time) ([]api.MCPChange, error) {
	before := v.by[q.Gateway]
	known := before != nil
	if q.Gone {
		if known {
			delete(before.processes, q.Process)
		}
		return v.left(q.Gateway, now), nil
	}
	if q.Same {
		if known {
			_, known = before.processes[q.Process]
		}
		if !known {
			return nil, fmt.Errorf("%w: the node does not know what process %s of gateway %s told last: tell all of it", api.ErrRefused, q.Process, q.Gateway)
		}
		before.at, before.processes[q.Process] = now, now
		return nil, nil
	}
	tools := len(q.Tools)
	for name, t := range v.by {
		if name != q.Gateway {
			tools += len(t.Tools)
		}
	}
	if tools > maxTools || !known && len(v.by) >= maxGateways {
		return nil, fmt.Errorf("%w: a node lists %d gateways and %d tools at most", api.ErrRefused, maxGateways, maxTools)
	}
	if !known {
		before = &told{processes: map[string]time.Time{}}
		v.by[q.Gateway] = before
	}
	if _, here := before.processes[q.Process]; !here && len(before.processes) >= maxProcesses {
		return nil, fmt.Errorf("%w: a node knows %d processes of one gateway at most", api.ErrRefused, maxProcesses)
	}
	changes := compare(before.MCPInventory, q, now)
	before.MCPInventory, before.at, before.processes[q.Process] = q, now, now
	return changes, nil
}

// left takes a gateway without processes off the list, and says what went with it.
func (v *Inventory) left(name string, now time.Time) []api.MCPChange {
	t := v.by[name]
	if t == nil || t.without(now) {
		return nil
	}
	delete(v.by, name)
	return compare(t.MCPInventory, api.MCPInventory{Gateway: name}, now)
}

// Run takes off the list what is not heard any more, until ctx ends.
func (v *Inventory) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			v.sweep(ctx, now)
		}
	}
}

func (v *Inventory) sweep(ctx context.Context, now time.Time) {
	v.mu.Lock()
	gone := map[string][]api.MCPChange{}
	for _, name := range slices.Sorted(maps.Keys(v.by)) {
		if c := v.left(name, now); len(c) > 0 {
			gone[name] = c
		}
	}
	v.mu.Unlock()
	for name, c := range gone {
		v.publish(ctx, name, c, now)
	}
}

func (v *Inventory) publish(ctx context.Context, gateway string, changes []api.MCPChange, now time.Time) {
	items := make([]bus.Item[api.MCPChange], len(changes))
	for i := range changes {
		items[i] = bus.Item[api.MCPChange]{Key: "mcp", ID: fmt.Sprintf("%s %d %d", gateway, now.UnixNano(), i), Value: changes[i]}
	}
	if err := v.pub.PublishBatch(ctx, items); err != nil && ctx.Err() == nil {
		v.health.Set("mcp", obs.StateDegraded, "changes of agents and tools cannot be stored in the stream; the lists are right: "+err.Error())
	}
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
	v.each(func(t *told) {
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
	v.each(func(t *told) {
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

func (v *Inventory) each(f func(*told)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for _, t := range v.by {
		if t.without(now) {
			f(t)
		}
	}
}
