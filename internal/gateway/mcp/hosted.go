package mcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"
)

const (
	maxKept   = 100             // messages of a server that no stream of the client can take yet
	stalled   = 2 * time.Minute // a server that does not read for so long is ended
	slowPeer  = 30 * time.Second
	keepAlive = 30 * time.Second // a line that says nothing, so that a stream whose client is gone is noticed
)

// hosted is a client over HTTP whose server is reached in another way, which the gateway
// holds for it: a process of its own, or a connection. It ends when the client says so,
// when the stream of an old client does, and when nothing was heard for a while.
type hosted struct {
	*conversation
	id    string
	agent string
	old   bool // the client speaks the transport of 2024-11-05
	idle  time.Duration
	ctx   context.Context // of what is done for the client
	stop  context.CancelFunc
	over  chan struct{} // everything was said

	mu    sync.Mutex
	used  time.Time
	busy  int       // requests and streams of the client that are open
	posts []*stream // requests that wait for their answers
	own   *stream   // the client's stream for everything else
	kept  [][]byte
	bytes int // of kept
}

// stream is an HTTP answer that takes messages.
type stream struct {
	waits  []string // requests that it answers
	tokens []string // of their progress
	events bool     // it takes other messages too
	msgs   chan piece
	gone   chan struct{} // nobody reads it
}

type piece struct {
	raw  []byte
	last bool // everything is answered
}

var errOver = errors.New("the session is over")

// host begins a session for an agent.
func (h *HTTPGate) host(x *exchange, agent, name string, old bool) (*hosted, int, error) {
	s, err := h.gate.NewSession(agent, name, hostOf(x.r.RemoteAddr))
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	limits := h.gate.conf.Limits
	o := &hosted{id: rand.Text(), agent: s.agent.name, old: old, idle: min(limits.ProcessIdle.D(), limits.Idle.D()), over: make(chan struct{}), used: time.Now()}
	o.ctx, o.stop = context.WithCancel(context.WithoutCancel(x.r.Context()))
	h.mu.Lock()
	n := 0
	for _, other := range h.hosted {
		if other.agent == o.agent {
			n++
		}
	}
	if n >= limits.Processes || h.closed {
		h.mu.Unlock()
		o.stop()
		return nil, http.StatusServiceUnavailable, fmt.Errorf("agent %s has %d servers running (limits.processes)", o.agent, n)
	}
	h.hosted[o.id] = o // its place is taken while the server starts
	h.late.Add(1)
	h.mu.Unlock()
	headers := http.Header{}
	for _, name := range []string{"Authorization", "User-Agent"} {
		if v := x.r.Header.Get(name); v != "" {
			headers.Set(name, v)
		}
	}
	b, err := h.gate.reach(o.ctx, name, x.server, &logged{h.gate, name}, headers)
	if err != nil {
		o.stop()
		h.mu.Lock()
		delete(h.hosted, o.id)
		h.mu.Unlock()
		h.late.Done()
		h.gate.log.Warn("reach server", "server", name, "error", safe.Clean(err.Error(), 300))
		return nil, http.StatusBadGateway, errors.New("the gateway could not reach the server")
	}
	if p, ok := b.(*process); ok {
		p.stall = stalled
	}
	h.mu.Lock()
	o.conversation = newConversation(s, o, b)
	h.mu.Unlock()
	go func() {
		defer h.late.Done()
		o.run()
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.hosted, o.id)
	}()
	return o, 0, nil
}

// find is the session of an agent's client.
func (h *HTTPGate) find(id, agent, server string, old bool) *hosted {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.hosted[id]
	if o == nil || o.conversation == nil || o.agent != agent || o.session.server != server || o.old != old || o.ctx.Err() != nil {
		return nil
	}
	return o
}

