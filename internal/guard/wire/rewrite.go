package wire

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"bartizan/internal/guard/wire/tape"
)

// Edit replaces the text of a part.
type Edit struct {
	Span Span   // of the part
	Text string // the new text, decoded; where the part is no string but JSON as it stands: JSON
}

// Rewriter is a Stream whose events are not text (AWS frames, base64): it
// replaces texts in an event that its Event read last.
type Rewriter interface {
	Rewrite(raw []byte, edits []Edit) ([]byte, error)
}

// RewriteEvent replaces texts in the event that s read last. raw is not changed.
func RewriteEvent(s Stream, raw []byte, edits []Edit) ([]byte, error) {
	if w, ok := s.(Rewriter); ok {
		return w.Rewrite(raw, edits)
	}
	return Rewrite(raw, edits)
}

// Rewrite is a copy of body in which the texts are replaced and every other byte
// is as it was. It is an error to edit what cannot be rewritten in place, to edit
// something twice, and to put in a text that is not valid UTF-8 (or JSON, where the
// part is JSON): then the body is to be refused.
func Rewrite(body []byte, edits []Edit) ([]byte, error) {
	if len(edits) == 0 {
		return slices.Clone(body), nil
	}
	edits = slices.Clone(edits)
	slices.SortFunc(edits, func(a, b Edit) int { return a.Span.From - b.Span.From })
	size := len(body)
	for _, e := range edits {
		size += len(e.Text) + 2
	}
	out := make([]byte, 0, size)
	at := 0
	for _, e := range edits {
		s := e.Span
		if s.From < at || s.To <= s.From+1 || s.To > len(body) {
			return nil, fmt.Errorf("rewrite a body of %d bytes: bytes %d to %d overlap another edit or are no place of a text: block instead", len(body), s.From, s.To)
		}
		out = append(out, body[at:s.From]...)
		at = s.To
		if body[s.From] == '"' {
			if !utf8.ValidString(e.Text) {
				return nil, fmt.Errorf("rewrite bytes %d to %d: the new text is not valid UTF-8", s.From, s.To)
			}
			out = AppendString(out, e.Text)
			continue
		}
		var t tape.Tape
		if err := t.Read([]byte(e.Text)); err != nil {
			return nil, fmt.Errorf("rewrite bytes %d to %d, which are JSON: the new text is not: %w", s.From, s.To, err)
		}
		out = append(out, e.Text...)
	}
	return append(out, body[at:]...), nil
}

// AppendString appends a text as a JSON string.
func AppendString(out []byte, s string) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
