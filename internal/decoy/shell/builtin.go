package shell

import (
	"io"
	"sort"
	"strconv"
	"strings"
	"time"
)

func builtinTable() map[string]commandFunc {
	ok := func(*call) int { return 0 }
	return map[string]commandFunc{
		":": ok, "true": ok, "false": func(*call) int { return 1 },
		"cd": biCd, "pwd": biPwd, "exit": biExit, "logout": biExit, "return": biReturn,
		"break": biBreak, "continue": biBreak, "export": biExport, "readonly": biExport,
		"declare": biExport, "typeset": biExport, "local": biLocal, "set": biSet, "unset": biUnset,
		"shift": biShift, "read": biRead, "eval": biEval, "source": biSource, ".": biSource,
		"exec": biExec, "command": biCommand, "type": biType, "alias": biAlias, "unalias": biUnalias,
		"history": biHistory, "jobs": biJobs, "wait": ok, "fg": biFg, "bg": biFg, "disown": ok,
		"umask": biUmask, "ulimit": biUlimit, "trap": ok, "hash": ok, "shopt": ok, "bind": ok,
		"let": biLet, "test": biTest, "[": biTest, "echo": biEcho, "printf": biPrintf,
		"kill": biKill, "times": biTimes, "getopts": func(*call) int { return 1 }, "builtin": biCommand,
		"time": biTime, "enable": ok, "suspend": ok, "fc": biHistory, "help": biHelp,
	}
}

func biCd(c *call) int {
	o := c.flags("LP")
	target := c.e.get("HOME")
	if len(o.rest) > 0 {
		target = o.rest[0]
	} else if len(c.args) > 0 && c.args[0] == "-" {
		target = "-"
	}
	if len(o.rest) > 1 {
		return c.builtinFail(1, "too many arguments")
	}
	show := target == "-"
	if show {
		if target = c.e.get("OLDPWD"); target == "" {
			return c.builtinFail(1, "OLDPWD not set")
		}
	}
	if target == "" {
		return 0
	}
	c.sh.fs.mu.Lock()
	n, canonical, err := c.sh.fs.walk(c.e.abs(target), true)
	if err == nil && !n.isDir() {
		err = errNotDir
	}
	if err == nil && !c.sh.fs.allowed(n, 1) {
		err = errAccess
	}
	c.sh.fs.mu.Unlock()
	if err != nil {
		if c.e.style == styleDash {
			return c.builtinFail(2, "can't cd to %s", target)
		}
		return c.builtinFail(1, "%s: %s", target, err)
	}
	c.e.set("OLDPWD", c.e.cwd)
	c.e.cwd = canonical
	if show {
		c.printf("%s\n", canonical)
	}
	return 0
}

func biPwd(c *call) int { c.printf("%s\n", c.e.cwd); return 0 }

func biExit(c *call) int {
	code := c.e.status
	if len(c.args) > 0 {
		n, err := strconv.Atoi(c.args[0])
		if err != nil {
			c.builtinFail(2, "%s: numeric argument required", c.args[0])
			n = 2
		}
		code = n & 255
	}
	if c.sh.login && c.e == c.sh.top && c.name == "exit" {
		io.WriteString(c.err, "logout\n")
	}
	c.e.ctl = ctlExit
	return code
}

func biReturn(c *call) int {
	code := c.e.status
	if len(c.args) > 0 {
		code, _ = strconv.Atoi(c.args[0]) // not a number counts as zero
	}
	c.e.ctl = ctlReturn
	return code & 255
}

func biBreak(c *call) int {
	if c.e.loops == 0 {
		return 0
	}
	c.e.ctl, c.e.ctlN = ctlBreak, 1
	if c.name == "continue" {
		c.e.ctl = ctlContinue
	}
	if len(c.args) > 0 {
		if n, err := strconv.Atoi(c.args[0]); err == nil && n > 0 {
			c.e.ctlN = min(n, c.e.loops)
		}
	}
	return 0
}

