package gateway

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
)

// raw sends bytes as they are and returns what comes back until the connection ends.
func (b *bench) raw(text string, half bool) string {
	b.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return err.Error()
	}
	if half {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		b.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.Errorf("a hang after %.60q: %q", text, out)
	}
	return string(out)
}

func small(_ *Config, r *Route) { r.Body, r.Answer = 64<<10, 64<<10 }

// hasty is small and waits for nobody: only for a peer that never comes, since one
// that does may be late on a busy machine.
func hasty(c *Config, r *Route) {
	small(c, r)
	soon := conf.Duration(300 * time.Millisecond)
	r.Timeouts = Timeouts{Body: soon, First: soon, Idle: soon}
}

func TestHostileRequests(t *testing.T) {
	b := open(t, echo, small)
	lines := func(b *bench) string {
		return "POST /toy/chat HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer " + b.key + "\r\n"
	}
	head := lines(b)
	ok := `{"say":"x"}`
	cases := []struct {
		name, text string
		half       bool
		want       string // status, "" for a connection that ends
	}{
		{"good", head + "Content-Length: 11\r\n\r\n" + ok, false, " 200 "},
		{"half closed in the body", head + "Content-Length: 30\r\n\r\n" + ok, true, " 400 "},
		{"half closed after it", head + "Content-Length: 11\r\n\r\n" + ok, true, ""}, // gone or answered, both are well
		{"chunk without end", head + "Transfer-Encoding: chunked\r\n\r\nb\r\n" + ok + "\r\n", true, " 400 "},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\nb\r\n" + ok + "\r\n0\r\n\r\n", false, " 200 "},
		{"two lengths", head + "Content-Length: 11\r\nContent-Length: 12\r\n\r\n" + ok, false, " 400 "},
		{"unknown coding", head + "Transfer-Encoding: xchunked\r\n\r\n" + ok, false, " 501 "},
		{"chunk size that is none", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + ok, false, " 400 "},
		{"space before colon", head + "Content-Length : 11\r\n\r\n" + ok, false, " 400 "},
		{"line folding", head + "X-A: b\r\n c\r\nContent-Length: 11\r\n\r\n" + ok, false, " "},
		{"two types", head + "Content-Type: text/plain\r\nContent-Length: 11\r\n\r\n" + ok, false, " 415 "},
		{"compressed", head + "Content-Encoding: gzip\r\nContent-Length: 11\r\n\r\n" + ok, false, " 415 "},
		{"upgrade", head + "Upgrade: websocket\r\nContent-Length: 11\r\n\r\n" + ok, false, " 400 "},
		{"announced 50 MB", head + "Content-Length: 52428800\r\n\r\n", false, " 413 "},
		{"dot segments", strings.Replace(head, "/toy/chat", "/toy/../toy/chat", 1) + "Content-Length: 11\r\n\r\n" + ok, false, " 404 "},
		{"escaped slash", strings.Replace(head, "/toy/chat", "/toy%2fchat", 1) + "Content-Length: 11\r\n\r\n" + ok, false, " 404 "},
		{"doubled slash", strings.Replace(head, "/toy/chat", "//toy/chat", 1) + "Content-Length: 11\r\n\r\n" + ok, false, " 404 "},
		{"not json", strings.Replace(head, "application/json", "text/plain", 1) + "Content-Length: 11\r\n\r\n" + ok, false, " 415 "},
		{"other characters", strings.Replace(head, "application/json", "application/json; charset=utf-16", 1) + "Content-Length: 11\r\n\r\n" + ok, false, " 415 "},
		{"garbage", "\x16\x03\x01\x02\x00\x01", true, ""},
	}
	for _, c := range cases {
		got := b.raw(c.text, c.half)
		if first, _, _ := strings.Cut(got, "\r\n"); !strings.Contains(first+" ", c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	late := open(t, echo, hasty)
	if got := late.raw(lines(late)+"Content-Length: 30\r\n\r\n"+ok, false); !strings.Contains(got, " 400 ") {
		t.Errorf("body that never comes: %q", got)
	}
	// Both lengths at once: read as the chunks say, and given on as one body with one length.
	if got := b.raw(head+"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n"+ok+"\r\n0\r\n\r\n", false); strings.Contains(got, " 200 ") {
		if last := b.bodies[len(b.bodies)-1]; last != ok {
			t.Errorf("the upstream got %q", last)
		}
		if r := b.asked[len(b.asked)-1]; r.ContentLength != int64(len(ok)) || len(r.TransferEncoding) > 0 {
			t.Errorf("length %d, coding %q", r.ContentLength, r.TransferEncoding)
		}
	}
	if status, _ := b.say(`{"say":"` + strings.Repeat("x", 65<<10) + `"}`); status != 413 {
		t.Errorf("too large: %d", status)
	}
}

func TestHostileUpstreams(t *testing.T) {
	answer := func(kind string, f func(w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			f(w, r)
		}
	}
	js, es := "application/json", "text/event-stream"
	cases := map[string]struct {
		up   http.HandlerFunc
		want int
		code string
	}{
		"says nothing": {answer(js, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), 504, "upstream_timeout"},
		"stops in the middle": {answer(js, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"said":`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}), 504, "upstream_timeout"},
		"breaks off": {answer(js, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"said":`)
			panic(http.ErrAbortHandler)
		}), 502, "upstream_unreachable"},
		"breaks off at once":   {answer(js, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), 502, "upstream_unreachable"},
		"is not of the format": {answer(js, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"other":"hello"}`) }), 502, "unknown_answer"},
		"is no json":           {answer(js, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `<html>`) }), 502, "unknown_answer"},
		"is not utf-8":         {answer(js, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{\"said\":\"\xff\"}") }), 502, "answer_not_utf8"},
		"is compressed": {answer(js, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, `{"said":"CANARY"}`)
			z.Close()
		}), 502, "compressed_answer"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusTemporaryRedirect)
		}, 502, "upstream_redirect"},
		"is endless": {answer(js, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"said":"`)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("a", 4096)); err != nil {
					return
				}
			}
		}), 502, "answer_too_large"},
		"is an endless stream": {answer(es, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "data: {\"said\":\"a\"}\n\n"); err != nil {
					return
				}
			}
		}), 502, "answer_too_large"},
		"is an endless event": {answer(es, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("a", 4096)); err != nil {
					return
				}
			}
		}), 502, "answer_too_large"},
		"streams nothing": {answer(es, func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); <-r.Context().Done() }), 504, "upstream_timeout"},
		"streams garbage": {answer(es, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n\n") }), 502, "unknown_answer"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			limits := small
			if c.code == "upstream_timeout" {
				limits = hasty
			}
			b := open(t, c.up, func(x *Config, r *Route) { limits(x, r); r.Stream = Buffer })
			if status, got := b.say(`{"say":"x"}`); status != c.want || !strings.Contains(got, c.code) || strings.Contains(got, "CANARY") {
				t.Errorf("%d %s, want %d %s", status, got, c.want, c.code)
			}
			if l := b.audit(); len(l) != 1 || l[0].Code != c.code || l[0].Status != c.want {
				t.Errorf("%+v", l)
			}
		})
	}
}

