package abuse

import (
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// The counters that stand across count as single ones do.
func TestSimhash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.Uint64(), 1, 200).Draw(t, "words")
		var sum [64]int
		for i := range words[1:] {
			v := (bits.RotateLeft64(words[i], 21) ^ words[i+1]) * 0x9e3779b97f4a7c15
			for b := range sum {
				sum[b] += int(v>>b&1)*2 - 1
			}
		}
		want := uint64(0)
		for b, s := range sum {
			if s > 0 {
				want |= 1 << b
			}
		}
		if got := simhash(words); got != want {
			t.Fatalf("%d words: %x, want %x", len(words), got, want)
		}
	})
}
