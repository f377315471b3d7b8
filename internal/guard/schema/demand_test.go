package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/guard"

	"github.com/google/jsonschema-go/jsonschema"
)

func demand(t *testing.T, all ...guard.Asked) (guard.Judge, [][]guard.Finding) {
	t.Helper()
	in, err := New(Config{Requested: true})
	if err != nil {
		t.Fatal(err)
	}
	return in.(guard.Demander).Demand(all)
}

// TestDemand: what a request asks for is enforced, on the answer and on calls by tool.
func TestDemand(t *testing.T) {
	judge, about := demand(t, guard.Asked{Text: weather}, guard.Asked{Tool: "find", Text: `{"type":"object","properties":{"q":{"type":"string"}},"required":["q"]}`},
		guard.Asked{Tool: "gemini", OpenAPI: true, Text: `{"type":"OBJECT","properties":{"n":{"type":"INTEGER","nullable":true},"k":{"type":"ARRAY","items":{"type":"STRING","enum":["a"]},"min_items":"1"}}}`})
	for i, found := range about {
		if len(found) > 0 {
			t.Errorf("schema %d: %+v", i, found)
		}
	}
	for _, c := range []struct {
		tool, text, note string
	}{
		{"", `{"city":"Rome"}`, ""}, {"", ` {"city":"Rome","days":2}` + "\n", ""}, {"", "It will rain.", "reads alike"}, {"", `{"days":1}`, "not of the schema"},
		{"", `{"city":"Rome","city":"Paris"}`, "reads alike"}, {"", "", "reads alike"},
		{"find", `{"q":"boats"}`, ""}, {"find", ``, "not of the schema"}, {"find", `{"q":1}`, "not of the schema"}, {"find", `{"q":"a"} `, ""}, {"find", `{"q":`, "reads alike"},
		{"other", `anything`, ""},
		{"gemini", `{"n":null,"k":["a"]}`, ""}, {"gemini", `{"n":1.5}`, "not of the schema"}, {"gemini", `{"k":[]}`, "not of the schema"}, {"gemini", `{"k":["b"]}`, "not of the schema"},
	} {
		found, err := judge(c.tool, c.text)
		if err != nil || (c.note == "") != (len(found) == 0) || c.note != "" && (!strings.Contains(found[0].Note, c.note) || found[0].Category != guard.Shape || found[0].Score < guard.BlockScore) {
			t.Errorf("%s %q: %+v, %v", c.tool, c.text, found, err)
		}
	}
	off, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	if judge, about := off.(guard.Demander).Demand([]guard.Asked{{Text: weather}}); judge != nil || about != nil {
		t.Error("nobody asked for it, and it is enforced")
	}
}

// TestBadSchemas: what cannot be enforced is said, and what is not enforced is noted.
func TestBadSchemas(t *testing.T) {
	deep := strings.Repeat(`{"items":`, 99) + "{}" + strings.Repeat("}", 99)
	for text, note := range map[string]string{
		`{`:                                     "JSON, byte",
		`[]`:                                    "no JSON Schema",
		`{"type":"strnig"}`:                     "type at the top: \"strnig\" is none of null boolean object array number string integer",
		`{"properties":{"a":{"type":["x"]}}}`:   "type at /properties/a: \"x\" is none of",
		`{"$ref":"https://example.com/x.json"}`: "nothing is fetched",
		`{"$ref":"file:///etc/passwd"}`:         "nothing is fetched",
		`{"$ref":"#/$defs/none"}`:               "no such place",
		`{"$ref":"#name"}`:                      "only places",
		`{"$dynamicRef":"#x"}`:                  "not supported",
		`{"properties":{"a":{"$id":"x"}}}`:      "not supported",
		`{"properties":{"a":null}}`:             "no schema",
		`{"minLength":"3"}`:                     "no JSON Schema",
		`{"pattern":"` + strings.Repeat("a", maxPattern+1) + `"}`:               "pattern at the top: longer",
		`{"pattern":"(a{900}|b{900}){1}[0-9]{900}c{900}d{900}"}`:                "more than 4096 steps",
		`{"properties":{"` + strings.Repeat("a", maxPlace) + `":{"items":{}}}}`: "together longer",
		`{"anyOf":[` + strings.Repeat("{},", maxNodes) + `{}]}`:                 "more than 10000 schemas",
		`{"description":"` + strings.Repeat("a", maxAsked) + `"}`:               "longer than",
		strings.Replace(deep, "{}", `{"items":{"items":{}}}`, 1):                "too deep",
		`{"type":"object","type":"array"}`:                                      "twice",
		`{"type":"string","pattern":"^(?!x)a"}`:                                 "enforced without pattern",
		`{"unevaluatedProperties":false,"unevaluatedItems":false}`:              "without unevaluatedItems, unevaluatedProperties",
	} {
		judge, about := demand(t, guard.Asked{Text: text})
		if judge == nil || len(about) != 1 || len(about[0]) != 1 || !strings.Contains(about[0][0].Note, note) {
			t.Errorf("%.60s: %+v", text, about)
			continue
		}
		if noted := strings.Contains(note, "without"); noted != (about[0][0].Score < guard.FlagScore) {
			t.Errorf("%.60s: score %v", text, about[0][0].Score)
		}
	}
	if _, about := demand(t, guard.Asked{Text: deep}); len(about[0]) > 0 {
		t.Errorf("the deepest that is read: %+v", about)
	}
}

