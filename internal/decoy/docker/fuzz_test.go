package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// checker is a sink that keeps nothing: fuzzing makes millions.
type checker struct{ t testing.TB }

func (k checker) Emit(_ context.Context, o *observe.Observation) error {
	if err := o.Check(time.Now()); err != nil {
		k.t.Errorf("observation is refused: %v", err)
	}
	return nil
}

func FuzzRequests(f *testing.F) {
	for _, s := range []string{
		"HEAD /_ping HTTP/1.1\r\n\r\n",
		"GET /v1.41/containers/json?all=1&filters={%22status%22:[%22running%22]} HTTP/1.1\r\n\r\n",
		"POST /containers/create?name=x HTTP/1.1\r\nContent-Length: 79\r\n\r\n{\"Image\":\"redis:7-alpine\",\"Cmd\":[\"id\"],\"HostConfig\":{\"Binds\":[\"/:/mnt\"]}}   ",
		"POST /images/create?fromImage=alpine&tag=latest HTTP/1.1\r\n\r\nPOST /containers/create HTTP/1.1\r\nContent-Length: 50\r\n\r\n{\"Image\":\"alpine\",\"Cmd\":\"id\",\"Tty\":true}          POST /containers/x/start HTTP/1.1\r\n\r\n",
		"POST /containers/x/attach?stdin=1&stream=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nid\n",
		"POST /exec/abc/start HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
		"GET /events HTTP/1.1\r\n\r\n",
		"GET /containers/a/logs?stdout=1&follow=1&tail=3 HTTP/1.0\r\n\r\n",
		"POST /build?remote=http://198.51.100.1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	svc := build(func(c *Config) { c.Hold = 100 * time.Millisecond })(f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	run := decoy.NewRunner(checker{f}, func(_ string, err error) { f.Error(err) })
	in := &decoy.Instance{Name: "docker", Service: "docker", Impl: svc, Limits: decoytest.Limits(), Persona: decoytest.Persona()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run.Serve(ctx, in, l) }()
	f.Cleanup(func() { cancel(); <-done })
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(decoytest.Patience))
		_, _ = conn.Write(data) // the decoy may hang up in the middle
		_ = conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("no end after %q", data)
		}
		if st := run.Stats(); st.Panics+st.Errors > 0 {
			t.Fatalf("%+v after %q", st, data)
		}
	})
}
