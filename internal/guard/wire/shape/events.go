package shape

import (
	"bytes"

	"bartizan/internal/guard/wire"
)

// Events reads the events of one stream; a framing cuts them.
type Events struct {
	reader Reader
	shape  *Shape
	end    func(*Events, wire.Refusal) []byte
	seen   int  // bytes of the data that were looked at in vain
	Count  int  // events that were read
	Items  bool // a JSON array frames them
}

// Read reads the JSON of one event, which stands at from of the event's bytes.
// name is the type that the framing gives the event, "" where it gives none.
func (e *Events) Read(text []byte, from int, name string) (wire.Event, error) {
	e.reader.named = name
	return e.ReadAs(e.shape, text, from)
}

// ReadAs reads an event whose shape the framing chose.
func (e *Events) ReadAs(s *Shape, text []byte, from int) (wire.Event, error) {
	r := &e.reader
	r.answer, r.streams, r.shift, r.event = true, true, from, e.Count
	m, err := r.read(s, text)
	r.named = ""
	if err != nil {
		return wire.Event{}, err
	}
	e.Count++
	return wire.Event{Deltas: r.deltas, Usage: m.Usage, Unknown: m.Unknown, Last: r.last}, nil
}

// End is wire.Stream's.
func (e *Events) End(r wire.Refusal) []byte { return e.end(e, r) }

type sse struct{ *Events }

// SSE is the framing of server-sent events, as the HTML standard has it, as far as every client reads it in the same way.
func SSE(e *Events, media string) wire.Stream {
	if media != "text/event-stream" {
		return nil
	}
	return sse{e}
}

// Split looks for an empty line.
func (s sse) Split(data []byte) (int, error) {
	if s.seen > len(data) {
		s.seen = 0
	}
	for {
		i := bytes.IndexByte(data[s.seen:], '\n')
		if i < 0 {
			return 0, nil
		}
		line := data[s.seen : s.seen+i]
		s.seen += i + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			n := s.seen
			s.seen = 0
			return n, nil
		}
	}
}

func (s sse) Event(raw []byte) (wire.Event, error) {
	var comment, data []byte
	var name string
	from, lines := 0, 0
	for at := 0; at < len(raw); {
		end := bytes.IndexByte(raw[at:], '\n')
		if end < 0 {
			return wire.Event{}, &wire.Unknown{What: "a line of an event that does not end"}
		}
		line := bytes.TrimSuffix(raw[at:at+end], []byte("\r"))
		field, value, _ := bytes.Cut(line, []byte(":"))
		start := at + len(field) + 1
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
			start++
		}
		at += end + 1
		if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
			return wire.Event{}, &wire.Unknown{What: "a carriage return or zero byte in a line of an event, where some clients end it"}
		}
		switch string(field) {
		case "":
			comment = append(comment, value...)
		case "data":
			data, from = value, start
			lines++
		case "event":
			if name != "" {
				return wire.Event{}, &wire.Unknown{What: "an event with two names"}
			}
			name = string(value)
		case "id", "retry":
			comment = append(append(comment, value...), ' ')
		default:
			return wire.Event{}, &wire.Unknown{What: "a line of an event that is no field of one"}
		}
	}
	if lines > 1 {
		return wire.Event{}, &wire.Unknown{What: "an event with more than one line of data, which clients join in different ways"}
	}
	var ev wire.Event
	switch {
	case lines == 0 && name != "":
		return wire.Event{}, &wire.Unknown{What: "a named event without data"}
	case string(data) == "[DONE]" && name == "":
		ev.Last = true
	case lines > 0:
		var err error
		if ev, err = s.Read(data, from, name); err != nil {
			return wire.Event{}, err
		}
	}
	if len(comment) > 0 {
		// No client shows it, but its bytes arrive.
		ev.Deltas = append(ev.Deltas, wire.Delta{Channel: "comment", Whole: true,
			Part: wire.Part{Kind: wire.Answer, Text: string(bytes.ToValidUTF8(comment, []byte("\ufffd")))}})
	}
	return ev, nil
}

type lines struct{ *Events }

// Lines is a JSON value in each line.
func Lines(e *Events, media string) wire.Stream {
	if media != "application/x-ndjson" && media != "application/json" {
		return nil
	}
	return lines{e}
}

func (l lines) Split(data []byte) (int, error) {
	if l.seen > len(data) {
		l.seen = 0
	}
	i := bytes.IndexByte(data[l.seen:], '\n')
	if i < 0 {
		l.seen = len(data)
		return 0, nil
	}
	n := l.seen + i + 1
	l.seen = 0
	return n, nil
}

func (l lines) Event(raw []byte) (wire.Event, error) {
	text := bytes.TrimSpace(raw)
	if len(text) == 0 {
		return wire.Event{}, nil
	}
	return l.Read(text, bytes.Index(raw, text), "")
}
