package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api/token"
	"bartizan/internal/model"
)

// fakeGuard has seven exchanges.
func fakeGuard() Guard {
	return Guard{
		Exchanges: func(_ context.Context, q ExchangeQuery) (out []Stored[model.LLMCall], _ error) {
			for seq := uint64(7); seq > 0; seq-- {
				c := model.LLMCall{ID: model.ULID{byte(seq)}, Route: q.Route, Action: "allow"}
				if (q.Before == 0 || seq < q.Before) && (q.ID == "" || q.ID == c.ID.String()) && len(out) < q.Limit {
					out = append(out, Stored[model.LLMCall]{Seq: seq, Value: c})
				}
			}
			return out, nil
		},
		Traffic: func(_ context.Context, q TrafficQuery) ([]Stored[model.LLMTraffic], error) {
			return []Stored[model.LLMTraffic]{{Seq: 1, Value: model.LLMTraffic{Route: "r", Messages: []model.LLMMessage{{Kind: "prompt", Text: "<EMAIL_1>"}}}}}, nil
		},
		Verdicts: func(_ context.Context, since time.Time) (GuardVerdicts, error) {
			return GuardVerdicts{Since: since, Exchanges: 7, Inspectors: []model.LLMInspector{{Name: "pii", Clean: 7}}, Actions: []GuardCount{}, Categories: []GuardCount{}, Complete: true}, nil
		},
		Budgets: func(context.Context) ([]GuardBudget, error) { return nil, nil },
		Routes: func(context.Context) ([]GuardRoute, error) {
			return []GuardRoute{{Name: "openai", Models: []string{}, Directions: []GuardDirection{}}}, nil
		},
		Keys: func(context.Context) ([]GuardKey, error) { return []GuardKey{{ID: "k", State: "valid"}}, nil },
		CreateKey: func(_ context.Context, q GuardKeyRequest) (NewGuardKey, error) {
			if q.Name == "taken" {
				return NewGuardKey{}, fmt.Errorf("%w: taken", ErrInput)
			}
			return NewGuardKey{GuardKey: GuardKey{ID: "k", Name: q.Name}, Key: "bzg_secret"}, nil
		},
		RevokeKey: func(_ context.Context, id string) (GuardKey, error) { return GuardKey{ID: id, State: "revoked"}, nil },
		Agents:    func(context.Context) ([]MCPAgent, error) { return []MCPAgent{{Name: "coder", Rules: []MCPRule{}}}, nil },
		Tools:     func(context.Context) ([]MCPTool, error) { return nil, nil },
		Inventory: func(_ context.Context, q MCPInventory) error {
			if q.Gateway == "full" {
				return fmt.Errorf("%w: too many", ErrRefused)
			}
			return nil
		},
	}
}

func TestGuardResources(t *testing.T) {
	c := serveNode(t, fakeNode())
	ctx := t.Context()
	if list, err := c.Exchanges(ctx, ExchangeQuery{Route: "openai"}); err != nil || len(list) != 7 || list[0].Route != "openai" || list[0].ID != (model.ULID{7}) {
		t.Errorf("%+v %v", list, err)
	}
	if x, err := c.Exchange(ctx, model.ULID{3}.String()); err != nil || x.ID != (model.ULID{3}) {
		t.Errorf("%+v %v", x, err)
	}
	if _, err := c.Exchange(ctx, model.ULID{9}.String()); err == nil || !strings.Contains(err.Error(), "bartizan hunt") {
		t.Errorf("an exchange that is not there: %v", err)
	}
	var p Page[model.LLMCall]
	if err := c.get(ctx, "/v1/guard/exchanges?limit=3", nil, &p); err != nil || len(p.Items) != 3 || p.Next == "" {
		t.Fatalf("%+v %v", p, err)
	}
	if err := c.get(ctx, "/v1/guard/exchanges?limit=3&action=allow&cursor="+p.Next, nil, &p); err == nil {
		t.Error("a cursor of another list is taken")
	}
	if err := c.get(ctx, "/v1/guard/exchanges?limit=3&cursor="+p.Next, nil, &p); err != nil || p.Items[0].ID != (model.ULID{4}) {
		t.Errorf("%+v %v", p, err)
	}
	if list, err := c.Traffic(ctx, TrafficQuery{}); err != nil || len(list) != 1 || list[0].Messages[0].Text != "<EMAIL_1>" {
		t.Errorf("%+v %v", list, err)
	}
	if v, err := c.Verdicts(ctx, time.Unix(1, 0)); err != nil || v.Exchanges != 7 || !v.Complete || v.Since.Unix() != 1 {
		t.Errorf("%+v %v", v, err)
	}
	for what, f := range map[string]func() (int, error){
		"budgets": func() (int, error) { l, err := c.Budgets(ctx); return len(l), err }, "routes": func() (int, error) { l, err := c.Routes(ctx); return len(l) + 9, err },
		"keys": func() (int, error) { l, err := c.GuardKeys(ctx); return len(l) + 9, err }, "agents": func() (int, error) { l, err := c.Agents(ctx); return len(l) + 9, err },
		"tools": func() (int, error) { l, err := c.Tools(ctx); return len(l), err },
	} {
		if n, err := f(); err != nil || n != 0 && n != 10 {
			t.Errorf("%s: %d %v", what, n, err)
		}
	}
	if k, err := c.CreateGuardKey(ctx, GuardKeyRequest{Name: "app", Seconds: 60}); err != nil || k.Key != "bzg_secret" {
		t.Errorf("%+v %v", k, err)
	}
	if _, err := c.CreateGuardKey(ctx, GuardKeyRequest{Name: "taken", Seconds: 60}); err == nil {
		t.Error("no error")
	}
	if k, err := c.RevokeGuardKey(ctx, "app"); err != nil || k.State != "revoked" {
		t.Errorf("%+v %v", k, err)
	}
	if err := c.PutInventory(ctx, MCPInventory{Gateway: "g", Agents: []MCPAgent{{Name: "a", Else: "refuse", Rules: []MCPRule{}}}, Tools: []MCPTool{}}); err != nil {
		t.Error(err)
	}
	if err := c.PutInventory(ctx, MCPInventory{Gateway: "full", Agents: []MCPAgent{}, Tools: []MCPTool{}}); err == nil {
		t.Error("no error")
	}
}

