package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
)

// reader reads requests and keeps them.
type reader struct {
	max int
	mu  sync.Mutex
	got []*httpd.Request
	bad []*httpd.Malformed
}

func (v *reader) Serve(_ context.Context, s *decoy.Session) error {
	return httpd.Serve(s, v.max, func(r *httpd.Request) (bool, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.got = append(v.got, r)
		return true, httpd.Style{Server: "t"}.Write(s, r, httpd.Response{Status: 200, Body: []byte(r.Target)})
	}, func(m *httpd.Malformed) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.bad = append(v.bad, m)
	})
}

func read(t testing.TB, data string) ([]*httpd.Request, []*httpd.Malformed) {
	v := &reader{max: 1 << 10}
	r := decoytest.Start(t, v, decoytest.Persona(), decoytest.Limits())
	r.Visit([]byte(data))
	r.Stop()
	return v.got, v.bad
}

func TestRead(t *testing.T) {
	long := strings.Repeat("h", 6000)
	for _, c := range []struct {
		name, data string
		check      func(r *httpd.Request) bool
	}{
		{"plain", "GET /a%20b?q=1 HTTP/1.1\r\nHost: h\r\nX-y:  z \r\n\r\n", func(r *httpd.Request) bool {
			return r.Method == "GET" && r.Target == "/a%20b?q=1" && r.Path == "/a b" && r.Query == "q=1" && r.Host == "h" && r.Header("x-Y") == "z" && r.KeepAlive
		}},
		{"order and spelling are kept", "GET / HTTP/1.1\r\nhOsT: h\r\nb: 1\r\nA: 2\r\nB: 3\r\n\r\n", func(r *httpd.Request) bool {
			return len(r.Headers) == 4 && r.Headers[0].Name == "hOsT" && r.Headers[1] == (observe.Field{Name: "b", Value: "1"}) && r.Headers[3].Value == "3"
		}},
		{"raw", "GET / HTTP/1.0\nx\n\n", func(r *httpd.Request) bool {
			return string(r.Raw()) == "GET / HTTP/1.0\nx\n\n" && !r.KeepAlive && r.Headers[0].Name == "x"
		}},
		{"larger than the buffer", "GET /" + long + " HTTP/1.1\r\nHost: h\r\nX: " + long + "\r\n\r\n", func(r *httpd.Request) bool {
			return r.Target == "/"+long && r.Header("X") == long
		}},
		{"blanks in the target", "GET /a b c HTTP/1.0\r\n\r\n", func(r *httpd.Request) bool { return r.Target == "/a b c" }},
		{"0.9", "GET /x\r\n", func(r *httpd.Request) bool { return r.Proto == "" && r.Target == "/x" }},
		{"absolute", "GET http://h:81?x HTTP/1.0\r\n\r\n", func(r *httpd.Request) bool {
			return r.Authority == "h:81" && r.Path == "/" && r.Query == "x"
		}},
		{"empty lines first", "\r\n\r\nGET / HTTP/1.0\r\n\r\n", func(r *httpd.Request) bool { return r.Path == "/" }},
		{"body", "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabcdef", func(r *httpd.Request) bool { return string(r.Body) == "abc" && r.BodyLen == 3 && !r.Cut }},
		{"body over the cap", "POST / HTTP/1.0\r\nContent-Length: 3000\r\n\r\n" + strings.Repeat("x", 3000), func(r *httpd.Request) bool {
			return len(r.Body) == 1<<10 && r.BodyLen == 3000 && r.Cut && !r.TooLarge
		}},
		{"body over all", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n" + strings.Repeat("x", 9000), func(r *httpd.Request) bool {
			return r.BodyLen == 8<<10 && r.TooLarge && !r.KeepAlive
		}},
		{"body cut", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc", func(r *httpd.Request) bool { return string(r.Body) == "abc" && r.Cut && !r.KeepAlive }},
		{"chunks", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: 1\r\n\r\n", func(r *httpd.Request) bool {
			return string(r.Body) == "abc" && r.BodyLen == 3 && !r.Cut && r.KeepAlive
		}},
		{"chunks cut", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", func(r *httpd.Request) bool { return string(r.Body) == "ab" && r.Cut }},
		{"kept alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", func(r *httpd.Request) bool { return r.KeepAlive }},
		{"closed", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n", func(r *httpd.Request) bool { return !r.KeepAlive }},
	} {
		got, bad := read(t, c.data)
		if len(got) != 1 || !c.check(got[0]) {
			t.Errorf("%s: %+v %+v", c.name, got, bad)
		}
	}
}

func TestMalformed(t *testing.T) {
	big := strings.Repeat("a", 40<<10)
	for _, c := range []struct {
		name, data string
		status     int
		target     string
	}{
		{"TLS", "\x16\x03\x01\x00\x00", 400, ""},
		{"no version", "HELO you\r\n", 400, "you"},
		{"no host", "GET /x HTTP/1.1\r\n\r\n", 400, "/x"},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "/x"},
		{"version 2", "PRI * HTTP/2.0\r\n\r\n", 505, "*"},
		{"no version number", "GET / HTTP/\r\n\r\n", 400, "/"},
		{"long target", "GET /" + big + " HTTP/1.1\r\n\r\n", 414, "/" + big[:httpd.MaxHead-5]},
		{"long head", "GET /x HTTP/1.1\r\nA: " + big + "\r\n\r\n", 431, "/x"},
		{"many headers", "GET /x HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", 200) + "\r\n", 431, "/x"},
		{"two lengths", "POST /x HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "/x"},
		{"negative length", "POST /x HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400, "/x"},
		{"smuggling", "POST /x HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "/x"},
		{"unknown encoding", "POST /x HTTP/1.0\r\nTransfer-Encoding: xchunked\r\n\r\n", 501, "/x"},
		{"bad chunk", "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "/x"},
		{"chunk without end", "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400, "/x"},
		{"cut", "GET /x HTTP/1.1\r\nHo", 400, "/x"},
	} {
		got, bad := read(t, c.data)
		if len(got) != 0 || len(bad) != 1 || bad[0].Status != c.status || bad[0].Request.Target != c.target {
			t.Errorf("%s: %d requests, %+v", c.name, len(got), bad)
		}
	}
}

// TestPipeline: requests that came together are all answered, in order.
func TestPipeline(t *testing.T) {
	v := &reader{max: 1 << 10}
	r := decoytest.Start(t, v, decoytest.Persona(), decoytest.Limits())
	var in bytes.Buffer
	const n = 300
	for i := range n {
		in.WriteString("GET /" + strings.Repeat("x", i%40) + " HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	out := bufio.NewReader(bytes.NewReader(r.Visit(in.Bytes())))
	for i := range n {
		a, err := http.ReadResponse(out, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(a.Body)
		if err != nil || len(body) != 1+i%40 {
			t.Fatalf("answer %d is %q, %v", i, body, err)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		path, want string
		climbed    bool
	}{
		{"/a/b", "/a/b", false}, {"//a//b/", "/a/b/", false}, {"/a/./b", "/a/b", false}, {"/a/../b", "/b", false},
		{"/../x", "/x", true}, {"/a/../../x", "/x", true}, {"/..", "/", true}, {"/a/..", "/", false}, {"/a\\..\\..\\b", "/b", true}, {"/.env", "/.env", false}, {"/a/.", "/a/", false},
	} {
		r := &httpd.Request{Path: c.path}
		if got, climbed := r.Resolve(); got != c.want || climbed != c.climbed {
			t.Errorf("%s: %s %v, want %s %v", c.path, got, climbed, c.want, c.climbed)
		}
	}
	for in, want := range map[string]string{"%41%4": "A%4", "%zz%2f": "%zz/", "%": "%", "a+b": "a+b", "%+1%25": "%+1%"} {
		if got := httpd.Unescape(in, false); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if got := httpd.Unescape("a+%2b", true); got != "a +" {
		t.Errorf("query: %q", got)
	}
}

// FuzzDifferential: where the standard library understands a request too, it
// understands the same.
func FuzzDifferential(f *testing.F) {
	for _, s := range []string{
		"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "GET http://a/b HTTP/1.0\r\nX: y\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return
		}
		std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		body, err := io.ReadAll(std.Body)
		if err != nil {
			return
		}
		got, bad := one(t, data)
		if got == nil {
			if bad != nil && bad.Status == 0 {
				t.Errorf("malformed without a status: %+v", bad)
			}
			return // we are stricter where servers are
		}
		if got.Method != std.Method || got.Target != std.RequestURI {
			t.Errorf("%q %q, the standard library reads %q %q", got.Method, got.Target, std.Method, std.RequestURI)
		}
		if !bytes.Equal(got.Body, body) {
			t.Errorf("body %q, the standard library reads %q", got.Body, body)
		}
		if v := std.Header.Get("Accept"); v != "" && got.Header("Accept") != v {
			t.Errorf("Accept %q, the standard library reads %q", got.Header("Accept"), v)
		}
	})
}

// one reads the first request of data over a connection of its own.
func one(t *testing.T, data []byte) (*httpd.Request, *httpd.Malformed) {
	var got *httpd.Request
	var bad *httpd.Malformed
	svc := serve(func(s *decoy.Session) {
		r, err := httpd.Read(s, 64<<10)
		got = r
		if m, ok := errors.AsType[*httpd.Malformed](err); ok {
			bad = m
		}
	})
	r := decoytest.Start(t, svc, decoytest.Persona(), decoytest.Limits())
	r.Visit(data)
	r.Stop()
	return got, bad
}

type serve func(*decoy.Session)

func (f serve) Serve(_ context.Context, s *decoy.Session) error {
	f(s)
	return nil
}
