package cli

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"bartizan/internal/app"
	"bartizan/internal/intel"
	"bartizan/internal/model"
)

// appendLine appends a signal as encoding/json writes a detectLine, to the byte,
// in a fifth of the time: lists of others make tens of thousands of them.
// TestAppendLine and FuzzAppendLine hold the two together.
func appendLine(b []byte, d *app.Detected) ([]byte, error) {
	s := &d.Signal
	var err error
	b = append(append(append(b, `{"id":"`...), s.ID.String()...), `","time":`...)
	if b, err = appendTime(b, s.Time); err != nil {
		return b, err
	}
	b = appendString(append(b, `,"kind":`...), s.Kind)
	b = appendString(append(b, `,"class":`...), string(s.Class))
	b = appendString(append(b, `,"rule":`...), s.Rule)
	b = appendString(append(b, `,"title":`...), s.Title)
	b = appendString(append(b, `,"severity":`...), s.Severity.String())
	if b, err = appendFloat(append(b, `,"confidence":`...), s.Confidence); err != nil {
		return b, err
	}
	b = appendEntity(append(b, `,"actor":`...), s.Actor)
	if s.Address != "" {
		b = appendString(append(b, `,"address":`...), s.Address)
	}
	b = appendString(append(b, `,"target":{"type":`...), s.Asset.Kind)
	b = appendString(append(b, `,"value":`...), s.Asset.Name)
	b = append(b, `},"techniques":[`...)
	for i, t := range s.Techniques {
		b = appendString(comma(b, i), t)
	}
	b = strconv.AppendInt(append(b, `],"count":`...), int64(s.Count), 10)
	if s.Spoofable {
		b = append(b, `,"spoofable":true`...)
	}
	if len(s.Related) > 0 {
		b = append(b, `,"related":[`...)
		for i, e := range s.Related {
			b = appendEntity(comma(b, i), e)
		}
		b = append(b, ']')
	}
	if len(s.Evidence) > 0 && s.Evidence[0].Excerpt != "" {
		b = appendString(append(b, `,"evidence":`...), s.Evidence[0].Excerpt)
	}
	if b, err = appendLists(b, d.Lists); err != nil {
		return b, err
	}
	b = appendString(append(b, `,"file":`...), d.File)
	b = strconv.AppendUint(append(b, `,"record":`...), d.Record, 10)
	return append(b, '}'), nil
}

func appendLists(b []byte, lists []intel.Provenance) (_ []byte, err error) {
	if len(lists) == 0 {
		return b, nil
	}
	b = append(b, `,"intel":[`...)
	for i := range lists {
		p := &lists[i]
		b = appendString(append(comma(b, i), `{"feed":`...), p.Feed)
		b = strconv.AppendInt(append(b, `,"line":`...), int64(p.Line), 10)
		if p.Note != "" {
			b = appendString(append(b, `,"note":`...), p.Note)
		}
		if b, err = appendFloat(append(b, `,"confidence":`...), p.Confidence); err != nil {
			return b, err
		}
		if !p.Until.IsZero() {
			if b, err = appendTime(append(b, `,"valid_until":`...), p.Until); err != nil {
				return b, err
			}
		}
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func appendEntity(b []byte, e model.Entity) []byte {
	if e.IsZero() {
		return append(b, "null"...)
	}
	b = appendString(append(b, `{"type":`...), string(e.Type()))
	return append(appendString(append(b, `,"value":`...), e.Value()), '}')
}

// appendTime leaves what is no ordinary year or zone to encoding/json, which
// refuses what RFC 3339 cannot say.
func appendTime(b []byte, t time.Time) ([]byte, error) {
	if y := t.Year(); y < 1 || y > 9999 || t.Location() != time.UTC {
		return appendOther(b, t)
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"'), nil
}

func appendFloat(b []byte, v float64) ([]byte, error) {
	if v != 0 && !(math.Abs(v) >= 1e-6 && math.Abs(v) < 1e21) {
		return appendOther(b, v)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64), nil
}

func appendOther(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(b, text...), err
}

// appendString writes ASCII itself; anything else is rare here.
func appendString(b []byte, s string) []byte {
	n := len(b)
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		esc := ""
		switch c := s[i]; {
		case c < ' ' || c >= 0x7f:
			text, err := json.Marshal(s)
			if err != nil { // a string cannot fail
				text = []byte(`""`)
			}
			return append(b[:n], text...)
		case c == '"':
			esc = `\"`
		case c == '\\':
			esc = `\\`
		case c == '<': // encoding/json writes these so that HTML can hold them
			esc = `\u003c`
		case c == '>':
			esc = `\u003e`
		case c == '&':
			esc = `\u0026`
		default:
			continue
		}
		b = append(append(b, s[from:i]...), esc...)
		from = i + 1
	}
	return append(append(b, s[from:]...), '"')
}
