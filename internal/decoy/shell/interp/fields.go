package interp

import (
	"sort"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

// words expands a command line's words to its arguments.
func (e *env) words(list []syntax.Word) ([]string, error) {
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
				if len(out) > e.sh.Limits.Words {
					e.sh.Abort("Argument list too long")
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
func (e *env) expand(w syntax.Word) (string, string, error) {
	x := &expander{e: e}
	x.word(w, false)
	return string(x.cur.text), string(x.cur.pat), x.err
}

// single is expand for places where an error only makes the text empty.
func (e *env) single(w syntax.Word) string {
	s, _, err := e.expand(w)
	if err != nil {
		e.complain(err.Error())
	}
	return s
}

// pattern expands a word that is used as a pattern.
func (e *env) pattern(w syntax.Word) string {
	_, pat, err := e.expand(w)
	if err != nil {
		e.complain(err.Error())
	}
	return pat
}

// glob lists the paths that match; it stops at Limits.Glob.
func (e *env) glob(pat string) []string {
	base, parts := e.Cwd, strings.Split(pat, "/")
	found := []string{""}
	if strings.HasPrefix(pat, "/") {
		base, parts, found = "/", parts[1:], []string{"/"}
	}
	f := e.sh.Fs
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for i, comp := range parts {
		last := i == len(parts)-1
		var next []string
		for _, dir := range found {
			if comp == "" {
				next = append(next, dir)
				continue
			}
			n, _, err := f.Walk(base+"/"+dir, true)
			if err != nil || !n.IsDir() || !e.sh.Spend(1+len(n.Kids)/4) {
				continue
			}
			for _, name := range globNames(f, n, comp) {
				p := dir + name
				if !last {
					p += "/"
				}
				if next = append(next, p); len(next) >= e.sh.Limits.Glob {
					break
				}
			}
			if len(next) >= e.sh.Limits.Glob {
				break
			}
		}
		found = next
	}
	sort.Strings(found)
	return found
}

// globNames matches one path component. Dot files need an explicit dot.
func globNames(f *vfs.FS, n *vfs.Node, comp string) []string {
	plain := strings.ReplaceAll(comp, "\\", "")
	if !strings.ContainsAny(comp, "*?[") {
		if _, ok := n.Kids[plain]; ok || plain == "." || plain == ".." {
			return []string{plain}
		}
		return nil
	}
	var out []string
	for _, name := range f.Children(n) {
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(plain, ".") {
			continue
		}
		if syntax.Match(comp, name) {
			out = append(out, name)
		}
	}
	return out
}

// braces performs {a,b} and {1..9} on literal text; other parts ride along.
func (e *env) braces(w syntax.Word) []syntax.Word {
	for i, p := range w {
		if p.Kind != syntax.PartLit {
			continue
		}
		pre, alts, post, ok := splitBrace(p.Text, e.sh.Limits.Words)
		if !ok || !e.sh.Spend(len(alts)) {
			continue
		}
		var out []syntax.Word
		for _, a := range alts {
			nw := append(syntax.Word{}, w[:i]...)
			nw = append(nw, syntax.Part{Kind: syntax.PartLit, Text: pre + a + post})
			nw = append(nw, w[i+1:]...)
			out = append(out, e.braces(nw)...)
			if len(out) > e.sh.Limits.Words {
				e.sh.Abort("Argument list too long")
				return nil
			}
		}
		return out
	}
	return []syntax.Word{w}
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
