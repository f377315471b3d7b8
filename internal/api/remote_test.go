package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/api/cert"
	"bartizan/internal/api/token"
	"bartizan/internal/bus"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// tokenStore keeps tokens in memory.
type tokenStore struct {
	mu   sync.Mutex
	by   map[string]token.Token
	fail error
}

func (s *tokenStore) Put(_ context.Context, key string, t token.Token) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.by[key] = t
	}
	return 1, s.fail
}

func (s *tokenStore) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, key)
	return s.fail
}

func (s *tokenStore) All(_ context.Context, fn func(bus.Entry[token.Token]) error) error {
	for k, t := range s.by {
		if err := fn(bus.Entry[token.Token]{Key: k, Value: t}); err != nil {
			return err
		}
	}
	return nil
}

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newServer(t *testing.T, n Node) *Server {
	t.Helper()
	s, _, _ := newLoggedServer(t, n)
	return s
}

func newLoggedServer(t *testing.T, n Node) (*Server, *logged, *obs.Metrics) {
	t.Helper()
	l := &logged{}
	log := slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	book, err := token.Open(t.Context(), &tokenStore{by: map[string]token.Token{}}, log)
	if err != nil {
		t.Fatal(err)
	}
	m := obs.NewMetrics()
	return NewServer(Options{Node: n, Tokens: book, Log: log, Metrics: m, Names: []string{"door.example"}}), l, m
}

// lab is a served API with what a test needs to look at it.
type lab struct {
	*testing.T
	server  *Server
	log     *logged
	metrics *obs.Metrics
	addr    string

	mu      sync.Mutex
	audited []AuditRecord
}

func serveRemote(t *testing.T, n Node) *lab {
	t.Helper()
	l := &lab{T: t}
	n.Record = func(_ context.Context, r AuditRecord) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.audited = append(l.audited, r)
		return nil
	}
	l.server, l.log, l.metrics = newLoggedServer(t, n)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.server.ServeRemote(ctx, listener, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server ended with %v", err)
		}
	})
	return l
}

func (l *lab) audits() []AuditRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.audited)
}

func (l *lab) token(scope token.Scope) string {
	l.Helper()
	_, text, err := l.server.tokens.Create(l.Context(), time.Now(), fmt.Sprintf("%s-%d", scope, time.Now().UnixNano()), scope, time.Hour, "test")
	if err != nil {
		l.Fatal(err)
	}
	return text
}

// answer is a response, read.
type answer struct {
	*http.Response
	body    []byte
	problem Problem
}

func (l *lab) ask(method, path, tok, body string, more ...func(*http.Request)) answer {
	l.Helper()
	r, err := http.NewRequestWithContext(l.Context(), method, "http://"+l.addr+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	if tok != "" {
		r.Header.Set("Authorization", "Bearer "+tok)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range more {
		f(r)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		l.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{Response: resp}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		l.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
			l.Errorf("%s %s: %s with content type %q", method, path, resp.Status, ct)
		}
		if err := json.Unmarshal(a.body, &a.problem); err != nil || a.problem.Status != resp.StatusCode || a.problem.Detail == "" ||
			a.problem.Instance != requestURN+resp.Header.Get("X-Request-ID") {
			l.Errorf("%s %s: %s is no complete problem (%v): %s", method, path, resp.Status, err, a.body)
		}
	}
	return a
}

func (l *lab) want(a answer, status int) answer {
	l.Helper()
	if a.StatusCode != status {
		l.Fatalf("%s %s: %s, want %d: %s", a.Request.Method, a.Request.URL, a.Status, status, a.body)
	}
	return a
}

func TestWhoComesIn(t *testing.T) {
	l := serveRemote(t, fakeNode())
	read, operate := l.token(token.Read), l.token(token.Operate)
	change := `{"op":"add","target":"192.0.2.1"}`

	if a := l.want(l.ask("GET", "/v1/status", "", ""), 401); !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("WWW-Authenticate %q", a.Header.Get("WWW-Authenticate"))
	}
	l.want(l.ask("GET", "/v1/status", strings.Replace(read, read[30:34], "aaaa", 1), ""), 401)
	l.want(l.ask("GET", "/v1/status", "", "", func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + read, "Bearer " + read} }), 401)
	l.want(l.ask("GET", "/v1/status", "", "", func(r *http.Request) { r.Header.Set("Cookie", "token="+read) }), 401)
	a := l.want(l.ask("GET", "/v1/status", read, ""), 200)
	for k, v := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Access-Control-Allow-Origin": "", "Set-Cookie": ""} {
		if a.Header.Get(k) != v {
			t.Errorf("header %s: %q, want %q", k, a.Header.Get(k), v)
		}
	}
	if !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("policy %q", a.Header.Get("Content-Security-Policy"))
	}

	l.want(l.ask("POST", "/v1/decisions", read, change), 403)
	l.want(l.ask("GET", "/v1/tokens", operate, ""), 403)
	l.want(l.ask("POST", "/v1/decisions", operate, change), 200)
	l.want(l.ask("POST", "/v1/decisions", operate, `{"op":"approve"}`), 409)
	l.want(l.ask("POST", "/v1/decisions", operate, `{"op":"remove"}`), 404)
	l.want(l.ask("POST", "/v1/decisions", operate, `{"op":"nonsense"}`), 422)
	a = l.want(l.ask("POST", "/v1/decisions", operate, `{"op":"reject"}`), 500)
	if strings.Contains(a.problem.Detail, "internal:") || !strings.Contains(l.log.String(), a.Header.Get("X-Request-ID")) {
		t.Errorf("%q: what went wrong inside is for the log: %s", a.problem.Detail, l.log)
	}
	var got []string
	for _, r := range l.audits() {
		got = append(got, fmt.Sprintf("%s %s %d", r.Operation, r.Result, r.Status))
		if !strings.HasPrefix(r.Actor, "token ") || r.Address != "127.0.0.1" || r.Request.IsZero() || r.Time.IsZero() {
			t.Errorf("incomplete record %+v", r)
		}
	}
	want := []string{"changeDecision denied 403", "listTokens denied 403", "changeDecision begun 0", "changeDecision done 200", "changeDecision begun 0", "changeDecision refused 409",
		"changeDecision begun 0", "changeDecision invalid 404", "changeDecision invalid 422", "changeDecision begun 0", "changeDecision failed 500"}
	if !slices.Equal(got, want) {
		t.Errorf("audited\n%q, want\n%q", got, want)
	}
	if w := l.audits()[3].What; w != "add 192.0.2.1 block 0s: " {
		t.Errorf("audited as %q", w)
	}
}

