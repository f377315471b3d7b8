package intel

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"

	"github.com/FastFilter/xorfilter"
)

// exactSet maps strings to numbers in compact immutable memory: a filter of
// nine bits per key turns away nearly every miss, then a look
// among few hashes, then the comparison with the stored bytes, so that neither the
// filter nor a collision can make a false match.
type exactSet struct {
	seed   maphash.Seed // per set: nobody outside can aim for collisions
	key    uint64       // with digest: what takes the seed's place
	digest bool         // keys are SHA-256 values, which are spread already
	filter *xorfilter.BinaryFuse8
	hashes []uint64
	begin  []uint32 // by the first bits of a hash: where those begin; one more at the end
	shift  int      // takes the other bits away
	at     []uint32 // payload of each hash
	starts []uint32 // where each key begins in keys; one more at the end
	keys   []byte
}

type builder struct {
	keys  []string
	at    []uint32
	merge func(at []uint32) // of equal keys, the one that stays first; nil: nothing to do
}

func (b *builder) add(key string, at uint32) {
	b.keys, b.at = append(b.keys, key), append(b.at, at)
}

var errTooLarge = errors.New("the keys of one type exceed 4 GiB: split the source")

// build sorts and packs. Of equal keys the better payload stays.
func (b *builder) build(digest bool, better func(a, b uint32) bool) (*exactSet, error) {
	s := &exactSet{seed: maphash.MakeSeed(), digest: digest}
	s.key = maphash.String(s.seed, "")
	hashes := make([]uint64, len(b.keys))
	order := make([]uint32, len(b.keys))
	for i, k := range b.keys {
		hashes[i], order[i] = s.hash(k), uint32(i)
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
	b.mergeEqual(order)
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
	s.divide()
	// The filter wants distinct hashes, and sorts what it is given.
	s.filter, err = xorfilter.PopulateBinaryFuse8(slices.Compact(slices.Clone(s.hashes)))
	return s, err
}

// mergeEqual hands the payloads of equal keys, one behind the other, to merge.
func (b *builder) mergeEqual(order []uint32) {
	if b.merge == nil {
		return
	}
	var at []uint32
	for i := 0; i < len(order); {
		at = append(at[:0], b.at[order[i]])
		n := i + 1
		for ; n < len(order) && b.keys[order[n]] == b.keys[order[i]]; n++ {
			at = append(at, b.at[order[n]])
		}
		if len(at) > 1 {
			b.merge(at)
		}
		i = n
	}
}

// find returns the payload of a key.
func (s *exactSet) find(key string) (uint32, bool) {
	h := s.hash(key)
	if s.turnsAway(s.mixed(h)) {
		return 0, false
	}
	return s.search(h, key)
}

// hash of a key. Whoever chooses files cannot choose eight bytes of their
// SHA-256, so these need no further mixing.
func (s *exactSet) hash(key string) uint64 {
	if s.digest {
		return binary.LittleEndian.Uint64([]byte(key[:8])) ^ s.key
	}
	return maphash.String(s.seed, key)
}

// mixed is the filter's own hash of a hash (MurmurHash3's finaliser).
func (s *exactSet) mixed(key uint64) uint64 {
	h := key + s.filter.Seed
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// turnsAway is the negation of the filter's own Contains of what was mixed, in
// pieces that are inlined: through its two generic calls a miss would cost half
// as much again.
func (s *exactSet) turnsAway(h uint64) bool {
	f := s.filter
	hi, _ := bits.Mul64(h, uint64(f.SegmentCountLength))
	a := uint32(hi)
	b := a + f.SegmentLength
	c := b + f.SegmentLength
	b ^= uint32(h>>18) & f.SegmentLengthMask
	c ^= uint32(h) & f.SegmentLengthMask
	return uint8(h^h>>32) != f.Fingerprints[a]^f.Fingerprints[b]^f.Fingerprints[c]
}

// search looks for a key that the filter did not turn away.
func (s *exactSet) search(h uint64, key string) (uint32, bool) {
	k := h >> s.shift
	for i := s.begin[k]; i < s.begin[k+1]; i++ {
		if s.hashes[i] == h && string(s.keys[s.starts[i]:s.starts[i+1]]) == key {
			return s.at[i], true
		}
	}
	return 0, false
}

// perBucket hashes have the same first bits, on average; a cache line has room for eight.
const perBucket = 4

// divide notes where the hashes of each beginning start.
func (s *exactSet) divide() {
	n := bits.Len(uint(len(s.hashes) / perBucket))
	s.shift = 64 - n
	s.begin = make([]uint32, 1<<n+1)
	for i := len(s.hashes) - 1; i >= 0; i-- {
		s.begin[s.hashes[i]>>s.shift] = uint32(i)
	}
	s.begin[1<<n] = uint32(len(s.hashes))
	for k := 1<<n - 1; k >= 0; k-- {
		// An empty bucket begins where the next one does.
		if i := s.begin[k]; int(i) >= len(s.hashes) || s.hashes[i]>>s.shift != uint64(k) {
			s.begin[k] = s.begin[k+1]
		}
	}
}
