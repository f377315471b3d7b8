package gate

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/budget"
)

// TestNotRepeated: what the gateway says about an answer that it does not understand does not carry what may not leave.
func TestNotRepeated(t *testing.T) {
	const canary = "zq7-canary-4411"
	var kind, answer string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for k := range strings.SplitSeq(kind, "|") {
			w.Header().Add("Content-Type", k)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(up.Close)
	base, key, dir := serve(t, map[string]gateway.Route{"openai": {Service: gateway.Service{Upstream: up.URL}, Options: optionsOf(t, "secret: {canaries: ["+canary+"]}\n")}})
	ask := func() (int, string) {
		return post(t, base+"/openai/v1/chat/completions", key, `{"model":"m","messages":[{"role":"user","content":"good morning"}]}`)
	}
	for _, c := range []struct{ name, kind, answer, want string }{
		{"a key", "application/json", `{"id":"c","choices":[],"` + canary + `":1}`, "not repeated"},
		{"a harmless key", "application/json", `{"id":"c","choices":[],"zork":1}`, "/zork"},
		{"the name of an event", "text/event-stream", "event: " + canary + "\ndata: {\"choices\":[]}\n\n", "not repeated"},
		{"a type", canary + "/x", `{}`, "not repeated"},
		{"two types", "application/json|text/event-stream", `{"id":"c","choices":[]}`, "more than one Content-Type"},
	} {
		kind, answer = c.kind, c.answer
		if status, got := ask(); status != 502 || !strings.Contains(got, c.want) || strings.Contains(got, canary) {
			t.Errorf("%s: %d %s", c.name, status, got)
		}
	}
	if audit, err := os.ReadFile(filepath.Join(Dir(dir), "audit.jsonl")); err != nil || strings.Contains(string(audit), canary) {
		t.Errorf("the audit log has what may not leave (%v)", err)
	}
}

// TestNothingIsFree: what the format does not know, or another model may answer, is charged all the same.
func TestNothingIsFree(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9}}`)
	}))
	t.Cleanup(up.Close)
	hour := conf.Duration(time.Hour)
	open := gateway.Route{Service: gateway.Service{Upstream: up.URL, Format: "openai"}, Policy: gateway.Policy{Unknown: gateway.Forward}}
	base, key, _ := serve(t, map[string]gateway.Route{"calls": open, "money": open},
		budget.Limit{By: "route", Only: []string{"calls"}, Per: hour, Requests: 2}, budget.Limit{By: "route", Only: []string{"money"}, Per: hour, Dollars: 5})
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/calls/v1/new/operation", `{"a":"b"}`, 200},
		{"/calls/v1/new/operation", `{"a":"b"}`, 200},
		{"/calls/v1/new/operation", `{"a":"b"}`, 429},
		{"/money/v1/new/operation", `{"a":"b"}`, 403},
		{"/money/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"good morning"}]}`, 200},
		{"/money/v1/chat/completions", `{"model":"gpt-4o","models":["x"],"messages":[{"role":"user","content":"good morning"}]}`, 403},
		{"/money/v1/chat/completions", `{"messages":[{"role":"user","content":"good morning"}]}`, 403},
	} {
		if status, got := post(t, base+c.path, key, c.body); status != c.want || status == 403 && !strings.Contains(got, "price_unknown") {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, got)
		}
	}
}

// TestOnlyTheModels: a route with a list of models serves no other one by another way to name it.
func TestOnlyTheModels(t *testing.T) {
	var asked atomic.Int32
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(up.Close)
	limited := gateway.Service{Upstream: up.URL, Format: "openai", Models: []string{"small*"}}
	base, key, _ := serve(t, map[string]gateway.Route{"openai": {Service: limited}, "open": {Service: limited, Policy: gateway.Policy{Unknown: gateway.Forward}}})
	ask := func(path, body string, want int, passes bool) {
		t.Helper()
		before := asked.Load()
		if status, got := post(t, base+path, key, body); status != want || asked.Load() > before != passes {
			t.Errorf("%s %s: %d %s", path, body, status, got)
		}
	}
	const said = `"messages":[{"role":"user","content":"good morning"}]`
	ask("/openai/v1/chat/completions", `{"model":"small-1",`+said+`}`, 200, true)
	ask("/openai/v1/chat/completions", `{"model":"small-1","models":["small-2"],`+said+`}`, 200, true)
	ask("/openai/v1/chat/completions", `{"model":"small-1","models":["small-2","large"],`+said+`}`, 403, false)
	ask("/openai/v1/chat/completions", `{"models":["large"],`+said+`}`, 403, false)
	ask("/openai/v1/chat/completions", fmt.Sprintf(`{%s}`, said), 403, false)
	ask("/open/v1/new/operation", `{"engine":"large"}`, 403, false)
	ask("/open/v1/chat/completions", `{"model":"small-1",`+said+`}`, 200, true)
}
