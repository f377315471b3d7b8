package mcp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/conf"
)

// hostedGate serves this binary as a server of the kind, a process for each client.
func hostedGate(t *testing.T, kind string, change func(*Config)) (url string, gate *HTTPGate) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g, _ := testGate(t, func(c *Config) {
		c.Servers = map[string]Server{"s": {Command: []string{self}, Env: map[string]string{serverEnv: kind}}, "gone": {Command: []string{"/no/such/server"}}}
		if change != nil {
			change(c)
		}
	})
	gate = g.NewHTTP()
	front := httptest.NewServer(gate)
	t.Cleanup(func() {
		front.CloseClientConnections()
		gate.Close()
		front.Close()
	})
	return front.URL + "/s", gate
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`

// begun is a session.
func begun(t *testing.T, url string, headers ...string) (id string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(initialize))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), `"serverInfo"`) || len(resp.Header.Get(sessionHeader)) < 20 {
		t.Fatalf("%d %s %v", resp.StatusCode, body, err)
	}
	return resp.Header.Get(sessionHeader)
}

// left waits until so many servers are there.
func (h *HTTPGate) left(t *testing.T, want int) {
	t.Helper()
	n := -1
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-again.C {
		h.mu.Lock()
		n = len(h.hosted)
		h.mu.Unlock()
		if n == want {
			return
		}
	}
	t.Fatalf("%d servers are there, want %d", n, want)
}

func send(t *testing.T, method, url string, headers ...string) (*http.Response, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	return resp, cancel
}

// TestHostedSessions: a server process is one client's: others cannot reach it, there are so
// many, and it ends when its client says so, or is not heard any more.
func TestHostedSessions(t *testing.T) {
	url, gate := hostedGate(t, "normal", func(c *Config) {
		c.Agents = map[string]Agent{"a": {Key: conf.NewSecret("key-of-a"), Else: Pass}, "b": {Key: conf.NewSecret("key-of-b"), Else: Pass}}
		c.Limits.Processes = 2
	})
	a, b := []string{agentHeader, "key-of-a"}, []string{agentHeader, "key-of-b"}
	one, two := begun(t, url, a...), begun(t, url, a...)
	if one == two {
		t.Error("two clients have one session")
	}
	if status, body := post(t, url, initialize, a...); status != 503 || !strings.Contains(body, "limits.processes") {
		t.Errorf("a third process: %d %s", status, body)
	}
	begun(t, url, b...) // another agent has its own
	for name, c := range map[string]struct {
		url     string
		headers []string
		status  int
	}{
		"mine":             {url, append([]string{sessionHeader, one}, a...), 200},
		"another agent's":  {url, append([]string{sessionHeader, one}, b...), 404},
		"another server's": {strings.TrimSuffix(url, "/s") + "/gone", append([]string{sessionHeader, one}, a...), 404},
		"made up":          {url, append([]string{sessionHeader, "x"}, a...), 404},
		"an old client's":  {url + "/sse?session=" + one, a, 404},
		"nobody's":         {url, a, 400},
		"no key":           {url, []string{sessionHeader, one}, 401},
	} {
		if status, body := post(t, c.url, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, c.headers...); status != c.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	first, hangUp := send(t, http.MethodGet, url, append([]string{sessionHeader, one}, a...)...)
	if second, _ := send(t, http.MethodGet, url, append([]string{sessionHeader, one}, a...)...); first.StatusCode != 200 || second.StatusCode != 409 {
		t.Errorf("two streams of one session: %d, %d", first.StatusCode, second.StatusCode)
	}
	hangUp()
	if resp, _ := send(t, http.MethodDelete, url, append([]string{sessionHeader, two}, a...)...); resp.StatusCode != 204 {
		t.Errorf("%d", resp.StatusCode)
	}
	gate.left(t, 2)
	if status, _ := post(t, url, ping, append([]string{sessionHeader, two}, a...)...); status != 404 {
		t.Errorf("a session that is over: %d", status)
	}
	if status, body := post(t, strings.TrimSuffix(url, "/s")+"/gone", initialize, a...); status != 502 {
		t.Errorf("a server that does not start: %d %s", status, body)
	}
	gate.left(t, 2)
}

// TestHostedEnds: a process without its client ends: one that went silent, an old one whose
// stream broke off; and one that ends by itself leaves nobody waiting.
func TestHostedEnds(t *testing.T) {
	url, gate := hostedGate(t, "normal", func(c *Config) { c.Limits.ProcessIdle = conf.Duration(200 * time.Millisecond) })
	begun(t, url)
	gate.left(t, 0)
	resp, hangUp := send(t, http.MethodGet, url+"/sse")
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "event: endpoint\n" {
		t.Fatalf("%q %v", line, err)
	}
	gate.left(t, 1)
	hangUp()
	gate.left(t, 0)

	url, gate = hostedGate(t, "dies", nil)
	if status, body := post(t, url, initialize); !strings.Contains(body, `"id":0,"error"`) {
		t.Errorf("%d %s", status, body)
	}
	gate.left(t, 0)

	url, gate = hostedGate(t, "stays", nil) // it takes nothing, says nothing, and does not end with its input
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(initialize))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	var asking sync.WaitGroup
	asking.Go(func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	gate.left(t, 1)
	cancel()
	asking.Wait()
	gate.left(t, 1)
	gate.Close()
	gate.left(t, 0)
	if status, _ := post(t, url, initialize); status != 503 {
		t.Errorf("after the end: %d", status)
	}
}

// TestHostedHostile: messages and bodies of hostile clients, on both transports.
func TestHostedHostile(t *testing.T) {
	url, gate := hostedGate(t, "normal", func(c *Config) { c.Limits.Message = 8192 })
	session := []string{sessionHeader, begun(t, url)}
	stream, _ := send(t, http.MethodGet, url+"/sse")
	lines := bufio.NewReader(stream.Body)
	var head [2]string
	for i := range head {
		head[i], _ = lines.ReadString('\n')
	}
	old := strings.TrimSuffix(url, "/s") + strings.TrimSpace(strings.TrimPrefix(head[1], "data:"))
	for name, c := range map[string]struct {
		body          string
		headers       []string
		status, older int
	}{
		"malformed":        {"{", nil, 200, 202},
		"twice":            {`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, nil, 200, 202},
		"unknown":          {`{"jsonrpc":"2.0","id":1,"method":"made/up"}`, nil, 200, 202},
		"nothing":          {"", nil, 200, 202},
		"too large":        {`{"x":"` + strings.Repeat("x", 9000) + `"}`, nil, 413, 413},
		"another type":     {ping, []string{"Content-Type", "text/plain"}, 415, 415},
		"compressed":       {ping, []string{"Content-Encoding", "gzip"}, 415, 415},
		"another method":   {ping, []string{"Mcp-Method", "tools/list"}, 400, 400},
		"a web page":       {ping, []string{"Origin", "https://evil.example"}, 403, 403},
		"rebinding":        {ping, []string{"Host", "evil.example"}, 403, 403},
		"an answer":        {`{"jsonrpc":"2.0","id":77,"result":{}}`, nil, 202, 202},
		"a batch of words": {`[1,2,3]`, nil, 200, 202},
	} {
		if status, body := post(t, url, c.body, append(session, c.headers...)...); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
		if status, body := post(t, old, c.body, c.headers...); status != c.older {
			t.Errorf("%s, older transport: %d %s, want %d", name, status, body, c.older)
		}
	}
	// Half a body, and nothing more: it holds up nobody else.
	c, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(url, "/s"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s: %s\r\nContent-Length: 100\r\n\r\n{", sessionHeader, session[1])
	// A client that asks and goes away, many times.
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":"gone %d","method":"ping"}`, i)))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set(sessionHeader, session[1])
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	for _, accept := range []string{"application/json", "application/json, text/event-stream"} {
		if status, body := post(t, url, `{"jsonrpc":"2.0","id":9,"method":"ping"}`, append(session, "Accept", accept)...); status != 200 || !strings.Contains(body, `"id":9,"result"`) {
			t.Errorf("after all that: %d %s", status, body)
		}
	}
	gate.mu.Lock()
	defer gate.mu.Unlock()
	for _, o := range gate.hosted {
		o.mu.Lock()
		if len(o.posts) > 0 {
			t.Errorf("%d streams are left", len(o.posts))
		}
		o.mu.Unlock()
	}
}

// TestHostedStreams: where each message of a server goes.
func TestHostedStreams(t *testing.T) {
	g, _ := testGate(t, nil)
	s := testSession(t, g, "s")
	o := &hosted{over: make(chan struct{})}
	o.conversation = newConversation(s, o, nil)
	note := func(k string) string {
		return `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"` + k + `"}}`
	}
	to := func(raw string) (*stream, bool) { return o.pick([]byte(raw)) }
	if st, _ := to(note("kept")); st != nil || len(o.kept) != 1 {
		t.Error("a message without a stream is not kept")
	}
	plain := o.open([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), false)
	if st, _ := to(note("kept too")); st != nil {
		t.Error("a message went to a client that takes one answer")
	}
	asked := o.open([]byte(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"t"}}}`), true)
	batch := o.open([]byte(`[{"jsonrpc":"2.0","id":3,"method":"ping"},{"jsonrpc":"2.0","id":4,"method":"ping"}]`), true)
	if st, _ := to(note("any")); st != asked {
		t.Error("a message finds no stream that takes it")
	}
	own := o.open(nil, true)
	if o.open(nil, true) != nil {
		t.Error("two streams of its own")
	}
	for raw, want := range map[string]*stream{
		note("own"): own, `{"jsonrpc":"2.0","id":1,"method":"ping"}`: own,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}`: asked,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"u","progress":1}}`: own,
		`{"jsonrpc":"2.0","id":"nobody","result":{}}`:                                                     nil,
	} {
		if st, last := to(raw); st != want || last {
			t.Errorf("%s went elsewhere", raw)
		}
	}
	if st, last := to(`{"jsonrpc":"2.0","id":3,"result":{}}`); st != batch || last {
		t.Error("one of two answers")
	}
	if st, last := to(`{"jsonrpc":"2.0","id":4,"result":{}}`); st != batch || !last {
		t.Error("the other one")
	}
	if st, last := to(`{"jsonrpc":"2.0","id":1,"result":{}}`); st != plain || !last {
		t.Error("an answer in one piece")
	}
	for i := range 2 * maxKept {
		o.shut(own)
		o.shut(asked)
		to(note(fmt.Sprint(i)))
		own, asked = o.open(nil, true), o.open([]byte(`{}`), true)
	}
	if n := len(o.takeKept()); n != maxKept || o.bytes != 0 {
		t.Errorf("%d messages are kept", n)
	}
}
