package mcp

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestWordsBeside: headers, comments and ids of events carry no canary past the gateway; the message goes on.
func TestWordsBeside(t *testing.T) {
	const canary, message = "zq7-canary-4411", `{"jsonrpc":"2.0","id":1,"result":{}}`
	var answer string
	url, h := httpGate(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if answer == "" {
			w.Header().Set("Www-Authenticate", `Bearer realm="`+canary+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, answer)
	}), nil)
	for _, c := range []struct {
		answer string
		status int
		want   string
	}{
		{": still here\nid: 7\ndata: " + message + "\n\n", 200, ": still here\nid: 7\ndata: " + message + "\n\n"},
		{": " + canary + "\n\ndata: " + message + "\n\n", 200, "data: " + message + "\n\n"},
		{"id: " + canary + "\ndata: " + message + "\n\n", 200, "data: " + message + "\n\n"},
		{"", 502, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the gateway stopped the answer: the guard found secret: a part of a canary in its headers"}}`},
		{": bye\n\n", 200, ": bye\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":\"the server's stream ended, or could not be read, before the answer\"}}\n\n"},
		{"id: 7\n\n", 200, "id: 7\n\n"}, // it may be asked for the rest
		{"data: a\rdata: b\n\n", 200, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":\"the server's stream ended, or could not be read, before the answer\"}}\n\n"},
	} {
		answer = c.answer
		if status, got := post(t, url, ping); status != c.status || got != c.want {
			t.Errorf("%q: %d %q", c.answer, status, got)
		}
	}
	if !h.has(t, "mcp.hostile-result") {
		t.Error("no alarm")
	}
}

// TestMalformedIsOnesOwn: an answer that cannot be read ends the request that it came for, and no other one.
func TestMalformedIsOnesOwn(t *testing.T) {
	slow, come := make(chan struct{}), make(chan struct{})
	kind := "application/json"
	url, _ := httpGate(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", kind)
		w.Header().Set(sessionHeader, "one")
		if strings.Contains(string(body), `"id":1`) {
			close(come)
			<-slow
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`)
			return
		}
		broken := `{"jsonrpc":"2.0","error":"none"}`
		if kind == "text/event-stream" {
			broken = "data: " + broken + "\n\n"
		}
		_, _ = io.WriteString(w, broken)
	}), nil)
	if status, got := post(t, url, `{"jsonrpc":"2.0","id":0,"method":"ping"}`); status != 200 || !strings.Contains(got, `"id":0,"error"`) {
		t.Fatalf("%d %s", status, got)
	}
	done := make(chan string)
	go func() {
		_, got := post(t, url, ping, sessionHeader, "one")
		done <- got
	}()
	<-come
	for id, k := range []string{"application/json", "text/event-stream"} {
		kind = k
		if _, got := post(t, url, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, id+2), sessionHeader, "one"); !strings.Contains(got, fmt.Sprintf(`"id":%d,"error"`, id+2)) || strings.Contains(got, `"id":1`) {
			t.Errorf("%s: %s", k, got)
		}
	}
	close(slow)
	if got := <-done; !strings.Contains(got, `"result":{"a":1}`) {
		t.Errorf("the other request: %s", got)
	}
}
