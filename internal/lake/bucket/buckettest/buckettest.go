// Package buckettest starts a real S3 server, versitygw, for tests.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"io"

	"net"

	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/safe/porttest"
)

// The credentials that the server knows, and its bucket.
const (
	AccessKey = "AKIATESTTESTTESTTEST"
	SecretKey = "test-secret-test-secret"
	Bucket    = "evidence"
)

// Server is one S3 server with one bucket.
type Server struct {
	t    testing.TB
	Addr string
	Dir  string // what it keeps: Dir/<bucket>/<key>
	meta string
	cert string
	key  string
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

// Available says whether the server's program is here.
func Available() bool { return program() != "" }

// program is where scripts/install-test-tools.sh puts it, or anywhere in PATH.
func program() string {
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if path := filepath.Join(dir, ".cache", "bin", "versitygw"); fileExists(path) {
			return path
		}
	}
	return ""
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Start starts a server that ends with the test. cert and key are files for TLS, or empty.
func Start(t testing.TB, cert, key string) *Server {
	t.Helper()
	if !Available() {
		t.Skip("NOT TESTED against a real S3 server: versitygw is missing (scripts/install-test-tools.sh)")
	}
	s := &Server{t: t, Addr: "127.0.0.1:" + porttest.Free(t, "tcp", 1)[0], Dir: t.TempDir(), meta: t.TempDir(), cert: cert, key: key}
	if err := os.MkdirAll(filepath.Join(s.Dir, Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// Up starts the server, on the same port and with the same objects as before.
func (s *Server) Up() {
	s.t.Helper()
	args := []string{"--quiet", "--port", s.Addr, "--access", AccessKey, "--secret", SecretKey}
	if s.cert != "" {
		args = append(args, "--cert", s.cert, "--key", s.key)
	}
	s.log = &bytes.Buffer{}
	s.cmd = exec.Command(program(), append(args, "posix", "--sidecar", s.meta, s.Dir)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	var once sync.Once
	cmd := s.cmd
	go func() { // the kernel ties the server's life to the thread that starts it
		err := cmd.Start()
		once.Do(func() { started <- err })
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", s.Addr)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("versitygw does not listen: %v\n%s", err, s.log)
		}
		<-tick.C
	}
}

// Down kills the server: what was under way is cut.
func (s *Server) Down() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		s.waitGone()
		s.cmd = nil
	}
}

func (s *Server) waitGone() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			return
		}
		_ = c.Close()
		<-tick.C
	}
	s.t.Error("versitygw does not end")
}

// Scheme is that of the endpoint.
func (s *Server) Scheme() string {
	if s.cert != "" {
		return "https"
	}
	return "http"
}

// Config is how to reach the bucket, below a prefix.
func (s *Server) Config(prefix string) bucket.Config {
	return bucket.Config{Name: Bucket, Prefix: prefix, Region: "us-east-1", Endpoint: s.Scheme() + "://" + s.Addr, PathStyle: true,
		AccessKey: AccessKey, SecretKey: conf.NewSecret(SecretKey)}
}

// Store is the bucket.
func (s *Server) Store(prefix string) bucket.Store {
	s.t.Helper()
	c := s.Config(prefix)
	store, err := c.Open(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

// File is where the server keeps an object.
func (s *Server) File(prefix, key string) string {
	return filepath.Join(s.Dir, Bucket, filepath.FromSlash(prefix), filepath.FromSlash(key))
}

// Proxy stands between a client and the server. Cut says what happens after so many bytes of requests.
type Proxy struct {
	Addr  string
	limit atomic.Int64 // bytes still let through; below 0: all
	then  atomic.Pointer[func()]
}

// Cut lets so many bytes more of requests through, then calls then, once, and lets nothing more through. Below 0: all.
func (p *Proxy) Cut(after int64, then func()) {
	var once sync.Once
	f := func() { once.Do(then) }
	p.then.Store(&f)
	p.limit.Store(after)
}

// Through starts a proxy that ends with the test.
func (s *Server) Through() *Proxy {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String()}
	p.Cut(-1, func() {})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.pass(ctx, c, s.Addr) })
		}
	})
	s.t.Cleanup(func() {
		cancel()
		_ = l.Close()
		wg.Wait()
	})
	return p
}

func (p *Proxy) pass(ctx context.Context, c net.Conn, to string) {
	defer c.Close()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	stop := context.AfterFunc(ctx, func() { _ = errors.Join(c.Close(), up.Close()) })
	defer stop()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(c, up)
		_ = c.Close()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		if p.limit.Load() >= 0 && p.limit.Add(-int64(n)) <= 0 {
			p.limit.Store(0)
			(*p.then.Load())()
			continue // read, and go nowhere
		}
		if _, err := up.Write(buf[:n]); err != nil {
			break
		}
	}
	_ = up.Close()
	<-back
}
