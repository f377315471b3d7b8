package shell

import (
	"bufio"
	"bytes"
	"strings"
	"time"
)

// script runs source text command by command, as a shell reads it.
func (e *env) script(src string, nested bool) {
	if e.sh.depth++; e.sh.depth > e.sh.limits.Depth {
		e.sh.depth--
		e.complain("fork: retry: Resource temporarily unavailable")
		e.sh.abort("")
		return
	}
	defer func() { e.sh.depth-- }()
	if !e.sh.spend(1 + len(src)/64) {
		return
	}
	p := newParser(src, 3*e.sh.limits.Depth)
	for e.ctl == ctlNone && !e.sh.dead() {
		start := p.pos
		l, err := p.next()
		if nested && p.pos > start {
			e.sh.recordCommand(src[start:min(p.pos, len(src))])
		}
		if err != nil && !(err == errIncomplete && l != nil) {
			e.syntax(err, src)
			return
		}
		if l == nil {
			return
		}
		e.list(l)
	}
}

func (e *env) syntax(err error, src string) {
	e.status = 2
	se, ok := err.(*syntaxError)
	if e.style == styleDash {
		if ok {
			e.errorf("%s: %d: Syntax error: \"%s\" unexpected\n", e.name, se.line, clip(se.near, 80))
		} else {
			e.errorf("%s: %d: Syntax error: end of file unexpected\n", e.name, 1+strings.Count(src, "\n"))
		}
		return
	}
	pre := e.prefix()
	if e.name == "bash" {
		pre = "bash: -c: line " + itoa(max(1, e.line)) + ": "
	}
	if !ok {
		e.errorf("%s%s\n", pre, err)
		return
	}
	e.errorf("%ssyntax error near unexpected token `%s'\n", pre, clip(se.near, 80))
	if lines := strings.Split(src, "\n"); se.near != "newline" && se.line-1 < len(lines) && se.line > 0 {
		e.errorf("%s`%s'\n", pre, clip(lines[se.line-1], 400))
	}
}

func (e *env) list(l *list) {
	if l == nil {
		return
	}
	for _, it := range l.items {
		if e.ctl != ctlNone || !e.sh.spend(1) {
			return
		}
		if it.bg {
			e.background(it)
			continue
		}
		e.andOr(it)
	}
}

func (e *env) andOr(it item) {
	if len(it.rest) > 0 {
		e.quiet++
	}
	e.pipeline(it.first)
	if len(it.rest) > 0 {
		e.quiet--
	}
	for i, r := range it.rest {
		if e.ctl != ctlNone || e.sh.dead() {
			return
		}
		if r.and != (e.status == 0) {
			continue
		}
		last := i == len(it.rest)-1
		if !last {
			e.quiet++
		}
		e.pipeline(r.p)
		if !last {
			e.quiet--
		}
	}
}

// background runs a job to its end at once, with a share of the budget: an
// endless job just goes on "running" in the visitor's eyes.
func (e *env) background(it item) {
	s := e.sh
	if !s.fork(e) {
		return
	}
	c := e.sub()
	c.fds[0] = newInput(nil)
	pid := s.newPID()
	c.pid, s.lastBG = pid, pid
	if s.login && e == s.top {
		e.errorf("[%d] %d\n", len(s.jobs)+1, pid)
	}
	oldMax, oldForks := s.stepMax, s.forks
	s.stepMax = s.steps + (oldMax-s.steps)/4
	c.andOr(it)
	if s.stop && s.steps > s.stepMax && s.ctx.Err() == nil {
		s.stop, s.stopWhy = false, ""
		if len(s.jobs) < 16 {
			s.jobs = append(s.jobs, job{id: len(s.jobs) + 1, pid: pid})
		}
		s.forks = oldForks
	}
	s.stepMax = oldMax
	e.status = 0
}

func (e *env) pipeline(pl *pipeline) {
	if len(pl.cmds) == 1 {
		if pl.not {
			e.quiet++
		}
		e.command(pl.cmds[0])
		if pl.not {
			e.quiet--
		}
	} else {
		e.pipe(pl)
	}
	if pl.not {
		e.status = int(b2i(e.status == 0))
	} else if e.status != 0 && e.opts['e'] && e.quiet == 0 && e.ctl == ctlNone {
		e.ctl = ctlExit
	}
}

