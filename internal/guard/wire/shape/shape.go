// Package shape describes bodies of model APIs as data, so that a format is a
// table and one reader walks them all: what stands where, and what it is. What
// the table does not name is listed as unknown, and its raw text is a part all
// the same, so that a policy which lets unknown things pass still has them
// inspected.
package shape

import (
	"strings"

	"bartizan/internal/guard/wire"
)

// Shape says what may stand at one place. It is built once and not changed after.
type Shape struct {
	leaf  leaf
	kind  wire.Kind
	as    string // name in the channel; "": the key
	whole bool
	count func(*wire.Usage) *int64

	fields  map[string]*Shape
	each    *Shape // under any key
	item    *Shape // of an array
	by      string // this key says which of cases it is
	cases   map[string]*Shape
	ident   []string // keys whose values tell channels apart
	zero    bool     // a missing one of them is 0
	fresh   bool     // channels of its own in each event
	label   string   // before an array's index, which then tells channels apart
	name    string   // key of the tool's name
	mime    string   // key of the MIME type
	last    bool     // ends a stream
	alias   bool     // some_key is someKey
	must    string   // key without which the body is another's
	nothing bool     // any value, without text
	formed  bool     // what a schema of the request is about
	asks    asked    // a schema that a request names
}

// asked says what a schema is about.
type asked uint8

const (
	reply asked = 1 << iota
	arguments
	openAPI // beside one of the others
)

type leaf uint8

const (
	none leaf = iota
	text
	meta
	opaque
	media
	model
	others
	user
	stream
	limit
	number
	raw
	spec
	odds
	done
	words
)

// Text is a string that people or models wrote.
func Text(k wire.Kind) *Shape { return &Shape{leaf: text, kind: k} }

// Meta is a number, a boolean or a word: no blanks, at most 256 bytes of ASCII.
// Anything longer is unknown, because it could be prose.
func Meta() *Shape { return &Shape{leaf: meta} }

// Opaque is base64 of any length that only the provider understands.
func Opaque() *Shape { return &Shape{leaf: opaque} }

// Media is a data URL, another URL, or base64 beside a MIME type.
func Media() *Shape { return &Shape{leaf: media, kind: wire.Media} }

// JSON is any value, as one part: a string as what it says, anything else as it stands.
func JSON(k wire.Kind) *Shape { return &Shape{leaf: raw, kind: k} }

// Spec is a JSON schema: its sentences are parts, its words one part together.
func Spec() *Shape { return Leaves(wire.ToolSpec) }

// Leaves is any value: its sentences are parts, its words one part together.
func Leaves(k wire.Kind) *Shape { return &Shape{leaf: spec, kind: k} }

// Words is any value of nothing but words (as Meta): its sentences are parts all the same.
func Words(k wire.Kind) *Shape { return &Shape{leaf: words, kind: k} }

// Odds are log probabilities: the tokens are one part, the alternatives another.
func Odds() *Shape { return &Shape{leaf: odds, kind: wire.Answer} }

// Model is the model's name, Others that of one that may take its place, User the end user's.
func Model() *Shape  { return &Shape{leaf: model} }
func Others() *Shape { return &Shape{leaf: others} }

// User is the name of the end user; it may be any text.
func User() *Shape { return &Shape{leaf: user, kind: wire.Label} }

// Streams is the switch that asks for a stream.
func Streams() *Shape { return &Shape{leaf: stream} }

// Done is the switch that is true in the last event.
func Done() *Shape { return &Shape{leaf: done} }

// Limit is the most tokens that are asked for.
func Limit() *Shape { return &Shape{leaf: limit} }

// Count is a number of the usage.
func Count(of func(*wire.Usage) *int64) *Shape { return &Shape{leaf: number, count: of} }

// Nothing is a value of any shape in which nobody wrote.
func Nothing() *Shape { return &Shape{nothing: true} }

// Fields of an object.
type Fields = map[string]*Shape

// Object has these fields and no others; any may be missing or null.
func Object(f Fields) *Shape { return &Shape{fields: f} }

// Map has values under any keys.
func Map(each *Shape) *Shape { return &Shape{each: each} }

// Open is an object with these fields and others, whose sentences are parts of the kind k.
func Open(k wire.Kind, f Fields) *Shape { return &Shape{fields: f, each: Leaves(k)} }

// List is an array.
func List(item *Shape) *Shape { return &Shape{item: item} }

// By is an object that is one of several; "" is the case without the key, "*" any
// other word; "true" and "false" are also those of a boolean.
func By(key string, cases map[string]*Shape) *Shape { return &Shape{by: key, cases: cases} }

// Else is a By shape whose objects without the key are another's.
func Else(by, other *Shape) *Shape {
	out := *by
	out.cases = With(by.cases, Fields{"": other})
	return &out
}

