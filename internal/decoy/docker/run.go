package docker

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"bartizan/internal/decoy/login"
	"bartizan/internal/decoy/shell"
)

// Limits of the emulated shell in a container: many visitors, little to show.
var shellLimits = shell.Limits{FSBytes: 512 << 10, FileBytes: 256 << 10, Files: 200, SessionOutput: 2 << 20, History: 20}

// errOver says that a request has waited as long as it may.
var errOver = errors.New("waited long enough")

// until waits for something that another connection does. It ends when the
// visitor leaves (an error) and after the hold of the configuration.
func (c *call) until(happened func() bool) error {
	defer c.s.Pause(0)
	for start := time.Now(); ; {
		if happened() {
			return nil
		}
		waited := time.Since(start)
		if waited > c.conf.Hold {
			return errOver
		}
		step := pulse(waited)
		if c.deaf || c.s.Buffered() > 0 { // nothing more, or input, or the next request: it waits as well
			if !sleep(c.ctx, step) {
				return c.ctx.Err()
			}
			continue
		}
		c.s.Pause(step)
		at := time.Now()
		_, err := c.s.Peek(1)
		if c.hijacked && errors.Is(err, io.EOF) {
			c.deaf = true // clients without input half-close their side at once
			continue
		}
		if err != nil && !timedOut(err) {
			return err
		}
		if err != nil && time.Since(at) < step/2 {
			return err // not our pause but the end of the conversation
		}
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
	}
}