func biExport(c *call) int {
	o := c.flags("pnfraxiAg")
	if len(o.rest) == 0 {
		for _, kv := range c.e.environ() {
			k, v, _ := strings.Cut(kv, "=")
			c.printf("declare -x %s=\"%s\"\n", k, v)
		}
		return 0
	}
	status := 0
	for _, a := range o.rest {
		name, val, has := strings.Cut(a, "=")
		if !isName(name) {
			status = c.builtinFail(1, "`%s': not a valid identifier", a)
			continue
		}
		if has && !c.e.set(name, val) {
			status = 1
			continue
		}
		v, ok := c.e.vars[name]
		if !ok && len(c.e.vars) >= c.sh.limits.Vars {
			return 1
		}
		v.exported = v.exported || c.name == "export" && !o.has("n")
		v.readonly = v.readonly || c.name == "readonly" || o.has("r")
		if ok || has || c.name == "export" {
			c.e.vars[name] = v
		}
	}
	return status
}

func biLocal(c *call) int {
	if c.e.inFunc == 0 {
		return c.builtinFail(1, "can only be used in a function")
	}
	for _, a := range c.flags("raxi").rest {
		name, val, _ := strings.Cut(a, "=")
		if !isName(name) {
			return c.builtinFail(1, "`%s': not a valid identifier", a)
		}
		c.e.hide(name)
		c.e.set(name, val)
	}
	return 0
}

func biSet(c *call) int {
	if len(c.args) == 0 {
		names := make([]string, 0, len(c.e.vars))
		for k := range c.e.vars {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			c.printf("%s=%s\n", k, shellQuote(c.e.get(k)))
		}
		return 0
	}
	for i, a := range c.args {
		if a == "--" || a[:min(1, len(a))] != "-" && a[:min(1, len(a))] != "+" {
			if a == "--" {
				i++
			}
			c.e.args = c.args[i:]
			return 0
		}
		if a == "-o" || a == "+o" {
			return 0
		}
		for _, f := range []byte(a[1:]) {
			if f < 128 {
				c.e.opts[f] = a[0] == '-'
			}
		}
	}
	return 0
}

func shellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@,+%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func biUnset(c *call) int {
	o := c.flags("fv")
	for _, n := range o.rest {
		if c.e.vars[n].readonly {
			return c.builtinFail(1, "%s: cannot unset: readonly variable", n)
		}
		if _, ok := c.e.vars[n]; ok && !o.has("f") {
			delete(c.e.vars, n)
		} else {
			delete(c.e.funcs, n)
		}
	}
	return 0
}

func biShift(c *call) int {
	n := 1
	if len(c.args) > 0 {
		n, _ = strconv.Atoi(c.args[0]) // not a number shifts nothing
	}
	if n < 0 || n > len(c.e.args) {
		return 1
	}
	c.e.args = c.e.args[n:]
	return 0
}

func biRead(c *call) int {
	o := c.flags("+rsp:t:n:d:a:u:e")
	if p := o.get("p"); p != "" && c.tty() {
		io.WriteString(c.err, p)
	}
	in := c.in
	if len(o.get("u")) == 1 && isDigit(o.get("u")[0]) {
		if st := c.e.fds[o.get("u")[0]-'0']; st != nil && st.r != nil {
			in = st.r
		}
	}
	line, err := c.readLine(in, !o.has("r"))
	if err != nil && line == "" {
		for _, n := range o.rest {
			c.e.set(n, "")
		}
		return 1
	}
	if name := o.get("a"); name != "" {
		c.e.setList(name, strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(c.e.ifs(), r) }))
		return int(b2i(err != nil))
	}
	names := o.rest
	if len(names) == 0 {
		c.e.set("REPLY", line)
		return int(b2i(err != nil))
	}
	ifs := c.e.ifs()
	blank := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\n", r) {
			return r
		}
		return -1
	}, ifs)
	rest := strings.Trim(line, blank)
	for i, n := range names {
		if i == len(names)-1 {
			c.e.set(n, rest)
			break
		}
		val := rest
		rest2 := ""
		if k := strings.IndexAny(rest, ifs); k >= 0 && ifs != "" {
			val, rest2 = rest[:k], strings.TrimLeft(rest[k+1:], blank)
		}
		c.e.set(n, val)
		rest = rest2
	}
	return int(b2i(err != nil))
}

func biEval(c *call) int {
	c.e.status = 0
	c.e.script(strings.Join(c.args, " "), true)
	return c.e.status
}

