// Package jsonview looks at a few fields of JSON objects without building them.
//
// A Doc walks over the text once, checks that it is JSON, and notes where the
// fields stand that were asked for in earlier documents (Wanted). Whatever it
// is not sure about (escapes, lists, objects asked for as a whole, names that
// nobody asked for yet) is answered from the fully parsed object, which is
// made when first needed: the answers are always those of the full parse.
package jsonview

import "strings"

// Path is a field name taken apart once. Parts are separated by dots; a part
// "*" stands for every member of an object.
type Path struct {
	Name  string
	Parts []string
	hash  uint32
}

// NewPath takes a field name apart.
func NewPath(name string) Path {
	h := uint32(2166136261) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return Path{name, strings.Split(name, "."), h}
}

// Caps of what is noted; what is asked for beyond them is answered from the
// full parse.
const (
	maxNodes = 2048
	maxParts = 16
)

// Wanted are the fields that were asked for so far, as a tree of names. It
// belongs to one goroutine at a time, with all Docs that share it.
type Wanted struct {
	nodes []node
	paths []place
	table []int32 // open addressing by Path.hash: index of paths + 1
	reads uint
	vain  uint // walks in a row after which the full parse was needed all the same
}

// A walk is tried with every document until it was in vain patience times, then
// with one in retry.
const (
	patience = 32
	retry    = 64
)

func (w *Wanted) worthwhile() bool {
	w.reads++
	return len(w.paths) > 0 && (w.vain < patience || w.reads%retry == 0)
}

// place is where in the tree a path ends: as one name with dots, which comes
// first, and taken apart.
type place struct {
	path         Path
	flat, nested int32
}

// node is a name in the tree. Its number is that of its slot in a Doc.
type node struct {
	name string
	next int32 // sibling in the same cell; 0: none
	kids *[cells]int32
	// order has the names of the last object here, in their order: the next one
	// mostly has the same, and a comparison is less work than a search.
	order []usual
}

// usual is a name as it was met, with the quote and the colon behind it.
type usual struct {
	text  []byte
	child int32 // 0: not wanted
}

// Caps of what is remembered of an order.
const (
	maxOrder = 64
	maxUsual = 64 // bytes of one
)

func (u *usual) begins(b []byte) bool {
	return len(b) >= len(u.text) && string(b[:len(u.text)]) == string(u.text)
}

// remember notes the name at a place of the order; places before it are known.
func (n *node) remember(at int, text []byte, child int32) {
	switch {
	case at >= maxOrder || len(text) > maxUsual:
		n.order = n.order[:min(at, len(n.order))]
		return
	case at > len(n.order):
		return
	case at == len(n.order) && at < cap(n.order):
		n.order = n.order[:at+1]
	case at == len(n.order):
		n.order = append(n.order, usual{})
	}
	u := &n.order[at]
	u.text, u.child = append(u.text[:0], text...), child
}

const cells = 64

// cell sorts names apart; most names of an event fall into an empty one.
func cell(name []byte) uint {
	n := uint(len(name))
	return (uint(name[0]) + n*5 + uint(name[n-1])*3) % cells
}

// child is the node of a name under another; 0: nobody asked for it.
func (w *Wanted) child(kids *[cells]int32, name []byte) int32 {
	if len(name) == 0 {
		return 0
	}
	for c := kids[cell(name)]; c != 0; c = w.nodes[c].next {
		if w.nodes[c].name == string(name) {
			return c
		}
	}
	return 0
}

// add puts a name under a node, once.
func (w *Wanted) add(parent int32, name string) int32 {
	if w.nodes[parent].kids == nil {
		w.nodes[parent].kids = new([cells]int32)
	}
	w.nodes[parent].order = nil // names there may be wanted from now on
	kids := w.nodes[parent].kids
	if c := w.child(kids, []byte(name)); c != 0 {
		return c
	}
	c := int32(len(w.nodes))
	at := cell([]byte(name))
	w.nodes = append(w.nodes, node{name: name, next: kids[at]})
	kids[at] = c
	return c
}

// find is the index of a path; -1 when it was not asked for.
func (w *Wanted) find(p *Path) int32 {
	if len(w.table) == 0 {
		return -1
	}
	mask := uint32(len(w.table) - 1)
	for i := p.hash & mask; ; i = (i + 1) & mask {
		k := w.table[i] - 1
		if k < 0 || w.paths[k].path.hash == p.hash && w.paths[k].path.Name == p.Name {
			return k
		}
	}
}

// want notes a path for the documents to come.
func (w *Wanted) want(p Path) {
	if len(w.nodes) == 0 {
		w.nodes = append(w.nodes, node{}) // the object itself
	}
	if len(p.Parts) == 0 || len(p.Parts) > maxParts || len(w.nodes)+maxParts+1 > maxNodes {
		return
	}
	for _, part := range p.Parts {
		if part == "*" || part == "" {
			return
		}
	}
	own := place{path: Path{strings.Clone(p.Name), nil, p.hash}, flat: w.add(0, p.Name)}
	for _, part := range p.Parts {
		own.nested = w.add(own.nested, part)
	}
	w.paths = append(w.paths, own)
	if 2*len(w.paths) > len(w.table) {
		w.table = make([]int32, max(64, 2*len(w.table)))
		for k := range w.paths {
			w.enter(k)
		}
		return
	}
	w.enter(len(w.paths) - 1)
}

func (w *Wanted) enter(k int) {
	mask := uint32(len(w.table) - 1)
	i := w.paths[k].path.hash & mask
	for w.table[i] != 0 {
		i = (i + 1) & mask
	}
	w.table[i] = int32(k + 1)
}
