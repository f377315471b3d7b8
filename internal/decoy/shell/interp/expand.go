package interp

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"bartizan/internal/decoy/shell/syntax"
)

// field is one word under construction. pat is the same text with quoted
// pattern characters escaped, so that globbing knows what was quoted.
type field struct {
	text, pat []byte
	glob      bool // an unquoted pattern character is present
	present   bool // exists even when empty, because something was quoted
}

// expander turns words into fields within the limits of the session.
type expander struct {
	e      *env
	fields []field
	cur    field
	split  bool
	err    error
}

func (x *expander) add(s string, quoted bool) {
	if len(s) == 0 || !x.e.sh.Spend(1+len(s)/8) {
		x.cur.present = x.cur.present || quoted
		return
	}
	if len(x.cur.text)+len(s) > x.e.sh.Limits.VarBytes*4 {
		x.e.sh.Abort("cannot allocate memory")
		return
	}
	x.cur.text = append(x.cur.text, s...)
	x.cur.present = x.cur.present || quoted
	for i := range len(s) {
		switch s[i] {
		case '*', '?', '[', '\\', ']', '-', '!', '^':
			if quoted || s[i] == '\\' {
				x.cur.pat = append(x.cur.pat, '\\')
			} else if s[i] == '*' || s[i] == '?' || s[i] == '[' {
				x.cur.glob = true
			}
		}
		x.cur.pat = append(x.cur.pat, s[i])
	}
}

func (x *expander) end() {
	if x.cur.present || len(x.cur.text) > 0 {
		if len(x.fields) >= x.e.sh.Limits.Words {
			x.e.sh.Abort("Argument list too long")
		} else {
			x.fields = append(x.fields, x.cur)
		}
	}
	x.cur = field{}
}

// value adds the result of an expansion, split at IFS when unquoted.
func (x *expander) value(s string, quoted bool) {
	if quoted || !x.split {
		x.add(s, quoted)
		return
	}
	ifs := x.e.ifs()
	for s != "" {
		i := strings.IndexAny(s, ifs)
		if i < 0 {
			x.add(s, false)
			return
		}
		x.add(s[:i], false)
		space := strings.IndexByte(" \t\n", s[i]) >= 0
		j := i
		for j < len(s) && strings.IndexByte(ifs, s[j]) >= 0 && strings.IndexByte(" \t\n", s[j]) >= 0 {
			j++
		}
		if j < len(s) && strings.IndexByte(ifs, s[j]) >= 0 && strings.IndexByte(" \t\n", s[j]) < 0 {
			j++
			space = false
			for j < len(s) && strings.IndexByte(ifs, s[j]) >= 0 && strings.IndexByte(" \t\n", s[j]) >= 0 {
				j++
			}
		}
		if !space {
			x.cur.present = true // an explicit separator makes an empty field
		}
		x.end()
		s = s[j:]
	}
}

func (x *expander) word(w syntax.Word, quoted bool) {
	for i, p := range w {
		if x.err != nil || x.e.sh.Dead() {
			return
		}
		switch p.Kind {
		case syntax.PartLit:
			text := p.Text
			if i == 0 && !quoted && strings.HasPrefix(text, "~") {
				text = x.tilde(text, len(w) == 1)
			}
			x.add(text, quoted)
		case syntax.PartQuoted:
			x.add(p.Text, true)
			x.cur.present = true
		case syntax.PartDouble:
			x.cur.present = x.cur.present || !allElements(p.Inner)
			x.word(p.Inner, true)
		case syntax.PartCmd:
			x.value(strings.TrimRight(x.e.capture(p.Body), "\n"), quoted)
		case syntax.PartArith:
			v, err := x.e.Arith(x.e.single(p.Inner))
			if err != nil {
				x.err = err
				return
			}
			x.value(strconv.FormatInt(v, 10), quoted)
		case syntax.PartVar:
			x.param(p, quoted)
		}
	}
}

// allElements says whether a quoted word is just "$@" or "${a[@]}", which is
// no field at all when there are no elements.
func allElements(w syntax.Word) bool {
	if len(w) != 1 || w[0].Kind != syntax.PartVar {
		return false
	}
	return w[0].Text == "@" || len(w[0].Index) == 1 && w[0].Index[0].Text == "@"
}

func (x *expander) tilde(text string, whole bool) string {
	end := strings.IndexByte(text, '/')
	if end < 0 {
		if !whole {
			return text
		}
		end = len(text)
	}
	switch name := text[1:end]; name {
	case "":
		return x.e.get("HOME") + text[end:]
	case "+":
		return x.e.Cwd + text[end:]
	default:
		if a, ok := x.e.sh.Account(name); ok {
			return a.Home + text[end:]
		}
	}
	return text
}

// param expands $name and ${name op word}.
func (x *expander) param(p syntax.Part, quoted bool) {
	if p.Text == "@" || p.Text == "*" || p.Index != nil {
		if x.multi(p, quoted) {
			return
		}
	}
	val, set := x.e.Lookup(p.Text)
	if p.Index != nil {
		val, set = x.e.element(p.Text, x.e.single(p.Index))
	}
	if p.Op == "indirect" {
		val, set = x.e.Lookup(val)
	}
	x.operate(p, val, set, quoted)
}