// TestBounded: schemas that take a library's validator for ever end, and say so.
func TestBounded(t *testing.T) {
	twice := `{"$defs":{"x":{"type":"object","anyOf":[{"properties":{"a":{"$ref":"#/$defs/x"}}},{"properties":{"a":{"$ref":"#/$defs/x"}}}]}},"$ref":"#/$defs/x"}`
	nested := strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60)
	doubled := `{"$defs":{"d0":{"type":"string"}`
	for i := 1; i < 60; i++ {
		doubled += fmt.Sprintf(`,"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`, i, i-1, i-1)
	}
	doubled += `},"$ref":"#/$defs/d59"}`
	for name, c := range map[string][2]string{
		"every level twice": {twice, nested},
		"round and round":   {`{"$ref":"#"}`, "1"},
		"not of itself":     {`{"not":{"$ref":"#"}}`, "1"},
		"doubled":           {doubled, `"a"`},
		"a pattern":         {`{"items":{"pattern":"(a|b|ab)*c[a-z]{0,900}$"}}`, `["` + strings.Repeat("ab", 100_000) + `"]`},
		"an enumeration":    {`{"items":{"enum":[` + strings.Repeat("1,", 5000) + `1]}}`, `[` + strings.Repeat("2,", 5000) + `2]`},
	} {
		judge, about := demand(t, guard.Asked{Text: c[0]})
		if len(about[0]) > 0 {
			t.Errorf("%s: %+v", name, about)
			continue
		}
		if name == "an enumeration" { // the first item is none of them
			if found, err := judge("", c[1]); err != nil || len(found) != 1 {
				t.Errorf("%s: %+v, %v", name, found, err)
			}
			continue
		}
		if found, err := judge("", c[1]); err == nil {
			t.Errorf("%s: %+v, and no word of how long it takes", name, found)
		}
	}
}

// same are schemas and texts on which a library's validator has the last word.
var same = [][2]string{
	{weather, `{"city":"Rome","days":0}`},
	{`{"type":["string","null"]}`, `null`},
	{`{"type":"integer"}`, `1.0`},
	{`{"enum":[1,"a",[1,{"a":null}],{"b":[]}]}`, `[1,{"a":null}]`},
	{`{"const":{"b":[]}}`, `{"b":[]}`},
	{`{"items":{"type":"number"},"prefixItems":[{"type":"string"}],"minItems":2,"uniqueItems":true}`, `["a",1,1]`},
	{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}],"additionalItems":false}`, `["a",1]`},
	{`{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a":{"type":"string"}},"$ref":"#/definitions/a","minLength":5}`, `"abc"`},
	{`{"$defs":{"a":{"type":"string"}},"$ref":"#/$defs/a","minLength":5}`, `"abc"`},
	{`{"contains":{"type":"number"},"minContains":2,"maxContains":3}`, `[1,"a",2]`},
	{`{"contains":{"type":"number"},"minContains":0}`, `["a"]`},
	{`{"patternProperties":{"^x":{"type":"number"}},"additionalProperties":{"type":"string"},"propertyNames":{"maxLength":3}}`, `{"x1":1,"y":"a"}`},
	{`{"dependentRequired":{"a":["b"]},"dependentSchemas":{"b":{"required":["c"]}},"minProperties":1,"maxProperties":2}`, `{"a":1,"b":2}`},
	{`{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"],"b":{"required":["c"]}}}`, `{"a":1,"b":2}`},
	{`{"allOf":[{"minimum":1}],"anyOf":[{"maximum":5},{"multipleOf":10}],"oneOf":[{"exclusiveMinimum":1},{"exclusiveMaximum":2}],"not":{"const":3}}`, `2`},
	{`{"if":{"type":"string"},"then":{"pattern":"^a+$"},"else":{"type":"number"}}`, `"aab"`},
	{`{"$defs":{"n":{"properties":{"next":{"$ref":"#/$defs/n"}},"additionalProperties":false}},"$ref":"#/$defs/n"}`, `{"next":{"next":{"more":1}}}`},
	{`{"properties":{"a~/b":{"type":"string"},"c":{"$ref":"#/properties/a~0~1b"}}}`, `{"c":1}`},
	{`true`, `1`}, {`false`, `1`}, {`{"items":false}`, `[]`}, {`{"items":false}`, `[1]`},
}

