package tools

import (
	"io"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

// cmdAwk runs the part of awk that one-liners use: patterns, BEGIN and END,
// fields, variables, arithmetic, strings, print, printf, if, while, for.
func cmdAwk(c *interp.Call) int {
	o := c.Flags("+F:v:f:", "version")
	if o.Has("version") {
		c.Print("mawk 1.3.4 20200120\n")
		return 0
	}
	rest := o.Rest
	src := ""
	if f := o.Get("f"); f != "" {
		b, err := c.Sh.Fs.Slurp(c.E.Abs(f))
		if err != nil {
			return c.Fail(2, "can't open file %s", f)
		}
		src = interp.Clip(string(b), c.Sh.Limits.LineBytes)
	} else if len(rest) > 0 {
		src, rest = rest[0], rest[1:]
	} else {
		c.Print("Usage: mawk [Options] [Program] [file ...]\n")
		return 2
	}
	a := &awk{c: c, vars: map[string]awkVal{"FS": {s: " "}, "OFS": {s: " "}, "ORS": {s: "\n"}, "NR": {num: true}, "RS": {s: "\n"}, "SUBSEP": {s: "\x1c"}}, arrays: map[string]map[string]awkVal{}}
	if o.Has("F") {
		fs, _ := syntax.Unescape(o.Get("F"), syntax.EscPrintf)
		a.vars["FS"] = awkVal{s: fs}
	}
	if k, v, ok := strings.Cut(o.Get("v"), "="); ok {
		a.vars[k] = awkInput(v)
	}
	p := &awkParser{src: src, c: c}
	rules := p.program()
	if p.bad != "" {
		return c.Fail(2, "line 1: %s", p.bad)
	}
	return a.run(rules, rest)
}

type awkRule struct {
	begin, end bool
	pat, to    awkExpr // to closes a range
	active     bool
	body       []awkStmt // nil: print
	hasBody    bool
}

type (
	awkExpr func(*awk) awkVal
	awkStmt func(*awk)
)

// awkVal is a number or a string; input that looks like a number is both.
type awkVal struct {
	s   string
	n   float64
	num bool
}

func awkInput(s string) awkVal {
	v := awkVal{s: s}
	if t := strings.TrimSpace(s); t != "" && len(t) < 64 {
		if f, err := strconv.ParseFloat(t, 64); err == nil && strings.Trim(t, "0123456789.+-eE") == "" {
			v.n, v.num = f, true
		}
	}
	return v
}

func awkNum(f float64) awkVal { return awkVal{n: f, num: true} }

func (v awkVal) str() string {
	if v.s != "" || !v.num {
		return v.s
	}
	if v.n == float64(int64(v.n)) {
		return strconv.FormatInt(int64(v.n), 10)
	}
	return strconv.FormatFloat(v.n, 'g', 6, 64)
}

func (v awkVal) number() float64 {
	if v.num {
		return v.n
	}
	s := strings.TrimLeft(v.s, " \t\n")
	end := 0
	for end < len(s) && end < 64 && (syntax.IsDigit(s[end]) || s[end] == '.' || end == 0 && (s[end] == '-' || s[end] == '+')) {
		end++
	}
	f, _ := strconv.ParseFloat(s[:end], 64) // no leading number counts as zero
	return f
}

func (v awkVal) truth() bool {
	if v.num {
		return v.n != 0
	}
	return v.s != ""
}

type awk struct {
	c      *interp.Call
	vars   map[string]awkVal
	arrays map[string]map[string]awkVal
	line   string
	fields []string
	cells  int
	ctl    byte // 'n'ext, 'e'xit, 'b'reak, 'c'ontinue
	code   int
	depth  int
}

func (a *awk) run(rules []*awkRule, files []string) int {
	phase := func(begin, end bool) {
		for _, r := range rules {
			if r.begin == begin && r.end == end && a.ctl != 'e' {
				a.block(r.body)
			}
		}
	}
	phase(true, false)
	main := false
	for _, r := range rules {
		main = main || !r.begin
	}
	st := 0
	if main && a.ctl != 'e' {
		st = a.c.Inputs(files, func(_ string, r io.Reader) {
			a.c.Lines(r, func(l string, _ bool) bool {
				a.record(l)
				a.vars["NR"] = awkNum(a.vars["NR"].number() + 1)
				for _, rule := range rules {
					if rule.begin || rule.end || !a.selects(rule) {
						continue
					}
					if !rule.hasBody {
						a.ctl = map[bool]byte{true: 0, false: 'e'}[a.c.Print(a.line+a.vars["ORS"].str())]
					} else {
						a.block(rule.body)
					}
					if a.ctl == 'n' || a.ctl == 'e' {
						break
					}
				}
				if a.ctl == 'e' {
					return false
				}
				a.ctl = 0
				return true
			})
		})
	}
	a.ctl = 0
	phase(false, true)
	return max(st, a.code)
}

func (a *awk) selects(r *awkRule) bool {
	switch {
	case r.pat == nil:
		return true
	case r.to == nil:
		return r.pat(a).truth()
	case r.active:
		r.active = !r.to(a).truth()
		return true
	case r.pat(a).truth():
		r.active = !r.to(a).truth()
		return true
	}
	return false
}

func (a *awk) record(l string) {
	a.line = l
	a.fields = a.split(l, a.vars["FS"].str())
	a.vars["NF"] = awkNum(float64(len(a.fields)))
}

func (a *awk) split(l, fs string) []string {
	if !a.c.Sh.Spend(1 + len(l)/16) {
		return nil
	}
	var out []string
	switch {
	case l == "":
		return nil
	case fs == " ":
		out = strings.Fields(l)
	case len(fs) == 1 && fs != "|":
		out = strings.Split(l, fs)
	case fs == "|":
		out = strings.Split(l, "|")
	default:
		re, err := interp.CompileRegex(fs, true, false)
		if err != nil {
			return []string{l}
		}
		out = re.Split(l, -1)
	}
	return out[:min(len(out), a.c.Sh.Limits.Words)]
}

func (a *awk) field(i int) awkVal {
	switch {
	case i == 0:
		return awkInput(a.line)
	case i > 0 && i <= len(a.fields):
		return awkInput(a.fields[i-1])
	}
	return awkVal{}
}

func (a *awk) setField(i int, v awkVal) {
	if i == 0 {
		a.record(v.str())
		return
	}
	if i < 0 || i > 256 {
		return
	}
	for len(a.fields) < i {
		a.fields = append(a.fields, "")
	}
	a.fields[i-1] = v.str()
	a.vars["NF"] = awkNum(float64(len(a.fields)))
	a.line = strings.Join(a.fields, a.vars["OFS"].str())
}

func (a *awk) set(name string, v awkVal) {
	if _, ok := a.vars[name]; !ok && len(a.vars) >= a.c.Sh.Limits.Vars || len(v.s) > a.c.Sh.Limits.VarBytes {
		a.c.Sh.Abort("")
		return
	}
	a.vars[name] = v
	if name == "NF" {
		n := max(0, min(int(v.number()), 256))
		for len(a.fields) < n {
			a.fields = append(a.fields, "")
		}
		a.fields = a.fields[:n]
		a.line = strings.Join(a.fields, a.vars["OFS"].str())
	}
}

func (a *awk) setCell(name, key string, v awkVal) {
	m := a.arrays[name]
	if m == nil {
		m = map[string]awkVal{}
		a.arrays[name] = m
	}
	if _, ok := m[key]; !ok {
		if a.cells++; a.cells > a.c.Sh.Limits.Words || len(key)+len(v.s) > 4096 {
			a.c.Sh.Abort("")
			return
		}
	}
	m[key] = v
}

func (a *awk) block(body []awkStmt) {
	for _, s := range body {
		if a.ctl != 0 || !a.c.Sh.Spend(1) {
			return
		}
		s(a)
	}
}

// loop runs body while cond holds.
func (a *awk) loop(cond awkExpr, post awkStmt, body []awkStmt) {
	for a.c.Sh.Spend(2) && cond(a).truth() {
		a.block(body)
		if a.ctl == 'b' {
			a.ctl = 0
			return
		}
		if a.ctl == 'c' {
			a.ctl = 0
		}
		if a.ctl != 0 {
			return
		}
		if post != nil {
			post(a)
		}
	}
}

func awkCompare(op string, x, y awkVal) bool {
	d := 0
	if x.num && y.num || x.num && y.s == "" || y.num && x.s == "" {
		switch p, q := x.number(), y.number(); {
		case p < q:
			d = -1
		case p > q:
			d = 1
		}
	} else {
		d = strings.Compare(x.str(), y.str())
	}
	switch op {
	case "==":
		return d == 0
	case "!=":
		return d != 0
	case "<":
		return d < 0
	case "<=":
		return d <= 0
	case ">":
		return d > 0
	}
	return d >= 0
}
