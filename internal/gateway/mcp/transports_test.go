package mcp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// ways to reach the test server.
func backs(t *testing.T) map[string]func(t *testing.T) Server {
	t.Helper()
	over := func(handler func(func(*http.Request) *sdk.Server) http.Handler, transport string) func(t *testing.T) Server {
		return func(t *testing.T) Server {
			t.Helper()
			s := testServer("") // one for all requests: what it pulled stays pulled
			behind := httptest.NewServer(handler(func(*http.Request) *sdk.Server { return s }))
			t.Cleanup(func() { behind.CloseClientConnections(); behind.Close() })
			return Server{URL: behind.URL, Transport: transport}
		}
	}
	stream := func(o *sdk.StreamableHTTPOptions) func(func(*http.Request) *sdk.Server) http.Handler {
		return func(get func(*http.Request) *sdk.Server) http.Handler { return sdk.NewStreamableHTTPHandler(get, o) }
	}
	return map[string]func(t *testing.T) Server{
		"a process": func(t *testing.T) Server {
			t.Helper()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			return Server{Command: []string{self}, Env: map[string]string{serverEnv: "normal"}}
		},
		"http":           over(stream(nil), ""),
		"http json":      over(stream(&sdk.StreamableHTTPOptions{JSONResponse: true}), "http"),
		"http stateless": over(stream(&sdk.StreamableHTTPOptions{Stateless: true}), ""),
		"sse":            over(func(get func(*http.Request) *sdk.Server) http.Handler { return sdk.NewSSEHandler(get, nil) }, SSE),
	}
}

// fronts are the ways in which clients reach the gateway.
func fronts() map[string]func(t *testing.T, g *Gate) sdk.Transport {
	web := func(t *testing.T, g *Gate) string {
		t.Helper()
		gate := g.NewHTTP()
		front := httptest.NewServer(gate)
		t.Cleanup(func() {
			front.CloseClientConnections()
			gate.Close()
			front.Close()
			if n := len(gate.hosted); n > 0 {
				t.Errorf("%d servers are left", n)
			}
		})
		return front.URL
	}
	return map[string]func(t *testing.T, g *Gate) sdk.Transport{
		"stdio": func(t *testing.T, g *Gate) sdk.Transport {
			t.Helper()
			inR, inW := io.Pipe()
			outR, outW := io.Pipe()
			done := make(chan error, 1)
			go func() {
				done <- g.Stdio(t.Context(), "", "s", g.conf.Servers["s"], Pipes{In: inR, Out: outW, Errors: io.Discard})
				outW.Close()
			}()
			t.Cleanup(func() {
				inW.Close()
				go func() { _, _ = io.Copy(io.Discard, outR) }()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
			return &sdk.IOTransport{Reader: outR, Writer: inW}
		},
		"http": func(t *testing.T, g *Gate) sdk.Transport {
			return &sdk.StreamableClientTransport{Endpoint: web(t, g) + "/s"}
		},
		"sse": func(t *testing.T, g *Gate) sdk.Transport {
			return &sdk.SSEClientTransport{Endpoint: web(t, g) + "/s/sse"}
		},
	}
}

// TestEveryTransport: policy, pins, decoys, inspection and trace hold on every way from a
// client to a server.
func TestEveryTransport(t *testing.T) {
	for front, in := range fronts() {
		for back, server := range backs(t) {
			t.Run(front+" to "+back, func(t *testing.T) {
				g, h := testGate(t, func(c *Config) {
					c.Servers = map[string]Server{"s": server(t)}
					c.Decoys = []Decoy{{Name: "vault", Description: "Opens it.", Answer: "no"}}
					c.Agents = map[string]Agent{"a": {Tools: []Tool{{Tool: "never", Do: Refuse}, {Tool: "*"}}}}
					c.Limits.Recheck = 0
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				s, err := sdk.NewClient(&sdk.Implementation{Name: "c", Version: "1"}, nil).Connect(ctx, in(t, g), nil)
				if err != nil {
					t.Fatal(err)
				}
				call := func(name string) string {
					r, err := s.CallTool(ctx, &sdk.CallToolParams{Name: name})
					return text(t, r, err)
				}
				var many sync.WaitGroup
				for range 10 {
					many.Go(func() {
						if got := call("hello"); got != "hello" {
							t.Error(got)
						}
					})
				}
				many.Wait()
				if tools, err := s.ListTools(ctx, nil); err != nil || len(tools.Tools) != 4 {
					t.Errorf("%+v %v", tools, err)
				}
				want(t, call("leak"), "the gateway stopped the answer")
				if got := call("vault"); got != "no" || !h.has(t, "mcp.decoy-tool") {
					t.Error(got)
				}
				want(t, call("never"), "refused by the gateway")
				if got := call("pull"); got != "pulled" {
					t.Error(got)
				}
				want(t, call("hello"), "changed after it was accepted")
				if !h.has(t, "mcp.rug-pull") || !h.has(t, "mcp.hostile-result") || !h.has(t, "mcp.refused-call") {
					t.Error("no alarm")
				}
				if err := s.Close(); err != nil && !strings.Contains(err.Error(), "EOF") {
					t.Error(err)
				}
				trace, err := os.ReadFile(filepath.Join(g.conf.State, "trace.jsonl"))
				if n := strings.Count(string(trace), "\n"); err != nil || n < 30 || strings.Contains(string(trace), "canary-4411") {
					t.Errorf("the trace has %d lines, %v", n, err)
				}
			})
		}
	}
}
