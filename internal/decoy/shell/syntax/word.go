package syntax

import (
	"errors"
	"strings"
)

// errNotArith says that text after (( is not an arithmetic expression.
var errNotArith = errors.New("not an arithmetic expression")

func IsName(s string) bool {
	for i := range len(s) {
		if !NameByte(s[i], i == 0) {
			return false
		}
	}
	return s != ""
}

func NameByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

// simple parses assignments, words and redirections; or a function definition.
func (p *parser) simple(c *Command) error {
	for {
		ok, err := p.redirect(c)
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		p.blanks()
		if p.eof() || strings.IndexByte("\n;&|()", p.peek()) >= 0 {
			break
		}
		if len(c.Words) == 0 {
			done, err := p.assignment(c)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		} else if name, ok := c.Words[0].literal(); ok && declares(name) {
			if done, err := p.assignWord(c); err != nil {
				return err
			} else if done {
				continue
			}
		}
		w, err := p.word()
		if err != nil {
			return err
		}
		c.Words = append(c.Words, w)
	}
	if p.peek() == '(' && len(c.Words) == 1 && len(c.Assigns) == 0 {
		return p.maybeFunc(c)
	}
	if p.peek() == '(' || len(c.Words)+len(c.Assigns)+len(c.Redirs) == 0 {
		return p.unexpected()
	}
	return nil
}

func (p *parser) maybeFunc(c *Command) error {
	name, ok := c.Words[0].literal()
	save := p.Pos
	p.Pos++
	p.blanks()
	if !ok || p.peek() != ')' {
		if p.eof() {
			return ErrIncomplete
		}
		p.Pos = save
		return p.unexpected()
	}
	p.Pos++
	c.Name, c.Words = name, nil
	return p.funcBody(c)
}

func declares(name string) bool {
	switch name {
	case "export", "local", "declare", "typeset", "readonly":
		return true
	}
	return false
}

// assignWord parses name=value after export and friends as one word whose
// value is not split.
func (p *parser) assignWord(c *Command) (bool, error) {
	name := p.bareName()
	if name == "" || !strings.HasPrefix(p.src[p.Pos+len(name):], "=") || strings.HasPrefix(p.src[p.Pos+len(name):], "=(") {
		return false, nil
	}
	p.Pos += len(name) + 1
	w, err := p.word()
	c.Words = append(c.Words, Word{{Kind: PartQuoted, Text: name + "="}, {Kind: PartDouble, Inner: w}})
	return true, err
}

func (p *parser) bareName() string {
	end := p.Pos
	for end < len(p.src) && NameByte(p.src[end], end == p.Pos) {
		end++
	}
	return p.src[p.Pos:end]
}

func (p *parser) assignment(c *Command) (bool, error) {
	name := p.bareName()
	if name == "" {
		return false, nil
	}
	save := p.Pos
	p.Pos += len(name)
	a := Assign{Name: name}
	if p.peek() == '[' {
		if end := strings.IndexByte(p.src[p.Pos:], ']'); end > 1 && strings.IndexByte(p.src[p.Pos:p.Pos+end], '\n') < 0 {
			sub := &parser{src: p.src[p.Pos+1 : p.Pos+end], line: p.line, depth: p.depth, max: p.max}
			var err error
			if a.Index, err = sub.double(0); err != nil {
				return false, err
			}
			p.Pos += end + 1
		}
	}
	switch {
	case p.has("+="):
		a.Append = true
		p.Pos += 2
	case p.has("="):
		p.Pos++
	default:
		p.Pos = save
		return false, nil
	}
	if p.peek() == '(' && a.Index == nil {
		p.Pos++
		a.IsArr = true
		for {
			if err := p.lines(); err != nil {
				return false, err
			}
			if p.eof() {
				return false, ErrIncomplete
			}
			if p.peek() == ')' {
				p.Pos++
				break
			}
			w, err := p.word()
			if err != nil {
				return false, err
			}
			if len(w) == 0 {
				return false, p.unexpected()
			}
			a.Array = append(a.Array, w)
		}
		c.Assigns = append(c.Assigns, a)
		return true, nil
	}
	w, err := p.word()
	a.Value = w
	c.Assigns = append(c.Assigns, a)
	return true, err
}

