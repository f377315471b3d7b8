package shape

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/tape"
)

// Limits of what is told about one body.
const (
	maxUnknown = 100     // more is no body of the format
	maxParts   = 1 << 16 // more cannot be inspected in any time worth waiting
	maxWhere   = 512     // bytes of a pointer
	maxWord    = 256
	maxNames   = 1000 // tools of one stream whose names are remembered
)

// Reader walks bodies. It is used by one goroutine and can be used again.
type Reader struct {
	tape    tape.Tape
	msg     *wire.Message
	answer  bool
	streams bool   // parts are deltas
	shift   int    // of the tape's text in the event
	event   int    // how many there were before
	named   string // type that the framing gives the event
	asks    bool   // a request that does not say so asks for a stream
	deltas  []wire.Delta
	last    bool
	names   map[string]string // channel → tool, of what was named earlier in the stream

	where   []byte
	channel []byte
	name    string
	mime    string
	err     error
}

// Body reads a whole body. The error is a *wire.Unknown.
func (r *Reader) Body(s *Shape, body []byte, answer bool) (*wire.Message, error) {
	r.answer, r.streams, r.shift, r.event = answer, false, 0, 0
	return r.read(s, body)
}

func (r *Reader) read(s *Shape, body []byte) (*wire.Message, error) {
	r.msg = &wire.Message{Stream: r.asks}
	r.deltas, r.last, r.err = nil, false, nil
	r.where, r.channel, r.name, r.mime = r.where[:0], r.channel[:0], "", ""
	if err := r.tape.Read(body); err != nil {
		return nil, &wire.Unknown{What: err.Error()}
	}
	if s.must != "" && r.tape.Get(0, s.must) < 0 {
		return nil, &wire.Unknown{What: fmt.Sprintf("a body without %q", s.must)}
	}
	r.checkName()
	r.value(s, 0)
	if len(r.tape.Nodes) > 0 && r.tape.Nodes[0].Kind == tape.Null {
		r.unknown(0)
	}
	msg := r.msg
	r.msg, r.tape.Text = nil, nil // what was read is not kept
	if r.err != nil {
		return nil, r.err
	}
	return msg, nil
}

// checkName: clients dispatch on the frame's name of an event or on the body's, so both must be the same.
func (r *Reader) checkName() {
	if r.named == "" {
		return
	}
	v := r.tape.Get(0, "type")
	switch {
	case v >= 0 && r.tape.Nodes[v].Kind == tape.String:
		if string(r.tape.Bytes(v)) != r.named {
			r.fail("an event named %.50q of another type", r.named)
		}
	case r.named != "error" && r.named != "message":
		r.fail("an event named %.50q without a type", r.named)
	}
}

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &wire.Unknown{What: fmt.Sprintf(format, args...)}
	}
}

// pointer is where the reader stands.
func (r *Reader) pointer() string {
	if len(r.where) > maxWhere {
		return string(bytes.ToValidUTF8(r.where[:maxWhere], nil)) + "…"
	}
	return string(r.where)
}

// unknown lists a value and makes its text a part as it stands.
func (r *Reader) unknown(n int) { r.strange(n, int(r.tape.Nodes[n].From)) }

func (r *Reader) strange(n, from int) {
	if r.msg.Unknown = append(r.msg.Unknown, r.pointer()); len(r.msg.Unknown) > maxUnknown {
		r.fail("more than %d things that are not known", maxUnknown)
		return
	}
	switch r.tape.Nodes[n].Kind {
	case tape.Number, tape.True, tape.False, tape.Null, tape.Numbers:
		if from == int(r.tape.Nodes[n].From) {
			return
		}
	}
	p := wire.Part{Kind: strange(r.answer), Text: string(r.tape.Text[from:r.tape.Nodes[n].To])}
	if from == int(r.tape.Nodes[n].From) && r.tape.Nodes[n].Kind == tape.String {
		p.Text, p.Span = r.tape.String(n), r.span(n)
	}
	r.emit(p, "unknown"+string(r.where), false)
}

func (r *Reader) span(n int) wire.Span {
	return wire.Span{From: int(r.tape.Nodes[n].From) + r.shift, To: int(r.tape.Nodes[n].To) + r.shift}
}

// emit adds a part. In a stream as is the last piece of its channel.
func (r *Reader) emit(p wire.Part, as string, whole bool) {
	p.Where, p.Name = r.pointer(), r.name
	if len(r.msg.Parts)+len(r.deltas) >= maxParts {
		r.fail("more than %d pieces of text", maxParts)
		return
	}
	if !r.streams {
		if p.Text != "" || p.Kind == wire.Media || p.Kind == wire.ToolCall {
			r.msg.Parts = append(r.msg.Parts, p)
		}
		return
	}
	if p.Text == "" && p.Kind != wire.Media {
		return
	}
	if as == "" {
		as = string(r.where[bytes.LastIndexByte(r.where, '/')+1:])
	}
	r.deltas = append(r.deltas, wire.Delta{Channel: string(r.channel) + as, Part: p, Whole: whole})
}

