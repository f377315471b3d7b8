package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	post = "POST /v1/x HTTP/1.1\r\nHost: gate.example:8080\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
	wait = 20 * time.Second // for what comes at once, on a machine that is busy
)

// pipes is a listener of connections in memory. What is written to one is read by the
// other side and nobody else, and only then the write returns.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

type side struct{ net.Conn }

func (side) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9} }

// door is a server on such a listener.
type door struct {
	*testing.T
	s      *Server
	l      *pipes
	handed chan struct{} // one for each connection that net/http has
	ended  chan error
}

func open(t *testing.T, h http.HandlerFunc) *door {
	t.Helper()
	d := &door{T: t, l: newPipes(), handed: make(chan struct{}, 100), ended: make(chan error, 1)}
	d.s = New(&http.Server{Handler: h, ReadHeaderTimeout: wait, IdleTimeout: wait, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			d.handed <- struct{}{}
		}
	}})
	go func() { d.ended <- d.s.Serve(d.l) }()
	t.Cleanup(func() {
		if err := d.s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-d.ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return d
}

// dial is a client's connection; what comes on it is read.
func (d *door) dial() (net.Conn, *bufio.Reader) {
	ours, theirs := net.Pipe()
	d.l.conns <- side{theirs}
	_ = ours.SetDeadline(time.Now().Add(wait))
	d.Cleanup(func() { ours.Close() })
	return ours, bufio.NewReader(ours)
}

func (d *door) send(c net.Conn, text string) {
	d.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		d.Fatal(err)
	}
}

func (d *door) answer(r *bufio.Reader) (*http.Response, string) {
	d.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		d.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp, string(body) + " !" + err.Error()
	}
	return resp, string(body)
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

func TestPlain(t *testing.T) {
	cases := map[string]bool{
		post:                                     true,
		strings.TrimSuffix(post, "o"):            true, // the body may come later
		strings.Replace(post, "Host", "hOST", 1): true,
		strings.Replace(post, "5\r\n\r\n", "5\r\nConnection: Keep-Alive\r\n\r\n", 1):                true,
		strings.Replace(post, "5\r\n\r\n", "\t 5 \r\n\r\n", 1):                                      true,
		strings.Replace(post, "POST", "post", 1):                                                    false,
		strings.Replace(post, "POST", "PUT", 1):                                                     false,
		strings.Replace(post, " /v1/x", "  /v1/x", 1):                                               false,
		strings.Replace(post, " /v1/x", " http://a/v1/x", 1):                                        false,
		strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1):                                            false,
		strings.Replace(post, "/v1/x", "/v1/\x80", 1):                                               false,
		strings.Replace(post, "/v1/x", "/v1 x", 1):                                                  false,
		strings.Replace(post, "\r\nHost", "\nHost", 1):                                              false,
		strings.Replace(post, "\r\nHost", "\r\n Host", 1):                                           false,
		strings.Replace(post, "Host:", "Host :", 1):                                                 false,
		strings.Replace(post, "Host: gate.example:8080\r\n", "", 1):                                 false,
		strings.Replace(post, "Host: ", "Host: a\r\nHost: ", 1):                                     false,
		strings.Replace(post, "gate.example:8080", "", 1):                                           false,
		strings.Replace(post, "gate.example:8080", "a/b", 1):                                        false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nContent-Length: 5\r\n\r\n", 1):                     false,
		strings.Replace(post, "Content-Length: 5\r\n", "", 1):                                       false,
		strings.Replace(post, "5\r\n\r\n", "0\r\n\r\n", 1):                                          false,
		strings.Replace(post, "5\r\n\r\n", "+5\r\n\r\n", 1):                                         false,
		strings.Replace(post, "5\r\n\r\n", "5, 5\r\n\r\n", 1):                                       false,
		strings.Replace(post, "5\r\n\r\n", "99999999999\r\n\r\n", 1):                                false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nTransfer-Encoding: chunked\r\n\r\n", 1):            false,
		strings.Replace(post, "5\r\n\r\n", "5\r\ntransfer-encoding:\r\n\r\n", 1):                    false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nTransfer_Encoding: x\r\n\r\n", 1):                  true, // another name to net/http and to everybody
		strings.Replace(post, "5\r\n\r\n", "5\r\nExpect: 100-continue\r\n\r\n", 1):                  false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nUpgrade: h2c\r\n\r\n", 1):                          false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nConnection: close\r\n\r\n", 1):                     false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nConnection: keep-alive, authorization\r\n\r\n", 1): false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nX: a\rb\r\n\r\n", 1):                               false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n", 1):      false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nX: a\x00\r\n\r\n", 1):                              false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nX: \x85\r\n\r\n", 1):                               false,
		strings.Replace(post, "5\r\n\r\n", "5\r\n: x\r\n\r\n", 1):                                   false,
		strings.Replace(post, "5\r\n\r\n", "5\r\nno colon\r\n\r\n", 1):                              false,
		strings.Replace(post, "\r\n\r\n", "\r\n", 1):                                                false,
		"\r\n" + post: false,
		"\r\n\r\n":    false,
		"":            false,
	}
	for text, want := range cases {
		if n, got := plain([]byte(text)); got != want || got && n != 5 {
			t.Errorf("%q: %v %d", text, got, n)
		}
	}
}

