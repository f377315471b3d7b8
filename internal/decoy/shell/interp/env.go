package interp

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/syntax"
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
	CtlExit
)

type variable struct {
	val      string
	arr      []string // not nil for an array
	Exported bool
	readonly bool
}

// env is the execution environment of one shell or subshell.
type env struct {
	sh     *Shell
	Vars   map[string]variable
	funcs  map[string]*syntax.Command
	args   []string
	Name   string // $0
	Cwd    string
	Fds    [10]*Stream
	Status int
	Ctl    ctl
	ctlN   int
	loops  int
	inFunc int
	opts   [128]bool
	line   int
	style  Style
	saved  []map[string]*variable // variables hidden by local, per function call
	pid    int
	quiet  int // > 0 inside conditions, where set -e does not apply
}

// Style selects how errors are introduced, which tells shells apart.
type Style uint8

const (
	StyleBash   Style = iota // "bash: line 1: "
	StyleScript              // "./x.sh: line 1: "
	StyleDash                // "sh: 1: "
)

func newEnv(s *Shell) *env {
	e := &env{sh: s, Vars: map[string]variable{}, funcs: map[string]*syntax.Command{}, Name: "bash", Cwd: "/", pid: s.Pid}
	e.SetExport("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	e.SetExport("LANG", "en_US.UTF-8")
	e.SetExport("TERM", "xterm-256color")
	e.set("PS1", `\u@\h:\w\$ `)
	e.set("PS2", "> ")
	e.set("IFS", " \t\n")
	e.set("OPTIND", "1")
	e.set("HOSTNAME", s.P.Hostname)
	e.set("HOSTTYPE", "x86_64")
	e.set("OSTYPE", "linux-gnu")
	e.set("MACHTYPE", "x86_64-pc-linux-gnu")
	e.set("BASH", "/bin/bash")
	e.set("BASH_VERSION", s.P.Versions.Bash+"(1)-release")
	return e
}

// Sub is the environment of a subshell: a copy that cannot change its parent.
func (e *env) Sub() *env {
	c := *e
	c.Vars, c.funcs = maps.Clone(e.Vars), maps.Clone(e.funcs)
	c.saved = nil
	c.Ctl, c.loops = ctlNone, 0
	return &c
}

func (e *env) Lookup(name string) (string, bool) {
	if v, ok := e.Vars[name]; ok {
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
	if syntax.IsDigit(name[0]) {
		n, err := strconv.Atoi(name)
		if err == nil && n == 0 {
			return e.Name, true
		}
		if err == nil && n <= len(e.args) {
			return e.args[n-1], true
		}
		return "", false
	}
	switch name {
	case "?":
		return Itoa(e.Status), true
	case "$":
		return Itoa(e.sh.Pid), true
	case "BASHPID":
		return Itoa(e.pid), true
	case "PPID":
		return Itoa(e.sh.Pid - 1), true
	case "!":
		if e.sh.lastBG == 0 {
			return "", false
		}
		return Itoa(e.sh.lastBG), true
	case "#":
		return Itoa(len(e.args)), true
	case "*", "@":
		return strings.Join(e.args, " "), len(e.args) > 0
	case "-":
		if e.sh.Login {
			return "himBHs", true
		}
		return "hBc", true
	case "PWD":
		return e.Cwd, true
	case "UID", "EUID":
		return Itoa(e.sh.Who.Uid), true
	case "RANDOM":
		return Itoa(e.sh.Random() & 0x7fff), true
	case "SECONDS":
		return Itoa(int(e.sh.Now().Sub(e.sh.Begun).Seconds())), true
	case "LINENO":
		return Itoa(e.line), true
	case "EPOCHSECONDS":
		return Itoa(int(e.sh.Now().Unix())), true
	}
	return "", false
}

func (e *env) get(name string) string {
	v, _ := e.Lookup(name)
	return v
}

func (e *env) elements(name string) []string {
	v, ok := e.Vars[name]
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
	i, err := e.Arith(index)
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
	v, ok := e.Vars[name]
	if v.readonly {
		e.complain(name + ": readonly variable")
		return false
	}
	if !ok && len(e.Vars) >= e.sh.Limits.Vars || len(val) > e.sh.Limits.VarBytes {
		e.complain("xrealloc: cannot allocate " + Itoa(len(val)+1) + " bytes")
		e.sh.Abort("")
		return false
	}
	v.val, v.arr = val, nil
	e.Vars[name] = v
	return true
}

func (e *env) SetExport(name, val string) {
	if e.set(name, val) {
		v := e.Vars[name]
		v.Exported = true
		e.Vars[name] = v
	}
}

func (e *env) setElement(name, index, val string) {
	i, err := e.Arith(index)
	list := slices.Clone(e.elements(name))
	if err != nil || i < 0 || i >= int64(e.sh.Limits.Words) || len(list) >= e.sh.Limits.Words || !e.sh.Spend(len(list)/4+int(i)/8) {
		e.complain(name + "[" + Clip(index, 20) + "]: bad array subscript")
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
	if total > e.sh.Limits.VarBytes*2 {
		e.complain("xrealloc: cannot allocate " + Itoa(total) + " bytes")
		e.sh.Abort("")
		return
	}
	if e.set(name, "") {
		v := e.Vars[name]
		v.arr = append([]string{}, list...)
		e.Vars[name] = v
	}
}

// hide makes a variable local to the running function.
func (e *env) hide(name string) {
	if n := len(e.saved); n > 0 {
		if _, ok := e.saved[n-1][name]; !ok {
			var old *variable
			if v, ok := e.Vars[name]; ok {
				old = &v
			}
			e.saved[n-1][name] = old
			delete(e.Vars, name)
		}
	}
}

func (e *env) unhide() {
	n := len(e.saved) - 1
	for name, old := range e.saved[n] {
		if old == nil {
			delete(e.Vars, name)
		} else {
			e.Vars[name] = *old
		}
	}
	e.saved = e.saved[:n]
}

// Environ lists exported variables as NAME=value.
func (e *env) Environ() []string {
	var out []string
	for k, v := range e.Vars {
		if v.Exported {
			out = append(out, k+"="+v.val)
		}
	}
	out = append(out, "PWD="+e.Cwd)
	sort.Strings(out)
	return out
}

func (e *env) ifs() string {
	if v, ok := e.Vars["IFS"]; ok {
		return v.val
	}
	return " \t\n"
}

func (e *env) Arith(text string) (int64, error) {
	if !e.sh.Spend(1 + len(text)/4) {
		return 0, nil
	}
	a := &syntax.Arith{Src: text, Get: func(n string) string { e.sh.Spend(1); return e.get(n) }, Set: func(n, v string) error {
		e.set(n, v)
		return nil
	}}
	v, err := a.Eval()
	if err != nil {
		return 0, shellError(Clip(text, 200) + ": " + err.Error())
	}
	return v, nil
}

// prefix introduces an error message of the shell itself.
func (e *env) prefix() string {
	switch {
	case e.style == StyleDash:
		return e.Name + ": " + Itoa(max(1, e.line)) + ": "
	case e.style == StyleScript:
		return e.Name + ": line " + Itoa(max(1, e.line)) + ": "
	case e.Name == "-bash" && e.sh.Login, e.Name == "bash" && strings.HasPrefix(e.sh.P.Versions.Bash, "5.0."):
		return e.Name + ": " // bash before 5.1 names no line for -c
	}
	return e.Name + ": line " + Itoa(max(1, e.line)) + ": "
}

func (e *env) complain(msg string) { e.errorf("%s%s\n", e.prefix(), msg) }

func (e *env) errorf(format string, a ...any) {
	if w := e.Fds[2]; w != nil && w.W != nil {
		fmt.Fprintf(w.W, format, a...) // an output that is gone is nobody's problem here
	}
}

func Itoa(n int) string { return strconv.Itoa(n) }
