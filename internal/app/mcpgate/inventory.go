package mcpgate

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/credential"
	"bartizan/internal/gateway/mcp"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Bounds of what the node is told, which takes 2 MiB.
const (
	tellEvery       = 2 * time.Second  // at the pins
	tellAgain       = 15 * time.Second // that nothing has changed
	maxTold         = 1000             // tools
	maxDefinition   = 4 << 10
	maxDefinitions  = 1 << 20 // of all definitions together; then only hashes are told
	maxRules        = 500
	maxToldExprSize = 4096
)

// teller tells the node which agents and tools there are.
type teller struct {
	config mcp.Config
	name   string
	id     string // of this process
	looked time.Time
	told   time.Time
	last   string // as it was told; "": the node does not know it
}

func newTeller(c mcp.Config) *teller {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	state, err := filepath.Abs(c.State)
	if err != nil {
		state = c.State
	}
	return &teller{config: c, name: safe.Clean(host+":"+state, 100), id: model.NewULID(time.Now()).String()}
}

// tell tells the node what has changed since it was told last.
func (t *teller) tell(ctx context.Context, client *api.Client, now time.Time) error {
	if now.Sub(t.looked) < tellEvery {
		return nil
	}
	t.looked = now
	q, err := t.inventory()
	if err != nil {
		return err
	}
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if string(b) == t.last {
		if now.Sub(t.told) < tellAgain {
			return nil
		}
		q.Same, q.Agents, q.Tools = true, []api.MCPAgent{}, []api.MCPTool{}
	}
	if err := client.PutInventory(ctx, q); err != nil {
		t.last = "" // all of it the next time
		return err
	}
	t.last, t.told = string(b), now
	return nil
}

// end tells the node that this process is no more.
func (t *teller) end(ctx context.Context, client *api.Client) error {
	return client.PutInventory(ctx, api.MCPInventory{Gateway: t.name, Process: t.id, Gone: true, Agents: []api.MCPAgent{}, Tools: []api.MCPTool{}})
}

func (t *teller) inventory() (api.MCPInventory, error) {
	q := api.MCPInventory{Gateway: t.name, Process: t.id, Agents: []api.MCPAgent{}, Tools: []api.MCPTool{}}
	for _, name := range slices.Sorted(maps.Keys(t.config.Agents))[:min(len(t.config.Agents), 100)] {
		a := t.config.Agents[name]
		x := api.MCPAgent{Name: safe.Clean(name, 100), Else: string(cmp.Or(a.Else, mcp.Refuse)), Key: a.Key.IsSet(), Rules: []api.MCPRule{}}
		for _, r := range a.Tools[:min(len(a.Tools), maxRules)] {
			x.Rules = append(x.Rules, api.MCPRule{Tool: safe.Clean(r.Tool, 200), Server: safe.Clean(r.Server, 200), When: safe.Clean(credential.Mask(r.When), maxToldExprSize), Do: string(cmp.Or(r.Do, mcp.Pass))})
		}
		q.Agents = append(q.Agents, x)
	}
	pins, err := mcp.OpenPins(t.config.State)
	if err != nil {
		return q, err
	}
	list, err := pins.List()
	if err != nil {
		return q, err
	}
	left := maxDefinitions
	for i := range list[:min(len(list), maxTold)] {
		p := &list[i]
		x := api.MCPTool{Server: safe.Clean(p.Server, 200), Name: safe.Clean(p.Tool, 200), Hash: p.Hash, Since: p.Since, By: safe.Clean(p.By, 200), Changed: p.Changed(), OfferedAt: p.OfferedAt}
		if d := safe.Clean(credential.Mask(p.Definition), maxDefinition); len(d) <= left {
			x.Definition, left = d, left-len(d)
		}
		q.Tools = append(q.Tools, x)
	}
	return q, nil
}
