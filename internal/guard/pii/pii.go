// Package pii finds personal data that can be told by a checksum or by its
// form together with a word beside it: payment cards (ISO/IEC 7812, Luhn),
// IBAN (ISO 13616, length of the country and mod 97), numbers of persons of some fifty states and
// authorities with their published check digits, machine-readable zones of
// passports and cards (ICAO Doc 9303), US social security numbers, phone numbers (E.164), e-mail
// addresses, and, when it is asked for, addresses of the Internet. Being there is no attack: what is found is reported below the
// flagging score unless the configuration says otherwise.
package pii

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// Config of the inspector.
type Config struct {
	// Score of a finding; from 0.5 on a text with personal data is flagged.
	Score float64 `yaml:"score"`
	// Kinds to look for: card, iban, id, passport, ssn, phone, email; ip is left out unless it is named.
	Kinds []string `yaml:"kinds"`
}

// Default configuration.
func Default() Config {
	return Config{Score: 0.3, Kinds: []string{"card", "iban", "id", "passport", "ssn", "phone", "email"}}
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
			return nil, fmt.Errorf("kind %q: use card, iban, id, passport, ssn, phone, email or ip", k)
		}
	}
	return i, nil
}

type inspector struct {
	score float64
	kinds []kind
}

// maxFound is how many of a kind are looked for in a text.
const maxFound = 1000

type kind struct {
	name string
	find func(text string) []guard.Span
	tail func(text string) int // bytes at the end of a text that may be the beginning of one
}

// Forms that are looked for in their places only.
const (
	formCard  = `\b\d(?:[ -]?\d){12,18}\b`
	formSSN   = `\b\d{3}[- ]\d{2}[- ]\d{4}\b`
	formPhone = `(?:\+|\b00)[1-9]\d{0,2}[ .\-]?(?:\(\d{1,4}\)[ .\-]?)?\d(?:[ .\-]?\d){6,12}\b|\(?\b\d{2,5}\)?[ .\-/]{1,2}\d{2,4}[ .\-]\d{2,5}(?:[ .\-]\d{2,4}){0,3}\b`
	formIP    = `\b(?:\d{1,3}\.){3}\d{1,3}\b|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}`
)

var all = []kind{
	byForm("card", formCard, func(t string, a, b int) int { return when(Card(t[a:b]), b) }),
	byForm("iban", `\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b|\b[a-z]{2}\d{2}(?: ?[a-z0-9]){11,30}\b`, func(t string, a, b int) int { return iban(t, a) }),
	{"id", findIDs, tailID},
	{"passport", findMRZ, tailMRZ},
	byForm("ssn", formSSN, func(t string, a, b int) int { return when(SSN(t[a:b]), b) }),
	byForm("phone", formPhone, func(t string, a, b int) int { return when(phone(t, a, b), b) }),
	byForm("email", `\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b`, func(t string, a, b int) int { return b }),
	byForm("ip", formIP, func(t string, a, b int) int { return when(person(t, a, b), b) }),
}

func when(ok bool, end int) int {
	if ok {
		return end
	}
	return 0
}

// byForm is a kind with a regular expression. end is where what was matched really
// ends; 0: it is none.
func byForm(name, expr string, end func(text string, from, to int) int) kind {
	re, begun := regexp.MustCompile(expr), decode.MustPartial(expr, 400)
	find := func(text string) (out []guard.Span) {
		if !possible(name, text) {
			return nil
		}
		if p, ok := places[name]; ok {
			return p.find(re, text, end)
		}
		return everywhere(re, text, end)
	}
	return kind{name, find, begun.Tail}
}

