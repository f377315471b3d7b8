package syntax

import (
	"errors"
	"strconv"
	"strings"
)

// Arith evaluates shell arithmetic: 64-bit integers, C operators, variables,
// assignments. Errors have the text bash prints after the expression.
type Arith struct {
	Src   string
	pos   int
	depth int
	skip  int // > 0 inside the branch && || ?: does not take
	Get   func(name string) string
	Set   func(name, value string) error
}

const maxArithDepth = 100

var errArith = errors.New("syntax error: operand expected")

func (a *Arith) Eval() (int64, error) {
	if strings.TrimSpace(a.Src) == "" {
		return 0, nil
	}
	v, err := a.comma()
	if err != nil {
		return 0, err
	}
	if a.space(); a.pos < len(a.Src) {
		return 0, errors.New("syntax error in expression (error token is \"" + a.Src[a.pos:] + "\")")
	}
	return v, nil
}

func (a *Arith) space() {
	for a.pos < len(a.Src) && strings.IndexByte(" \t\n\r", a.Src[a.pos]) >= 0 {
		a.pos++
	}
}

func (a *Arith) op(list ...string) string {
	a.space()
	for _, o := range list {
		if strings.HasPrefix(a.Src[a.pos:], o) {
			a.pos += len(o)
			return o
		}
	}
	return ""
}

func (a *Arith) comma() (int64, error) {
	for {
		v, err := a.assign()
		if err != nil || a.op(",") == "" {
			return v, err
		}
	}
}

func (a *Arith) assign() (int64, error) {
	if a.depth++; a.depth > maxArithDepth {
		return 0, errors.New("expression recursion level exceeded")
	}
	defer func() { a.depth-- }()
	a.space()
	save := a.pos
	if name := a.name(); name != "" {
		a.space()
		rest := a.Src[a.pos:]
		for _, o := range []string{"<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "="} {
			if !strings.HasPrefix(rest, o) || o == "=" && strings.HasPrefix(rest, "==") {
				continue
			}
			a.pos += len(o)
			v, err := a.assign()
			if err != nil {
				return 0, err
			}
			if o != "=" {
				if v, err = a.binary(o[:len(o)-1], a.value(name), v); err != nil {
					return 0, err
				}
			}
			return v, a.store(name, v)
		}
	}
	a.pos = save
	return a.ternary()
}

func (a *Arith) name() string {
	start := a.pos
	for a.pos < len(a.Src) && NameByte(a.Src[a.pos], a.pos == start) {
		a.pos++
	}
	return a.Src[start:a.pos]
}

func (a *Arith) store(name string, v int64) error {
	if a.skip > 0 {
		return nil
	}
	return a.Set(name, strconv.FormatInt(v, 10))
}

// value reads a variable; its text is evaluated as an expression, as in bash,
// to a small depth.
func (a *Arith) value(name string) int64 {
	text := strings.TrimSpace(a.Get(name))
	if v, err := strconv.ParseInt(text, 0, 64); err == nil || text == "" {
		return v
	}
	if a.depth > 8 || len(text) > 256 {
		return 0
	}
	sub := &Arith{Src: text, depth: a.depth + 4, Get: a.Get, Set: a.Set}
	v, err := sub.Eval()
	if err != nil {
		return 0
	}
	return v
}

func (a *Arith) ternary() (int64, error) {
	c, err := a.level(0)
	if err != nil || a.op("?") == "" {
		return c, err
	}
	branch := func(take bool) (int64, error) {
		if !take {
			a.skip++
			defer func() { a.skip-- }()
		}
		return a.assign()
	}
	x, err := branch(c != 0)
	if err != nil {
		return 0, err
	}
	if a.op(":") == "" {
		return 0, errArith
	}
	y, err := branch(c == 0)
	if c != 0 {
		return x, err
	}
	return y, err
}

// arithLevels lists binary operators from the loosest to the tightest.
var arithLevels = [][]string{{"||"}, {"&&"}, {"|"}, {"^"}, {"&"}, {"==", "!="}, {"<=", ">=", "<", ">"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}}

func (a *Arith) level(n int) (int64, error) {
	if n == len(arithLevels) {
		return a.power()
	}
	x, err := a.level(n + 1)
	for err == nil {
		o := a.levelOp(n)
		if o == "" {
			return x, nil
		}
		short := o == "&&" && x == 0 || o == "||" && x != 0
		if short {
			a.skip++
		}
		var y int64
		y, err = a.level(n + 1)
		if short {
			a.skip--
		}
		if err == nil {
			x, err = a.binary(o, x, y)
		}
	}
	return 0, err
}

