package gate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/gateway"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/model"
)

// TestAbuse: what the watch concludes from real requests of real formats is a signal, and
// what it learned is kept.
func TestAbuse(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if !strings.Contains(string(body), `"gpt-4o`) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"message":"no such model"}}`)
			return
		}
		_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":4096,"total_tokens":4105}}`)
	}))
	defer up.Close()
	dir := t.TempDir()
	c := gateway.DefaultConfig()
	c.Listen = "127.0.0.1:0"
	c.Routes = map[string]gateway.Route{"openai": {Service: gateway.Service{Upstream: up.URL}}, "bedrock": {Service: gateway.Service{Upstream: up.URL}}}
	if bad := Complete(&c); len(bad) > 0 {
		t.Fatal(bad)
	}
	_, key, err := keys.Create(Dir(dir), keys.Key{Name: "app"}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var kinds []string
	g, err := Open(Options{Config: c, Data: dir, Log: slog.New(slog.DiscardHandler), Signal: func(s model.Signal) {
		mu.Lock()
		defer mu.Unlock()
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		kinds = append(kinds, s.Kind)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	ask := func(path, body string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, g.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	const chat = "/openai/v1/chat/completions"
	for i := range 5 {
		ask(chat, fmt.Sprintf(`{"model":"m%d","messages":[{"role":"user","content":"hi"}]}`, i))
	}
	ask("/bedrock/model/anthropic.claude-v2/invoke", `{"prompt":"\n\nHuman: hi\n\nAssistant:","max_tokens_to_sample":-1}`)
	ask(chat, `{"model":"gpt-4o","messages":[{"role":"user","content":"`+strings.Repeat("write a story of the sea ", 10)+`"}]}`)
	for range 21 {
		ask(chat, `{"model":"gpt-4o","max_tokens":4096,"messages":[{"role":"user","content":"a story"}]}`)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := g.Close(context.Background()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"guard.exhaustion", "guard.llmjacking", "guard.model-oracle", "guard.model-probing"}
	if slices.Sort(kinds); !slices.Equal(kinds, want) {
		t.Errorf("signals %v, want %v", kinds, want)
	}
	if m, _ := filepath.Glob(filepath.Join(Dir(dir), "habits.json")); len(m) != 1 {
		t.Error("nothing was learned of the key")
	}
}