// everywhere is what an expression finds in a text.
func everywhere(re *regexp.Regexp, text string, end func(text string, from, to int) int) (out []guard.Span) {
	for from := 0; len(out) < maxFound; {
		m := re.FindStringIndex(text[from:])
		if m == nil {
			break
		}
		a, b := from+m[0], from+m[1]
		if e := end(text, a, b); e > 0 {
			out = append(out, guard.Span{From: a, To: e})
			b = e
		}
		from = max(b, a+1)
	}
	return out
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
	switch kind {
	case "email":
		return strings.IndexByte(s, '@') >= 0
	case "ip":
		return strings.Count(s, ".") >= 3 || strings.Count(s, ":") >= 2
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
		least = 6
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

// country looks for two letters and two digits, with which an IBAN begins.
func country(s string) bool {
	for i := 3; i < len(s); i++ {
		if isDigit(s[i]) && isDigit(s[i-1]) && isLetter(s[i-2]) && isLetter(s[i-3]) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return isCapital(c) || c >= 'a' && c <= 'z' }

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

// Hold implements guard.Holder.
func (i *inspector) Hold(text string) (n int) {
	for _, k := range i.kinds {
		n = max(n, k.tail(text))
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

// ibanLengths are those of the registry of ISO 13616 (SWIFT), by country.
const ibanLengths = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 " +
	"HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 " +
	"SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"

// iban is where the international bank account number ends that begins at a place; 0:
// there is none. What follows it may look like more of it.
func iban(t string, from int) int {
	k := strings.Index(ibanLengths, strings.ToUpper(t[from:from+2]))
	if k < 0 || k%5 != 0 {
		return 0
	}
	n := int(ibanLengths[k+2]-'0')*10 + int(ibanLengths[k+3]-'0')
	i := from
	for ; i < len(t) && n > 0; i++ {
		if t[i] != ' ' {
			n--
		}
	}
	if n > 0 || i < len(t) && isWord(t[i]) || !IBAN(t[from:i]) {
		return 0
	}
	return i
}

// IBAN checks mod 97 of an international bank account number.
func IBAN(s string) bool {
	s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	if len(s) < 15 || len(s) > 34 {
		return false
	}
	rest := 0
	for _, c := range s[4:] + s[:4] {
		switch {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}

// SSN checks the parts of a social security number that are never issued
// (Social Security Administration, randomisation of 2011).
func SSN(s string) bool {
	d := digits(s)
	area, group, serial := d[:3], d[3:5], d[5:]
	return area != "000" && area != "666" && area[0] != '9' && group != "00" && serial != "0000" && d != "078051120" && d != "219099999"
}

// phone wants the code of a country behind a plus sign, or a word beside a national
// number: groups of digits alone are order numbers, dates and coordinates as often.
func phone(t string, a, b int) bool {
	d := digits(t[a:b])
	if len(d) < 7 || len(d) > 15 {
		return false
	}
	if t[a] == '+' {
		return len(d) >= 8 && countryCode(d)
	}
	before := strings.ToLower(t[max(0, a-40):a])
	if i := strings.LastIndexByte(before, '\n'); i >= 0 && i < len(before)-20 {
		before = before[i:]
	}
	return hasWord(before, "phone telephone tel call called calling mobile cell cellphone fax whatsapp dial reach_me text_me sms telefon telefono teléfono téléphone telefone móvil movil celular "+
		"cellulare handy handynummer rufnummer portable numéro_de sms telefoon mobil mobiel puhelin тел телефон 电话 手机 電話 전화")
}

// countryCodes are those of ITU-T E.164 with one and two digits, and the first two digits of those with three.
const countryCodes = "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99"

func countryCode(d string) bool {
	for c := range strings.FieldsSeq(countryCodes) {
		if strings.HasPrefix(d, c) {
			return true
		}
	}
	return false
}

// person says whether an address of the Internet may be that of a person: not one of a
// machine itself, of a private network or of documents, and no version of a program.
func person(t string, a, b int) bool {
	if a > 0 && (isWord(t[a-1]) || t[a-1] == '.' || t[a-1] == '-' || t[a-1] == ':') || b < len(t) && (isWord(t[b]) || t[b] == '-' || t[b] == '.' && b+1 < len(t) && isDigit(t[b+1])) {
		return false
	}
	ip, err := netip.ParseAddr(t[a:b])
	if err != nil || !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range [...]string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "100.64.0.0/10", "0.0.0.0/8"} {
		if netip.MustParsePrefix(p).Contains(ip) {
			return false
		}
	}
	return !hasWord(strings.ToLower(t[max(0, a-12):a]), "version v")
}
