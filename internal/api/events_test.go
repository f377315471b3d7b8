package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/api/token"
)

// fakeStreams is three streams that tests append to.
type fakeStreams struct {
	mu     sync.Mutex
	more   chan struct{} // closed when something was appended
	first  map[string]uint64
	events map[string][]Event
}

func newFakeStreams() *fakeStreams {
	return &fakeStreams{more: make(chan struct{}), first: map[string]uint64{}, events: map[string][]Event{}}
}

func (f *fakeStreams) add(kind string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		seq := f.first[kind] + uint64(len(f.events[kind])) + 1
		f.events[kind] = append(f.events[kind], Event{Kind: kind, Seq: seq, Data: json.RawMessage(fmt.Sprintf(`{"n":%d,"pad":%q}`, seq, strings.Repeat("x", 1000)))})
	}
	close(f.more)
	f.more = make(chan struct{})
}

// forget drops the oldest n.
func (f *fakeStreams) forget(kind string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first[kind] += uint64(n)
	f.events[kind] = f.events[kind][n:]
}

func (f *fakeStreams) node() Events {
	return Events{
		Last: func(_ context.Context, kind string) (uint64, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.first[kind] + uint64(len(f.events[kind])), nil
		},
		Follow: func(ctx context.Context, kind string, from uint64, emit func(Event) error) error {
			for {
				f.mu.Lock()
				more, list, first := f.more, f.events[kind], f.first[kind]
				f.mu.Unlock()
				from = max(from, first+1)
				for _, e := range list[min(int(from-first-1), len(list)):] {
					if err := emit(e); err != nil {
						return err
					}
					from = e.Seq + 1
				}
				select {
				case <-more:
				case <-ctx.Done():
					return nil
				}
			}
		},
	}
}

// listener reads server-sent events as a browser does.
type listener struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
	stop context.CancelFunc
}

type heard struct{ event, id, data string }

func (l *lab) listen(tok, query, last string) *listener {
	l.Helper()
	ctx, stop := context.WithCancel(l.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+l.addr+"/v1/events"+query, nil)
	if err != nil {
		l.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+tok)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		l.Fatal(err)
	}
	e := &listener{t: l.T, resp: resp, in: bufio.NewScanner(resp.Body), stop: stop}
	l.Cleanup(e.close)
	return e
}

func (e *listener) close() { e.stop(); e.resp.Body.Close() }

// next is the next event; ok is false at the end of the stream.
func (e *listener) next() (h heard, ok bool) {
	for e.in.Scan() {
		k, v, _ := strings.Cut(e.in.Text(), ": ")
		switch k {
		case "event":
			h.event = v
		case "id":
			h.id = v
		case "data":
			h.data = v
		case "":
			if h.event != "" {
				return h, true
			}
		}
	}
	return h, false
}

func (e *listener) want(event, id string) heard {
	e.t.Helper()
	h, ok := e.next()
	if !ok || h.event != event || h.id != id {
		e.t.Fatalf("heard %+v (%v), want %s with id %q", h, ok, event, id)
	}
	return h
}

func TestEventsResumeWithoutLoss(t *testing.T) {
	f := newFakeStreams()
	n := fakeNode()
	n.Events = f.node()
	f.add(EventSignal, 3)
	l := serveRemote(t, n)
	read := l.token(token.Read)

	e := l.listen(read, "", "")
	if ct := e.resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("%s, content type %q", e.resp.Status, ct)
	}
	e.want("ready", "s3.d0.r0") // not what is old
	f.add(EventSignal, 1)
	e.want(EventSignal, "s4.d0.r0")
	f.add(EventDecision, 1)
	h := e.want(EventDecision, "s4.d1.r0")
	e.close()

	f.add(EventSignal, 2)
	f.add(EventReceipt, 1)
	e = l.listen(read, "?types=signal", h.id)
	e.want("ready", "s4.d1.r0")
	e.want(EventSignal, "s5.d1.r0")
	e.want(EventSignal, "s6.d1.r0")
	e.close()

	// What is no longer kept is said.
	f.forget(EventSignal, 5)
	e = l.listen(read, "?types=signal", "s4.d1.r0")
	e.want("ready", "s4.d1.r0")
	if h := e.want("gap", ""); !strings.Contains(h.data, `"from":5,"to":5`) {
		t.Errorf("gap %s", h.data)
	}
	e.want(EventSignal, "s6.d1.r0")
	e.close()
	e = l.listen(read, "?types=signal", "s99.d0.r0")
	e.want("ready", "s6.d0.r0")
	if h := e.want("gap", ""); !strings.Contains(h.data, `"from":7,"to":99`) {
		t.Errorf("gap %s", h.data)
	}
	e.close()

	l.want(l.ask("GET", "/v1/events?types=signal,gossip", read, ""), 422)
	a := l.want(l.ask("GET", "/v1/events", read, "", func(r *http.Request) { r.Header.Set("Last-Event-ID", "s1.d1") }), 422)
	if a.problem.Errors[0].Location != "header.Last-Event-ID" {
		t.Errorf("%+v", a.problem)
	}
}

