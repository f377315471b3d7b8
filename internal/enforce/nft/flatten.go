package nft

import (
	"net/netip"
	"slices"
	"sort"

	"bartizan/internal/model"
)

// piece is a range of addresses, both ends included, that is in force until a
// moment (Unix milliseconds). The pieces of a set never overlap.
type piece struct {
	lo, hi addr
	until  int64
}

// claim is one decision's wish for a prefix.
type claim struct {
	decision model.ULID
	until    int64
}

// node is all that is wanted for one prefix.
type node struct {
	lo, hi addr
	bits   int
	first  claim   // almost always the only one; no claim when until is 0
	more   []claim // empty if first is
}

func (n *node) until() int64 {
	u := n.first.until
	for _, c := range n.more {
		u = max(u, c.until)
	}
	return u
}

func (n *node) empty() bool { return n.first.until == 0 }

func (n *node) set(ch change) {
	i := slices.IndexFunc(n.more, func(c claim) bool { return c.decision == ch.claim.decision })
	same := !n.empty() && n.first.decision == ch.claim.decision
	switch {
	case ch.remove && same && len(n.more) > 0:
		n.first, n.more = n.more[0], n.more[1:]
	case ch.remove && same:
		n.first = claim{}
	case ch.remove && i >= 0:
		n.more = slices.Delete(n.more, i, i+1)
	case ch.remove:
	case same || n.empty():
		n.first = ch.claim
	case i >= 0:
		n.more[i] = ch.claim
	default:
		n.more = append(n.more, ch.claim)
	}
}

// compareNodes sorts by first address, the wider prefix first, which is the
// order in which a sweep meets an enclosing prefix before what it encloses.
func compareNodes(n *node, lo addr, bits int) int {
	if c := n.lo.compare(lo); c != 0 {
		return c
	}
	return n.bits - bits
}

// flat turns overlapping prefixes, each with its own end, into disjoint
// pieces that last as long as the longest prefix covering them.
//
// Two prefixes are disjoint or one holds the other, so they form a forest. A
// piece is what a prefix has left after its children are cut out, even if a
// child ends earlier: every piece then belongs to one innermost prefix, so
// that a change of a prefix moves only pieces inside its parent's piece, and
// the kernel's counters can be told apart per decision.
type flat struct {
	width  int
	nodes  []*node
	lens   [129]int // how many nodes have this prefix length
	pieces []piece  // sorted
	slab   []node   // unused ones, made by the hundred
}

func (f *flat) newNode(c change) *node {
	if len(f.slab) == 0 {
		f.slab = make([]node, 128)
	}
	n := &f.slab[0]
	f.slab = f.slab[1:]
	m := hostMask(f.width, c.bits)
	*n = node{lo: c.lo, hi: addr{c.lo.hi | m.hi, c.lo.lo | m.lo}, bits: c.bits}
	return n
}

// change is a claim that comes or goes.
type change struct {
	lo     addr
	bits   int
	claim  claim
	remove bool
}

func newChange(p netip.Prefix, id model.ULID, until int64, remove bool) change {
	lo, _ := bounds(p)
	return change{lo, p.Bits(), claim{id, until}, remove}
}

