package interp

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

func (e *env) simple(c *syntax.Command) {
	e.Status = e.substituted(c)
	argv, err := e.words(c.Words)
	if err != nil {
		e.complain(err.Error())
		e.Status = 1
		if e.style == StyleDash || !e.sh.Login {
			e.Ctl = CtlExit
		}
		return
	}
	if e.sh.Dead() {
		return
	}
	saved := e.Fds
	if !e.redirect(c.Redirs) {
		e.Fds = saved
		e.Status = 1
		return
	}
	if len(argv) == 0 {
		e.assignAll(c.Assigns)
		e.Fds = saved
		return
	}
	if len(c.Assigns) > 0 { // VAR=x cmd: only for this command
		e.saved = append(e.saved, map[string]*variable{})
		for _, a := range c.Assigns {
			e.hide(a.Name)
		}
		e.assignAll(c.Assigns)
		for _, a := range c.Assigns {
			v := e.Vars[a.Name]
			v.Exported = true
			e.Vars[a.Name] = v
		}
	}
	keep := argv[0] == "exec" && len(argv) == 1 // exec > file keeps its redirections
	e.Invoke(argv, 0)
	if len(c.Assigns) > 0 {
		e.unhide()
	}
	if !keep {
		e.Fds = saved
	}
}

// substituted resets $? only when the command has words: an assignment takes
// the status of its last substitution.
func (e *env) substituted(c *syntax.Command) int {
	if len(c.Words) == 0 {
		return 0
	}
	return e.Status
}

func (e *env) assignAll(list []syntax.Assign) {
	for _, a := range list {
		switch {
		case a.IsArr:
			vals, err := e.words(a.Array)
			if err != nil {
				e.complain(err.Error())
				e.Status = 1
				return
			}
			if a.Append {
				vals = append(slices.Clone(e.elements(a.Name)), vals...)
			}
			e.setList(a.Name, vals)
			continue
		}
		val, _, err := e.expand(a.Value)
		if err != nil {
			e.complain(err.Error())
			e.Status = 1
			return
		}
		switch {
		case a.Index != nil:
			e.setElement(a.Name, e.single(a.Index), val)
		default:
			if a.Append {
				val = e.get(a.Name) + val
			}
			if !e.set(a.Name, val) {
				e.Status = 1
			}
		}
	}
}

