package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/keeper"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == keeper.ChildVerb {
		if err := keeper.RunChild(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKeeperKilled: clients of a gateway whose keeper is killed get an error in the form
// of their API, in the middle of a stream too, and are served again.
func TestKeeperKilled(t *testing.T) {
	release := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Header.Get("Authorization") != "Bearer sk-provider":
			w.WriteHeader(http.StatusUnauthorized)
		case bytes.Contains(body, []byte(`"stream":true`)):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"good "},"finish_reason":null}]}`+"\n\n")
			_ = http.NewResponseController(w).Flush()
			<-release
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}`)
		}
	}))
	defer up.Close()
	defer close(release)
	dir := t.TempDir()
	path := filepath.Join(dir, "openai.key")
	if err := os.WriteFile(path, []byte("sk-provider\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := conf.ParseSealed("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	c := gateway.DefaultConfig()
	c.Listen = "127.0.0.1:0"
	c.Routes = map[string]gateway.Route{"openai": {Service: gateway.Service{Upstream: up.URL, Credential: key, Anonymous: true}}}
	if bad := Complete(&c); len(bad) > 0 {
		t.Fatal(bad)
	}
	g, err := Open(Options{Config: c, Data: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-ended, g.Close(context.Background())); err != nil {
			t.Error(err)
		}
	}()
	ask := func(stream bool) *http.Response {
		body := fmt.Sprintf(`{"model":"m","stream":%v,"messages":[{"role":"user","content":"good morning"}]}`, stream)
		resp, err := http.Post(g.URL()+"/openai/v1/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := ask(true)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	report, _ := g.keeper.Report()
	if err := syscall.Kill(report.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(text), `"error"`) || !strings.Contains(string(text), `"code":"upstream_unreachable"`) {
		t.Errorf("the stream ended with %q, %v", text, err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp := ask(false)
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			break
		}
		if resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(text), `"code":"upstream_unreachable"`) || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("status %d: %s", resp.StatusCode, text)
		}
		if time.Now().After(deadline) {
			t.Fatal("the keeper is not started again")
		}
	}
}