// FuzzRequested: no schema or text panics or takes for ever, and where a library's validator
// can be asked too, both say the same.
func FuzzRequested(f *testing.F) {
	for _, c := range same {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		for _, asOpenAPI := range []bool{false, true} {
			c, err := read(text, asOpenAPI)
			if err != nil {
				continue
			}
			note, err := c.note("", value)
			if asOpenAPI || err != nil || len(c.ignored) > 0 || strings.Contains(note, "no JSON") || endless(c) ||
				strings.Count(text, "$ref") > 1 && strings.Count(value, "{")+strings.Count(value, "[") > 12 {
				continue
			}
			want, ok := library(text, value)
			if ok && want != (note == "") {
				t.Errorf("schema %q\ntext %q\nthe library says %v, we %q", text, value, want, note)
			}
		}
	})
}

// endless says whether a schema comes back to itself at the same value, which ends the process
// of whoever asks a library about it.
func endless(c *checked) bool {
	const open, done = 1, 2
	state := map[*jsonschema.Schema]int{}
	var comesBack func(s *jsonschema.Schema) bool
	comesBack = func(s *jsonschema.Schema) bool {
		switch {
		case s == nil || state[s] == done:
			return false
		case state[s] == open:
			return true
		}
		state[s] = open
		all := slices.Concat(s.AllOf, s.AnyOf, s.OneOf, []*jsonschema.Schema{s.Not, s.If, s.Then, s.Else, c.refs[s]}, slices.Collect(maps.Values(s.DependentSchemas)), slices.Collect(maps.Values(s.DependencySchemas)))
		back := slices.ContainsFunc(all, comesBack)
		state[s] = done
		return back
	}
	var each func(s *jsonschema.Schema) error
	each = func(s *jsonschema.Schema) error {
		if comesBack(s) {
			return errSteps
		}
		return below(s, func(_ string, sub *jsonschema.Schema) error { return each(sub) })
	}
	return each(c.root) != nil
}

// library is what jsonschema-go says; ok is false where it has another opinion of the schema
// as such, or is known to be wrong.
func library(text, value string) (valid, ok bool) {
	var s jsonschema.Schema
	if json.Unmarshal([]byte(text), &s) != nil || miswritten(text) {
		return false, false
	}
	if s.Schema != "" && s.Schema != "https://json-schema.org/draft/2020-12/schema" && s.Schema != "http://json-schema.org/draft-07/schema#" {
		return false, false
	}
	old := strings.Contains(s.Schema, "draft-07")
	if strings.Contains(text, "Of") && strings.Contains(text, "e") && strings.Contains(text, "multipleOf") || strings.Contains(text, `"items":[`) != old && strings.Contains(text, `"items":[`) ||
		old && strings.Contains(text, "prefixItems") {
		return false, false
	}
	r, err := s.Resolve(nil)
	if err != nil {
		return false, false
	}
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		return false, false
	}
	return r.Validate(v) == nil, true
}

// miswritten says whether a schema has a keyword in other letters ("multipleOF"), which the
// library takes for it and the specification does not (JSON Schema core, 4.3: keywords are
// case-sensitive).
func miswritten(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	for {
		tok, err := d.Token()
		if err != nil {
			return false
		}
		s, ok := tok.(string)
		if !ok {
			continue
		}
		for f := range reflect.TypeFor[jsonschema.Schema]().NumField() {
			name, _, _ := strings.Cut(reflect.TypeFor[jsonschema.Schema]().Field(f).Tag.Get("json"), ",")
			if name != s && strings.EqualFold(name, s) {
				return true
			}
		}
	}
}

// TestSameAsLibrary: the least number of cases on which both are asked.
func TestSameAsLibrary(t *testing.T) {
	n := 0
	for _, s := range same {
		for _, v := range same {
			c, err := read(s[0], false)
			if err != nil {
				t.Fatalf("%s: %v", s[0], err)
			}
			note, err := c.note("", v[1])
			if err != nil {
				t.Fatal(err)
			}
			if want, ok := library(s[0], v[1]); ok {
				if n++; want != (note == "") {
					t.Errorf("%s\n%s\nthe library says %v, we %q", s[0], v[1], want, note)
				}
			}
		}
	}
	if n < 400 {
		t.Errorf("only %d pairs were compared", n)
	}
}
