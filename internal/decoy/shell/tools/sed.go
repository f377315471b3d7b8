package tools

import (
	"io"
	"regexp"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

// sedCmd is one command of a sed script: [addr[,addr]][!]cmd.
type sedCmd struct {
	from, to *sedAddr
	not      bool
	op       byte
	re       *regexp.Regexp
	with     string
	global   bool
	show     bool
	nth      int
	text     string
	active   bool
}

type sedAddr struct {
	line int
	last bool
	re   *regexp.Regexp
}

func cmdSed(c *interp.Call) int {
	o := c.Flags("nie:Ersf:zu", "expression=", "in-place=")
	rest := o.Rest
	script := o.Get("e", "expression")
	if !o.Has("e", "expression") {
		if len(rest) == 0 {
			c.Print("Usage: sed [OPTION]... {script-only-if-no-other-script} [input-file]...\n")
			return 1
		}
		script, rest = rest[0], rest[1:]
	}
	cmds, err := sedParse(c, script, o.Has("E", "r"))
	if err != "" {
		return c.Fail(1, "-e expression #1, char %d: %s", len(script), err)
	}
	if !o.Has("i", "in-place") {
		quit := false
		return c.Inputs(rest, func(_ string, r io.Reader) {
			if !quit {
				quit = sedRun(c, cmds, o.Has("n"), r, c.Out)
			}
		})
	}
	status := 0
	for _, f := range rest {
		r, err := c.Open(f)
		if err != nil {
			status = c.Fail(2, "can't read %s: %s", f, err)
			continue
		}
		var out strings.Builder
		sedRun(c, cmds, o.Has("n"), r, &out)
		n, _, _ := c.Node(f, true)
		if err := c.Sh.Store(c.E.Abs(f), []byte(out.String()), n.Mode&0o777, "sed"); err != nil {
			status = c.Fail(4, "couldn't open file %s: %s", f, err)
		}
	}
	return status
}

func sedParse(c *interp.Call, script string, extended bool) ([]sedCmd, string) {
	var out []sedCmd
	s := script
	for {
		s = strings.TrimLeft(s, " \t\n;")
		if s == "" {
			return out, ""
		}
		if len(out) > 64 {
			return nil, "too many commands"
		}
		var k sedCmd
		var err string
		if k.from, s, err = sedAddress(c, s, extended); err != "" {
			return nil, err
		}
		if k.from != nil && strings.HasPrefix(s, ",") {
			if k.to, s, err = sedAddress(c, s[1:], extended); err != "" {
				return nil, err
			}
		}
		if s = strings.TrimLeft(s, " "); strings.HasPrefix(s, "!") {
			k.not, s = true, strings.TrimLeft(s[1:], " ")
		}
		if s == "" {
			return nil, "missing command"
		}
		k.op, s = s[0], s[1:]
		switch k.op {
		case 'p', 'd', 'q', 'D', 'N', '=':
		case 's':
			if s, err = sedSubst(c, &k, s, extended); err != "" {
				return nil, err
			}
		case 'a', 'i', 'c':
			text, rest, _ := strings.Cut(s, "\n")
			k.text, s = strings.TrimLeft(strings.TrimPrefix(strings.TrimLeft(text, " "), `\`), " "), rest
		case 'y':
			return nil, "strings for `y' command are different lengths"
		default:
			return nil, "unknown command: `" + string(k.op) + "'"
		}
		out = append(out, k)
	}
}

func sedAddress(c *interp.Call, s string, extended bool) (*sedAddr, string, string) {
	switch {
	case s == "":
		return nil, s, ""
	case s[0] == '$':
		return &sedAddr{last: true}, s[1:], ""
	case syntax.IsDigit(s[0]):
		n := 0
		for n < len(s) && syntax.IsDigit(s[n]) {
			n++
		}
		v, err := strconv.Atoi(s[:n])
		if err != nil {
			return nil, s, "invalid line number"
		}
		return &sedAddr{line: v}, s[n:], ""
	case s[0] == '/':
		pat, rest, ok := delimited(s[1:], '/')
		if !ok {
			return nil, s, "unterminated address regex"
		}
		re, err := interp.CompileRegex(pat, extended, false)
		if err != nil {
			return nil, s, "Invalid preceding regular expression"
		}
		return &sedAddr{re: re}, rest, ""
	}
	return nil, s, ""
}

// delimited cuts s at an unescaped delimiter.
func delimited(s string, d byte) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if s[i+1] != d {
				b.WriteByte('\\')
			}
			i++
			b.WriteByte(s[i])
			continue
		}
		if s[i] == d {
			return b.String(), s[i+1:], true
		}
		b.WriteByte(s[i])
	}
	return "", s, false
}

