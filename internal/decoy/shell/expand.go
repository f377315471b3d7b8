package shell

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
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
	if len(s) == 0 || !x.e.sh.spend(1+len(s)/8) {
		x.cur.present = x.cur.present || quoted
		return
	}
	if len(x.cur.text)+len(s) > x.e.sh.limits.VarBytes*4 {
		x.e.sh.abort("cannot allocate memory")
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
		if len(x.fields) >= x.e.sh.limits.Words {
			x.e.sh.abort("Argument list too long")
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

func (x *expander) word(w word, quoted bool) {
	for i, p := range w {
		if x.err != nil || x.e.sh.dead() {
			return
		}
		switch p.kind {
		case partLit:
			text := p.text
			if i == 0 && !quoted && strings.HasPrefix(text, "~") {
				text = x.tilde(text, len(w) == 1)
			}
			x.add(text, quoted)
		case partQuoted:
			x.add(p.text, true)
			x.cur.present = true
		case partDouble:
			x.cur.present = x.cur.present || !allElements(p.inner)
			x.word(p.inner, true)
		case partCmd:
			x.value(strings.TrimRight(x.e.capture(p.body), "\n"), quoted)
		case partArith:
			v, err := x.e.arith(x.e.single(p.inner))
			if err != nil {
				x.err = err
				return
			}
			x.value(strconv.FormatInt(v, 10), quoted)
		case partVar:
			x.param(p, quoted)
		}
	}
}

// allElements says whether a quoted word is just "$@" or "${a[@]}", which is
// no field at all when there are no elements.
func allElements(w word) bool {
	if len(w) != 1 || w[0].kind != partVar {
		return false
	}
	return w[0].text == "@" || len(w[0].index) == 1 && w[0].index[0].text == "@"
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
		return x.e.cwd + text[end:]
	default:
		if a, ok := x.e.sh.account(name); ok {
			return a.home + text[end:]
		}
	}
	return text
}

// param expands $name and ${name op word}.
func (x *expander) param(p part, quoted bool) {
	if p.text == "@" || p.text == "*" || p.index != nil {
		if x.multi(p, quoted) {
			return
		}
	}
	val, set := x.e.lookup(p.text)
	if p.index != nil {
		val, set = x.e.element(p.text, x.e.single(p.index))
	}
	if p.op == "indirect" {
		val, set = x.e.lookup(val)
	}
	x.operate(p, val, set, quoted)
}

// multi expands $@, $* and ${a[@]}; it is false for a single element.
func (x *expander) multi(p part, quoted bool) bool {
	list, star := x.e.args, p.text == "*"
	if p.index != nil {
		i := x.e.single(p.index)
		if i != "@" && i != "*" {
			return false
		}
		star, list = i == "*", x.e.elements(p.text)
	}
	switch {
	case p.op == "len":
		x.value(strconv.Itoa(len(list)), quoted)
		return true
	case p.op == ":" && p.index == nil:
		all := append([]string{x.e.name}, list...)
		off, n := x.bounds(p, len(all))
		list = all[off : off+n]
	case p.op != "" && len(list) == 0:
		return false
	}
	if star && quoted {
		sep := " "
		if ifs, ok := x.e.lookup("IFS"); ok {
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

func (x *expander) operate(p part, val string, set, quoted bool) {
	op := p.op
	if strings.HasPrefix(op, ":") && len(op) == 2 {
		set = set && val != ""
		op = op[1:]
	}
	switch op {
	case "", "indirect":
		if !set && x.e.opts['u'] && p.op == "" && p.text != "!" {
			x.err = shellError(p.text + ": unbound variable")
		}
		x.value(val, quoted)
	case "len":
		x.value(strconv.Itoa(utf8.RuneCountInString(val)), quoted)
	case "-":
		if set {
			x.value(val, quoted)
		} else {
			x.word(p.arg, quoted)
		}
	case "=":
		if !set {
			val = x.e.single(p.arg)
			x.e.set(p.text, val)
		}
		x.value(val, quoted)
	case "?":
		if !set {
			msg := x.e.single(p.arg)
			if msg == "" {
				msg = "parameter null or not set"
			}
			x.err = shellError(p.text + ": " + msg)
			return
		}
		x.value(val, quoted)
	case "+":
		if set {
			x.word(p.arg, quoted)
		}
	case "#", "##", "%", "%%":
		x.value(x.trim(val, x.e.pattern(p.arg), op), quoted)
	case "/", "//", "/#", "/%":
		x.value(x.replace(val, x.e.pattern(p.arg), x.e.single(p.arg2), op), quoted)
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

func (x *expander) bounds(p part, size int) (off, n int) {
	o, err := x.e.arith(x.e.single(p.arg))
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
	if p.arg2 != nil {
		l, err := x.e.arith(x.e.single(p.arg2))
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
		if !x.e.sh.spend(1 + n/16) {
			return ""
		}
		k := i
		if len(op) == 2 {
			k = n - i
		}
		if op[0] == '#' {
			if match(pat, val[:k]) {
				return val[k:]
			}
		} else if match(pat, val[n-k:]) {
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
				if !x.e.sh.spend(1 + (k-i)/16) {
					return ""
				}
				if (k > i || len(val) == 0) && (op != "/%" || k == len(val)) && match(pat, val[i:k]) {
					hit = k
					break
				}
			}
		}
		if hit >= 0 {
			out.WriteString(with)
			if !x.e.sh.spend(1+len(with)/8) || out.Len() > x.e.sh.limits.VarBytes {
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

// words expands a command line's words to its arguments.
func (e *env) words(list []word) ([]string, error) {
	x := &expander{e: e, split: true}
	for _, w := range list {
		for _, b := range e.braces(w) {
			x.word(b, false)
			x.end()
			if x.err != nil {
				return nil, x.err
			}
		}
	}
	var out []string
	for _, f := range x.fields {
		if f.glob && !e.opts['f'] {
			if m := e.glob(string(f.pat)); len(m) > 0 {
				out = append(out, m...)
				if len(out) > e.sh.limits.Words {
					e.sh.abort("Argument list too long")
					return nil, nil
				}
				continue
			}
		}
		out = append(out, string(f.text))
	}
	return out, nil
}

// expand turns one word into one string, without splitting or globbing.
func (e *env) expand(w word) (string, string, error) {
	x := &expander{e: e}
	x.word(w, false)
	return string(x.cur.text), string(x.cur.pat), x.err
}

// single is expand for places where an error only makes the text empty.
func (e *env) single(w word) string {
	s, _, err := e.expand(w)
	if err != nil {
		e.complain(err.Error())
	}
	return s
}

// pattern expands a word that is used as a pattern.
func (e *env) pattern(w word) string {
	_, pat, err := e.expand(w)
	if err != nil {
		e.complain(err.Error())
	}
	return pat
}

// glob lists the paths that match; it stops at Limits.Glob.
func (e *env) glob(pat string) []string {
	base, parts := e.cwd, strings.Split(pat, "/")
	found := []string{""}
	if strings.HasPrefix(pat, "/") {
		base, parts, found = "/", parts[1:], []string{"/"}
	}
	f := e.sh.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, comp := range parts {
		last := i == len(parts)-1
		var next []string
		for _, dir := range found {
			if comp == "" {
				next = append(next, dir)
				continue
			}
			n, _, err := f.walk(base+"/"+dir, true)
			if err != nil || !n.isDir() || !e.sh.spend(1+len(n.kids)/4) {
				continue
			}
			for _, name := range f.globNames(n, comp) {
				p := dir + name
				if !last {
					p += "/"
				}
				if next = append(next, p); len(next) >= e.sh.limits.Glob {
					break
				}
			}
			if len(next) >= e.sh.limits.Glob {
				break
			}
		}
		found = next
	}
	sort.Strings(found)
	return found
}

// globNames matches one path component. Dot files need an explicit dot.
func (f *FS) globNames(n *node, comp string) []string {
	plain := strings.ReplaceAll(comp, "\\", "")
	if !strings.ContainsAny(comp, "*?[") {
		if _, ok := n.kids[plain]; ok || plain == "." || plain == ".." {
			return []string{plain}
		}
		return nil
	}
	var out []string
	for _, name := range f.children(n) {
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(plain, ".") {
			continue
		}
		if match(comp, name) {
			out = append(out, name)
		}
	}
	return out
}

// braces performs {a,b} and {1..9} on literal text; other parts ride along.
func (e *env) braces(w word) []word {
	for i, p := range w {
		if p.kind != partLit {
			continue
		}
		pre, alts, post, ok := splitBrace(p.text, e.sh.limits.Words)
		if !ok || !e.sh.spend(len(alts)) {
			continue
		}
		var out []word
		for _, a := range alts {
			nw := append(word{}, w[:i]...)
			nw = append(nw, part{kind: partLit, text: pre + a + post})
			nw = append(nw, w[i+1:]...)
			out = append(out, e.braces(nw)...)
			if len(out) > e.sh.limits.Words {
				e.sh.abort("Argument list too long")
				return nil
			}
		}
		return out
	}
	return []word{w}
}

func splitBrace(s string, most int) (pre string, alts []string, post string, ok bool) {
	for start := strings.IndexByte(s, '{'); start >= 0; {
		depth, from := 0, start+1
		alts = nil
		for i := start; i < len(s); i++ {
			switch s[i] {
			case '{':
				depth++
			case ',':
				if depth == 1 {
					alts = append(alts, s[from:i])
					from = i + 1
				}
			case '}':
				if depth--; depth == 0 {
					if len(alts) > 0 {
						return s[:start], append(alts, s[from:i]), s[i+1:], true
					}
					if seq := braceRange(s[start+1:i], most); seq != nil {
						return s[:start], seq, s[i+1:], true
					}
					i = len(s)
				}
			}
		}
		next := strings.IndexByte(s[start+1:], '{')
		if next < 0 {
			break
		}
		start += 1 + next
	}
	return "", nil, "", false
}

func braceRange(s string, most int) []string {
	p := strings.Split(s, "..")
	if len(p) < 2 || len(p) > 3 {
		return nil
	}
	step := 1
	if len(p) == 3 {
		n, err := strconv.Atoi(p[2])
		if err != nil || n == 0 || n < -1<<30 || n > 1<<30 {
			return nil
		}
		step = max(n, -n)
	}
	lo, err1 := strconv.Atoi(p[0])
	hi, err2 := strconv.Atoi(p[1])
	letters := err1 != nil && err2 != nil && len(p[0]) == 1 && len(p[1]) == 1
	if letters {
		lo, hi = int(p[0][0]), int(p[1][0])
	} else if err1 != nil || err2 != nil || lo < -1<<40 || lo > 1<<40 || hi < -1<<40 || hi > 1<<40 {
		return nil
	}
	width := 0
	if !letters && (strings.HasPrefix(p[0], "0") && len(p[0]) > 1 || strings.HasPrefix(p[1], "0") && len(p[1]) > 1) {
		width = max(len(p[0]), len(p[1]))
	}
	var out []string
	dir := 1
	if hi < lo {
		dir = -1
	}
	for v := lo; v*dir <= hi*dir && len(out) <= most; v += step * dir {
		t := strconv.Itoa(v)
		if letters {
			t = string(rune(v))
		}
		for len(t) < width {
			t = "0" + t
		}
		out = append(out, t)
	}
	return out
}
