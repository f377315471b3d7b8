package syntax

import (
	"strings"
	"unicode/utf8"
)

// dollar parses an expansion at $ or `.
func (p *parser) dollar(quoted bool) (Part, error) {
	if p.peek() == '`' {
		return p.backtick(quoted)
	}
	p.Pos++
	switch {
	case p.has("(("):
		save, line := p.Pos, p.line
		p.Pos += 2
		w, err := p.arithText(false)
		if err != errNotArith && err != ErrIncomplete {
			return Part{Kind: PartArith, Inner: w}, err
		}
		p.Pos, p.line = save, line // $( (subshell) )
		fallthrough
	case p.has("("):
		p.Pos++
		// Here-documents inside and outside a substitution do not mix.
		outer := p.pending
		p.pending = nil
		body, err := p.list(false)
		if err == nil {
			err = p.char(')')
		}
		p.pending = append(outer, p.pending...)
		return Part{Kind: PartCmd, Body: body}, err
	case p.has("{"):
		p.Pos++
		return p.param()
	case p.has("'") && !quoted:
		return p.ansi()
	case p.has("\"") && !quoted:
		p.Pos++
		inner, err := p.double('"')
		return Part{Kind: PartDouble, Inner: inner}, err
	}
	if name := p.bareName(); name != "" {
		p.Pos += len(name)
		return Part{Kind: PartVar, Text: name}, nil
	}
	if c := p.peek(); c != 0 && strings.IndexByte("0123456789?$!#@*-", c) >= 0 {
		p.Pos++
		return Part{Kind: PartVar, Text: string(c)}, nil
	}
	return Part{Kind: PartLit, Text: "$"}, nil
}

func (p *parser) backtick(quoted bool) (Part, error) {
	p.Pos++
	var src strings.Builder
	for {
		if p.eof() {
			return Part{}, ErrIncomplete
		}
		c := p.src[p.Pos]
		p.Pos++
		if c == '`' {
			break
		}
		if c == '\\' && !p.eof() && (strings.IndexByte("$`\\", p.peek()) >= 0 || quoted && p.peek() == '"') {
			c = p.src[p.Pos]
			p.Pos++
		}
		if c == '\n' {
			p.line++
		}
		src.WriteByte(c)
	}
	sub := &parser{src: src.String(), line: p.line, depth: p.depth, max: p.max}
	body, err := sub.list(false)
	if err == nil && !sub.eof() {
		err = sub.unexpected()
	}
	if err == nil && len(sub.pending) > 0 {
		err = ErrIncomplete
	}
	if err == ErrIncomplete { // more input cannot complete what ` already closed
		err = &SyntaxError{Near: "`", Line: p.line}
	}
	return Part{Kind: PartCmd, Body: body}, err
}

// ansi parses $'...'.
func (p *parser) ansi() (Part, error) {
	p.Pos++
	start := p.Pos
	for !p.eof() && p.src[p.Pos] != '\'' {
		if p.src[p.Pos] == '\\' {
			p.Pos++
		}
		p.Pos++
	}
	if p.Pos >= len(p.src) {
		p.Pos = len(p.src)
		return Part{}, ErrIncomplete
	}
	text, _ := Unescape(p.src[start:p.Pos], EscAnsi)
	p.Pos++
	return Part{Kind: PartQuoted, Text: text}, nil
}

// arithText reads an arithmetic expression up to ")" at depth zero, or ";"
// when semi is set. The closing "))" or ";" is consumed.
func (p *parser) arithText(semi bool) (Word, error) {
	start, depth := p.Pos, 0
	for ; p.Pos < len(p.src); p.Pos++ {
		switch c := p.src[p.Pos]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == ')' || c == ';' && semi && depth == 0:
			text := p.src[start:p.Pos]
			p.Pos++
			if c == ')' {
				if semi || p.peek() != ')' {
					return nil, errNotArith // before parsing, or nesting would cost 2^depth
				}
				p.Pos++
			}
			sub := &parser{src: text, line: p.line, depth: p.depth + 1, max: p.max}
			return sub.double(0)
		case c == '\n':
			p.line++
		}
	}
	return nil, ErrIncomplete
}

// arithCommand parses (( expr )); it falls back to nested subshells.
func (p *parser) arithCommand(c *Command) bool {
	save, line := p.Pos, p.line
	p.Pos += 2
	w, err := p.arithText(false)
	if err != nil {
		p.Pos, p.line = save, line
		return false
	}
	c.Kind, c.Arith[0] = CmdArith, w
	return true
}

// condCommand parses [[ ... ]] into words; operators become words too.
func (p *parser) condCommand(c *Command) error {
	c.Kind = CmdCond
	for {
		if err := p.lines(); err != nil {
			return err
		}
		if p.eof() {
			return ErrIncomplete
		}
		if p.keyword("]]") {
			return nil
		}
		op := ""
		for _, o := range []string{"&&", "||", "(", ")", "<", ">"} {
			if p.has(o) {
				op = o
				break
			}
		}
		if op != "" {
			p.Pos += len(op)
			c.Words = append(c.Words, Word{{Kind: PartLit, Text: op}})
			continue
		}
		w, err := p.word()
		if err != nil {
			return err
		}
		if len(w) == 0 {
			return p.unexpected()
		}
		c.Words = append(c.Words, w)
		if l, ok := w.literal(); ok && l == "=~" {
			p.blanks()
			w, err := p.regexWord()
			if err != nil {
				return err
			}
			c.Words = append(c.Words, w)
		}
	}
}