// Keys are for few, and who may only report sees nothing.
func TestGuardScopes(t *testing.T) {
	s := newServer(t, fakeNode())
	mux := http.NewServeMux()
	s.describe(mux)
	ask := func(scope token.Scope, method, path, body string) int {
		r, err := http.NewRequestWithContext(withCaller(t.Context(), caller{actor: "test", scope: scope}), method, path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		w := &written{head: http.Header{}}
		mux.ServeHTTP(w, r)
		return w.status
	}
	inventory, err := json.Marshal(MCPInventory{Gateway: "g", Agents: []MCPAgent{}, Tools: []MCPTool{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scope              token.Scope
		method, path, body string
		want               int
	}{
		{token.Read, "GET", "/v1/guard/exchanges", "", 200}, {token.Read, "GET", "/v1/guard/verdicts", "", 200}, {token.Read, "GET", "/v1/guard/agents", "", 200},
		{token.Read, "GET", "/v1/guard/traffic", "", 200}, {token.Report, "GET", "/v1/guard/traffic", "", 403}, {token.Report, "GET", "/v1/events?types=traffic", "", 403},
		{token.Operate, "GET", "/v1/guard/keys", "", 403}, {token.Admin, "GET", "/v1/guard/keys", "", 200}, {token.Operate, "POST", "/v1/guard/keys", `{"name":"a","seconds":60}`, 403},
		{token.Report, "GET", "/v1/guard/exchanges", "", 403}, {token.Report, "PUT", "/v1/mcp/inventory", string(inventory), 204}, {token.Read, "PUT", "/v1/mcp/inventory", string(inventory), 403},
		{token.Read, "GET", "/v1/guard/exchanges?action=other", "", 422},
	} {
		if got := ask(c.scope, c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s %s: %d, want %d", c.scope, c.method, c.path, got, c.want)
		}
	}
}

// written keeps what a handler writes.
type written struct {
	head   http.Header
	status int
	body   bytes.Buffer
}

func (a *written) Header() http.Header { return a.head }

func (a *written) WriteHeader(status int) { a.status = status }

func (a *written) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = 200
	}
	return a.body.Write(b)
}

func TestPlacesOfMoreKinds(t *testing.T) {
	for _, text := range []string{"s1.d2.r3", "s1.d2.r3.h4", "s1.d2.r3.e5", "s0.d0.r0.h1.e2.t3.m4", "s1.d2.r3.t9"} {
		p, err := parsePlace(text)
		if err != nil || p.String() != text {
			t.Errorf("%s: %s %v", text, p.String(), err)
		}
	}
	for _, text := range []string{"s1.d2", "s1.d2.r3.e0", "s1.d2.r3.t1.e2", "s1.d2.r3.x1", "s1.d2.r3.e1.e2", "d2.s1.r3", "s1.d2.r3."} {
		if _, err := parsePlace(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
