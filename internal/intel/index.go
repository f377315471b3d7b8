package intel

import (
	"fmt"
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
	prefixes bart.Table[uint32]
	exact    map[model.EntityType]*exactSet
	payload  []payload
	refused  int
}

type payload struct {
	id         uint64
	confidence float32
}

// Build makes an index. Of two entries for one entity the one of higher
// confidence stays, among equals the one of lower id. Zero entities are
// counted in Refused.
func Build(entries []IndexEntry) (*Index, error) {
	x := &Index{exact: map[model.EntityType]*exactSet{}}
	chosen := make(map[model.EntityType]*builder)
	x.payload = make([]payload, 0, len(entries))
	for _, e := range entries {
		p := payload{e.ID, e.Confidence}
		if e.Entity.IsZero() {
			x.refused++
			continue
		}
		if pfx, ok := e.Entity.Prefix(); ok {
			x.insertPrefix(pfx, p)
			continue
		}
		b := chosen[e.Entity.Type()]
		if b == nil {
			b = &builder{}
			chosen[e.Entity.Type()] = b
		}
		b.add(packed(e.Entity), uint32(len(x.payload)))
		x.payload = append(x.payload, p)
	}
	for t, b := range chosen {
		set, err := b.build(func(a, b uint32) bool { return better(x.payload[a], x.payload[b]) })
		if err != nil {
			return nil, fmt.Errorf("build %s index: %w", t, err)
		}
		x.exact[t] = set
	}
	return x, nil
}

func (x *Index) insertPrefix(pfx netip.Prefix, p payload) {
	if at, ok := x.prefixes.Get(pfx); ok {
		if better(p, x.payload[at]) {
			x.payload[at] = p
		}
		return
	}
	x.prefixes.Insert(pfx, uint32(len(x.payload)))
	x.payload = append(x.payload, p)
}

func better(a, b payload) bool {
	if a.confidence != b.confidence {
		return a.confidence > b.confidence
	}
	return a.id < b.id
}

// packed is the key of an exact entry. SHA-256 values are kept as bytes: half
// the memory of their text.
func packed(e model.Entity) string {
	if e.Type() == model.TypeSHA256 {
		return unhex(e.Value())
	}
	return e.Value()
}

func unhex(s string) string {
	var b [32]byte
	for i := range b {
		b[i] = nibble(s[2*i])<<4 | nibble(s[2*i+1])
	}
	return string(b[:])
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// Len is the number of distinct entries; Refused those that named nothing.
func (x *Index) Len() int {
	n := x.prefixes.Size()
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
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return Match{}, false
	}
	pfx, at, ok := x.prefixes.LookupPrefixLPM(netip.PrefixFrom(addr, addr.BitLen()))
	if !ok {
		return Match{}, false
	}
	p := x.payload[at]
	return Match{model.PrefixEntity(pfx), p.id, p.confidence}, true
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

// Lookup finds exactly this entity; for addresses and domains it answers as
// LookupAddr (an address or prefix covered by an entry) and LookupDomain do.
func (x *Index) Lookup(e model.Entity) (Match, bool) {
	if pfx, ok := e.Prefix(); ok {
		lpm, at, ok := x.prefixes.LookupPrefixLPM(pfx)
		if !ok {
			return Match{}, false
		}
		p := x.payload[at]
		return Match{model.PrefixEntity(lpm), p.id, p.confidence}, true
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
	p := x.payload[at]
	return Match{e, p.id, p.confidence}, true
}

func (x *Index) match(t model.EntityType, value string, at uint32) (Match, bool) {
	e, err := model.ParseEntity(t, value)
	if err != nil {
		return Match{}, false
	}
	p := x.payload[at]
	return Match{e, p.id, p.confidence}, true
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
