package hold

import (
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

// inside is s as it stands between the quotes of a JSON string.
func inside(s string) string {
	q := wire.AppendString(nil, s)
	return string(q[1 : len(q)-1])
}