// Or takes shapes of different JSON types together: a string or a list, say.
func Or(shapes ...*Shape) *Shape {
	out := &Shape{}
	for _, s := range shapes {
		if s.leaf != none {
			out.leaf, out.kind, out.as, out.whole, out.count = s.leaf, s.kind, s.as, s.whole, s.count
			out.formed, out.asks = s.formed, s.asks
		}
		if s.item != nil {
			out.item, out.label = s.item, s.label
		}
		if s.fields != nil || s.each != nil || s.by != "" {
			out.fields, out.each, out.by, out.cases = s.fields, s.each, s.by, s.cases
			out.ident, out.zero, out.fresh, out.name, out.mime = s.ident, s.zero, s.fresh, s.name, s.mime
			out.last, out.alias, out.must = s.last, s.alias, s.must
		}
	}
	return out
}

// With is fields and more fields.
func With(all ...Fields) Fields {
	out := Fields{}
	for _, f := range all {
		for k, s := range f {
			out[k] = s
		}
	}
	return out
}

// Metas is fields of numbers, booleans and words; keys are separated by blanks.
func Metas(keys string) Fields {
	out := Fields{}
	for _, k := range strings.Fields(keys) {
		out[k] = Meta()
	}
	return out
}

// Said is the message of a refusal with its record.
func Said(r wire.Refusal) string {
	if r.ID == "" {
		return r.Message
	}
	return r.Message + " (record " + r.ID + ")"
}

// As names the text's channel within its object.
func (s *Shape) As(name string) *Shape { s.as = name; return s }

// Whole says that in a stream the text is all of its channel and continues nothing.
func (s *Shape) Whole() *Shape {
	s.whole = true
	if s.each != nil {
		s.each.whole = true
	}
	return s
}

// Formed says that the text is an answer itself, or the arguments of a call.
func (s *Shape) Formed() *Shape { s.formed = true; return s }

// FormedIn says it of the text of a field.
func (s *Shape) FormedIn(key string) *Shape { s.fields[key].formed = true; return s }

// OfAnswer says that a request names the schema that its answer must have.
func (s *Shape) OfAnswer() *Shape { s.asks |= reply; return s }

// OfCall says that it is the schema of the arguments of the tool that the object names.
func (s *Shape) OfCall() *Shape { s.asks |= arguments; return s }

// OpenAPI says that the schema is written as OpenAPI 3.0 has it.
func (s *Shape) OpenAPI() *Shape { s.asks |= openAPI; return s }

// Ident names the keys whose values tell this object's channels from its siblings'.
func (s *Shape) Ident(keys ...string) *Shape { s.ident = keys; return s }

// OrZero says that APIs leave out the Ident keys where they are 0.
func (s *Shape) OrZero() *Shape { s.zero = true; return s }

// Fresh says that in a stream every such object is a whole: it has channels of its own.
func (s *Shape) Fresh() *Shape { s.fresh = true; return s }

// Snake lets keys be written some_key instead of someKey, here and in all shapes
// below, as protocol buffers do, but not both in one object.
func (s *Shape) Snake() *Shape { s.snake(map[*Shape]bool{}); return s }

func (s *Shape) snake(seen map[*Shape]bool) {
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	if s.fields != nil {
		s.alias = true
		both := With(s.fields)
		for k, f := range s.fields {
			both[snake(k)] = f
			f.snake(seen)
		}
		s.fields = both
	}
	for _, c := range s.cases {
		c.snake(seen)
	}
	s.each.snake(seen)
	s.item.snake(seen)
}

// snake is someKey as some_key.
func snake(k string) string {
	var b strings.Builder
	for _, c := range k {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Indexed lets the index tell channels apart.
func (s *Shape) Indexed(label string) *Shape { s.label = label; return s }

// Named says which key has the name of the tool that everything in the object belongs to.
func (s *Shape) Named(key string) *Shape { s.name = key; return s }

// Typed says which key has the MIME type of the media in the object.
func (s *Shape) Typed(key string) *Shape { s.mime = key; return s }

// Last says that the answer is complete with the event in which this stands.
func (s *Shape) Last() *Shape { s.last = true; return s }

// Must names a key without which the body is not this shape at all.
func (s *Shape) Must(key string) *Shape { s.must = key; return s }

// Usage fields.
func Input(u *wire.Usage) *int64      { return &u.Input }
func Output(u *wire.Usage) *int64     { return &u.Output }
func CacheRead(u *wire.Usage) *int64  { return &u.CacheRead }
func CacheWrite(u *wire.Usage) *int64 { return &u.CacheWrite }
func Reasoning(u *wire.Usage) *int64  { return &u.Reasoning }

// strange is the kind of what is not understood, by the body's direction.
func strange(answer bool) wire.Kind {
	if answer {
		return wire.Answer
	}
	return wire.Prompt
}
