package syntax

import (
	"errors"
	"strings"
)

// errIncomplete says that the input ends inside a construct; an interactive
// shell then asks for more with PS2.
var ErrIncomplete = errors.New("syntax error: unexpected end of file")

type SyntaxError struct {
	Near string
	Line int
}

func (e *SyntaxError) Error() string {
	return "syntax error near unexpected token `" + e.Near + "'"
}

// parser is a recursive-descent parser of the POSIX shell grammar with the
// bash extensions visitors use. It reads one complete command at a time so
// that, as in a real shell, what stands before a syntax error still runs.
type parser struct {
	src     string
	Pos     int
	line    int
	depth   int
	max     int
	pending []*heredoc
}

func NewParser(src string, maxDepth int) *parser {
	return &parser{src: src, line: 1, max: maxDepth}
}

func (p *parser) enter() error {
	if p.depth++; p.depth > p.max {
		return &SyntaxError{Near: "(", Line: p.line}
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) peek() byte {
	if p.Pos < len(p.src) {
		return p.src[p.Pos]
	}
	return 0
}

func (p *parser) has(s string) bool { return strings.HasPrefix(p.src[p.Pos:], s) }

func (p *parser) eof() bool { return p.Pos >= len(p.src) }

// blanks skips spaces, line continuations and comments.
func (p *parser) blanks() {
	for !p.eof() {
		switch c := p.src[p.Pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			p.Pos++
		case c == '\\' && p.has("\\\n"):
			p.Pos += 2
			p.line++
		case c == '#' && (p.Pos == 0 || strings.IndexByte(" \t\n;&|()", p.src[p.Pos-1]) >= 0):
			for !p.eof() && p.src[p.Pos] != '\n' {
				p.Pos++
			}
		default:
			return
		}
	}
}

// newline consumes a line end and the here-documents waiting for it.
func (p *parser) newline() error {
	p.Pos++
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
		end := strings.IndexByte(p.src[p.Pos:], '\n')
		text := p.src[p.Pos:]
		if end >= 0 {
			text = text[:end]
		}
		p.Pos += len(text)
		if end >= 0 {
			p.Pos++
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
	return ErrIncomplete
}

func (p *parser) hereBody(h *heredoc, text string) error {
	if h.quoted {
		h.Body = Word{{Kind: PartQuoted, Text: text}}
		return nil
	}
	sub := &parser{src: text, line: p.line, depth: p.depth, max: p.max}
	inner, err := sub.double(0)
	h.Body = inner
	return err
}

// Next parses the next complete command line; nil means end of input.
func (p *parser) Next() (*List, error) {
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
		if err := p.newline(); err != nil && err != ErrIncomplete {
			return nil, err
		} else if err != nil {
			return l, err
		}
	} else if len(p.pending) > 0 {
		return l, ErrIncomplete
	}
	return l, nil
}

func (p *parser) unexpected() error {
	p.blanks()
	if p.eof() {
		return ErrIncomplete
	}
	if p.peek() == '\n' {
		return &SyntaxError{Near: "newline", Line: p.line}
	}
	near := p.src[p.Pos : p.Pos+1]
	for _, op := range []string{"&&", "||", ";;", "<<", ">>"} {
		if p.has(op) {
			near = op
		}
	}
	if w := p.bareword(); w != "" {
		near = w
	}
	return &SyntaxError{Near: near, Line: p.line}
}

// bareword peeks at an unquoted word made of plain characters only.
func (p *parser) bareword() string {
	end := p.Pos
	for end < len(p.src) && strings.IndexByte(" \t\r\n;&|<>()", p.src[end]) < 0 {
		if strings.IndexByte("'\"$`\\", p.src[end]) >= 0 {
			return ""
		}
		end++
	}
	return p.src[p.Pos:end]
}

func (p *parser) keyword(k string) bool {
	p.blanks()
	if p.bareword() == k {
		p.Pos += len(k)
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
func (p *parser) list(oneLine bool) (*List, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	l := &List{}
	for {
		if !oneLine {
			if err := p.lines(); err != nil {
				return nil, err
			}
		}
		if p.atEnd() || p.peek() == '\n' {
			if len(l.Items) == 0 && oneLine && !p.eof() {
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
			p.Pos++
			sep = true
		case p.peek() == '&' && !p.has("&&"):
			p.Pos++
			it.Bg, sep = true, true
		case p.peek() == '\n':
			sep = true
		}
		l.Items = append(l.Items, it)
		if !sep {
			return l, nil
		}
	}
}

func (p *parser) andOr() (Item, error) {
	first, err := p.pipeline()
	if err != nil {
		return Item{}, err
	}
	it := Item{First: first}
	for {
		p.blanks()
		and := p.has("&&")
		if !and && !p.has("||") {
			return it, nil
		}
		p.Pos += 2
		if err := p.lines(); err != nil {
			return it, err
		}
		next, err := p.pipeline()
		if err != nil {
			return it, err
		}
		it.Rest = append(it.Rest, andOr{and, next})
	}
}

func (p *parser) pipeline() (*Pipeline, error) {
	pl := &Pipeline{}
	for p.keyword("!") {
		pl.Not = !pl.Not
	}
	for {
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		pl.Cmds = append(pl.Cmds, c)
		p.blanks()
		if p.peek() != '|' || p.has("||") {
			return pl, nil
		}
		p.Pos++
		if p.peek() == '&' { // |& also pipes standard error
			p.Pos++
			c.Redirs = append(c.Redirs, Redir{Fd: 2, Op: ">&", To: Word{{Kind: PartLit, Text: "1"}}})
		}
		if err := p.lines(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) command() (*Command, error) {
	p.blanks()
	if p.eof() {
		return nil, ErrIncomplete
	}
	c := &Command{Line: p.line}
	var err error
	compound := true
	switch {
	case p.has("((") && p.arithCommand(c):
	case p.peek() == '(':
		p.Pos++
		c.Kind = CmdSub
		if c.Body, err = p.list(false); err == nil {
			err = p.char(')')
		}
	default:
		switch w := p.bareword(); w {
		case "{", "if", "while", "until", "for", "case", "function", "[[", "select":
			p.Pos += len(w)
			err = p.compound(c, w)
		case "then", "else", "elif", "fi", "do", "done", "esac", "}":
			return nil, p.unexpected()
		default:
			compound = false
			err = p.simple(c)
		}
	}
	if err != nil || !compound || c.Kind == CmdFunc {
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
	p.Pos++
	return nil
}
