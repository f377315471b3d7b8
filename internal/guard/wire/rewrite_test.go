package wire

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"bartizan/internal/guard/wire/tape"
)

// strings of a body, with their places.
func places(t interface{ Fatalf(string, ...any) }, body []byte) (out []Edit) {
	var p tape.Tape
	if err := p.Read(body); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	for n, node := range p.Nodes {
		if node.Kind == tape.String {
			out = append(out, Edit{Span{int(node.From), int(node.To)}, p.String(n)})
		}
	}
	return out
}

func TestRewriteProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.String(), 1, 8).Draw(t, "texts")
		body, err := json.MarshalIndent(texts, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(body)
		at := places(t, body)
		want := make([]string, len(at))
		var edits []Edit
		for i, e := range at {
			want[i] = e.Text
			if rapid.Bool().Draw(t, "edit") {
				e.Text = rapid.String().Draw(t, "new")
				want[i], edits = e.Text, append([]Edit{e}, edits...)
			}
		}
		out, err := Rewrite(body, edits)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if !bytes.Equal(body, before) || len(edits) == 0 && !bytes.Equal(out, body) {
			t.Fatalf("%q became %q", before, out)
		}
		for i, e := range places(t, out) {
			if e.Text != want[i] {
				t.Fatalf("text %d is %q, want %q", i, e.Text, want[i])
			}
		}
	})
}

func TestRewriteRefuses(t *testing.T) {
	body := []byte(`{"a":"one","b":{"c":2},"d":"two"}`)
	for name, edits := range map[string][]Edit{
		"nowhere":        {{Span{}, "x"}},
		"behind the end": {{Span{5, 500}, "x"}},
		"before":         {{Span{-3, 5}, "x"}},
		"turned":         {{Span{10, 5}, "x"}},
		"twice":          {{Span{5, 10}, "x"}, {Span{5, 10}, "y"}},
		"bad UTF-8":      {{Span{5, 10}, "\xff"}},
		"no JSON":        {{Span{15, 22}, `{"c":`}},
		"two values":     {{Span{15, 22}, `{},"d":{}`}},
	} {
		if out, err := Rewrite(body, edits); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
	out, err := Rewrite(body, []Edit{{Span{15, 22}, `[]`}, {Span{5, 10}, "x\"\x00"}})
	if err != nil || string(out) != `{"a":"x\"\u0000","b":[],"d":"two"}` {
		t.Errorf("%s, %v", out, err)
	}
}
