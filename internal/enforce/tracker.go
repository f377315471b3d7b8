package enforce

import (
	"container/heap"
	"time"

	"bartizan/internal/model"
)

// Tracker turns the states an enforcer is given into what changed since the
// last one. It is for one goroutine. Create it with NewTracker.
type Tracker struct {
	gen    uint64
	seeded bool
	now    time.Time // of the last call
	orders map[model.ULID]Order
	ends   endHeap
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
func NewTracker() *Tracker { return &Tracker{orders: make(map[model.ULID]Order)} }

// Next moves to want at the moment now.
func (t *Tracker) Next(want State, now time.Time) Changes {
	var c Changes
	if now.Before(t.now.Add(-time.Second)) {
		t.seeded = false // the clock was set back: what had expired may be wanted again
	}
	t.now = now
	if t.seeded && want.Generation() == t.gen {
		t.expire(now, &c)
		return c
	}
	if t.seeded {
		if added, removed, ok := want.Since(t.gen); ok {
			for _, o := range removed {
				t.drop(o.Decision, &c)
			}
			for _, o := range added {
				t.add(o, now, &c)
			}
			t.gen = want.Generation()
			t.expire(now, &c)
			return c
		}
	}
	seen := make(map[model.ULID]struct{}, len(t.orders))
	for o := range want.All() {
		seen[o.Decision] = struct{}{}
		t.add(o, now, &c)
	}
	for id, o := range t.orders {
		if _, ok := seen[id]; !ok && o.Until.After(now) {
			t.drop(id, &c)
		}
	}
	t.gen, t.seeded = want.Generation(), true
	t.expire(now, &c)
	return c
}

func (t *Tracker) add(o Order, now time.Time, c *Changes) {
	old, held := t.orders[o.Decision]
	if held && old == o {
		return
	}
	if held {
		delete(t.orders, o.Decision)
		c.Removed = append(c.Removed, old)
	}
	if !o.Until.After(now) {
		if !held {
			c.Late = append(c.Late, o)
		}
		return
	}
	t.orders[o.Decision] = o
	heap.Push(&t.ends, end{o.Until, o.Decision})
	c.Added = append(c.Added, o)
}

func (t *Tracker) drop(id model.ULID, c *Changes) {
	if old, held := t.orders[id]; held {
		delete(t.orders, id)
		c.Removed = append(c.Removed, old)
	}
}

func (t *Tracker) expire(now time.Time, c *Changes) {
	for len(t.ends) > 0 && !t.ends[0].at.After(now) {
		e := heap.Pop(&t.ends).(end)
		if o, held := t.orders[e.id]; held && o.Until.Equal(e.at) {
			delete(t.orders, e.id)
			c.Expired = append(c.Expired, o)
		}
	}
	if len(t.ends) > 2*len(t.orders)+1024 { // ends of orders that were replaced or removed
		t.ends = t.ends[:0]
		for id, o := range t.orders {
			t.ends = append(t.ends, end{o.Until, id})
		}
		heap.Init(&t.ends)
	}
}

// NextEnd is the next moment at which something may expire; false when
// nothing is held.
func (t *Tracker) NextEnd() (time.Time, bool) {
	for len(t.ends) > 0 {
		e := t.ends[0]
		if o, held := t.orders[e.id]; held && o.Until.Equal(e.at) {
			return e.at, true
		}
		heap.Pop(&t.ends)
	}
	return time.Time{}, false
}

// Holds reports whether the decision is among the orders held.
func (t *Tracker) Holds(decision model.ULID) bool {
	_, ok := t.orders[decision]
	return ok
}

// Orders is everything held; read only, valid until the next call of Next.
func (t *Tracker) Orders() map[model.ULID]Order { return t.orders }

type end struct {
	at time.Time
	id model.ULID
}

type endHeap []end

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h endHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(x any)        { *h = append(*h, x.(end)) }
func (h *endHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
