package httpd_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
)

// streamer answers with a stream, or with an echo of what follows an upgrade.
type streamer struct{}

func (streamer) Serve(_ context.Context, s *decoy.Session) error {
	st := httpd.Style{Server: "T", Go: true}
	return httpd.Serve(s, 1<<10, func(r *httpd.Request) (bool, error) {
		switch r.Path {
		case "/echo":
			if httpd.Upgrade(s, r, "tcp", "x/raw", observe.Field{Name: "X", Value: "y"}) == nil {
				_, _ = io.Copy(flush{s}, s)
			}
			return true, nil
		case "/plain":
			return true, st.Write(s, r, httpd.Response{Status: 201, Type: "a/b", Body: []byte("xyz"), Headers: []observe.Field{{Name: "Zz", Value: "1"}, {Name: "Aa", Value: "2"}}})
		}
		out, err := st.Start(s, r, httpd.Response{Status: 200, Type: "a/b", Headers: []observe.Field{{Name: "Zz", Value: "1"}}})
		if err != nil {
			return false, nil
		}
		for _, p := range []string{"one", "", strings.Repeat("2", 5000)} {
			if _, err := out.Write([]byte(p)); err != nil {
				return false, nil
			}
		}
		return true, out.Close()
	}, func(m *httpd.Malformed) { _ = httpd.GoRefusal(s, m) })
}

type flush struct{ s *decoy.Session }

func (f flush) Write(p []byte) (int, error) {
	if _, err := f.s.Write(p); err != nil {
		return 0, err
	}
	return len(p), f.s.Flush()
}

func TestStreamSuite(t *testing.T) {
	decoytest.Run(t, func(testing.TB) decoy.Service { return streamer{} })
}

func streaming(t *testing.T) *decoytest.Rig {
	return decoytest.Start(t, streamer{}, decoytest.Persona(), decoytest.Limits())
}

func TestStream(t *testing.T) {
	r := streaming(t)
	body := "one" + strings.Repeat("2", 5000)
	got := string(r.Visit([]byte("GET /s HTTP/1.1\r\nHost: x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")))
	b := bufio.NewReader(strings.NewReader(got))
	for _, want := range []string{body, "xyz"} {
		resp, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Fatalf("%v in %q", err, got)
		}
		if all, err := io.ReadAll(resp.Body); err != nil || string(all) != want {
			t.Errorf("body %q, %v", all, err)
		}
		if resp.Header.Get("Server") != "T" {
			t.Errorf("head %v", resp.Header)
		}
	}
	if got := string(r.Visit([]byte("GET /s HTTP/1.0\r\n\r\n"))); !strings.HasSuffix(got, "\r\n\r\n"+body) || strings.Contains(got, "chunked") || strings.Contains(got, "Connection:") || !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") {
		t.Errorf("to HTTP/1.0: %.300q", got)
	}
	if got := string(r.Visit([]byte("HEAD /s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))); !strings.HasSuffix(got, "\r\n\r\n") || strings.Contains(got, "one") {
		t.Errorf("to HEAD: %.300q", got)
	}
}

// The head is that of net/http itself.
func TestGoHead(t *testing.T) {
	got := string(streaming(t).Visit([]byte("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")))
	var names []string
	for _, l := range strings.Split(got, "\r\n")[1:] {
		if name, _, ok := strings.Cut(l, ": "); ok {
			names = append(names, name)
		}
	}
	if strings.Join(names, " ") != "Aa Content-Type Server Zz Date Content-Length" {
		t.Errorf("order %v", names)
	}
}

func TestUpgrade(t *testing.T) {
	r := streaming(t)
	if got := string(r.Visit([]byte("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nGET / HTTP/1.1\r\n\r\n"))); got != "HTTP/1.1 101 UPGRADED\r\nContent-Type: x/raw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n" {
		t.Errorf("upgraded: %q", got)
	}
	if got := string(r.Visit([]byte("POST /echo HTTP/1.1\r\nHost: x\r\n\r\nabc"))); got != "HTTP/1.1 200 OK\r\nContent-Type: x/raw\r\nX: y\r\n\r\nabc" {
		t.Errorf("without asking: %q", got)
	}
}

func TestGoRefusal(t *testing.T) {
	r := streaming(t)
	for data, want := range map[string]string{
		"NOT HTTP AT ALL\r\n\r\n": "HTTP/1.1 400 Bad Request\r\n",
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 64<<10) + "\r\n\r\n": "HTTP/1.1 431 Request Header Fields Too Large\r\n",
		"GET / HTTP/3.1\r\nHost: x\r\n\r\n":                                "HTTP/1.1 505 HTTP Version Not Supported\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: brotli\r\n\r\n":  "HTTP/1.1 501 Not Implemented\r\n",
		"GET / HTTP/1.1\r\n\r\n":                                           "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request: missing required Host header",
	} {
		if got := string(r.Visit([]byte(data))); !strings.HasPrefix(got, want) || !strings.Contains(got, "Connection: close") {
			t.Errorf("%.40q: %.200q", data, got)
		}
	}
}
