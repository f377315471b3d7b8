// Package tape reads JSON into a flat list of values with their places in the
// text. It takes only what every parser reads in the same way: one value of RFC
// 8259 in valid UTF-8, without a byte order mark, without half of a surrogate
// pair, without a key twice in one object (keys that differ in case are the same
// to some parsers, so here too), not too deep and without numbers that do not fit.
package tape

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Limits of one text.
const (
	MaxDepth  = 100
	MaxValues = 1 << 20 // values and keys; an array of numbers is one
	maxNumber = 64      // bytes of one
)

// Kind of a value.
type Kind uint8

// Kinds. Numbers is an array of nothing but numbers.
const (
	Object Kind = iota + 1
	Array
	Numbers
	String
	Number
	True
	False
	Null
)

// Node is one value, or a key, which is a String. Children follow their parent;
// those of an object are keys and values in turn.
type Node struct {
	From, To int32 // bytes of the value, a string's with its quotes
	Next     int32 // index of what follows the value and all in it
	Kind     Kind
	Escaped  bool // a string with escapes
}

// Tape is a text that was read. It is used by one goroutine and can be used again.
type Tape struct {
	Text  []byte
	Nodes []Node
	keys  []uint64 // hashes of the keys of the objects that are open
}

// Error says what is wrong, without quoting the text.
type Error struct {
	At  int // byte
	Why string
}

func (e *Error) Error() string { return fmt.Sprintf("JSON, byte %d: %s", e.At, e.Why) }

// Read reads text, which the tape keeps a hold of. The error is an *Error.
func (t *Tape) Read(text []byte) error {
	t.Text, t.Nodes, t.keys = text, t.Nodes[:0], t.keys[:0]
	if len(text) > 1<<30 {
		return &Error{0, "too long"}
	}
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		return &Error{0, "a byte order mark, which some parsers skip and others refuse"}
	}
	i, err := t.value(t.blank(0), 0)
	if err != nil {
		return err
	}
	if i = t.blank(i); i != len(text) {
		return &Error{i, "something follows the value"}
	}
	return nil
}

func (t *Tape) blank(i int) int {
	for i < len(t.Text) && (t.Text[i] == ' ' || t.Text[i] == '\n' || t.Text[i] == '\t' || t.Text[i] == '\r') {
		i++
	}
	return i
}

func (t *Tape) add(k Kind, from, to int) {
	t.Nodes = append(t.Nodes, Node{From: int32(from), To: int32(to), Next: int32(len(t.Nodes) + 1), Kind: k})
}

// value reads the value at i and returns where it ends.
func (t *Tape) value(i, depth int) (int, error) {
	if i >= len(t.Text) {
		return i, &Error{i, "the text ends where a value should be"}
	}
	if len(t.Nodes) >= MaxValues {
		return i, &Error{i, "too many values"}
	}
	switch c := t.Text[i]; {
	case c == '"':
		return t.str(i, false)
	case c == '{' || c == '[':
		if depth >= MaxDepth {
			return i, &Error{i, "too deep"}
		}
		at := len(t.Nodes)
		var err error
		if c == '{' {
			t.add(Object, i, i)
			i, err = t.object(i+1, depth+1)
		} else if end := t.numbers(i); end > 0 {
			t.add(Numbers, i, end)
			return end, nil
		} else {
			t.add(Array, i, i)
			i, err = t.array(i+1, depth+1)
		}
		t.Nodes[at].To, t.Nodes[at].Next = int32(i), int32(len(t.Nodes))
		return i, err
	case c == '-' || c >= '0' && c <= '9':
		end, err := t.number(i)
		t.add(Number, i, end)
		return end, err
	}
	for _, w := range []struct {
		word string
		kind Kind
	}{{"true", True}, {"false", False}, {"null", Null}} {
		if end := i + len(w.word); end <= len(t.Text) && string(t.Text[i:end]) == w.word {
			t.add(w.kind, i, end)
			return end, nil
		}
	}
	return i, &Error{i, "no value"}
}

func (t *Tape) array(i, depth int) (int, error) {
	if i = t.blank(i); i < len(t.Text) && t.Text[i] == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if i, err = t.value(i, depth); err != nil {
			return i, err
		}
		if i = t.blank(i); i >= len(t.Text) {
			return i, &Error{i, "an array does not end"}
		}
		switch t.Text[i] {
		case ',':
			i = t.blank(i + 1)
		case ']':
			return i + 1, nil
		default:
			return i, &Error{i, "no comma in an array"}
		}
	}
}

