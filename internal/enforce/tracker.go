package enforce

import (
	"iter"
	"time"

	"bartizan/internal/model"
)

// Tracker turns the states an enforcer is given into what changed since the
// last one. It is for one goroutine. Create it with NewTracker.
type Tracker struct {
	gen    uint64
	seeded bool
	now    time.Time // of the last call
	round  uint64    // marks what a full walk has met
	orders map[model.ULID]*tracked
	slab   []tracked // unused ones, made by the hundred
	ends   endHeap
}

type tracked struct {
	Order
	round uint64
}

// Changes is what is different from the state before. An order whose decision
// is still held after it was replaced is in Removed as it was and in Added as
// it is.
type Changes struct {
	Added   []Order
	Removed []Order
	Expired []Order // held until now; Until has passed
	Late    []Order // wanted for the first time after Until had passed: never held
}

// NewTracker makes a Tracker that holds nothing.
func NewTracker() *Tracker { return &Tracker{orders: make(map[model.ULID]*tracked)} }

// Next moves to want at the moment now.
func (t *Tracker) Next(want State, now time.Time) Changes {
	var c Changes
	if now.Before(t.now.Add(-time.Second)) {
		t.seeded = false // the clock was set back: what had expired may be wanted again
	}
	t.now = now
	if t.seeded {
		if added, removed, ok := want.Since(t.gen); ok {
			for _, o := range removed {
				t.drop(o.Decision, &c)
			}
			for _, o := range added {
				t.add(o, &c)
			}
			t.gen = want.Generation()
			t.expire(&c)
			return c
		}
	}
	t.walk(want, &c)
	t.gen, t.seeded = want.Generation(), true
	t.expire(&c)
	return c
}

// walk compares with every order of want. It moves what is held to a new map:
// emptying one of 200,000 entries while filling it takes several times as long.
func (t *Tracker) walk(want State, c *Changes) {
	size := len(t.orders)
	if sized, ok := want.(interface{ Len() int }); ok {
		size = sized.Len()
	}
	old := t.orders
	t.orders = make(map[model.ULID]*tracked, size)
	if len(old) == 0 {
		c.Added, t.ends, t.slab = make([]Order, 0, size), make(endHeap, 0, size), make([]tracked, size)
	}
	t.round++
	for o := range want.All() {
		if kept := old[o.Decision]; kept != nil {
			kept.round = t.round
			t.orders[o.Decision] = kept
		}
		t.add(o, c)
	}
	for id, o := range old {
		switch {
		case o.round == t.round:
		case o.Until.After(t.now):
			c.Removed = append(c.Removed, o.Order)
		default:
			t.orders[id] = o // expire finds it
		}
	}
}

func (t *Tracker) add(o Order, c *Changes) {
	old := t.orders[o.Decision]
	if old != nil {
		if old.Order == o {
			return
		}
		c.Removed = append(c.Removed, old.Order)
	}
	if !o.Until.After(t.now) {
		if old == nil {
			c.Late = append(c.Late, o)
		}
		delete(t.orders, o.Decision)
		return
	}
	if old == nil {
		if len(t.slab) == 0 {
			t.slab = make([]tracked, 128)
		}
		old, t.slab = &t.slab[0], t.slab[1:]
		t.orders[o.Decision] = old
	}
	*old = tracked{o, t.round}
	t.ends.push(end{o.Until.UnixNano(), o.Decision})
	c.Added = append(c.Added, o)
}

func (t *Tracker) drop(id model.ULID, c *Changes) {
	if old, held := t.orders[id]; held {
		delete(t.orders, id)
		c.Removed = append(c.Removed, old.Order)
	}
}

func (t *Tracker) expire(c *Changes) {
	now := t.now.UnixNano()
	for len(t.ends) > 0 && t.ends[0].at <= now {
		e := t.ends.pop()
		if t.current(e) {
			c.Expired = append(c.Expired, t.orders[e.id].Order)
			delete(t.orders, e.id)
		}
	}
	if len(t.ends) > 2*len(t.orders)+1024 { // mostly ends of orders that were replaced or removed
		old := t.ends
		t.ends = make(endHeap, 0, len(t.orders))
		for _, e := range old {
			if t.current(e) {
				t.ends.push(e)
			}
		}
	}
}

func (t *Tracker) current(e end) bool {
	o, held := t.orders[e.id]
	return held && o.Until.UnixNano() == e.at
}

// NextEnd is the next moment at which something may expire; false when
// nothing is held.
func (t *Tracker) NextEnd() (time.Time, bool) {
	for len(t.ends) > 0 {
		if t.current(t.ends[0]) {
			return t.orders[t.ends[0].id].Until, true
		}
		t.ends.pop()
	}
	return time.Time{}, false
}

// Holds reports whether the decision is among the orders held.
func (t *Tracker) Holds(decision model.ULID) bool {
	_, ok := t.orders[decision]
	return ok
}

// Get returns the order held for a decision.
func (t *Tracker) Get(decision model.ULID) (Order, bool) {
	if o, ok := t.orders[decision]; ok {
		return o.Order, true
	}
	return Order{}, false
}

// Len is the number of orders held.
func (t *Tracker) Len() int { return len(t.orders) }

// Orders yields every order held, in no order. Next must not be called
// meanwhile.
func (t *Tracker) Orders() iter.Seq[Order] {
	return func(yield func(Order) bool) {
		for _, o := range t.orders {
			if !yield(o.Order) {
				return
			}
		}
	}
}

// end is a moment (Unix nanoseconds) at which an order ends.
type end struct {
	at int64
	id model.ULID
}

// endHeap is a binary heap, soonest first. It is not container/heap, which
// would allocate for each of some 100,000 ends.
type endHeap []end

func (h *endHeap) push(e end) {
	s := append(*h, e)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if s[up].at <= s[i].at {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
	*h = s
}

func (h *endHeap) pop() end {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && s[down+1].at < s[down].at {
			down++
		}
		if s[i].at <= s[down].at {
			break
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
	*h = s
	return top
}
