package sigma

// automaton finds which of many texts occur in a value, in one pass
// (Aho and Corasick 1975). Transitions are a full table over the bytes that
// occur in the texts, so that each byte of input costs one look-up; positions
// are not reported, because a hit only makes a rule worth evaluating.
type automaton struct {
	class [256]uint16 // of a byte; 0: in no text
	width int         // classes
	next  []int32     // state*width+class; negative when the target has outputs
	out   [][]int32   // state → texts that end there, own and of its suffixes
	// begin has for each of the first bytes of a text which groups of texts (bits)
	// have it there; nil when there are so many texts that most bytes begin one.
	begin *[3][256]uint8
}

// maxBegin is the number of texts up to which looking for beginnings pays.
const maxBegin = 64

// beginnings fills begin. Texts are sorted, so that a group's are alike.
func (a *automaton) beginnings(texts []string) {
	if len(texts) > maxBegin {
		return
	}
	a.begin = new([3][256]uint8)
	for i, t := range texts {
		bit := uint8(1) << (i * 8 / len(texts))
		for k := range a.begin {
			if k < len(t) {
				a.begin[k][t[k]] |= bit
				continue
			}
			for c := range a.begin[k] {
				a.begin[k][c] |= bit
			}
		}
	}
}

// from returns the first position at or behind i where a text may begin.
func (a *automaton) from(v []byte, i int) int {
	if b := a.begin; b != nil {
		for ; i+2 < len(v) && b[0][v[i]]&b[1][v[i+1]]&b[2][v[i+2]] == 0; i++ {
		}
	}
	return i
}

// newAutomaton builds the table. Texts must not be empty.
func newAutomaton(texts []string) *automaton {
	a := &automaton{width: 1}
	for _, t := range texts {
		for i := range len(t) {
			if a.class[t[i]] == 0 {
				a.class[t[i]] = uint16(a.width)
				a.width++
			}
		}
	}
	a.grow()
	for id, t := range texts {
		s := int32(0)
		for i := range len(t) {
			k := int(s)*a.width + int(a.class[t[i]])
			if a.next[k] == 0 {
				a.next[k] = a.grow()
			}
			s = a.next[k]
		}
		a.out[s] = append(a.out[s], int32(id))
	}
	a.link()
	a.beginnings(texts)
	return a
}

// grow adds a state.
func (a *automaton) grow() int32 {
	a.next = append(a.next, make([]int32, a.width)...)
	a.out = append(a.out, nil)
	return int32(len(a.out) - 1)
}

// link turns the tree into the full table, breadth first: a missing transition
// is that of the longest proper suffix that is a state.
func (a *automaton) link() {
	fail := make([]int32, len(a.out))
	queue := make([]int32, 0, len(a.out))
	for c := 1; c < a.width; c++ {
		if s := a.next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		f := fail[s]
		a.out[s] = append(a.out[s], a.out[f]...)
		for c := 1; c < a.width; c++ {
			k := int(s)*a.width + c
			if t := a.next[k]; t != 0 {
				fail[t] = a.next[int(f)*a.width+c]
				queue = append(queue, t)
			} else {
				a.next[k] = a.next[int(f)*a.width+c]
			}
		}
	}
	for k, t := range a.next {
		if len(a.out[t]) > 0 {
			a.next[k] = -t
		}
	}
}