// Invoke runs argv as alias, function, builtin or program.
func (e *env) Invoke(argv []string, aliased int) {
	s := e.sh
	name := argv[0]
	if al, ok := s.aliases[name]; ok && aliased < 5 && s.Login && e == s.Top {
		if f := strings.Fields(al); len(f) > 0 {
			next := aliased + 1
			if f[0] == name {
				next = 5
			}
			e.Invoke(append(f, argv[1:]...), next)
			return
		}
	}
	if fn, ok := e.funcs[name]; ok {
		e.callFunc(fn, argv)
		return
	}
	if b, ok := s.Img.Builtins[name]; ok && (e.style != StyleDash || !bashOnly(name)) {
		e.Status = b(e.newCall(argv))
		return
	}
	p := name
	if !strings.Contains(name, "/") {
		if p = e.Find(name); p == "" {
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

func (e *env) newCall(argv []string) *Call {
	c := &Call{Sh: e.sh, E: e, Name: argv[0], Args: argv[1:], Out: io.Discard, Err: io.Discard}
	if e.Fds[0] == nil || e.Fds[0].r == nil {
		e.Fds[0] = NewInput(nil)
	}
	c.In = e.Fds[0].r
	if e.Fds[1] != nil && e.Fds[1].W != nil {
		c.Out = e.Fds[1].W
	}
	if e.Fds[2] != nil && e.Fds[2].W != nil {
		c.Err = e.Fds[2].W
	}
	return c
}

func (e *env) notFound(name string) {
	e.Status = 127
	if e.style == StyleDash {
		e.complain(Clip(name, 400) + ": not found")
		return
	}
	e.complain(Clip(name, 400) + ": command not found")
}

// Find searches PATH for an executable file.
func (e *env) Find(name string) string {
	e.sh.Fs.Mu.Lock()
	defer e.sh.Fs.Mu.Unlock()
	for i, dir := range strings.Split(e.get("PATH"), ":") {
		if i > 32 || !e.sh.Spend(1) {
			break
		}
		p := e.Abs(strings.TrimSuffix(dir, "/") + "/" + name)
		if n, _, err := e.sh.Fs.Walk(p, true); err == nil && n.IsReg() && n.Mode&0o111 != 0 {
			return p
		}
	}
	return ""
}

// program runs the file p.
func (e *env) program(p string, argv []string) {
	s := e.sh
	s.Fs.Mu.Lock()
	found, canonical, err := s.Fs.Walk(e.Abs(p), true)
	ok := err == nil && s.Fs.Allowed(found, 1) && (s.Fs.Uid != 0 || found.Mode&0o111 != 0)
	var n vfs.Node
	if err == nil {
		s.Fs.Flush(found)
		n = found.Snapshot()
	}
	s.Fs.Mu.Unlock()
	switch {
	case err != nil:
		e.Status = 127
		e.complain(Clip(p, 400) + ": " + strings.Replace(err.Error(), "No such file or directory", map[bool]string{true: "not found", false: "No such file or directory"}[e.style == StyleDash], 1))
		return
	case n.IsDir():
		e.Status = 126
		e.complain(Clip(p, 400) + ": Is a directory")
		return
	case !ok:
		e.Status = 126
		e.complain(Clip(p, 400) + ": Permission denied")
		return
	}
	if n.Prog != "" {
		if cmd := s.Img.Commands[n.Prog]; cmd != nil {
			c := e.newCall(argv)
			if n.Prog == "busybox" || n.Prog == "bash" || n.Prog == "sh" {
				c.Name = n.Prog
			} else if i := strings.LastIndexByte(c.Name, '/'); i >= 0 {
				c.Name = c.Name[i+1:]
			}
			s.Spend(4)
			e.Status = cmd(c)
			return
		}
	}
	data, err := s.Fs.Slurp(canonical)
	if err != nil { // executable but not readable: it runs and shows nothing
		e.Status = 0
		return
	}
	e.payload(p, data, argv)
}

// payload "runs" a file the visitor brought.
func (e *env) payload(p string, data []byte, argv []string) {
	switch {
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		e.Status = 0
		if !runsHere(data) {
			e.Status = 126
			e.complain(Clip(p, 400) + ": cannot execute binary file: Exec format error")
		}
		e.sh.newPID()
	case len(data) == 0:
		e.Status = 0
	case bytes.IndexByte(data[:min(len(data), 512)], 0) >= 0:
		e.Status = 126
		e.complain(Clip(p, 400) + ": cannot execute binary file: Exec format error")
	default:
		line, _, _ := strings.Cut(string(data[:min(len(data), 256)]), "\n")
		kind := StyleScript
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
				kind = StyleDash
			case "bash", "zsh", "ksh":
			default:
				e.Status = 0 // python, perl, php: taken as it is, quietly
				return
			}
		}
		e.RunScript(string(data), argv[0], argv[1:], kind)
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

// RunScript runs source in a shell of its own.
func (e *env) RunScript(src, name string, args []string, kind Style) {
	if !e.sh.fork(e) {
		return
	}
	c := e.Sub()
	c.Name, c.args, c.style = name, args, kind
	c.pid = e.sh.newPID()
	c.opts = [128]bool{}
	c.funcs = map[string]*syntax.Command{}
	for k, v := range c.Vars {
		if !v.Exported && k != "IFS" && k != "PS1" && k != "OPTIND" && !strings.HasPrefix(k, "BASH") {
			delete(c.Vars, k)
		}
	}
	c.script(src, true)
	e.Status = c.Status & 255
}

func (e *env) callFunc(fn *syntax.Command, argv []string) {
	s := e.sh
	if s.depth++; s.depth > s.Limits.Depth {
		s.depth--
		e.complain(argv[0] + ": maximum function nesting level exceeded")
		s.Abort("")
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
	if e.Ctl == ctlReturn {
		e.Ctl = ctlNone
	}
}