func (e *env) pipe(pl *pipeline) {
	s := e.sh
	if len(pl.cmds) > s.limits.Pipeline {
		e.complain("fork: retry: Resource temporarily unavailable")
		e.status = 254
		return
	}
	in := e.fds[0]
	for i, c := range pl.cmds {
		if !s.fork(e) {
			return
		}
		sub := e.sub()
		sub.fds[0] = in
		var out *pipeBuf
		if i < len(pl.cmds)-1 {
			out = &pipeBuf{s: s, max: s.limits.PipeBytes, e: sub}
			sub.fds[1] = &stream{w: out}
		}
		sub.command(c)
		if s.dead() {
			return
		}
		if out != nil {
			in = &stream{r: bufio.NewReader(bytes.NewReader(out.buf.Bytes()))}
		}
		e.status = sub.status
	}
}

// capture runs a command substitution and returns its output.
func (e *env) capture(body *list) string {
	s := e.sh
	if s.depth >= s.limits.Depth || !s.fork(e) {
		s.abort("fork: Resource temporarily unavailable")
		return ""
	}
	s.depth++
	defer func() { s.depth-- }()
	sub := e.sub()
	out := &pipeBuf{s: s, max: s.limits.VarBytes, e: sub}
	sub.fds[1] = &stream{w: out}
	sub.list(body)
	e.status = sub.status
	return strings.ReplaceAll(out.buf.String(), "\x00", "")
}

func (e *env) command(c *command) {
	if !e.sh.spend(1) {
		return
	}
	e.line = c.line
	if c.kind == cmdSimple {
		e.simple(c)
		return
	}
	saved := e.fds
	if len(c.redirs) > 0 && !e.redirect(c.redirs) {
		e.fds = saved
		e.status = 1
		return
	}
	e.compound(c)
	e.fds = saved
}

func (e *env) compound(c *command) {
	switch c.kind {
	case cmdGroup:
		e.list(c.body)
	case cmdSub:
		if !e.sh.fork(e) {
			return
		}
		sub := e.sub()
		sub.pid = e.sh.newPID()
		sub.list(c.body)
		e.status = sub.status
	case cmdIf:
		e.quiet++
		e.list(c.cond)
		e.quiet--
		if e.ctl != ctlNone {
			return
		}
		if e.status == 0 {
			e.list(c.body)
			return
		}
		e.status = 0
		e.list(c.els)
	case cmdWhile, cmdUntil:
		e.loop(func() bool {
			e.quiet++
			e.list(c.cond)
			e.quiet--
			return (e.status == 0) == (c.kind == cmdWhile)
		}, nil, c.body)
	case cmdFor, cmdForArith:
		e.forLoop(c)
	case cmdCase:
		e.caseOf(c)
	case cmdFunc:
		if _, ok := e.funcs[c.name]; !ok && len(e.funcs) >= e.sh.limits.Vars {
			e.complain("cannot allocate memory")
			e.status = 1
			return
		}
		e.funcs[c.name] = c.fn
		e.status = 0
	case cmdCond:
		e.status = e.cond(c)
	case cmdArith:
		v, err := e.arith(e.single(c.arith[0]))
		if err != nil {
			e.complain("((: " + err.Error())
		}
		e.status = int(b2i(v == 0 || err != nil))
	}
}

// loop runs body while more says so; post follows every round.
func (e *env) loop(more func() bool, post func(), body *list) {
	e.loops++
	defer func() { e.loops-- }()
	status := 0
	for e.sh.spend(2) {
		if !more() || e.ctl != ctlNone || e.sh.dead() {
			break
		}
		e.list(body)
		status = e.status
		if e.ctl == ctlBreak || e.ctl == ctlContinue {
			if e.ctlN--; e.ctlN > 0 && e.loops > 1 {
				return
			}
			again := e.ctl == ctlContinue
			e.ctl = ctlNone
			if !again {
				break
			}
		}
		if e.ctl != ctlNone {
			return
		}
		if post != nil {
			post()
		}
	}
	if e.ctl == ctlNone {
		e.status = status
	}
}

func (e *env) forLoop(c *command) {
	if c.kind == cmdForArith {
		calc := func(i int) int64 {
			v, err := e.arith(e.single(c.arith[i]))
			if err != nil {
				e.complain("((: " + err.Error())
				e.ctl, e.ctlN = ctlBreak, 1
			}
			return v
		}
		calc(0)
		empty := strings.TrimSpace(e.single(c.arith[1])) == ""
		e.loop(func() bool { return empty || calc(1) != 0 }, func() { calc(2) }, c.body)
		return
	}
	list := e.args
	if c.inWords {
		var err error
		if list, err = e.words(c.words); err != nil {
			e.complain(err.Error())
			e.status = 1
			return
		}
	}
	i := 0
	e.status = 0
	e.loop(func() bool {
		if i == len(list) {
			return false
		}
		i++
		return e.set(c.name, list[i-1])
	}, nil, c.body)
}

