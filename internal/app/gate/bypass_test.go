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

// TestArray: Gemini streams into a JSON array when nobody asks for server-sent events; it leaves piece by piece.
func TestArray(t *testing.T) {
	var more chan string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		for s := range more {
			_, _ = io.WriteString(w, s)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	t.Cleanup(up.Close)
	base, key, _ := serve(t, map[string]gateway.Route{"gemini": {Service: gateway.Service{Upstream: up.URL}, Options: optionsOf(t, "secret: {canaries: [zq7-canary-4411]}\n")}})
	piece := func(text, rest string) string {
		return fmt.Sprintf(`{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":%q}]}%s}]}`, text, rest)
	}
	ask := func() *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/gemini/v1beta/models/g:streamGenerateContent", strings.NewReader(`{"contents":[{"role":"user","parts":[{"text":"good morning"}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Goog-Api-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	first, second := "["+piece("The ferry leaves ", ""), ",\r\n"+piece("at nine.", `,"finishReason":"STOP"`)+"]"
	more = make(chan string, 2)
	more <- first
	resp := ask() // nothing more is said until what was said has come
	got := make([]byte, len(first))
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != first {
		t.Fatalf("%d %q %v", resp.StatusCode, got, err)
	}
	more <- second
	close(more)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != second {
		t.Errorf("%q %v", rest, err)
	}
	more = make(chan string, 3)
	more <- "[" + piece("it is zq7-ca", "")
	more <- "," + piece("nary-4411, ", "")
	more <- "," + piece("keep it", `,"finishReason":"STOP"`) + "]"
	close(more)
	if all, _ := io.ReadAll(ask().Body); strings.Contains(string(all), "nary") || !strings.Contains(string(all), "blocked_by_guard") {
		t.Errorf("%s", all)
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
