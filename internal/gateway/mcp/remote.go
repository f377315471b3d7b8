package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
)

// SSE is the transport of 2024-11-05: a stream of events from one address, which names a
// second one for messages.
const SSE = "sse"

const (
	maxAgain  = 5                      // times a stream is asked to go on without anything new
	soonest   = 100 * time.Millisecond // after which it is
	latest    = 30 * time.Second
	maxNotes  = 100 // messages that are no requests on their way to a server at a time
	headBytes = 64 << 10
)

// remote is a server at an address, for a client that is not reached over streamable HTTP
// itself. Each message is a POST of its own, sent in the order in which the client said
// them; what the server says in their answers and in its own stream comes in one line.
type remote struct {
	gate    *Gate
	name    string
	server  Server
	headers http.Header // of every request
	client  *http.Client
	ctx     context.Context // of all requests
	stop    context.CancelCauseFunc
	work    sync.WaitGroup
	in      chan []byte
	notes   chan struct{} // places for messages that are no requests
	once    func() error

	mu       sync.Mutex
	address  string // for messages
	session  string
	version  string
	first    string // id of initialize
	watching bool   // the server's own stream is open, or tried
}

// errGone is the cause of an ordinary end.
var errGone = errors.New("the conversation ended")

// remote connects with a server at an address.
func (g *Gate) remote(ctx context.Context, name string, server Server, headers http.Header) (*remote, error) {
	r := &remote{gate: g, name: name, server: server, headers: http.Header{}, client: newClient(), in: make(chan []byte), notes: make(chan struct{}, maxNotes), address: server.URL}
	maps.Copy(r.headers, headers)
	for k, v := range server.Headers {
		r.headers.Set(k, v)
	}
	r.headers.Set("Accept-Encoding", "identity")
	r.ctx, r.stop = context.WithCancelCause(ctx)
	r.once = sync.OnceValue(r.finish)
	if server.Transport != SSE {
		return r, nil
	}
	if err := r.listen(); err != nil {
		r.stop(err)
		r.work.Wait()
		r.client.CloseIdleConnections()
		return nil, fmt.Errorf("reach server %s: %w", name, err)
	}
	return r, nil
}

// newClient is for requests to servers.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // what is compressed could not be looked at
	t.ResponseHeaderTimeout = 0 // an answer may take as long as its tool
	t.MaxResponseHeaderBytes = headBytes
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // a server cannot send the agent's words elsewhere
}

func (r *remote) next() ([]byte, error) {
	select {
	case raw := <-r.in:
		return raw, nil
	case <-r.ctx.Done():
		return nil, r.cause()
	}
}

func (r *remote) cause() error {
	if err := context.Cause(r.ctx); !errors.Is(err, errGone) && !errors.Is(err, context.Canceled) {
		return err
	}
	return io.EOF
}

// came hands on a message of the server.
func (r *remote) came(raw []byte) error {
	r.agreed(raw)
	select {
	case r.in <- raw:
		return nil
	case <-r.ctx.Done():
		return r.cause()
	}
}

// agreed notes the version in the answer to initialize, which later requests have to name.
func (r *remote) agreed(raw []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.version != "" || r.first == "" {
		return
	}
	m, err := mcp.ParseMessage(raw)
	if err != nil || m.ID != r.first || m.Result == nil || m.Result.Kind() != '{' {
		return
	}
	_ = mcp.Members(m.Result, func(name string, v jsontext.Value, _ int) error { // it was read
		if version, err := mcp.Text(v); err == nil && name == "protocolVersion" && plainVersion(version) {
			r.version = version
		}
		return nil
	})
}

func (r *remote) hangUp()    { r.stop(errGone) }
func (r *remote) end() error { return r.once() }

