package intel

import (
	"container/heap"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"bartizan/internal/model"
)

// Store holds the current indicators. It is safe for concurrent use; folding
// and expiring are exclusive, reading is shared.
type Store struct {
	mu    sync.RWMutex
	conf  Config
	by    map[model.Entity]*record
	order byExpiry
	bytes int64
	wide  widths
	// newest is at least the time of the newest evidence held.
	newest int64
	stats  Stats
}

// Stats counts what happened since New.
type Stats struct {
	Indicators int    `json:"indicators"`
	Bytes      int64  `json:"bytes"`    // estimated memory
	Folded     uint64 `json:"folded"`   // signals taken in
	Repeated   uint64 `json:"repeated"` // signals known already
	Refused    uint64 `json:"refused"`  // signals that fail their own check
	Expired    uint64 `json:"expired"`
	Evicted    uint64 `json:"evicted"` // removed early for lack of room
}

// widths counts the prefixes of each length that are held, so that a look-up
// asks for no length that nobody uses.
type widths struct {
	v4 [33]int
	v6 [129]int
}

// New makes an empty store. Settings that cannot work are a mistake of the
// program, which validates what people wrote: New panics.
func New(c Config) *Store {
	if err := c.Validate(); err != nil {
		panic("BUG: intel.New: " + err.Error())
	}
	return &Store{conf: c, by: map[model.Entity]*record{}}
}

// Fold takes one signal in and returns the entities whose indicators changed:
// the actor, and what came with it. A signal that was folded before changes
// nothing. The store keeps no reference to s.
//
// The state does not depend on the order in which signals of different actors
// arrive, and not on the order within one actor either as long as a signal is
// not later than MaxTermIDs newer ones of its own kind, sensor and actor.
func (st *Store) Fold(s *model.Signal) []model.Entity {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := s.Check(); err != nil {
		st.stats.Refused++
		return nil
	}
	st.stats.Folded++
	h := direct
	if s.Spoofable {
		h = spoofed
	}
	var changed []model.Entity
	if st.put(s, s.Actor, h) {
		changed = append(changed, s.Actor)
	}
	for i, e := range s.Related {
		if e.IsZero() || e == s.Actor || slices.Contains(s.Related[:i], e) {
			continue
		}
		switch {
		case s.Spoofable:
			h = spoofed
		case s.Proves(e):
			h = direct
		case e.Type() == model.TypeIP:
			h = named // anybody can name any address: that proves nothing about it
		default:
			h = related
		}
		if st.put(s, e, h) {
			changed = append(changed, e)
		}
	}
	if len(changed) == 0 {
		st.stats.Repeated++
		return nil
	}
	st.evict()
	return slices.DeleteFunc(changed, func(e model.Entity) bool { return st.by[e] == nil })
}

// put folds a signal into one entity's record.
func (st *Store) put(s *model.Signal, e model.Entity, h how) bool {
	r := st.by[e]
	fresh := r == nil
	var before int64
	if fresh {
		r = &record{entity: e}
	} else {
		before = r.cost()
	}
	llr := 0.0
	if s.Confidence > 0.5 {
		llr = min(logit(min(s.Confidence, 0.999999)), st.conf.MaxLLR)
	}
	t := r.term(&st.conf, termKey{kind: s.Kind, class: s.Class, sensor: s.Sensor, how: h})
	if !t.add(&st.conf, s.ID, nanos(s.Time), llr, s.Count) {
		return false
	}
	r.severity = max(r.severity, min(s.Severity, model.Critical))
	for _, id := range s.Techniques {
		r.technique(id)
	}
	st.newest = max(st.newest, nanos(s.Time))
	r.refresh(&st.conf)
	st.bytes += r.cost() - before
	if fresh {
		st.by[e] = r
		heap.Push(&st.order, r)
		st.wide.count(e, 1)
		return true
	}
	heap.Fix(&st.order, int(r.pos))
	return true
}

func (r *record) technique(id string) {
	if id == "" || len(id) > maxTechnique || strings.ContainsFunc(id, notTechnique) {
		return
	}
	h := unique.Make(id)
	i, found := slices.BinarySearchFunc(r.techniques, id, func(a unique.Handle[string], b string) int {
		return strings.Compare(a.Value(), b)
	})
	if found {
		return
	}
	// Sorted, and the smallest are kept: which ones does not depend on the order.
	r.techniques = slices.Insert(r.techniques, i, h)
	if len(r.techniques) > MaxTechniques {
		r.techniques = r.techniques[:MaxTechniques]
	}
}

// notTechnique finds what no ATT&CK or ATLAS id contains; ids come from
// sensors and are shown to people.
func notTechnique(c rune) bool {
	return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-')
}

// evict makes room: what would expire first is worth least, because that
// moment grows with both strength and freshness.
func (st *Store) evict() {
	for len(st.by) > 1 && (len(st.by) > st.conf.MaxIndicators || st.bytes > st.conf.MaxBytes) {
		st.drop(st.order[0])
		st.stats.Evicted++
	}
}

