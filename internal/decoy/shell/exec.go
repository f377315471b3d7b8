package shell

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

func (e *env) simple(c *command) {
	e.status = e.substituted(c)
	argv, err := e.words(c.words)
	if err != nil {
		e.complain(err.Error())
		e.status = 1
		if e.style == styleDash || !e.sh.login {
			e.ctl = ctlExit
		}
		return
	}
	if e.sh.dead() {
		return
	}
	saved := e.fds
	if !e.redirect(c.redirs) {
		e.fds = saved
		e.status = 1
		return
	}
	if len(argv) == 0 {
		e.assignAll(c.assigns)
		e.fds = saved
		return
	}
	if len(c.assigns) > 0 { // VAR=x cmd: only for this command
		e.saved = append(e.saved, map[string]*variable{})
		for _, a := range c.assigns {
			e.hide(a.name)
		}
		e.assignAll(c.assigns)
		for _, a := range c.assigns {
			v := e.vars[a.name]
			v.exported = true
			e.vars[a.name] = v
		}
	}
	keep := argv[0] == "exec" && len(argv) == 1 // exec > file keeps its redirections
	e.invoke(argv, 0)
	if len(c.assigns) > 0 {
		e.unhide()
	}
	if !keep {
		e.fds = saved
	}
}

// substituted resets $? only when the command has words: an assignment takes
// the status of its last substitution.
func (e *env) substituted(c *command) int {
	if len(c.words) == 0 {
		return 0
	}
	return e.status
}

func (e *env) assignAll(list []assign) {
	for _, a := range list {
		switch {
		case a.isArr:
			vals, err := e.words(a.array)
			if err != nil {
				e.complain(err.Error())
				e.status = 1
				return
			}
			if a.append {
				vals = append(slices.Clone(e.elements(a.name)), vals...)
			}
			e.setList(a.name, vals)
			continue
		}
		val, _, err := e.expand(a.value)
		if err != nil {
			e.complain(err.Error())
			e.status = 1
			return
		}
		switch {
		case a.index != nil:
			e.setElement(a.name, e.single(a.index), val)
		default:
			if a.append {
				val = e.get(a.name) + val
			}
			if !e.set(a.name, val) {
				e.status = 1
			}
		}
	}
}

// invoke runs argv as alias, function, builtin or program.
func (e *env) invoke(argv []string, aliased int) {
	s := e.sh
	name := argv[0]
	if al, ok := s.aliases[name]; ok && aliased < 5 && s.login && e == s.top {
		if f := strings.Fields(al); len(f) > 0 {
			next := aliased + 1
			if f[0] == name {
				next = 5
			}
			e.invoke(append(f, argv[1:]...), next)
			return
		}
	}
	if fn, ok := e.funcs[name]; ok {
		e.callFunc(fn, argv)
		return
	}
	if b, ok := s.img.builtins[name]; ok && (e.style != styleDash || !bashOnly(name)) {
		e.status = b(e.newCall(argv))
		return
	}
	p := name
	if !strings.Contains(name, "/") {
		if p = e.find(name); p == "" {
			e.notFound(name)
			return
		}
	}
	e.program(p, argv)
}

func bashOnly(name string) bool {
	switch name {
	case "source", "declare", "typeset", "let", "shopt", "history", "disown", "mapfile", "pushd", "popd", "dirs":
		return true
	}
	return false
}

func (e *env) newCall(argv []string) *call {
	c := &call{sh: e.sh, e: e, name: argv[0], args: argv[1:], out: io.Discard, err: io.Discard}
	if e.fds[0] == nil || e.fds[0].r == nil {
		e.fds[0] = newInput(nil)
	}
	c.in = e.fds[0].r
	if e.fds[1] != nil && e.fds[1].w != nil {
		c.out = e.fds[1].w
	}
	if e.fds[2] != nil && e.fds[2].w != nil {
		c.err = e.fds[2].w
	}
	return c
}

func (e *env) notFound(name string) {
	e.status = 127
	if e.style == styleDash {
		e.complain(clip(name, 400) + ": not found")
		return
	}
	e.complain(clip(name, 400) + ": command not found")
}

// find searches PATH for an executable file.
func (e *env) find(name string) string {
	e.sh.fs.mu.Lock()
	defer e.sh.fs.mu.Unlock()
	for i, dir := range strings.Split(e.get("PATH"), ":") {
		if i > 32 || !e.sh.spend(1) {
			break
		}
		p := e.abs(strings.TrimSuffix(dir, "/") + "/" + name)
		if n, _, err := e.sh.fs.walk(p, true); err == nil && n.isReg() && n.mode&0o111 != 0 {
			return p
		}
	}
	return ""
}

