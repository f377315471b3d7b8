package interp

import (
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/syntax"
)

func BiEcho(c *Call) int {
	args := c.Args
	newline, escapes := true, c.E.style == StyleDash
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "neE") == "" {
		if c.E.style == StyleDash && args[0] != "-n" {
			break // dash knows only -n and prints the others
		}
		for _, f := range args[0][1:] {
			switch f {
			case 'n':
				newline = false
			case 'e':
				escapes = true
			case 'E':
				escapes = false
			}
		}
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if escapes {
		var stop bool
		if text, stop = syntax.Unescape(text, syntax.EscEcho); stop {
			newline = false
		}
	}
	if newline {
		text += "\n"
	}
	if !c.Print(text) {
		return 1
	}
	return 0
}

func BiPrintf(c *Call) int {
	args := c.Args
	name := ""
	if len(args) > 1 && args[0] == "-v" {
		name, args = args[1], args[2:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return c.builtinFail(2, "usage: printf [-v var] format [arguments]")
	}
	format, args := args[0], args[1:]
	var out strings.Builder
	for {
		used, stop := c.FormatOnce(&out, format, &args)
		if stop || used == 0 || len(args) == 0 || !c.Sh.Spend(1+len(format)/8) || out.Len() > c.Sh.Limits.VarBytes*4 {
			break
		}
	}
	if name != "" {
		c.E.set(name, out.String())
		return 0
	}
	if !c.Print(out.String()) {
		return 1
	}
	return 0
}

// FormatOnce applies a printf format once; it says how many arguments it
// used and whether \c ended the output.
func (c *Call) FormatOnce(out *strings.Builder, format string, args *[]string) (used int, stop bool) {
	next := func() string {
		used++
		if len(*args) == 0 {
			return ""
		}
		a := (*args)[0]
		*args = (*args)[1:]
		return a
	}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			j := i
			for j < len(format) && format[j] != '%' {
				j++
			}
			text, _ := syntax.Unescape(format[i:j], syntax.EscPrintf)
			out.WriteString(text)
			i = j - 1
			continue
		}
		j := i + 1
		spec := "%"
		for j < len(format) && strings.IndexByte("-+ #0123456789.*", format[j]) >= 0 {
			if format[j] == '*' {
				spec += Itoa(ClampInt(next(), 4096))
			} else {
				spec += format[j : j+1]
			}
			j++
		}
		if j >= len(format) {
			out.WriteString(format[i:])
			return used, true
		}
		i = j
		spec = capWidth(spec)
		switch f := format[j]; f {
		case '%':
			out.WriteByte('%')
		case 's':
			out.WriteString(pad(spec, next()))
		case 'q':
			out.WriteString(ShellQuote(next()))
		case 'b':
			text, ended := syntax.Unescape(next(), syntax.EscEcho)
			out.WriteString(pad(spec, text))
			if ended {
				return used, true
			}
		case 'c':
			out.WriteString(pad(spec, Clip(next(), 1)))
		case 'd', 'i', 'u', 'x', 'X', 'o':
			out.WriteString(formatInt(spec, f, c.number(next())))
		case 'e', 'f', 'g', 'G', 'E':
			v, _ := strconv.ParseFloat(next(), 64) // not a number prints as zero
			out.WriteString(formatFloat(spec, f, v))
		default:
			c.builtinFail(1, "`%c': invalid format character", f)
			return used, true
		}
	}
	return used, false
}

func ClampInt(s string, most int) int {
	n, _ := strconv.Atoi(s) // not a number counts as zero
	return max(-most, min(n, most))
}

// number reads a printf integer: decimal, octal, hexadecimal or 'c.
func (c *Call) number(s string) int64 {
	if len(s) > 1 && (s[0] == '\'' || s[0] == '"') {
		return int64(s[1])
	}
	v, err := strconv.ParseInt(strings.TrimSpace(s), 0, 64)
	if err != nil && s != "" {
		c.builtinFail(1, "%s: invalid number", s)
	}
	return v
}

