package docker

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/httpd"
)

const (
	rawStream   = "application/vnd.docker.raw-stream"
	multiplexed = "application/vnd.docker.multiplexed-stream"
)

func (c *call) streamType(tty bool) string {
	if tty || c.minor < 42 {
		return rawStream
	}
	return multiplexed
}

// start starts a container. A command that nobody gives input to runs in here,
// after the answer, while other connections wait for its end.
func (c *call) start() error {
	return c.with(func(x *container) error {
		e := c.engine
		e.mu.Lock()
		again := x.running() && c.parts[2] == "start"
		if !again {
			x.state, x.started, x.exit = "running", c.s.Now(), 0
			x.starts++
			x.claimed = false
		}
		argv := x.argv()
		waitForInput := x.spec.OpenStdin && (x.attached > 0 || bare(argv))
		mine := !again && !x.resident && !waitForInput
		if mine {
			x.claimed = true
		}
		e.mu.Unlock()
		if again {
			return c.empty(304)
		}
		if err := c.empty(204); err != nil {
			return err
		}
		if err := c.s.Flush(); err != nil || !mine {
			return err
		}
		c.execute(x, argv, nil, nil)
		return nil
	})
}

// execute runs the container's own command to its end.
func (c *call) execute(x *container, argv []string, in io.Reader, to io.Writer) {
	out := &output{x: x, stream: 1, to: to, tty: x.spec.Tty}
	errs := &output{x: x, stream: 2, to: to, tty: x.spec.Tty}
	exit := 0
	switch {
	case argv[0] == "/hello":
		_, _ = io.WriteString(out, hello) // fails only when the visitor has left
	case argv[0] == "/docker-entrypoint.sh":
	case in == nil && bare(argv): // a shell without input ends at once
	default:
		exit = c.perform(x, argv, in, out, errs, x.spec.Tty)
	}
	if lasting(argv) && in == nil {
		return
	}
	c.engine.mu.Lock()
	x.stopped(exit, c.s.Now())
	c.engine.mu.Unlock()
}

const hello = "\nHello from Docker!\nThis message shows that your installation appears to be working correctly.\n\n"

// attach gives the connection to the container's streams.
func (c *call) attach() error {
	return c.with(func(x *container) error {
		e := c.engine
		stdin := c.flag("stdin") && x.spec.OpenStdin
		e.mu.Lock()
		if stdin {
			x.attached++
		}
		starts, tty := x.starts, x.spec.Tty
		fresh := !x.running()
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			if stdin {
				x.attached--
			}
			e.mu.Unlock()
		}()
		c.hijacked = true
		if err := httpd.Upgrade(c.s, c.r, "tcp", c.streamType(tty)); err != nil {
			return err
		}
		if fresh {
			err := c.until(func() bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				return x.starts > starts || x.state == "removed"
			})
			if err != nil {
				return err
			}
		}
		e.mu.Lock()
		mine := stdin && x.running() && !x.claimed && !x.resident
		if mine {
			x.claimed = true
		}
		from := len(x.out)
		if fresh || c.flag("logs") {
			from = 0
		}
		argv := x.argv()
		e.mu.Unlock()
		if mine {
			c.execute(x, argv, c.s, flushing{c})
			return c.s.Flush()
		}
		return c.follow(x, from, flushing{c}, tty, func(frame) bool { return true })
	})
}

// follow shows output from a frame on until the container ends.
func (c *call) follow(x *container, from int, to io.Writer, tty bool, want func(frame) bool) error {
	e := c.engine
	for {
		var next []frame
		over := false
		err := c.until(func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			if from < len(x.out) {
				next = append(next, x.out[from:]...)
			}
			over = !x.running()
			return len(next) > 0 || over
		})
		if err != nil {
			return err
		}
		from += len(next)
		for _, f := range next {
			if !want(f) {
				continue
			}
			if !tty {
				if _, err := to.Write(head(f.stream, len(f.data))); err != nil {
					return err
				}
			}
			if _, err := to.Write(f.data); err != nil {
				return err
			}
		}
		if over && len(next) == 0 {
			return nil
		}
	}
}

func (c *call) logs() error {
	return c.with(func(x *container) error {
		if !c.flag("stdout") && !c.flag("stderr") {
			return c.fail(400, "Bad parameters: you must choose at least one stream")
		}
		e := c.engine
		e.mu.Lock()
		frames := append([]frame(nil), x.out...)
		tty := x.spec.Tty
		e.mu.Unlock()
		out, err := c.stream(c.streamType(tty))
		if err != nil {
			return err
		}
		want := func(f frame) bool { return f.stream == 1 && c.flag("stdout") || f.stream == 2 && c.flag("stderr") }
		if n, err := strconv.Atoi(c.query.Get("tail")); err == nil && n >= 0 && n < len(frames) {
			frames = frames[len(frames)-n:]
		}
		for _, f := range frames {
			if !want(f) {
				continue
			}
			data := f.data
			if c.flag("timestamps") {
				data = append([]byte(f.at.UTC().Format(time.RFC3339Nano)+" "), data...)
			}
			if !tty {
				data = append(head(f.stream, len(data)), data...)
			}
			if _, err := out.Write(data); err != nil {
				return err
			}
		}
		if c.flag("follow") {
			e.mu.Lock()
			from := len(x.out)
			e.mu.Unlock()
			if err := c.follow(x, from, out, tty, want); err != nil {
				return err
			}
		}
		return out.Close()
	})
}