func TestUpstreamThatIsNotThere(t *testing.T) {
	b := open(t, echo, func(c *Config, r *Route) { small(c, r); r.Upstream = "http://127.0.0.1:1" })
	if status, got := b.say(`{"say":"x"}`); status != 502 || !strings.Contains(got, "upstream_unreachable") {
		t.Errorf("%d %s", status, got)
	}
}

// A client that goes away is noticed, its upstream is told, and a line is written.
func TestClientGoesAway(t *testing.T) {
	told := make(chan struct{})
	b := open(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(told) }, nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "POST /toy/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+b.key+"\r\nContent-Length: 11\r\n\r\n"+`{"say":"x"}`)
	for deadline := time.Now().Add(10 * time.Second); b.upstream() == 0 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	c.Close()
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Fatal("the upstream was not told")
	}
}

// What cannot be written down is not served.
func TestNoAuditNoService(t *testing.T) {
	b := open(t, echo, nil)
	broken := errors.New("disk full")
	write := b.gateway.opt.Audit
	fail := true
	b.gateway.opt.Audit = func(r *Record) error {
		if fail {
			return broken
		}
		return write(r)
	}
	b.say(`{"say":"x"}`)
	n := b.upstream()
	if status, got := b.say(`{"say":"x"}`); status != 503 || b.upstream() != n {
		t.Errorf("%d %s", status, got)
	}
	fail = false
	b.say(`{"say":"x"}`)
	if status, got := b.say(`{"say":"x"}`); status != 200 {
		t.Errorf("after it could be written again: %d %s", status, got)
	}
}

func TestAuditLogSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "audit.jsonl")
	l, err := OpenLog(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(&Record{Route: "one"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, `{"route":"cut o`)
	f.Close()
	if l, err = OpenLog(path, 300); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.Write(&Record{Route: "two"}); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	lines := 0
	for _, p := range []string{path, path + ".1"} {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); lines++ {
			if !strings.HasPrefix(s.Text(), "{") {
				t.Errorf("%q", s.Text())
			}
		}
		f.Close()
	}
	if lines < 2 {
		t.Errorf("%d lines", lines)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// An ARN as the name of a model has an escaped slash, and Bedrock alone gets it, as it was.
func TestEscapedSlash(t *testing.T) {
	for raw, want := range map[string]bool{
		"/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-3-v1%3A0/converse": true,
		"/model/arn:aws:bedrock:eu-west-1:1:application-inference-profile%2fabc123/invoke-with-response-stream":                     true,
		"/bedrock/model/anthropic.claude%2F..%2Fx/converse":                                                                         false,
		"/bedrock/model/arn%3Aaws%3Abedrock%3A%2F..%2F..%2Fadmin/converse":                                                          false,
		"/bedrock/model/arn%3Aaws%2F%2Fx/converse":                                                                                  false,
		"/bedrock/model/arn%3Aaws%3Ax%2Fy/other":                                                                                    false,
		"/bedrock/model/arn%3Aaws%3Ax%252Fy/converse":                                                                               false,
		"/toy%2fchat": false,
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+raw, nil)
		if got := plainPath(r); got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
	x := &exchange{r: httptest.NewRequest(http.MethodPost, "http://127.0.0.1/b/model/arn%3Aaws%3Abedrock%3Ar%3A1%3Ap%2Fq/converse?x=1", nil),
		route: &route{Route: Route{Service: Service{Prefix: "/b"}}, upstream: &url.URL{Scheme: "https", Host: "h", Path: "/base/"}}, path: "/model/arn:aws:bedrock:r:1:p/q/converse"}
	if got := x.request(t.Context(), nil).URL.String(); got != "https://h/base/model/arn%3Aaws%3Abedrock%3Ar%3A1%3Ap%2Fq/converse?x=1" {
		t.Error(got)
	}
}