func (t *Tape) object(i, depth int) (int, error) {
	first := len(t.keys)
	if i = t.blank(i); i < len(t.Text) && t.Text[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(t.Text) || t.Text[i] != '"' {
			return i, &Error{i, "no key in an object"}
		}
		var err error
		if i, err = t.str(i, true); err != nil {
			return i, err
		}
		if i = t.blank(i); i >= len(t.Text) || t.Text[i] != ':' {
			return i, &Error{i, "no colon after a key"}
		}
		if i, err = t.value(t.blank(i+1), depth); err != nil {
			return i, err
		}
		if i = t.blank(i); i >= len(t.Text) {
			return i, &Error{i, "an object does not end"}
		}
		switch t.Text[i] {
		case ',':
			i = t.blank(i + 1)
			continue
		case '}':
			if twice(t.keys[first:]) {
				return i, &Error{i, "a key is twice in the object that ends here, maybe in another case; parsers take different ones"}
			}
			t.keys = t.keys[:first]
			return i + 1, nil
		}
		return i, &Error{i, "no comma in an object"}
	}
}

// twice says whether a hash is there twice; it may sort them.
func twice(keys []uint64) bool {
	if len(keys) > 16 {
		slices.Sort(keys)
		for i := 1; i < len(keys); i++ {
			if keys[i] == keys[i-1] {
				return true
			}
		}
		return false
	}
	for i := 1; i < len(keys); i++ {
		if slices.Contains(keys[:i], keys[i]) {
			return true
		}
	}
	return false
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// ends marks quotes, backslashes and control characters of eight bytes; the lowest mark is exact.
func ends(x uint64) uint64 {
	q, s := x^'"'*ones, x^'\\'*ones
	return ((q-ones)&^q | (s-ones)&^s | (x-' '*ones)&^x) & highs
}

// str reads the string at i, a key or not.
func (t *Tape) str(from int, key bool) (int, error) {
	b, i := t.Text, from+1
	high, escaped := uint64(0), false
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			high |= x
			if m := ends(x); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			high |= uint64(b[i])
			i++
		}
		if i >= len(b) {
			return i, &Error{from, "a string does not end"}
		}
		if b[i] == '"' {
			break
		}
		if b[i] < ' ' {
			return i, &Error{i, "a control character in a string"}
		}
		n, why := escape(b[i:])
		if why != "" {
			return i, &Error{i, why}
		}
		i, escaped = i+n, true
	}
	if high&highs != 0 && !utf8.Valid(b[from+1:i]) {
		return i, &Error{from, "a string is not valid UTF-8"}
	}
	t.add(String, from, i+1)
	t.Nodes[len(t.Nodes)-1].Escaped = escaped
	if key {
		h, err := t.hash(len(t.Nodes) - 1)
		if err != nil {
			return i, err
		}
		t.keys = append(t.keys, h)
	}
	return i + 1, nil
}

// number checks the number at i and returns where it ends.
func (t *Tape) number(from int) (int, error) {
	b, i := t.Text, from
	digits := func() bool {
		start := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if b[i] == '-' {
		i++
	}
	zero := i < len(b) && b[i] == '0'
	start := i
	ok := digits() && (!zero || i == start+1)
	whole := true
	if ok && i < len(b) && b[i] == '.' {
		i++
		ok, whole = digits(), false
	}
	if ok && i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		ok, whole = digits(), false
	}
	switch {
	case !ok:
		return from, &Error{from, "no number"}
	case i-from > maxNumber:
		return from, &Error{from, "a number that is too long"}
	case whole && i-start <= 18:
		return i, nil
	}
	// What does not fit is read by some parsers as another number and refused by others.
	s := string(b[from:i])
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return from, &Error{from, "a number that does not fit"}
	}
	if whole {
		if _, err := strconv.ParseInt(s, 10, 64); err != nil {
			return from, &Error{from, "a number that does not fit"}
		}
	}
	return i, nil
}

// numbers returns the end of the array at i when it has nothing but numbers, else 0.
func (t *Tape) numbers(i int) int {
	for i = t.blank(i + 1); ; i = t.blank(i + 1) {
		if i >= len(t.Text) || t.Text[i] != '-' && (t.Text[i] < '0' || t.Text[i] > '9') {
			return 0
		}
		end, err := t.number(i)
		if err != nil {
			return 0
		}
		if i = t.blank(end); i >= len(t.Text) {
			return 0
		}
		if t.Text[i] == ']' {
			return i + 1
		}
		if t.Text[i] != ',' {
			return 0
		}
	}
}
