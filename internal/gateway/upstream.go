package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"bartizan/internal/gateway/approval"
	"bartizan/internal/guard"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/wire"
)

// ask sends the request on and gives the client the answer.
func (x *exchange) ask(ctx context.Context, cancel context.CancelFunc, body []byte) error {
	req := x.request(ctx, body)
	resp, err := x.route.client.RoundTrip(req)
	if err != nil {
		return x.unanswered(ctx, err)
	}
	idle := &watchdog{after: x.route.Timeouts.Idle.D(), bark: cancel}
	defer idle.stop()
	lane, _ := resp.Body.(*laneBody)
	resp.Body = &watched{resp.Body, lane, idle}
	defer resp.Body.Close()
	x.rec.Upstream = resp.StatusCode
	if c := resp.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return &refusal{status: 502, code: "compressed_answer", message: "the upstream compressed its answer although it was asked not to", outcome: Failed}
	}
	switch s := resp.StatusCode; {
	case s >= 400:
		return x.failure(ctx, resp)
	case s < 200 || s >= 300:
		return &refusal{status: 502, code: "upstream_redirect", message: fmt.Sprintf("the upstream answered with status %d, which the gateway does not follow", s), outcome: Failed}
	}
	if len(resp.Header["Content-Type"]) > 1 {
		return x.unknownAnswer("more than one Content-Type")
	}
	head := x.head
	head.ContentType = resp.Header.Get("Content-Type")
	if streamed(head.ContentType) || x.msg.Stream && x.pieces(head) {
		return x.stream(ctx, head, resp)
	}
	return x.whole(ctx, head, resp)
}

// pieces tells whether an answer whose type does not say so comes in events: those of Gemini are in a JSON array.
func (x *exchange) pieces(head wire.Head) bool {
	_, err := x.route.format.Stream(head)
	return err == nil
}

// request is the client's request as it goes to the upstream.
func (x *exchange) request(ctx context.Context, body []byte) *http.Request {
	u := *x.route.upstream
	base := u
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+x.path, ""
	if escapedSlash(x.r) { // the model's name stays one segment
		at := len(x.r.URL.EscapedPath()) - len(strings.TrimPrefix(x.r.URL.EscapedPath(), strings.TrimSuffix(x.route.Prefix, "/")))
		u.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + x.r.URL.EscapedPath()[at:]
	}
	u.RawQuery = x.r.URL.RawQuery
	if strings.Contains(u.RawQuery, "key=") {
		q := x.r.URL.Query()
		q.Del("key")
		u.RawQuery = q.Encode()
	}
	req := (&http.Request{Method: x.r.Method, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header, len(x.r.Header)+2)}).WithContext(ctx)
	forwardable(req.Header, x.r.Header)
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = []string{""} // none of ours
	}
	req.Header.Set("Accept-Encoding", "identity")
	if x.route.header != "" {
		req.Header[x.route.header] = []string{x.route.value}
	}
	if x.route.Region != "" { // the keeper signs without reading the body
		sum := sha256.Sum256(body)
		req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	if len(body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return req
}

// unanswered says what went wrong with the upstream.
func (x *exchange) unanswered(ctx context.Context, err error) error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case x.r.Context().Err() != nil:
		return &refusal{status: 499, code: "client_gone", message: "the client went away", outcome: Abandoned}
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return &refusal{status: 504, code: "upstream_timeout", message: "the upstream did not answer in time", reason: scrub(err), outcome: Failed}
	case errors.As(err, &dns):
		return &refusal{status: 502, code: "upstream_unreachable", message: "the upstream's name cannot be resolved", reason: scrub(err), outcome: Failed}
	}
	return &refusal{status: 502, code: "upstream_unreachable", message: "the upstream cannot be reached or broke the connection off", reason: scrub(err), outcome: Failed, retry: 1}
}

// scrub takes the address out of an error of a URL, because a query may hold a key.
func scrub(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return clean(err.Error(), 200)
}

// maxFailure is the largest error that is handed on, in bytes.
const maxFailure = 1 << 20

// failure hands on an error of the upstream, when it says nothing that is blocked.
func (x *exchange) failure(ctx context.Context, resp *http.Response) error {
	body, err := x.readAnswer(ctx, resp, maxFailure)
	if err != nil {
		return err
	}
	x.rec.Outcome, x.rec.Code = Failed, "upstream_status"
	if len(body) > 0 {
		if err := x.raw(string(body), true); err != nil {
			return err
		}
	}
	return x.give(resp, body)
}