// finish ends what runs, and tells a server that knows a session that it is over.
func (r *remote) finish() error {
	r.stop(errGone)
	r.work.Wait()
	defer r.client.CloseIdleConnections()
	if r.session != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), graceful)
		defer cancel()
		if req, err := r.request(ctx, http.MethodDelete, r.server.URL, nil); err == nil {
			if resp, err := r.client.Do(req); err == nil { // one that is gone needs no goodbye
				_ = resp.Body.Close()
			}
		}
	}
	if err := r.cause(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (r *remote) request(ctx context.Context, method, address string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = r.headers.Clone()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != "" {
		req.Header.Set(sessionHeader, r.session)
	}
	if r.version != "" {
		req.Header.Set("Mcp-Protocol-Version", r.version)
	}
	return req, nil
}

// write sends one message. It returns when the message is out, and for the first one when
// its answer begins: that names the session of all others.
func (r *remote) write(raw []byte) error {
	m, err := mcp.ParseMessage(raw)
	isRequest := mcp.IsBatch(raw) || err == nil && m.Kind == mcp.Request
	if !isRequest {
		select {
		case r.notes <- struct{}{}:
		case <-r.ctx.Done():
			return r.cause()
		}
	}
	if m.Method == "initialize" {
		r.mu.Lock()
		r.first = m.ID
		r.mu.Unlock()
	}
	out, answered := make(chan struct{}), make(chan struct{})
	r.work.Add(1)
	go func() {
		defer r.work.Done()
		defer close(answered)
		if !isRequest {
			defer func() { <-r.notes }()
		}
		r.post(raw, m, isRequest, sync.OnceFunc(func() { close(out) }))
	}()
	var first <-chan struct{}
	if m.Method != "initialize" {
		first = out
	}
	select {
	case <-first:
	case <-answered:
	case <-time.After(r.gate.conf.Limits.Answer.D()): // one that does not take it keeps nobody from hanging up
	case <-r.ctx.Done():
		return r.cause()
	}
	if m.Method == "notifications/initialized" {
		r.watch()
	}
	return nil
}

// post is one message and its answer. sent is called when it is out.
func (r *remote) post(raw []byte, m mcp.Message, isRequest bool, sent func()) {
	ctx, cancel := r.ctx, context.CancelFunc(func() {})
	if !isRequest {
		ctx, cancel = context.WithTimeout(ctx, r.gate.conf.Limits.Answer.D())
	}
	defer cancel()
	fail := func(why string) {
		r.gate.log.Debug("reach server", "server", r.name, "error", why)
		for _, id := range requestsIn(raw) {
			_ = r.came(mcp.Failure(id, mcp.CodeInternal, "the gateway could not reach the server: "+why)) // only an end stops it
		}
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent() }})
	r.mu.Lock()
	address := r.address
	r.mu.Unlock()
	req, err := r.request(ctx, http.MethodPost, address, oneLine(raw))
	if err != nil {
		fail("its address cannot be used")
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	r.describe(req.Header, m)
	resp, err := r.client.Do(req)
	if err != nil {
		fail(reason(err))
		return
	}
	defer resp.Body.Close()
	if why := r.head(req, resp, m); why != "" {
		fail(why)
		return
	}
	if r.server.Transport == SSE { // what it says comes in its stream
		_, _ = io.CopyN(io.Discard, resp.Body, maxWords)
		return
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case kind == "text/event-stream":
		r.events(resp.Body, requestsIn(raw), fail)
	case kind == "application/json":
		body, err := safe.ReadAll(resp.Body, int64(r.gate.conf.Limits.Message), "answer")
		if err != nil {
			fail(reason(err))
			return
		}
		if len(bytes.TrimSpace(body)) > 0 {
			_ = r.came(oneLine(body)) // only an end stops it
		}
		if left := without(requestsIn(raw), answersIn(body)); len(left) > 0 {
			fail("it did not answer")
		}
	case isRequest:
		fail("its answer is neither a message nor a stream of them")
	}
}

// describe adds the headers that say since 2026-07-28 what a message is; older servers do
// not know them.
func (r *remote) describe(h http.Header, m mcp.Message) {
	if m.Kind == 0 || m.Method == "" {
		return
	}
	h.Set("Mcp-Method", m.Method)
	if m.Params == nil {
		return
	}
	_ = mcp.Members(m.Params, func(name string, v jsontext.Value, _ int) error { // it was read before
		text, err := mcp.Text(v)
		switch {
		case err == nil && (name == "name" && (m.Method == "tools/call" || m.Method == "prompts/get") || name == "uri" && m.Method == "resources/read"):
			h.Set("Mcp-Name", headerValue(text))
		case name == "_meta" && v.Kind() == '{':
			return mcp.Members(v, func(name string, v jsontext.Value, _ int) error {
				if version, err := mcp.Text(v); err == nil && name == "io.modelcontextprotocol/protocolVersion" && h.Get("Mcp-Protocol-Version") == "" && plainVersion(version) {
					h.Set("Mcp-Protocol-Version", version)
				}
				return nil
			})
		}
		return nil
	})
}

