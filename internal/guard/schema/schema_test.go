package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/guardtest"
)

const weather = `{"type":"object","properties":{"city":{"type":"string","maxLength":20},"days":{"type":"integer","minimum":1}},"required":["city"],"additionalProperties":false}`

func with(t *testing.T, text string, always bool) (guard.Inspector, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return New(Config{File: file, Always: always})
}

func TestSchema(t *testing.T) {
	in, err := with(t, weather, false)
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: `{"city":"Rome"}`},
		{Text: ` {"city":"Rome","days":3} `},
		{Text: "It will rain in Rome."},
		{Text: "get_weather"},
		{Text: `{"days":3}`, Note: "not of the schema"},
		{Text: `{"city":"Rome","days":0}`, Note: "not of the schema"},
		{Text: `{"city":"Rome","also":"this"}`, Note: "not of the schema"},
		{Text: `["Rome"]`, Note: "not of the schema"},
		{Text: `{"city":"Rome","city":"Paris"}`, Note: "reads alike"},
		{Text: `{"city":"Rome"} {"city":"Rome"}`, Note: "reads alike"},
		{Text: `{"city":`, Note: "reads alike"},
	})
	always, err := with(t, weather, true)
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, always, []guardtest.Case{{Text: `{"city":"Rome"}`}, {Text: "It will rain in Rome.", Note: "reads alike"}, {Text: "", Note: "reads alike"}})
}

// TestSchemaNotes: what is wrong is never quoted.
func TestSchemaNotes(t *testing.T) {
	in, err := with(t, weather, false)
	if err != nil {
		t.Fatal(err)
	}
	got, err := in.Inspect(guardtest.Text(`{"city":"a secret that is longer than twenty letters"}`, guard.User))
	if err != nil || len(got) != 1 || strings.Contains(got[0].Note, "secret") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSchemaConfig(t *testing.T) {
	for name, text := range map[string]string{"no JSON": "{", "no schema": `[]`, "another file": `{"$ref":"https://example.com/other.json"}`,
		"bad pattern": `{"pattern":"("}`} {
		if _, err := with(t, text, false); err == nil || !strings.Contains(err.Error(), "schema.json") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{File: filepath.Join(t.TempDir(), "nowhere.json")}); err == nil {
		t.Error("a file that does not exist was read")
	}
	if _, err := New(Config{Always: true}); err == nil {
		t.Error("always without a schema")
	}
	none, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Inspect(guardtest.Text("{}", guard.User)); err == nil {
		t.Error("no schema, and nothing said")
	}
}
