package flow

import (
	"hash/maphash"
)

// newSeed draws two random odd numbers.
func newSeed() [2]uint64 {
	var h maphash.Hash
	h.SetSeed(maphash.MakeSeed())
	h.WriteByte(1)
	a := h.Sum64()
	h.WriteByte(2)
	return [2]uint64{a | 1, h.Sum64() | 1}
}
