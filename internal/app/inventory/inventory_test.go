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
	v.by["7"].processes[""] = time.Now().Add(-2 * presentOld) // not heard for long
	if err := v.Put(t.Context(), api.MCPInventory{Gateway: "one more"}); err != nil {
		t.Errorf("room for one: %v", err)
	}
}

// TestEnds: a gateway is listed as long as one of its processes is here: until the last says
// that it ends, or was not heard for a minute.
func TestEnds(t *testing.T) {
	v, b := opened(t)
	full := func(process string) api.MCPInventory {
		return api.MCPInventory{Gateway: "g", Process: process, Agents: []api.MCPAgent{{Name: "a"}}, Tools: []api.MCPTool{{Server: "s", Name: "t"}}}
	}
	short := func(process string, gone bool) api.MCPInventory {
		return api.MCPInventory{Gateway: "g", Process: process, Same: !gone, Gone: gone}
	}
	listed := func(want int, when string) {
		t.Helper()
		agents, err := v.Agents(t.Context())
		tools, err2 := v.Tools(t.Context())
		if err != nil || err2 != nil || len(agents) != want || len(tools) != want {
			t.Errorf("%s: %v %v %v %v", when, agents, tools, err, err2)
		}
	}
	put := func(q api.MCPInventory) {
		t.Helper()
		if err := v.Put(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Put(t.Context(), short("one", false)); !errors.Is(err, api.ErrRefused) {
		t.Errorf("nothing is known, and it is the same: %v", err)
	}
	put(short("one", true))
	put(full("one"))
	put(full("two"))
	put(short("one", false))
	listed(1, "two processes")
	if err := v.Put(t.Context(), short("three", false)); !errors.Is(err, api.ErrRefused) {
		t.Errorf("another process has told nothing: %v", err)
	}
	put(short("one", true))
	put(short("one", true))
	listed(1, "one process")
	put(short("two", true))
	listed(0, "the last one has ended")
	put(full("three"))
	now := time.Now()
	v.sweep(t.Context(), now.Add(30*time.Second))
	listed(1, "after half a minute")
	v.sweep(t.Context(), now.Add(time.Minute))
	listed(0, "after a minute")
	gone := 0
	if _, err := bus.Read(t.Context(), b, Topic(), bus.From{}, func(m bus.Message[api.MCPChange]) error {
		if m.Value.Gone {
			gone++
		}
		return nil
	}); err != nil || gone != 4 {
		t.Errorf("%d events that something is gone, %v", gone, err)
	}
	for i := range maxProcesses {
		put(full(fmt.Sprint(i)))
	}
	if err := v.Put(t.Context(), full("one more")); !errors.Is(err, api.ErrRefused) {
		t.Errorf("too many processes: %v", err)
	}
}
