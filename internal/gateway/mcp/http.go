package mcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"
)

// agentHeader carries an agent's key; Authorization belongs to the server behind.
const agentHeader = "Bartizan-Agent-Key"

// sessionHeader names a conversation of the streamable HTTP transport.
const sessionHeader = "Mcp-Session-Id"

// HTTPGate is the gateway for servers that are reached over streamable HTTP: server NAME
// of the configuration is at /NAME.
type HTTPGate struct {
	gate   *Gate
	client *http.Client

	mu       sync.Mutex
	sessions map[string]*httpSession // by server and id
	hosted   map[string]*hosted      // by id
	closed   bool
	late     sync.WaitGroup // answers of the gateway to servers, and sessions that it holds
}

type httpSession struct {
	*Session
	used time.Time
}

// CheckListen says why an address may not be listened on: beyond this machine every
// agent needs a key.
func (c *Config) CheckListen(addr string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q: an IP address and a port", safe.Clean(addr, 60))
	}
	if ap.Addr().Unmap().IsLoopback() {
		return nil
	}
	for name, a := range c.Agents {
		if !a.Key.IsSet() {
			return fmt.Errorf("listen address %s is reached from other machines, and agent %s has no key", addr, name)
		}
	}
	if len(c.Agents) == 0 {
		return fmt.Errorf("listen address %s is reached from other machines: agents with keys are needed", addr)
	}
	return nil
}

// NewHTTP makes the handler.
func (g *Gate) NewHTTP() *HTTPGate {
	return &HTTPGate{gate: g, sessions: map[string]*httpSession{}, hosted: map[string]*hosted{}, client: newClient()}
}

// Serve listens until ctx ends.
func (h *HTTPGate) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceful)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close() // streams that stay open are normal here
	}
	if end := <-done; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	h.Close()
	return err
}

// Close ends the servers that are held for clients.
func (h *HTTPGate) Close() {
	h.mu.Lock()
	h.closed = true
	for _, o := range h.hosted {
		o.stop()
	}
	h.mu.Unlock()
	h.late.Wait()
	h.client.CloseIdleConnections()
}

// exchange is one HTTP request on its way.
type exchange struct {
	h      *HTTPGate
	w      http.ResponseWriter
	r      *http.Request
	server Server
	s      *Session
	key    string // of s among the sessions; "" while it has no id
	isOpen bool   // the answer's head is written
	asked  string // id of the request that the server answers; "" when it is none
}

// ServeHTTP implements http.Handler.
func (h *HTTPGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // of an exchange before, on the same connection
	if why := h.strange(r); why != "" {
		http.Error(w, "refused by the gateway: "+why, http.StatusForbidden)
		return
	}
	name, old := strings.CutSuffix(strings.Trim(r.URL.Path, "/"), "/sse")
	server, ok := h.gate.conf.Servers[name]
	if !ok {
		http.Error(w, "the gateway has no server of this name", http.StatusNotFound)
		return
	}
	agent, ok := h.agentFor(r.Header.Get(agentHeader))
	if !ok {
		http.Error(w, "the gateway knows no agent with this "+agentHeader, http.StatusUnauthorized)
		return
	}
	x := &exchange{h: h, w: w, r: r, server: server}
	switch {
	case old:
		x.old(agent, name)
		return
	case server.URL == "" || server.Transport == SSE:
		x.held(agent, name)
		return
	}
	if status, why := x.session(agent, name); status != 0 {
		http.Error(w, why, status)
		return
	}
	switch r.Method {
	case http.MethodPost:
		x.post()
	case http.MethodGet:
		x.get()
	case http.MethodDelete:
		x.forward(nil, "")
		h.forget(x.key)
	default:
		http.Error(w, "use POST, GET or DELETE", http.StatusMethodNotAllowed)
	}
}

