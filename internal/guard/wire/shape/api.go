package shape

import (
	"fmt"
	"net/url"
	"strings"
	"sync"

	"bartizan/internal/guard/wire"
)

// Op is one operation of an API.
type Op struct {
	Method string
	// Path is the end of the request's path. {model} stands for the model's name, which may have slashes, {id} for another's.
	Path   string
	Ask    *Shape // of the request; nil: it has no body
	Tell   *Shape // of the answer
	Events *Shape // of the stream's events; nil: there are none
	Frame  Frame  // of the stream, by the answer's content type; nil: SSE and nothing else
	Stream bool   // the answer is a stream, unless the request says no
	// End closes the operation's streams; nil: as the API does.
	End func(e *Events, r wire.Refusal) []byte
}

// Frame makes the reader of a stream's framing; nil when the content type is another's.
type Frame func(e *Events, media string) wire.Stream

// API is a format as a table of operations. It is the half of wire.Format that formats share.
type API struct {
	Ops []Op
	// Lax lets requests have any content type: the API does not look at it.
	Lax bool
	// End is what closes a stream.
	End func(e *Events, r wire.Refusal) []byte

	pool sync.Pool
}

// Find is the operation of a head and the model that its path names.
func (a *API) Find(h wire.Head) (*Op, string, error) {
	for i := range a.Ops {
		op := &a.Ops[i]
		if op.Method != h.Method {
			continue
		}
		if name, ok := op.match(h.Path); ok {
			return op, name, nil
		}
	}
	return nil, "", &wire.Unknown{What: fmt.Sprintf("no operation of the API has the method and path %.20q %.200q", h.Method, h.Path)}
}

func (op *Op) match(path string) (model string, ok bool) {
	before, after, named := strings.Cut(op.Path, "{model}")
	id := false
	if !named {
		before, after, id = strings.Cut(op.Path, "{id}")
	}
	if !named && !id {
		prefix, ok := strings.CutSuffix(path, op.Path)
		return "", ok && plainPath(prefix)
	}
	rest, ok := strings.CutSuffix(path, after)
	if !ok {
		return "", false
	}
	i := strings.Index(rest, before)
	if i < 0 || !plainPath(rest[:i]) {
		return "", false
	}
	model, err := url.PathUnescape(rest[i+len(before):])
	if err != nil || !word([]byte(model)) {
		return "", false
	}
	ok = model != "" && !strings.Contains(model, "//") && !strings.Contains("/"+model+"/", "/../") && !strings.ContainsAny(model, "?#;%\\")
	if id {
		return "", ok && !strings.Contains(model, "/")
	}
	return model, ok
}

// plainPath: what stands before an operation is a base path that every server reads in the same way.
func plainPath(p string) bool {
	if p == "" {
		return true
	}
	if p[0] != '/' || p[len(p)-1] == '/' || strings.Contains(p, "//") || strings.Contains(p+"/", "/../") || strings.Contains(p+"/", "/./") {
		return false
	}
	for _, c := range []byte(p) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/-_.", c) >= 0) {
			return false
		}
	}
	return true
}

// Request is wire.Format's.
func (a *API) Request(h wire.Head, body []byte) (*wire.Message, error) {
	op, name, err := a.Find(h)
	if err != nil {
		return nil, err
	}
	if op.Ask == nil {
		if len(body) > 0 {
			return nil, &wire.Unknown{What: "a body where the operation has none"}
		}
		return &wire.Message{Model: name, Stream: op.Stream}, nil
	}
	if !a.Lax && !isJSON(h.ContentType) {
		return nil, &wire.Unknown{What: fmt.Sprintf("content type %.100q of a request, want application/json", h.ContentType)}
	}
	m, err := a.read(op.Ask, body, false, op.Stream)
	if err == nil && name != "" {
		m.Model = name
	}
	return m, err
}

// Answer is wire.Format's.
func (a *API) Answer(h wire.Head, body []byte) (*wire.Message, error) {
	op, name, err := a.Find(h)
	if err != nil {
		return nil, err
	}
	if op.Tell == nil {
		return nil, &wire.Unknown{What: "an operation whose answer is a stream"}
	}
	if !isJSON(h.ContentType) {
		return nil, &wire.Unknown{What: fmt.Sprintf("content type %.100q of an answer, want application/json", h.ContentType)}
	}
	m, err := a.read(op.Tell, body, true, false)
	if err == nil && m.Model == "" {
		m.Model = name
	}
	return m, err
}

func (a *API) read(s *Shape, body []byte, answer, asks bool) (*wire.Message, error) {
	r, _ := a.pool.Get().(*Reader)
	if r == nil {
		r = &Reader{}
	}
	r.asks = asks
	m, err := r.Body(s, body, answer)
	if cap(r.tape.Nodes) < 1<<16 { // one large body is no reason to keep its memory
		a.pool.Put(r)
	}
	return m, err
}

// Stream is wire.Format's.
func (a *API) Stream(h wire.Head) (wire.Stream, error) {
	op, _, err := a.Find(h)
	if err != nil {
		return nil, err
	}
	media := mediaType(h.ContentType)
	if op.Events != nil || op.Frame != nil {
		frame := op.Frame
		if frame == nil {
			frame = SSE
		}
		end := op.End
		if end == nil {
			end = a.End
		}
		if s := frame(&Events{shape: op.Events, end: end}, media); s != nil {
			return s, nil
		}
	}
	return nil, &wire.Unknown{What: fmt.Sprintf("content type %.100q of a stream of this operation", h.ContentType)}
}

// mediaType is a content type without parameters, "" when its characters are not those of UTF-8.
func mediaType(s string) string {
	t, params, _ := strings.Cut(s, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		k, v, _ := strings.Cut(strings.ToLower(strings.TrimSpace(p)), "=")
		if v = strings.Trim(v, `"`); k == "charset" && v != "utf-8" && v != "utf8" && v != "us-ascii" {
			return ""
		}
	}
	return t
}

func isJSON(contentType string) bool {
	return contentType == "application/json" || mediaType(contentType) == "application/json"
}