// readAnswer reads a whole answer.
func (x *exchange) readAnswer(ctx context.Context, resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, x.tooLong()
	}
	var body []byte
	if n := resp.ContentLength; n > 0 {
		body = make([]byte, 0, min(n, 1<<20))
	}
	body, err := readInto(body, resp.Body, limit+1)
	switch {
	case int64(len(body)) > limit:
		return nil, x.tooLong()
	case err != nil:
		return nil, x.unanswered(ctx, err)
	}
	return body, nil
}

func (x *exchange) tooLong() error {
	return &refusal{status: 502, code: "answer_too_large", message: "the answer is larger than this route allows (" + x.route.Answer.String() + ")", outcome: Failed}
}

// whole looks at an answer that comes in one piece and gives it to the client.
func (x *exchange) whole(ctx context.Context, head wire.Head, resp *http.Response) error {
	body, err := x.readAnswer(ctx, resp, int64(x.route.Answer))
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return x.give(resp, body)
	}
	if !utf8.Valid(body) {
		return &refusal{status: 502, code: "answer_not_utf8", message: "the upstream's answer is not valid UTF-8, so the gateway cannot look into it", outcome: Failed}
	}
	m, err := x.route.format.Answer(head, body)
	if err != nil {
		x.rec.Unknown = append(x.rec.Unknown, x.repeatable(err.Error()))
		if x.route.Unknown != Forward {
			return x.unknownAnswer(err.Error())
		}
		if err := x.raw(string(body), true); err != nil {
			return err
		}
		return x.give(resp, body)
	}
	x.rec.Usage = m.Usage
	x.media(m.Parts)
	x.heard(m.Parts, true)
	if err := x.callAll(m.Parts); err != nil {
		return err
	}
	x.recall()
	r, err := hold.Answer(x.config(true), body, m)
	x.took(r, m.TextAt, true, err)
	switch {
	case err != nil && len(r.Unknown) > 0 && x.route.Unknown != Forward:
		return x.unknownAnswer(strings.Join(r.Unknown[:min(len(r.Unknown), 5)], ", "))
	case err != nil:
		return x.blocked()
	}
	return x.give(resp, r.Body)
}

func (x *exchange) unknownAnswer(what string) error {
	return &refusal{status: 502, code: "unknown_answer", message: "the gateway does not understand the upstream's answer, so it cannot look into it: " + x.repeatable(what), outcome: Refused}
}

// repeatable is what is said of an answer that is not understood. It names things of the answer, which may be what must not leave.
func (x *exchange) repeatable(what string) string {
	if v, err := x.route.sides["response"].engine.Inspect(what, guard.Unknown); err != nil || v.Action != guard.Allow && v.Category != guard.Shape {
		return "(not repeated: it has what may not leave)"
	}
	return clean(what, 200)
}

// give sends a whole answer to the client.
func (x *exchange) give(resp *http.Response, body []byte) error {
	if err := x.consult(x.r.Context(), approval.Reply, nil); err != nil {
		return err
	}
	h := x.w.Header()
	answerable(h, resp.Header)
	if x.r.Method != http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	x.rec.Status, x.begun, x.rec.Answer = resp.StatusCode, true, int64(len(body))
	x.finish()
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.route.Timeouts.Idle.D()))
	x.w.WriteHeader(resp.StatusCode)
	_, _ = x.w.Write(body) // a client that is gone gets nothing; what was asked for is written down
	return nil
}

// streamed tells by its type whether an answer comes in events.
func streamed(contentType string) bool {
	if contentType == "application/json" {
		return false
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch kind {
	case "text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream":
		return true
	}
	return false
}

// watchdog ends an exchange whose upstream says nothing for too long.
type watchdog struct {
	timer *time.Timer // nil: nobody has waited yet
	after time.Duration
	bark  func()
}

func (w *watchdog) start() {
	if w.timer == nil {
		w.timer = time.AfterFunc(w.after, w.bark)
		return
	}
	w.timer.Reset(w.after)
}

func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

type watched struct {
	io.ReadCloser
	lane *laneBody // nil: it is another's
	dog  *watchdog
}

func (w *watched) Read(p []byte) (int, error) {
	if w.lane != nil && w.lane.ready() {
		return w.ReadCloser.Read(p)
	}
	w.dog.start()
	n, err := w.ReadCloser.Read(p)
	w.dog.stop() // what we take for looking is not the upstream's silence
	return n, err
}
