package interp

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/syntax"
)

func biEval(c *Call) int {
	c.E.Status = 0
	c.E.script(strings.Join(c.Args, " "), true)
	return c.E.Status
}

func biSource(c *Call) int {
	if len(c.Args) == 0 {
		return c.builtinFail(2, "filename argument required")
	}
	p := c.Args[0]
	b, err := c.Sh.Fs.Slurp(c.E.Abs(p))
	if err != nil {
		c.E.complain(p + ": " + err.Error())
		return 1
	}
	if len(b) > c.Sh.Limits.LineBytes*4 {
		c.E.complain(p + ": file too large")
		return 1
	}
	args := c.E.args
	if len(c.Args) > 1 {
		c.E.args = c.Args[1:]
	}
	c.E.Status = 0
	c.E.script(string(b), true)
	c.E.args = args
	if c.E.Ctl == ctlReturn {
		c.E.Ctl = ctlNone
	}
	return c.E.Status
}

func biExec(c *Call) int {
	if len(c.Args) == 0 {
		return 0
	}
	args := c.Args
	for len(args) > 0 && args[0] == "-a" {
		args = args[min(2, len(args)):]
	}
	if len(args) == 0 {
		return 0
	}
	c.E.Invoke(args, 5)
	c.E.Ctl = CtlExit
	return c.E.Status
}

func biCommand(c *Call) int {
	o := c.Flags("+vVp")
	if o.Has("v", "V") {
		status := 1
		for _, n := range o.Rest {
			if t := c.describe(n, o.Has("V")); t != "" {
				c.Printf("%s\n", t)
				status = 0
			}
		}
		return status
	}
	if len(o.Rest) == 0 {
		return 0
	}
	fn, ok := c.E.funcs[o.Rest[0]]
	delete(c.E.funcs, o.Rest[0])
	c.E.Invoke(o.Rest, 5)
	if ok {
		c.E.funcs[o.Rest[0]] = fn
	}
	return c.E.Status
}

func (c *Call) describe(n string, long bool) string {
	if a, ok := c.Sh.aliases[n]; ok {
		return map[bool]string{true: n + " is aliased to `" + a + "'", false: "alias " + n + "='" + a + "'"}[long]
	}
	switch n {
	case "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in", "function", "{", "}", "!", "[[", "]]":
		return map[bool]string{true: n + " is a shell keyword", false: n}[long]
	}
	if _, ok := c.E.funcs[n]; ok {
		return map[bool]string{true: n + " is a function", false: n}[long]
	}
	if _, ok := c.Sh.Img.Builtins[n]; ok {
		return map[bool]string{true: n + " is a shell builtin", false: n}[long]
	}
	p := n
	if !strings.Contains(n, "/") {
		p = c.E.Find(n)
	} else if _, err := c.Sh.Fs.Stat(c.E.Abs(n)); err != nil {
		p = ""
	}
	if p != "" && long {
		return n + " is " + p
	}
	return p
}

func biType(c *Call) int {
	status := 0
	o := c.Flags("tpaP")
	for _, n := range o.Rest {
		d := c.describe(n, true)
		switch {
		case d == "":
			if !o.Has("t") {
				c.builtinFail(1, "%s: not found", n)
			}
			status = 1
		case o.Has("t"):
			c.Printf("%s\n", map[bool]string{true: "file", false: "builtin"}[strings.Contains(d, " is /")])
		default:
			c.Printf("%s\n", d)
		}
	}
	return status
}

func biAlias(c *Call) int {
	if len(c.Args) == 0 {
		names := make([]string, 0, len(c.Sh.aliases))
		for n := range c.Sh.aliases {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			c.Printf("alias %s='%s'\n", n, c.Sh.aliases[n])
		}
	}
	status := 0
	for _, a := range c.Args {
		n, v, has := strings.Cut(a, "=")
		switch old, ok := c.Sh.aliases[n]; {
		case has && (ok || len(c.Sh.aliases) < c.Sh.Limits.Vars) && len(v) < 4096:
			c.Sh.aliases[n] = v
		case ok:
			c.Printf("alias %s='%s'\n", n, old)
		default:
			status = c.builtinFail(1, "%s: not found", n)
		}
	}
	return status
}

func biUnalias(c *Call) int {
	for _, a := range c.Args {
		if a == "-a" {
			clear(c.Sh.aliases)
		}
		delete(c.Sh.aliases, a)
	}
	return 0
}

