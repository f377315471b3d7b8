package hold

import (
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// told finds something in every text but those on their way to a model.
type told struct{}

func (told) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	if !t.Asked {
		out = append(out, guard.Finding{Category: guard.Secret, Score: 1, Note: "told"})
	}
	return out, nil
}

// TestAskedAndTold: inspectors know a request from an answer, also where the same text
// was looked at the other way a moment ago.
func TestAskedAndTold(t *testing.T) {
	c := Config{Engine: engine(t, guard.Named{Name: "told", Inspector: told{}}), Policy: policy(Block)}
	for range 2 {
		for _, kind := range []wire.Kind{wire.Prompt, wire.Document, wire.ToolResult} {
			if _, err := Request(c, nil, &wire.Message{Parts: []wire.Part{{Kind: kind, Text: "one"}}}); err != nil {
				t.Errorf("request, %v: %v", kind, err)
			}
		}
		if _, err := Answer(c, nil, &wire.Message{Parts: []wire.Part{{Kind: wire.Answer, Text: "one"}}}); err == nil {
			t.Error("an answer was taken for a request")
		}
	}
}
