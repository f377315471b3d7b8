package sigma

import (
	"bytes"
	"fmt"
	"strconv"

	"bartizan/internal/observe/jsonview"

	"github.com/valyala/fastjson"
)

// MaxEvent is the longest event in bytes that a Document reads.
const MaxEvent = 4 << 20

// maxValues bounds the values one field or one keyword search looks at; an
// event that holds more is looked at up to there.
const maxValues = 4096

// Document is an event in JSON. Values are read where they are; nothing is
// built before an event needs it. It is used by one goroutine, and reused from
// event to event.
type Document struct {
	own    jsonview.Doc // of Parse
	wanted jsonview.Wanted
	view   *jsonview.Doc   // nil: root is all there is
	root   *fastjson.Value // nil: not parsed yet
	source Logsource
	buf    []byte
}

// Parse reads one JSON object. The document keeps no reference to text.
func (d *Document) Parse(text []byte, from Logsource) error {
	d.view, d.root = nil, nil
	if len(text) > MaxEvent {
		return fmt.Errorf("parse event: %d bytes, at most %d", len(text), MaxEvent)
	}
	if err := d.own.Read(text, &d.wanted); err != nil {
		return fmt.Errorf("parse event: %w", err)
	}
	d.Look(&d.own, from)
	return nil
}

// Look makes the document one that was read elsewhere. v must stay valid while
// it is used.
func (d *Document) Look(v *jsonview.Doc, from Logsource) {
	d.view, d.root, d.source, d.buf = v, nil, from, d.buf[:0]
}

// Set makes the document an object that was parsed elsewhere, such as one
// element of CloudTrail's Records. v must stay valid while it is used.
func (d *Document) Set(v *fastjson.Value, from Logsource) {
	d.view, d.root, d.source, d.buf = nil, v, from, d.buf[:0]
}

// full is the parsed object.
func (d *Document) full() *fastjson.Value {
	if d.root == nil && d.view != nil {
		d.root = d.view.JSON()
	}
	return d.root
}

// Source implements Event.
func (d *Document) Source() Logsource { return d.source }

// Field implements Event. A name with dots is first looked up as it stands,
// because exporters flatten documents.
func (d *Document) Field(p Path, dst []Value) []Value {
	if d.view != nil {
		text, found := d.view.Find(&p)
		switch found {
		case jsonview.Absent:
			return dst
		case jsonview.Null:
			return append(dst, Value{Kind: Null})
		case jsonview.True, jsonview.False:
			return append(dst, Value{Bool, text})
		case jsonview.Number:
			return append(dst, Value{Number, text})
		case jsonview.String:
			return append(dst, Value{String, text})
		}
	}
	root := d.full()
	if root == nil {
		return dst
	}
	if len(p.Parts) > 1 {
		if v := root.Get(p.Name); v != nil {
			return d.add(v, dst)
		}
	}
	return d.walk(root, p.Parts, dst)
}

func (d *Document) walk(v *fastjson.Value, parts []string, dst []Value) []Value {
	for i, name := range parts {
		switch {
		case v.Type() == fastjson.TypeArray:
			for _, e := range v.GetArray() {
				if e.Type() == fastjson.TypeObject && len(dst) < maxValues {
					dst = d.walk(e, parts[i:], dst)
				}
			}
			return dst
		case name == "*":
			if o := v.GetObject(); o != nil {
				rest := parts[i+1:]
				o.Visit(func(_ []byte, e *fastjson.Value) {
					if len(dst) < maxValues {
						dst = d.walk(e, rest, dst)
					}
				})
			}
			return dst
		}
		if v = v.Get(name); v == nil {
			return dst
		}
	}
	return d.add(v, dst)
}

// add appends a value, or the elements of a list.
func (d *Document) add(v *fastjson.Value, dst []Value) []Value {
	if len(dst) >= maxValues {
		return dst
	}
	switch v.Type() {
	case fastjson.TypeNull:
		return append(dst, Value{Kind: Null})
	case fastjson.TypeTrue:
		return append(dst, Value{Bool, []byte("true")})
	case fastjson.TypeFalse:
		return append(dst, Value{Bool, []byte("false")})
	case fastjson.TypeString:
		return append(dst, Value{String, v.GetStringBytes()})
	case fastjson.TypeNumber:
		return append(dst, Value{Number, d.number(v)})
	case fastjson.TypeArray:
		for _, e := range v.GetArray() {
			dst = d.add(e, dst)
		}
		return dst
	}
	return append(dst, Value{Object, d.marshal(v)})
}

func (d *Document) marshal(v *fastjson.Value) []byte {
	at := len(d.buf)
	d.buf = v.MarshalTo(d.buf)
	return d.buf[at:len(d.buf):len(d.buf)]
}

// number is the text of a number: 7.0 and 7e0 are 7, as in a rule.
func (d *Document) number(v *fastjson.Value) []byte {
	text := d.marshal(v)
	if bytes.ContainsAny(text, ".eE") {
		return []byte(canonicalNumber(string(text)))
	}
	return text
}

// Values implements Event.
func (d *Document) Values(dst []Value) []Value {
	root := d.full()
	if root == nil {
		return dst
	}
	return d.leaves(root, dst)
}

func (d *Document) leaves(v *fastjson.Value, dst []Value) []Value {
	if len(dst) >= maxValues {
		return dst
	}
	switch v.Type() {
	case fastjson.TypeObject:
		v.GetObject().Visit(func(_ []byte, e *fastjson.Value) { dst = d.leaves(e, dst) })
		return dst
	case fastjson.TypeArray:
		for _, e := range v.GetArray() {
			dst = d.leaves(e, dst)
		}
		return dst
	}
	return d.add(v, dst)
}

// canonicalNumber writes a decimal number without exponent and without a
// fraction of zeros; other text is returned as it is.
func canonicalNumber(s string) string {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1e15 && f < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return s
}
