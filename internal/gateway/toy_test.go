package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"bartizan/internal/guard/wire"
)

// toy is the least format of an API: {"model","say","stream"} → {"said","tokens"}, and a
// stream of lines "data: {"said":…}", the last of which is "data: end". The formats
// that are shipped have suites of their own; here the gateway around them is tested.
type toy struct{}

type toyBody struct {
	Model  string `json:"model"`
	System string `json:"system"`
	Say    string `json:"say"`
	Doc    string `json:"doc"`
	Image  string `json:"image"`
	Stream bool   `json:"stream"`
	Said   string `json:"said"`
	Call   string `json:"call"`
	Tokens int64  `json:"tokens"`
}

func (toy) read(body []byte, answer bool) (*wire.Message, error) {
	var b toyBody
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	m := &wire.Message{}
	if err := d.Decode(&b); err != nil {
		if !strings.Contains(err.Error(), "unknown field") {
			return nil, &wire.Unknown{What: err.Error()}
		}
		m.Unknown = append(m.Unknown, "/"+strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`))
	}
	m.Model, m.Stream = b.Model, b.Stream
	add := func(k wire.Kind, where, text string) {
		if text != "" {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			_ = e.Encode(text)
			quoted := bytes.TrimSpace(b.Bytes())
			from := bytes.Index(body, quoted)
			m.Parts = append(m.Parts, wire.Part{Kind: k, Where: where, Text: text, Span: wire.Span{From: from, To: from + len(quoted)}})
		}
	}
	add(wire.System, "/system", b.System)
	add(wire.Prompt, "/say", b.Say)
	add(wire.Document, "/doc", b.Doc)
	add(wire.Answer, "/said", b.Said)
	add(wire.ToolCall, "/call", b.Call)
	if b.Image != "" {
		m.Parts = append(m.Parts, wire.Part{Kind: wire.Media, Where: "/image", Size: len(b.Image)})
	}
	if answer && b.Tokens > 0 {
		m.Usage = &wire.Usage{Input: b.Tokens, Output: b.Tokens, CacheRead: -1, CacheWrite: -1, Reasoning: -1}
	}
	return m, nil
}

func (t toy) Request(h wire.Head, body []byte) (*wire.Message, error) {
	if h.Path != "/chat" {
		return nil, &wire.Unknown{What: "path"}
	}
	return t.read(body, false)
}

func (t toy) Answer(_ wire.Head, body []byte) (*wire.Message, error) { return t.read(body, true) }

func (toy) Stream(h wire.Head) (wire.Stream, error) {
	if !strings.HasPrefix(h.ContentType, "text/event-stream") {
		return nil, &wire.Unknown{What: h.ContentType}
	}
	return toyStream{}, nil
}

func (toy) Refuse(_ wire.Head, status int, r wire.Refusal) (string, []byte) {
	return "application/json", fmt.Appendf(nil, `{"no":%q,"code":%q,"status":%d}`, r.Message, r.Code, status)
}

type toyStream struct{}

func (toyStream) Split(data []byte) (int, error) {
	if i := bytes.Index(data, []byte("\n\n")); i >= 0 {
		return i + 2, nil
	}
	return 0, nil
}

func (toyStream) Event(raw []byte) (wire.Event, error) {
	line, ok := strings.CutPrefix(strings.TrimSpace(string(raw)), "data: ")
	switch {
	case !ok:
		return wire.Event{}, &wire.Unknown{What: "no data"}
	case line == "end":
		return wire.Event{Last: true}, nil
	}
	m, err := toy{}.read([]byte(line), true)
	if err != nil {
		return wire.Event{}, err
	}
	e := wire.Event{Usage: m.Usage, Unknown: m.Unknown}
	at := bytes.Index(raw, []byte("{"))
	for _, p := range m.Parts {
		p.Span.From, p.Span.To = p.Span.From+at, p.Span.To+at
		e.Deltas = append(e.Deltas, wire.Delta{Channel: p.Where, Part: p})
	}
	return e, nil
}

func (toyStream) End(r wire.Refusal) []byte {
	return fmt.Appendf(nil, "data: {\"code\":%q}\n\n", r.Code)
}
