package tape

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// escape returns the length of the escape sequence b begins with, a surrogate pair as one.
func escape(b []byte) (n int, why string) {
	const bad = "an escape that is none"
	if len(b) < 2 {
		return 0, bad
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
	default:
		return 0, bad
	}
	switch r := hex(b); {
	case r < 0:
		return 0, bad
	case r >= 0xd800 && r < 0xdc00:
		if low := hex(b[6:]); low >= 0xdc00 && low < 0xe000 {
			return 12, ""
		}
		return 0, "half of a surrogate pair"
	case r >= 0xdc00 && r < 0xe000:
		return 0, "half of a surrogate pair"
	}
	return 6, ""
}

// hex is the code of the \uNNNN that b begins with; -1 when it does not.
func hex(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	r := rune(0)
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return -1
		}
	}
	return r
}

// hash of a key without regard to case.
func (t *Tape) hash(n int) (uint64, error) {
	node := t.Nodes[n]
	raw := t.Text[node.From+1 : node.To-1]
	plain := !node.Escaped
	for _, c := range raw {
		plain = plain && c < 0x80
	}
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	if plain {
		for _, c := range raw {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			h = (h ^ uint64(c)) * prime
		}
		return h, nil
	}
	s := t.String(n)
	if strings.IndexByte(s, 0) >= 0 {
		return 0, &Error{int(node.From), "a key with a zero byte, where some parsers end it"}
	}
	for _, c := range []byte(Fold(s)) {
		h = (h ^ uint64(c)) * prime
	}
	return h, nil
}

// Fold is a key as the most forgiving parser compares it: in lower case, with
// the two letters that Unicode folds into ASCII.
func Fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case 'ſ':
			return 's'
		case '\u212a': // the sign of Kelvin
			return 'k'
		}
		return r
	}, strings.ToLower(s))
}

// Raw is the text of a value as it stands, valid as long as the text.
func (t *Tape) Raw(n int) []byte { return t.Text[t.Nodes[n].From:t.Nodes[n].To] }

// String is what a string says.
func (t *Tape) String(n int) string {
	node := &t.Nodes[n]
	raw := t.Text[node.From+1 : node.To-1]
	if !node.Escaped {
		return string(raw)
	}
	return string(t.Bytes(n))
}

// Bytes is what a string says, maybe a piece of the text itself: it is not to be changed.
func (t *Tape) Bytes(n int) []byte {
	node := &t.Nodes[n]
	raw := t.Text[node.From+1 : node.To-1]
	if !node.Escaped {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(out, raw...)
		}
		out = append(out, raw[:i]...)
		raw = raw[i:]
		r := hex(raw)
		switch {
		case r >= 0xd800 && r < 0xdc00:
			out = utf8.AppendRune(out, (r-0xd800)<<10|(hex(raw[6:])-0xdc00)+0x10000)
			raw = raw[12:]
		case r >= 0:
			out = utf8.AppendRune(out, r)
			raw = raw[6:]
		default:
			c := raw[1]
			if at := strings.IndexByte("bfnrt", c); at >= 0 {
				c = "\b\f\n\r\t"[at]
			}
			out = append(out, c)
			raw = raw[2:]
		}
	}
}

// Get is the value of a key of an object; -1 when there is none.
func (t *Tape) Get(object int, key string) int {
	if t.Nodes[object].Kind != Object {
		return -1
	}
	for k := object + 1; k < int(t.Nodes[object].Next); k = int(t.Nodes[k+1].Next) {
		if string(t.Bytes(k)) == key {
			return k + 1
		}
	}
	return -1
}

// Int is a whole number; ok is false when the value is none.
func (t *Tape) Int(n int) (v int64, ok bool) {
	if t.Nodes[n].Kind != Number {
		return 0, false
	}
	v, err := strconv.ParseInt(string(t.Raw(n)), 10, 64)
	return v, err == nil
}
