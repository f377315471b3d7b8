package sigma

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf16"
)

// test is what an atom asks of a field.
type test uint8

const (
	isPattern test = iota // equals, contains, startswith, endswith, wildcards
	isRegexp
	isNull   // absent or null
	isExists // present, whatever it holds
	isIn     // an address of a network
	isGreater
	isGreaterEqual
	isLess
	isLessEqual
	isField // the same as another field
	isTime  // a part of a point in time
)

// atom is one question about one field. Equal questions of different rules are
// one atom and are answered once per event.
type atom struct {
	field   int32 // in the engine's list; keywords for all values
	test    test
	cased   bool
	pattern pattern
	re      *regexp.Regexp
	re2     *syntax.Regexp // the same, to find texts it needs
	network netip.Prefix
	number  float64
	other   int32  // isField
	shape   string // isField: "", contains, startswith, endswith
	unit    string // isTime: minute, hour, day, week, month, year
	yes     bool   // isExists
}

const keywords int32 = -1

// maxRegexp bounds a regular expression; RE2 runs in linear time, and compiles
// to at most 1000 repetitions.
const maxRegexp = 4096

// maxExpanded bounds the values that one value may become.
const maxExpanded = 1000

// question is an item's modifiers, taken apart.
type question struct {
	field       string
	all, cased  bool
	negated     bool
	windash     bool
	expand      bool
	transform   []string // base64, base64offset, wide, utf16, …
	position    string   // contains, startswith, endswith
	kind        string   // "", re, cidr, exists, fieldref, gt, …, minute, …
	regexpFlags string
	unit        string
}

func parseModifiers(it item) (q question, err error) {
	q.field = it.field
	set := func(kind string) {
		if q.kind != "" && q.kind != kind {
			err = fmt.Errorf("field %.60q: modifiers %s and %s do not go together", it.field, q.kind, kind)
		}
		q.kind = kind
	}
	for _, m := range it.modifiers {
		switch m = strings.ToLower(m); m {
		case "all":
			q.all = true
		case "cased":
			q.cased = true
		case "neq":
			q.negated = true
		case "windash":
			q.windash = true
		case "expand":
			q.expand = true
		case "base64", "base64offset", "wide", "utf16le", "utf16be", "utf16":
			q.transform = append(q.transform, m)
		case "contains", "startswith", "endswith":
			if q.position != "" && q.position != m {
				return q, fmt.Errorf("field %.60q: modifiers %s and %s do not go together", it.field, q.position, m)
			}
			q.position = m
		case "i", "ignorecase", "m", "multiline", "s", "dotall":
			if q.kind != "re" {
				return q, fmt.Errorf("field %.60q: modifier %s belongs behind re", it.field, m)
			}
			q.regexpFlags += map[byte]string{'i': "i", 'm': "m", 's': "s", 'd': "s"}[m[0]]
		case "re", "cidr", "exists", "fieldref", "gt", "gte", "lt", "lte":
			set(m)
		case "minute", "hour", "day", "week", "month", "year":
			set("time")
			q.unit = m
		default:
			return q, fmt.Errorf("field %.60q: unknown modifier %.40q", it.field, m)
		}
	}
	if q.kind != "" && (len(q.transform) > 0 || q.windash) || q.position != "" && q.kind != "" && q.kind != "fieldref" && q.kind != "re" {
		err = fmt.Errorf("field %.60q: %s does not go with text modifiers", it.field, q.kind)
	}
	if it.field == "" && (q.kind == "exists" || q.kind == "fieldref") {
		err = fmt.Errorf("%s needs a field", q.kind)
	}
	return q, err
}