func TestTokensByAPI(t *testing.T) {
	l := serveRemote(t, fakeNode())
	admin := l.token(token.Admin)
	var made NewToken
	a := l.want(l.ask("POST", "/v1/tokens", admin, `{"name":"ci","scope":"read","seconds":3600}`), 201)
	if err := json.Unmarshal(a.body, &made); err != nil || !strings.HasPrefix(made.Token, token.Prefix) || made.State != "valid" {
		t.Fatalf("%+v, %v", made, err)
	}
	l.want(l.ask("POST", "/v1/tokens", admin, `{"name":"ci","scope":"read","seconds":3600}`), 400)
	l.want(l.ask("GET", "/v1/status", made.Token, ""), 200)
	if a := l.want(l.ask("GET", "/v1/tokens", admin, ""), 200); strings.Contains(string(a.body), made.Token) || strings.Contains(string(a.body), "hash") || !strings.Contains(string(a.body), made.ID) {
		t.Errorf("the list has a secret, or not the token: %s", a.body)
	}
	l.want(l.ask("DELETE", "/v1/tokens/"+made.ID, admin, ""), 200)
	l.want(l.ask("GET", "/v1/status", made.Token, ""), 401)
	l.want(l.ask("DELETE", "/v1/tokens/nobody", admin, ""), 404)
	for _, r := range l.audits() {
		if strings.Contains(fmt.Sprint(r), made.Token) {
			t.Errorf("the audit log has the secret: %+v", r)
		}
	}
	if strings.Contains(l.log.String(), made.Token) {
		t.Error("the log has the secret")
	}
}

func TestGuessersAreSlowedDown(t *testing.T) {
	l := serveRemote(t, fakeNode())
	read := l.token(token.Read)
	guess := token.Prefix + "aaaaaaaaaa_" + strings.Repeat("b", 52)
	statuses := map[int]int{}
	for range failureBurst + 5 {
		statuses[l.ask("GET", "/v1/status", guess, "").StatusCode]++
	}
	if statuses[401] != failureBurst || statuses[429] != 5 {
		t.Errorf("guesses were answered %v", statuses)
	}
	a := l.want(l.ask("GET", "/v1/status", read, ""), 429)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(l.log.String(), guess) {
		t.Error("what was guessed is in the log")
	}
	if got, err := l.metrics.Gather(); err != nil || got["bartizan_api_auth_failures_total"] != failureBurst {
		t.Errorf("counted %v, %v", got["bartizan_api_auth_failures_total"], err)
	}
}

