package shell

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// errNotArith says that text after (( is not an arithmetic expression.
var errNotArith = errors.New("not an arithmetic expression")

func isName(s string) bool {
	for i := range len(s) {
		if !nameByte(s[i], i == 0) {
			return false
		}
	}
	return s != ""
}

func nameByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

// simple parses assignments, words and redirections; or a function definition.
func (p *parser) simple(c *command) error {
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
		if len(c.words) == 0 {
			done, err := p.assignment(c)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		} else if name, ok := c.words[0].literal(); ok && declares(name) {
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
		c.words = append(c.words, w)
	}
	if p.peek() == '(' && len(c.words) == 1 && len(c.assigns) == 0 {
		return p.maybeFunc(c)
	}
	if p.peek() == '(' || len(c.words)+len(c.assigns)+len(c.redirs) == 0 {
		return p.unexpected()
	}
	return nil
}

func (p *parser) maybeFunc(c *command) error {
	name, ok := c.words[0].literal()
	save := p.pos
	p.pos++
	p.blanks()
	if !ok || p.peek() != ')' {
		if p.eof() {
			return errIncomplete
		}
		p.pos = save
		return p.unexpected()
	}
	p.pos++
	c.name, c.words = name, nil
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
func (p *parser) assignWord(c *command) (bool, error) {
	name := p.bareName()
	if name == "" || !strings.HasPrefix(p.src[p.pos+len(name):], "=") || strings.HasPrefix(p.src[p.pos+len(name):], "=(") {
		return false, nil
	}
	p.pos += len(name) + 1
	w, err := p.word()
	c.words = append(c.words, word{{kind: partQuoted, text: name + "="}, {kind: partDouble, inner: w}})
	return true, err
}

func (p *parser) bareName() string {
	end := p.pos
	for end < len(p.src) && nameByte(p.src[end], end == p.pos) {
		end++
	}
	return p.src[p.pos:end]
}

func (p *parser) assignment(c *command) (bool, error) {
	name := p.bareName()
	if name == "" {
		return false, nil
	}
	save := p.pos
	p.pos += len(name)
	a := assign{name: name}
	if p.peek() == '[' {
		if end := strings.IndexByte(p.src[p.pos:], ']'); end > 1 && strings.IndexByte(p.src[p.pos:p.pos+end], '\n') < 0 {
			sub := &parser{src: p.src[p.pos+1 : p.pos+end], line: p.line, depth: p.depth, max: p.max}
			var err error
			if a.index, err = sub.double(0); err != nil {
				return false, err
			}
			p.pos += end + 1
		}
	}
	switch {
	case p.has("+="):
		a.append = true
		p.pos += 2
	case p.has("="):
		p.pos++
	default:
		p.pos = save
		return false, nil
	}
	if p.peek() == '(' && a.index == nil {
		p.pos++
		a.isArr = true
		for {
			if err := p.lines(); err != nil {
				return false, err
			}
			if p.eof() {
				return false, errIncomplete
			}
			if p.peek() == ')' {
				p.pos++
				break
			}
			w, err := p.word()
			if err != nil {
				return false, err
			}
			if len(w) == 0 {
				return false, p.unexpected()
			}
			a.array = append(a.array, w)
		}
		c.assigns = append(c.assigns, a)
		return true, nil
	}
	w, err := p.word()
	a.value = w
	c.assigns = append(c.assigns, a)
	return true, err
}

// redirect parses one redirection if there is one.
func (p *parser) redirect(c *command) (bool, error) {
	p.blanks()
	start, fd := p.pos, -1
	if d := p.peek(); d >= '0' && d <= '9' && p.pos+1 < len(p.src) && (p.src[p.pos+1] == '<' || p.src[p.pos+1] == '>') {
		fd = int(d - '0')
		p.pos++
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
		p.pos = start
		return false, nil
	}
	p.pos += len(op)
	p.blanks()
	w, err := p.word()
	if err != nil {
		return false, err
	}
	if len(w) == 0 {
		return false, p.unexpected()
	}
	r := redir{fd: fd, op: op, to: w}
	if op == "<<" || op == "<<-" {
		h := &heredoc{strip: op == "<<-"}
		for _, q := range w {
			h.quoted = h.quoted || q.kind != partLit
			h.delim += q.text
			for _, in := range q.inner {
				h.delim += in.text
			}
		}
		r.here = h
		p.pending = append(p.pending, h)
	}
	c.redirs = append(c.redirs, r)
	return true, nil
}

// word parses one word; it is empty when a metacharacter comes first.
func (p *parser) word() (word, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var w word
	lit := func(s string) {
		if n := len(w); n > 0 && w[n-1].kind == partLit {
			w[n-1].text += s
			return
		}
		w = append(w, part{kind: partLit, text: s})
	}
	for !p.eof() {
		c := p.src[p.pos]
		switch {
		case strings.IndexByte(" \t\r\n;&|<>()", c) >= 0:
			return w, nil
		case c == '\\':
			if p.pos+1 >= len(p.src) {
				p.pos++
				lit("\\")
				return w, nil
			}
			if p.src[p.pos+1] == '\n' {
				p.line++
			} else {
				w = append(w, part{kind: partQuoted, text: p.src[p.pos+1 : p.pos+2]})
			}
			p.pos += 2
		case c == '\'':
			end := strings.IndexByte(p.src[p.pos+1:], '\'')
			if end < 0 {
				return nil, errIncomplete
			}
			text := p.src[p.pos+1 : p.pos+1+end]
			p.line += strings.Count(text, "\n")
			w = append(w, part{kind: partQuoted, text: text})
			p.pos += end + 2
		case c == '"':
			p.pos++
			inner, err := p.double('"')
			if err != nil {
				return nil, err
			}
			w = append(w, part{kind: partDouble, inner: inner})
		case c == '$' || c == '`':
			pt, err := p.dollar(false)
			if err != nil {
				return nil, err
			}
			if pt.kind == partLit {
				lit(pt.text)
			} else {
				w = append(w, pt)
			}
		default:
			end := p.pos + 1
			for end < len(p.src) && strings.IndexByte(" \t\r\n;&|<>()\\'\"$`", p.src[end]) < 0 {
				end++
			}
			lit(p.src[p.pos:end])
			p.pos = end
		}
	}
	return w, nil
}

// double parses text in which only $, ` and \ are special, up to close
// (0: end of input). It serves "...", here-documents and ${v:-...}.
func (p *parser) double(closing byte) (word, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	w := word{}
	start := p.pos
	flush := func() {
		if p.pos > start {
			w = append(w, part{kind: partQuoted, text: p.src[start:p.pos]})
		}
	}
	for !p.eof() {
		c := p.src[p.pos]
		switch {
		case closing != 0 && c == closing:
			flush()
			p.pos++
			return w, nil
		case c == '\\' && p.pos+1 < len(p.src):
			next := p.src[p.pos+1]
			if strings.IndexByte("$`\\\n", next) < 0 && (next != closing || closing == 0) {
				p.pos += 2
				continue
			}
			flush()
			if next != '\n' {
				w = append(w, part{kind: partQuoted, text: p.src[p.pos+1 : p.pos+2]})
			}
			p.pos += 2
			start = p.pos
		case c == '$' || c == '`':
			flush()
			pt, err := p.dollar(true)
			if err != nil {
				return nil, err
			}
			if pt.kind == partLit {
				pt.kind = partQuoted
			}
			w = append(w, pt)
			start = p.pos
		default:
			if c == '\n' {
				p.line++
			}
			p.pos++
		}
	}
	if closing != 0 {
		return nil, errIncomplete
	}
	flush()
	return w, nil
}

// dollar parses an expansion at $ or `.
func (p *parser) dollar(quoted bool) (part, error) {
	if p.peek() == '`' {
		return p.backtick(quoted)
	}
	p.pos++
	switch {
	case p.has("(("):
		save, line := p.pos, p.line
		p.pos += 2
		w, err := p.arithText(false)
		if err != errNotArith && err != errIncomplete {
			return part{kind: partArith, inner: w}, err
		}
		p.pos, p.line = save, line // $( (subshell) )
		fallthrough
	case p.has("("):
		p.pos++
		// Here-documents inside and outside a substitution do not mix.
		outer := p.pending
		p.pending = nil
		body, err := p.list(false)
		if err == nil {
			err = p.char(')')
		}
		p.pending = append(outer, p.pending...)
		return part{kind: partCmd, body: body}, err
	case p.has("{"):
		p.pos++
		return p.param()
	case p.has("'") && !quoted:
		return p.ansi()
	case p.has("\"") && !quoted:
		p.pos++
		inner, err := p.double('"')
		return part{kind: partDouble, inner: inner}, err
	}
	if name := p.bareName(); name != "" {
		p.pos += len(name)
		return part{kind: partVar, text: name}, nil
	}
	if c := p.peek(); c != 0 && strings.IndexByte("0123456789?$!#@*-", c) >= 0 {
		p.pos++
		return part{kind: partVar, text: string(c)}, nil
	}
	return part{kind: partLit, text: "$"}, nil
}

func (p *parser) backtick(quoted bool) (part, error) {
	p.pos++
	var src strings.Builder
	for {
		if p.eof() {
			return part{}, errIncomplete
		}
		c := p.src[p.pos]
		p.pos++
		if c == '`' {
			break
		}
		if c == '\\' && !p.eof() && (strings.IndexByte("$`\\", p.peek()) >= 0 || quoted && p.peek() == '"') {
			c = p.src[p.pos]
			p.pos++
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
		err = errIncomplete
	}
	if err == errIncomplete { // more input cannot complete what ` already closed
		err = &syntaxError{near: "`", line: p.line}
	}
	return part{kind: partCmd, body: body}, err
}

// ansi parses $'...'.
func (p *parser) ansi() (part, error) {
	p.pos++
	start := p.pos
	for !p.eof() && p.src[p.pos] != '\'' {
		if p.src[p.pos] == '\\' {
			p.pos++
		}
		p.pos++
	}
	if p.pos >= len(p.src) {
		p.pos = len(p.src)
		return part{}, errIncomplete
	}
	text, _ := unescape(p.src[start:p.pos], escAnsi)
	p.pos++
	return part{kind: partQuoted, text: text}, nil
}

// arithText reads an arithmetic expression up to ")" at depth zero, or ";"
// when semi is set. The closing "))" or ";" is consumed.
func (p *parser) arithText(semi bool) (word, error) {
	start, depth := p.pos, 0
	for ; p.pos < len(p.src); p.pos++ {
		switch c := p.src[p.pos]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == ')' || c == ';' && semi && depth == 0:
			text := p.src[start:p.pos]
			p.pos++
			if c == ')' {
				if semi || p.peek() != ')' {
					return nil, errNotArith // before parsing, or nesting would cost 2^depth
				}
				p.pos++
			}
			sub := &parser{src: text, line: p.line, depth: p.depth + 1, max: p.max}
			return sub.double(0)
		case c == '\n':
			p.line++
		}
	}
	return nil, errIncomplete
}

// arithCommand parses (( expr )); it falls back to nested subshells.
func (p *parser) arithCommand(c *command) bool {
	save, line := p.pos, p.line
	p.pos += 2
	w, err := p.arithText(false)
	if err != nil {
		p.pos, p.line = save, line
		return false
	}
	c.kind, c.arith[0] = cmdArith, w
	return true
}

// condCommand parses [[ ... ]] into words; operators become words too.
func (p *parser) condCommand(c *command) error {
	c.kind = cmdCond
	for {
		if err := p.lines(); err != nil {
			return err
		}
		if p.eof() {
			return errIncomplete
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
			p.pos += len(op)
			c.words = append(c.words, word{{kind: partLit, text: op}})
			continue
		}
		w, err := p.word()
		if err != nil {
			return err
		}
		if len(w) == 0 {
			return p.unexpected()
		}
		c.words = append(c.words, w)
		if l, ok := w.literal(); ok && l == "=~" {
			p.blanks()
			w, err := p.regexWord()
			if err != nil {
				return err
			}
			c.words = append(c.words, w)
		}
	}
}

// regexWord reads the right side of =~, where ( ) | are ordinary characters.
func (p *parser) regexWord() (word, error) {
	var out word
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
		p.pos++
		out = append(out, part{kind: partLit, text: string(c)})
	}
}