func timedOut(err error) bool {
	var ne interface{ Timeout() bool }
	return errors.As(err, &ne) && ne.Timeout()
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reporter passes what happens in a container's files to whoever runs
// something in it; to nobody while the container is furnished.
type reporter struct{ to atomic.Pointer[login.Visitor] }

var _ shell.Sink = (*reporter)(nil)

// Command implements shell.Sink.
func (r *reporter) Command(line string) {
	if v := r.to.Load(); v != nil {
		v.Command(line)
	}
}

// Download implements shell.Sink.
func (r *reporter) Download(url, tool string) {
	if v := r.to.Load(); v != nil {
		v.Download(url, tool)
	}
}

// File implements shell.Sink.
func (r *reporter) File(path string, content []byte, how string) {
	if v := r.to.Load(); v != nil {
		v.File(path, content, "docker")
	}
}

// enter gives a shell in the container; leave must be called. While something
// else runs there, it is one with files of its own.
func (c *call) enter(x *container) (sh *shell.Shell, leave func()) {
	visitor := login.NewVisitor(c.s, "root", func() { _ = c.s.Conn().Close() })
	if !x.house.TryLock() {
		own := &reporter{}
		sh = c.furnished(x, own)
		own.to.Store(visitor)
		return sh, sh.Close
	}
	fresh := x.files == nil
	if fresh {
		x.sink = &reporter{}
		x.files = c.furnished(x, x.sink)
	}
	base, sink := x.files, x.sink
	sh = base.Sibling("root")
	sh.Run(c.ctx, "cd "+join([]string{c.workdir(x)}), nil, io.Discard, io.Discard)
	sink.to.Store(visitor)
	return sh, func() {
		sh.Close()
		base.Close()
		sink.to.Store(nil)
		x.house.Unlock()
		if fresh {
			c.store.housed(x)
		}
	}
}

// evict takes a container's files away unless somebody is in there.
func (x *container) evict() {
	if x.house.TryLock() {
		x.files, x.sink = nil, nil
		x.house.Unlock()
	}
}

func (c *call) workdir(x *container) string {
	if d := x.spec.WorkingDir; strings.HasPrefix(d, "/") {
		return d
	}
	return "/"
}

// furnished makes the file system of a container: that of the host, because
// what visitors come for is the host, with a name of its own and the host's
// folders where they were mounted.
func (c *call) furnished(x *container, sink shell.Sink) *shell.Shell {
	sh := shell.New(c.s.Persona(), "root", shellLimits, sink, c.s.Now)
	var b strings.Builder
	if x.spec.HostConfig.UTSMode != "host" {
		b.WriteString("echo " + join([]string{x.hostname()}) + " > /etc/hostname\n")
	}
	for _, m := range x.spec.mountPoints() {
		if strings.HasPrefix(m.Source, "/") && strings.HasPrefix(m.Destination, "/") && m.Source != m.Destination && m.Destination != "/" {
			from, to := join([]string{m.Source}), join([]string{strings.TrimRight(m.Destination, "/")})
			b.WriteString("mkdir -p " + to + "; rmdir " + to + " && ln -s " + from + " " + to + "\n")
		}
	}
	b.WriteString("touch /.dockerenv\ncd " + join([]string{c.workdir(x)}) + "\n")
	sh.Run(c.ctx, b.String(), nil, io.Discard, io.Discard)
	for _, e := range x.spec.Env {
		if k, v, ok := strings.Cut(e, "="); ok {
			sh.Setenv(k, v)
		}
	}
	return sh
}

// output is where a program in a container writes: to the container's log,
// and to the visitor when there is one.
type output struct {
	x      *container // nil for an exec, which has no log
	stream byte
	to     io.Writer // nil for nobody
	tty    bool
}

// Write implements io.Writer. It does not fail when only the log is left.
func (o *output) Write(p []byte) (int, error) {
	if o.x != nil {
		o.x.note(o.stream, p)
	}
	if o.to == nil {
		return len(p), nil
	}
	if !o.tty {
		if _, err := o.to.Write(head(o.stream, len(p))); err != nil {
			return 0, err
		}
	}
	return o.to.Write(p)
}

// flushing is the session as a writer that keeps nothing back.
type flushing struct{ c *call }

// Write implements io.Writer.
func (f flushing) Write(p []byte) (int, error) {
	if _, err := f.c.s.Write(p); err != nil {
		return 0, err
	}
	return len(p), f.c.s.Flush()
}

// bare reports whether a command is a shell that reads its standard input.
func bare(argv []string) bool {
	if len(argv) == 0 {
		return false
	}
	switch argv[0][strings.LastIndexByte(argv[0], '/')+1:] {
	case "sh", "bash", "ash", "dash", "zsh":
		for _, a := range argv[1:] {
			if a != "-i" && a != "-l" && a != "-s" && a != "--login" {
				return false
			}
		}
		return true
	case "chroot":
		return len(argv) == 2 || len(argv) > 2 && bare(argv[2:])
	case "nsenter":
		for i, a := range argv[1:] {
			if !strings.HasPrefix(a, "-") && bare(argv[i+1:]) {
				return true
			}
		}
	}
	return false
}

// lasting reports whether a program goes on by itself.
func lasting(argv []string) bool {
	line := strings.Join(argv, " ")
	for _, w := range [...]string{"sleep infinity", "sleep inf", "tail -f", "while true", "while :", "sleep 9", "sleep 3600", "sleep 86400", "/docker-entrypoint.sh", "xmrig", "daemon off"} {
		if strings.Contains(line, w) {
			return true
		}
	}
	return false
}

// perform runs a command in a container with the visitor's input, if any.
func (c *call) perform(x *container, argv []string, in io.Reader, out, errs io.Writer, tty bool) (exit int) {
	sh, leave := c.enter(x)
	defer leave()
	if in != nil && bare(argv) {
		// A visitor's prompt. The program itself is what they asked for.
		if err := c.s.Command("root", join(argv)); err != nil {
			return 137
		}
		if tty {
			r := c.s.Remote()
			sh.SetRemote(r.Addr().String(), int(r.Port()), "xterm")
			out = &unwelcoming{to: out}
		}
		_ = sh.Interactive(c.ctx, struct {
			io.Reader
			io.Writer
		}{in, out}, tty) // an error says that the visitor left
		exit, _ = sh.Run(c.ctx, "", nil, io.Discard, io.Discard) // the status of what was last
		return exit
	}
	if tty {
		out, errs = crlf{out}, crlf{errs}
	}
	exit, _ = sh.Run(c.ctx, join(argv), in, out, errs)
	return exit
}

// unwelcoming drops the first thing written: the greeting of a login, which
// a shell in a container does not have.
type unwelcoming struct {
	to   io.Writer
	done bool
}

// Write implements io.Writer.
func (u *unwelcoming) Write(p []byte) (int, error) {
	if !u.done {
		u.done = true
		return len(p), nil
	}
	return u.to.Write(p)
}

// crlf is what a terminal does to ends of lines.
type crlf struct{ to io.Writer }

// Write implements io.Writer.
func (w crlf) Write(p []byte) (int, error) {
	_, err := io.WriteString(w.to, strings.ReplaceAll(string(p), "\n", "\r\n"))
	return len(p), err
}