// run passes on what the server says until one side ends.
func (o *hosted) run() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := o.fromServer(); !errors.Is(err, io.EOF) {
			o.session.gate.log.Debug("read from the server", "server", o.session.server, "error", safe.Clean(err.Error(), 200))
		}
	}()
	look := time.NewTicker(max(o.idle/8, 10*time.Millisecond))
	defer look.Stop()
	for alive := true; alive; {
		select {
		case <-ended:
			alive = false
		case <-o.ctx.Done():
			alive = false
		case <-look.C:
			o.mu.Lock()
			alive = o.busy > 0 || time.Since(o.used) < o.idle
			o.mu.Unlock()
		}
	}
	o.stop()
	if err := o.server.end(); err != nil {
		o.session.gate.log.Debug("server ended", "server", o.session.server, "error", safe.Clean(err.Error(), 200))
	}
	<-ended
	o.end()
	close(o.over)
	o.late.Wait()
}

// use notes that the client does something, and that it has done it.
func (o *hosted) use() (done func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.busy, o.used = o.busy-1, time.Now()
	}
}

// open makes a stream: for the answers to requests, or the client's own.
func (o *hosted) open(requests []byte, events bool) *stream {
	st := &stream{events: events, msgs: make(chan piece), gone: make(chan struct{})}
	for _, m := range messagesIn(requests) {
		if m.Kind == mcp.Request {
			st.waits = append(st.waits, m.ID)
			if t := tokenOf(m); t != "" {
				st.tokens = append(st.tokens, t)
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if requests != nil {
		o.posts = append(o.posts, st)
		return st
	}
	if o.own != nil {
		return nil
	}
	o.own = st
	return st
}

// shut takes a stream away.
func (o *hosted) shut(st *stream) {
	defer close(st.gone)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.own == st {
		o.own = nil
	}
	o.posts = slices.DeleteFunc(o.posts, func(x *stream) bool { return x == st })
}

// write gives a message to the stream that it belongs to.
func (o *hosted) write(raw []byte) error {
	for {
		st, last := o.pick(raw)
		if st == nil {
			return nil
		}
		select {
		case st.msgs <- piece{oneLine(raw), last}:
			return nil
		case <-st.gone: // the client is gone before its answer; another message finds another stream
			if last || len(answersIn(raw)) > 0 && !o.old {
				return nil
			}
		case <-o.over:
			return errOver
		}
	}
}

// pick finds the stream for a message: for an answer that of its request, for progress that
// of what makes it, for everything else the client's own, or any that can take it. Without
// one the message waits for the next, unless it is an answer: nobody waits for that.
func (o *hosted) pick(raw []byte) (st *stream, last bool) {
	answers := answersIn(raw)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.old {
		if o.own == nil { // it is opened in a moment, or the session is over
			o.keep(raw)
		}
		return o.own, false
	}
	for _, id := range answers {
		for _, st := range o.posts {
			if slices.Contains(st.waits, id) {
				st.waits = without(st.waits, answers)
				return st, len(st.waits) == 0
			}
		}
	}
	if len(answers) > 0 {
		return nil, false
	}
	if m, err := mcp.ParseMessage(raw); err == nil && m.Method == "notifications/progress" {
		token := tokenOf(m)
		for _, st := range o.posts {
			if st.events && slices.Contains(st.tokens, token) {
				return st, false
			}
		}
	}
	if o.own != nil {
		return o.own, false
	}
	for _, st := range o.posts {
		if st.events && len(st.waits) > 0 {
			return st, false
		}
	}
	o.keep(raw)
	return nil, false
}

func (o *hosted) keep(raw []byte) {
	o.kept, o.bytes = append(o.kept, bytes.Clone(raw)), o.bytes+len(raw)
	for len(o.kept) > maxKept || o.bytes > int(o.session.gate.conf.Limits.Message) {
		o.bytes -= len(o.kept[0])
		o.kept = o.kept[1:]
		o.session.gate.log.Warn("a message of the server is dropped: its client has no stream open", "server", o.session.server)
	}
}

// takeKept is what waited for a stream.
func (o *hosted) takeKept() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept := o.kept
	o.kept, o.bytes = nil, 0
	return kept
}

// logged is what a server says on standard error.
type logged struct {
	gate *Gate
	name string
}

func (l *logged) Write(p []byte) (int, error) {
	l.gate.log.Debug("server says", "server", l.name, "text", safe.Clean(strings.TrimSpace(string(p)), 500))
	return len(p), nil
}
