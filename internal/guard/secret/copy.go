package secret

import "math/bits"

// An answer that comes again tells nothing new, however odd it is: a model that is
// asked the same says the same. Texts are remembered as a tree with a node every few
// characters (Ziv and Lempel 1978). One that goes on as an earlier text did costs no more
// than the choice between all that began, and one that ends where none did says something
// by that. Behind a node from which two texts went on differently everything costs what it
// costs elsewhere: that is how somebody spells who has one sentence for every letter.
const (
	stride     = 4    // characters from a node to the next
	copyMost   = 1024 // characters of a text that are remembered
	copyLeast  = 16   // of which a text must have so many: short ones are letters of an alphabet
	newEndBits = letterBits
)

// tree is the nodes, by their hash; a later one takes the place of another. It is small:
// every conversation has one, and every exchange copies it.
type tree struct {
	marks [1024]uint16
	ways  [1024]uint8 // on from there
}

// at is the place of a node and whether it is there.
func (t *tree) at(h uint32) (i uint32, there bool) {
	h *= 0x9e3779b1
	i = h >> 22
	return i, t.marks[i] == uint16(h)|1
}

// put makes a node.
func (t *tree) put(h uint32) {
	i, there := t.at(h)
	if !there {
		t.marks[i], t.ways[i] = uint16(h*0x9e3779b1)|1, 0
	}
}

// sums is what a ledger says nothing explains.
type sums struct{ odd, listed, chosen float32 }

func (l *ledger) sums() sums { return sums{l.odd, l.listed, l.chosen} }

func (s sums) total() float32 { return s.odd + s.listed + s.chosen }

// copier follows one text through the tree.
type copier struct {
	prefix, node uint32 // hashes of the text so far, up to the last node
	n            int    // characters
	since        sums   // at the last node, at first at the beginning
	split        bool   // another text went on otherwise from a node of this one
	old          bool   // all of it up to there was there before
}

// char counts a character that explain has judged.
func (c *copier) char(l *ledger, r rune) {
	if c.n == 0 {
		c.begin(l)
	}
	c.prefix = (c.prefix ^ uint32(r)) * 0x01000193
	c.prefix ^= c.prefix >> 15
	if c.n++; c.n%stride == 0 && c.n <= copyMost {
		c.step(l, c.prefix)
	}
}

const treeRoot = 0x811c9dc5

func (c *copier) begin(l *ledger) {
	c.prefix, c.node, c.old = treeRoot, treeRoot, true
	c.since = l.sums()
	l.tree.put(treeRoot)
}

// step goes on to a node and takes back what nobody learnt since the last one.
func (c *copier) step(l *ledger, h uint32) (there bool) {
	parent, kept := l.tree.at(c.node)
	if !kept || c.node != treeRoot && l.tree.ways[parent] > 1 { // or nobody knows any more how many went on from there
		c.split = true
	}
	if _, there = l.tree.at(h); there {
		choice := float32(bits.Len8(max(l.tree.ways[parent], 1) - 1))
		if now := l.sums(); !c.split && c.n >= copyLeast && now.total() > c.since.total()+choice {
			l.odd, l.listed, l.chosen = c.since.odd, c.since.listed, c.since.chosen+choice
			l.moved = l.moved || choice > 0
		}
	} else {
		l.tree.put(h)
		if n := &l.tree.ways[parent]; *n < 255 {
			*n++
		}
		c.old = false
	}
	if c.node = h; c.n >= copyLeast {
		c.since = l.sums()
	}
	return there
}

// end is the end of a text.
func (c *copier) end(l *ledger) {
	if c.n == 0 || c.n > copyMost {
		return
	}
	old := c.old && c.n >= copyLeast
	if !c.step(l, c.prefix^0xa5a5a5a5) && old {
		l.chosen += newEndBits
		l.moved = true
	}
}