// apply makes the changes and returns the pieces that must go and those that
// must come; a piece that only changes its end is in both.
func (f *flat) apply(changes []change) (del, add []piece) {
	if len(changes) == 0 {
		return nil, nil
	}
	slices.SortFunc(changes, func(a, b change) int {
		if c := a.lo.compare(b.lo); c != 0 {
			return c
		}
		if a.bits == b.bits && a.remove != b.remove { // what is replaced goes first
			if a.remove {
				return -1
			}
			return 1
		}
		return a.bits - b.bits
	})
	regions := []region{{hi: hostMask(f.width, 0)}}
	if len(changes) > 1000 && len(changes) > len(f.nodes)/8 {
		f.merge(changes)
	} else {
		f.edit(changes)
		regions = f.regions(changes)
	}
	if len(regions) == 1 && regions[0].lo == (addr{}) && regions[0].hi == hostMask(f.width, 0) {
		old := f.pieces
		f.pieces = f.sweep(make([]piece, 0, len(f.nodes)+len(f.nodes)/8), regions[0])
		return difference(old, f.pieces, make([]piece, 0, len(old)), make([]piece, 0, len(f.pieces)))
	}
	var fresh []piece
	merged := make([]piece, 0, len(f.pieces)+len(changes))
	at := 0 // how far f.pieces is copied into merged
	for _, r := range regions {
		from := f.find(r.lo)
		to := from
		for to < len(f.pieces) && !r.hi.less(f.pieces[to].lo) {
			to++
		}
		fresh = f.sweep(fresh[:0], r)
		del, add = difference(f.pieces[from:to], fresh, del, add)
		merged = append(merged, f.pieces[at:from]...)
		merged = append(merged, fresh...)
		at = to
	}
	f.pieces = append(merged, f.pieces[at:]...)
	return del, add
}

// edit brings the nodes up to date with a few sorted changes, in place.
func (f *flat) edit(changes []change) {
	dead := false
	for i := 0; i < len(changes); {
		c := changes[i]
		at, found := f.search(c.lo, c.bits)
		var n *node
		if found {
			n = f.nodes[at]
		} else {
			n = f.newNode(c)
		}
		was := n.empty()
		for ; i < len(changes) && changes[i].lo == c.lo && changes[i].bits == c.bits; i++ {
			n.set(changes[i])
		}
		f.count(n, was)
		if !found && !n.empty() {
			f.nodes = slices.Insert(f.nodes, at, n)
		}
		dead = dead || found && n.empty()
	}
	if dead {
		f.nodes = slices.DeleteFunc(f.nodes, (*node).empty)
	}
}

// merge brings the nodes up to date with many sorted changes, in one pass:
// searching for each and moving the tail would cost more.
func (f *flat) merge(changes []change) {
	old := f.nodes
	out := make([]*node, 0, len(old)+len(changes))
	for i := 0; i < len(changes); {
		c := changes[i]
		for len(old) > 0 && compareNodes(old[0], c.lo, c.bits) < 0 {
			out, old = append(out, old[0]), old[1:]
		}
		var n *node
		if len(old) > 0 && old[0].lo == c.lo && old[0].bits == c.bits {
			n, old = old[0], old[1:]
		} else {
			n = f.newNode(c)
		}
		was := n.empty()
		for ; i < len(changes) && changes[i].lo == c.lo && changes[i].bits == c.bits; i++ {
			n.set(changes[i])
		}
		f.count(n, was)
		if !n.empty() {
			out = append(out, n)
		}
	}
	f.nodes = append(out, old...)
}

// count keeps the number of nodes per prefix length.
func (f *flat) count(n *node, wasEmpty bool) {
	switch {
	case wasEmpty && !n.empty():
		f.lens[n.bits]++
	case !wasEmpty && n.empty():
		f.lens[n.bits]--
	}
}

func (f *flat) search(lo addr, bits int) (int, bool) {
	i := sort.Search(len(f.nodes), func(i int) bool { return compareNodes(f.nodes[i], lo, bits) >= 0 })
	return i, i < len(f.nodes) && f.nodes[i].lo == lo && f.nodes[i].bits == bits
}

// find returns the index of the first piece that ends at or after a.
func (f *flat) find(a addr) int {
	return sort.Search(len(f.pieces), func(i int) bool { return !f.pieces[i].hi.less(a) })
}

// region is a range of addresses whose pieces are computed anew.
type region struct{ lo, hi addr }

