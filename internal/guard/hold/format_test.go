package hold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"bartizan/internal/guard/wire"
)

// lines is the smallest format that has everything a format can have: one JSON
// object per line, {"c":channel,"k":kind,"t":text,"w":whole}, "end" last.
type lines struct{}

type line struct {
	C string    `json:"c,omitempty"`
	K wire.Kind `json:"k,omitempty"`
	T string    `json:"t,omitempty"`
	W bool      `json:"w,omitempty"`
	X bool      `json:"x,omitempty"` // not known
	E string    `json:"e,omitempty"` // "end", or a refusal
}

func (lines) Split(data []byte) (int, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, nil
	}
	return 0, nil
}

func (lines) Event(raw []byte) (wire.Event, error) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return wire.Event{}, &wire.Unknown{What: "line"}
	}
	e := wire.Event{Last: l.E != ""}
	if l.X {
		e.Unknown = []string{"/x"}
	}
	if l.T != "" {
		at := bytes.Index(raw, []byte(`"t":`)) + 4
		end := at + 1
		for raw[end] != '"' {
			if raw[end] == '\\' {
				end++
			}
			end++
		}
		if l.K == "" {
			l.K = wire.Answer
		}
		e.Deltas = []wire.Delta{{Channel: l.C, Whole: l.W, Part: wire.Part{Kind: l.K, Text: l.T, Span: wire.Span{From: at, To: end + 1}}}}
	}
	return e, nil
}

func (lines) End(r wire.Refusal) []byte { return fmt.Appendf(nil, "{\"e\":%q}\n", r.Code) }

// encode writes a stream of one channel.
func encode(pieces ...string) string {
	var b strings.Builder
	for _, p := range pieces {
		put(&b, line{C: "a", T: p})
	}
	put(&b, line{E: "end"})
	return b.String()
}

func put(b *strings.Builder, l line) {
	t, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	b.Write(t)
	b.WriteByte('\n')
}

// said is the text of each channel in what left, and how it ended.
func said(out []byte) (text map[string]string, end string) {
	text = map[string]string{}
	for raw := range bytes.Lines(out) {
		var l line
		if json.Unmarshal(raw, &l) != nil {
			continue
		}
		if !l.W {
			text[l.C] += l.T
		}
		if l.E != "" {
			end = l.E
		}
	}
	return text, end
}