// Requests come one after the other, in pieces, together, and with bodies that are larger
// than the buffer; those of another kind go to net/http, and so does what follows them.
func TestServes(t *testing.T) {
	d := open(t, echo)
	c, r := d.dial()
	big := strings.Repeat("0123456789abcdef", 4<<10)
	texts := []string{post, strings.Replace(post, "5\r\n\r\nhello", fmt.Sprintf("%d\r\n\r\n%s", len(big), big), 1), post}
	for i, text := range texts {
		sent := make(chan struct{})
		go func() { _, _ = io.WriteString(c, text); close(sent) }()
		resp, body := d.answer(r)
		<-sent
		if want := []string{"hello", big, "hello"}[i]; resp.StatusCode != 200 || body != want || resp.Header.Get("Date") == "" || resp.Close {
			t.Fatalf("%d: %v, %d bytes", i, resp, len(body))
		}
	}
	go func() { _, _ = io.WriteString(c, post+post) }()
	for range 2 {
		if _, body := d.answer(r); body != "hello" {
			t.Fatal(body)
		}
	}
	if len(d.handed) != 0 {
		t.Fatal("net/http has served something")
	}
	chunked := strings.Replace(post, "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n", 1)
	go func() { _, _ = io.WriteString(c, chunked+post) }()
	for _, want := range []string{"odd", "hello"} {
		if _, body := d.answer(r); body != want {
			t.Fatal(body)
		}
	}
	<-d.handed
	half, other := d.dial()
	go func() { _, _ = io.WriteString(half, post[:20]); _, _ = io.WriteString(half, post[20:]) }()
	if _, body := d.answer(other); body != "hello" {
		t.Fatal(body)
	}
	<-d.handed
}

