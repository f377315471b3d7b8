package intel

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync/atomic"

	"bartizan/internal/model"

	"github.com/gaissmai/bart"
)

// IndexEntry is one thing to be found.
type IndexEntry struct {
	Entity     model.Entity
	ID         uint64  // the builder's own reference, returned with every match
	Confidence float32 // 0–1
}

// Match is the answer to a look-up.
type Match struct {
	Entity     model.Entity // the entry that matched: the prefix, the parent domain, …
	ID         uint64
	Confidence float32
}

// Index answers look-ups over millions of entries. It is immutable, so that
// any number of goroutines may use it; a new one is built beside it and
// swapped in with Live.
type Index struct {
	v4       *ranges
	prefixes bart.Table[uint32] // IPv6
	exact    map[model.EntityType]*exactSet
	sums     *exactSet // those of SHA-256 values
	ids      []uint64
	sure     []float32 // confidences; nil when all are 1
	refused  int
}

type payload struct {
	id         uint64
	confidence float32
}

// Ref names an entry of one Index; 0: no entry.
type Ref uint32

// Build makes an index of a list; see Builder.
func Build(entries []IndexEntry) (*Index, error) {
	var b Builder
	for _, e := range entries {
		b.Add(e)
	}
	return b.Build()
}

func better(a, b payload) bool {
	if a.confidence != b.confidence {
		return a.confidence > b.confidence
	}
	return a.id < b.id
}

// packed is the key of an exact entry. What files hash to is kept as bytes: half
// the memory of its text.
func packed(e model.Entity) string {
	switch e.Type() {
	case model.TypeSHA256, model.TypeSHA1, model.TypeMD5:
		return unhex(e.Value())
	}
	return e.Value()
}

// unhex is for the hex digits of an Entity, which are lower case and at most 64.
func unhex(s string) string {
	var b [32]byte
	n := len(s) / 2
	for i := range n {
		b[i] = nibble(s[2*i])<<4 | nibble(s[2*i+1])
	}
	return string(b[:n])
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// Len is the number of distinct entries.
func (x *Index) Len() int {
	n := x.prefixes.Size()
	if x.v4 != nil {
		n += len(x.v4.keys)
	}
	for _, s := range x.exact {
		n += len(s.hashes)
	}
	return n
}

// Refused is the number of entries that named nothing.
func (x *Index) Refused() int { return x.refused }

// LookupAddr finds the longest prefix that covers addr, v4-mapped forms
// included.
func (x *Index) LookupAddr(addr netip.Addr) (Match, bool) {
	if addr.Is4() { // as most are
		if x.v4 == nil {
			return Match{}, false
		}
		n := x.v4.find(be32(addr.As4()))
		if n == 0 {
			return Match{}, false
		}
		return x.found(x.v4.prefix(n), n-1), true
	}
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return Match{}, false
	}
	return x.lookupPrefix(netip.PrefixFrom(addr, addr.BitLen()))
}

func (x *Index) lookupPrefix(pfx netip.Prefix) (Match, bool) {
	if !pfx.Addr().Is4() {
		lpm, at, ok := x.prefixes.LookupPrefixLPM(pfx)
		if !ok {
			return Match{}, false
		}
		return x.found(lpm, at), true
	}
	if x.v4 == nil {
		return Match{}, false
	}
	n := x.v4.cover(pfx)
	if n == 0 {
		return Match{}, false
	}
	return x.found(x.v4.prefix(n), n-1), true
}

func (x *Index) found(pfx netip.Prefix, at uint32) Match {
	return Match{model.PrefixEntity(pfx), x.ids[at], x.confidence(at)}
}

func (x *Index) confidence(at uint32) float32 {
	if x.sure == nil {
		return 1
	}
	return x.sure[at]
}

