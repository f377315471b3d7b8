package llm

import (
	"math/big"
	"regexp"
	"strings"
)

var (
	expression = regexp.MustCompile(`[-(]*\d[\d.,]*(?:[\s()]*(?:[-+*/^x×÷%]|\*\*|plus|minus|times|multiplied by|divided by|over)[\s(-]*\d[\d.,]*\)*)+`)
	wordsOf    = strings.NewReplacer("multiplied by", "*", "divided by", "/", "plus", "+", "minus", "-", "times", "*", "over", "/", "×", "*", "x", "*", "÷", "/", "**", "^", ",", "", " ", "", "\t", "", "\n", "")
	rootOf     = regexp.MustCompile(`square root of (\d{1,12})\b`)
)

// sums computes what a prompt asks to be computed: not approximately, as a
// model might, because the usual test is whether the number is right.
func sums(_ speaker, _ *question, raw, low string) string {
	if len(low) > 200 {
		return ""
	}
	if g := rootOf.FindStringSubmatch(low); g != nil {
		n, _ := new(big.Int).SetString(g[1], 10)
		r := new(big.Int).Sqrt(n)
		if new(big.Int).Mul(r, r).Cmp(n) == 0 {
			return "The square root of " + g[1] + " is " + r.String() + "."
		}
		f := new(big.Float).Sqrt(new(big.Float).SetInt(n))
		return "The square root of " + g[1] + " is approximately " + f.Text('f', 4) + "."
	}
	e := strings.TrimSpace(expression.FindString(low))
	if e == "" || strings.Count(low, "-") > 0 && !strings.ContainsAny(e, "+*/^x×÷%() ") && !onlySum(low, e) {
		return ""
	}
	p := parser{in: wordsOf.Replace(e)}
	v, ok := p.sum(0)
	if !ok || p.pos != len(p.in) {
		return ""
	}
	result := decimal(v)
	if regexpOnly.MatchString(low) {
		return result
	}
	return strings.TrimSpace(e) + " = " + result
}

var regexpOnly = regexp.MustCompile(`\b(only|just)\b.{0,40}\b(number|answer|result|digits?)\b|\b(number|answer|result) only\b`)

// onlySum tells "7-3" from a date or a range in a sentence.
func onlySum(low, e string) bool {
	rest := strings.Trim(strings.Replace(low, e, "", 1), " ?=.!")
	switch rest {
	case "", "what is", "what's", "calculate", "compute", "solve", "answer", "whats":
		return true
	}
	return false
}

// decimal prints a number as a person would.
func decimal(v *big.Rat) string {
	if v.IsInt() {
		return v.Num().String()
	}
	s := strings.TrimRight(v.FloatString(6), "0")
	return strings.TrimRight(s, ".")
}

// parser evaluates + - * / % ^ and parentheses over decimal numbers.
type parser struct {
	in  string
	pos int
}

// Caps on what is computed.
const (
	maxNesting = 20
	maxDigits  = 30
	maxBits    = 4096
)

func (p *parser) peek() byte {
	if p.pos < len(p.in) {
		return p.in[p.pos]
	}
	return 0
}

func (p *parser) sum(depth int) (*big.Rat, bool) {
	v, ok := p.product(depth)
	for ok && (p.peek() == '+' || p.peek() == '-') {
		op := p.peek()
		p.pos++
		var w *big.Rat
		if w, ok = p.product(depth); !ok {
			break
		}
		if op == '+' {
			v = new(big.Rat).Add(v, w)
		} else {
			v = new(big.Rat).Sub(v, w)
		}
	}
	return v, ok
}

func (p *parser) product(depth int) (*big.Rat, bool) {
	v, ok := p.power(depth)
	for ok && strings.IndexByte("*/%", p.peek()) >= 0 && p.peek() != 0 {
		op := p.peek()
		p.pos++
		w, fine := p.power(depth)
		if !fine {
			return nil, false
		}
		switch {
		case op == '*':
			v = new(big.Rat).Mul(v, w)
		case w.Sign() == 0:
			return nil, false
		case op == '/':
			v = new(big.Rat).Quo(v, w)
		case !v.IsInt() || !w.IsInt():
			return nil, false
		default:
			v = new(big.Rat).SetInt(new(big.Int).Mod(v.Num(), w.Num()))
		}
		ok = v.Num().BitLen() < maxBits && v.Denom().BitLen() < maxBits
	}
	return v, ok
}

func (p *parser) power(depth int) (*big.Rat, bool) {
	v, ok := p.number(depth)
	if !ok || p.peek() != '^' {
		return v, ok
	}
	p.pos++
	w, ok := p.number(depth)
	if !ok || !w.IsInt() || !w.Num().IsInt64() {
		return nil, false
	}
	n := w.Num().Int64()
	if n < 0 || n > 1000 || int64(v.Num().BitLen()+v.Denom().BitLen())*n > maxBits {
		return nil, false
	}
	e := big.NewInt(n)
	return new(big.Rat).SetFrac(new(big.Int).Exp(v.Num(), e, nil), new(big.Int).Exp(v.Denom(), e, nil)), true
}

func (p *parser) number(depth int) (*big.Rat, bool) {
	switch {
	case depth > maxNesting:
		return nil, false
	case p.peek() == '-':
		p.pos++
		v, ok := p.number(depth + 1)
		if !ok {
			return nil, false
		}
		return new(big.Rat).Neg(v), true
	case p.peek() == '(':
		p.pos++
		v, ok := p.sum(depth + 1)
		if !ok || p.peek() != ')' {
			return nil, false
		}
		p.pos++
		return v, true
	}
	from := p.pos
	for c := p.peek(); c >= '0' && c <= '9' || c == '.'; c = p.peek() {
		p.pos++
	}
	text := strings.TrimRight(p.in[from:p.pos], ".")
	if text == "" || len(text) > maxDigits {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}