// Answers have the forms that HTTP gives them.
func TestAnswers(t *testing.T) {
	type form struct {
		name   string
		answer http.HandlerFunc
		status int
		body   string
		last   bool // the connection ends
	}
	read := func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	forms := []form{
		{"nothing said", func(_ http.ResponseWriter, r *http.Request) { read(r) }, 200, "", false},
		{"chunks", func(w http.ResponseWriter, r *http.Request) {
			read(r)
			for range 3 {
				_, _ = io.WriteString(w, "piece ")
				_, _ = w.Write(nil)
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
			}
		}, 200, "piece piece piece ", false},
		{"large", func(w http.ResponseWriter, r *http.Request) {
			read(r)
			w.Header().Set("Content-Length", fmt.Sprint(200<<10))
			_, _ = w.Write(make([]byte, 100<<10))
			_, _ = w.Write(make([]byte, 100<<10))
		}, 200, string(make([]byte, 200<<10)), false},
		{"large chunks", func(w http.ResponseWriter, r *http.Request) {
			read(r)
			_, _ = w.Write(make([]byte, 100<<10))
			_, _ = w.Write(make([]byte, 100<<10))
		}, 200, string(make([]byte, 200<<10)), false},
		{"no content", func(w http.ResponseWriter, r *http.Request) {
			read(r)
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "x"); err == nil {
				t.Error("204 has a body")
			}
		}, 204, "", false},
		{"more than announced", func(w http.ResponseWriter, r *http.Request) {
			read(r)
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "abc")
			if _, err := io.WriteString(w, "d"); !errors.Is(err, http.ErrContentLength) {
				t.Error(err)
			}
		}, 200, "abc", false},
		{"less than announced", func(w http.ResponseWriter, r *http.Request) {
			read(r)
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "ab")
		}, 200, "ab !unexpected EOF", true},
		{"headers of nobody", func(w http.ResponseWriter, r *http.Request) {
			read(r)
			w.Header()["X-A"] = []string{"b\r\nContent-Length: 9\r\n\r\nother"}
			w.Header()["Transfer-Encoding"] = []string{"gzip"}
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "ok")
		}, 200, "ok", false},
		{"the body not read", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, 401, "", false},
	}
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			d := open(t, f.answer)
			c, r := d.dial()
			for range 2 {
				if f.last {
					go func() { _, _ = io.WriteString(c, post) }()
				} else {
					d.send(c, post)
				}
				resp, body := d.answer(r)
				if resp.StatusCode != f.status || body != f.body {
					t.Fatalf("%d, %d bytes", resp.StatusCode, len(body))
				}
				if f.last {
					if _, err := r.ReadByte(); err == nil {
						t.Fatal("the connection goes on")
					}
					return
				}
			}
			if len(d.handed) != 0 {
				t.Fatal("net/http has served it")
			}
		})
	}
}

// A refusal comes before the body has: its rest is not taken for a request.
func TestBodyThatNobodyReads(t *testing.T) {
	d := open(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(413) })
	c, r := d.dial()
	d.send(c, strings.Replace(post, "5\r\n\r\nhello", fmt.Sprintf("%d\r\n\r\n", len(post)), 1))
	resp, _ := d.answer(r)
	if resp.StatusCode != 413 || !resp.Close {
		t.Fatal(resp)
	}
	d.send(c, post) // it is the body
	if n, err := r.ReadByte(); err == nil {
		t.Fatalf("something was answered: %q", n)
	}
}

// A handler that panics ends its connection and nothing else.
func TestPanics(t *testing.T) {
	d := open(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 2 {
		c, r := d.dial()
		d.send(c, post)
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
}

// A client that leaves is noticed, whether its body was whole at once or not.
func TestClientLeaves(t *testing.T) {
	for _, at := range []int{len(post), len(post) - 2} {
		told := make(chan struct{})
		d := open(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			close(told)
		})
		c, _ := d.dial()
		d.send(c, post[:at])
		if at < len(post) {
			d.send(c, post[at:])
		}
		c.Close()
		select {
		case <-told:
		case <-time.After(wait):
			t.Fatal("the handler was not told")
		}
	}
}

// What a client sends while its answer is made belongs to its next request, to the byte.
func TestReadAhead(t *testing.T) {
	release := make(chan struct{})
	d := open(t, func(w http.ResponseWriter, r *http.Request) { <-release; echo(w, r) })
	c, r := d.dial()
	d.send(c, post)
	d.send(c, post[:1]) // returns when the watch has read it: nobody else reads
	release <- struct{}{}
	if _, body := d.answer(r); body != "hello" {
		t.Fatal(body)
	}
	go func() { _, _ = io.WriteString(c, post[1:]); release <- struct{}{} }()
	if _, body := d.answer(r); body != "hello" {
		t.Fatal(body)
	}
	if len(d.handed) != 0 {
		t.Fatal("net/http has served it")
	}
}

// Many exchanges end just when their watch begins.
func TestWatchRaces(t *testing.T) {
	d := open(t, func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(patience)
		<-timer.C
		if r.Context().Err() != nil {
			w.WriteHeader(500)
			return
		}
		echo(w, r)
	})
	var all sync.WaitGroup
	for range 8 {
		c, r := d.dial()
		all.Go(func() {
			for range 10 {
				_, _ = io.WriteString(c, post)
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("%v %v", resp, err)
					return
				}
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
					t.Errorf("%q %v", body, err)
				}
			}
		})
	}
	all.Wait()
}

