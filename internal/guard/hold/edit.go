package hold

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"bartizan/internal/guard/wire"
)

// edit replaces a range of a text.
type edit struct {
	from, to int
	text     string
	restored bool
}

// addEdit keeps edits in order and apart: of two that overlap, they become one
// over both ranges with the first one's text.
func addEdit(list []edit, e edit) []edit {
	for i := 0; i < len(list); i++ {
		o := list[i]
		if o.to <= e.from || e.to <= o.from {
			continue
		}
		if o.from <= e.from {
			e.text, e.restored = o.text, o.restored
		}
		e.from, e.to = min(o.from, e.from), max(o.to, e.to)
		list = slices.Delete(list, i, i+1)
		i--
	}
	at, _ := slices.BinarySearchFunc(list, e, func(a, b edit) int { return a.from - b.from })
	return slices.Insert(list, at, e)
}

// apply returns the part [from,to) of text after the edits. What an edit puts
// in stands where its range begins.
func apply(text string, from, to int, edits []edit, inJSON bool) string {
	var b strings.Builder
	at := from
	for _, e := range edits {
		if e.to <= from || e.from >= to {
			continue
		}
		if e.from >= from {
			b.WriteString(text[at:e.from])
			if inJSON {
				b.WriteString(inside(e.text))
			} else {
				b.WriteString(e.text)
			}
		}
		at = min(e.to, to)
	}
	b.WriteString(text[min(at, to):to])
	return b.String()
}

// touched says whether an edit changes [from,to).
func touched(edits []edit, from, to int) bool {
	return slices.ContainsFunc(edits, func(e edit) bool { return e.to > from && e.from < to })
}

// quote writes a JSON string as an API would: no escapes that need not be.
func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return []byte(`""`) // strings always encode
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// inside is s as it stands between the quotes of a JSON string.
func inside(s string) string {
	q := quote(s)
	return string(q[1 : len(q)-1])
}

// Rewriter is a wire.Stream or wire.Format whose texts cannot be replaced where
// they stand: because of a checksum, a length or another code around them.
type Rewriter interface {
	// Rewrite returns raw with the texts in place of the spans, which are in order.
	Rewrite(raw []byte, spans []wire.Span, texts []string) ([]byte, error)
}

var errNoSpan = errors.New("the text has no place in the message where it could be replaced")

// rewrite puts texts in place of spans.
func rewrite(by any, raw []byte, spans []wire.Span, texts []string) ([]byte, error) {
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return spans[a].From - spans[b].From })
	s, t := make([]wire.Span, 0, len(spans)), make([]string, 0, len(spans))
	for _, i := range order {
		s, t = append(s, spans[i]), append(t, texts[i])
	}
	if r, ok := by.(Rewriter); ok {
		return r.Rewrite(raw, s, t)
	}
	var out []byte
	at := 0
	for i, p := range s {
		if p.From >= p.To || p.From < at || p.To > len(raw) || raw[p.From] != '"' || raw[p.To-1] != '"' {
			return nil, errNoSpan
		}
		out = append(append(out, raw[at:p.From]...), quote(t[i])...)
		at = p.To
	}
	return append(out, raw[at:]...), nil
}