func biSource(c *call) int {
	if len(c.args) == 0 {
		return c.builtinFail(2, "filename argument required")
	}
	p := c.args[0]
	b, err := c.sh.fs.slurp(c.e.abs(p))
	if err != nil {
		c.e.complain(p + ": " + err.Error())
		return 1
	}
	if len(b) > c.sh.limits.LineBytes*4 {
		c.e.complain(p + ": file too large")
		return 1
	}
	args := c.e.args
	if len(c.args) > 1 {
		c.e.args = c.args[1:]
	}
	c.e.status = 0
	c.e.script(string(b), true)
	c.e.args = args
	if c.e.ctl == ctlReturn {
		c.e.ctl = ctlNone
	}
	return c.e.status
}

func biExec(c *call) int {
	if len(c.args) == 0 {
		return 0
	}
	args := c.args
	for len(args) > 0 && args[0] == "-a" {
		args = args[min(2, len(args)):]
	}
	if len(args) == 0 {
		return 0
	}
	c.e.invoke(args, 5)
	c.e.ctl = ctlExit
	return c.e.status
}

func biCommand(c *call) int {
	o := c.flags("+vVp")
	if o.has("v", "V") {
		status := 1
		for _, n := range o.rest {
			if t := c.describe(n, o.has("V")); t != "" {
				c.printf("%s\n", t)
				status = 0
			}
		}
		return status
	}
	if len(o.rest) == 0 {
		return 0
	}
	fn, ok := c.e.funcs[o.rest[0]]
	delete(c.e.funcs, o.rest[0])
	c.e.invoke(o.rest, 5)
	if ok {
		c.e.funcs[o.rest[0]] = fn
	}
	return c.e.status
}

func (c *call) describe(n string, long bool) string {
	if a, ok := c.sh.aliases[n]; ok {
		return map[bool]string{true: n + " is aliased to `" + a + "'", false: "alias " + n + "='" + a + "'"}[long]
	}
	switch n {
	case "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in", "function", "{", "}", "!", "[[", "]]":
		return map[bool]string{true: n + " is a shell keyword", false: n}[long]
	}
	if _, ok := c.e.funcs[n]; ok {
		return map[bool]string{true: n + " is a function", false: n}[long]
	}
	if _, ok := c.sh.img.builtins[n]; ok {
		return map[bool]string{true: n + " is a shell builtin", false: n}[long]
	}
	p := n
	if !strings.Contains(n, "/") {
		p = c.e.find(n)
	} else if _, err := c.sh.fs.Stat(c.e.abs(n)); err != nil {
		p = ""
	}
	if p != "" && long {
		return n + " is " + p
	}
	return p
}

func biType(c *call) int {
	status := 0
	o := c.flags("tpaP")
	for _, n := range o.rest {
		d := c.describe(n, true)
		switch {
		case d == "":
			if !o.has("t") {
				c.builtinFail(1, "%s: not found", n)
			}
			status = 1
		case o.has("t"):
			c.printf("%s\n", map[bool]string{true: "file", false: "builtin"}[strings.Contains(d, " is /")])
		default:
			c.printf("%s\n", d)
		}
	}
	return status
}

func biAlias(c *call) int {
	if len(c.args) == 0 {
		names := make([]string, 0, len(c.sh.aliases))
		for n := range c.sh.aliases {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			c.printf("alias %s='%s'\n", n, c.sh.aliases[n])
		}
	}
	status := 0
	for _, a := range c.args {
		n, v, has := strings.Cut(a, "=")
		switch old, ok := c.sh.aliases[n]; {
		case has && (ok || len(c.sh.aliases) < c.sh.limits.Vars) && len(v) < 4096:
			c.sh.aliases[n] = v
		case ok:
			c.printf("alias %s='%s'\n", n, old)
		default:
			status = c.builtinFail(1, "%s: not found", n)
		}
	}
	return status
}

func biUnalias(c *call) int {
	for _, a := range c.args {
		if a == "-a" {
			clear(c.sh.aliases)
		}
		delete(c.sh.aliases, a)
	}
	return 0
}

func biHistory(c *call) int {
	o := c.flags("cwrand:")
	if o.has("c") {
		c.sh.history = nil
		return 0
	}
	if o.has("w", "r", "a", "n") {
		return 0
	}
	from := 0
	if len(o.rest) > 0 {
		if n, err := strconv.Atoi(o.rest[0]); err == nil && n >= 0 {
			from = max(0, len(c.sh.history)-n)
		}
	}
	for i, l := range c.sh.history[from:] {
		c.printf("%5d  %s\n", from+i+1, l)
	}
	return 0
}