func sedSubst(c *interp.Call, k *sedCmd, s string, extended bool) (string, string) {
	if s == "" {
		return s, "unterminated `s' command"
	}
	d := s[0]
	pat, rest, ok := delimited(s[1:], d)
	if !ok {
		return s, "unterminated `s' command"
	}
	k.with, rest, ok = delimited(rest, d)
	if !ok {
		return s, "unterminated `s' command"
	}
	fold := false
	for rest != "" && strings.IndexByte("gpIie0123456789", rest[0]) >= 0 {
		switch f := rest[0]; {
		case f == 'g':
			k.global = true
		case f == 'p':
			k.show = true
		case f|32 == 'i':
			fold = true
		case syntax.IsDigit(f):
			k.nth = k.nth*10%1000 + int(f-'0')
		}
		rest = rest[1:]
	}
	re, err := interp.CompileRegex(pat, extended, fold)
	if err != nil || !c.Sh.Spend(20+len(pat)) {
		return s, "Invalid preceding regular expression"
	}
	k.re = re
	return rest, ""
}

func (a *sedAddr) match(line string, n int, last bool) bool {
	switch {
	case a.re != nil:
		return a.re.MatchString(line)
	case a.last:
		return last
	}
	return a.line == n
}

func (k *sedCmd) selected(line string, n int, last bool) bool {
	switch {
	case k.from == nil:
		return true
	case k.to == nil:
		return k.from.match(line, n, last)
	case k.active:
		k.active = !k.to.match(line, n, last) && (k.to.line == 0 || n < k.to.line)
		return true
	case k.from.match(line, n, last):
		k.active = k.to.line == 0 || k.to.line > n
		return true
	}
	return false
}

// sedRun applies the commands to every line; it says whether q was met.
func sedRun(c *interp.Call, cmds []sedCmd, silent bool, r io.Reader, w io.Writer) bool {
	put := func(s string) bool {
		_, err := io.WriteString(w, s)
		return err == nil
	}
	var prev *string
	prevNL := true
	n, quit := 0, false
	one := func(line string, nl, last bool) bool {
		n++
		end := "\n"
		if last && !nl {
			end = ""
		}
		show, after := !silent, ""
		for i := range cmds {
			k := &cmds[i]
			if k.selected(line, n, last) == k.not {
				continue
			}
			switch k.op {
			case 'd', 'D':
				return put(after)
			case 'p':
				put(line + "\n")
			case '=':
				put(interp.Itoa(n) + "\n")
			case 'q':
				quit = true
			case 'a':
				after += k.text + "\n"
			case 'i':
				put(k.text + "\n")
			case 'c':
				return put(k.text + "\n")
			case 's':
				res, hit := sedReplace(c, k, line)
				if line = res; hit && k.show {
					put(line + "\n")
				}
			}
			if quit {
				break
			}
		}
		if show && !put(line+end) {
			return false
		}
		return put(after) && !quit && c.Sh.Spend(len(cmds))
	}
	c.Lines(r, func(l string, nl bool) bool {
		if prev != nil && !one(*prev, prevNL, false) {
			prev = nil
			quit = true
			return false
		}
		prev, prevNL = &l, nl
		return true
	})
	if prev != nil {
		one(*prev, prevNL, true)
	}
	return quit
}

func sedReplace(c *interp.Call, k *sedCmd, line string) (string, bool) {
	var b strings.Builder
	at, count, hit := 0, 0, false
	for _, m := range k.re.FindAllStringSubmatchIndex(line, 4096) {
		count++
		if k.nth > 0 && count < k.nth {
			continue
		}
		hit = true
		b.WriteString(line[at:m[0]])
		for i := 0; i < len(k.with); i++ {
			ch := k.with[i]
			g := -1
			switch {
			case ch == '&':
				g = 0
			case ch == '\\' && i+1 < len(k.with):
				i++
				switch ch = k.with[i]; {
				case syntax.IsDigit(ch):
					g = int(ch - '0')
				case ch == 'n':
					ch = '\n'
				case ch == 't':
					ch = '\t'
				}
			}
			if g < 0 {
				b.WriteByte(ch)
			} else if 2*g+1 < len(m) && m[2*g] >= 0 {
				b.WriteString(line[m[2*g]:m[2*g+1]])
			}
		}
		at = m[1]
		if !c.Sh.Spend(1+len(k.with)/16) || b.Len() > c.Sh.Limits.VarBytes*4 || !k.global {
			break
		}
	}
	return b.String() + line[at:], hit
}
