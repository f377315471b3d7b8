package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/bus"
	"bartizan/internal/obs"
)

func opened(t *testing.T) (*Inventory, *bus.Bus) {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	v, err := Open(t.Context(), b, obs.NewHealth())
	if err != nil {
		t.Fatal(err)
	}
	return v, b
}

func TestChanges(t *testing.T) {
	v, b := opened(t)
	agent := func(name, do string) api.MCPAgent {
		return api.MCPAgent{Name: name, Else: "refuse", Rules: []api.MCPRule{{Tool: "x", Do: do}}}
	}
	for i, q := range []api.MCPInventory{
		{Gateway: "g", Agents: []api.MCPAgent{agent("a", "pass"), agent("b", "pass")}, Tools: []api.MCPTool{{Server: "s", Name: "t", Hash: "1"}}},
		{Gateway: "g", Agents: []api.MCPAgent{agent("a", "pass"), agent("b", "pass")}, Tools: []api.MCPTool{{Server: "s", Name: "t", Hash: "1"}}}, // nothing new
		{Gateway: "g", Agents: []api.MCPAgent{agent("a", "refuse")}, Tools: []api.MCPTool{{Server: "s", Name: "t", Hash: "1", Changed: true}}},
	} {
		if err := v.Put(t.Context(), q); err != nil {
			t.Fatal(i, err)
		}
	}
	var got []string
	if _, err := bus.Read(t.Context(), b, Topic(), bus.From{}, func(m bus.Message[api.MCPChange]) error {
		switch c := m.Value; {
		case c.Agent != nil:
			got = append(got, fmt.Sprintf("agent %s %s %v", c.Agent.Name, c.Agent.Rules[0].Do, c.Gone))
		case c.Tool != nil:
			got = append(got, fmt.Sprintf("tool %s %v %v", c.Tool.Name, c.Tool.Changed, c.Gone))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"agent a pass false", "agent b pass false", "tool t false false", "agent a refuse false", "tool t true false", "agent b pass true"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	agents, _ := v.Agents(t.Context())
	tools, _ := v.Tools(t.Context())
	if len(agents) != 1 || agents[0].Gateway != "g" || agents[0].Seen.IsZero() || len(tools) != 1 || !tools[0].Changed {
		t.Errorf("%+v %+v", agents, tools)
	}
}

func TestBounds(t *testing.T) {
	v, _ := opened(t)
	many := api.MCPInventory{Gateway: "many", Agents: []api.MCPAgent{}, Tools: make([]api.MCPTool, maxTools+1)}
	if err := v.Put(t.Context(), many); !errors.Is(err, api.ErrRefused) {
		t.Errorf("too many tools: %v", err)
	}
	for i := range maxGateways {
		if err := v.Put(t.Context(), api.MCPInventory{Gateway: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Put(t.Context(), api.MCPInventory{Gateway: "one more"}); !errors.Is(err, api.ErrRefused) {
		t.Errorf("too many gateways: %v", err)
	}
	if err := v.Put(t.Context(), api.MCPInventory{Gateway: "7"}); err != nil {
		t.Errorf("one that is known: %v", err)
	}
	v.by["7"] = told{v.by["7"].MCPInventory, time.Now().Add(-2 * present)} // not heard for long
	if err := v.Put(t.Context(), api.MCPInventory{Gateway: "one more"}); err != nil {
		t.Errorf("room for one: %v", err)
	}
}