// regexWord reads the right side of =~, where ( ) | are ordinary characters.
func (p *parser) regexWord() (Word, error) {
	var out Word
	for depth := 0; ; {
		w, err := p.word()
		if err != nil {
			return nil, err
		}
		out = append(out, w...)
		c := p.peek()
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|', c == ' ' && depth > 0:
		default:
			return out, nil
		}
		p.Pos++
		out = append(out, Part{Kind: PartLit, Text: string(c)})
	}
}

// param parses the inside of ${...}.
func (p *parser) param() (Part, error) {
	pt := Part{Kind: PartVar}
	if p.has("#") && !p.has("#}") {
		pt.Op = "len"
		p.Pos++
	} else if p.has("!") && p.Pos+1 < len(p.src) && NameByte(p.src[p.Pos+1], true) {
		pt.Op = "indirect"
		p.Pos++
	}
	if pt.Text = p.bareName(); pt.Text == "" {
		end := p.Pos
		for end < len(p.src) && p.src[end] >= '0' && p.src[end] <= '9' {
			end++
		}
		if end == p.Pos {
			_, n := utf8.DecodeRuneInString(p.src[p.Pos:])
			end += n
		}
		pt.Text = p.src[p.Pos:end]
	}
	p.Pos += len(pt.Text)
	if p.eof() {
		return pt, ErrIncomplete
	}
	if p.peek() == '[' {
		end := strings.IndexByte(p.src[p.Pos:], ']')
		if end < 0 {
			return pt, ErrIncomplete
		}
		sub := &parser{src: p.src[p.Pos+1 : p.Pos+end], line: p.line, depth: p.depth, max: p.max}
		var err error
		if pt.Index, err = sub.double(0); err != nil {
			return pt, err
		}
		p.Pos += end + 1
	}
	if p.peek() == '}' {
		p.Pos++
		return pt, nil
	}
	for _, o := range []string{":-", ":=", ":?", ":+", "##", "%%", "//", "/#", "/%", "^^", ",,", "-", "=", "?", "+", "#", "%", "/", "^", ",", ":"} {
		if p.has(o) {
			pt.Op = o
			p.Pos += len(o)
			return p.paramArgs(pt)
		}
	}
	return pt, &SyntaxError{Near: "${", Line: p.line}
}

func (p *parser) paramArgs(pt Part) (Part, error) {
	stop := "}"
	if pt.Op[0] == '/' {
		stop = "/}"
	} else if pt.Op == ":" {
		stop = ":}"
	}
	var err error
	if pt.Arg, err = p.paramWord(stop); err != nil {
		return pt, err
	}
	if p.peek() != '}' {
		p.Pos++
		if pt.Arg2, err = p.paramWord("}"); err != nil {
			return pt, err
		}
		if pt.Arg2 == nil {
			pt.Arg2 = Word{}
		}
	}
	p.Pos++
	return pt, nil
}

// paramWord reads a word inside ${...}, where blanks are ordinary.
func (p *parser) paramWord(stop string) (Word, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var out Word
	for !p.eof() {
		c := p.peek()
		if strings.IndexByte(stop, c) >= 0 {
			return out, nil
		}
		switch c {
		case '\'', '"', '\\', '$', '`':
			if c == '\\' || c == '\'' {
				w, err := p.quotedPiece()
				if err != nil {
					return nil, err
				}
				out = append(out, w)
				continue
			}
			if c == '"' {
				p.Pos++
				inner, err := p.double('"')
				if err != nil {
					return nil, err
				}
				out = append(out, Part{Kind: PartDouble, Inner: inner})
				continue
			}
			pt, err := p.dollar(false)
			if err != nil {
				return nil, err
			}
			out = append(out, pt)
		default:
			end := p.Pos + 1
			for end < len(p.src) && strings.IndexByte("'\"\\$`"+stop, p.src[end]) < 0 {
				end++
			}
			out = append(out, Part{Kind: PartLit, Text: p.src[p.Pos:end]})
			p.Pos = end
		}
	}
	return nil, ErrIncomplete
}

func (p *parser) quotedPiece() (Part, error) {
	if p.peek() == '\\' {
		if p.Pos+1 >= len(p.src) {
			return Part{}, ErrIncomplete
		}
		p.Pos += 2
		return Part{Kind: PartQuoted, Text: p.src[p.Pos-1 : p.Pos]}, nil
	}
	end := strings.IndexByte(p.src[p.Pos+1:], '\'')
	if end < 0 {
		return Part{}, ErrIncomplete
	}
	text := p.src[p.Pos+1 : p.Pos+1+end]
	p.Pos += end + 2
	return Part{Kind: PartQuoted, Text: text}, nil
}