// param parses the inside of ${...}.
func (p *parser) param() (part, error) {
	pt := part{kind: partVar}
	if p.has("#") && !p.has("#}") {
		pt.op = "len"
		p.pos++
	} else if p.has("!") && p.pos+1 < len(p.src) && nameByte(p.src[p.pos+1], true) {
		pt.op = "indirect"
		p.pos++
	}
	if pt.text = p.bareName(); pt.text == "" {
		end := p.pos
		for end < len(p.src) && p.src[end] >= '0' && p.src[end] <= '9' {
			end++
		}
		if end == p.pos {
			_, n := utf8.DecodeRuneInString(p.src[p.pos:])
			end += n
		}
		pt.text = p.src[p.pos:end]
	}
	p.pos += len(pt.text)
	if p.eof() {
		return pt, errIncomplete
	}
	if p.peek() == '[' {
		end := strings.IndexByte(p.src[p.pos:], ']')
		if end < 0 {
			return pt, errIncomplete
		}
		sub := &parser{src: p.src[p.pos+1 : p.pos+end], line: p.line, depth: p.depth, max: p.max}
		var err error
		if pt.index, err = sub.double(0); err != nil {
			return pt, err
		}
		p.pos += end + 1
	}
	if p.peek() == '}' {
		p.pos++
		return pt, nil
	}
	for _, o := range []string{":-", ":=", ":?", ":+", "##", "%%", "//", "/#", "/%", "^^", ",,", "-", "=", "?", "+", "#", "%", "/", "^", ",", ":"} {
		if p.has(o) {
			pt.op = o
			p.pos += len(o)
			return p.paramArgs(pt)
		}
	}
	return pt, &syntaxError{near: "${", line: p.line}
}