// questions turns one value of an item into its alternatives.
func (c *compiler) questions(q question, v scalar) ([]atom, error) {
	a := atom{field: c.field(q.field), cased: q.cased}
	if q.field == "" {
		a.field = keywords
	}
	switch q.kind {
	case "":
		return c.patterns(q, a, v)
	case "re":
		err := a.regexp(q, v)
		return []atom{a}, err
	case "cidr":
		p, err := netip.ParsePrefix(strings.TrimSpace(v.text))
		if err != nil {
			ip, bad := netip.ParseAddr(strings.TrimSpace(v.text))
			if bad != nil {
				return nil, fmt.Errorf("field %.60q: %.60q is not a network such as 10.0.0.0/8", q.field, v.text)
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		a.test, a.network = isIn, p.Masked()
	case "exists":
		yes, err := strconv.ParseBool(v.text)
		if err != nil {
			return nil, fmt.Errorf("field %.60q: exists is true or false", q.field)
		}
		a.test, a.yes = isExists, yes
	case "fieldref":
		a.test, a.other, a.shape = isField, c.field(v.text), q.position
	case "time":
		n, err := strconv.Atoi(v.text)
		if err != nil {
			return nil, fmt.Errorf("field %.60q: %s is a whole number", q.field, q.unit)
		}
		a.test, a.unit, a.number = isTime, q.unit, float64(n)
	default:
		n, err := strconv.ParseFloat(strings.TrimSpace(v.text), 64)
		if err != nil || n != n {
			return nil, fmt.Errorf("field %.60q: %s needs a number, not %.40q", q.field, q.kind, v.text)
		}
		a.number = n
		a.test = map[string]test{"gt": isGreater, "gte": isGreaterEqual, "lt": isLess, "lte": isLessEqual}[q.kind]
	}
	return []atom{a}, nil
}

// regexp compiles |re. The specification names PCRE; what RE2 cannot do
// (look-around, back-references) is refused, and said.
func (a *atom) regexp(q question, v scalar) error {
	text := v.raw
	if len(text) > maxRegexp {
		return fmt.Errorf("field %.60q: regular expression of %d bytes, at most %d", q.field, len(text), maxRegexp)
	}
	if q.regexpFlags != "" {
		text = "(?" + q.regexpFlags + ":" + text + ")"
	}
	var err error
	if a.re2, err = syntax.Parse(text, syntax.Perl); err == nil {
		a.re, err = regexp.Compile(text)
	}
	if err != nil {
		return fmt.Errorf("field %.60q: %w (RE2 has neither look-around nor back-references)", q.field, err)
	}
	a.test = isRegexp
	return nil
}

// patterns is the default: text with wildcards, null, numbers, truth values.
func (c *compiler) patterns(q question, a atom, v scalar) ([]atom, error) {
	if v.null {
		if q.field == "" {
			return nil, fmt.Errorf("a keyword cannot be null")
		}
		a.test = isNull
		return []atom{a}, nil
	}
	values := []string{v.text}
	if v.raw != v.text && v.number {
		values = append(values, v.raw) // 0x10 may be written either way
	}
	var err error
	if q.expand {
		if values, err = c.placeholders(v.text); err != nil {
			return nil, fmt.Errorf("field %.60q: %w", q.field, err)
		}
	}
	encoded := len(q.transform) > 0
	for i := range values {
		if !encoded {
			break
		}
		p := parsePattern(values[i], false)
		plain, ok := p.literal()
		if !ok || p.head || p.tail {
			return nil, fmt.Errorf("field %.60q: wildcards cannot be encoded", q.field)
		}
		values[i] = plain
	}
	for _, t := range q.transform {
		if values, err = transform(t, values); err != nil {
			return nil, fmt.Errorf("field %.60q: %w", q.field, err)
		}
	}
	var out []atom
	for _, s := range values {
		var p pattern
		if encoded && s != "" {
			p.segments = []segment{{elem{text: s}}}
		} else if !encoded {
			p = parsePattern(s, q.windash)
		}
		if q.position == "contains" || q.position == "endswith" || q.field == "" {
			p.head = true
		}
		if q.position == "contains" || q.position == "startswith" || q.field == "" {
			p.tail = true
		}
		if !q.cased {
			p.fold()
		}
		a.pattern = p
		out = append(out, a)
	}
	return out, nil
}

// transform encodes what is searched for. Wildcards cannot pass an encoding.
func transform(how string, values []string) (out []string, err error) {
	for _, v := range values {
		switch how {
		case "wide", "utf16le":
			out = append(out, utf16Text(v, binary.LittleEndian, false))
		case "utf16be":
			out = append(out, utf16Text(v, binary.BigEndian, false))
		case "utf16":
			out = append(out, utf16Text(v, binary.LittleEndian, true))
		case "base64":
			out = append(out, base64.StdEncoding.EncodeToString([]byte(v)))
		case "base64offset":
			out = append(out, offsets(v)...)
		}
		if len(out) > maxExpanded {
			return nil, fmt.Errorf("a value becomes more than %d", maxExpanded)
		}
	}
	return out, nil
}

func utf16Text(s string, order binary.AppendByteOrder, mark bool) string {
	var out []byte
	if mark {
		out = order.AppendUint16(out, 0xfeff)
	}
	for _, u := range utf16.Encode([]rune(s)) {
		out = order.AppendUint16(out, u)
	}
	return string(out)
}

// offsets is what base64 of a text containing s contains, for the three places
// s can have in a group of three bytes; characters that depend on neighbours
// are left out.
func offsets(s string) (out []string) {
	for i := range 3 {
		e := base64.StdEncoding.EncodeToString(append(make([]byte, i), s...))
		start := [3]int{0, 2, 3}[i]
		end := len(e) - [3]int{0, 3, 2}[(len(s)+i)%3]
		if start < end {
			out = append(out, e[start:end])
		}
	}
	return out
}

// placeholders puts in what the operator has configured for %name%.
func (c *compiler) placeholders(s string) ([]string, error) {
	values := []string{s}
	for range 8 {
		var next []string
		changed := false
		for _, v := range values {
			i := strings.IndexByte(v, '%')
			j := -1
			if i >= 0 {
				j = strings.IndexByte(v[i+1:], '%')
			}
			if j < 0 {
				next = append(next, v)
				continue
			}
			name := v[i+1 : i+1+j]
			list := c.opts.Placeholders[name]
			if len(list) == 0 {
				return nil, fmt.Errorf("placeholder %%%.60s%% has no values here", name)
			}
			for _, with := range list {
				next = append(next, v[:i]+strings.ReplaceAll(with, "%", "\x00")+v[i+2+j:])
			}
			changed = true
		}
		if values = next; !changed {
			break
		}
		if len(values) > maxExpanded {
			return nil, fmt.Errorf("placeholders become more than %d values", maxExpanded)
		}
	}
	for i := range values {
		values[i] = strings.ReplaceAll(values[i], "\x00", "%")
	}
	return values, nil
}
