package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"
)

// graceful is how long a server has to end after its input was closed (the
// specification's order: close, then SIGTERM, then SIGKILL).
const graceful = 3 * time.Second

// Pipes are the client's ends. In is closed when the server is gone.
type Pipes struct {
	In     io.ReadCloser
	Out    io.Writer
	Errors io.Writer // what the server says on standard error
}

// Stdio stands between the client on the pipes and a server until one of them ends. The
// error says why it could not run, or how the server ended before its client did.
//
// A read of standard input cannot be interrupted: when In is that, its reader ends
// with the process.
func (g *Gate) Stdio(ctx context.Context, agent, name string, server Server, p Pipes) error {
	s, err := g.NewSession(agent, name, "")
	if err != nil {
		return err
	}
	b, err := g.reach(ctx, name, server, p.Errors, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := newConversation(s, &lineWriter{w: p.Out}, b)
	serverDone, clientDone := make(chan error, 1), make(chan error, 1)
	go func() { serverDone <- c.fromServer() }()
	go func() { clientDone <- c.fromClient(ctx, mcp.NewLines(p.In, int(g.conf.Limits.Message))) }()

	var ended error // of the client's side; the server's follows
	alone := false  // the server ended first
	select {
	case ended = <-clientDone:
		c.settle()
		b.hangUp() // goodbye to a server that may be gone
		select {
		case err = <-serverDone:
		case <-time.After(graceful):
		}
	case err = <-serverDone:
		alone = true
	case <-ctx.Done():
	}
	cancel()
	exit := b.end()
	c.end()
	c.late.Wait()
	_ = p.In.Close() // so that who reads it ends; it may be closed already
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
		g.log.Debug("read from the server", "server", name, "error", err)
	}
	if alone {
		return fmt.Errorf("server %s ended before its client: %w", name, orDone(exit))
	}
	return ended
}

// reach starts a server, or connects with one; headers are a client's own, for a server at
// an address.
func (g *Gate) reach(ctx context.Context, name string, server Server, errs io.Writer, headers http.Header) (backend, error) {
	if server.URL != "" {
		return g.remote(ctx, name, server, headers)
	}
	return start(ctx, name, server, errs, int(g.conf.Limits.Message))
}

// process is a server that was started.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	line  *lineWriter
	lines *mcp.Lines
	once  func() error
	stall time.Duration // it may not read for so long; 0: for ever
}

func start(ctx context.Context, name string, server Server, errs io.Writer, limit int) (*process, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), server.Command[0], server.Command[1:]...) // endProcess ends it, in order
	cmd.Dir, cmd.Stderr, cmd.WaitDelay = server.Dir, errs, graceful
	cmd.Env = os.Environ()
	for k, v := range server.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it and its children are ended together
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start server %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start server %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server %s: %w", name, err)
	}
	return &process{cmd: cmd, in: in, line: &lineWriter{w: in}, lines: mcp.NewLines(out, limit), once: sync.OnceValue(func() error { return endProcess(cmd, in) })}, nil
}

func (p *process) write(raw []byte) error {
	if p.stall > 0 {
		late := time.AfterFunc(p.stall, p.hangUp) // which ends a write that hangs
		defer late.Stop()
	}
	return p.line.write(raw)
}

func (p *process) next() ([]byte, error) { return p.lines.Next() }
func (p *process) hangUp()               { _ = p.in.Close() } // it may be closed already
func (p *process) end() error            { return p.once() }

func orDone(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// endProcess lets a server end by itself, then makes it.
func endProcess(cmd *exec.Cmd, in io.Closer) error {
	_ = in.Close() // it may be closed already
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	group := -cmd.Process.Pid
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case err := <-done:
			_ = syscall.Kill(group, syscall.SIGKILL) // children that it left; most leave none
			return err
		case <-time.After(graceful / 3):
			_ = syscall.Kill(group, sig) // it may be gone in this moment
		}
	}
	return <-done // WaitDelay bounds it
}

// lineWriter writes one message per line.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// oneLine puts a message on one line. One with a line break inside would be two to the
// reader; JSON allows them only between values, where they are spaces.
func oneLine(raw []byte) []byte {
	line := make([]byte, 0, len(raw)+1)
	for _, b := range raw {
		if b == '\n' || b == '\r' {
			b = ' '
		}
		line = append(line, b)
	}
	return line
}

// write sends a message.
func (l *lineWriter) write(raw []byte) error {
	line := oneLine(raw)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write message: %s", safe.Clean(err.Error(), 200))
	}
	return nil
}
