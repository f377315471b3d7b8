package mcp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/mcp"
)

// piped is a client on pipes in front of a server at an address.
func piped(t *testing.T, g *Gate, server Server) (say func(string), hear func() string, end func() error) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- g.Stdio(t.Context(), "", "s", server, Pipes{In: inR, Out: outW, Errors: io.Discard})
		outW.Close()
	}()
	lines := bufio.NewReader(outR)
	return func(s string) {
			if _, err := io.WriteString(inW, s+"\n"); err != nil {
				t.Error(err)
			}
		}, func() string {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Errorf("%q %v", line, err)
			}
			return line
		}, sync.OnceValue(func() error {
			inW.Close()
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			return <-done
		})
}

// TestRemoteHostile: whatever a server at an address does, its client gets an answer or an
// end, and nothing of what must not pass.
func TestRemoteHostile(t *testing.T) {
	long := strings.Repeat("x", 9000)
	for name, c := range map[string]struct {
		kind, body string
		status     int
		headers    [2]string
		want, not  string
	}{
		"fine":              {"application/json", `{"jsonrpc":"2.0","id":1,"result":{}}`, 200, [2]string{}, `{"jsonrpc":"2.0","id":1,"result":{}}`, "error"},
		"fine, in lines":    {"application/json", "{\"jsonrpc\":\"2.0\",\n\"id\":1,\r\n\"result\":{}}", 200, [2]string{}, `"result":{}`, "error"},
		"events":            {"text/event-stream", ": hi\n\nid: 7\ndata:\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n", 200, [2]string{}, `"id":1,"result":{}`, "error"},
		"malformed":         {"application/json", `{"jsonrpc":"2.0","id":1,"id":2,"result":{}}`, 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"half a message":    {"application/json", `{"jsonrpc":"2.0","id":1,"result":{`, 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"another answer":    {"application/json", `{"jsonrpc":"2.0","id":2,"result":{}}`, 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"no answer":         {"application/json", "", 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"taken, no answer":  {"", "", 202, [2]string{}, `"id":1,"error"`, `"result"`},
		"a canary":          {"application/json", `{"jsonrpc":"2.0","id":1,"result":{"x":"zq7-canary-4411"}}`, 200, [2]string{}, `"id":1,"error"`, "4411"},
		"a canary in words": {"text/plain", "zq7-canary-4411", 500, [2]string{}, "status 500", "4411"},
		"too long":          {"application/json", `{"jsonrpc":"2.0","id":1,"result":{"x":"` + long + `"}}`, 200, [2]string{}, `"id":1,"error"`, "xxxx"},
		"too long an event": {"text/event-stream", `data: {"jsonrpc":"2.0","id":1,"result":{"x":"` + long + "\"}}\n\n", 200, [2]string{}, `"id":1,"error"`, "xxxx"},
		"half an event":     {"text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 200, [2]string{}, `"id":1,"error"`, `"result"`},
		"another event":     {"text/event-stream", "event: endpoint\ndata: https://evil.example\n\n", 200, [2]string{}, `"id":1,"error"`, "evil"},
		"compressed":        {"application/json", "zzz", 200, [2]string{"Content-Encoding", "gzip"}, `"id":1,"error"`, "zzz"},
		"sent elsewhere":    {"text/html", "there", 302, [2]string{"Location", "https://evil.example/"}, `"id":1,"error"`, "evil"},
		"a long header":     {"application/json", "{}", 200, [2]string{"X-Long", strings.Repeat("x", 2*headBytes)}, `"id":1,"error"`, "xxxx"},
	} {
		t.Run(name, func(t *testing.T) {
			behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer kept" || r.Header.Get("Mcp-Method") != "ping" {
					t.Errorf("the server gets %v", r.Header)
				}
				if c.headers[0] != "" {
					w.Header().Set(c.headers[0], c.headers[1])
				}
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer behind.Close()
			g, _ := testGate(t, func(c *Config) { c.Limits.Message = 8192 })
			say, hear, end := piped(t, g, Server{URL: behind.URL, Headers: map[string]string{"Authorization": "Bearer kept"}})
			say(ping)
			got := hear()
			want(t, got, c.want)
			if strings.Contains(got, c.not) {
				t.Errorf("the client gets %s", got)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRemoteSSEHostile: a server of the older transport that sends its clients elsewhere, or
// never says where to, is not talked to.
func TestRemoteSSEHostile(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the client was sent elsewhere") }))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		kind, stream string
		stays        bool
		want         string
	}{
		"elsewhere":      {"text/event-stream", "event: endpoint\ndata: " + elsewhere.URL + "/x\n\n", true, "not its own"},
		"elsewhere too":  {"text/event-stream", "event: endpoint\ndata: //evil.example/x\n\n", true, "not its own"},
		"with a user":    {"text/event-stream", "event: endpoint\ndata: http://a@HOST/x\n\n", true, "not its own"},
		"no address":     {"text/event-stream", "event: endpoint\ndata: %zz\n\n", true, "cannot be read"},
		"never":          {"text/event-stream", ": wait\n\n", true, "names no address"},
		"endless":        {"text/event-stream", "data: " + strings.Repeat("x", 90000), true, "more than 8192 bytes"},
		"ends":           {"text/event-stream", "event: message\ndata: {}\n\n", false, "ended"},
		"not a stream":   {"application/json", "{}", false, "not with a stream"},
		"ends with them": {"text/event-stream", "event: endpoint\ndata: /m\n\n", false, "its stream ended"},
	} {
		t.Run(name, func(t *testing.T) {
			behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = io.WriteString(w, strings.ReplaceAll(c.stream, "HOST", r.Host))
				_ = http.NewResponseController(w).Flush()
				if c.stays {
					<-r.Context().Done()
				}
			}))
			defer behind.Close()
			g, _ := testGate(t, func(k *Config) {
				if k.Limits.Message = 8192; c.want == "names no address" {
					k.Limits.Answer = conf.Duration(100 * time.Millisecond)
				}
			})
			in, _ := io.Pipe()
			err := g.Stdio(t.Context(), "", "s", Server{URL: behind.URL, Transport: SSE}, Pipes{In: in, Out: io.Discard, Errors: io.Discard})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// TestRemoteSilent: a server that takes a message and says nothing keeps nobody from hanging
// up, from cancelling, and from asking something else.
func TestRemoteSilent(t *testing.T) {
	seen := make(chan string, 10)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, _ := mcp.ParseMessage(body)
		seen <- m.Method
		if m.Method == "resources/list" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if m.ID != "" {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		}
	}))
	defer behind.Close()
	g, _ := testGate(t, nil)
	say, hear, end := piped(t, g, Server{URL: behind.URL})
	say(`{"jsonrpc":"2.0","id":1,"method":"resources/list"}`)
	say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	want(t, hear(), `"id":2,"result"`)
	all := []string{<-seen, <-seen, <-seen} // handlers of another process begin in any order
	slices.Sort(all)
	if got := strings.Join(all, " "); got != "notifications/cancelled ping resources/list" {
		t.Error(got)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// TestRemoteSession: the session and the version of the answer to initialize are named from
// then on, a stream that breaks off goes on where it was, the server's own stream is read,
// and the server hears of the end.
func TestRemoteSession(t *testing.T) {
	var deleted, resumed atomic.Int32
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Mcp-Method") != "initialize" {
			if r.Header.Get(sessionHeader) != "the-session" || r.Header.Get("Mcp-Protocol-Version") != "2025-06-18" {
				t.Errorf("%s %v", r.Method, r.Header)
			}
		}
		event := func(s string) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, s)
			_ = http.NewResponseController(w).Flush()
		}
		switch {
		case r.Method == http.MethodDelete:
			deleted.Add(1)
		case r.Header.Get("Mcp-Method") == "initialize":
			w.Header().Set(sessionHeader, "the-session")
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}`)
		case r.Header.Get("Mcp-Method") == "notifications/initialized":
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodGet && r.Header.Get("Last-Event-Id") == "place 1":
			resumed.Add(1)
			event("id: place 2\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"late\":true}}\n\n")
		case r.Method == http.MethodGet:
			event("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"own\"}}\n\n")
			<-r.Context().Done()
		default:
			event("id: place 1\nretry: 10\ndata: \n\n")
		}
	}))
	defer behind.Close()
	g, _ := testGate(t, nil)
	say, hear, end := piped(t, g, Server{URL: behind.URL})
	say(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`)
	want(t, hear(), `"protocolVersion"`)
	say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	want(t, hear(), `"data":"own"`)
	say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	want(t, hear(), `"late":true`)
	if err := end(); err != nil || deleted.Load() != 1 || resumed.Load() != 1 {
		t.Errorf("%v, %d times deleted, %d times resumed", err, deleted.Load(), resumed.Load())
	}
}

func TestStalledProcess(t *testing.T) {
	p, err := start(t.Context(), "s", Server{Command: []string{"sleep", "1000"}}, io.Discard, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	p.stall = 100 * time.Millisecond
	if err := p.write([]byte(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("a server that does not read took a mebibyte")
	}
	if err := p.end(); err == nil {
		t.Error("it ended by itself")
	}
}

// FuzzParts: what is read of messages only to find their way never panics, and is bounded.
func FuzzParts(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":7}}}`, `[{"jsonrpc":"2.0","id":"a","result":{}}]`, `{"id":3,"id":4}`, "id: 7\nretry: 99999999999", "retry: -5\nid: \x00", "http://h/x", "//other/", "\u00e9 \n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n := len(requestsIn([]byte(s))) + len(answersIn([]byte(s))); n > 2*mcp.MaxBatch {
			t.Fatalf("%d ids", n)
		}
		for _, m := range messagesIn([]byte(s)) {
			if len(tokenOf(m)) > 256 {
				t.Fatal("a long token")
			}
		}
		if id, retry := (&event{rest: []byte(s)}).place(); len(id) > 1024 || retry < 0 || strings.ContainsAny(id, "\x00\r\n") {
			t.Fatalf("%q %s", id, retry)
		}
		if v := headerValue(s); strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q", v)
		}
		if a, err := ownAddress("http://host.example:8/sse", s); err == nil {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, a, nil)
			if err != nil || !strings.EqualFold(req.URL.Host, "host.example:8") || req.URL.Scheme != "http" || req.URL.User != nil {
				t.Fatalf("%q leads to %q: %v", s, a, err)
			}
		}
	})
}