// value reads what stands at n.
func (r *Reader) value(s *Shape, n int) {
	node := &r.tape.Nodes[n]
	if r.err != nil {
		return
	}
	if s == nil {
		r.unknown(n)
		return
	}
	if node.Kind == tape.Null {
		return
	}
	r.last = r.last || s.last
	if s.asks != 0 && !r.answer {
		r.schema(s, n)
	}
	if s.nothing {
		return
	}
	switch s.leaf {
	case raw:
		r.raw(s, n)
		return
	case spec, words:
		r.spec(s, n)
		return
	case odds:
		r.odds(s, n)
		return
	}
	switch node.Kind {
	case tape.String:
		r.str(s, n)
	case tape.Number, tape.True, tape.False:
		r.scalar(s, n)
	case tape.Numbers:
		if s.item == nil || s.item.leaf != meta && !s.item.nothing {
			r.unknown(n)
		}
	case tape.Array:
		r.array(s, n)
	case tape.Object:
		r.object(s, n)
	}
}

// schema notes one that the request names. What is no object is a name of a format, and no schema.
func (r *Reader) schema(s *Shape, n int) {
	out := wire.Schema{Where: r.pointer(), OpenAPI: s.asks&openAPI != 0}
	switch r.tape.Nodes[n].Kind {
	case tape.Object:
		out.Text = string(r.tape.Raw(n))
	case tape.String:
		if s.leaf != text {
			return
		}
		out.Text = r.tape.String(n)
	default:
		return
	}
	if s.asks&arguments != 0 {
		if out.Tool = r.name; out.Tool == "" {
			return
		}
	}
	if len(r.msg.Schemas) >= wire.MaxSchemas {
		r.msg.TooMany = true
		return
	}
	r.msg.Schemas = append(r.msg.Schemas, out)
}

func (r *Reader) raw(s *Shape, n int) {
	p := wire.Part{Kind: s.kind, Span: r.span(n), Formed: s.formed}
	if r.tape.Nodes[n].Kind == tape.String {
		p.Text = r.tape.String(n)
	} else {
		p.Text = string(r.tape.Raw(n))
	}
	r.emit(p, s.as, s.whole)
}

func (r *Reader) str(s *Shape, n int) {
	switch s.leaf {
	case text:
		r.emit(wire.Part{Kind: s.kind, Text: r.tape.String(n), Span: r.span(n), Formed: s.formed}, s.as, s.whole)
	case meta, number:
		if !word(r.tape.Bytes(n)) {
			r.unknown(n)
		}
	case opaque:
		if !allBase64(r.tape.Bytes(n)) {
			r.unknown(n)
		}
	case media:
		r.media(n)
	case model, others:
		switch b := r.tape.Bytes(n); {
		case !word(b):
			r.unknown(n)
		case s.leaf == others:
			r.msg.Others = append(r.msg.Others, string(b))
		default:
			r.msg.Model = string(b)
		}
	case user:
		t := r.tape.String(n)
		r.msg.User = t
		r.emit(wire.Part{Kind: s.kind, Text: t, Span: r.span(n)}, s.as, s.whole)
	default:
		r.unknown(n)
	}
}

func (r *Reader) scalar(s *Shape, n int) {
	node := &r.tape.Nodes[n]
	v, whole := r.tape.Int(n)
	switch {
	case s.leaf == meta:
	case s.leaf == stream && node.Kind != tape.Number:
		r.msg.Stream = node.Kind == tape.True
	case s.leaf == done && node.Kind != tape.Number:
		r.last = r.last || node.Kind == tape.True
	case s.leaf == limit && whole:
		r.msg.MaxTokens = v
	case s.leaf == number && whole:
		if r.msg.Usage == nil {
			r.msg.Usage = &wire.Usage{Input: -1, Output: -1, CacheRead: -1, CacheWrite: -1, Reasoning: -1}
		}
		*s.count(r.msg.Usage) = max(v, 0)
	default:
		r.unknown(n)
	}
}

func (r *Reader) array(s *Shape, n int) {
	if s.item == nil {
		r.unknown(n)
		return
	}
	where, channel := len(r.where), len(r.channel)
	i := 0
	for k := n + 1; k < int(r.tape.Nodes[n].Next) && r.err == nil; k = int(r.tape.Nodes[k].Next) {
		r.where = strconv.AppendInt(append(r.where, '/'), int64(i), 10)
		if s.label != "" && r.streams {
			r.channel = append(strconv.AppendInt(append(append(r.channel, s.label...), ' '), int64(i), 10), '/')
		}
		r.value(s.item, k)
		r.where, r.channel = r.where[:where], r.channel[:channel]
		i++
	}
}

