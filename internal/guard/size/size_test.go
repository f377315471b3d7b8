package size

import (
	"strings"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/guardtest"
)

func TestSize(t *testing.T) {
	in, err := New(Config{Max: 1 << 19})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: strings.Repeat("a", 1<<19+1), Note: "the limit is"},
		{Text: strings.Repeat("a", 1<<19)},
	})
	if _, err := New(Config{Max: -1}); err == nil {
		t.Error("no error for a negative limit")
	}
	none, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Inspect(guardtest.Text("x", guard.User)); err == nil {
		t.Error("no limit, and nothing said")
	}
}
