package detect

// Table remembers one V per K for at most a fixed number of keys; the key not
// asked for longest makes room. Every memory a detector keeps about visitors is
// one of these, because a visitor chooses how many of himself there are.
//
// Values live in chunks that never move, so a pointer from Get stays good until
// its key is evicted. A Table is not safe for concurrent use.
type Table[K comparable, V any] struct {
	max     int
	index   map[K]int32
	chunks  [][]node[K, V]
	used    int32
	head    int32 // most recently used, -1 when empty
	tail    int32
	evicted uint64
	onEvict func(K, *V)
}

type node[K comparable, V any] struct {
	key        K
	val        V
	prev, next int32
}

const chunkLen = 256

// NewTable makes a table of at most max keys (at least 1). Memory grows with use.
func NewTable[K comparable, V any](max int) *Table[K, V] {
	if max < 1 {
		max = 1
	}
	return &Table[K, V]{max: max, index: map[K]int32{}, head: -1, tail: -1}
}

// OnEvict sets what is called with a key and its value just before they are forgotten.
func (t *Table[K, V]) OnEvict(f func(K, *V)) { t.onEvict = f }

// Len is the number of keys held.
func (t *Table[K, V]) Len() int { return int(t.used) }

// Evicted counts the keys forgotten for lack of room.
func (t *Table[K, V]) Evicted() uint64 { return t.evicted }

func (t *Table[K, V]) at(i int32) *node[K, V] { return &t.chunks[i/chunkLen][i%chunkLen] }

// Peek returns the value of k, or nil, without marking it as used.
func (t *Table[K, V]) Peek(k K) *V {
	if i, ok := t.index[k]; ok {
		return &t.at(i).val
	}
	return nil
}

// Get returns the value of k and marks it as used; a new key starts with the
// zero V, and fresh says so.
func (t *Table[K, V]) Get(k K) (v *V, fresh bool) {
	if i, ok := t.index[k]; ok {
		if i != t.head {
			t.unlink(i)
			t.push(i)
		}
		return &t.at(i).val, false
	}
	i := t.slot()
	n := t.at(i)
	n.key = k
	t.index[k] = i
	t.push(i)
	return &n.val, true
}

// DropOldest forgets the key not used for longest; false when there is none.
func (t *Table[K, V]) DropOldest() bool {
	if t.tail < 0 || t.used < 2 { // keep the newest: its caller may hold it
		return false
	}
	i := t.tail
	t.forget(i)
	last := t.used - 1
	if i != last { // keep the used slots contiguous
		from, to := t.at(last), t.at(i)
		*to = *from
		t.index[to.key] = i
		t.relink(last, i)
		*from = node[K, V]{}
	}
	t.used--
	return true
}

// slot returns a free, zeroed node that is in no list.
func (t *Table[K, V]) slot() int32 {
	if int(t.used) >= t.max {
		i := t.tail
		t.forget(i)
		return i
	}
	i := t.used
	if int(i/chunkLen) == len(t.chunks) {
		t.chunks = append(t.chunks, make([]node[K, V], chunkLen))
	}
	t.used++
	return i
}

func (t *Table[K, V]) forget(i int32) {
	n := t.at(i)
	if t.onEvict != nil {
		t.onEvict(n.key, &n.val)
	}
	delete(t.index, n.key)
	t.unlink(i)
	*n = node[K, V]{}
	t.evicted++
}

func (t *Table[K, V]) push(i int32) {
	n := t.at(i)
	n.prev, n.next = -1, t.head
	if t.head >= 0 {
		t.at(t.head).prev = i
	}
	t.head = i
	if t.tail < 0 {
		t.tail = i
	}
}

func (t *Table[K, V]) unlink(i int32) {
	n := t.at(i)
	if n.prev >= 0 {
		t.at(n.prev).next = n.next
	} else {
		t.head = n.next
	}
	if n.next >= 0 {
		t.at(n.next).prev = n.prev
	} else {
		t.tail = n.prev
	}
}

func (t *Table[K, V]) relink(from, to int32) {
	n := t.at(to)
	if n.prev >= 0 {
		t.at(n.prev).next = to
	} else if t.head == from {
		t.head = to
	}
	if n.next >= 0 {
		t.at(n.next).prev = to
	} else if t.tail == from {
		t.tail = to
	}
}