func (r *Reader) object(s *Shape, n int) {
	var used [4]string
	depth := 0
	for s != nil && s.by != "" {
		if depth == len(used) {
			panic("BUG: shape: too many discriminators")
		}
		used[depth] = s.by
		depth++
		s = r.choose(s, n)
	}
	if s == nil || s.fields == nil && s.each == nil {
		r.unknown(n)
		return
	}
	channel, name, mime := len(r.channel), r.name, r.mime
	r.context(s, n)
	r.last = r.last || s.last
	where := len(r.where)
	for k := n + 1; k < int(r.tape.Nodes[n].Next) && r.err == nil; k = int(r.tape.Nodes[k+1].Next) {
		key := r.tape.Bytes(k)
		field, known := s.fields[string(key)]
		if !known && slices.Contains(used[:depth], string(key)) {
			continue
		}
		r.where = appendKey(r.where, key)
		switch {
		case known:
			if s.alias {
				r.aliased(n, k, key)
			}
			r.value(field, k+1)
		case s.each != nil:
			if r.misnamed(s, key); !word(key) {
				r.strange(k+1, int(r.tape.Nodes[k].From))
			} else {
				r.value(s.each, k+1)
			}
		default:
			r.misnamed(s, key)
			r.strange(k+1, int(r.tape.Nodes[k].From))
		}
		r.where = r.where[:where]
	}
	r.channel, r.name, r.mime = r.channel[:channel], name, mime
}

// choose is the case of an object; nil when there is none.
func (r *Reader) choose(s *Shape, n int) *Shape {
	v := r.tape.Get(n, s.by)
	if v < 0 || r.tape.Nodes[v].Kind == tape.Null {
		return s.cases[""]
	}
	switch r.tape.Nodes[v].Kind {
	case tape.True, tape.False:
		return s.cases[string(r.tape.Raw(v))]
	case tape.String:
	default:
		return nil
	}
	key := r.tape.Bytes(v)
	if c := s.cases[string(key)]; c != nil && len(key) > 0 {
		return c
	}
	if !word(key) {
		return nil
	}
	return s.cases["*"]
}

// context takes from an object what its parts need to know.
func (r *Reader) context(s *Shape, n int) {
	if s.mime != "" {
		r.mime = ""
		v := r.tape.Get(n, s.mime)
		if v < 0 && s.alias {
			v = r.tape.Get(n, snake(s.mime))
		}
		if v >= 0 && r.tape.Nodes[v].Kind == tape.String {
			r.mime = r.tape.String(v)
		}
	}
	if r.streams {
		for _, key := range s.ident {
			id := []byte("0")
			if v := r.tape.Get(n, key); v >= 0 {
				id = bytes.Trim(r.tape.Raw(v), `"`)
			} else if !s.zero {
				continue
			}
			r.channel = append(append(append(append(r.channel, key...), ' '), id[:min(len(id), maxWord)]...), '/')
		}
		if s.fresh {
			r.channel = append(strconv.AppendInt(append(append(r.channel, r.pointer()...), " event "...), int64(r.event), 10), '/')
		}
	}
	if s.name == "" {
		return
	}
	if v := r.tape.Get(n, s.name); v >= 0 && r.tape.Nodes[v].Kind == tape.String {
		r.name = r.tape.String(v)
		if r.streams && len(r.names) < maxNames {
			if r.names == nil {
				r.names = map[string]string{}
			}
			r.names[string(r.channel)] = r.name
		}
	} else if r.streams {
		r.name = r.names[string(r.channel)]
	}
}

// misnamed refuses a key that a forgiving parser takes for one of the shape's.
func (r *Reader) misnamed(s *Shape, key []byte) {
	folded := tape.Fold(string(key))
	for f := range s.fields {
		if strings.EqualFold(f, folded) {
			r.fail("the key %q in another case, which some parsers take for it", f)
		}
	}
}

// aliased refuses an object that has both some_key and someKey.
func (r *Reader) aliased(n, at int, key []byte) {
	plain := bytes.ReplaceAll(key, []byte("_"), nil)
	for k := n + 1; k < at; k = int(r.tape.Nodes[k+1].Next) {
		if bytes.EqualFold(bytes.ReplaceAll(r.tape.Bytes(k), []byte("_"), nil), plain) {
			r.fail("the key %q twice, once in its other spelling", key)
		}
	}
}

func appendKey(where, key []byte) []byte {
	where = append(where, '/')
	for _, c := range key[:min(len(key), maxWhere)] {
		switch c {
		case '~':
			where = append(where, "~0"...)
		case '/':
			where = append(where, "~1"...)
		default:
			where = append(where, c)
		}
	}
	return where
}

// word says whether a text is too plain to be prose.
func word(b []byte) bool {
	if len(b) > maxWord {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

func allBase64(b []byte) bool {
	for _, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+/=_-", c) >= 0) {
			return false
		}
	}
	return true
}
