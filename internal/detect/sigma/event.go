package sigma

import (
	"encoding/binary"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"bartizan/internal/observe/jsonview"
)

// Logsource says where an event comes from, in the words of the Sigma
// specification; empty parts are not known.
type Logsource struct {
	Product  string `json:"product,omitempty"`
	Category string `json:"category,omitempty"`
	Service  string `json:"service,omitempty"`
}

// covers says whether a rule written for want applies to events of l: every
// part that the rule names is the event's.
func (l Logsource) covers(want Logsource) bool {
	return part(want.Product, l.Product) && part(want.Category, l.Category) && part(want.Service, l.Service)
}

func part(want, have string) bool { return want == "" || want == have }

func (l Logsource) lower() Logsource {
	return Logsource{strings.ToLower(l.Product), strings.ToLower(l.Category), strings.ToLower(l.Service)}
}

// Kind is the JSON type of a value.
type Kind uint8

// The kinds of value an event can hold.
const (
	Null Kind = iota
	Bool
	Number
	String
	Object // Text is its JSON
)

// Value is one value of an event. Text belongs to the event and is valid until
// the event is changed.
type Value struct {
	Kind Kind
	Text []byte
}

// Event is what rules are matched against. A field name that the event does
// not have yields no values; a list yields one value per element.
type Event interface {
	// Source is what the reader knows about the origin of the event. It may be
	// empty: the taxonomy then recognises the shape of the event.
	Source() Logsource
	// Field appends the values at p to dst.
	Field(p Path, dst []Value) []Value
	// Values appends every value of the event to dst, for keyword searches.
	Values(dst []Value) []Value
}

// Path is a field name taken apart once. Parts are separated by dots; a part
// "*" stands for every member of an object.
type Path = jsonview.Path

// NewPath takes a field name apart.
func NewPath(name string) Path { return jsonview.NewPath(name) }

// Pairs is an event of named values that is not a document: what a reader has
// already taken apart (an access log, an auth log).
type Pairs struct {
	From   Logsource
	At     time.Time // when it happened; zero: a field says it
	Fields []Pair
}

// Pair is one field of Pairs. A name may occur more than once.
type Pair struct{ Name, Value string }

// Source implements Event.
func (p *Pairs) Source() Logsource { return p.From }

// Field implements Event.
func (p *Pairs) Field(path Path, dst []Value) []Value {
	for i := range p.Fields {
		if p.Fields[i].Name == path.Name {
			dst = append(dst, Value{String, []byte(p.Fields[i].Value)})
		}
	}
	return dst
}

// Values implements Event.
func (p *Pairs) Values(dst []Value) []Value {
	for i := range p.Fields {
		dst = append(dst, Value{String, []byte(p.Fields[i].Value)})
	}
	return dst
}

// appendFold appends text with letter case removed: two texts are equal under
// Unicode simple folding (strings.EqualFold) exactly when their folds are the
// same bytes. Bytes that are not UTF-8 stay as they are.
func appendFold(dst, text []byte) []byte {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		x := binary.LittleEndian.Uint64(text[i:])
		if x&highs != 0 {
			break // not ASCII
		}
		// The high bit of a byte: at least 'A', and not above 'Z'.
		upper := (x + (0x80-'A')*ones) &^ (x + (0x7f-'Z')*ones) & highs
		dst = binary.LittleEndian.AppendUint64(dst, x|upper>>2) // 0x20 is the case of a letter
	}
	for i < len(text) {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n <= 1 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += max(n, 1)
	}
	return dst
}

// Eight bytes at a time.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// foldRune is the least member of a rune's folding orbit, in lower case when
// that is an ASCII letter (the Kelvin sign becomes k).
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

func fold(s string) string { return string(appendFold(nil, []byte(s))) }
