package document

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"
)

// zeekDecoder reads Zeek's logs as text or as JSON. A record of text is written
// as the JSON that Zeek would have written (docs.zeek.org, "Zeek log formats
// and inspection"), so that rules and everything else see one form.
type zeekDecoder struct {
	format
	sep, setSep, empty, unset string

	path   string
	fields []zeekField
	out    []byte
}

// zeekField is a column: its name as a key of JSON, and how it is written.
type zeekField struct {
	key  string // `"uid":`
	kind zeekKind
}

type zeekKind uint8

const (
	zeekGuess  zeekKind = iota // no #types line
	zeekText                   // in quotes
	zeekNumber                 // as it is
	zeekBool                   // T or F
	zeekList                   // of texts
	zeekNumbers
)

// maxZeekFields is more than any of Zeek's logs has.
const maxZeekFields = 512

// Errors of a record.
var (
	errZeekFields = errors.New("number of fields does not match the #fields line")
	errZeekHeader = errors.New("a #fields line with no field, or too many")
	errZeekNumber = errors.New("a number is none")
)

func newZeekDecoder(f format) *zeekDecoder {
	return &zeekDecoder{format: f, sep: "\t", setSep: ",", empty: "(empty)", unset: "-"}
}

// Decode implements source.Decoder.
func (d *zeekDecoder) Decode(record []byte, at uint64, b *observe.LogBatch) error {
	switch {
	case record[0] == '{':
		return d.format.Decode(record, at, b)
	case record[0] == '#':
		return d.directive(string(record[:min(len(record), 64<<10)]))
	case len(d.fields) == 0:
		return source.ErrFormat
	}
	if err := d.object(string(record)); err != nil {
		return err
	}
	if err := d.format.Decode(d.out, at, b); err != nil {
		return err
	}
	b.Documents[len(b.Documents)-1].Service = d.path
	return nil
}

// directive reads a line of the header.
func (d *zeekDecoder) directive(line string) error {
	if s, ok := strings.CutPrefix(line, "#separator "); ok {
		if s = zeekUnescape(s); s == "" || len(s) > 8 {
			return source.ErrFormat
		}
		*d = *newZeekDecoder(d.format)
		d.sep = s
		return source.ErrHeader
	}
	name, rest, _ := strings.Cut(line, d.sep)
	switch name {
	case "#set_separator":
		d.setSep = rest
	case "#empty_field":
		d.empty = rest
	case "#unset_field":
		d.unset = rest
	case "#path":
		d.path = rest[:min(len(rest), 64)]
	case "#open", "#close":
	case "#fields":
		names := strings.Split(rest, d.sep)
		if rest == "" || len(names) > maxZeekFields {
			return errZeekHeader
		}
		d.fields = d.fields[:0]
		for _, n := range names {
			d.fields = append(d.fields, zeekField{key: string(append(appendJSON(nil, n), ':'))})
		}
	case "#types":
		for i, t := range strings.Split(rest, d.sep) {
			if i < len(d.fields) {
				d.fields[i].kind = zeekKindOf(t)
			}
		}
	default:
		return source.ErrFormat
	}
	return source.ErrHeader
}

func zeekKindOf(t string) zeekKind {
	inner, list := strings.CutPrefix(strings.TrimSuffix(t, "]"), "set[")
	if !list {
		inner, list = strings.CutPrefix(strings.TrimSuffix(t, "]"), "vector[")
	}
	k := zeekText
	switch inner {
	case "time", "interval", "double", "count", "int", "port":
		k = zeekNumber
	case "bool":
		k = zeekBool
	}
	switch {
	case list && k == zeekNumber:
		return zeekNumbers
	case list:
		return zeekList
	}
	return k
}

// object writes a record as JSON to d.out. Fields that are not set are left out.
func (d *zeekDecoder) object(s string) error {
	out, more, first := append(d.out[:0], '{'), true, true
	for _, f := range d.fields {
		if !more {
			return errZeekFields
		}
		var v string
		if v, s, more = strings.Cut(s, d.sep); v == d.unset {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		var err error
		if out, err = d.value(append(out, f.key...), f.kind, v); err != nil {
			return err
		}
	}
	if more {
		return errZeekFields
	}
	d.out = append(out, '}')
	return nil
}

func (d *zeekDecoder) value(out []byte, k zeekKind, v string) ([]byte, error) {
	switch k {
	case zeekNumber:
		if !number(v) {
			return out, errZeekNumber
		}
		return append(out, v...), nil
	case zeekBool:
		return strconv.AppendBool(out, v == "T"), nil
	case zeekList, zeekNumbers:
		out = append(out, '[')
		for i := 0; v != d.empty && i >= 0; i++ {
			item, rest, more := strings.Cut(v, d.setSep)
			if i > 0 {
				out = append(out, ',')
			}
			switch {
			case item == d.unset:
				out = append(out, "null"...)
			case k == zeekNumbers && !number(item):
				return out, errZeekNumber
			case k == zeekNumbers:
				out = append(out, item...)
			default:
				out = appendJSON(out, zeekUnescape(item))
			}
			if v = rest; !more {
				break
			}
		}
		return append(out, ']'), nil
	case zeekGuess:
		if number(v) {
			return append(out, v...), nil
		}
	case zeekText:
	}
	if v == d.empty {
		v = ""
	}
	return appendJSON(out, zeekUnescape(v)), nil
}

// number reports whether a text is a number of JSON (RFC 8259 §6).
func number(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	if len(s) > 40 {
		return false
	}
	s = strings.TrimPrefix(s, "-")
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' || !digits() {
		return false
	}
	if rest, ok := strings.CutPrefix(s, "."); ok {
		if s = rest; !digits() {
			return false
		}
	}
	if s != "" && s[0]|0x20 == 'e' {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// zeekUnescape undoes \xHH, by which Zeek writes separators and bytes that are
// no text.
func zeekUnescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' && text.Hex(s[i+2]) < 16 && text.Hex(s[i+3]) < 16 {
			b = append(b, text.Hex(s[i+2])<<4|text.Hex(s[i+3]))
			i += 3
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// appendJSON appends a text as a string of JSON; what is no UTF-8 becomes U+FFFD.
func appendJSON(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
