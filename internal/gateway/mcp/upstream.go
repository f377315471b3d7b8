package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/mcp"
	"bartizan/internal/safe"
)

// maxWords is the longest text of an HTTP error that is passed on, in bytes.
const maxWords = 64 << 10

// passedOn says which headers of a request or an answer go through. The others are
// between the client and us, or us and the server.
func passedOn(name string) bool {
	switch name {
	case "Accept", "Accept-Language", "Content-Type", "Authorization", "Last-Event-Id", "User-Agent", "Cache-Control", "Www-Authenticate", "Retry-After",
		"Date", "Allow", "Traceparent", "Tracestate", "Baggage":
		return true
	}
	return strings.HasPrefix(name, "Mcp-")
}

// upstream makes the request to the server: the headers of the client that pass, then
// those of the configuration.
func (x *exchange) upstream(ctx context.Context, method string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, x.server.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, v := range x.r.Header {
		if passedOn(name) {
			req.Header[name] = v
		}
	}
	for name, v := range x.server.Headers {
		req.Header.Set(name, v)
	}
	req.Header.Set("Accept-Encoding", "identity")
	return req, nil
}

// forward sends a request to the server and its answer to the client, as far as it
// may pass. id is of the request in it; "" when there is none.
func (x *exchange) forward(body []byte, id string) {
	req, err := x.upstream(x.r.Context(), x.r.Method, body)
	if err == nil {
		var resp *http.Response
		if resp, err = x.h.client.Do(req); err == nil {
			defer resp.Body.Close()
			x.answer(resp, id)
			return
		}
	}
	x.s.forget(id)
	x.h.gate.log.Warn("reach server", "server", x.s.server, "error", safe.Clean(err.Error(), 200))
	x.reply(http.StatusBadGateway, mcp.Failure(id, mcp.CodeInternal, "the gateway could not reach the server"))
}

// answer passes on what the server says, looked at.
func (x *exchange) answer(resp *http.Response, id string) {
	x.asked = id
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	encoded := resp.Header.Get("Content-Encoding")
	switch {
	case encoded != "" && encoded != "identity":
		x.broken(id, "its answer is compressed, although nobody asked for it")
		return
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		x.broken(id, "it sends its clients elsewhere")
		return
	}
	if sid := resp.Header.Get(sessionHeader); sid != "" && x.key == "" {
		if err := x.h.keep(x.s, sid); err != nil {
			x.broken(id, err.Error())
			return
		}
		x.key = x.s.server + "\x00" + sid
	}
	if resp.StatusCode == http.StatusNotFound && x.key != "" {
		x.h.forget(x.key)
	}
	var said []string
	for name, v := range resp.Header {
		if !passedOn(name) {
			continue
		}
		x.w.Header()[name] = v
		if name != "Date" && name != "Content-Type" {
			said = append(said, v...)
		}
	}
	slices.Sort(said) // the same words are looked at once
	if bad := x.hidden(strings.Join(said, "\n")); bad != "" {
		for name := range resp.Header {
			x.w.Header().Del(name)
		}
		x.broken(id, "the guard found "+bad+" in its headers")
		return
	}
	switch {
	case err == nil && kind == "text/event-stream":
		x.stream(resp)
	case err == nil && kind == "application/json":
		x.whole(resp, id)
	default:
		x.words(resp, id)
	}
}

// fromServer decides about a message in the answer to a request. One that is malformed is the end of that request, and
// nobody else's: others are answered elsewhere.
func (x *exchange) fromServer(raw []byte) Outcome {
	_, err := mcp.ParseMessage(raw)
	if err == nil || x.asked == "" || mcp.IsBatch(raw) || empty(raw) {
		return x.s.FromServer(raw)
	}
	x.s.note(Line{From: "server", Kind: "malformed", ID: safe.Clean(x.asked, 100), Bytes: len(raw), Done: "dropped", Why: []string{err.Error()}, Hash: hashOf(raw)})
	x.s.raise(smuggled, "message of the server", err.Error())
	x.s.forget(x.asked)
	return Outcome{Forward: mcp.Failure(x.asked, mcp.CodeInternal, "the gateway dropped a malformed answer: "+err.Error())}
}