func biHistory(c *Call) int {
	o := c.Flags("cwrand:")
	if o.Has("c") {
		c.Sh.history = nil
		return 0
	}
	if o.Has("w", "r", "a", "n") {
		return 0
	}
	from := 0
	if len(o.Rest) > 0 {
		if n, err := strconv.Atoi(o.Rest[0]); err == nil && n >= 0 {
			from = max(0, len(c.Sh.history)-n)
		}
	}
	for i, l := range c.Sh.history[from:] {
		c.Printf("%5d  %s\n", from+i+1, l)
	}
	return 0
}

func biJobs(c *Call) int {
	for _, j := range c.Sh.Jobs {
		c.Printf("[%d]   Running                 %s &\n", j.id, j.line)
	}
	return 0
}

func biFg(c *Call) int {
	if len(c.Sh.Jobs) == 0 {
		return c.builtinFail(1, "current: no such job")
	}
	return 0
}

func biUmask(c *Call) int {
	if len(c.Args) == 0 {
		c.Printf("0022\n")
	}
	return 0
}

func biUlimit(c *Call) int {
	o := c.Flags("aHSncuslvtmfdi")
	switch {
	case o.Has("a"):
		c.Printf("real-time non-blocking time  (microseconds, -R) unlimited\ncore file size              (blocks, -c) 0\ndata seg size               (kbytes, -d) unlimited\nscheduling priority                 (-e) 0\nfile size                   (blocks, -f) unlimited\npending signals                     (-i) %d\nmax locked memory           (kbytes, -l) 65536\nmax memory size             (kbytes, -m) unlimited\nopen files                          (-n) 1024\npipe size                (512 bytes, -p) 8\nstack size                  (kbytes, -s) 8192\ncpu time                   (seconds, -t) unlimited\nmax user processes                  (-u) %d\nvirtual memory              (kbytes, -v) unlimited\n", c.Sh.P.Hardware.MemKB/260, c.Sh.P.Hardware.MemKB/260)
	case len(o.Rest) > 0:
	case o.Has("n"):
		c.Printf("1024\n")
	case o.Has("c"):
		c.Printf("0\n")
	case o.Has("s"):
		c.Printf("8192\n")
	case o.Has("u", "i"):
		c.Printf("%d\n", c.Sh.P.Hardware.MemKB/260)
	default:
		c.Printf("unlimited\n")
	}
	return 0
}

func biLet(c *Call) int {
	var v int64
	for _, a := range c.Args {
		var err error
		if v, err = c.E.Arith(a); err != nil {
			return c.builtinFail(1, "%s", err)
		}
	}
	return int(syntax.B2i(v == 0))
}

func BiKill(c *Call) int {
	if len(c.Args) == 0 {
		c.E.complain("kill: usage: kill [-s sigspec | -n signum | -sigspec] pid | jobspec ... or kill -l [sigspec]")
		return 2
	}
	if c.Args[0] == "-l" {
		c.Printf(" 1) SIGHUP\t 2) SIGINT\t 3) SIGQUIT\t 4) SIGILL\t 5) SIGTRAP\n 6) SIGABRT\t 7) SIGBUS\t 8) SIGFPE\t 9) SIGKILL\t10) SIGUSR1\n11) SIGSEGV\t12) SIGUSR2\t13) SIGPIPE\t14) SIGALRM\t15) SIGTERM\n")
		return 0
	}
	status := 0
	for i, a := range c.Args {
		if strings.HasPrefix(a, "-") && i == 0 || strings.HasPrefix(a, "%") || i > 0 && c.Args[i-1] == "-s" {
			continue
		}
		pid, err := strconv.Atoi(a)
		if err != nil {
			status = c.builtinFail(1, "%s: arguments must be process or job IDs", a)
			continue
		}
		if pid == c.Sh.Pid && c.Args[0] == "-9" {
			c.Sh.Ended = true
			c.E.Ctl = CtlExit
			return 137
		}
		if !c.Sh.KillPID(pid) {
			status = c.builtinFail(1, "(%d) - No such process", pid)
		}
	}
	return status
}

func biTimes(c *Call) int { c.Printf("0m0.012s 0m0.004s\n0m0.031s 0m0.018s\n"); return 0 }

func biTime(c *Call) int {
	start := c.Sh.Now()
	if len(c.Args) > 0 {
		c.E.Invoke(c.Args, 0)
	}
	d := c.Sh.Now().Sub(start) + time.Millisecond
	c.E.errorf("\nreal\t%dm%.3fs\nuser\t0m0.001s\nsys\t0m0.000s\n", int(d.Minutes()), d.Seconds()-60*float64(int(d.Minutes())))
	return c.E.Status
}

func biHelp(c *Call) int {
	c.Printf("GNU bash, version %s(1)-release (x86_64-pc-linux-gnu)\nThese shell commands are defined internally.  Type `help' to see this list.\nType `help name' to find out more about the function `name'.\n", c.Sh.P.Versions.Bash)
	return 0
}
