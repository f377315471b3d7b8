package sigma

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func ids(rules []*Rule) (out []string) {
	for _, r := range rules {
		if !r.part {
			out = append(out, r.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestDifferentialRecorded: on recorded events the engine and the naive
// evaluator name the same rules out of all; a sample of them, or all with
// BARTIZAN_FULL (make accuracy).
func TestAccuracyDifferential(t *testing.T) {
	engine, _, fsys := sigmaHQ(t)
	loaded := map[string]bool{}
	for _, r := range engine.Rules() {
		loaded[r.ID] = true
	}
	var docs []document
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".yml") {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		for _, doc := range first(parseFile(name, data)) {
			if loaded[doc.id] {
				docs = append(docs, doc)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	oracle, run := newNaive(t, docs), engine.NewRunner(DefaultLimits())
	var doc Document
	compared := 0
	for i, row := range recordings(t) {
		if os.Getenv("BARTIZAN_FULL") == "" && i%25 != 0 { // compiling the naive side takes minutes
			continue
		}
		for _, text := range row.Events {
			if err := doc.Parse(text, Logsource{}); err != nil {
				t.Fatal(err)
			}
			got, want := ids(run.Match(&doc)), oracle.matches(oracle.event(t, text, Logsource{}))
			if !slices.Equal(got, want) {
				t.Errorf("%s: engine %v, naive %v", row.ID, got, want)
			}
			compared++
		}
	}
	if compared < 8 {
		t.Errorf("%d events compared", compared)
	}
	t.Logf("accuracy: %d events, the engine and the naive evaluator agree on all %d rules", compared, len(docs))
}

func first[A, B any](a A, _ B) A { return a }

// Small alphabets make hits, near misses and odd wildcards likely.
var (
	texts1 = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "B", "b", "k", "K", "s", "ſ", "é", "É", "-", "/", "–", " ", `\`, "1", "0", "."}), 0, 6)
	values = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "A", "k", "s", "é", "*", "?", `\`, `\*`, `\\`, "-", "/", " ", "1"}), 0, 4)
	names  = rapid.SampledFrom([]string{"f", "g", "h.i", "l"})
)

func drawValue(t *rapid.T, mods string) any {
	switch {
	case strings.Contains(mods, "re"):
		return rapid.SampledFrom([]string{"a+b", "(?:a|b)k", "^s.*", "[ab]{2}", "k?s", "(ab|ba)+1", ".", "a.b|s", "é"}).Draw(t, "re")
	case strings.Contains(mods, "cidr"):
		return rapid.SampledFrom([]string{"1.0.0.0/8", "1.1.1.0/24", "::/0"}).Draw(t, "cidr")
	case strings.Contains(mods, "exists"):
		return rapid.Bool().Draw(t, "exists")
	case strings.Contains(mods, "fieldref"):
		return names.Draw(t, "ref")
	case strings.Contains(mods, "gt"), strings.Contains(mods, "lt"):
		return rapid.IntRange(-1, 12).Draw(t, "number")
	case rapid.IntRange(0, 9).Draw(t, "what") == 0 && mods == "":
		return rapid.SampledFrom([]any{nil, 1, 10, true, 1.5}).Draw(t, "special")
	}
	return strings.Join(values.Draw(t, "value"), "")
}

func drawSearch(t *rapid.T) any {
	list := func(mods string) any {
		n := rapid.IntRange(1, 3).Draw(t, "values")
		var out []any
		for range n {
			out = append(out, drawValue(t, mods))
		}
		if n == 1 {
			return out[0]
		}
		return out
	}
	mapped := func() any {
		m := map[string]any{}
		for range rapid.IntRange(1, 3).Draw(t, "fields") {
			mods := rapid.SampledFrom([]string{"", "", "|contains", "|startswith", "|endswith", "|contains|all", "|cased", "|contains|cased", "|endswith|windash",
				"|contains|windash", "|re", "|re|i", "|cidr", "|exists", "|fieldref", "|fieldref|endswith", "|gt", "|lte", "|all", "|neq"}).Draw(t, "modifiers")
			v := list(mods)
			if mods == "|exists" || strings.HasPrefix(mods, "|fieldref") || mods == "|gt" || mods == "|lte" {
				v = drawValue(t, mods)
			}
			m[names.Draw(t, "field")+mods] = v
		}
		return m
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		var words []any
		for range rapid.IntRange(1, 2).Draw(t, "words") {
			words = append(words, "a"+strings.Join(values.Draw(t, "word"), ""))
		}
		return words
	case 1:
		return []any{mapped(), mapped()}
	}
	return mapped()
}

func drawEventValue(t *rapid.T) any {
	return rapid.OneOf(
		rapid.Map(texts1, func(s []string) any { return strings.Join(s, "") }),
		rapid.SampledFrom([]any{nil, 1, 10, 1.5, true, "1.1.1.1", "10", "::1", "ab", "abk1"}),
	).Draw(t, "event value")
}

func drawEvent(t *rapid.T) []byte {
	m := map[string]any{}
	if rapid.Bool().Draw(t, "has f") {
		m["f"] = drawEventValue(t)
	}
	if rapid.Bool().Draw(t, "has g") {
		m["g"] = drawEventValue(t)
	}
	switch rapid.IntRange(0, 3).Draw(t, "h") {
	case 0:
		m["h.i"] = drawEventValue(t)
	case 1:
		m["h"] = map[string]any{"i": drawEventValue(t)}
	case 2:
		m["h"] = []any{map[string]any{"i": drawEventValue(t)}, map[string]any{"i": drawEventValue(t)}, "a"}
	}
	if rapid.Bool().Draw(t, "has l") {
		m["l"] = []any{drawEventValue(t), []any{drawEventValue(t)}}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDifferentialProperty: whatever rules and events are, the index loses
// nothing and adds nothing.
func TestDifferentialProperty(t *testing.T) {
	conditions := []string{"a", "a and b", "a or b", "not a", "a and not b", "1 of them", "all of them", "not (a and b) or b", "1 of a* and not b"}
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		fsys := fstest.MapFS{}
		for i := range rapid.IntRange(1, 6).Draw(t, "rules") {
			text, err := yaml.Marshal(map[string]any{
				"title": "t", "id": fmt.Sprintf("id-%d", i), "logsource": map[string]any{"product": "p"},
				"detection": map[string]any{"a": drawSearch(t), "b": drawSearch(t), "condition": rapid.SampledFrom(conditions).Draw(t, "condition")},
			})
			if err != nil {
				t.Fatal(err)
			}
			fsys[fmt.Sprintf("%d.yml", i)] = &fstest.MapFile{Data: text}
		}
		engine, report, err := Load(fsys, Options{})
		if err != nil || len(report.Problems) > 0 {
			t.Fatalf("load: %v %v", err, report.Problems)
		}
		var docs []document
		for name, f := range fsys {
			docs = append(docs, first(parseFile(name, f.Data))...)
		}
		oracle, run := newNaive(t, docs), engine.NewRunner(DefaultLimits())
		var doc Document
		for range rapid.IntRange(1, 4).Draw(t, "events") {
			text := drawEvent(t)
			from := Logsource{Product: "p"}
			if err := doc.Parse(text, from); err != nil {
				t.Fatal(err)
			}
			got, want := ids(run.Match(&doc)), oracle.matches(oracle.event(t, text, from))
			hits += len(want)
			if !slices.Equal(got, want) {
				t.Fatalf("event %s: engine %v, naive %v\n%s", text, got, want, show(fsys))
			}
		}
	})
	if hits < 50 {
		t.Errorf("only %d hits: the generator has gone blind", hits)
	}
}

func show(fsys fstest.MapFS) string {
	var b strings.Builder
	for name, f := range fsys {
		fmt.Fprintf(&b, "--- %s\n%s", name, f.Data)
	}
	return b.String()
}