// head looks at how an answer begins; a reason says that there is none.
func (r *remote) head(req *http.Request, resp *http.Response, m mcp.Message) (why string) {
	switch e := resp.Header.Get("Content-Encoding"); {
	case e != "" && e != "identity":
		return "its answer is compressed, although nobody asked for it"
	case resp.StatusCode == http.StatusNotFound && req.Header.Get(sessionHeader) != "":
		r.stop(errors.New("the server has forgotten the session"))
		return "it has forgotten the session"
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Sprintf("it answered with status %d", resp.StatusCode)
	}
	if id := resp.Header.Get(sessionHeader); id != "" && m.Method == "initialize" {
		if len(id) > 256 {
			return "a session id of more than 256 bytes"
		}
		r.mu.Lock()
		r.session = id
		r.mu.Unlock()
	}
	return ""
}

// events reads the stream of an answer to requests until all of them are answered. One that
// ends before, and has said where it was, is asked to go on.
func (r *remote) events(body io.Reader, waits []string, fail func(string)) {
	place, pause, err := r.read(body, &waits, soonest)
	for again := 0; len(waits) > 0 && r.ctx.Err() == nil; {
		if place == "" || again >= maxAgain {
			fail("its stream ended without the answer: " + reason(err))
			return
		}
		before := place
		place, pause, err = r.goOn(place, pause, &waits)
		if again++; place != before {
			again = 0
		}
	}
}

// goOn asks for what came after a place in a stream.
func (r *remote) goOn(place string, pause time.Duration, waits *[]string) (string, time.Duration, error) {
	select {
	case <-time.After(pause):
	case <-r.ctx.Done():
		return place, pause, r.cause()
	}
	req, err := r.request(r.ctx, http.MethodGet, r.server.URL, nil)
	if err != nil {
		return place, pause, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if place != "" {
		req.Header.Set("Last-Event-Id", place)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return place, min(2*pause, latest), err
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return "", pause, fmt.Errorf("status %d", resp.StatusCode)
	}
	next, again, err := r.read(resp.Body, waits, pause)
	if next == "" {
		next = place
	}
	return next, again, err
}

// read hands on the messages of one stream. It returns at its end, and when nobody waits for
// an answer in it any more; nil: the server's own, in which nobody does.
func (r *remote) read(body io.Reader, waits *[]string, pause time.Duration) (place string, again time.Duration, err error) {
	in := newEvents(body, int(r.gate.conf.Limits.Message))
	for {
		e, err := in.next()
		if err != nil {
			return place, pause, err
		}
		id, retry := e.place()
		if id != "" {
			place = id
		}
		if retry > 0 {
			pause = min(max(retry, soonest), latest)
		}
		if len(bytes.TrimSpace(e.data)) == 0 || e.name != "" && e.name != "message" {
			continue
		}
		message := oneLine(e.data)
		if err := r.came(message); err != nil {
			return place, pause, err
		}
		if waits == nil {
			continue
		}
		if *waits = without(*waits, answersIn(message)); len(*waits) == 0 {
			return place, pause, nil
		}
	}
}

// watch opens the server's own stream, if it has one, and keeps it open.
func (r *remote) watch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watching || r.server.Transport == SSE {
		return
	}
	r.watching = true
	r.work.Go(func() {
		place, pause := "", time.Duration(0)
		for again := 0; r.ctx.Err() == nil && again < maxAgain; again++ {
			began := time.Now()
			next, wait, err := r.goOn(place, pause, nil)
			if next == "" && err != nil && strings.HasPrefix(err.Error(), "status ") { // it has none
				return
			}
			if time.Since(began) > latest {
				again = 0
			}
			place, pause = next, max(wait, time.Second)
		}
	})
}

// reason is an error of HTTP without addresses, which may have credentials.
func reason(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return "it ended"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return safe.Clean(err.Error(), 200)
}

// place is where an event stands in its stream, and how long to wait before asking for what
// follows.
func (e *event) place() (id string, retry time.Duration) {
	for line := range bytes.SplitSeq(e.rest, []byte("\n")) {
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			if len(value) <= 1024 && !strings.ContainsAny(value, "\x00\r") {
				id = value
			}
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil && ms > 0 && ms < 1e7 {
				retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
	return id, retry
}