func TestEventStreamsEndWithTheirToken(t *testing.T) {
	n := fakeNode()
	n.Events = newFakeStreams().node()
	l := serveRemote(t, n)
	_, text, err := l.server.tokens.Create(t.Context(), time.Now(), "going", token.Read, time.Hour, "test")
	if err != nil {
		t.Fatal(err)
	}
	e := l.listen(text, "", "")
	e.want("ready", "s0.d0.r0")
	// Long enough for a busy machine to begin the stream within it.
	_, brief, err := l.server.tokens.Create(t.Context(), time.Now(), "brief", token.Read, 3*time.Second, "test")
	if err != nil {
		t.Fatal(err)
	}
	e2 := l.listen(brief, "", "")
	e2.want("ready", "s0.d0.r0")
	if _, err := l.server.tokens.Revoke(t.Context(), time.Now(), "going"); err != nil {
		t.Fatal(err)
	}
	if h := e.want("end", ""); !strings.Contains(h.data, "revoked") {
		t.Errorf("%+v", h)
	}
	if _, ok := e.next(); ok {
		t.Error("the stream goes on")
	}
	if h := e2.want("end", ""); !strings.Contains(h.data, "expired") {
		t.Errorf("%+v", h)
	}
}

func TestEventStreamsAreBounded(t *testing.T) {
	n := fakeNode()
	n.Events = newFakeStreams().node()
	l := serveRemote(t, n)
	read := l.token(token.Read)
	var open []*listener
	for range maxStreamsOwn {
		e := l.listen(read, "", "")
		e.want("ready", "s0.d0.r0")
		open = append(open, e)
	}
	if a := l.want(l.ask("GET", "/v1/events", read, ""), 503); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := l.server.Streams(); got != maxStreamsOwn {
		t.Errorf("%d streams open", got)
	}
	open[0].close()
	deadline, tick := time.After(5*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for l.server.Streams() == maxStreamsOwn {
		select {
		case <-deadline:
			t.Fatal("a closed stream keeps its place")
		case <-tick.C:
		}
	}
	l.listen(read, "", "").want("ready", "s0.d0.r0")
}

// stuck is a writer whose client has stopped reading.
type stuck struct{ http.ResponseWriter }

func (stuck) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// A client that does not read is dropped, counted, and leaves nothing behind
// (goleak looks at the end).
func TestSlowListenersAreDropped(t *testing.T) {
	f := newFakeStreams()
	n := fakeNode()
	n.Events = f.node()
	s, log, m := newLoggedServer(t, n)
	inner := s.routes()
	r, err := http.NewRequestWithContext(withCaller(t.Context(), caller{actor: "token slow (x)", scope: token.Read, local: true}), "GET", "/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{header: http.Header{}}
	r.Body = http.NoBody
	inner.ServeHTTP(stuck{rec}, r)
	if got, err := m.Gather(); err != nil || got[`bartizan_api_streams_dropped_total{reason="slow"}`] != 1 || !strings.Contains(log.String(), "event stream dropped") {
		t.Errorf("counted %v, %v, logged %s", got, err, log)
	}
	if s.Streams() != 0 {
		t.Error("a dropped stream keeps its place")
	}
}

type recorder struct{ header http.Header }

func (r *recorder) Header() http.Header             { return r.header }
func (r *recorder) WriteHeader(int)                 {}
func (r *recorder) Write(b []byte) (int, error)     { return len(b), nil }
func (r *recorder) SetReadDeadline(time.Time) error { return nil }
func (s stuck) SetReadDeadline(time.Time) error     { return nil }

func FuzzPlace(f *testing.F) {
	for _, s := range []string{"s0.d0.r0", "s120.d7.r0", "s1.d1", "s-1.d0.r0", "s18446744073709551615.d0.r0", "s01.d0.r0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePlace(s)
		if err == nil && p.String() != s {
			t.Fatalf("%q is read as %s", s, &p)
		}
	})
}
