package intel

import (
	"fmt"
	"net/netip"
	"slices"

	"bartizan/internal/model"
)

// Builder collects entries for an Index in less memory than a list of them.
// The zero value is ready; it is used by one goroutine. Of two entries for one
// entity the one of higher confidence stays, among equals the one of lower id.
type Builder struct {
	// Merge, when not nil, chooses the id of an entity that was added several
	// times, in the order of their ids, which it may reorder but not keep. It is
	// set before anything is added.
	Merge   func(ids []uint64) uint64
	payload []payload // of everything but v4
	v4      []pair
	v6      map[netip.Prefix]uint32
	again   map[netip.Prefix][]uint64 // ids of those in v6 that were added several times
	exact   map[model.EntityType]*builder
	refused int
}

// Add takes an entry; the zero entity is counted as refused.
func (b *Builder) Add(e IndexEntry) {
	if e.Entity.IsZero() {
		b.refused++
		return
	}
	if pfx, ok := e.Entity.Prefix(); ok {
		b.AddPrefix(pfx, e.ID, e.Confidence)
		return
	}
	if b.exact == nil {
		b.exact = map[model.EntityType]*builder{}
	}
	set := b.exact[e.Entity.Type()]
	if set == nil {
		set = &builder{}
		b.exact[e.Entity.Type()] = set
	}
	set.add(packed(e.Entity), b.pay(e.ID, e.Confidence))
}

// pair is an IPv4 prefix with its payload.
type pair struct {
	key uint64
	payload
}

// Grow makes room for n more IPv4 prefixes, which saves their being copied.
func (b *Builder) Grow(n int) { b.v4 = slices.Grow(b.v4, n) }

// AddPrefix takes an address or prefix, in the canonical form (model.ParsePrefix)
// and without the detour of an entity; the invalid one is counted as refused.
func (b *Builder) AddPrefix(pfx netip.Prefix, id uint64, confidence float32) {
	switch {
	case !pfx.IsValid():
		b.refused++
	case pfx.Addr().Is4():
		b.v4 = append(b.v4, pair{key4(pfx.Masked()), payload{id, confidence}})
	default:
		if b.v6 == nil {
			b.v6 = map[netip.Prefix]uint32{}
		}
		pfx = pfx.Masked()
		at, ok := b.v6[pfx]
		if ok && b.Merge != nil {
			b.repeat(pfx, b.payload[at].id, id)
		}
		if !ok || better(payload{id, confidence}, b.payload[at]) {
			b.v6[pfx] = b.pay(id, confidence)
		}
	}
}

func (b *Builder) repeat(pfx netip.Prefix, first, id uint64) {
	if b.again == nil {
		b.again = map[netip.Prefix][]uint64{}
	}
	if b.again[pfx] == nil {
		b.again[pfx] = []uint64{first}
	}
	b.again[pfx] = append(b.again[pfx], id)
}

// mergeV4 gives what occurs several times, one behind the other, a merged id.
func (b *Builder) mergeV4() {
	var ids []uint64
	for i := 0; i < len(b.v4); {
		n := i + 1
		for n < len(b.v4) && b.v4[n].key == b.v4[i].key {
			n++
		}
		if n > i+1 {
			ids = ids[:0]
			for _, p := range b.v4[i:n] {
				ids = append(ids, p.id)
			}
			slices.Sort(ids)
			b.v4[i].id = b.Merge(ids)
		}
		i = n
	}
}

func (b *Builder) pay(id uint64, confidence float32) uint32 {
	b.payload = append(b.payload, payload{id, confidence})
	return uint32(len(b.payload) - 1)
}

// Build makes the index and empties the builder.
func (b *Builder) Build() (*Index, error) {
	x := &Index{exact: map[model.EntityType]*exactSet{}, refused: b.refused}
	keep := func(at uint32) uint32 { return x.keep(b.payload[at]) }
	if len(b.v4) > 0 {
		slices.SortFunc(b.v4, func(p, q pair) int {
			switch {
			case p.key != q.key:
				if p.key < q.key {
					return -1
				}
				return 1
			case better(p.payload, q.payload):
				return -1
			}
			return 1
		})
		if b.Merge != nil {
			b.mergeV4()
		}
		b.v4 = slices.CompactFunc(b.v4, func(p, q pair) bool { return p.key == q.key })
		keys := make([]uint64, len(b.v4)) // the payload of the n-th is the n-th
		x.ids = make([]uint64, 0, len(b.v4)+len(b.payload))
		for i := range b.v4 {
			keys[i] = b.v4[i].key
			x.keep(b.v4[i].payload)
		}
		b.v4 = nil
		x.v4 = newRanges(keys)
	}
	if b.Merge != nil {
		for pfx, ids := range b.again {
			slices.Sort(ids)
			b.payload[b.v6[pfx]].id = b.Merge(ids)
		}
	}
	for pfx, at := range b.v6 {
		x.prefixes.Insert(pfx, keep(at))
	}
	for t, list := range b.exact {
		if b.Merge != nil {
			list.merge = func(at []uint32) {
				ids := make([]uint64, len(at))
				for i, p := range at {
					ids[i] = b.payload[p].id
				}
				slices.Sort(ids)
				b.payload[at[0]].id = b.Merge(ids)
			}
		}
		set, err := list.build(t == model.TypeSHA256, func(p, q uint32) bool { return better(b.payload[p], b.payload[q]) })
		if err != nil {
			return nil, fmt.Errorf("build %s index: %w", t, err)
		}
		for i, at := range set.at {
			set.at[i] = keep(at)
		}
		x.exact[t] = set
	}
	x.sums = x.exact[model.TypeSHA256]
	x.ids, x.sure = slices.Clip(x.ids), slices.Clip(x.sure)
	*b = Builder{}
	return x, nil
}

// keep takes a payload and tells its place.
func (x *Index) keep(p payload) uint32 {
	if x.sure == nil && p.confidence != 1 {
		x.sure = make([]float32, len(x.ids), cap(x.ids))
		for i := range x.sure {
			x.sure[i] = 1
		}
	}
	x.ids = append(x.ids, p.id)
	if x.sure != nil {
		x.sure = append(x.sure, p.confidence)
	}
	return uint32(len(x.ids) - 1)
}