// wait answers when the container has ended.
func (c *call) wait() error {
	return c.with(func(x *container) error {
		e := c.engine
		e.mu.Lock()
		starts := x.starts
		e.mu.Unlock()
		out, err := c.stream("application/json")
		if err != nil {
			return err
		}
		condition := c.query.Get("condition")
		code := 0
		err = c.until(func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			code = x.exit
			switch condition {
			case "next-exit":
				return x.starts > starts && !x.running() || x.state == "removed"
			case "removed":
				return x.state == "removed"
			}
			return !x.running()
		})
		if err != nil {
			return err
		}
		if _, err := out.Write([]byte(`{"StatusCode":` + strconv.Itoa(code) + "}\n")); err != nil {
			return err
		}
		return out.Close()
	})
}

// execution is a command entered into a running container.
type execution struct {
	id      string
	x       *container
	argv    []string
	tty     bool
	stdin   bool
	started bool
	done    bool
	exit    int
}

type execSpec struct {
	AttachStdin, AttachStdout, AttachStderr, Tty, Privileged bool
	Cmd                                                      strslice
	Env                                                      []string
	User, WorkingDir                                         string
}

func execArgs(body []byte) (args []string) {
	var s execSpec
	if json.Unmarshal(body, &s) != nil {
		return nil
	}
	if s.Privileged {
		args = append(args, "privileged=true")
	}
	if len(s.Cmd) > 0 {
		args = append(args, "cmd="+cut(join(s.Cmd[:min(len(s.Cmd), maxArgs)]), maxArg))
	}
	if s.User != "" {
		args = append(args, "user="+cut(s.User, 64))
	}
	return args
}

func (c *call) execCreate() error {
	return c.with(func(x *container) error {
		var s execSpec
		if c.r.Cut || json.Unmarshal(c.r.Body, &s) != nil {
			return c.fail(400, "invalid JSON: "+why(c.r.Body))
		}
		if len(s.Cmd) == 0 {
			return c.fail(400, "No exec command specified")
		}
		clipped := spec{Cmd: s.Cmd}
		clipped.clip()
		e := c.engine
		ex := &execution{id: e.newID(), x: x, argv: clipped.Cmd, tty: s.Tty, stdin: s.AttachStdin}
		e.mu.Lock()
		run := x.running()
		if run {
			e.execs = append(e.execs, ex)
			if len(e.execs) > maxExecs {
				e.execs = append(e.execs[:0], e.execs[1:]...)
			}
		}
		e.mu.Unlock()
		if !run {
			return c.fail(409, "container "+x.id+" is not running")
		}
		e.keep(clipped.size())
		return c.reply(201, struct {
			ID string `json:"Id"`
		}{ex.id})
	})
}

func (c *call) execution(do func(*execution) error) error {
	c.engine.mu.Lock()
	var ex *execution
	for _, x := range c.engine.execs {
		if x.id == c.parts[1] {
			ex = x
		}
	}
	c.engine.mu.Unlock()
	if ex == nil {
		return c.fail(404, "No such exec instance: "+cut(c.parts[1], 128))
	}
	return do(ex)
}

func (c *call) execStart() error {
	return c.execution(func(ex *execution) error {
		var s struct{ Detach, Tty bool }
		_ = json.Unmarshal(c.r.Body, &s) // an empty body is allowed
		e := c.engine
		e.mu.Lock()
		again := ex.started
		ex.started = true
		e.mu.Unlock()
		if again {
			return c.fail(409, "Error: Exec command "+ex.id+" is already running")
		}
		if s.Detach {
			if err := c.empty(200); err != nil {
				return err
			}
			if err := c.s.Flush(); err != nil {
				return err
			}
			c.finish(ex, c.perform(ex.x, ex.argv, nil, io.Discard, io.Discard, false))
			return nil
		}
		if err := httpd.Upgrade(c.s, c.r, "tcp", c.streamType(ex.tty), c.headers()...); err != nil {
			return err
		}
		var in io.Reader
		if ex.stdin {
			in = c.s
		}
		out := &output{stream: 1, to: flushing{c}, tty: ex.tty}
		errs := &output{stream: 2, to: flushing{c}, tty: ex.tty}
		exit := 0
		if in != nil || !bare(ex.argv) {
			exit = c.perform(ex.x, ex.argv, in, out, errs, ex.tty)
		}
		c.finish(ex, exit)
		return c.s.Flush()
	})
}

func (c *call) finish(ex *execution, exit int) {
	c.engine.mu.Lock()
	ex.done, ex.exit = true, exit
	c.engine.mu.Unlock()
}

func (c *call) execResize() error {
	return c.execution(func(*execution) error { return c.empty(200) })
}

func (c *call) execInspect() error {
	return c.execution(func(ex *execution) error {
		e := c.engine
		e.mu.Lock()
		v := struct {
			ID            string
			Running       bool
			ExitCode      *int
			ProcessConfig struct {
				Tty        bool     `json:"tty"`
				Entrypoint string   `json:"entrypoint"`
				Arguments  []string `json:"arguments"`
				Privileged bool     `json:"privileged"`
			}
			OpenStdin, OpenStderr, OpenStdout, CanRemove bool
			ContainerID                                  string
			DetachKeys                                   string
			Pid                                          int
		}{ID: ex.id, Running: ex.started && !ex.done, OpenStdin: ex.stdin, OpenStderr: true, OpenStdout: true, ContainerID: ex.x.id, Pid: ex.x.pid() + 7}
		if ex.done {
			code := ex.exit
			v.ExitCode = &code
		}
		v.ProcessConfig.Tty, v.ProcessConfig.Entrypoint, v.ProcessConfig.Arguments = ex.tty, ex.argv[0], ex.argv[1:]
		e.mu.Unlock()
		return c.ok(v)
	})
}

// hubName is the name of an image as pull messages spell it.
func hubName(name string) string {
	if !strings.Contains(name, "/") {
		return "library/" + name
	}
	return name
}