func biJobs(c *call) int {
	for _, j := range c.sh.jobs {
		c.printf("[%d]   Running                 %s &\n", j.id, j.line)
	}
	return 0
}

func biFg(c *call) int {
	if len(c.sh.jobs) == 0 {
		return c.builtinFail(1, "current: no such job")
	}
	return 0
}

func biUmask(c *call) int {
	if len(c.args) == 0 {
		c.printf("0022\n")
	}
	return 0
}

func biUlimit(c *call) int {
	o := c.flags("aHSncuslvtmfdi")
	switch {
	case o.has("a"):
		c.printf("real-time non-blocking time  (microseconds, -R) unlimited\ncore file size              (blocks, -c) 0\ndata seg size               (kbytes, -d) unlimited\nscheduling priority                 (-e) 0\nfile size                   (blocks, -f) unlimited\npending signals                     (-i) %d\nmax locked memory           (kbytes, -l) 65536\nmax memory size             (kbytes, -m) unlimited\nopen files                          (-n) 1024\npipe size                (512 bytes, -p) 8\nstack size                  (kbytes, -s) 8192\ncpu time                   (seconds, -t) unlimited\nmax user processes                  (-u) %d\nvirtual memory              (kbytes, -v) unlimited\n", c.sh.p.Hardware.MemKB/260, c.sh.p.Hardware.MemKB/260)
	case len(o.rest) > 0:
	case o.has("n"):
		c.printf("1024\n")
	case o.has("c"):
		c.printf("0\n")
	case o.has("s"):
		c.printf("8192\n")
	case o.has("u", "i"):
		c.printf("%d\n", c.sh.p.Hardware.MemKB/260)
	default:
		c.printf("unlimited\n")
	}
	return 0
}

func biLet(c *call) int {
	var v int64
	for _, a := range c.args {
		var err error
		if v, err = c.e.arith(a); err != nil {
			return c.builtinFail(1, "%s", err)
		}
	}
	return int(b2i(v == 0))
}

func biKill(c *call) int {
	if len(c.args) == 0 {
		c.e.complain("kill: usage: kill [-s sigspec | -n signum | -sigspec] pid | jobspec ... or kill -l [sigspec]")
		return 2
	}
	if c.args[0] == "-l" {
		c.printf(" 1) SIGHUP\t 2) SIGINT\t 3) SIGQUIT\t 4) SIGILL\t 5) SIGTRAP\n 6) SIGABRT\t 7) SIGBUS\t 8) SIGFPE\t 9) SIGKILL\t10) SIGUSR1\n11) SIGSEGV\t12) SIGUSR2\t13) SIGPIPE\t14) SIGALRM\t15) SIGTERM\n")
		return 0
	}
	status := 0
	for i, a := range c.args {
		if strings.HasPrefix(a, "-") && i == 0 || strings.HasPrefix(a, "%") || i > 0 && c.args[i-1] == "-s" {
			continue
		}
		pid, err := strconv.Atoi(a)
		if err != nil {
			status = c.builtinFail(1, "%s: arguments must be process or job IDs", a)
			continue
		}
		if pid == c.sh.pid && c.args[0] == "-9" {
			c.sh.ended = true
			c.e.ctl = ctlExit
			return 137
		}
		if !c.sh.killPID(pid) {
			status = c.builtinFail(1, "(%d) - No such process", pid)
		}
	}
	return status
}

func biTimes(c *call) int { c.printf("0m0.012s 0m0.004s\n0m0.031s 0m0.018s\n"); return 0 }

func biTime(c *call) int {
	start := c.sh.now()
	if len(c.args) > 0 {
		c.e.invoke(c.args, 0)
	}
	d := c.sh.now().Sub(start) + time.Millisecond
	c.e.errorf("\nreal\t%dm%.3fs\nuser\t0m0.001s\nsys\t0m0.000s\n", int(d.Minutes()), d.Seconds()-60*float64(int(d.Minutes())))
	return c.e.status
}

func biHelp(c *call) int {
	c.printf("GNU bash, version %s(1)-release (x86_64-pc-linux-gnu)\nThese shell commands are defined internally.  Type `help' to see this list.\nType `help name' to find out more about the function `name'.\n", c.sh.p.Versions.Bash)
	return 0
}