func TestAddressesAreRationed(t *testing.T) {
	l := serveRemote(t, fakeNode())
	var a answer
	for range 3 * addressBurst {
		if a = l.ask("GET", "/openapi.json", "", ""); a.StatusCode != 200 {
			break
		}
	}
	l.want(a, 429)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestWrongHost(t *testing.T) {
	l := serveRemote(t, fakeNode())
	read := l.token(token.Read)
	for host, status := range map[string]int{"evil.example": 421, "evil.example:80": 421, "localhost": 200, "LOCALHOST:9612": 200, "door.example": 200,
		"[::1]:9612": 200, "127.0.0.1": 200, "127.0.0.1.evil.example": 421} {
		l.want(l.ask("GET", "/v1/status", read, "", func(r *http.Request) { r.Host = host }), status)
	}
	l.want(l.ask("POST", "/v1/decisions", l.token(token.Operate), `{"op":"add"}`, func(r *http.Request) {
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}), 403)
}

func TestMistakesAreNamed(t *testing.T) {
	l := serveRemote(t, fakeNode())
	operate := l.token(token.Operate)
	for _, c := range []struct {
		method, path, body string
		status             int
		where              string
	}{
		{"POST", "/v1/decisions", `{"op":"add","taget":"x"}`, 422, "body.taget"},
		{"POST", "/v1/decisions", `{"target":"192.0.2.1"}`, 422, "body"},
		{"POST", "/v1/decisions", `{"op":"add","reason":"` + strings.Repeat("x", 501) + `"}`, 422, "body.reason"},
		{"POST", "/v1/decisions", `{"op":`, 400, ""},
		{"POST", "/v1/decisions", `[]`, 422, "body"},
		{"POST", "/v1/decisions", `{"op":"` + strings.Repeat("x", maxRequest) + `"}`, 413, ""},
		{"GET", "/v1/decisions?limit=0", "", 422, "query.limit"},
		{"GET", "/v1/decisions?limit=ten", "", 422, "query.limit"},
		{"GET", "/v1/decisions?stat=held", "", 422, "query.stat"},
		{"GET", "/v1/decisions?state=odd", "", 422, "query.state"},
		{"GET", "/v1/decisions?cursor=AAAA", "", 422, "query.cursor"},
		{"GET", "/v1/signals?since=yesterday", "", 422, "query.since"},
		{"GET", "/v1/evidence/..%2f..%2fetc%2fpasswd", "", 422, "path.sha256"},
		{"GET", "/v1/nothing", "", 404, ""},
		{"GET", "/v1/lease", "", 404, ""},
		{"POST", "/v1/lease", "{}", 404, ""},
	} {
		a := l.ask(c.method, c.path, operate, c.body)
		if a.StatusCode != c.status {
			t.Errorf("%s %.60s %.40s: %s, want %d: %.300s", c.method, c.path, c.body, a.Status, c.status, a.body)
			continue
		}
		if c.where != "" && (len(a.problem.Errors) == 0 || a.problem.Errors[0].Location != c.where || a.problem.Errors[0].Message == "") {
			t.Errorf("%s %.60s %.40s: %+v does not name %s", c.method, c.path, c.body, a.problem, c.where)
		}
		if len(a.body) > 2000 {
			t.Errorf("%s: the error is %d bytes long", c.path, len(a.body))
		}
	}
}

// Pages neither repeat nor leave out what was there when the first was fetched,
// although the list grows.
func TestPages(t *testing.T) {
	n := fakeNode()
	var mu sync.Mutex
	newest := uint64(25)
	n.Decisions = func(_ context.Context, q DecisionQuery) (out []Decision, err error) {
		mu.Lock()
		defer mu.Unlock()
		for seq := newest; seq > 0 && len(out) < q.Limit; seq-- {
			if q.Before == 0 || seq < q.Before {
				out = append(out, Decision{Decision: model.Decision{Seq: seq}})
			}
		}
		return out, nil
	}
	l := serveRemote(t, n)
	read := l.token(token.Read)
	var got []uint64
	path := "/v1/decisions?limit=10&all=true"
	for range 5 {
		var p Page[Decision]
		a := l.want(l.ask("GET", path, read, ""), 200)
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatal(err)
		}
		for _, d := range p.Items {
			got = append(got, d.Seq)
		}
		if p.Next == "" {
			break
		}
		mu.Lock()
		newest += 3
		mu.Unlock()
		l.want(l.ask("GET", "/v1/decisions?limit=10&cursor="+p.Next, read, ""), 422) // other filters
		path = "/v1/decisions?limit=10&all=true&cursor=" + p.Next
	}
	if len(got) != 25 || got[0] != 25 || got[24] != 1 || !slices.IsSortedFunc(got, func(a, b uint64) int { return int(b) - int(a) }) {
		t.Errorf("pages have %v", got)
	}
}

