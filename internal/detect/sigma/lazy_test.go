package sigma

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"reflect"
	"slices"
	"testing"

	"bartizan/internal/model"

	"github.com/valyala/fastjson"
)

// pair looks at the same events with the fields found in the text and with the
// full parse.
type pair struct {
	lazy, full *Runner
	a, b       Document
	parser     fastjson.Parser
	unparsed   int // events that needed no full parse
}

func newPair(e *Engine) *pair {
	return &pair{lazy: e.NewRunner(DefaultLimits()), full: e.NewRunner(DefaultLimits())}
}

// compare fails when the two say different things about an event.
func (p *pair) compare(t testing.TB, text []byte, from Logsource) (signals int) {
	t.Helper()
	v, err := p.parser.ParseBytes(text)
	valid := err == nil && v.Type() == fastjson.TypeObject
	if err := p.a.Parse(text, from); (err == nil) != valid {
		t.Fatalf("%q: valid %v, but %v", text, valid, err)
	}
	if !valid {
		return 0
	}
	p.b.Set(v, from)
	got, want := p.lazy.Process(&p.a, nil), p.full.Process(&p.b, nil)
	for _, s := range [][]model.Signal{got, want} {
		for i := range s {
			s[i].ID = model.ULID{} // of the moment of asking
		}
	}
	if !slices.EqualFunc(got, want, func(x, y model.Signal) bool { return reflect.DeepEqual(x, y) }) {
		t.Fatalf("%s: %+v, with the full parse %+v", text, got, want)
	}
	if p.a.root == nil {
		p.unparsed++
	}
	return len(got)
}

// flatten puts the fields of a Windows event side by side.
func flatten(t testing.TB, text []byte) []byte {
	var e struct{ Event map[string]json.RawMessage }
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	flat := map[string]json.RawMessage{}
	for _, part := range []string{"System", "EventData"} {
		if json.Unmarshal(e.Event[part], &flat) != nil {
			continue // not an object
		}
	}
	out, err := json.Marshal(flat)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAccuracyFieldsInText: on recorded events the rules say the same whether
// fields are found in the text or in the full parse; the second round has
// learned which are asked for. Rules with keywords ask for every value, so
// those of one category, which has none, are looked at by themselves as well.
func TestAccuracyFieldsInText(t *testing.T) {
	engine, _, fsys := sigmaHQ(t)
	processes, err := fs.Sub(fsys, "sigma/rules/windows/process_creation")
	if err != nil {
		t.Fatal(err)
	}
	few, report, err := Load(processes, Options{})
	if err != nil || report.Rules < 500 {
		t.Fatal(err, report.Rules)
	}
	all, some, events, hits := newPair(engine), newPair(few), 0, 0
	for range 2 {
		for _, row := range recordings(t) {
			for _, text := range row.Events {
				events++
				// Flattened, as exporters write them, and without escapes, for which the text is enough.
				flat := flatten(t, text)
				for _, form := range [][]byte{text, flat, bytes.ReplaceAll(flat, []byte(`\\`), []byte("/"))} {
					hits += all.compare(t, form, Logsource{}) + some.compare(t, form, Logsource{Product: "windows"})
				}
			}
		}
	}
	if events < 400 || hits < 400 || some.unparsed < 100 {
		t.Errorf("%d events with %d hits, %d without a full parse", events, hits, some.unparsed)
	}
	t.Logf("accuracy: %d events in three forms, %d hits, the same by the full parse; %d needed none", events, hits, some.unparsed)
}