// multi expands $@, $* and ${a[@]}; it is false for a single element.
func (x *expander) multi(p syntax.Part, quoted bool) bool {
	list, star := x.e.args, p.Text == "*"
	if p.Index != nil {
		i := x.e.single(p.Index)
		if i != "@" && i != "*" {
			return false
		}
		star, list = i == "*", x.e.elements(p.Text)
	}
	switch {
	case p.Op == "len":
		x.value(strconv.Itoa(len(list)), quoted)
		return true
	case p.Op == ":" && p.Index == nil:
		all := append([]string{x.e.Name}, list...)
		off, n := x.bounds(p, len(all))
		list = all[off : off+n]
	case p.Op != "" && len(list) == 0:
		return false
	}
	if star && quoted {
		sep := " "
		if ifs, ok := x.e.Lookup("IFS"); ok {
			sep = ifs[:min(1, len(ifs))]
		}
		x.add(strings.Join(list, sep), true)
		return true
	}
	for i, v := range list {
		if i > 0 {
			if x.split {
				x.end()
			} else {
				x.add(" ", true)
			}
		}
		if quoted {
			x.add(v, true)
			x.cur.present = true
		} else {
			x.value(v, false)
		}
	}
	return true
}

func (x *expander) operate(p syntax.Part, val string, set, quoted bool) {
	op := p.Op
	if strings.HasPrefix(op, ":") && len(op) == 2 {
		set = set && val != ""
		op = op[1:]
	}
	switch op {
	case "", "indirect":
		if !set && x.e.opts['u'] && p.Op == "" && p.Text != "!" {
			x.err = shellError(p.Text + ": unbound variable")
		}
		x.value(val, quoted)
	case "len":
		x.value(strconv.Itoa(utf8.RuneCountInString(val)), quoted)
	case "-":
		if set {
			x.value(val, quoted)
		} else {
			x.word(p.Arg, quoted)
		}
	case "=":
		if !set {
			val = x.e.single(p.Arg)
			x.e.set(p.Text, val)
		}
		x.value(val, quoted)
	case "?":
		if !set {
			msg := x.e.single(p.Arg)
			if msg == "" {
				msg = "parameter null or not set"
			}
			x.err = shellError(p.Text + ": " + msg)
			return
		}
		x.value(val, quoted)
	case "+":
		if set {
			x.word(p.Arg, quoted)
		}
	case "#", "##", "%", "%%":
		x.value(x.trim(val, x.e.pattern(p.Arg), op), quoted)
	case "/", "//", "/#", "/%":
		x.value(x.replace(val, x.e.pattern(p.Arg), x.e.single(p.Arg2), op), quoted)
	case ":":
		r := []rune(val)
		off, n := x.bounds(p, len(r))
		x.value(string(r[off:off+n]), quoted)
	case "^", "^^", ",", ",,":
		x.value(changeCase(val, op), quoted)
	}
}

func changeCase(val, op string) string {
	f := strings.ToUpper
	if op[0] == ',' {
		f = strings.ToLower
	}
	if len(op) == 2 || val == "" {
		return f(val)
	}
	_, n := utf8.DecodeRuneInString(val)
	return f(val[:n]) + val[n:]
}

func (x *expander) bounds(p syntax.Part, size int) (off, n int) {
	o, err := x.e.Arith(x.e.single(p.Arg))
	if err != nil {
		x.err = err
		return 0, 0
	}
	if o < 0 {
		o += int64(size)
	}
	if o < 0 || o > int64(size) {
		return 0, 0
	}
	rest := int64(size) - o
	if p.Arg2 != nil {
		l, err := x.e.Arith(x.e.single(p.Arg2))
		if err != nil {
			x.err = err
			return 0, 0
		}
		if l < 0 {
			l = max(0, rest+l)
		}
		rest = min(rest, l)
	}
	return int(o), int(rest)
}

// trim removes a matching prefix or suffix. Every trial is paid for, because
// pattern times text times positions is cubic.
func (x *expander) trim(val, pat, op string) string {
	n := len(val)
	for i := range n + 1 {
		if !x.e.sh.Spend(1 + n/16) {
			return ""
		}
		k := i
		if len(op) == 2 {
			k = n - i
		}
		if op[0] == '#' {
			if syntax.Match(pat, val[:k]) {
				return val[k:]
			}
		} else if syntax.Match(pat, val[n-k:]) {
			return val[:n-k]
		}
	}
	return val
}

func (x *expander) replace(val, pat, with, op string) string {
	if pat == "" {
		return val
	}
	var out strings.Builder
	for i := 0; i <= len(val); {
		hit := -1
		if op != "/#" || i == 0 {
			for k := len(val); k >= i; k-- {
				if !x.e.sh.Spend(1 + (k-i)/16) {
					return ""
				}
				if (k > i || len(val) == 0) && (op != "/%" || k == len(val)) && syntax.Match(pat, val[i:k]) {
					hit = k
					break
				}
			}
		}
		if hit >= 0 {
			out.WriteString(with)
			if !x.e.sh.Spend(1+len(with)/8) || out.Len() > x.e.sh.Limits.VarBytes {
				return ""
			}
			if op != "//" || hit == i {
				return out.String() + val[hit:]
			}
			i = hit
			continue
		}
		if i < len(val) {
			out.WriteByte(val[i])
		}
		i++
	}
	return out.String()
}