func BiTest(c *Call) int {
	args := c.Args
	if c.Name == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			return c.builtinFail(2, "missing `]'")
		}
		args = args[:len(args)-1]
	}
	t := &tester{c: c, args: args}
	ok := t.or()
	if t.bad != "" {
		return c.builtinFail(2, "%s", t.bad)
	}
	if t.pos < len(args) {
		return c.builtinFail(2, "too many arguments")
	}
	return int(syntax.B2i(!ok))
}

// tester evaluates the expression of test and [[.
type tester struct {
	c     *Call
	args  []string
	pats  []string // patterns of [[ words, nil for test
	pos   int
	depth int
	bad   string
}

func (t *tester) peek(list ...string) bool {
	for _, s := range list {
		if t.pos < len(t.args) && t.args[t.pos] == s {
			return true
		}
	}
	return false
}

func (t *tester) or() bool {
	ok := t.and()
	for t.peek("-o", "||") {
		t.pos++
		r := t.and()
		ok = ok || r
	}
	return ok
}

func (t *tester) and() bool {
	ok := t.not()
	for t.peek("-a", "&&") {
		t.pos++
		r := t.not()
		ok = ok && r
	}
	return ok
}

func (t *tester) not() bool {
	if t.depth++; t.depth > 64 {
		t.bad = "expression too deep"
		return false
	}
	defer func() { t.depth-- }()
	left := len(t.args) - t.pos
	if t.peek("!") && left > 1 && !(left >= 3 && isBinary(t.args[t.pos+1])) {
		t.pos++
		return !t.not()
	}
	if t.peek("(") && left > 2 {
		t.pos++
		ok := t.or()
		if !t.peek(")") {
			t.bad = "`)' expected"
		}
		t.pos++
		return ok
	}
	return t.primary()
}

