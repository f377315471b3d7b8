package tools

import (
	"math"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

// awkParser compiles a program to closures. Errors end in bad.
type awkParser struct {
	src   string
	pos   int
	bad   string
	depth int
	noGT  bool // > ends an expression, as in print
	c     *interp.Call
}

func (p *awkParser) fail(msg string) {
	if p.bad == "" {
		p.bad = msg
	}
	p.pos = len(p.src)
}

func (p *awkParser) space(newlines bool) {
	for p.pos < len(p.src) {
		switch ch := p.src[p.pos]; {
		case ch == ' ' || ch == '\t' || ch == '\r' || newlines && (ch == '\n' || ch == ';'):
			p.pos++
		case ch == '#':
			for p.pos < len(p.src) && p.src[p.pos] != '\n' {
				p.pos++
			}
		case ch == '\\' && strings.HasPrefix(p.src[p.pos:], "\\\n"):
			p.pos += 2
		default:
			return
		}
	}
}

func (p *awkParser) eat(tok string) bool {
	p.space(false)
	if !strings.HasPrefix(p.src[p.pos:], tok) {
		return false
	}
	end := p.pos + len(tok)
	if syntax.NameByte(tok[0], true) && end < len(p.src) && syntax.NameByte(p.src[end], false) {
		return false
	}
	p.pos = end
	return true
}

func (p *awkParser) need(tok string) {
	if !p.eat(tok) {
		p.fail("syntax error at or near " + interp.Clip(p.src[p.pos:], 10))
	}
}

func (p *awkParser) peek() byte {
	p.space(false)
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *awkParser) program() []*awkRule {
	var out []*awkRule
	for {
		p.space(true)
		if p.pos >= len(p.src) || len(out) > 64 {
			return out
		}
		r := &awkRule{}
		switch {
		case p.eat("BEGIN"):
			r.begin = true
		case p.eat("END"):
			r.end = true
		case p.peek() != '{':
			r.pat = p.expr()
			if p.eat(",") {
				r.to = p.expr()
			}
		}
		if p.peek() == '{' {
			r.hasBody = true
			r.body = p.stmts()
		} else if r.begin || r.end {
			p.fail("syntax error at or near BEGIN")
		}
		out = append(out, r)
	}
}

// stmts parses { ... } or one statement.
func (p *awkParser) stmts() []awkStmt {
	if p.depth++; p.depth > 50 {
		p.fail("program too deep")
		return nil
	}
	defer func() { p.depth-- }()
	if !p.eat("{") {
		if s := p.stmt(); s != nil {
			return []awkStmt{s}
		}
		return nil
	}
	var out []awkStmt
	for {
		p.space(true)
		if p.eat("}") {
			return out
		}
		if p.pos >= len(p.src) {
			p.fail("syntax error at or near end of line")
			return nil
		}
		if s := p.stmt(); s != nil {
			out = append(out, s)
		}
	}
}

func (p *awkParser) stmt() awkStmt {
	p.space(true)
	switch {
	case p.peek() == '{':
		body := p.stmts()
		return func(a *awk) { a.block(body) }
	case p.eat("print"):
		return p.print()
	case p.eat("printf"):
		list := p.args()
		return func(a *awk) {
			if a.depth++; a.depth < 2 && !a.c.Print(a.format(list)) {
				a.ctl = 'e'
			}
			a.depth--
		}
	case p.eat("if"):
		return p.ifStmt()
	case p.eat("while"):
		p.need("(")
		cond := p.expr()
		p.need(")")
		body := p.stmts()
		return func(a *awk) { a.loop(cond, nil, body) }
	case p.eat("for"):
		return p.forStmt()
	case p.eat("next"):
		return func(a *awk) { a.ctl = 'n' }
	case p.eat("break"):
		return func(a *awk) { a.ctl = 'b' }
	case p.eat("continue"):
		return func(a *awk) { a.ctl = 'c' }
	case p.eat("exit"):
		if ch := p.peek(); ch == 0 || ch == '}' || ch == ';' || ch == '\n' {
			return func(a *awk) { a.ctl = 'e' }
		}
		e := p.expr()
		return func(a *awk) { a.code, a.ctl = int(e(a).number())&255, 'e' }
	case p.eat("delete"):
		name := p.name()
		return func(a *awk) { delete(a.arrays, name) }
	}
	e := p.expr()
	return func(a *awk) { e(a) }
}

func (p *awkParser) ifStmt() awkStmt {
	p.need("(")
	cond := p.expr()
	p.need(")")
	yes := p.stmts()
	save := p.pos
	p.space(true)
	var no []awkStmt
	if p.eat("else") {
		no = p.stmts()
	} else {
		p.pos = max(save, p.pos*int(syntax.B2i(p.bad != "")))
	}
	return func(a *awk) {
		if cond(a).truth() {
			a.block(yes)
		} else {
			a.block(no)
		}
	}
}

func (p *awkParser) forStmt() awkStmt {
	p.need("(")
	save := p.pos
	if name := p.name(); name != "" && p.eat("in") {
		arr := p.name()
		p.need(")")
		body := p.stmts()
		return func(a *awk) {
			keys := make([]string, 0, len(a.arrays[arr]))
			for k := range a.arrays[arr] {
				keys = append(keys, k)
			}
			SortBy(keys, func(x, y string) bool { return awkCompare("<", awkInput(x), awkInput(y)) })
			i := -1
			a.loop(func(a *awk) awkVal {
				if i++; i < len(keys) {
					a.set(name, awkInput(keys[i]))
				}
				return awkNum(b2f(i < len(keys)))
			}, nil, body)
		}
	}
	p.pos = save
	var init, post awkExpr
	cond := func(*awk) awkVal { return awkNum(1) }
	if !p.eat(";") {
		init = p.expr()
		p.need(";")
	}
	if !p.eat(";") {
		cond = p.expr()
		p.need(";")
	}
	if p.peek() != ')' {
		post = p.expr()
	}
	p.need(")")
	body := p.stmts()
	return func(a *awk) {
		if init != nil {
			init(a)
		}
		a.loop(cond, func(a *awk) {
			if post != nil {
				post(a)
			}
		}, body)
	}
}

func (p *awkParser) name() string {
	p.space(false)
	start := p.pos
	for p.pos < len(p.src) && syntax.NameByte(p.src[p.pos], p.pos == start) {
		p.pos++
	}
	return p.src[start:p.pos]
}

// args parses a comma-separated list up to the end of the statement.
func (p *awkParser) args() []awkExpr {
	old := p.noGT
	p.noGT = true
	defer func() { p.noGT = old }()
	var out []awkExpr
	for {
		if ch := p.peek(); ch == 0 || ch == '}' || ch == ';' || ch == '\n' || ch == '>' || ch == '|' {
			break
		}
		out = append(out, p.expr())
		if !p.eat(",") || len(out) > 64 {
			break
		}
	}
	if p.peek() == '>' || p.peek() == '|' { // redirection of print: the text is dropped
		for ch := p.peek(); ch != 0 && ch != '}' && ch != ';' && ch != '\n'; ch = p.peek() {
			p.pos++
		}
	}
	return out
}

func (p *awkParser) print() awkStmt {
	list := p.args()
	return func(a *awk) {
		var b strings.Builder
		for i, e := range list {
			if i > 0 {
				b.WriteString(a.vars["OFS"].str())
			}
			b.WriteString(e(a).str())
		}
		if len(list) == 0 {
			b.WriteString(a.line)
		}
		if !a.c.Print(b.String() + a.vars["ORS"].str()) {
			a.ctl = 'e'
		}
	}
}

func (a *awk) format(list []awkExpr) string {
	if len(list) == 0 {
		return ""
	}
	args := make([]string, 0, len(list))
	format := list[0](a).str()
	for _, e := range list[1:] {
		args = append(args, e(a).str())
	}
	var b strings.Builder
	for i, v := range args { // %d of 3.7 prints 3
		if f := awkInput(v); f.num && f.n != math.Trunc(f.n) && strings.Contains(format, "d") && !strings.Contains(format, "f") {
			args[i] = interp.Itoa(int(f.n))
		}
	}
	a.c.FormatOnce(&b, strings.ReplaceAll(format, "\n", `\n`), &args)
	return b.String()
}
