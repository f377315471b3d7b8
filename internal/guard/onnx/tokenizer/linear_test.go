//go:build !race

package tokenizer

import (
	"strings"
	"testing"
)

// TestNotQuadratic: half a megabyte of what is the worst for one step or another. What takes the square of that does not
// end within the time limit of a test run.
func TestNotQuadratic(t *testing.T) {
	for name, file := range files(t) {
		tok := load(t, file)
		for _, s := range []string{"a", "▁", " ", "e\u0301", "'", "\u0301", "忽", "|||IP"} {
			if _, _, err := tok.Encode(strings.Repeat(s, 512<<10/len(s)), 1<<30); err != nil {
				t.Fatalf("%s, %q: %v", name, s, err)
			}
		}
	}
}
