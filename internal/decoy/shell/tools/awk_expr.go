package tools

import (
	"math"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

// expr parses assignment, the loosest operator.
func (p *awkParser) expr() awkExpr {
	if p.depth++; p.depth > 50 {
		p.fail("expression too deep")
		return func(*awk) awkVal { return awkVal{} }
	}
	defer func() { p.depth-- }()
	save := p.pos
	if set := p.lvalue(); set != nil {
		for _, op := range []string{"+=", "-=", "*=", "/=", "%=", "="} {
			p.space(false)
			if strings.HasPrefix(p.src[p.pos:], op) && !strings.HasPrefix(p.src[p.pos:], "==") {
				p.pos += len(op)
				right := p.expr()
				return set(op, right)
			}
		}
	}
	p.pos = save
	return p.ternary()
}

// lvalue parses a variable, an array element or a field; the result makes an
// assignment from an operator and the right side.
func (p *awkParser) lvalue() func(op string, right awkExpr) awkExpr {
	var get awkExpr
	var put func(a *awk, v awkVal)
	if p.peek() == '$' {
		p.pos++
		idx := p.primary()
		get = func(a *awk) awkVal { return a.field(int(idx(a).number())) }
		put = func(a *awk, v awkVal) { a.setField(int(idx(a).number()), v) }
	} else {
		name := p.name()
		if name == "" || awkFunc(name) {
			return nil
		}
		if p.pos < len(p.src) && p.src[p.pos] == '[' {
			p.pos++
			key := p.key()
			get = func(a *awk) awkVal { return a.arrays[name][key(a).str()] }
			put = func(a *awk, v awkVal) { a.setCell(name, key(a).str(), v) }
		} else {
			get = func(a *awk) awkVal { return a.vars[name] }
			put = func(a *awk, v awkVal) { a.set(name, v) }
		}
	}
	return func(op string, right awkExpr) awkExpr {
		return func(a *awk) awkVal {
			v := right(a)
			if op != "=" {
				v = awkMath(op[0], get(a), v)
			}
			put(a, v)
			return v
		}
	}
}

func (p *awkParser) key() awkExpr {
	old := p.noGT
	p.noGT = false
	e := p.expr()
	for p.eat(",") {
		left, right := e, p.expr()
		e = func(a *awk) awkVal { return awkVal{s: left(a).str() + a.vars["SUBSEP"].str() + right(a).str()} }
	}
	p.noGT = old
	p.need("]")
	return e
}

func awkMath(op byte, x, y awkVal) awkVal {
	a, b := x.number(), y.number()
	switch op {
	case '+':
		return awkNum(a + b)
	case '-':
		return awkNum(a - b)
	case '*':
		return awkNum(a * b)
	case '^':
		return awkNum(math.Pow(a, b))
	}
	if b == 0 {
		return awkNum(math.Inf(1))
	}
	if op == '/' {
		return awkNum(a / b)
	}
	return awkNum(math.Mod(a, b))
}

func (p *awkParser) ternary() awkExpr {
	cond := p.or()
	if !p.eat("?") {
		return cond
	}
	yes := p.expr()
	p.need(":")
	no := p.expr()
	return func(a *awk) awkVal {
		if cond(a).truth() {
			return yes(a)
		}
		return no(a)
	}
}

func (p *awkParser) or() awkExpr {
	e := p.and()
	for p.eat("||") {
		x, y := e, p.and()
		e = func(a *awk) awkVal { return awkNum(b2f(x(a).truth() || y(a).truth())) }
	}
	return e
}

func (p *awkParser) and() awkExpr {
	e := p.in()
	for p.eat("&&") {
		x, y := e, p.in()
		e = func(a *awk) awkVal { return awkNum(b2f(x(a).truth() && y(a).truth())) }
	}
	return e
}

func (p *awkParser) in() awkExpr {
	e := p.match()
	for p.eat("in") {
		x, arr := e, p.name()
		e = func(a *awk) awkVal { _, ok := a.arrays[arr][x(a).str()]; return awkNum(b2f(ok)) }
	}
	return e
}

func (p *awkParser) match() awkExpr {
	e := p.compare()
	for {
		p.space(false)
		not := strings.HasPrefix(p.src[p.pos:], "!~")
		if !not && p.peek() != '~' {
			return e
		}
		p.pos += 1 + int(syntax.B2i(not))
		x := e
		re := p.regexOperand()
		e = func(a *awk) awkVal { return awkNum(b2f(re(a, x(a).str()) != not)) }
	}
}

// regexOperand parses /re/ or an expression used as one.
func (p *awkParser) regexOperand() func(a *awk, s string) bool {
	if p.peek() == '/' {
		return p.regex()
	}
	e := p.compare()
	return func(a *awk, s string) bool {
		re, err := interp.CompileRegex(e(a).str(), true, false)
		return err == nil && a.c.Sh.Spend(20) && re.MatchString(s)
	}
}

func (p *awkParser) regex() func(a *awk, s string) bool {
	text, rest, ok := delimited(p.src[p.pos+1:], '/')
	if !ok {
		p.fail("unterminated regexp")
		return func(*awk, string) bool { return false }
	}
	p.pos = len(p.src) - len(rest)
	re, err := interp.CompileRegex(text, true, false)
	if err != nil || !p.c.Sh.Spend(20+len(text)) {
		p.fail("regular expression compile failed")
		return func(*awk, string) bool { return false }
	}
	return func(a *awk, s string) bool { return a.c.Sh.Spend(1+len(s)/16) && re.MatchString(s) }
}

func (p *awkParser) compare() awkExpr {
	e := p.concat()
	for _, op := range []string{"<=", "==", "!=", ">=", "<", ">"} {
		p.space(false)
		if !strings.HasPrefix(p.src[p.pos:], op) || op[0] == '>' && p.noGT {
			continue
		}
		p.pos += len(op)
		x, y := e, p.concat()
		return func(a *awk) awkVal { return awkNum(b2f(awkCompare(op, x(a), y(a)))) }
	}
	return e
}

func (p *awkParser) concat() awkExpr {
	e := p.sum()
	for {
		ch := p.peek()
		starts := ch == '$' || ch == '"' || ch == '(' || ch != 0 && syntax.NameByte(ch, false)
		if !starts || strings.HasPrefix(p.src[p.pos:], "in ") {
			return e
		}
		x, y := e, p.sum()
		e = func(a *awk) awkVal {
			s, t := x(a).str(), y(a).str()
			if !a.c.Sh.Spend(1+(len(s)+len(t))/64) || len(s)+len(t) > a.c.Sh.Limits.VarBytes*4 {
				a.c.Sh.Abort("")
				return awkVal{}
			}
			return awkVal{s: s + t}
		}
		if p.bad != "" {
			return e
		}
	}
}

func (p *awkParser) sum() awkExpr {
	e := p.product()
	for {
		ch := p.peek()
		if ch != '+' && ch != '-' || strings.HasPrefix(p.src[p.pos+1:], string(ch)) {
			return e
		}
		p.pos++
		x, y := e, p.product()
		e = func(a *awk) awkVal { return awkMath(ch, x(a), y(a)) }
	}
}

func (p *awkParser) product() awkExpr {
	e := p.unary()
	for {
		ch := p.peek()
		if ch != '*' && ch != '/' && ch != '%' && ch != '^' {
			return e
		}
		p.pos++
		x, y := e, p.unary()
		e = func(a *awk) awkVal { return awkMath(ch, x(a), y(a)) }
	}
}

func (p *awkParser) unary() awkExpr {
	if p.depth++; p.depth > 50 {
		p.fail("expression too deep")
		return func(*awk) awkVal { return awkVal{} }
	}
	defer func() { p.depth-- }()
	switch {
	case p.eat("++"), p.eat("--"):
		sign := float64(1)
		if p.src[p.pos-1] == '-' {
			sign = -1
		}
		if set := p.lvalue(); set != nil {
			return set("+=", func(*awk) awkVal { return awkNum(sign) })
		}
		p.fail("syntax error at or near ++")
	case p.eat("!"):
		e := p.unary()
		return func(a *awk) awkVal { return awkNum(b2f(!e(a).truth())) }
	case p.eat("-"):
		e := p.unary()
		return func(a *awk) awkVal { return awkNum(-e(a).number()) }
	case p.eat("+"):
		return p.unary()
	}
	save := p.pos
	if set := p.lvalue(); set != nil && p.bad == "" {
		for _, op := range []string{"++", "--"} {
			if strings.HasPrefix(p.src[p.pos:], op) {
				p.pos += 2
				sign := b2f(op == "++")*2 - 1
				inc := set("+=", func(*awk) awkVal { return awkNum(sign) })
				return func(a *awk) awkVal { return awkNum(inc(a).number() - sign) }
			}
		}
	}
	p.pos = min(save, len(p.src))
	return p.primary()
}

func (p *awkParser) primary() awkExpr {
	switch ch := p.peek(); {
	case ch == '(':
		p.pos++
		old := p.noGT
		p.noGT = false
		e := p.expr()
		p.noGT = old
		p.need(")")
		return e
	case ch == '$':
		p.pos++
		idx := p.unary()
		return func(a *awk) awkVal { return a.field(int(max(-1, min(idx(a).number(), 1e6)))) }
	case ch == '"':
		return p.text()
	case ch == '/':
		re := p.regex()
		return func(a *awk) awkVal { return awkNum(b2f(re(a, a.line))) }
	case syntax.IsDigit(ch) || ch == '.':
		start := p.pos
		for p.pos < len(p.src) && (syntax.IsDigit(p.src[p.pos]) || p.src[p.pos] == '.') {
			p.pos++
		}
		f, err := strconv.ParseFloat(p.src[start:p.pos], 64)
		if err != nil {
			p.fail("syntax error at or near " + interp.Clip(p.src[start:p.pos], 10))
		}
		return func(*awk) awkVal { return awkNum(f) }
	}
	name := p.name()
	switch {
	case name == "":
		p.fail("syntax error at or near " + interp.Clip(p.src[p.pos:], 10))
		return func(*awk) awkVal { return awkVal{} }
	case awkFunc(name):
		return p.call(name)
	case p.pos < len(p.src) && p.src[p.pos] == '[':
		p.pos++
		key := p.key()
		return func(a *awk) awkVal { return a.arrays[name][key(a).str()] }
	}
	return func(a *awk) awkVal { return a.vars[name] }
}

func (p *awkParser) text() awkExpr {
	end := p.pos + 1
	for end < len(p.src) && p.src[end] != '"' {
		if p.src[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.src) {
		p.fail("runaway string constant")
		return func(*awk) awkVal { return awkVal{} }
	}
	s, _ := syntax.Unescape(p.src[p.pos+1:end], syntax.EscAnsi)
	p.pos = end + 1
	return func(*awk) awkVal { return awkVal{s: s} }
}

func awkFunc(name string) bool {
	switch name {
	case "length", "substr", "index", "tolower", "toupper", "int", "split", "sprintf", "sub", "gsub", "match", "rand", "srand", "system", "sqrt", "systime", "strftime":
		return true
	}
	return false
}

func (p *awkParser) call(name string) awkExpr {
	var args []awkExpr
	arr := ""
	if p.eat("(") {
		old := p.noGT
		p.noGT = false
		for p.peek() != ')' && p.bad == "" && len(args) < 16 {
			if len(args) == 1 && name == "split" {
				arr = p.name()
				args = append(args, nil)
			} else if (name == "sub" || name == "gsub" || name == "match") && p.peek() == '/' {
				text, rest, ok := delimited(p.src[p.pos+1:], '/')
				if !ok {
					p.fail("unterminated regexp")
				}
				p.pos = len(p.src) - len(rest)
				args = append(args, func(*awk) awkVal { return awkVal{s: text} })
			} else {
				args = append(args, p.expr())
			}
			if !p.eat(",") {
				break
			}
		}
		p.noGT = old
		p.need(")")
	}
	return func(a *awk) awkVal { return a.builtin(name, args, arr) }
}

func (a *awk) builtin(name string, args []awkExpr, arr string) awkVal {
	arg := func(i int) awkVal {
		if i < len(args) && args[i] != nil {
			return args[i](a)
		}
		return awkVal{}
	}
	if !a.c.Sh.Spend(2) {
		return awkVal{}
	}
	switch name {
	case "length":
		if len(args) == 0 {
			return awkNum(float64(len(a.line)))
		}
		return awkNum(float64(len(arg(0).str())))
	case "substr":
		s := arg(0).str()
		from := max(-1e6, min(arg(1).number(), 1e6)) - 1
		to := float64(len(s))
		if len(args) > 2 {
			to = min(to, from+max(0, min(arg(2).number(), 1e6)))
		}
		from = max(0, from)
		if from >= to {
			return awkVal{}
		}
		return awkVal{s: s[int(from):int(to)]}
	case "index":
		return awkNum(float64(strings.Index(arg(0).str(), arg(1).str()) + 1))
	case "tolower":
		return awkVal{s: strings.ToLower(arg(0).str())}
	case "toupper":
		return awkVal{s: strings.ToUpper(arg(0).str())}
	case "int":
		return awkNum(math.Trunc(arg(0).number()))
	case "sqrt":
		return awkNum(math.Sqrt(arg(0).number()))
	case "rand":
		return awkNum(float64(a.c.Sh.Random()&0xffff) / 65536)
	case "systime":
		return awkNum(float64(a.c.Sh.Now().Unix()))
	case "sprintf":
		return awkVal{s: a.format(args)}
	case "split":
		fs := a.vars["FS"].str()
		if len(args) > 2 {
			fs = arg(2).str()
		}
		delete(a.arrays, arr)
		parts := a.split(arg(0).str(), fs)
		for i, s := range parts {
			a.setCell(arr, interp.Itoa(i+1), awkInput(s))
		}
		return awkNum(float64(len(parts)))
	}
	return a.regexBuiltin(name, arg, len(args))
}

// regexBuiltin are the functions that match, and system.
func (a *awk) regexBuiltin(name string, arg func(int) awkVal, n int) awkVal {
	switch name {
	case "sub", "gsub":
		re, err := interp.CompileRegex(arg(0).str(), true, false)
		if err != nil || n > 2 {
			return awkNum(0)
		}
		k := &sedCmd{re: re, with: arg(1).str(), global: name == "gsub"}
		line, hit := sedReplace(a.c, k, a.line)
		if hit {
			a.record(line)
		}
		return awkNum(b2f(hit))
	case "match":
		if re, err := interp.CompileRegex(arg(1).str(), true, false); err == nil {
			if m := re.FindStringIndex(arg(0).str()); m != nil {
				a.set("RSTART", awkNum(float64(m[0]+1)))
				a.set("RLENGTH", awkNum(float64(m[1]-m[0])))
				return awkNum(float64(m[0] + 1))
			}
		}
		return awkNum(0)
	case "system":
		e := a.c.E.Sub()
		e.Invoke([]string{"sh", "-c", arg(0).str()}, 5)
		return awkNum(float64(e.Status))
	}
	return awkVal{}
}