func (a *Arith) levelOp(n int) string {
	a.space()
	rest := a.Src[a.pos:]
	for _, o := range arithLevels[n] {
		if !strings.HasPrefix(rest, o) {
			continue
		}
		after := rest[len(o):]
		// "&" is not the start of "&&", "*" not of "**", and so on.
		if len(o) == 1 && after != "" && (after[0] == o[0] && strings.IndexByte("|&<>*", o[0]) >= 0) {
			return ""
		}
		if after != "" && after[0] == '=' && strings.IndexByte("=!<>", o[0]) < 0 {
			return ""
		}
		a.pos += len(o)
		return o
	}
	return ""
}

func (a *Arith) binary(o string, x, y int64) (int64, error) {
	switch o {
	case "||":
		return B2i(x != 0 || y != 0), nil
	case "&&":
		return B2i(x != 0 && y != 0), nil
	case "|":
		return x | y, nil
	case "^":
		return x ^ y, nil
	case "&":
		return x & y, nil
	case "==":
		return B2i(x == y), nil
	case "!=":
		return B2i(x != y), nil
	case "<=":
		return B2i(x <= y), nil
	case ">=":
		return B2i(x >= y), nil
	case "<":
		return B2i(x < y), nil
	case ">":
		return B2i(x > y), nil
	case "<<":
		return x << uint(y&63), nil
	case ">>":
		return x >> uint(y&63), nil
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	}
	if y == 0 {
		if a.skip > 0 {
			return 0, nil
		}
		return 0, errors.New("division by 0 (error token is \"" + strings.TrimSpace(a.Src[max(0, a.pos-1):]) + "\")")
	}
	if y == -1 { // the smallest integer divided by -1 overflows
		return -x * B2i(o == "/"), nil
	}
	if o == "/" {
		return x / y, nil
	}
	return x % y, nil
}

func (a *Arith) power() (int64, error) {
	x, err := a.unary()
	if err != nil || a.op("**") == "" {
		return x, err
	}
	if a.depth++; a.depth > maxArithDepth {
		return 0, errArith
	}
	y, err := a.power()
	a.depth--
	if err != nil {
		return 0, err
	}
	if y < 0 {
		return 0, errors.New("exponent less than 0")
	}
	r := int64(1)
	for base := x; y > 0; y >>= 1 {
		if y&1 == 1 {
			r *= base
		}
		base *= base
	}
	return r, nil
}

func (a *Arith) unary() (int64, error) {
	if a.depth++; a.depth > maxArithDepth {
		return 0, errors.New("expression recursion level exceeded")
	}
	defer func() { a.depth-- }()
	switch o := a.op("++", "--", "!", "~", "-", "+", "("); o {
	case "++", "--":
		a.space()
		if name := a.name(); name != "" {
			v := a.value(name) + 1 - 2*B2i(o == "--")
			return v, a.store(name, v)
		}
		return a.unary()
	case "!", "~", "-", "+":
		v, err := a.unary()
		switch o {
		case "!":
			v = B2i(v == 0)
		case "~":
			v = ^v
		case "-":
			v = -v
		}
		return v, err
	case "(":
		v, err := a.comma()
		if err == nil && a.op(")") == "" {
			err = errors.New("missing `)'")
		}
		return v, err
	}
	return a.operand()
}

func (a *Arith) operand() (int64, error) {
	if name := a.name(); name != "" {
		v := a.value(name)
		switch a.op("++", "--") {
		case "++":
			return v, a.store(name, v+1)
		case "--":
			return v, a.store(name, v-1)
		}
		return v, nil
	}
	start := a.pos
	for a.pos < len(a.Src) && (NameByte(a.Src[a.pos], false) || a.Src[a.pos] == '#') {
		a.pos++
	}
	text := a.Src[start:a.pos]
	if text == "" {
		return 0, errArith
	}
	if base, num, ok := strings.Cut(text, "#"); ok {
		n, err := strconv.Atoi(base)
		if err != nil || n < 2 || n > 36 {
			return 0, errors.New("invalid arithmetic base")
		}
		text = num
		return parseArith(text, n)
	}
	return parseArith(text, 0)
}

func parseArith(text string, base int) (int64, error) {
	v, err := strconv.ParseInt(text, base, 64)
	if err != nil && base == 0 {
		return 0, errors.New("value too great for base (error token is \"" + text + "\")")
	}
	return v, err
}
