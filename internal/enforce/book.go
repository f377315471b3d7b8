package enforce

import (
	"cmp"
	"iter"
	"slices"
	"sync"

	"bartizan/internal/model"
)

// Sizes of a Book: how many changes may wait before they are merged into the
// sorted base, and how many are remembered for Since.
const (
	maxDelta = 4096
	maxLog   = 1 << 16
)

// Book is the set of orders that should be in force and the maker of
// snapshots of it. It is safe for concurrent use. All states an enforcer is
// given in its life come from one Book, because generations are only
// comparable within one.
type Book struct {
	mu     sync.Mutex
	orders map[model.ULID]Order
	gen    uint64
	log    []entry // appended to only, so snapshots may share it

	base    []Order                 // sorted by decision; never written after it was made
	delta   []patch                 // sorted; what differs from base as of the last snapshot
	pending map[model.ULID]struct{} // changed since the last snapshot
	last    *Snapshot               // the newest snapshot, while nothing changed
}

// entry is one change in the log.
type entry struct {
	gen      uint64
	old, new Order // the zero Order stands for none
}

// patch is one difference from the base; gone when there is no such order.
type patch struct {
	order Order
	gone  bool
}

// NewBook makes an empty Book.
func NewBook() *Book {
	return &Book{orders: make(map[model.ULID]Order), pending: make(map[model.ULID]struct{})}
}

// Set puts an order in force or replaces the one of the same decision, and
// reports whether that changed anything.
func (b *Book) Set(o Order) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	o.Until = o.Until.Round(0).UTC() // one spelling of a moment, so that orders compare with ==
	old := b.orders[o.Decision]
	if old == o {
		return false
	}
	b.orders[o.Decision] = o
	b.record(old, o, o.Decision)
	return true
}

// Delete ends an order and reports whether there was one.
func (b *Book) Delete(decision model.ULID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.orders[decision]
	if ok {
		delete(b.orders, decision)
		b.record(old, Order{}, decision)
	}
	return ok
}

// Len is the number of orders.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.orders)
}

func (b *Book) record(old, new Order, id model.ULID) {
	b.gen++
	b.last = nil
	b.pending[id] = struct{}{}
	if len(b.log) >= 2*maxLog { // a fresh slice: snapshots still read the old one
		b.log = slices.Clone(b.log[len(b.log)-maxLog:])
	}
	b.log = append(b.log, entry{b.gen, old, new})
}

// Snapshot returns the orders as they are now. It costs what has changed since
// the last one, not what there is.
func (b *Book) Snapshot() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		b.fold()
		b.last = &Snapshot{gen: b.gen, size: len(b.orders), base: b.base, delta: b.delta, log: b.log[:len(b.log):len(b.log)]}
	}
	return b.last
}

// fold moves what is pending into the delta, and the delta into the base once
// it has grown.
func (b *Book) fold() {
	if len(b.pending) == 0 {
		return
	}
	if len(b.delta)+len(b.pending) > max(maxDelta, len(b.base)/16) {
		b.base = make([]Order, 0, len(b.orders))
		for _, o := range b.orders {
			b.base = append(b.base, o)
		}
		slices.SortFunc(b.base, func(x, y Order) int { return x.Decision.Compare(y.Decision) })
		b.delta = nil
		clear(b.pending)
		return
	}
	fresh := make([]patch, 0, len(b.delta)+len(b.pending))
	for _, p := range b.delta {
		if _, again := b.pending[p.order.Decision]; !again {
			fresh = append(fresh, p)
		}
	}
	for id := range b.pending {
		o, ok := b.orders[id]
		o.Decision = id
		fresh = append(fresh, patch{o, !ok})
	}
	slices.SortFunc(fresh, func(x, y patch) int { return x.order.Decision.Compare(y.order.Decision) })
	b.delta = fresh
	clear(b.pending)
}

// Snapshot is a State of a Book. It never changes; snapshots share what they
// have in common.
type Snapshot struct {
	gen   uint64
	size  int
	base  []Order
	delta []patch
	log   []entry
}

// Len is the number of orders.
func (s *Snapshot) Len() int { return s.size }

// Generation implements State.
func (s *Snapshot) Generation() uint64 { return s.gen }

// All implements State.
func (s *Snapshot) All() iter.Seq[Order] {
	return func(yield func(Order) bool) {
		base, delta := s.base, s.delta
		for len(base) > 0 || len(delta) > 0 {
			order := -1
			switch {
			case len(delta) == 0:
			case len(base) == 0:
				order = 1
			default:
				order = base[0].Decision.Compare(delta[0].order.Decision)
			}
			if order < 0 {
				if !yield(base[0]) {
					return
				}
				base = base[1:]
				continue
			}
			if order == 0 {
				base = base[1:]
			}
			if !delta[0].gone && !yield(delta[0].order) {
				return
			}
			delta = delta[1:]
		}
	}
}

// Since implements State. An order that was replaced is in both lists; one
// that came and went in between is in neither.
func (s *Snapshot) Since(generation uint64) (added, removed []Order, ok bool) {
	if generation == s.gen {
		return nil, nil, true
	}
	if generation > s.gen || len(s.log) == 0 || s.log[0].gen > generation+1 {
		return nil, nil, false
	}
	from, _ := slices.BinarySearchFunc(s.log, generation+1, func(e entry, g uint64) int { return cmp.Compare(e.gen, g) })
	net := make(map[model.ULID]entry, len(s.log)-from)
	ids := make([]model.ULID, 0, len(s.log)-from)
	for _, e := range s.log[from:] {
		id := e.old.Decision
		if id.IsZero() {
			id = e.new.Decision
		}
		if first, again := net[id]; again {
			e.old = first.old
		} else {
			ids = append(ids, id)
		}
		net[id] = e
	}
	for _, id := range ids {
		e := net[id]
		if e.old == e.new {
			continue
		}
		if !e.old.Decision.IsZero() {
			removed = append(removed, e.old)
		}
		if !e.new.Decision.IsZero() {
			added = append(added, e.new)
		}
	}
	return added, removed, true
}

// Latest hands the newest state to any number of readers; a slow reader skips
// states and delays nobody. The zero value holds no state yet.
type Latest struct {
	mu    sync.Mutex
	state State
	newer chan struct{}
}

// Set replaces the state. A state that is not newer is ignored, so that two
// writers cannot turn time back.
func (l *Latest) Set(s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == nil || l.state != nil && s.Generation() <= l.state.Generation() {
		return
	}
	l.state = s
	if l.newer != nil {
		close(l.newer)
		l.newer = nil
	}
}

// Get returns the newest state, nil before the first, and a channel that is
// closed when there is a newer one.
func (l *Latest) Get() (State, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newer == nil {
		l.newer = make(chan struct{})
	}
	return l.state, l.newer
}