// Shutdown closes who is idle and lets the others end.
func TestShutdown(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{})
	d := open(t, func(w http.ResponseWriter, r *http.Request) { close(begun); <-release; echo(w, r) })
	_, quiet := d.dial()
	c, r := d.dial()
	d.send(c, post)
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- d.s.Shutdown(t.Context()) }()
	if _, err := quiet.ReadByte(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	close(release)
	if resp, body := d.answer(r); body != "hello" || !resp.Close {
		t.Fatal(resp, body)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// Shutdown waits no longer than it may; Close ends what is left.
func TestShutdownEnds(t *testing.T) {
	begun := make(chan struct{})
	d := open(t, func(_ http.ResponseWriter, r *http.Request) { close(begun); <-r.Context().Done() })
	c, _ := d.dial()
	d.send(c, post)
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TLS is spoken, what is not plain goes to net/http there too, and who speaks HTTP is told.
func TestTLS(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	config := pair.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	client := pair.Client()
	pair.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, left := make(chan struct{}), make(chan struct{})
	handed := make(chan struct{}, 10)
	s := New(&http.Server{ReadHeaderTimeout: wait, IdleTimeout: wait,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || !r.TLS.HandshakeComplete {
				t.Error("the handler is not told")
			}
			if r.URL.Path == "/wait" {
				_, _ = io.Copy(io.Discard, r.Body)
				close(begun)
				<-r.Context().Done()
				close(left)
				return
			}
			if r.URL.Path == "/slow" {
				timer := time.NewTimer(2 * patience) // the watch reads meanwhile, and is ended
				<-timer.C
			}
			echo(w, r)
		}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				handed <- struct{}{}
			}
		}})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(tls.NewListener(l, config)) }()
	ask := func(method, path string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+l.Addr().String()+path, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "hello" {
			t.Fatal(err, string(body))
		}
	}
	for range 3 {
		ask(http.MethodPost, "/x")
		ask(http.MethodPost, "/slow")
	}
	if len(handed) != 0 {
		t.Fatal("net/http has served it")
	}
	ask(http.MethodPut, "/x")
	ask(http.MethodPost, "/x")
	<-handed
	client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+l.Addr().String()+"/wait", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-begun; cancel() }()
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("an answer came")
	}
	<-left
	in, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(in, post)
	if text, err := io.ReadAll(in); err != nil || !strings.Contains(string(text), "HTTP request to an HTTPS server") {
		t.Fatalf("%q %v", text, err)
	}
	in.Close()
	client.CloseIdleConnections()
	if err := errors.Join(s.Close(), expected(<-ended)); err != nil {
		t.Fatal(err)
	}
}

func expected(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return errors.Join(errors.New("it ended otherwise"), err)
}