// TestIntentComesFirst: before anything is changed it is stored who wants what, and the end says when that was; a store
// that does not take one of the two records is counted, and the change is made.
func TestIntentComesFirst(t *testing.T) {
	for _, c := range []struct {
		fail string // result that cannot be stored
		want []string
	}{{"", []string{ResultBegun, "changed", "done, begun"}}, {ResultBegun, []string{"changed", "done"}}, {"done", []string{ResultBegun, "changed"}}} {
		var got []string
		n := fakeNode()
		change := n.Change
		n.Change = func(ctx context.Context, d DecisionChange, who string) (Decision, error) {
			got = append(got, "changed")
			return change(ctx, d, who)
		}
		l := serveRemote(t, n)
		l.server.node.Record = func(_ context.Context, r AuditRecord) error {
			if r.Result == c.fail {
				return errors.New("disk full")
			}
			if r.What != "add 192.0.2.1 block 0s: why" || !strings.HasPrefix(r.Actor, "token ") || r.Address != "127.0.0.1" {
				t.Errorf("incomplete record %+v", r)
			}
			text := r.Result
			if !r.Begun.IsZero() {
				text += ", begun"
			}
			got = append(got, text)
			return nil
		}
		l.want(l.ask("POST", "/v1/decisions", l.token(token.Operate), `{"op":"add","target":"192.0.2.1","reason":"why"}`), 200)
		lost := 0.
		if c.fail != "" {
			lost = 1
		}
		if m, err := l.metrics.Gather(); err != nil || !slices.Equal(got, c.want) || m["bartizan_api_unaudited_total"] != lost {
			t.Errorf("%q cannot be stored: %q, want %q; counted %v, %v", c.fail, got, c.want, m["bartizan_api_unaudited_total"], err)
		}
	}
}

// A panic costs one answer and is in the audit log.
func TestPanic(t *testing.T) {
	n := fakeNode()
	n.Change = func(context.Context, DecisionChange, string) (Decision, error) { panic("boom") }
	l := serveRemote(t, n)
	operate := l.token(token.Operate)
	l.want(l.ask("POST", "/v1/decisions", operate, `{"op":"add"}`), 500)
	l.want(l.ask("GET", "/v1/status", operate, ""), 200)
	if a := l.audits(); len(a) != 2 || a[0].Result != ResultBegun || a[1].Result != "failed" || !strings.Contains(l.log.String(), "boom") {
		t.Errorf("audited %+v, logged %s", a, l.log)
	}
}

func TestSessionsAreKnown(t *testing.T) {
	var s sessions
	now := time.Now()
	a := func(i int) (out [4]byte) { return [4]byte{192, 0, byte(i >> 8), byte(i)} }
	for i := range maxSessions + 50 {
		s.seen(addrOf(a(i)), now.Add(time.Duration(i)*time.Millisecond))
	}
	s.seen(addrOf([4]byte{127, 0, 0, 1}), now)
	if live := s.live(now.Add(time.Minute)); len(live) != maxSessions || slices.Contains(live, addrOf(a(0))) || !slices.Contains(live, addrOf(a(maxSessions+49))) {
		t.Errorf("%d sessions", len(live))
	}
	if live := s.live(now.Add(time.Hour)); len(live) != 0 {
		t.Errorf("%d sessions live for ever", len(live))
	}
}

// The generated certificate is pinned by its fingerprint; a new one is taken up
// without a restart, and the pin then says that somebody else answers.
func TestRemoteClientWithPin(t *testing.T) {
	dir := t.TempDir()
	c, err := cert.Own(dir, nil, time.Now(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, fakeNode())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ServeRemote(ctx, listener, c.TLS()) }()
	defer func() { cancel(); <-done }()
	_, text, err := s.tokens.Create(t.Context(), time.Now(), "t", token.Read, time.Hour, "test")
	if err != nil {
		t.Fatal(err)
	}
	remote := func(r Remote) error {
		r.URL, r.Token = "https://"+listener.Addr().String(), text
		client, err := NewRemote(r)
		if err != nil {
			return err
		}
		defer client.Close()
		_, err = client.Status(t.Context())
		return err
	}
	pem, err := os.ReadFile(filepath.Join(dir, "api.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote(Remote{Pin: c.Fingerprint()}); err != nil {
		t.Errorf("with the pin: %v", err)
	}
	if err := remote(Remote{CA: pem}); err != nil {
		t.Errorf("with the certificate as authority: %v", err)
	}
	if err := remote(Remote{}); err == nil {
		t.Error("a certificate of nobody was trusted")
	}
	if err := remote(Remote{Pin: strings.Repeat("00", 32)}); err == nil || !strings.Contains(err.Error(), "another one than pinned") {
		t.Errorf("with a wrong pin: %v", err)
	}
	for _, bad := range []Remote{{URL: "http://192.0.2.1:9612", Token: text}, {URL: "https://h/path", Token: text}, {URL: "ftp://h", Token: text},
		{URL: "https://h", Token: "x"}, {URL: "https://h", Token: text, Pin: "12"}, {URL: "https://h", Token: text, CA: []byte("x")}} {
		if _, err := NewRemote(bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func addrOf(b [4]byte) netip.Addr { return netip.AddrFrom4(b) }