// strange refuses what a web page in the user's browser could send (DNS rebinding; the
// specification asks for it).
func (h *HTTPGate) strange(r *http.Request) string {
	if origin := r.Header.Get("Origin"); origin != "" && !slices.Contains(h.gate.conf.HTTP.Origins, origin) {
		u, err := url.Parse(origin)
		if err != nil || !loopback(u.Hostname()) {
			return "this web page may not use it (http.origins)"
		}
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && loopback(hostOf(local.String())) && !loopback(hostOf(r.Host)) {
		return "the host name is not of this machine"
	}
	return ""
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return strings.Trim(addr, "[]")
	}
	return host
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// agentFor finds the agent of a key. Without a key it is the one agent that has none.
func (h *HTTPGate) agentFor(key string) (string, bool) {
	given := sha256.Sum256([]byte(key))
	found, ok := "", false
	for name, a := range h.gate.conf.Agents {
		own := sha256.Sum256([]byte(a.Key.Reveal()))
		if a.Key.IsSet() && key != "" && subtle.ConstantTimeCompare(given[:], own[:]) == 1 {
			found, ok = name, true
		}
	}
	if ok || key != "" {
		return found, ok
	}
	var open []string
	for name, a := range h.gate.conf.Agents {
		if !a.Key.IsSet() {
			open = append(open, name)
		}
	}
	if len(h.gate.conf.Agents) == 0 {
		return "default", true
	}
	if len(open) != 1 {
		return "", false
	}
	return open[0], true
}

// session finds the conversation that a request belongs to, or begins one.
func (x *exchange) session(agent, server string) (status int, why string) {
	id := x.r.Header.Get(sessionHeader)
	if id != "" {
		x.key = server + "\x00" + id
		x.h.mu.Lock()
		known := x.h.sessions[x.key]
		if known != nil {
			known.used = time.Now()
		}
		x.h.mu.Unlock()
		if known == nil || known.agent.name != agent { // the client begins anew, as the specification says
			return http.StatusNotFound, "the gateway knows no such session"
		}
		x.s = known.Session
		return 0, ""
	}
	s, err := x.h.gate.NewSession(agent, server, hostOf(x.r.RemoteAddr))
	if err != nil {
		return http.StatusInternalServerError, err.Error()
	}
	x.s = s
	return 0, ""
}

// keep notes the id that a server gives a new conversation.
func (h *HTTPGate) keep(s *Session, id string) error {
	if len(id) > 256 {
		return errors.New("a session id of more than 256 bytes")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for k, other := range h.sessions {
		if now.Sub(other.used) > h.gate.conf.Limits.Idle.D() {
			delete(h.sessions, k)
		}
	}
	key := s.server + "\x00" + id
	if _, again := h.sessions[key]; again {
		return errors.New("the session id of another client")
	}
	if len(h.sessions) >= h.gate.conf.Limits.Sessions {
		return errors.New("too many sessions")
	}
	h.sessions[key] = &httpSession{s, now}
	return nil
}

func (h *HTTPGate) forget(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, key)
}

// message reads what the client posts, and answers when it cannot be taken.
func (x *exchange) message() (body []byte, ok bool) {
	if kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(x.w, "the content type must be application/json", http.StatusUnsupportedMediaType)
		return nil, false
	}
	if e := x.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		http.Error(x.w, "the gateway takes no compressed messages", http.StatusUnsupportedMediaType)
		return nil, false
	}
	slow := http.NewResponseController(x.w)
	_ = slow.SetReadDeadline(time.Now().Add(slowBody)) // a writer without one is a test's
	body, err := safe.ReadAll(x.r.Body, int64(x.h.gate.conf.Limits.Message), "message")
	if tooLarge, ok := errors.AsType[*safe.TooLargeError](err); ok {
		x.reply(http.StatusRequestEntityTooLarge, mcp.Failure("", mcp.CodeRequest, "refused by the gateway: "+tooLarge.Error()))
		return nil, false
	}
	if err != nil {
		http.Error(x.w, "the message could not be read", http.StatusBadRequest)
		return nil, false
	}
	_ = slow.SetReadDeadline(time.Time{})
	return body, true
}

// slowBody is how long a message may take to come in.
const slowBody = 2 * time.Minute

// sameHeaders compares a message with its headers, and answers when they differ.
func (x *exchange) sameHeaders(body []byte) bool {
	if why := headersDiffer(x.r.Header, body); why != "" {
		x.s.raise(smuggled, "headers", why)
		x.s.note(Line{From: "client", Kind: "malformed", Bytes: len(body), Done: "refused", Why: []string{why}, Hash: hashOf(body)})
		x.reply(http.StatusBadRequest, mcp.Failure(mcp.GuessID(body), mcp.CodeRequest, "refused by the gateway: "+why))
		return false
	}
	return true
}

// post is one message of the client.
func (x *exchange) post() {
	body, ok := x.message()
	if !ok || !x.sameHeaders(body) {
		return
	}
	out, later := x.s.FromClient(body)
	if later != nil {
		out = later(x.r.Context(), x.ask)
	}
	switch {
	case out.Forward != nil:
		id := ""
		if m, err := mcp.ParseMessage(out.Forward); err == nil && m.Kind == mcp.Request {
			id = m.ID
		}
		x.forward(out.Forward, id)
	case out.Answer != nil:
		x.reply(http.StatusOK, out.Answer)
	default:
		x.w.WriteHeader(http.StatusAccepted)
	}
}

// headersDiffer compares the headers that say since 2026-07-28 what a message is with the
// message: who reads only the headers must not take it for another.
func headersDiffer(h http.Header, body []byte) string {
	method, name := h.Get("Mcp-Method"), h.Get("Mcp-Name")
	if len(h.Values("Mcp-Method")) > 1 || len(h.Values("Mcp-Name")) > 1 {
		return "a header twice"
	}
	if method == "" && name == "" {
		return ""
	}
	m, err := mcp.ParseMessage(body)
	if err != nil {
		return "" // it is refused as what it is
	}
	if method != "" && method != m.Method {
		return "the header Mcp-Method names another method than the message"
	}
	if name == "" || m.Method != "tools/call" {
		return ""
	}
	if coded, ok := strings.CutPrefix(name, "=?base64?"); ok {
		plain, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(coded, "?="))
		if err != nil {
			return "the header Mcp-Name cannot be read"
		}
		name = string(plain)
	}
	if c, err := mcp.ParseCall(m.Params); err == nil && c.Name != name {
		return "the header Mcp-Name names another tool than the message"
	}
	return ""
}

// reply is an answer of the gateway itself.
func (x *exchange) reply(status int, body []byte) {
	if x.isOpen {
		return
	}
	x.isOpen = true
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(status)
	_, _ = bytes.NewReader(body).WriteTo(x.w) // a client that is gone needs none
}

func (x *exchange) get() { x.forward(nil, "") }
