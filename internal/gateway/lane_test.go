package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bartizan/internal/conf"
)

// laneTo makes a lane to an address of http:// or https://.
func laneTo(t *testing.T, to string, change func(*http.Transport)) *lane {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DialContext: (&net.Dialer{}).DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ResponseHeaderTimeout: time.Minute,
		MaxResponseHeaderBytes: maxHeadDown, DisableCompression: true}
	if change != nil {
		change(tr)
	}
	l := newLane(&Service{Timeouts: Timeouts{Connect: conf.Duration(time.Minute)}}, u, tr, "")
	if l == nil {
		t.Fatal("there is no lane")
	}
	t.Cleanup(l.CloseIdleConnections)
	return l
}

func post(ctx context.Context, to, body string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	return req
}

// say makes an exchange and returns the answer's body.
func say(t *testing.T, l *lane, to, body string) string {
	t.Helper()
	resp, err := l.RoundTrip(post(t.Context(), to, body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// counted is a server that counts its connections.
func countedServer(t *testing.T, secure bool, h http.HandlerFunc) (s *httptest.Server, conns *atomic.Int64) {
	t.Helper()
	conns = &atomic.Int64{}
	s = httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, conns
}

func parrot(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	_, _ = w.Write(text)
}

// One connection carries exchanges one after the other, also over TLS, whose server is
// known by its certificate; what is large goes the other way.
func TestLaneConnections(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s, conns := countedServer(t, secure, parrot)
		l := laneTo(t, s.URL, func(tr *http.Transport) {
			if secure {
				tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			}
		})
		for range 5 {
			if got := say(t, l, s.URL, "hello"); got != "hello" {
				t.Fatalf("%q", got)
			}
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("TLS %v: %d connections for 5 exchanges", secure, n)
		}
		large := strings.Repeat("x", maxLaneBody+1)
		if got := say(t, l, s.URL, large); got != large {
			t.Error("a large request came back changed")
		}
		if n := conns.Load(); n != 2 {
			t.Errorf("TLS %v: a large request took no connection of the Transport", secure)
		}
	}
	s, _ := countedServer(t, true, parrot)
	if _, err := laneTo(t, s.URL, nil).RoundTrip(post(t.Context(), s.URL, "hello")); err == nil {
		t.Error("a certificate that nobody knows was taken")
	}
}

// raw serves connections by hand: serve is called with each, by its number.
func rawServer(t *testing.T, serve func(n int, c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(n, c, bufio.NewReader(c))
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// answered reads one request and answers it.
func answered(t *testing.T, c net.Conn, r *bufio.Reader, with string) {
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	_, _ = io.WriteString(c, with)
}

// What comes on a connection without a question is nobody's answer, and a connection
// that was closed meanwhile is not used.
func TestLaneLeavesWhatIsNotQuiet(t *testing.T) {
	const first, second = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
	for name, end := range map[string]func(net.Conn){
		"a second answer": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") },
		"the end":         func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
	} {
		ended, used := make(chan struct{}), make(chan struct{})
		to := rawServer(t, func(n int, c net.Conn, r *bufio.Reader) {
			if n > 0 {
				answered(t, c, r, second)
				return
			}
			answered(t, c, r, first)
			<-used
			end(c)
			close(ended)
			_, _ = r.ReadByte() // until the lane closes it
		})
		l := laneTo(t, to, nil)
		if got := say(t, l, to, "1"); got != "first" {
			t.Fatalf("%s: %q", name, got)
		}
		close(used)
		<-ended
		l.mu.Lock()
		c := l.idle[0]
		l.mu.Unlock()
		for c.quiet() { // until it has crossed the loopback
			runtime.Gosched()
		}
		if got := say(t, l, to, "2"); got != "second" {
			t.Errorf("%s: the second exchange was told %q", name, got)
		}
	}
}

// heap hands on what is written to it when it is told to: several records of TLS in one write.
type heap struct {
	net.Conn
	mu   sync.Mutex
	open bool
	b    []byte
}

func (h *heap) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open {
		return h.Conn.Write(p)
	}
	h.b = append(h.b, p...)
	return len(p), nil
}

// together writes everything that f writes at once.
func (h *heap) together(f func()) {
	h.mu.Lock()
	h.open = true
	h.mu.Unlock()
	f()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = false
	_, _ = h.Conn.Write(h.b)
	h.b = nil
}

// TLS may take two records from the socket at once: an answer that nobody asked for, in the
// second one, is nobody's answer either.
func TestLaneLeavesWhatTLSHolds(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer s.Close()
	config := s.TLS.Clone()
	config.NextProtos = nil
	to := rawServer(t, func(n int, c net.Conn, _ *bufio.Reader) {
		h := &heap{Conn: c}
		secure := tls.Server(h, config)
		r := bufio.NewReader(secure)
		answered(t, secure, r, "") // reads the request
		h.together(func() {
			_, _ = fmt.Fprintf(secure, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nconn %d", n)
			if n == 0 {
				_, _ = io.WriteString(secure, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			}
		})
		_, _ = r.ReadByte() // until the lane closes it
	})
	to = strings.Replace(to, "http://", "https://", 1)
	l := laneTo(t, to, func(tr *http.Transport) {
		tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	})
	for n := range 2 {
		if got, want := say(t, l, to, "hello"), fmt.Sprintf("conn %d", n); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

// The bounds of a head hold over all heads before an answer.
func TestLaneLongHeads(t *testing.T) {
	for name, head := range map[string]string{
		"one head":   "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Long: "+strings.Repeat("a", 1000)+"\r\n", 70),
		"many heads": strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("a", 1000)+"\r\n\r\n", 70),
	} {
		to := rawServer(t, func(_ int, c net.Conn, r *bufio.Reader) { answered(t, c, r, head); _, _ = r.ReadByte() })
		if _, err := laneTo(t, to, nil).RoundTrip(post(t.Context(), to, "")); !errors.Is(err, errLongHead) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An exchange ends when its context does, before the head and in the body, and when no
// head comes in time.
func TestLaneEnds(t *testing.T) {
	asked := make(chan struct{})
	to := rawServer(t, func(n int, c net.Conn, r *bufio.Reader) {
		head := ""
		if n == 1 {
			head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun"
		}
		answered(t, c, r, head)
		if n == 0 {
			close(asked)
		}
		_, _ = r.ReadByte()
	})
	l := laneTo(t, to, nil)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-asked; cancel(gone) }()
	if _, err := l.RoundTrip(post(ctx, to, "")); !errors.Is(err, gone) {
		t.Errorf("before the head: %v", err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	resp, err := l.RoundTrip(post(ctx, to, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel(gone)
	for range 2 {
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, gone) {
			t.Errorf("in the body: %v", err)
		}
	}
	l = laneTo(t, to, func(tr *http.Transport) { tr.ResponseHeaderTimeout = 10 * time.Millisecond })
	var timeout net.Error
	if _, err := l.RoundTrip(post(t.Context(), to, "")); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("without a head: %v", err)
	}
}

// A body that is not read to its end ends the connection.
func TestLaneCloses(t *testing.T) {
	s, conns := countedServer(t, false, parrot)
	l := laneTo(t, s.URL, nil)
	for range 2 {
		resp, err := l.RoundTrip(post(t.Context(), s.URL, "some words"))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("a closed body was read")
		}
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// Connections that nobody uses are closed.
func TestLaneSweeps(t *testing.T) {
	s, conns := countedServer(t, false, parrot)
	l := laneTo(t, s.URL, nil)
	say(t, l, s.URL, "1")
	l.sweep()
	say(t, l, s.URL, "2")
	if n := conns.Load(); n != 1 {
		t.Errorf("a connection that was just used was swept: %d", n)
	}
	l.mu.Lock()
	l.idle[0].since = time.Now().Add(-2 * idleUpTime)
	l.mu.Unlock()
	l.sweep()
	say(t, l, s.URL, "3")
	if n := conns.Load(); n != 2 {
		t.Errorf("a connection that was long idle was kept: %d", n)
	}
}

// A proxy, a credential that is no header's value and a name that is no ASCII are for the Transport.
func TestLaneIsNotForAll(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "api.example"}
	proxied := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"})}
	if newLane(&Service{}, u, proxied, "") != nil || newLane(&Service{}, u, &http.Transport{}, "a\nb") != nil || newLane(&Service{}, &url.URL{Scheme: "https", Host: "é.example"}, &http.Transport{}, "") != nil {
		t.Error("there is a lane")
	}
	if newLane(&Service{}, u, &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, "Bearer x") == nil {
		t.Error("there is no lane")
	}
}

// played is a connection whose other end has said everything before it was asked.
type played struct {
	net.Conn // nil: what is not here is not called
	r        io.Reader
	asked    chan struct{} // closed by the first Write: the Transport takes nothing before
	once     *sync.Once
}

func play(said []byte) net.Conn {
	return played{r: bytes.NewReader(said), asked: make(chan struct{}), once: &sync.Once{}}
}

func (p played) Read(b []byte) (int, error) {
	<-p.asked
	return p.r.Read(b)
}

func (p played) Write(b []byte) (int, error) {
	p.once.Do(func() { close(p.asked) })
	return len(b), nil
}
func (played) Close() error                     { return nil }
func (played) SetDeadline(time.Time) error      { return nil }
func (played) SetReadDeadline(time.Time) error  { return nil }
func (played) SetWriteDeadline(time.Time) error { return nil }

// FuzzLane: whatever an upstream sends, a lane takes it for the same answer as
// http.Transport, or takes it for none as well.
func FuzzLane(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end", "HTTP/1.0 200 OK\r\n\r\nold", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "ICY 200 OK\r\n\r\n", "", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: y\r\n\r\n",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, said []byte, head bool) {
		method, to := http.MethodPost, "http://upstream.example/v1"
		if head {
			method = http.MethodHead
		}
		tr := &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxHeadDown, DialContext: func(context.Context, string, string) (net.Conn, error) {
			return play(said), nil
		}}
		defer tr.CloseIdleConnections()
		l := laneTo(t, to, func(x *http.Transport) { x.DialContext = tr.DialContext })
		got, want := answerOf(l, method, to), answerOf(tr, method, to)
		if got.failed != want.failed || got.status != want.status || got.body != want.body || got.broken != want.broken || !maps.EqualFunc(got.header, want.header, slices.Equal) {
			t.Errorf("%q: %+v, the Transport has %+v", said, got, want)
		}
	})
}

type answerSeen struct {
	failed, broken bool
	status         int
	header         http.Header
	body           string
}

func answerOf(rt http.RoundTripper, method, to string) (a answerSeen) {
	req, err := http.NewRequest(method, to, strings.NewReader("{}"))
	if err != nil {
		panic(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		a.failed = true
		return a
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a // the gateway refuses it and reads nothing
	}
	text, err := io.ReadAll(resp.Body)
	a.body, a.broken = string(text), err != nil
	return a
}