// Find4 finds, for each IPv4 address of a batch, the longest prefix that covers
// it, as LookupAddr does: out[i] is for addrs[i], in host byte order. The
// processor fetches what a batch needs at the same time, so this costs a
// fraction of as many single look-ups. Match4 says what a Ref names. It panics
// when out is shorter than addrs.
func (x *Index) Find4(addrs []uint32, out []Ref) {
	out = out[:len(addrs)]
	if x.v4 == nil {
		clear(out)
		return
	}
	for len(addrs) > 0 {
		n := min(len(addrs), step4)
		x.v4.findAll(addrs[:n], out[:n])
		addrs, out = addrs[n:], out[n:]
	}
}

// Match4 is what Find4 found, which must not be 0.
func (x *Index) Match4(r Ref) Match {
	return x.found(x.v4.prefix(uint32(r)), uint32(r)-1)
}

// LookupDomain finds the longest entry that is the name or a parent of it.
// The name is matched as DNS does: letter case and a trailing dot are ignored.
func (x *Index) LookupDomain(name string) (Match, bool) {
	set := x.exact[model.TypeDomain]
	if set == nil || len(name) > 254 {
		return Match{}, false
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for name != "" {
		if at, ok := set.find(name); ok {
			return x.match(model.TypeDomain, name, at)
		}
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = parent
	}
	return Match{}, false
}

// LookupURL finds the URL itself, in its canonical form (model.ParseEntity).
func (x *Index) LookupURL(u string) (Match, bool) {
	if x.exact[model.TypeURL] == nil {
		return Match{}, false
	}
	e, err := model.ParseEntity(model.TypeURL, u)
	if err != nil {
		return Match{}, false
	}
	return x.Lookup(e)
}

// LookupHash finds a SHA-256 given as 64 hex digits of either case.
func (x *Index) LookupHash(sha256 string) (Match, bool) {
	e, err := model.ParseEntity(model.TypeSHA256, sha256)
	if err != nil {
		return Match{}, false
	}
	return x.Lookup(e)
}

// FindSHA256 finds a SHA-256. One that is not there costs hardly more than the
// filter's answer; MatchSHA256 says what a Ref names.
func (x *Index) FindSHA256(sum *[32]byte) Ref {
	set := x.sums
	if set == nil {
		return 0
	}
	h := binary.LittleEndian.Uint64(sum[:]) ^ set.key
	if set.turnsAway(set.mixed(h)) {
		return 0
	}
	return set.searchSum(sum, h)
}

func (s *exactSet) searchSum(sum *[32]byte, h uint64) Ref {
	at, ok := s.search(h, string(sum[:]))
	if !ok {
		return 0
	}
	return Ref(at + 1)
}

// MatchSHA256 is what FindSHA256 found, which must not be 0.
func (x *Index) MatchSHA256(sum *[32]byte, r Ref) Match {
	m, _ := x.match(model.TypeSHA256, hex.EncodeToString(sum[:]), uint32(r)-1)
	return m
}

// Lookup finds exactly this entity; for addresses and domains it answers as
// LookupAddr (an address or prefix covered by an entry) and LookupDomain do.
func (x *Index) Lookup(e model.Entity) (Match, bool) {
	if pfx, ok := e.Prefix(); ok {
		return x.lookupPrefix(pfx)
	}
	if e.Type() == model.TypeDomain {
		return x.LookupDomain(e.Value())
	}
	set := x.exact[e.Type()]
	if set == nil {
		return Match{}, false
	}
	at, ok := set.find(packed(e))
	if !ok {
		return Match{}, false
	}
	return Match{e, x.ids[at], x.confidence(at)}, true
}

func (x *Index) match(t model.EntityType, value string, at uint32) (Match, bool) {
	e, err := model.ParseEntity(t, value)
	if err != nil {
		return Match{}, false
	}
	return Match{e, x.ids[at], x.confidence(at)}, true
}

// Live is the index in use. The zero value holds an empty one.
type Live struct{ p atomic.Pointer[Index] }

// Load returns the index in use, never nil.
func (l *Live) Load() *Index {
	if x := l.p.Load(); x != nil {
		return x
	}
	return &Index{}
}

// Swap puts x in use; look-ups that have begun finish with the old one.
func (l *Live) Swap(x *Index) { l.p.Store(x) }