func (st *Store) drop(r *record) {
	heap.Remove(&st.order, int(r.pos))
	delete(st.by, r.entity)
	st.bytes -= r.cost()
	st.wide.count(r.entity, -1)
}

// Expire removes the indicators whose evidence has decayed, or is dated so far
// in the future that it can only be a lie or a wrong clock, and returns what
// they were about.
func (st *Store) Expire(now time.Time) []model.Entity {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := nanos(now)
	var gone []model.Entity
	for len(st.order) > 0 && st.order[0].expires <= n {
		gone = append(gone, st.order[0].entity)
		st.drop(st.order[0])
	}
	gone = append(gone, st.disbelieve(later(n, st.conf.MaxSkew))...)
	st.stats.Expired += uint64(len(gone))
	return gone
}

// disbelieve removes terms that hold evidence dated after the limit: a lying
// sensor, or a clock that was set back. Only that sensor's word on that kind is
// lost, and the next signal starts it anew. It looks at everything, but only
// when something so new was ever folded.
func (st *Store) disbelieve(limit int64) []model.Entity {
	if st.newest <= limit {
		return nil
	}
	st.newest = 0
	var empty []*record
	for _, r := range st.by {
		before := r.cost()
		had := len(r.terms)
		r.terms = slices.DeleteFunc(r.terms, func(t term) bool { return t.last > limit })
		for i := range r.terms {
			st.newest = max(st.newest, r.terms[i].last)
		}
		switch {
		case len(r.terms) == had:
			continue
		case len(r.terms) == 0:
			empty = append(empty, r)
		default:
			r.refresh(&st.conf)
			heap.Fix(&st.order, int(r.pos))
		}
		st.bytes += r.cost() - before
	}
	gone := make([]model.Entity, 0, len(empty))
	for _, r := range empty {
		gone = append(gone, r.entity)
		st.drop(r)
	}
	slices.SortFunc(gone, compareEntities)
	return gone
}

func compareEntities(a, b model.Entity) int {
	if c := strings.Compare(string(a.Type()), string(b.Type())); c != 0 {
		return c
	}
	return strings.Compare(a.Value(), b.Value())
}

// Get returns what is held about an entity, as of now.
func (st *Store) Get(e model.Entity, now time.Time) (model.Indicator, bool) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.get(e, nanos(now))
}

func (st *Store) get(e model.Entity, now int64) (model.Indicator, bool) {
	r := st.by[e]
	if r == nil || r.expires <= now {
		return model.Indicator{}, false
	}
	return r.indicator(&st.conf, now), true
}

// Lookup returns every indicator whose address or prefix covers addr, the
// longest prefix first. An IPv6 address is covered by its /64.
func (st *Store) Lookup(addr netip.Addr, now time.Time) []model.Indicator {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return nil
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	lengths := st.wide.v4[:]
	if addr.Is6() {
		lengths = st.wide.v6[:model.ActorBits6+1]
	}
	var out []model.Indicator
	for bits := len(lengths) - 1; bits >= 0; bits-- {
		if lengths[bits] == 0 {
			continue
		}
		if ind, ok := st.get(model.PrefixEntity(netip.PrefixFrom(addr, bits)), nanos(now)); ok {
			out = append(out, ind)
		}
	}
	return out
}

// Stats returns the counters and current sizes.
func (st *Store) Stats() Stats {
	st.mu.RLock()
	defer st.mu.RUnlock()
	s := st.stats
	s.Indicators, s.Bytes = len(st.by), st.bytes
	return s
}

// Len is the number of entities held.
func (st *Store) Len() int {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return len(st.by)
}

func (w *widths) count(e model.Entity, by int) {
	p, ok := e.Prefix()
	switch {
	case !ok:
	case p.Addr().Is4():
		w.v4[p.Bits()] += by
	default:
		w.v6[p.Bits()] += by
	}
}

// byExpiry is a heap of all records, the one that ends first on top.
type byExpiry []*record

func (h byExpiry) Len() int { return len(h) }

// Less breaks ties by the entity, so that who is evicted does not depend on
// the order of arrival.
func (h byExpiry) Less(i, j int) bool {
	if h[i].expires != h[j].expires {
		return h[i].expires < h[j].expires
	}
	return compareEntities(h[i].entity, h[j].entity) < 0
}

func (h byExpiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i), int32(j)
}

// Push implements heap.Interface.
func (h *byExpiry) Push(x any) {
	r, ok := x.(*record)
	if !ok {
		panic(fmt.Sprintf("BUG: intel: %T pushed on the heap", x))
	}
	r.pos = int32(len(*h))
	*h = append(*h, r)
}

// Pop implements heap.Interface.
func (h *byExpiry) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return r
}

// heapify restores the order of a heap whose records were only appended.
func (h *byExpiry) heapify() { heap.Init(h) }
