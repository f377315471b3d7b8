// Package pii finds personal data that can be told by a checksum or by its
// form together with a word beside it: payment cards (ISO/IEC 7812, Luhn),
// IBAN (ISO 13616, mod 97), US social security numbers, phone numbers, e-mail
// addresses. Being there is no attack: what is found is reported below the
// flagging score unless the configuration says otherwise.
package pii

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// Config of the inspector.
type Config struct {
	// Score of a finding; from 0.5 on a text with personal data is flagged.
	Score float64 `yaml:"score"`
	// Kinds to look for: card, iban, ssn, phone, email.
	Kinds []string `yaml:"kinds"`
}

// Default configuration.
func Default() Config {
	return Config{Score: 0.3, Kinds: []string{"card", "iban", "ssn", "phone", "email"}}
}

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if c.Score < 0 || c.Score > 1 {
		return nil, fmt.Errorf("score %v: use a number from 0 to 1", c.Score)
	}
	i := &inspector{score: c.Score}
	for _, k := range c.Kinds {
		n := len(i.kinds)
		for _, x := range all {
			if x.name == k {
				i.kinds = append(i.kinds, x)
			}
		}
		if len(i.kinds) == n {
			return nil, fmt.Errorf("kind %q: use card, iban, ssn, phone or email", k)
		}
	}
	return i, nil
}

type inspector struct {
	score float64
	kinds []kind
}

type kind struct {
	name  string
	re    *regexp.Regexp
	valid func(text string, from, to int) bool
	begun *decode.Partial
}

var all = []kind{
	kindOf("card", `\b\d(?:[ -]?\d){12,18}\b`, func(t string, a, b int) bool { return Card(t[a:b]) }),
	kindOf("iban", `\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b`, func(t string, a, b int) bool { return IBAN(t[a:b]) }),
	kindOf("ssn", `\b\d{3}[- ]\d{2}[- ]\d{4}\b`, func(t string, a, b int) bool { return SSN(t[a:b]) }),
	kindOf("phone", `(?:\+|\b00)[1-9]\d{0,2}[ .\-]?(?:\(\d{1,4}\)[ .\-]?)?\d(?:[ .\-]?\d){6,12}\b|\(?\b\d{3}\)?[ .\-]\d{3}[ .\-]\d{4}\b`, func(t string, a, b int) bool { return phone(t, a, b) }),
	kindOf("email", `\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b`, func(t string, a, b int) bool { return true }),
}

func kindOf(name, expr string, valid func(text string, from, to int) bool) kind {
	return kind{name, regexp.MustCompile(expr), valid, decode.MustPartial(expr, 400)}
}

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	if len(i.kinds) == 0 {
		return nil, &guard.NothingToDo{Why: "no kinds are configured"}
	}
	for _, k := range i.kinds {
		spans := k.find(t.Raw)
		n := len(spans)
		for _, v := range t.Views {
			if v.Text != t.Raw {
				n = max(n, len(k.find(v.Text)))
			}
		}
		if n > 0 {
			out = append(out, guard.Finding{Category: guard.PII, Score: i.score, Note: fmt.Sprintf("%s: %d", k.name, n),
				Label: strings.ToUpper(k.name), Spans: spans, Deep: n > len(spans)})
		}
	}
	return out, nil
}

// possible is a cheap necessary test before a regular expression: what it refuses
// holds nothing of the kind.
func possible(kind, s string) bool {
	if kind == "email" {
		return strings.IndexByte(s, '@') >= 0
	}
	least := 1
	switch kind { // digits
	case "card":
		least = 13
	case "iban":
		return country(s)
	case "ssn":
		least = 9
	case "phone":
		least = 8
	}
	for i := 0; i < len(s); i++ {
		if isDigit(s[i]) {
			if least--; least <= 0 {
				return true
			}
		}
	}
	return false
}

// country looks for two capitals and two digits, with which an IBAN begins.
func country(s string) bool {
	for i := 3; i < len(s); i++ {
		if isDigit(s[i]) && isDigit(s[i-1]) && isCapital(s[i-2]) && isCapital(s[i-3]) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

func (k *kind) find(text string) (out []guard.Span) {
	if !possible(k.name, text) {
		return nil
	}
	for _, m := range k.re.FindAllStringIndex(text, 1000) {
		if k.valid(text, m[0], m[1]) {
			out = append(out, guard.Span{From: m[0], To: m[1]})
		}
	}
	return out
}

// Hold implements guard.Holder.
func (i *inspector) Hold(text string) (n int) {
	for _, k := range i.kinds {
		n = max(n, k.begun.Tail(text))
	}
	return n
}

// Most implements guard.Holder.
func (i *inspector) Most() (guard.Category, float64) { return guard.PII, i.score }

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// Card reports whether s is a payment card number: a known issuer's prefix, the
// length it uses, and the Luhn checksum.
func Card(s string) bool {
	d := digits(s)
	n := len(d)
	two, four := atoi(d, 2), atoi(d, 4)
	switch {
	case d[0] == '4' && (n == 13 || n == 16 || n == 19): // Visa
	case n == 16 && (two >= 51 && two <= 55 || four >= 2221 && four <= 2720): // Mastercard
	case n == 15 && (two == 34 || two == 37): // American Express
	case n >= 16 && (four == 6011 || two == 65 || two == 62 || two == 35): // Discover, UnionPay, JCB
	case n == 14 && (two == 36 || two == 38 || two == 30): // Diners
	default:
		return false
	}
	sum := 0
	for i := range n {
		x := int(d[n-1-i] - '0')
		if i%2 == 1 {
			if x *= 2; x > 9 {
				x -= 9
			}
		}
		sum += x
	}
	return sum%10 == 0 && strings.Trim(d, d[:1]) != ""
}

func atoi(d string, n int) (v int) {
	for i := 0; i < n && i < len(d); i++ {
		v = v*10 + int(d[i]-'0')
	}
	return v
}

// IBAN checks length and mod 97 of an international bank account number.
func IBAN(s string) bool {
	s = strings.ReplaceAll(s, " ", "")
	if len(s) < 15 || len(s) > 34 {
		return false
	}
	var b strings.Builder
	for _, c := range s[4:] + s[:4] {
		switch {
		case c >= '0' && c <= '9':
			b.WriteRune(c)
		case c >= 'A' && c <= 'Z':
			fmt.Fprintf(&b, "%d", c-'A'+10)
		default:
			return false
		}
	}
	n, ok := new(big.Int).SetString(b.String(), 10)
	return ok && n.Mod(n, big.NewInt(97)).Int64() == 1
}

// SSN checks the parts of a social security number that are never issued
// (Social Security Administration, randomisation of 2011).
func SSN(s string) bool {
	d := digits(s)
	area, group, serial := d[:3], d[3:5], d[5:]
	return area != "000" && area != "666" && area[0] != '9' && group != "00" && serial != "0000" && d != "078051120" && d != "219099999"
}

// phone wants a plus sign or a word beside a national number: groups of digits
// alone are order numbers, dates and coordinates as often.
func phone(t string, a, b int) bool {
	n := len(digits(t[a:b]))
	if n < 8 || n > 15 {
		return false
	}
	if t[a] == '+' {
		return true
	}
	near := strings.ToLower(t[max(0, a-30):a])
	for _, w := range [...]string{"phone", "tel", "call", "mobile", "cell", "fax", "whatsapp", "dial", "number is"} {
		if strings.Contains(near, w) {
			return true
		}
	}
	return false
}