// redirect parses one redirection if there is one.
func (p *parser) redirect(c *Command) (bool, error) {
	p.blanks()
	start, fd := p.Pos, -1
	if d := p.peek(); d >= '0' && d <= '9' && p.Pos+1 < len(p.src) && (p.src[p.Pos+1] == '<' || p.src[p.Pos+1] == '>') {
		fd = int(d - '0')
		p.Pos++
	}
	op := ""
	for _, o := range []string{"&>>", "&>", "<<<", "<<-", "<<", "<>", "<&", "<", ">>", ">&", ">|", ">"} {
		if p.has(o) {
			op = o
			break
		}
	}
	if op == "" || op[0] == '&' && fd >= 0 || p.has("<(") || p.has(">(") {
		if p.has("<(") || p.has(">(") {
			return false, p.unexpected() // process substitution is not offered
		}
		p.Pos = start
		return false, nil
	}
	p.Pos += len(op)
	p.blanks()
	w, err := p.word()
	if err != nil {
		return false, err
	}
	if len(w) == 0 {
		return false, p.unexpected()
	}
	r := Redir{Fd: fd, Op: op, To: w}
	if op == "<<" || op == "<<-" {
		h := &heredoc{strip: op == "<<-"}
		for _, q := range w {
			h.quoted = h.quoted || q.Kind != PartLit
			h.delim += q.Text
			for _, in := range q.Inner {
				h.delim += in.Text
			}
		}
		r.Here = h
		p.pending = append(p.pending, h)
	}
	c.Redirs = append(c.Redirs, r)
	return true, nil
}

// word parses one word; it is empty when a metacharacter comes first.
func (p *parser) word() (Word, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var w Word
	lit := func(s string) {
		if n := len(w); n > 0 && w[n-1].Kind == PartLit {
			w[n-1].Text += s
			return
		}
		w = append(w, Part{Kind: PartLit, Text: s})
	}
	for !p.eof() {
		c := p.src[p.Pos]
		switch {
		case strings.IndexByte(" \t\r\n;&|<>()", c) >= 0:
			return w, nil
		case c == '\\':
			if p.Pos+1 >= len(p.src) {
				p.Pos++
				lit("\\")
				return w, nil
			}
			if p.src[p.Pos+1] == '\n' {
				p.line++
			} else {
				w = append(w, Part{Kind: PartQuoted, Text: p.src[p.Pos+1 : p.Pos+2]})
			}
			p.Pos += 2
		case c == '\'':
			end := strings.IndexByte(p.src[p.Pos+1:], '\'')
			if end < 0 {
				return nil, ErrIncomplete
			}
			text := p.src[p.Pos+1 : p.Pos+1+end]
			p.line += strings.Count(text, "\n")
			w = append(w, Part{Kind: PartQuoted, Text: text})
			p.Pos += end + 2
		case c == '"':
			p.Pos++
			inner, err := p.double('"')
			if err != nil {
				return nil, err
			}
			w = append(w, Part{Kind: PartDouble, Inner: inner})
		case c == '$' || c == '`':
			pt, err := p.dollar(false)
			if err != nil {
				return nil, err
			}
			if pt.Kind == PartLit {
				lit(pt.Text)
			} else {
				w = append(w, pt)
			}
		default:
			end := p.Pos + 1
			for end < len(p.src) && strings.IndexByte(" \t\r\n;&|<>()\\'\"$`", p.src[end]) < 0 {
				end++
			}
			lit(p.src[p.Pos:end])
			p.Pos = end
		}
	}
	return w, nil
}

// double parses text in which only $, ` and \ are special, up to close
// (0: end of input). It serves "...", here-documents and ${v:-...}.
func (p *parser) double(closing byte) (Word, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	w := Word{}
	start := p.Pos
	flush := func() {
		if p.Pos > start {
			w = append(w, Part{Kind: PartQuoted, Text: p.src[start:p.Pos]})
		}
	}
	for !p.eof() {
		c := p.src[p.Pos]
		switch {
		case closing != 0 && c == closing:
			flush()
			p.Pos++
			return w, nil
		case c == '\\' && p.Pos+1 < len(p.src):
			next := p.src[p.Pos+1]
			if strings.IndexByte("$`\\\n", next) < 0 && (next != closing || closing == 0) {
				p.Pos += 2
				continue
			}
			flush()
			if next != '\n' {
				w = append(w, Part{Kind: PartQuoted, Text: p.src[p.Pos+1 : p.Pos+2]})
			}
			p.Pos += 2
			start = p.Pos
		case c == '$' || c == '`':
			flush()
			pt, err := p.dollar(true)
			if err != nil {
				return nil, err
			}
			if pt.Kind == PartLit {
				pt.Kind = PartQuoted
			}
			w = append(w, pt)
			start = p.Pos
		default:
			if c == '\n' {
				p.line++
			}
			p.Pos++
		}
	}
	if closing != 0 {
		return nil, ErrIncomplete
	}
	flush()
	return w, nil
}