func (p *parser) paramArgs(pt part) (part, error) {
	stop := "}"
	if pt.op[0] == '/' {
		stop = "/}"
	} else if pt.op == ":" {
		stop = ":}"
	}
	var err error
	if pt.arg, err = p.paramWord(stop); err != nil {
		return pt, err
	}
	if p.peek() != '}' {
		p.pos++
		if pt.arg2, err = p.paramWord("}"); err != nil {
			return pt, err
		}
		if pt.arg2 == nil {
			pt.arg2 = word{}
		}
	}
	p.pos++
	return pt, nil
}

// paramWord reads a word inside ${...}, where blanks are ordinary.
func (p *parser) paramWord(stop string) (word, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var out word
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
				p.pos++
				inner, err := p.double('"')
				if err != nil {
					return nil, err
				}
				out = append(out, part{kind: partDouble, inner: inner})
				continue
			}
			pt, err := p.dollar(false)
			if err != nil {
				return nil, err
			}
			out = append(out, pt)
		default:
			end := p.pos + 1
			for end < len(p.src) && strings.IndexByte("'\"\\$`"+stop, p.src[end]) < 0 {
				end++
			}
			out = append(out, part{kind: partLit, text: p.src[p.pos:end]})
			p.pos = end
		}
	}
	return nil, errIncomplete
}

func (p *parser) quotedPiece() (part, error) {
	if p.peek() == '\\' {
		if p.pos+1 >= len(p.src) {
			return part{}, errIncomplete
		}
		p.pos += 2
		return part{kind: partQuoted, text: p.src[p.pos-1 : p.pos]}, nil
	}
	end := strings.IndexByte(p.src[p.pos+1:], '\'')
	if end < 0 {
		return part{}, errIncomplete
	}
	text := p.src[p.pos+1 : p.pos+1+end]
	p.pos += end + 2
	return part{kind: partQuoted, text: text}, nil
}
