package condition

import (
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/guardtest"
)

func TestCondition(t *testing.T) {
	in, err := New(Config{Rules: []Rule{{"coded", `role == "document" && "base64" in readings`, 0.6}, {"large", `size > 1000 && text.startsWith("BEGIN")`, 0.9}}})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "UHJvamVjdCBGYWxjb24gaXMgbGF0ZQ==", Role: guard.Document, Note: "rule coded"},
		{Text: "UHJvamVjdCBGYWxjb24gaXMgbGF0ZQ==", Role: guard.User},
		{Text: "BEGIN"},
	})
	for _, bad := range []Rule{{"x", "size +", 1}, {"x", "size + 1", 1}, {"x", "nothing == 1", 1}, {"", "true", 1}, {"x", "true", 2}} {
		if _, err := New(Config{Rules: []Rule{bad}}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
