package shape

import (
	"bytes"

	"bartizan/internal/guard/wire"
)

// items is the framing of a JSON array that comes element by element.
type items struct {
	*Events
	depth   int
	quoted  bool
	escaped bool
	ended   bool
}

// Items is that framing. An event is an element with the bracket or comma before
// it, the last one the closing bracket.
func Items(e *Events) wire.Stream {
	e.Items = true
	return &items{Events: e}
}

func (s *items) reset(n int) (int, error) {
	s.seen, s.depth, s.quoted, s.escaped = 0, 0, false, false
	return n, nil
}

// Split goes on where it stopped.
func (s *items) Split(data []byte) (int, error) {
	if s.seen > len(data) {
		_, _ = s.reset(0)
	}
	if s.ended && len(bytes.TrimSpace(data)) == 0 {
		return len(data), nil
	}
	for ; s.seen < len(data); s.seen++ {
		c := data[s.seen]
		switch {
		case s.escaped:
			s.escaped = false
		case s.quoted:
			s.quoted, s.escaped = c != '"', c == '\\'
		case c == '"':
			s.quoted = true
		case c == '{', c == '[' && s.depth > 0:
			s.depth++
		case c == '}', c == ']' && s.depth > 0:
			if s.depth--; s.depth <= 0 {
				return s.reset(s.seen + 1)
			}
		case c == ']':
			s.ended = true
			return s.reset(s.seen + 1)
		case s.depth > 0, c == '[', c == ',', c == ' ', c == '\n', c == '\r', c == '\t':
		default:
			return 0, &wire.Unknown{What: "an element of the array that is no object"}
		}
	}
	return 0, nil
}

func (s *items) Event(raw []byte) (wire.Event, error) {
	text := bytes.TrimSpace(raw)
	switch {
	case len(text) == 0:
		return wire.Event{}, nil
	case string(text) == "]":
		return wire.Event{Last: true}, nil
	case text[0] == '[' || text[0] == ',':
		text = bytes.TrimSpace(text[1:])
		if string(text) == "]" {
			return wire.Event{Last: true}, nil
		}
	}
	if len(text) == 0 || text[0] != '{' {
		return wire.Event{}, &wire.Unknown{What: "no element of an array of objects"}
	}
	return s.Read(text, bytes.IndexByte(raw, '{'), "")
}
