package mcp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// httpGate stands before a handler.
func httpGate(t *testing.T, server http.Handler, change func(*Config)) (url string, h *heard) {
	t.Helper()
	behind := httptest.NewServer(server)
	t.Cleanup(behind.Close)
	g, h := testGate(t, func(c *Config) {
		c.Servers = map[string]Server{"s": {URL: behind.URL, Headers: map[string]string{"Authorization": "Bearer kept"}}, "local": {Command: []string{"x"}}}
		c.Limits.Recheck = 0
		if change != nil {
			change(c)
		}
	})
	gate := g.NewHTTP()
	front := httptest.NewServer(gate)
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		gate.Close()
	})
	return front.URL + "/s", h
}

func TestHTTP(t *testing.T) {
	for name, opts := range map[string]*sdk.StreamableHTTPOptions{"events": nil, "json": {JSONResponse: true}, "stateless": {Stateless: true}} {
		t.Run(name, func(t *testing.T) {
			url, h := httpGate(t, sdk.NewStreamableHTTPHandler(func() func(*http.Request) *sdk.Server {
				s := testServer("") // one for all requests: what it pulled stays pulled
				return func(*http.Request) *sdk.Server { return s }
			}(), opts), func(c *Config) { c.Decoys = []Decoy{{Name: "vault", Description: "Opens it.", Answer: "no"}} })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, err := sdk.NewClient(&sdk.Implementation{Name: "c", Version: "1"}, nil).Connect(ctx, &sdk.StreamableClientTransport{Endpoint: url}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			call := func(name string) string {
				r, err := s.CallTool(ctx, &sdk.CallToolParams{Name: name})
				return text(t, r, err)
			}
			if got := call("hello"); got != "hello" {
				t.Error(got)
			}
			if tools, err := s.ListTools(ctx, nil); err != nil || len(tools.Tools) != 4 {
				t.Errorf("%+v %v", tools, err)
			}
			want(t, call("leak"), "the gateway stopped the answer")
			if got := call("vault"); got != "no" || !h.has(t, "mcp.decoy-tool") {
				t.Error(got)
			}
			if got := call("pull"); got != "pulled" {
				t.Error(got)
			}
			want(t, call("hello"), "changed after it was accepted")
			if !h.has(t, "mcp.rug-pull") {
				t.Error("no alarm")
			}
		})
	}
}

// post sends a message as a client does and returns status and body.
func post(t *testing.T, url, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		got = append(got, " (cut)"...)
	}
	return resp.StatusCode, string(got)
}

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

func TestHTTPRefusals(t *testing.T) {
	reached := 0
	url, _ := httpGate(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		if r.Header.Get("Authorization") != "Bearer kept" || r.Header.Get("Cookie") != "" || r.Header.Get(agentHeader) != "" {
			t.Errorf("the server gets %v", r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}), func(c *Config) {
		c.Agents = map[string]Agent{"a": {Key: conf.NewSecret("key-of-a")}, "b": {Key: conf.NewSecret("key-of-b")}}
		c.Limits.Message = 4096
	})
	key := []string{agentHeader, "key-of-a"}
	base := strings.TrimSuffix(url, "/s")
	for name, c := range map[string]struct {
		url, body string
		headers   []string
		status    int
	}{
		"no key":              {url, ping, nil, 401},
		"wrong key":           {url, ping, []string{agentHeader, "x"}, 401},
		"web page":            {url, ping, append([]string{"Origin", "https://evil.example"}, key...), 403},
		"rebinding":           {url, ping, append([]string{"Host", "evil.example"}, key...), 403},
		"no such server":      {base + "/x", ping, key, 404},
		"no initialize":       {base + "/local", ping, key, 400},
		"no such session":     {url, ping, append([]string{sessionHeader, "made-up"}, key...), 404},
		"another type":        {url, ping, append([]string{"Content-Type", "text/plain"}, key...), 415},
		"compressed":          {url, ping, append([]string{"Content-Encoding", "gzip"}, key...), 415},
		"too large":           {url, `{"x":"` + strings.Repeat("x", 5000) + `"}`, key, 413},
		"malformed":           {url, "{", key, 200},
		"refused by a policy": {url, `{"jsonrpc":"2.0","id":1,"method":"made/up"}`, key, 200},
		"another method":      {url, ping, append([]string{"Mcp-Method", "tools/list"}, key...), 400},
		"another tool":        {url, string(request(1, "delete", "{}")), append([]string{"Mcp-Method", "tools/call", "Mcp-Name", "=?base64?cmVhZA==?="}, key...), 400},
		"dropped":             {url, `{"jsonrpc":"2.0","method":"made/up"}`, key, 202},
	} {
		if status, body := post(t, c.url, c.body, c.headers...); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
	}
	if reached != 0 {
		t.Errorf("the server was reached %d times", reached)
	}
	if status, body := post(t, url, ping, append(key, "Cookie", "a=b", "Authorization", "Bearer of the client")...); status != 200 || body != `{"jsonrpc":"2.0","id":1,"result":{}}` || reached != 1 {
		t.Errorf("%d %s", status, body)
	}
}

