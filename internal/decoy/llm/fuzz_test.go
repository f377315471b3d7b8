package llm

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
		"GET /api/tags HTTP/1.1\r\n\r\n",
		"POST /api/generate HTTP/1.1\r\nContent-Length: 33\r\n\r\n{\"model\":\"nope\",\"prompt\":\"hello\"}",
		"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 64\r\n\r\n{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}",
		"POST /v1/responses HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"POST /v1/embeddings HTTP/1.0\r\nContent-Length: 40\r\n\r\n{\"model\":\"qwen2.5-coder:14b\",\"input\":\"x\"}",
		"POST /api/pull HTTP/1.1\r\nContent-Length: 30\r\n\r\n{\"model\":\"http://a.b/c/d:e\"}\r\n",
		"POST /api/chat HTTP/1.1\r\nContent-Length: 84\r\n\r\n{\"model\":\"qwen2.5-coder:14b\",\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"1+1\"}]}]}",
	} {
		f.Add([]byte(s))
	}
	svc := build(func(c *Config) { c.Pace = 0 })(f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	run := decoy.NewRunner(checker{f}, func(_ string, err error) { f.Error(err) })
	in := &decoy.Instance{Name: "llm", Service: "llm", Impl: svc, Limits: decoytest.Limits(), Persona: decoytest.Persona()}
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
