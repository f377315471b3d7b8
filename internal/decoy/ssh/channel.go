package ssh

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"bartizan/internal/decoy/shell"
)

// maxEnv bounds the environment variables of one channel.
const maxEnv = 64

// channel is one session channel: a shell, a command or a subsystem
// (RFC 4254, section 6).
type channel struct {
	c  *conn
	ch ssh.Channel
	sh *shell.Shell

	ctx     context.Context // of the program; a signal ends it
	cancel  context.CancelFunc
	started bool
	pty     bool
	quiet   bool // file data: not for the transcript
	envs    int
}

func newChannel(c *conn, ch ssh.Channel) *channel {
	h := &channel{c: c, ch: ch, sh: c.files.login()}
	h.ctx, h.cancel = context.WithCancel(c.ctx)
	return h
}

// serve answers requests until the visitor closes the channel. The program
// runs beside it, because requests go on while it runs.
func (h *channel) serve(requests <-chan *ssh.Request) {
	var program sync.WaitGroup
	defer h.sh.Close()
	defer program.Wait()
	defer h.ch.Close()
	defer h.cancel()
	for r := range requests {
		ok, run := h.request(r)
		if r.WantReply {
			_ = r.Reply(ok, nil) // fails only when the connection does
		}
		if run != nil {
			h.started = true
			program.Go(func() { h.c.guard(func() { h.exit(run()) }) })
		}
	}
}

// exit reports how the program ended and closes the channel.
func (h *channel) exit(status int) {
	// All three fail only when the visitor is no longer there to be told.
	_, _ = h.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	_ = h.ch.CloseWrite()
	_ = h.ch.Close()
}

// request says how to answer a request, and what to run after the answer.
func (h *channel) request(r *ssh.Request) (ok bool, run func() int) {
	switch r.Type {
	case "pty-req":
		return !h.started && h.terminal(r.Payload), nil
	case "window-change":
		var m struct{ Cols, Rows, Width, Height uint32 }
		if ssh.Unmarshal(r.Payload, &m) == nil {
			h.sh.SetWindow(int(m.Cols & 0xffff))
		}
		return false, nil
	case "env":
		var m struct{ Name, Value string }
		return ssh.Unmarshal(r.Payload, &m) == nil && h.setenv(m.Name, m.Value), nil
	case "auth-agent-req@openssh.com":
		return true, nil // believed to be available; nothing ever uses it
	case "signal":
		var m struct{ Name string }
		if ssh.Unmarshal(r.Payload, &m) == nil && ends(m.Name) {
			h.cancel()
		}
		return true, nil
	case "break":
		return h.started && h.pty, nil
	}
	if h.started {
		return false, nil
	}
	switch r.Type {
	case "shell":
		return true, h.login
	case "exec":
		var m struct{ Command string }
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return false, nil
		}
		return true, func() int { return h.exec(m.Command) }
	case "subsystem":
		var m struct{ Name string }
		if ssh.Unmarshal(r.Payload, &m) != nil || m.Name != "sftp" {
			return false, nil
		}
		return true, h.sftp
	}
	return false, nil // x11-req and what nobody knows
}

// ends says whether a signal ends a program that does not handle it.
func ends(signal string) bool {
	switch signal {
	case "INT", "TERM", "KILL", "HUP", "QUIT", "ABRT", "PIPE", "USR1", "USR2", "ALRM":
		return true
	}
	return false
}

func (h *channel) terminal(payload []byte) bool {
	var m struct {
		Term                      string
		Cols, Rows, Width, Height uint32
		Modes                     string
	}
	if ssh.Unmarshal(payload, &m) != nil || h.pty {
		return false
	}
	h.pty = true
	h.sh.SetWindow(int(m.Cols & 0xffff))
	r := h.c.s.Remote()
	h.sh.SetRemote(r.Addr().String(), int(r.Port()), m.Term)
	return true
}

// setenv takes what "AcceptEnv LANG LC_*" takes.
func (h *channel) setenv(name, value string) bool {
	if name != "LANG" && !strings.HasPrefix(name, "LC_") || h.started || h.envs >= maxEnv || len(name)+len(value) > 1024 {
		return false
	}
	h.envs++
	h.sh.Setenv(name, value)
	return true
}

// exec runs a command line, or the file transfer it stands for.
func (h *channel) exec(line string) int {
	if t, ok := parseSCP(line); ok {
		h.c.files.guest.Command(line)
		h.quiet = true
		return t.serve(h, h, h.sh.FS(), homeOf(h.sh.FS(), h.c.user))
	}
	if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasSuffix(name, "/sftp-server") {
		h.c.files.guest.Command(line)
		return h.sftp()
	}
	h.c.s.Note('<', []byte(line+"\n"))
	var out, errs io.Writer = h, noted{h, h.ch.Stderr()}
	if h.pty {
		out = &crlf{w: h}
		errs = out
	}
	status, _ := h.sh.Run(h.ctx, line, h, out, errs)
	return status
}

// sftp serves the subsystem.
func (h *channel) sftp() int {
	h.quiet = true
	home := homeOf(h.sh.FS(), h.c.user)
	h.c.s.Note('<', []byte("sftp\n"))
	serveSFTP(h, h.sh.FS(), home, func(what string) { h.c.s.Note('<', []byte(clean(what)+"\n")) })
	return 0
}

// Read takes what the visitor types or sends.
func (h *channel) Read(p []byte) (int, error) {
	n, err := h.ch.Read(p)
	if n > 0 && !h.quiet {
		h.c.s.Note('<', p[:n])
	}
	return n, err
}

// Write shows the visitor something.
func (h *channel) Write(p []byte) (int, error) { return noted{h, h.ch}.Write(p) }

// noted writes to one of the channel's streams and to the transcript.
type noted struct {
	h *channel
	w io.Writer
}

func (n noted) Write(p []byte) (int, error) {
	if !n.h.quiet {
		n.h.c.s.Note('>', p)
	}
	return n.w.Write(p)
}

// crlf does what a terminal in cooked mode does to output.
type crlf struct{ w io.Writer }

func (c *crlf) Write(p []byte) (int, error) {
	if bytes.IndexByte(p, '\n') < 0 {
		return c.w.Write(p)
	}
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}