func isBinary(op string) bool {
	switch op {
	case "=", "==", "!=", "<", ">", "=~", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

func (t *tester) primary() bool {
	if t.pos >= len(t.args) {
		return false
	}
	if t.pos+2 < len(t.args) && isBinary(t.args[t.pos+1]) {
		a, op, b := t.args[t.pos], t.args[t.pos+1], t.args[t.pos+2]
		t.pos += 3
		return t.binary(a, op, b, t.pos-1)
	}
	a := t.args[t.pos]
	if len(a) == 2 && a[0] == '-' && t.pos+1 < len(t.args) {
		t.pos += 2
		return t.unary(a[1], t.args[t.pos-1])
	}
	t.pos++
	return a != ""
}

func (t *tester) binary(a, op, b string, at int) bool {
	switch op {
	case "=", "==", "!=":
		eq := a == b
		if t.pats != nil {
			eq = t.c.Sh.Spend(1+len(a)/8) && syntax.Match(t.pats[at], a)
		}
		return eq == (op != "!=")
	case "<":
		return a < b
	case ">":
		return a > b
	case "=~":
		re, err := CompileRegex(b, true, false)
		if err != nil {
			t.bad = "invalid regular expression"
			return false
		}
		m := re.FindStringSubmatch(a)
		if m != nil {
			t.c.E.setList("BASH_REMATCH", m)
		}
		return m != nil && t.c.Sh.Spend(len(a)/8)
	case "-nt", "-ot", "-ef":
		return false
	}
	x, err1 := t.integer(a)
	y, err2 := t.integer(b)
	if err1 || err2 {
		return false
	}
	switch op {
	case "-eq":
		return x == y
	case "-ne":
		return x != y
	case "-lt":
		return x < y
	case "-le":
		return x <= y
	case "-gt":
		return x > y
	}
	return x >= y
}

func (t *tester) integer(s string) (int64, bool) {
	if t.pats != nil {
		v, err := t.c.E.Arith(s)
		return v, err != nil
	}
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		t.bad = s + ": integer expression expected"
	}
	return v, err != nil
}

func (t *tester) unary(op byte, arg string) bool {
	switch op {
	case 'n':
		return arg != ""
	case 'z':
		return arg == ""
	case 't':
		return len(arg) == 1 && t.c.E.Fds[0] != nil && t.c.E.Fds[0].tty
	case 'v':
		_, ok := t.c.E.Lookup(arg)
		return ok
	}
	p := t.c.E.Abs(arg)
	st, err := t.c.Sh.Fs.Stat(p)
	if op == 'L' || op == 'h' {
		st, err = t.c.Sh.Fs.Lstat(p)
		return err == nil && st.Mode()&fs.ModeSymlink != 0
	}
	if err != nil {
		return false
	}
	switch op {
	case 'e', 'a', 'O', 'G', 'N':
		return true
	case 'f':
		return st.Mode().IsRegular()
	case 'd':
		return st.IsDir()
	case 's':
		return st.Size() > 0
	case 'b':
		return st.Mode()&fs.ModeDevice != 0 && st.Mode()&fs.ModeCharDevice == 0
	case 'c':
		return st.Mode()&fs.ModeCharDevice != 0
	case 'r', 'w', 'x':
		t.c.Sh.Fs.Mu.Lock()
		defer t.c.Sh.Fs.Mu.Unlock()
		n, _, err := t.c.Sh.Fs.Walk(p, true)
		bit := map[byte]uint32{'r': 4, 'w': 2, 'x': 1}[op]
		return err == nil && t.c.Sh.Fs.Allowed(n, bit) && (op != 'x' || n.Mode&0o111 != 0)
	case 'u':
		return st.Mode()&fs.ModeSetuid != 0
	case 'k':
		return st.Mode()&fs.ModeSticky != 0
	}
	return false
}

// cond evaluates [[ ... ]].
func (e *env) cond(c *syntax.Command) int {
	t := &tester{pats: []string{}}
	x := e.newCall([]string{"[["})
	t.c = x
	for _, w := range c.Words {
		text, pat, err := e.expand(w)
		if err != nil {
			e.complain(err.Error())
			return 1
		}
		t.args = append(t.args, text)
		t.pats = append(t.pats, pat)
	}
	ok := t.or()
	if t.bad != "" {
		e.complain("conditional binary operator expected")
		return 2
	}
	return int(syntax.B2i(!ok))
}

// CompileRegex translates a POSIX expression. Go's engine is linear in the
// text, so only the size of the expression needs a limit.
func CompileRegex(src string, extended, fold bool) (*regexp.Regexp, error) {
	if len(src) > 1024 {
		return nil, strconv.ErrRange
	}
	if !extended {
		src = BasicToExtended(src)
	}
	src = strings.NewReplacer(`\<`, `\b`, `\>`, `\b`).Replace(src)
	if fold {
		src = "(?i)" + src
	}
	return regexp.Compile(src)
}

// BasicToExtended swaps the meaning of escaped and plain operators.
func BasicToExtended(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			if strings.IndexByte("(){}|+?", s[i]) >= 0 {
				b.WriteByte(s[i])
			} else {
				b.WriteByte('\\')
				b.WriteByte(s[i])
			}
		case c == '[':
			j := i + 1
			if j < len(s) && s[j] == '^' {
				j++
			}
			if j < len(s) && s[j] == ']' {
				j++
			}
			for j < len(s) && s[j] != ']' {
				if strings.HasPrefix(s[j:], "[:") {
					if e := strings.Index(s[j:], ":]"); e > 0 {
						j += e + 1
					}
				}
				j++
			}
			j = min(j, len(s)-1)
			b.WriteString(strings.ReplaceAll(s[i:j+1], `\`, `\\`))
			i = j
		case strings.IndexByte("(){}|+?", c) >= 0, c == '*' && i == 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
