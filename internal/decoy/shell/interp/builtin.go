package interp

import (
	"io"
	"sort"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

func BuiltinTable() map[string]CommandFunc {
	ok := func(*Call) int { return 0 }
	return map[string]CommandFunc{
		":": ok, "true": ok, "false": func(*Call) int { return 1 },
		"cd": biCd, "pwd": BiPwd, "exit": biExit, "logout": biExit, "return": biReturn,
		"break": biBreak, "continue": biBreak, "export": biExport, "readonly": biExport,
		"declare": biExport, "typeset": biExport, "local": biLocal, "set": biSet, "unset": biUnset,
		"shift": biShift, "read": biRead, "eval": biEval, "source": biSource, ".": biSource,
		"exec": biExec, "command": biCommand, "type": biType, "alias": biAlias, "unalias": biUnalias,
		"history": biHistory, "jobs": biJobs, "wait": ok, "fg": biFg, "bg": biFg, "disown": ok,
		"umask": biUmask, "ulimit": biUlimit, "trap": ok, "hash": ok, "shopt": ok, "bind": ok,
		"let": biLet, "test": BiTest, "[": BiTest, "echo": BiEcho, "printf": BiPrintf,
		"kill": BiKill, "times": biTimes, "getopts": func(*Call) int { return 1 }, "builtin": biCommand,
		"time": biTime, "enable": ok, "suspend": ok, "fc": biHistory, "help": biHelp,
	}
}

func biCd(c *Call) int {
	o := c.Flags("LP")
	target := c.E.get("HOME")
	if len(o.Rest) > 0 {
		target = o.Rest[0]
	} else if len(c.Args) > 0 && c.Args[0] == "-" {
		target = "-"
	}
	if len(o.Rest) > 1 {
		return c.builtinFail(1, "too many arguments")
	}
	show := target == "-"
	if show {
		if target = c.E.get("OLDPWD"); target == "" {
			return c.builtinFail(1, "OLDPWD not set")
		}
	}
	if target == "" {
		return 0
	}
	c.Sh.Fs.Mu.Lock()
	n, canonical, err := c.Sh.Fs.Walk(c.E.Abs(target), true)
	if err == nil && !n.IsDir() {
		err = vfs.ErrNotDir
	}
	if err == nil && !c.Sh.Fs.Allowed(n, 1) {
		err = vfs.ErrAccess
	}
	c.Sh.Fs.Mu.Unlock()
	if err != nil {
		if c.E.style == StyleDash {
			return c.builtinFail(2, "can't cd to %s", target)
		}
		return c.builtinFail(1, "%s: %s", target, err)
	}
	c.E.set("OLDPWD", c.E.Cwd)
	c.E.Cwd = canonical
	if show {
		c.Printf("%s\n", canonical)
	}
	return 0
}

func BiPwd(c *Call) int { c.Printf("%s\n", c.E.Cwd); return 0 }

func biExit(c *Call) int {
	code := c.E.Status
	if len(c.Args) > 0 {
		n, err := strconv.Atoi(c.Args[0])
		if err != nil {
			c.builtinFail(2, "%s: numeric argument required", c.Args[0])
			n = 2
		}
		code = n & 255
	}
	if c.Sh.Login && c.E == c.Sh.Top && c.Name == "exit" {
		io.WriteString(c.Err, "logout\n")
	}
	c.E.Ctl = CtlExit
	return code
}

func biReturn(c *Call) int {
	code := c.E.Status
	if len(c.Args) > 0 {
		code, _ = strconv.Atoi(c.Args[0]) // not a number counts as zero
	}
	c.E.Ctl = ctlReturn
	return code & 255
}

func biBreak(c *Call) int {
	if c.E.loops == 0 {
		return 0
	}
	c.E.Ctl, c.E.ctlN = ctlBreak, 1
	if c.Name == "continue" {
		c.E.Ctl = ctlContinue
	}
	if len(c.Args) > 0 {
		if n, err := strconv.Atoi(c.Args[0]); err == nil && n > 0 {
			c.E.ctlN = min(n, c.E.loops)
		}
	}
	return 0
}

func biExport(c *Call) int {
	o := c.Flags("pnfraxiAg")
	if len(o.Rest) == 0 {
		for _, kv := range c.E.Environ() {
			k, v, _ := strings.Cut(kv, "=")
			c.Printf("declare -x %s=\"%s\"\n", k, v)
		}
		return 0
	}
	status := 0
	for _, a := range o.Rest {
		name, val, has := strings.Cut(a, "=")
		if !syntax.IsName(name) {
			status = c.builtinFail(1, "`%s': not a valid identifier", a)
			continue
		}
		if has && !c.E.set(name, val) {
			status = 1
			continue
		}
		v, ok := c.E.Vars[name]
		if !ok && len(c.E.Vars) >= c.Sh.Limits.Vars {
			return 1
		}
		v.Exported = v.Exported || c.Name == "export" && !o.Has("n")
		v.readonly = v.readonly || c.Name == "readonly" || o.Has("r")
		if ok || has || c.Name == "export" {
			c.E.Vars[name] = v
		}
	}
	return status
}

func biLocal(c *Call) int {
	if c.E.inFunc == 0 {
		return c.builtinFail(1, "can only be used in a function")
	}
	for _, a := range c.Flags("raxi").Rest {
		name, val, _ := strings.Cut(a, "=")
		if !syntax.IsName(name) {
			return c.builtinFail(1, "`%s': not a valid identifier", a)
		}
		c.E.hide(name)
		c.E.set(name, val)
	}
	return 0
}

func biSet(c *Call) int {
	if len(c.Args) == 0 {
		names := make([]string, 0, len(c.E.Vars))
		for k := range c.E.Vars {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			c.Printf("%s=%s\n", k, ShellQuote(c.E.get(k)))
		}
		return 0
	}
	for i, a := range c.Args {
		if a == "--" || a[:min(1, len(a))] != "-" && a[:min(1, len(a))] != "+" {
			if a == "--" {
				i++
			}
			c.E.args = c.Args[i:]
			return 0
		}
		if a == "-o" || a == "+o" {
			return 0
		}
		for _, f := range []byte(a[1:]) {
			if f < 128 {
				c.E.opts[f] = a[0] == '-'
			}
		}
	}
	return 0
}

func ShellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@,+%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func biUnset(c *Call) int {
	o := c.Flags("fv")
	for _, n := range o.Rest {
		if c.E.Vars[n].readonly {
			return c.builtinFail(1, "%s: cannot unset: readonly variable", n)
		}
		if _, ok := c.E.Vars[n]; ok && !o.Has("f") {
			delete(c.E.Vars, n)
		} else {
			delete(c.E.funcs, n)
		}
	}
	return 0
}

func biShift(c *Call) int {
	n := 1
	if len(c.Args) > 0 {
		n, _ = strconv.Atoi(c.Args[0]) // not a number shifts nothing
	}
	if n < 0 || n > len(c.E.args) {
		return 1
	}
	c.E.args = c.E.args[n:]
	return 0
}

func biRead(c *Call) int {
	o := c.Flags("+rsp:t:n:d:a:u:e")
	if p := o.Get("p"); p != "" && c.Tty() {
		io.WriteString(c.Err, p)
	}
	in := c.In
	if len(o.Get("u")) == 1 && syntax.IsDigit(o.Get("u")[0]) {
		if st := c.E.Fds[o.Get("u")[0]-'0']; st != nil && st.r != nil {
			in = st.r
		}
	}
	line, err := c.ReadLine(in, !o.Has("r"))
	if err != nil && line == "" {
		for _, n := range o.Rest {
			c.E.set(n, "")
		}
		return 1
	}
	if name := o.Get("a"); name != "" {
		c.E.setList(name, strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(c.E.ifs(), r) }))
		return int(syntax.B2i(err != nil))
	}
	names := o.Rest
	if len(names) == 0 {
		c.E.set("REPLY", line)
		return int(syntax.B2i(err != nil))
	}
	ifs := c.E.ifs()
	blank := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\n", r) {
			return r
		}
		return -1
	}, ifs)
	rest := strings.Trim(line, blank)
	for i, n := range names {
		if i == len(names)-1 {
			c.E.set(n, rest)
			break
		}
		val := rest
		rest2 := ""
		if k := strings.IndexAny(rest, ifs); k >= 0 && ifs != "" {
			val, rest2 = rest[:k], strings.TrimLeft(rest[k+1:], blank)
		}
		c.E.set(n, val)
		rest = rest2
	}
	return int(syntax.B2i(err != nil))
}