// regions widens each changed prefix to the old pieces it touches, takes in a
// piece that adjoins it (where a prefix went, its parent's piece closes up
// again) and joins what overlaps.
func (f *flat) regions(changes []change) []region {
	out := make([]region, 0, len(changes))
	for _, c := range changes {
		m := hostMask(f.width, c.bits)
		r := region{c.lo, addr{c.lo.hi | m.hi, c.lo.lo | m.lo}}
		before, after := r.lo, r.hi // the addresses just outside, where there are any
		if before != (addr{}) {
			before = before.prev()
		}
		if after != hostMask(f.width, 0) {
			after = after.next()
		}
		if i := f.find(before); i < len(f.pieces) && f.pieces[i].lo.less(r.lo) {
			r.lo = f.pieces[i].lo
		}
		if i := f.find(after); i < len(f.pieces) && !after.less(f.pieces[i].lo) && r.hi.less(f.pieces[i].hi) {
			r.hi = f.pieces[i].hi
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b region) int { return a.lo.compare(b.lo) })
	joined := out[:1]
	for _, r := range out[1:] {
		last := &joined[len(joined)-1]
		if last.hi.less(r.lo) {
			joined = append(joined, r)
		} else if last.hi.less(r.hi) {
			last.hi = r.hi
		}
	}
	return joined
}

// covering calls yield for every node that holds a, widest first.
func (f *flat) covering(a addr, yield func(*node)) {
	for bits := 0; bits <= f.width; bits++ {
		if f.lens[bits] == 0 {
			continue
		}
		m := hostMask(f.width, bits)
		if i, ok := f.search(addr{a.hi &^ m.hi, a.lo &^ m.lo}, bits); ok {
			yield(f.nodes[i])
		}
	}
}

// sweep appends the pieces of one region; prefixes that reach out of it are
// clipped.
func (f *flat) sweep(out []piece, r region) []piece {
	type open struct {
		hi    addr
		until int64
	}
	var stack []open // innermost last; until is the longest of it and what encloses it
	push := func(n *node) {
		o := open{n.hi, n.until()}
		if r.hi.less(o.hi) {
			o.hi = r.hi
		}
		if len(stack) > 0 {
			o.until = max(o.until, stack[len(stack)-1].until)
		}
		stack = append(stack, o)
	}
	cur, spent := r.lo, false // spent: the last address of the region is out
	emit := func(hi addr, until int64) {
		if spent || hi.less(cur) {
			return
		}
		out = append(out, piece{cur, hi, until})
		spent = hi == r.hi
		cur = hi.next()
	}
	f.covering(r.lo, func(n *node) {
		if n.lo.less(r.lo) {
			push(n)
		}
	})
	first := sort.Search(len(f.nodes), func(i int) bool { return !f.nodes[i].lo.less(r.lo) })
	for _, n := range f.nodes[first:] {
		if r.hi.less(n.lo) {
			break
		}
		for len(stack) > 0 && stack[len(stack)-1].hi.less(n.lo) {
			emit(stack[len(stack)-1].hi, stack[len(stack)-1].until)
			stack = stack[:len(stack)-1]
		}
		if len(stack) > 0 && cur.less(n.lo) {
			emit(n.lo.prev(), stack[len(stack)-1].until)
		}
		cur = n.lo
		push(n)
	}
	for i := len(stack) - 1; i >= 0; i-- {
		emit(stack[i].hi, stack[i].until)
	}
	return out
}

// difference walks two sorted lists of pieces and appends what only the old
// one has to del and what only the new one has to add.
func difference(old, fresh, del, add []piece) (d, a []piece) {
	i, j := 0, 0
	for i < len(old) && j < len(fresh) {
		switch c := old[i].lo.compare(fresh[j].lo); {
		case c == 0 && old[i] == fresh[j]:
			i, j = i+1, j+1
		case c <= 0:
			del, i = append(del, old[i]), i+1
		default:
			add, j = append(add, fresh[j]), j+1
		}
	}
	return append(del, old[i:]...), append(add, fresh[j:]...)
}

// decisions calls yield for every decision that covers a.
func (f *flat) decisions(a addr, yield func(model.ULID)) {
	f.covering(a, func(n *node) {
		yield(n.first.decision)
		for _, c := range n.more {
			yield(c.decision)
		}
	})
}