func TestHTTPHostileServer(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body string
		status     int
		headers    [2]string
		want       string // part of what the client gets
		not        string
	}{
		"malformed":         {"application/json", `{"jsonrpc":"2.0","id":1,"id":2,"result":{}}`, 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"half a message":    {"application/json", `{"jsonrpc":"2.0","id":1,"result":{`, 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"another answer":    {"application/json", `{"jsonrpc":"2.0","id":2,"result":{}}`, 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"too long":          {"application/json", `{"jsonrpc":"2.0","id":1,"result":{"x":"` + strings.Repeat("x", 9000) + `"}}`, 200, [2]string{}, `"id":1,"error"`, "xxxx"},
		"compressed":        {"application/json", "zzz", 200, [2]string{"Content-Encoding", "gzip"}, `"id":1,"error"`, "zzz"},
		"sent elsewhere":    {"text/html", "there", 302, [2]string{"Location", "https://evil.example/"}, `"id":1,"error"`, "there"},
		"words":             {"text/plain", "please log in", 401, [2]string{}, "please log in", "error"},
		"hostile words":     {"text/plain", "it is zq7-canary-4411", 500, [2]string{}, `"id":1,"error"`, "4411"},
		"another type":      {"text/plain; x=application/json", `{"jsonrpc":"2.0","id":1,"result":{"x":"said"}}`, 200, [2]string{}, `"id":1,"error"`, "said"},
		"nearly the type":   {"application/jsonx", `{"jsonrpc":"2.0","id":1,"result":{"x":"said"}}`, 200, [2]string{}, `"id":1,"error"`, "said"},
		"a type in a type":  {"text/html; x=text/event-stream", "data: said\n\n", 200, [2]string{}, `"id":1,"error"`, "said"},
		"no type":           {"/;", `{"jsonrpc":"2.0","id":1,"result":{"x":"said"}}`, 200, [2]string{}, `"id":1,"error"`, "said"},
		"nothing":           {"application/json", " ", 200, [2]string{}, `"id":1,"error"`, "result"},
		"accepted":          {"text/plain", "", 202, [2]string{}, `"id":1,"error"`, "result"},
		"events":            {"text/event-stream", ": hi\n\nid: 7\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n", 200, [2]string{}, ": hi\n\nid: 7\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n", "error"},
		"a hostile event":   {"text/event-stream", "id: 7\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"x\":\"zq7-canary-4411\"}}\n\n", 200, [2]string{}, "id: 7\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\"", "4411"},
		"another event":     {"text/event-stream", "event: endpoint\ndata: https://evil.example\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n", 200, [2]string{}, `"result"`, "evil"},
		"a line break":      {"text/event-stream", "data: {\"jsonrpc\":\"2.0\",\rdata: \"id\":1,\"result\":{}}\n\n", 200, [2]string{}, "", "result"},
		"a byte order mark": {"text/event-stream", "\ufeffdata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n", 200, [2]string{}, "", "result"},
		"half an event":     {"text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 200, [2]string{}, "", "result"},
		"an endless line":   {"text/event-stream", "data: " + strings.Repeat("x", 9000), 200, [2]string{}, "", "xxxx"},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := httpGate(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				if c.headers[0] != "" {
					w.Header().Set(c.headers[0], c.headers[1])
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}), func(c *Config) { c.Limits.Message = 8192 })
			_, body := post(t, url, ping)
			want(t, body, c.want)
			if strings.Contains(body, c.not) {
				t.Errorf("the client gets %q", body)
			}
		})
	}
	url, _ := httpGate(t, http.NotFoundHandler(), func(c *Config) { c.Servers["s"] = Server{URL: "http://127.0.0.1:1"} })
	if status, body := post(t, url, ping); status != 502 || !strings.Contains(body, `"id":1,"error"`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestTypeOfAnswers: the client gets the type as which an answer was looked at, whatever the
// server calls it.
func TestTypeOfAnswers(t *testing.T) {
	for kind, want := range map[string]string{
		"application/json; charset=utf-7":   "application/json",
		"text/event-stream; charset=utf-7":  "text/event-stream",
		"text/html; x=\"application/json\"": "text/plain; charset=utf-8",
	} {
		url, _ := httpGate(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{kind, "text/html"}
			if strings.HasPrefix(kind, "text/html") {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
		}), nil)
		resp, err := http.Post(url, "application/json", strings.NewReader(ping))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Values("Content-Type"); len(got) != 1 || got[0] != want {
			t.Errorf("%s became %q, want %s", kind, got, want)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	n := 0
	url, _ := httpGate(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(sessionHeader, fmt.Sprint("session-", min(n, 3)))
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}), func(c *Config) { c.Limits.Sessions = 2 })
	for i := range 4 {
		status, body := post(t, url, ping)
		if (status == 200) != (i < 2) {
			t.Errorf("session %d: %d %s", i+1, status, body)
		}
	}
	if status, _ := post(t, url, ping, sessionHeader, "session-1"); status != 200 {
		t.Errorf("a session is lost: %d", status)
	}
}

func TestCheckListen(t *testing.T) {
	open, closed := Config{Agents: map[string]Agent{"a": {}}}, Config{Agents: map[string]Agent{"a": {Key: conf.NewSecret("k")}}}
	for addr, ok := range map[string][2]bool{"127.0.0.1:1": {true, true}, "[::1]:1": {true, true}, "0.0.0.0:1": {false, true}, "192.0.2.1:1": {false, true}, "localhost:1": {false, false}, "": {false, false}} {
		if a, b := open.CheckListen(addr), closed.CheckListen(addr); (a == nil) != ok[0] || (b == nil) != ok[1] {
			t.Errorf("%s: %v, %v", addr, a, b)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: 1\ndata: {}\n\n: x\n\nevent: a\ndata:b\ndata: c\r\n\r\n"))
	f.Add([]byte("data: a\rdata: b\n\n"))
	f.Add([]byte("data"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, whole := newEvents(bytes.NewReader(raw), 4096), 0
		for {
			e, err := in.next()
			if err != nil {
				return
			}
			if !bytes.HasPrefix(raw[whole:], e.raw) || len(e.raw) == 0 {
				t.Fatalf("%q is not what came", e.raw)
			}
			whole += len(e.raw)
			var b bytes.Buffer
			if err := writeEvent(&b, e, []byte("{\n}")); err != nil {
				t.Fatal(err)
			}
			again, err := newEvents(&b, 1<<20).next()
			if err != nil || string(again.data) != "{ }" || again.name != "message" {
				t.Fatalf("%q: %+v %v", b.Bytes(), again, err)
			}
		}
	})
}
