package shell

import (
	"errors"
	"strings"
)

// errIncomplete says that the input ends inside a construct; an interactive
// shell then asks for more with PS2.
var errIncomplete = errors.New("syntax error: unexpected end of file")

type syntaxError struct {
	near string
	line int
}

func (e *syntaxError) Error() string {
	return "syntax error near unexpected token `" + e.near + "'"
}

// parser is a recursive-descent parser of the POSIX shell grammar with the
// bash extensions visitors use. It reads one complete command at a time so
// that, as in a real shell, what stands before a syntax error still runs.
type parser struct {
	src     string
	pos     int
	line    int
	depth   int
	max     int
	pending []*heredoc
}

func newParser(src string, maxDepth int) *parser {
	return &parser{src: src, line: 1, max: maxDepth}
}

func (p *parser) enter() error {
	if p.depth++; p.depth > p.max {
		return &syntaxError{near: "(", line: p.line}
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *parser) has(s string) bool { return strings.HasPrefix(p.src[p.pos:], s) }

func (p *parser) eof() bool { return p.pos >= len(p.src) }

// blanks skips spaces, line continuations and comments.
func (p *parser) blanks() {
	for !p.eof() {
		switch c := p.src[p.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			p.pos++
		case c == '\\' && p.has("\\\n"):
			p.pos += 2
			p.line++
		case c == '#' && (p.pos == 0 || strings.IndexByte(" \t\n;&|()", p.src[p.pos-1]) >= 0):
			for !p.eof() && p.src[p.pos] != '\n' {
				p.pos++
			}
		default:
			return
		}
	}
}

// newline consumes a line end and the here-documents waiting for it.
func (p *parser) newline() error {
	p.pos++
	p.line++
	for len(p.pending) > 0 {
		h := p.pending[0]
		p.pending = p.pending[1:]
		if err := p.readHere(h); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) lines() error {
	for p.blanks(); p.peek() == '\n'; p.blanks() {
		if err := p.newline(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) readHere(h *heredoc) error {
	var body strings.Builder
	for {
		if p.eof() {
			break // bash only warns about a missing delimiter
		}
		end := strings.IndexByte(p.src[p.pos:], '\n')
		text := p.src[p.pos:]
		if end >= 0 {
			text = text[:end]
		}
		p.pos += len(text)
		if end >= 0 {
			p.pos++
		}
		p.line++
		if h.strip {
			text = strings.TrimLeft(text, "\t")
		}
		if strings.TrimSuffix(text, "\r") == h.delim {
			return p.hereBody(h, body.String())
		}
		body.WriteString(text + "\n")
	}
	if err := p.hereBody(h, body.String()); err != nil {
		return err
	}
	return errIncomplete
}

func (p *parser) hereBody(h *heredoc, text string) error {
	if h.quoted {
		h.body = word{{kind: partQuoted, text: text}}
		return nil
	}
	sub := &parser{src: text, line: p.line, depth: p.depth, max: p.max}
	inner, err := sub.double(0)
	h.body = inner
	return err
}

// next parses the next complete command line; nil means end of input.
func (p *parser) next() (*list, error) {
	if err := p.lines(); err != nil {
		return nil, err
	}
	if p.eof() {
		return nil, nil
	}
	l, err := p.list(true)
	if err != nil {
		return nil, err
	}
	p.blanks()
	if !p.eof() {
		if p.peek() != '\n' {
			return nil, p.unexpected()
		}
		if err := p.newline(); err != nil && err != errIncomplete {
			return nil, err
		} else if err != nil {
			return l, err
		}
	} else if len(p.pending) > 0 {
		return l, errIncomplete
	}
	return l, nil
}

func (p *parser) unexpected() error {
	p.blanks()
	if p.eof() {
		return errIncomplete
	}
	if p.peek() == '\n' {
		return &syntaxError{near: "newline", line: p.line}
	}
	near := p.src[p.pos : p.pos+1]
	for _, op := range []string{"&&", "||", ";;", "<<", ">>"} {
		if p.has(op) {
			near = op
		}
	}
	if w := p.bareword(); w != "" {
		near = w
	}
	return &syntaxError{near: near, line: p.line}
}

// bareword peeks at an unquoted word made of plain characters only.
func (p *parser) bareword() string {
	end := p.pos
	for end < len(p.src) && strings.IndexByte(" \t\r\n;&|<>()", p.src[end]) < 0 {
		if strings.IndexByte("'\"$`\\", p.src[end]) >= 0 {
			return ""
		}
		end++
	}
	return p.src[p.pos:end]
}

func (p *parser) keyword(k string) bool {
	p.blanks()
	if p.bareword() == k {
		p.pos += len(k)
		return true
	}
	return false
}

func (p *parser) expect(k string) error {
	if err := p.lines(); err != nil {
		return err
	}
	if !p.keyword(k) {
		return p.unexpected()
	}
	return nil
}

func (p *parser) atEnd() bool {
	p.blanks()
	if p.eof() || p.peek() == ')' || p.has(";;") || p.has(";&") {
		return true
	}
	switch p.bareword() {
	case "then", "else", "elif", "fi", "do", "done", "esac", "}":
		return true
	}
	return false
}

// list parses and-or lists; oneLine stops at the first line end.
func (p *parser) list(oneLine bool) (*list, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	l := &list{}
	for {
		if !oneLine {
			if err := p.lines(); err != nil {
				return nil, err
			}
		}
		if p.atEnd() || p.peek() == '\n' {
			if len(l.items) == 0 && oneLine && !p.eof() {
				return nil, p.unexpected()
			}
			return l, nil
		}
		it, err := p.andOr()
		if err != nil {
			return nil, err
		}
		p.blanks()
		sep := false
		switch {
		case p.has(";;") || p.has(";&"):
		case p.peek() == ';':
			p.pos++
			sep = true
		case p.peek() == '&' && !p.has("&&"):
			p.pos++
			it.bg, sep = true, true
		case p.peek() == '\n':
			sep = true
		}
		l.items = append(l.items, it)
		if !sep {
			return l, nil
		}
	}
}

func (p *parser) andOr() (item, error) {
	first, err := p.pipeline()
	if err != nil {
		return item{}, err
	}
	it := item{first: first}
	for {
		p.blanks()
		and := p.has("&&")
		if !and && !p.has("||") {
			return it, nil
		}
		p.pos += 2
		if err := p.lines(); err != nil {
			return it, err
		}
		next, err := p.pipeline()
		if err != nil {
			return it, err
		}
		it.rest = append(it.rest, andOr{and, next})
	}
}

func (p *parser) pipeline() (*pipeline, error) {
	pl := &pipeline{}
	for p.keyword("!") {
		pl.not = !pl.not
	}
	for {
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		pl.cmds = append(pl.cmds, c)
		p.blanks()
		if p.peek() != '|' || p.has("||") {
			return pl, nil
		}
		p.pos++
		if p.peek() == '&' { // |& also pipes standard error
			p.pos++
			c.redirs = append(c.redirs, redir{fd: 2, op: ">&", to: word{{kind: partLit, text: "1"}}})
		}
		if err := p.lines(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) command() (*command, error) {
	p.blanks()
	if p.eof() {
		return nil, errIncomplete
	}
	c := &command{line: p.line}
	var err error
	compound := true
	switch {
	case p.has("((") && p.arithCommand(c):
	case p.peek() == '(':
		p.pos++
		c.kind = cmdSub
		if c.body, err = p.list(false); err == nil {
			err = p.char(')')
		}
	default:
		switch w := p.bareword(); w {
		case "{", "if", "while", "until", "for", "case", "function", "[[", "select":
			p.pos += len(w)
			err = p.compound(c, w)
		case "then", "else", "elif", "fi", "do", "done", "esac", "}":
			return nil, p.unexpected()
		default:
			compound = false
			err = p.simple(c)
		}
	}
	if err != nil || !compound || c.kind == cmdFunc {
		return c, err
	}
	for {
		ok, err := p.redirect(c)
		if err != nil || !ok {
			return c, err
		}
	}
}

func (p *parser) char(want byte) error {
	if err := p.lines(); err != nil {
		return err
	}
	if p.peek() != want {
		return p.unexpected()
	}
	p.pos++
	return nil
}

func (p *parser) compound(c *command, kw string) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	var err error
	switch kw {
	case "{":
		c.kind = cmdGroup
		if c.body, err = p.list(false); err != nil {
			return err
		}
		return p.expect("}")
	case "if":
		return p.ifCommand(c)
	case "while", "until":
		c.kind = cmdWhile
		if kw == "until" {
			c.kind = cmdUntil
		}
		if c.cond, err = p.list(false); err != nil {
			return err
		}
		return p.doGroup(c)
	case "for", "select":
		return p.forCommand(c)
	case "case":
		return p.caseCommand(c)
	case "[[":
		return p.condCommand(c)
	}
	p.blanks() // function name
	c.name = p.bareword()
	p.pos += len(c.name)
	if c.name == "" {
		return p.unexpected()
	}
	p.blanks()
	if p.has("()") {
		p.pos += 2
	}
	return p.funcBody(c)
}

func (p *parser) funcBody(c *command) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	c.kind = cmdFunc
	if err := p.lines(); err != nil {
		return err
	}
	var err error
	c.fn, err = p.command()
	return err
}

func (p *parser) ifCommand(c *command) error {
	c.kind = cmdIf
	var err error
	if c.cond, err = p.list(false); err != nil {
		return err
	}
	if err = p.expect("then"); err != nil {
		return err
	}
	if c.body, err = p.list(false); err != nil {
		return err
	}
	if err = p.lines(); err != nil {
		return err
	}
	switch {
	case p.keyword("elif"):
		if err := p.enter(); err != nil {
			return err
		}
		defer p.leave()
		inner := &command{line: p.line}
		if err := p.ifCommand(inner); err != nil {
			return err
		}
		c.els = &list{items: []item{{first: &pipeline{cmds: []*command{inner}}}}}
		return nil
	case p.keyword("else"):
		if c.els, err = p.list(false); err != nil {
			return err
		}
	}
	return p.expect("fi")
}

func (p *parser) doGroup(c *command) error {
	if err := p.expect("do"); err != nil {
		return err
	}
	var err error
	if c.body, err = p.list(false); err != nil {
		return err
	}
	return p.expect("done")
}

func (p *parser) forCommand(c *command) error {
	p.blanks()
	if p.has("((") {
		c.kind = cmdForArith
		p.pos += 2
		for i := range c.arith {
			w, err := p.arithText(i < 2)
			if err == errNotArith {
				return p.unexpected()
			} else if err != nil {
				return err
			}
			c.arith[i] = w
		}
		p.blanks()
		if p.peek() == ';' {
			p.pos++
		}
		return p.doGroup(c)
	}
	c.kind = cmdFor
	c.name = p.bareword()
	if !isName(c.name) {
		return p.unexpected()
	}
	p.pos += len(c.name)
	if err := p.lines(); err != nil {
		return err
	}
	if p.keyword("in") {
		c.inWords = true
		for {
			p.blanks()
			if p.eof() {
				return errIncomplete
			}
			if strings.IndexByte(";\n", p.peek()) >= 0 {
				break
			}
			w, err := p.word()
			if err != nil {
				return err
			}
			if len(w) == 0 {
				return p.unexpected()
			}
			c.words = append(c.words, w)
		}
	}
	p.blanks()
	if p.peek() == ';' {
		p.pos++
	}
	return p.doGroup(c)
}

func (p *parser) caseCommand(c *command) error {
	c.kind = cmdCase
	p.blanks()
	w, err := p.word()
	if err != nil {
		return err
	}
	c.subject = w
	if err := p.expect("in"); err != nil {
		return err
	}
	for {
		if err := p.lines(); err != nil {
			return err
		}
		if p.keyword("esac") {
			return nil
		}
		if p.peek() == '(' {
			p.pos++
		}
		var a arm
		for {
			p.blanks()
			w, err := p.word()
			if err != nil {
				return err
			}
			if len(w) == 0 {
				return p.unexpected()
			}
			a.pats = append(a.pats, w)
			p.blanks()
			if p.peek() != '|' {
				break
			}
			p.pos++
		}
		if err := p.char(')'); err != nil {
			return err
		}
		if a.body, err = p.list(false); err != nil {
			return err
		}
		if err := p.lines(); err != nil {
			return err
		}
		switch {
		case p.has(";;&"):
			p.pos += 3
		case p.has(";;"):
			p.pos += 2
		case p.has(";&"):
			p.pos += 2
			a.next = true
		default:
			c.arms = append(c.arms, a)
			return p.expect("esac")
		}
		c.arms = append(c.arms, a)
	}
}