// script is a connection whose client has said everything in pieces and listens.
type script struct {
	mu     sync.Mutex
	in     *bytes.Reader
	step   int
	out    bytes.Buffer
	closed chan struct{}
	once   sync.Once
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.Read(p[:min(len(p), s.step)])
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *script) Close() error                   { s.once.Do(func() { close(s.closed) }); return nil }
func (*script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*script) RemoteAddr() net.Addr             { return side{}.RemoteAddr() }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// said is what a server makes of a script: what its handler is asked, and what is answered.
// The handler calls first when it has read a body.
func said(in []byte, step int, first func(*http.Request), serve func(*http.Server, net.Listener) error, stop func(*http.Server)) string {
	var b strings.Builder
	h := &http.Server{ReadHeaderTimeout: wait, IdleTimeout: wait, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		first(r)
		header := r.Header.Clone()
		fmt.Fprintf(&b, "asked %s %s %s %q %v %d %v %q %v %s\n", r.Method, r.RequestURI, r.Proto, r.Host, header, r.ContentLength, r.TransferEncoding, body, err != nil, r.RemoteAddr)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if err != nil {
			w.WriteHeader(400)
		}
		_, _ = w.Write(body)
	})}
	c := &script{in: bytes.NewReader(in), step: step, closed: make(chan struct{})}
	l := newPipes()
	ended := make(chan struct{})
	go func() { _ = serve(h, l); close(ended) }()
	l.conns <- c
	<-c.closed
	stop(h)
	l.Close()
	<-ended
	out := bufio.NewReader(&c.out)
	for {
		resp, err := http.ReadResponse(out, nil)
		if err != nil {
			return b.String()
		}
		body, err := io.ReadAll(resp.Body)
		fmt.Fprintf(&b, "answered %d %d %v %q %v\n", resp.StatusCode, resp.ContentLength, resp.TransferEncoding, body, err)
	}
}

// Whatever a client sends, the handler is asked what net/http would have asked it, and
// the client is answered the same.
func FuzzAsNetHTTP(f *testing.F) {
	f.Add([]byte(post+post), 1<<20)
	f.Add([]byte(post+strings.Replace(post, "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1)+post), 1<<20)
	f.Add([]byte(strings.Replace(post, "Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked", 1)+post), 1<<20)
	f.Add([]byte(strings.Replace(post, "/v1/x", "/v1/%zz", 1)), 1<<20)
	f.Add([]byte(strings.Replace(post, "/v1/x", "//v1/../x?a=b;c#d", 1)), 1<<20)
	f.Add([]byte(post+"GET / HTTP/1.0\r\n\r\n"+post), 100)
	f.Add([]byte(post[:len(post)-1]), 1<<20)
	f.Add([]byte(post+"\r\n\r\n"+post), 7)
	f.Add([]byte(post+"\r\n\r\n"+post+"\r\n\r\n\r\n"+post), 1000)
	f.Add([]byte(post+"\r\n"), 1000)
	f.Add([]byte(strings.Replace(post, "Host: gate", "Host: [::1", 1)), 1<<20)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		if step = step % (1 << 20); step <= 0 || len(in) > 1<<16 {
			return
		}
		same(t, in, step, func(*http.Request) {})
	})
}

// same fails when the server and net/http do not make the same of a script. first is
// called by the handler.
func same(t *testing.T, in []byte, step int, first func(*http.Request)) {
	t.Helper()
	want := said(in, step, first, (*http.Server).Serve, func(h *http.Server) { _ = h.Close() })
	var s *Server
	made := make(chan struct{})
	got := said(in, step, first, func(h *http.Server, l net.Listener) error { s = New(h); close(made); return s.Serve(l) }, func(*http.Server) { <-made; _ = s.Close() })
	if got != want {
		t.Errorf("%q in pieces of %d:\n%swant\n%s", in, step, got, want)
	}
}

// A client that has left while it was answered has asked for more before.
func TestLeftWithMore(t *testing.T) {
	leaves := func(r *http.Request) { <-r.Context().Done() }
	for _, more := range []string{"", "\r\n\x14\n", post, "GET /y HTTP/1.1\r\nHost: gate\r\n\r\n"} {
		same(t, []byte(post+more), 1<<20, leaves)
	}
}
