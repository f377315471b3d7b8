package rule_test

import (
	"testing"

	"bartizan/content"
	"bartizan/internal/detect/rule"
)

func TestShippedRules(t *testing.T) {
	results, err := rule.Check(content.Rules())
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, r := range results {
		cases += r.Cases
		for _, f := range r.Failures {
			t.Errorf("%s:%d: %s: %s", r.File, r.Line, r.Rule, f)
		}
	}
	if len(results) < 75 || cases < 450 {
		t.Errorf("only %d rules with %d cases", len(results), cases)
	}
}