// hidden says what must not pass in words beside the messages: headers, comments and ids of events.
func (x *exchange) hidden(words string) string {
	if words == "" {
		return ""
	}
	bad := ""
	v, err := x.h.gate.engine.InspectAsked(words, guard.Unknown)
	if err != nil {
		bad = "words that could not be looked at"
	}
	for _, r := range v.Reports {
		for _, f := range r.Findings {
			if f.Score >= guard.BlockScore && (f.Category == guard.Secret || f.Category == guard.Policy || f.Category == guard.Link) {
				bad = r.Name + ": " + safe.Clean(f.Note, 100)
			}
		}
	}
	if bad != "" {
		x.s.raise(hostileResult, "words beside a message", bad)
		x.s.note(Line{From: "server", Kind: "http", Bytes: len(words), Done: "dropped", Why: []string{bad}})
	}
	return bad
}

// broken tells the client that the server's answer is not passed on.
func (x *exchange) broken(id, why string) {
	x.s.note(Line{From: "server", Kind: "malformed", ID: safe.Clean(id, 100), Done: "dropped", Why: []string{why}})
	x.s.forget(id)
	x.reply(http.StatusBadGateway, mcp.Failure(id, mcp.CodeInternal, "the gateway stopped the answer: "+why))
}

// whole is an answer in one piece.
func (x *exchange) whole(resp *http.Response, id string) {
	body, err := safe.ReadAll(resp.Body, int64(x.h.gate.conf.Limits.Message), "answer")
	if err != nil {
		x.broken(id, err.Error())
		return
	}
	if len(bytes.TrimSpace(body)) == 0 {
		if id != "" {
			x.broken(id, "it is empty")
			return
		}
		x.open(resp.StatusCode, "")
		return
	}
	out := x.fromServer(body)
	if out.Answer != nil {
		x.say(out.Answer)
	}
	if out.Forward == nil {
		x.broken(id, "it is no answer to what was asked")
		return
	}
	x.open(resp.StatusCode, "application/json")
	_, _ = x.w.Write(out.Forward) // a client that is gone needs none
}

