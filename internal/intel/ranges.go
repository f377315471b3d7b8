package intel

import (
	"math/bits"
	"net/netip"
)

// ranges is an immutable set of IPv4 prefixes for longest-prefix look-ups with
// few, independent accesses to memory. Most addresses of the Internet lie in a
// /24 that no prefix of more than 16 bits touches; one bit of a map of 2 MB
// says so, and the answer is that of their /16. The others have a slot, found
// by counting bits, and the slots of a /24 that is cut further name a list of
// its parts. Memory is bounded by what the prefixes touch, at most 64 MB.
type ranges struct {
	keys   []uint64 // address<<6 | length, sorted: a prefix comes before what lies inside it
	parent []uint32 // the next shorter prefix around each, plus one; 0: none
	top    []uint32 // by /16: the prefix of at most 16 bits that covers it, plus one
	touch  []uint64 // a bit per /24
	rank   []uint32 // bits set before each word of touch
	slot   []uint32 // by set bit: a prefix plus one, or cut and the place of its parts
	parts  []part
}

// part of a /24: from is the first last byte it is for.
type part struct {
	of   uint32 // a prefix plus one
	from uint8
	more bool // another part of the same /24 follows
}

const cut = 1 << 31

func key4(p netip.Prefix) uint64 {
	return uint64(be32(p.Addr().As4()))<<6 | uint64(p.Bits())
}

func be32(b [4]byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func length(key uint64) int   { return int(key & 63) }
func first(key uint64) uint32 { return uint32(key >> 6) }
func last(key uint64) uint32  { return first(key) | uint32(uint64(0xffffffff)>>length(key)) }

// newRanges takes distinct prefixes, sorted by key.
func newRanges(keys []uint64) *ranges {
	r := &ranges{keys: keys, parent: make([]uint32, len(keys)),
		top: make([]uint32, 1<<16), touch: make([]uint64, 1<<18), rank: make([]uint32, 1<<18)}
	var around []uint32 // the prefixes that the last one lies in
	for i, key := range keys {
		for len(around) > 0 && last(r.keys[around[len(around)-1]]) < first(key) {
			around = around[:len(around)-1]
		}
		if n := len(around); n > 0 {
			r.parent[i] = around[n-1] + 1
		}
		around = append(around, uint32(i))
		if length(key) <= 16 {
			for k := first(key) >> 16; k <= last(key)>>16; k++ {
				r.top[k] = uint32(i) + 1
			}
			continue
		}
		for k := first(key) >> 8; k <= last(key)>>8; k++ {
			r.touch[k>>6] |= 1 << (k & 63)
		}
	}
	total := 0
	for i, w := range r.touch {
		r.rank[i] = uint32(total)
		total += bits.OnesCount64(w)
	}
	r.slot = make([]uint32, total)
	r.fill()
	return r
}

func (r *ranges) fill() {
	for w, word := range r.touch {
		n := r.rank[w]
		for ; word != 0; word &= word - 1 {
			k := uint32(w)<<6 | uint32(bits.TrailingZeros64(word))
			r.slot[n] = r.top[k>>8]
			n++
		}
	}
	for i := 0; i < len(r.keys); {
		key := r.keys[i]
		switch {
		case length(key) <= 16:
			i++
		case length(key) <= 24:
			for k := first(key) >> 8; k <= last(key)>>8; k++ {
				r.slot[r.place(k)] = uint32(i) + 1
			}
			i++
		default:
			i = r.cut(i)
		}
	}
}

// place is the slot of a /24 that is touched.
func (r *ranges) place(k uint32) uint32 {
	w := r.touch[k>>6]
	return r.rank[k>>6] + uint32(bits.OnesCount64(w&(1<<(k&63)-1)))
}

// cut makes the parts of the /24 that prefix i, longer than 24 bits, is the
// first in, and returns the first prefix behind it.
func (r *ranges) cut(i int) int {
	k := first(r.keys[i]) >> 8
	place := r.place(k)
	var of [256]uint32
	for b := range of {
		of[b] = r.slot[place] // what covers the whole /24 came before
	}
	for ; i < len(r.keys) && first(r.keys[i])>>8 == k; i++ {
		for b := first(r.keys[i]) & 255; b <= last(r.keys[i])&255; b++ {
			of[b] = uint32(i) + 1
		}
	}
	r.slot[place] = cut | uint32(len(r.parts))
	for b := 0; b < 256; b++ {
		if b == 0 || of[b] != of[b-1] {
			if b > 0 {
				r.parts[len(r.parts)-1].more = true
			}
			r.parts = append(r.parts, part{from: uint8(b), of: of[b]})
		}
	}
	return i
}

// find returns the longest prefix that covers a, plus one; 0: none.
func (r *ranges) find(a uint32) uint32 {
	w, bit := r.touch[a>>14], uint64(1)<<(a>>8&63)
	if w&bit == 0 {
		return r.top[a>>16]
	}
	s := r.slot[r.rank[a>>14]+uint32(bits.OnesCount64(w&(bit-1)))]
	if s&cut != 0 {
		return r.inside(s&^cut, a&255)
	}
	return s
}

// step4 is how many addresses findAll takes at once.
const step4 = 128

// findAll is find for at most step4 addresses. Each pass asks for memory that
// none of the others in it depends on, and none branches on what it read, which
// the processor would guess wrong half of the time.
func (r *ranges) findAll(addrs []uint32, out []Ref) {
	var words [step4]uint64
	var touched, deep [step4]uint8
	for i, a := range addrs {
		words[i&(step4-1)] = r.touch[a>>14]
	}
	n := 0
	for i, a := range addrs {
		out[i] = Ref(r.top[a>>16])
		touched[n&(step4-1)] = uint8(i)
		n += int(words[i&(step4-1)] >> (a >> 8 & 63) & 1)
	}
	m := 0
	for _, i := range touched[:n] {
		a := addrs[i]
		s := r.slot[r.rank[a>>14]+uint32(bits.OnesCount64(words[i&(step4-1)]&(1<<(a>>8&63)-1)))]
		out[i] = Ref(s)
		deep[m&(step4-1)] = i
		m += int(s >> 31)
	}
	for _, i := range deep[:m] {
		out[i] = Ref(r.inside(uint32(out[i])&^cut, addrs[i]&255))
	}
}

// inside finds the part that holds the last byte b of an address.
func (r *ranges) inside(i, b uint32) uint32 {
	for r.parts[i].more && uint32(r.parts[i+1].from) <= b {
		i++
	}
	return r.parts[i].of
}

// cover returns the longest prefix that covers all of p, plus one; 0: none.
func (r *ranges) cover(p netip.Prefix) uint32 {
	n := r.find(be32(p.Addr().As4()))
	for n != 0 && length(r.keys[n-1]) > p.Bits() {
		n = r.parent[n-1]
	}
	return n
}

// prefix is the one that find numbered n.
func (r *ranges) prefix(n uint32) netip.Prefix {
	key := r.keys[n-1]
	a := first(key)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), length(key))
}
