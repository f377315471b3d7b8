package intel

import (
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"sort"

	"github.com/FastFilter/xorfilter"
)

// exactSet maps strings to numbers in compact immutable memory: a filter of
// nine bits per key turns away nearly every miss, then a search in sorted
// hashes, then the comparison with the stored bytes, so that neither the
// filter nor a collision can make a false match.
type exactSet struct {
	seed   maphash.Seed // per set: nobody outside can aim for collisions
	filter *xorfilter.BinaryFuse8
	hashes []uint64
	at     []uint32 // payload of each hash
	starts []uint32 // where each key begins in keys; one more at the end
	keys   []byte
}

type builder struct {
	keys []string
	at   []uint32
}

func (b *builder) add(key string, at uint32) {
	b.keys, b.at = append(b.keys, key), append(b.at, at)
}

var errTooLarge = errors.New("the keys of one type exceed 4 GiB: split the source")

// build sorts and packs. Of equal keys the better payload stays.
func (b *builder) build(better func(a, b uint32) bool) (*exactSet, error) {
	s := &exactSet{seed: maphash.MakeSeed()}
	hashes := make([]uint64, len(b.keys))
	order := make([]uint32, len(b.keys))
	for i, k := range b.keys {
		hashes[i], order[i] = maphash.String(s.seed, k), uint32(i)
	}
	slices.SortFunc(order, func(i, j uint32) int {
		switch {
		case hashes[i] != hashes[j]:
			if hashes[i] < hashes[j] {
				return -1
			}
			return 1
		case b.keys[i] != b.keys[j]:
			if b.keys[i] < b.keys[j] {
				return -1
			}
			return 1
		case better(b.at[i], b.at[j]):
			return -1
		}
		return 1
	})
	order = slices.CompactFunc(order, func(i, j uint32) bool { return b.keys[i] == b.keys[j] })
	total := 0
	for _, i := range order {
		total += len(b.keys[i])
	}
	if total > math.MaxUint32 {
		return nil, errTooLarge
	}
	s.hashes, s.at = make([]uint64, len(order)), make([]uint32, len(order))
	s.starts, s.keys = make([]uint32, 0, len(order)+1), make([]byte, 0, total)
	for n, i := range order {
		s.hashes[n], s.at[n] = hashes[i], b.at[i]
		s.starts = append(s.starts, uint32(len(s.keys)))
		s.keys = append(s.keys, b.keys[i]...)
	}
	s.starts = append(s.starts, uint32(len(s.keys)))
	var err error
	// The filter wants distinct hashes, and sorts what it is given.
	s.filter, err = xorfilter.PopulateBinaryFuse8(slices.Compact(slices.Clone(s.hashes)))
	return s, err
}

// find returns the payload of a key.
func (s *exactSet) find(key string) (uint32, bool) {
	h := maphash.String(s.seed, key)
	if !s.filter.Contains(h) {
		return 0, false
	}
	i := sort.Search(len(s.hashes), func(i int) bool { return s.hashes[i] >= h })
	for ; i < len(s.hashes) && s.hashes[i] == h; i++ {
		if string(s.keys[s.starts[i]:s.starts[i+1]]) == key {
			return s.at[i], true
		}
	}
	return 0, false
}