func (e *env) caseOf(c *command) {
	subject := e.single(c.subject)
	e.status = 0
	through := false
	for _, a := range c.arms {
		hit := through
		for _, p := range a.pats {
			if hit || e.sh.dead() {
				break
			}
			pat := e.pattern(p)
			hit = e.sh.spend(1+len(subject)*len(pat)/64) && match(pat, subject)
		}
		if !hit {
			continue
		}
		e.list(a.body)
		if through = a.next; !through {
			return
		}
	}
}

// redirect applies redirections to e.fds; the caller restores them.
func (e *env) redirect(list []redir) bool {
	for _, r := range list {
		if !e.redirectOne(r) {
			return false
		}
	}
	return true
}

func (e *env) redirectOne(r redir) bool {
	fd := r.fd
	if fd < 0 {
		fd = int(b2i(r.op[0] != '<'))
	}
	if r.here != nil {
		text := e.single(r.here.body)
		e.fds[fd] = newInput(strings.NewReader(text))
		return true
	}
	target := e.single(r.to)
	if r.op != "<<<" && len(r.to) == 1 && r.to[0].kind != partQuoted {
		// bash expands patterns in targets when exactly one file matches
		if list, err := e.words([]word{r.to}); err == nil && len(list) != 1 {
			e.complain(clip(target, 200) + ": ambiguous redirect")
			return false
		} else if err == nil {
			target = list[0]
		}
	}
	if strings.HasPrefix(target, "/dev/tcp/") || strings.HasPrefix(target, "/dev/udp/") {
		parts := strings.SplitN(target[5:], "/", 3)
		if len(parts) == 3 {
			e.sh.recordDownload(parts[0]+"://"+parts[1]+":"+parts[2], "bash")
		}
		e.complain("connect: Connection timed out")
		e.complain(clip(target, 200) + ": Connection timed out")
		return false
	}
	switch r.op {
	case "<<<":
		e.fds[fd] = newInput(strings.NewReader(target + "\n"))
		return true
	case "<", "<>":
		rd, err := e.sh.openRead(e.abs(target))
		if err != nil {
			return e.redirectError(target, err)
		}
		e.fds[fd] = newInput(rd)
		return true
	case ">&", "<&":
		if target == "-" {
			e.fds[fd] = nil
			return true
		}
		if len(target) == 1 && isDigit(target[0]) {
			src := e.fds[target[0]-'0']
			if src == nil {
				e.complain(target + ": Bad file descriptor")
				return false
			}
			e.fds[fd] = src
			return true
		}
		return e.openOut(target, false, 1, 2)
	case "&>", "&>>":
		return e.openOut(target, r.op == "&>>", 1, 2)
	}
	return e.openOut(target, r.op == ">>", fd)
}

func (e *env) openOut(target string, appending bool, fds ...int) bool {
	if target == "" {
		e.complain(": No such file or directory")
		return false
	}
	w, err := e.sh.openWrite(e.abs(target), appending)
	if err != nil {
		return e.redirectError(target, err)
	}
	if target == "/dev/stdout" || target == "/dev/stderr" || target == "/dev/tty" {
		n := 1 + b2i(target == "/dev/stderr")
		if e.fds[n] != nil {
			w = e.fds[n].w
		}
	}
	st := &stream{w: w}
	for _, fd := range fds {
		e.fds[fd] = st
	}
	return true
}

func (e *env) redirectError(target string, err error) bool {
	if e.style == styleDash {
		verb := "open"
		if err != errNoEnt {
			verb = "create"
		}
		e.complain("cannot " + verb + " " + clip(target, 400) + ": " + strings.TrimSuffix(err.Error(), " or directory"))
		return false
	}
	e.complain(clip(target, 400) + ": " + err.Error())
	return false
}

// abs makes a path absolute.
func (e *env) abs(p string) string {
	switch {
	case p == "":
		return ""
	case p[0] == '/':
		return p
	}
	return strings.TrimSuffix(e.cwd, "/") + "/" + p
}

// sleep pretends to sleep; only a part of it is real time.
func (s *Shell) sleep(d time.Duration) {
	d = max(0, min(d, 24*time.Hour))
	wait := min(d, max(0, s.limits.Sleep-s.slept))
	s.slept += wait
	s.skew = min(s.skew+d-wait, 7*24*time.Hour)
	if wait == 0 || s.ctx == nil {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
		s.abort("")
	}
}
