package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
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

// stdio is one conversation over pipes.
type stdio struct {
	session *Session
	client  *lineWriter
	server  *lineWriter
	prefix  string // of the gateway's own ids
	late    sync.WaitGroup

	mu   sync.Mutex
	n    int
	own  map[string]chan mcp.Message // the gateway's own questions, by id
	over bool                        // the server is gone: no more questions
}

// Stdio runs a server and stands between it and the client until one of them ends.
// The error says why it could not run, or how the server ended before its client did.
//
// A read of standard input cannot be interrupted: when In is that, its reader ends
// with the process.
func (g *Gate) Stdio(ctx context.Context, agent, name string, server Server, p Pipes) error {
	s, err := g.NewSession(agent, name, "")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), server.Command[0], server.Command[1:]...) // endProcess ends it, in order
	cmd.Dir, cmd.Stderr, cmd.WaitDelay = server.Dir, p.Errors, graceful
	cmd.Env = os.Environ()
	for k, v := range server.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it and its children are ended together
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start server %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start server %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start server %s: %w", name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &stdio{session: s, client: &lineWriter{w: p.Out}, server: &lineWriter{w: in}, prefix: "bartizan-" + s.id + "-", own: map[string]chan mcp.Message{}}
	limit := int(g.conf.Limits.Message)
	serverDone, clientDone := make(chan error, 1), make(chan error, 1)
	go func() { serverDone <- c.fromServer(mcp.NewLines(out, limit)) }()
	go func() { clientDone <- c.fromClient(ctx, mcp.NewLines(p.In, limit)) }()

	var ended error // of the client's side; the server's follows
	alone := false  // the server ended first
	select {
	case ended = <-clientDone:
		c.settle()
		_ = in.Close() // it says goodbye to a server that may be gone
		select {
		case err = <-serverDone:
		case <-time.After(graceful):
		}
	case err = <-serverDone:
		alone = true
	case <-ctx.Done():
	}
	cancel()
	exit := endProcess(cmd, in)
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

// settle lets calls that wait for the server's tools go out, and answers come in, before
// the server's input is closed: a client that writes and hangs up is still answered.
func (c *stdio) settle() {
	done := make(chan struct{})
	go func() { c.late.Wait(); close(done) }()
	timeout := time.After(graceful)
	select {
	case <-done:
	case <-timeout:
		return
	}
	poll := time.NewTicker(graceful / 300)
	defer poll.Stop()
	for c.session.busy() {
		select {
		case <-poll.C:
		case <-timeout:
			return
		}
	}
}

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

// end answers what is under way: nobody waits for a server that is gone.
func (c *stdio) end() {
	for _, m := range c.session.Ended("the server ended") {
		c.send(c.client, m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for id, ch := range c.own {
		close(ch)
		delete(c.own, id)
	}
}

func (c *stdio) fromClient(ctx context.Context, lines *mcp.Lines) error {
	for {
		raw, err := lines.Next()
		if tooLong, ok := errors.AsType[*mcp.TooLong](err); ok {
			c.send(c.client, mcp.Failure(mcp.GuessID(tooLong.Head), mcp.CodeRequest, "refused by the gateway: "+err.Error()))
			continue
		}
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the client: %w", err)
		}
		out, later := c.session.FromClient(raw)
		if later == nil {
			if err := c.deliver(out); err != nil {
				return err
			}
			continue
		}
		c.late.Add(1)
		go func() {
			defer c.late.Done()
			if err := c.deliver(later(ctx, c.ask)); err != nil && ctx.Err() == nil {
				c.session.gate.log.Error("forward to the server", "server", c.session.server, "error", err)
			}
		}()
	}
}

// deliver sends what became of a message of the client.
func (c *stdio) deliver(o Outcome) error {
	if o.Answer != nil {
		c.send(c.client, o.Answer)
	}
	if o.Forward == nil {
		return nil
	}
	return c.server.write(o.Forward)
}

// send writes to the client; when it is gone the conversation ends by its input.
func (c *stdio) send(w *lineWriter, raw []byte) {
	if err := w.write(raw); err != nil {
		c.session.gate.log.Debug("write", "error", err)
	}
}

func (c *stdio) fromServer(lines *mcp.Lines) error {
	for {
		raw, err := lines.Next()
		var o Outcome
		if tooLong, ok := errors.AsType[*mcp.TooLong](err); ok {
			o = c.session.TooLong(tooLong.Head)
		} else if err != nil {
			return err
		} else if c.mine(raw) {
			continue
		} else {
			o = c.session.FromServer(raw)
		}
		if o.Answer != nil {
			if err := c.server.write(o.Answer); err != nil {
				return err
			}
		}
		if o.Forward == nil {
			continue
		}
		for _, m := range append([][]byte{o.Forward}, o.Extra...) {
			if err := c.client.write(m); err != nil {
				return err
			}
		}
	}
}

// mine takes the answers to the gateway's own questions.
func (c *stdio) mine(raw []byte) bool {
	m, err := mcp.ParseMessage(raw)
	if err != nil || m.Kind != mcp.Response || !strings.HasPrefix(m.ID, `"`+c.prefix) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.own[m.ID]; ch != nil {
		ch <- m // it has room for one
		delete(c.own, m.ID)
	}
	return true
}

// ask is the Asker of a pipe.
func (c *stdio) ask(ctx context.Context, method string, params []byte) (mcp.Message, error) {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return mcp.Message{}, errors.New("the server is gone")
	}
	c.n++
	id := string(mcp.Quote(fmt.Sprint(c.prefix, c.n)))
	ch := make(chan mcp.Message, 1)
	c.own[id] = ch
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.own, id)
		c.mu.Unlock()
	}()
	if err := c.server.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":%s,"params":%s}`, id, mcp.Quote(method), params)); err != nil {
		return mcp.Message{}, err
	}
	select {
	case m, ok := <-ch:
		if !ok {
			return m, errors.New("the server is gone")
		}
		return m, nil
	case <-ctx.Done():
		return mcp.Message{}, fmt.Errorf("no answer: %w", ctx.Err())
	}
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