// program runs the file p.
func (e *env) program(p string, argv []string) {
	s := e.sh
	s.fs.mu.Lock()
	n, _, err := s.fs.walk(e.abs(p), true)
	ok := err == nil && s.fs.allowed(n, 1) && (s.fs.uid != 0 || n.mode&0o111 != 0)
	if err == nil {
		s.fs.flush(n)
	}
	s.fs.mu.Unlock()
	switch {
	case err != nil:
		e.status = 127
		e.complain(clip(p, 400) + ": " + strings.Replace(err.Error(), "No such file or directory", map[bool]string{true: "not found", false: "No such file or directory"}[e.style == styleDash], 1))
		return
	case n.isDir():
		e.status = 126
		e.complain(clip(p, 400) + ": Is a directory")
		return
	case !ok:
		e.status = 126
		e.complain(clip(p, 400) + ": Permission denied")
		return
	}
	if n.prog != "" {
		if cmd := s.img.commands[n.prog]; cmd != nil {
			c := e.newCall(argv)
			if n.prog == "busybox" || n.prog == "bash" || n.prog == "sh" {
				c.name = n.prog
			} else if i := strings.LastIndexByte(c.name, '/'); i >= 0 {
				c.name = c.name[i+1:]
			}
			s.spend(4)
			e.status = cmd(c)
			return
		}
	}
	e.payload(p, s.fs.content(n), argv)
}

// payload "runs" a file the visitor brought.
func (e *env) payload(p string, data []byte, argv []string) {
	switch {
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		e.status = 0
		if !runsHere(data) {
			e.status = 126
			e.complain(clip(p, 400) + ": cannot execute binary file: Exec format error")
		}
		e.sh.newPID()
	case len(data) == 0:
		e.status = 0
	case bytes.IndexByte(data[:min(len(data), 512)], 0) >= 0:
		e.status = 126
		e.complain(clip(p, 400) + ": cannot execute binary file: Exec format error")
	default:
		line, _, _ := strings.Cut(string(data[:min(len(data), 256)]), "\n")
		kind := styleScript
		if strings.HasPrefix(line, "#!") {
			f := strings.Fields(line[2:])
			interp := ""
			if len(f) > 0 {
				interp = f[0][strings.LastIndexByte(f[0], '/')+1:]
				if interp == "env" && len(f) > 1 {
					interp = f[1]
				}
			}
			switch interp {
			case "sh", "dash", "ash":
				kind = styleDash
			case "bash", "zsh", "ksh":
			default:
				e.status = 0 // python, perl, php: taken as it is, quietly
				return
			}
		}
		e.runScript(string(data), argv[0], argv[1:], kind)
	}
}

// runsHere says whether an ELF header names this machine's architecture.
func runsHere(elf []byte) bool {
	if len(elf) < 20 {
		return false
	}
	m := binary.LittleEndian.Uint16(elf[18:])
	return elf[5] == 1 && (m == 62 || m == 3) // EM_X86_64, EM_386
}

// runScript runs source in a shell of its own.
func (e *env) runScript(src, name string, args []string, kind style) {
	if !e.sh.fork(e) {
		return
	}
	c := e.sub()
	c.name, c.args, c.style = name, args, kind
	c.pid = e.sh.newPID()
	c.opts = [128]bool{}
	c.funcs = map[string]*command{}
	for k, v := range c.vars {
		if !v.exported && k != "IFS" && k != "PS1" && k != "OPTIND" && !strings.HasPrefix(k, "BASH") {
			delete(c.vars, k)
		}
	}
	c.script(src, true)
	e.status = c.status & 255
}

func (e *env) callFunc(fn *command, argv []string) {
	s := e.sh
	if s.depth++; s.depth > s.limits.Depth {
		s.depth--
		e.complain(argv[0] + ": maximum function nesting level exceeded")
		s.abort("")
		return
	}
	defer func() { s.depth-- }()
	args, loops := e.args, e.loops
	e.args, e.loops = argv[1:], 0
	e.inFunc++
	e.saved = append(e.saved, map[string]*variable{})
	e.command(fn)
	e.unhide()
	e.inFunc--
	e.args, e.loops = args, loops
	if e.ctl == ctlReturn {
		e.ctl = ctlNone
	}
}
