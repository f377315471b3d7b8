package syntax

import (
	"strings"
)

func (p *parser) compound(c *Command, kw string) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	var err error
	switch kw {
	case "{":
		c.Kind = CmdGroup
		if c.Body, err = p.list(false); err != nil {
			return err
		}
		return p.expect("}")
	case "if":
		return p.ifCommand(c)
	case "while", "until":
		c.Kind = CmdWhile
		if kw == "until" {
			c.Kind = CmdUntil
		}
		if c.Cond, err = p.list(false); err != nil {
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
	c.Name = p.bareword()
	p.Pos += len(c.Name)
	if c.Name == "" {
		return p.unexpected()
	}
	p.blanks()
	if p.has("()") {
		p.Pos += 2
	}
	return p.funcBody(c)
}

func (p *parser) funcBody(c *Command) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	c.Kind = CmdFunc
	if err := p.lines(); err != nil {
		return err
	}
	var err error
	c.Fn, err = p.command()
	return err
}

func (p *parser) ifCommand(c *Command) error {
	c.Kind = CmdIf
	var err error
	if c.Cond, err = p.list(false); err != nil {
		return err
	}
	if err = p.expect("then"); err != nil {
		return err
	}
	if c.Body, err = p.list(false); err != nil {
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
		inner := &Command{Line: p.line}
		if err := p.ifCommand(inner); err != nil {
			return err
		}
		c.Els = &List{Items: []Item{{First: &Pipeline{Cmds: []*Command{inner}}}}}
		return nil
	case p.keyword("else"):
		if c.Els, err = p.list(false); err != nil {
			return err
		}
	}
	return p.expect("fi")
}

func (p *parser) doGroup(c *Command) error {
	if err := p.expect("do"); err != nil {
		return err
	}
	var err error
	if c.Body, err = p.list(false); err != nil {
		return err
	}
	return p.expect("done")
}

func (p *parser) forCommand(c *Command) error {
	p.blanks()
	if p.has("((") {
		c.Kind = CmdForArith
		p.Pos += 2
		for i := range c.Arith {
			w, err := p.arithText(i < 2)
			if err == errNotArith {
				return p.unexpected()
			} else if err != nil {
				return err
			}
			c.Arith[i] = w
		}
		p.blanks()
		if p.peek() == ';' {
			p.Pos++
		}
		return p.doGroup(c)
	}
	c.Kind = CmdFor
	c.Name = p.bareword()
	if !IsName(c.Name) {
		return p.unexpected()
	}
	p.Pos += len(c.Name)
	if err := p.lines(); err != nil {
		return err
	}
	if p.keyword("in") {
		c.InWords = true
		for {
			p.blanks()
			if p.eof() {
				return ErrIncomplete
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
			c.Words = append(c.Words, w)
		}
	}
	p.blanks()
	if p.peek() == ';' {
		p.Pos++
	}
	return p.doGroup(c)
}

func (p *parser) caseCommand(c *Command) error {
	c.Kind = CmdCase
	p.blanks()
	w, err := p.word()
	if err != nil {
		return err
	}
	c.Subject = w
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
			p.Pos++
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
			a.Pats = append(a.Pats, w)
			p.blanks()
			if p.peek() != '|' {
				break
			}
			p.Pos++
		}
		if err := p.char(')'); err != nil {
			return err
		}
		if a.Body, err = p.list(false); err != nil {
			return err
		}
		if err := p.lines(); err != nil {
			return err
		}
		switch {
		case p.has(";;&"):
			p.Pos += 3
		case p.has(";;"):
			p.Pos += 2
		case p.has(";&"):
			p.Pos += 2
			a.Next = true
		default:
			c.Arms = append(c.Arms, a)
			return p.expect("esac")
		}
		c.Arms = append(c.Arms, a)
	}
}