// open begins an answer of the server under the type that it was looked at as. The server's
// own word for it does not pass: clients that search it for application/json would take
// "text/plain; x=application/json" for a message that nobody has looked at.
func (x *exchange) open(status int, kind string) {
	x.isOpen = true
	x.w.Header().Del("Content-Type")
	if kind != "" {
		x.w.Header().Set("Content-Type", kind)
		x.w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	x.w.WriteHeader(status)
}

// words is an answer that is no message: the text of an error, or nothing. One that says
// that all is well has nothing to say but messages.
func (x *exchange) words(resp *http.Response, id string) {
	body, err := safe.ReadAll(resp.Body, maxWords, "answer")
	if err == nil && resp.StatusCode < 300 && (id != "" || len(body) > 0) {
		err = errors.New("it is neither a message nor a stream of them")
	}
	kind := ""
	if len(body) > 0 {
		kind = "text/plain; charset=utf-8"
	}
	if err == nil && len(body) > 0 {
		var v guard.Verdict
		if v, err = x.h.gate.engine.InspectAsked(string(body), guard.Document); err == nil {
			if block, _, leak := weigh(v); block != "" || leak != "" {
				err = errors.New("the guard found " + block + leak)
			}
		}
	}
	if err != nil {
		x.broken(id, err.Error())
		return
	}
	if id != "" {
		x.s.forget(id)
	}
	x.s.note(Line{From: "server", Kind: "http", Method: fmt.Sprint(resp.StatusCode), ID: safe.Clean(id, 100), Bytes: len(body), Done: "passed"})
	x.open(resp.StatusCode, kind)
	_, _ = x.w.Write(body)
}

// stream is an answer in events, which may never end.
func (x *exchange) stream(resp *http.Response) {
	x.open(resp.StatusCode, "text/event-stream")
	out := http.NewResponseController(x.w)
	_ = out.Flush() // the client should see the head at once; an error comes back with the first write
	in := newEvents(resp.Body, int(x.h.gate.conf.Limits.Message))
	again := false // the client can ask for what follows later
	for {
		e, err := in.next()
		if err != nil {
			if x.r.Context().Err() == nil && (!again || !errors.Is(err, io.EOF)) {
				defer x.unanswered()
			}
			if !errors.Is(err, io.EOF) && x.r.Context().Err() == nil {
				x.s.note(Line{From: "server", Kind: "malformed", Done: "dropped", Why: []string{"the stream: " + safe.Clean(err.Error(), 200)}})
			}
			return
		}
		again = again || bytes.Contains(e.rest, []byte("id:"))
		if err := x.event(e); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

// unanswered tells the client that its request gets no answer: the stream that should have had it has ended.
func (x *exchange) unanswered() {
	if x.asked == "" || !x.s.waits(x.asked) {
		return
	}
	x.s.forget(x.asked)
	_ = writeEvent(x.w, &event{}, mcp.Failure(x.asked, mcp.CodeInternal, "the server's stream ended, or could not be read, before the answer")) // a client that is gone needs none
}

// event passes on one event of a stream.
func (x *exchange) event(e *event) error {
	if len(e.beside) > 0 {
		if bad := x.hidden(string(e.beside)); bad != "" { // the message goes on without
			e.raw, e.rest = slices.Concat([]byte("data: "), bytes.ReplaceAll(e.data, []byte("\n"), []byte("\ndata: ")), []byte("\n\n")), nil
			if len(e.data) == 0 {
				return nil
			}
		}
	}
	if len(e.data) == 0 { // comments, and ids for a stream that goes on later
		_, err := x.w.Write(e.raw)
		return err
	}
	if e.name != "" && e.name != "message" {
		x.s.note(Line{From: "server", Kind: "malformed", Bytes: len(e.raw), Done: "dropped", Why: []string{"an event that is no message"}})
		return nil
	}
	o := x.fromServer(e.data)
	if o.Answer != nil {
		x.say(o.Answer)
	}
	if o.Forward == nil {
		return nil
	}
	if bytes.Equal(o.Forward, e.data) {
		_, err := x.w.Write(e.raw)
		return err
	}
	for _, m := range append([][]byte{o.Forward}, o.Extra...) {
		if err := writeEvent(x.w, e, m); err != nil {
			return err
		}
	}
	return nil
}

// say sends the gateway's own answer to a request of the server.
func (x *exchange) say(answer []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), x.h.gate.conf.Limits.Answer.D())
	req, err := x.own(ctx, answer)
	if err != nil {
		cancel()
		return
	}
	x.h.late.Add(1)
	go func() {
		defer x.h.late.Done()
		defer cancel()
		resp, err := x.h.client.Do(req)
		if err != nil {
			x.h.gate.log.Warn("answer server", "server", x.s.server, "error", safe.Clean(err.Error(), 200))
			return
		}
		_, _ = io.CopyN(io.Discard, resp.Body, maxWords) // nothing is expected in it
		_ = resp.Body.Close()
	}()
}

// own is a POST of the gateway itself within the session.
func (x *exchange) own(ctx context.Context, body []byte) (*http.Request, error) {
	req, err := x.upstream(ctx, http.MethodPost, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for _, name := range []string{"Mcp-Method", "Mcp-Name", "Last-Event-Id"} { // of the client's own message
		req.Header.Del(name)
	}
	for name := range req.Header {
		if strings.HasPrefix(name, "Mcp-Param-") {
			req.Header.Del(name)
		}
	}
	return req, nil
}

// ask is the Asker over HTTP.
func (x *exchange) ask(ctx context.Context, method string, params []byte) (mcp.Message, error) {
	id := mcp.Quote("bartizan-" + x.s.id)
	req, err := x.own(ctx, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":%s,"params":%s}`, id, mcp.Quote(method), params))
	if err != nil {
		return mcp.Message{}, err
	}
	if req.Header.Get("Mcp-Protocol-Version") >= "2026" {
		req.Header.Set("Mcp-Method", method)
	}
	resp, err := x.h.client.Do(req)
	if err != nil {
		return mcp.Message{}, errors.New("the server cannot be reached")
	}
	defer resp.Body.Close()
	limit := int(x.h.gate.conf.Limits.Message)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "application/json" && kind != "text/event-stream" {
		return mcp.Message{}, fmt.Errorf("it answered with status %d", resp.StatusCode)
	}
	if kind == "application/json" {
		body, err := safe.ReadAll(resp.Body, int64(limit), "answer")
		if err != nil {
			return mcp.Message{}, err
		}
		m, err := mcp.ParseMessage(body)
		if err == nil && (m.Kind != mcp.Response || m.ID != string(id)) {
			err = errors.New("it answered something else")
		}
		return m, err
	}
	in := newEvents(resp.Body, limit)
	for range maxPages { // other messages may come before the answer
		e, err := in.next()
		if err != nil {
			return mcp.Message{}, fmt.Errorf("its answer did not come: %w", err)
		}
		if m, err := mcp.ParseMessage(e.data); err == nil && m.Kind == mcp.Response && m.ID == string(id) {
			return m, nil
		}
	}
	return mcp.Message{}, errors.New("its answer did not come")
}
