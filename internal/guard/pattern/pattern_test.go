package pattern

import (
	"testing"

	"bartizan/internal/guard/guardtest"
)

func TestPattern(t *testing.T) {
	in, err := New(Config{Rules: []Rule{{"project", `(?i)project\s+falcon`, 0.6}}})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "about Project  Falcon", Note: "rule project"},
		{Text: "Pro\u200bject Falcon", Note: "rule project"},
		{Text: "UHJvamVjdCBGYWxjb24gaXMgbGF0ZQ==", Note: "rule project"},
		{Text: "a falcon project"},
	})
	for _, bad := range []Rule{{"", "a", 1}, {"x", "(", 1}, {"x", "a*", 1}, {"x", "a", 0}} {
		if _, err := New(Config{Rules: []Rule{bad}}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
