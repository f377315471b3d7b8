package shell

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// shellError is an expansion error that ends the command.
type shellError string

func (e shellError) Error() string { return string(e) }

type ctl uint8

const (
	ctlNone ctl = iota
	ctlBreak
	ctlContinue
	ctlReturn
	ctlExit
)

type variable struct {
	val      string
	arr      []string // not nil for an array
	exported bool
	readonly bool
	local    bool
}

// env is the execution environment of one shell or subshell.
type env struct {
	sh     *Shell
	vars   map[string]variable
	funcs  map[string]*command
	args   []string
	name   string // $0
	cwd    string
	fds    [10]*stream
	status int
	ctl    ctl
	ctlN   int
	loops  int
	inFunc int
	opts   [128]bool
	line   int
	style  style
	saved  []map[string]*variable // variables hidden by local, per function call
	pid    int
	quiet  int // > 0 inside conditions, where set -e does not apply
}

// style selects how errors are introduced, which tells shells apart.
type style uint8

const (
	styleBash   style = iota // "bash: line 1: "
	styleScript              // "./x.sh: line 1: "
	styleDash                // "sh: 1: "
)

func newEnv(s *Shell) *env {
	e := &env{sh: s, vars: map[string]variable{}, funcs: map[string]*command{}, name: "bash", cwd: "/", pid: s.pid}
	e.setExport("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	e.setExport("LANG", "en_US.UTF-8")
	e.setExport("TERM", "xterm-256color")
	e.set("PS1", `\u@\h:\w\$ `)
	e.set("PS2", "> ")
	e.set("IFS", " \t\n")
	e.set("OPTIND", "1")
	e.set("HOSTNAME", s.p.Hostname)
	e.set("HOSTTYPE", "x86_64")
	e.set("OSTYPE", "linux-gnu")
	e.set("MACHTYPE", "x86_64-pc-linux-gnu")
	e.set("BASH", "/bin/bash")
	e.set("BASH_VERSION", s.p.Versions.Bash+"(1)-release")
	return e
}

// sub is the environment of a subshell: a copy that cannot change its parent.
func (e *env) sub() *env {
	c := *e
	c.vars, c.funcs = maps.Clone(e.vars), maps.Clone(e.funcs)
	c.saved = nil
	c.ctl, c.loops = ctlNone, 0
	return &c
}

func (e *env) lookup(name string) (string, bool) {
	if v, ok := e.vars[name]; ok {
		if v.arr != nil {
			if len(v.arr) == 0 {
				return "", false
			}
			return v.arr[0], true
		}
		return v.val, true
	}
	if name == "" {
		return "", false
	}
	if isDigit(name[0]) {
		n, err := strconv.Atoi(name)
		if err == nil && n == 0 {
			return e.name, true
		}
		if err == nil && n <= len(e.args) {
			return e.args[n-1], true
		}
		return "", false
	}
	switch name {
	case "?":
		return itoa(e.status), true
	case "$":
		return itoa(e.sh.pid), true
	case "BASHPID":
		return itoa(e.pid), true
	case "PPID":
		return itoa(e.sh.pid - 1), true
	case "!":
		if e.sh.lastBG == 0 {
			return "", false
		}
		return itoa(e.sh.lastBG), true
	case "#":
		return itoa(len(e.args)), true
	case "*", "@":
		return strings.Join(e.args, " "), len(e.args) > 0
	case "-":
		if e.sh.login {
			return "himBHs", true
		}
		return "hBc", true
	case "PWD":
		return e.cwd, true
	case "UID", "EUID":
		return itoa(e.sh.who.uid), true
	case "RANDOM":
		return itoa(e.sh.random() & 0x7fff), true
	case "SECONDS":
		return itoa(int(e.sh.now().Sub(e.sh.begun).Seconds())), true
	case "LINENO":
		return itoa(e.line), true
	case "EPOCHSECONDS":
		return itoa(int(e.sh.now().Unix())), true
	}
	return "", false
}

func (e *env) get(name string) string {
	v, _ := e.lookup(name)
	return v
}

func (e *env) elements(name string) []string {
	v, ok := e.vars[name]
	switch {
	case !ok:
		return nil
	case v.arr != nil:
		return v.arr
	}
	return []string{v.val}
}

func (e *env) element(name, index string) (string, bool) {
	list := e.elements(name)
	i, err := e.arith(index)
	if i < 0 {
		i += int64(len(list))
	}
	if err != nil || i < 0 || i >= int64(len(list)) {
		return "", false
	}
	return list[i], true
}

// set assigns a variable; it fails at the limits as bash fails to allocate.
func (e *env) set(name, val string) bool {
	v, ok := e.vars[name]
	if v.readonly {
		e.complain(name + ": readonly variable")
		return false
	}
	if !ok && len(e.vars) >= e.sh.limits.Vars || len(val) > e.sh.limits.VarBytes {
		e.complain("xrealloc: cannot allocate " + itoa(len(val)+1) + " bytes")
		e.sh.abort("")
		return false
	}
	v.val, v.arr = val, nil
	e.vars[name] = v
	return true
}

func (e *env) setExport(name, val string) {
	if e.set(name, val) {
		v := e.vars[name]
		v.exported = true
		e.vars[name] = v
	}
}

func (e *env) setElement(name, index, val string) {
	i, err := e.arith(index)
	list := slices.Clone(e.elements(name))
	if err != nil || i < 0 || i >= int64(e.sh.limits.Words) || len(list) >= e.sh.limits.Words || !e.sh.spend(len(list)/4+int(i)/8) {
		e.complain(name + "[" + clip(index, 20) + "]: bad array subscript")
		return
	}
	for int64(len(list)) <= i {
		list = append(list, "")
	}
	list[i] = val
	e.setList(name, list)
}

func (e *env) setList(name string, list []string) {
	total := 0
	for _, s := range list {
		total += len(s) + 16
	}
	if total > e.sh.limits.VarBytes*2 {
		e.complain("xrealloc: cannot allocate " + itoa(total) + " bytes")
		e.sh.abort("")
		return
	}
	if e.set(name, "") {
		v := e.vars[name]
		v.arr = append([]string{}, list...)
		e.vars[name] = v
	}
}

// hide makes a variable local to the running function.
func (e *env) hide(name string) {
	if n := len(e.saved); n > 0 {
		if _, ok := e.saved[n-1][name]; !ok {
			var old *variable
			if v, ok := e.vars[name]; ok {
				old = &v
			}
			e.saved[n-1][name] = old
			delete(e.vars, name)
		}
	}
}

func (e *env) unhide() {
	n := len(e.saved) - 1
	for name, old := range e.saved[n] {
		if old == nil {
			delete(e.vars, name)
		} else {
			e.vars[name] = *old
		}
	}
	e.saved = e.saved[:n]
}

// environ lists exported variables as NAME=value.
func (e *env) environ() []string {
	var out []string
	for k, v := range e.vars {
		if v.exported {
			out = append(out, k+"="+v.val)
		}
	}
	out = append(out, "PWD="+e.cwd)
	sort.Strings(out)
	return out
}

func (e *env) ifs() string {
	if v, ok := e.vars["IFS"]; ok {
		return v.val
	}
	return " \t\n"
}

func (e *env) arith(text string) (int64, error) {
	if !e.sh.spend(1 + len(text)/4) {
		return 0, nil
	}
	a := &arith{src: text, get: func(n string) string { e.sh.spend(1); return e.get(n) }, set: func(n, v string) error {
		e.set(n, v)
		return nil
	}}
	v, err := a.eval()
	if err != nil {
		return 0, shellError(clip(text, 200) + ": " + err.Error())
	}
	return v, nil
}

// prefix introduces an error message of the shell itself.
func (e *env) prefix() string {
	switch {
	case e.style == styleDash:
		return e.name + ": " + itoa(max(1, e.line)) + ": "
	case e.style == styleScript:
		return e.name + ": line " + itoa(max(1, e.line)) + ": "
	case e.name == "-bash" && e.sh.login, e.name == "bash" && strings.HasPrefix(e.sh.p.Versions.Bash, "5.0."):
		return e.name + ": " // bash before 5.1 names no line for -c
	}
	return e.name + ": line " + itoa(max(1, e.line)) + ": "
}

func (e *env) complain(msg string) { e.errorf("%s%s\n", e.prefix(), msg) }

func (e *env) errorf(format string, a ...any) {
	if w := e.fds[2]; w != nil && w.w != nil {
		fmt.Fprintf(w.w, format, a...) // an output that is gone is nobody's problem here
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
