package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// space is a network namespace without a name: it ends with the processes in
// it, so that a killed test run leaves nothing behind.
type space struct{ ns netns.NsHandle }

func newSpace(t *testing.T) *space {
	t.Helper()
	if os.Geteuid() != 0 {
		lack(t, "network namespaces need root")
	}
	s := &space{ns: netns.None()}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		var err error
		if s.ns, err = netns.Get(); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	t.Cleanup(func() { _ = s.ns.Close() })
	return s
}

// do runs fn on a thread inside the namespace.
func (s *space) do(fn func() error) error {
	return onThread(func() error {
		if err := netns.Set(s.ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return fn()
	})
}

// onThread runs fn on a thread that is thrown away, because fn may change the
// namespace of the thread.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- fn()
	}()
	return <-done
}

// process is a running program in a namespace.
type process struct {
	cmd   *exec.Cmd
	out   *buffer // standard output
	err   *buffer // standard error
	ended chan struct{}
	fault error // what it ended with, once ended is closed
}

// start starts a program in the namespace. It dies with the test process: the
// kernel ties that to the thread that starts it, which therefore waits for it.
func (s *space) start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, out: &buffer{}, err: &buffer{}, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.err
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true
	cmd.WaitDelay = 2 * time.Second // a grandchild may hold the pipes
	started := make(chan error, 1)
	go func() {
		defer close(p.ended)
		err := s.do(func() error {
			if err := cmd.Start(); err != nil {
				started <- err
				return nil
			}
			started <- nil
			p.fault = cmd.Wait()
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the program and its group at once and waits for the end.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // gone already: fine
	<-p.ended
}

// wait returns the exit code, or -1 after a signal.
func (p *process) wait(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		t.Fatalf("%s has not ended within %v\nstdout: %s\nstderr: %s", p.cmd.Path, within, tail(p.out.String()), tail(p.err.String()))
	}
	var exit *exec.ExitError
	if p.fault != nil && !errors.As(p.fault, &exit) && !errors.Is(p.fault, exec.ErrWaitDelay) {
		t.Fatalf("wait for %s: %v", p.cmd.Path, p.fault)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// result is what a program left.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", r.code, tail(r.out), tail(r.err))
}

// run runs a program to its end in the namespace.
func (s *space) run(t *testing.T, within time.Duration, name string, args ...string) result {
	t.Helper()
	return s.runWith(t, within, nil, nil, name, args...)
}

// runWith is run with standard input and additional environment.
func (s *space) runWith(t *testing.T, within time.Duration, stdin io.Reader, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	cmd.Env = append(os.Environ(), env...)
	p := s.start(t, cmd)
	code := p.wait(t, within+5*time.Second)
	if ctx.Err() != nil && t.Context().Err() == nil {
		t.Fatalf("%s %s: not done within %v\n%s", name, strings.Join(args, " "), within, result{code, p.out.String(), p.err.String()})
	}
	return result{code, p.out.String(), p.err.String()}
}

// must is run for programs that have to succeed.
func (s *space) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	r := s.run(t, 20*time.Second, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: %s", name, strings.Join(args, " "), r)
	}
	return r.out
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// tail keeps failure messages readable.
func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// eventually asks until the answer is nil; the last error is the failure.
func eventually(t *testing.T, within time.Duration, what string, ask func() error) {
	t.Helper()
	if err := until(within, ask); err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
}

// until is eventually for callers that go on. It asks at least twice.
func until(within time.Duration, ask func() error) error {
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}
