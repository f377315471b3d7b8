package interp

import (
	"bufio"
	"bytes"
	"strings"

	"bartizan/internal/decoy/shell/syntax"
)

// script runs source text command by command, as a shell reads it.
func (e *env) script(src string, nested bool) {
	if e.sh.depth++; e.sh.depth > e.sh.Limits.Depth {
		e.sh.depth--
		e.complain("fork: retry: Resource temporarily unavailable")
		e.sh.Abort("")
		return
	}
	defer func() { e.sh.depth-- }()
	if !e.sh.Spend(1 + len(src)/64) {
		return
	}
	p := syntax.NewParser(src, 3*e.sh.Limits.Depth)
	for e.Ctl == ctlNone && !e.sh.Dead() {
		start := p.Pos
		l, err := p.Next()
		if nested && p.Pos > start {
			e.sh.RecordCommand(src[start:min(p.Pos, len(src))])
		}
		if err != nil && !(err == syntax.ErrIncomplete && l != nil) {
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
	e.Status = 2
	se, ok := err.(*syntax.SyntaxError)
	if e.style == StyleDash {
		if ok {
			e.errorf("%s: %d: Syntax error: \"%s\" unexpected\n", e.Name, se.Line, Clip(se.Near, 80))
		} else {
			e.errorf("%s: %d: Syntax error: end of file unexpected\n", e.Name, 1+strings.Count(src, "\n"))
		}
		return
	}
	pre := e.prefix()
	if e.Name == "bash" {
		pre = "bash: -c: line " + Itoa(max(1, e.line)) + ": "
	}
	if !ok {
		e.errorf("%s%s\n", pre, err)
		return
	}
	e.errorf("%ssyntax error near unexpected token `%s'\n", pre, Clip(se.Near, 80))
	if lines := strings.Split(src, "\n"); se.Near != "newline" && se.Line-1 < len(lines) && se.Line > 0 {
		e.errorf("%s`%s'\n", pre, Clip(lines[se.Line-1], 400))
	}
}

func (e *env) list(l *syntax.List) {
	if l == nil {
		return
	}
	for _, it := range l.Items {
		if e.Ctl != ctlNone || !e.sh.Spend(1) {
			return
		}
		if it.Bg {
			e.background(it)
			continue
		}
		e.andOr(it)
	}
}

func (e *env) andOr(it syntax.Item) {
	if len(it.Rest) > 0 {
		e.quiet++
	}
	e.pipeline(it.First)
	if len(it.Rest) > 0 {
		e.quiet--
	}
	for i, r := range it.Rest {
		if e.Ctl != ctlNone || e.sh.Dead() {
			return
		}
		if r.And != (e.Status == 0) {
			continue
		}
		last := i == len(it.Rest)-1
		if !last {
			e.quiet++
		}
		e.pipeline(r.P)
		if !last {
			e.quiet--
		}
	}
}

// background runs a job to its end at once, with a share of the budget: an
// endless job just goes on "running" in the visitor's eyes.
func (e *env) background(it syntax.Item) {
	s := e.sh
	if !s.fork(e) {
		return
	}
	c := e.Sub()
	c.Fds[0] = NewInput(nil)
	pid := s.newPID()
	c.pid, s.lastBG = pid, pid
	if s.Login && e == s.Top {
		e.errorf("[%d] %d\n", len(s.Jobs)+1, pid)
	}
	oldMax, oldForks := s.stepMax, s.forks
	s.stepMax = s.Steps + (oldMax-s.Steps)/4
	c.andOr(it)
	if s.stop && s.Steps > s.stepMax && s.ctx.Err() == nil {
		s.stop, s.stopWhy = false, ""
		if len(s.Jobs) < 16 {
			s.Jobs = append(s.Jobs, job{id: len(s.Jobs) + 1, Pid: pid})
		}
		s.forks = oldForks
	}
	s.stepMax = oldMax
	e.Status = 0
}

func (e *env) pipeline(pl *syntax.Pipeline) {
	if len(pl.Cmds) == 1 {
		if pl.Not {
			e.quiet++
		}
		e.command(pl.Cmds[0])
		if pl.Not {
			e.quiet--
		}
	} else {
		e.pipe(pl)
	}
	if pl.Not {
		e.Status = int(syntax.B2i(e.Status == 0))
	} else if e.Status != 0 && e.opts['e'] && e.quiet == 0 && e.Ctl == ctlNone {
		e.Ctl = CtlExit
	}
}

func (e *env) pipe(pl *syntax.Pipeline) {
	s := e.sh
	if len(pl.Cmds) > s.Limits.Pipeline {
		e.complain("fork: retry: Resource temporarily unavailable")
		e.Status = 254
		return
	}
	in := e.Fds[0]
	for i, c := range pl.Cmds {
		if !s.fork(e) {
			return
		}
		sub := e.Sub()
		sub.Fds[0] = in
		var out *pipeBuf
		if i < len(pl.Cmds)-1 {
			out = &pipeBuf{s: s, max: s.Limits.PipeBytes, e: sub}
			sub.Fds[1] = &Stream{W: out}
		}
		sub.command(c)
		if s.Dead() {
			return
		}
		if out != nil {
			in = &Stream{r: bufio.NewReader(bytes.NewReader(out.buf.Bytes()))}
		}
		e.Status = sub.Status
	}
}

// capture runs a command substitution and returns its output.
func (e *env) capture(body *syntax.List) string {
	s := e.sh
	if s.depth >= s.Limits.Depth || !s.fork(e) {
		s.Abort("fork: Resource temporarily unavailable")
		return ""
	}
	s.depth++
	defer func() { s.depth-- }()
	sub := e.Sub()
	out := &pipeBuf{s: s, max: s.Limits.VarBytes, e: sub}
	sub.Fds[1] = &Stream{W: out}
	sub.list(body)
	e.Status = sub.Status
	return strings.ReplaceAll(out.buf.String(), "\x00", "")
}

func (e *env) command(c *syntax.Command) {
	if !e.sh.Spend(1) {
		return
	}
	e.line = c.Line
	if c.Kind == syntax.CmdSimple {
		e.simple(c)
		return
	}
	saved := e.Fds
	if len(c.Redirs) > 0 && !e.redirect(c.Redirs) {
		e.Fds = saved
		e.Status = 1
		return
	}
	e.compound(c)
	e.Fds = saved
}

func (e *env) compound(c *syntax.Command) {
	switch c.Kind {
	case syntax.CmdGroup:
		e.list(c.Body)
	case syntax.CmdSub:
		if !e.sh.fork(e) {
			return
		}
		sub := e.Sub()
		sub.pid = e.sh.newPID()
		sub.list(c.Body)
		e.Status = sub.Status
	case syntax.CmdIf:
		e.quiet++
		e.list(c.Cond)
		e.quiet--
		if e.Ctl != ctlNone {
			return
		}
		if e.Status == 0 {
			e.list(c.Body)
			return
		}
		e.Status = 0
		e.list(c.Els)
	case syntax.CmdWhile, syntax.CmdUntil:
		e.loop(func() bool {
			e.quiet++
			e.list(c.Cond)
			e.quiet--
			return (e.Status == 0) == (c.Kind == syntax.CmdWhile)
		}, nil, c.Body)
	case syntax.CmdFor, syntax.CmdForArith:
		e.forLoop(c)
	case syntax.CmdCase:
		e.caseOf(c)
	case syntax.CmdFunc:
		if _, ok := e.funcs[c.Name]; !ok && len(e.funcs) >= e.sh.Limits.Vars {
			e.complain("cannot allocate memory")
			e.Status = 1
			return
		}
		e.funcs[c.Name] = c.Fn
		e.Status = 0
	case syntax.CmdCond:
		e.Status = e.cond(c)
	case syntax.CmdArith:
		v, err := e.Arith(e.single(c.Arith[0]))
		if err != nil {
			e.complain("((: " + err.Error())
		}
		e.Status = int(syntax.B2i(v == 0 || err != nil))
	}
}

// loop runs body while more says so; post follows every round.
func (e *env) loop(more func() bool, post func(), body *syntax.List) {
	e.loops++
	defer func() { e.loops-- }()
	status := 0
	for e.sh.Spend(2) {
		if !more() || e.Ctl != ctlNone || e.sh.Dead() {
			break
		}
		e.list(body)
		status = e.Status
		if e.Ctl == ctlBreak || e.Ctl == ctlContinue {
			if e.ctlN--; e.ctlN > 0 && e.loops > 1 {
				return
			}
			again := e.Ctl == ctlContinue
			e.Ctl = ctlNone
			if !again {
				break
			}
		}
		if e.Ctl != ctlNone {
			return
		}
		if post != nil {
			post()
		}
	}
	if e.Ctl == ctlNone {
		e.Status = status
	}
}

func (e *env) forLoop(c *syntax.Command) {
	if c.Kind == syntax.CmdForArith {
		calc := func(i int) int64 {
			v, err := e.Arith(e.single(c.Arith[i]))
			if err != nil {
				e.complain("((: " + err.Error())
				e.Ctl, e.ctlN = ctlBreak, 1
			}
			return v
		}
		calc(0)
		empty := strings.TrimSpace(e.single(c.Arith[1])) == ""
		e.loop(func() bool { return empty || calc(1) != 0 }, func() { calc(2) }, c.Body)
		return
	}
	list := e.args
	if c.InWords {
		var err error
		if list, err = e.words(c.Words); err != nil {
			e.complain(err.Error())
			e.Status = 1
			return
		}
	}
	i := 0
	e.Status = 0
	e.loop(func() bool {
		if i == len(list) {
			return false
		}
		i++
		return e.set(c.Name, list[i-1])
	}, nil, c.Body)
}

func (e *env) caseOf(c *syntax.Command) {
	subject := e.single(c.Subject)
	e.Status = 0
	through := false
	for _, a := range c.Arms {
		hit := through
		for _, p := range a.Pats {
			if hit || e.sh.Dead() {
				break
			}
			pat := e.pattern(p)
			hit = e.sh.Spend(1+len(subject)*len(pat)/64) && syntax.Match(pat, subject)
		}
		if !hit {
			continue
		}
		e.list(a.Body)
		if through = a.Next; !through {
			return
		}
	}
}
