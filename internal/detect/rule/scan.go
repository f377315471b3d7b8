package rule

// scanner finds all occurrences of many literals in one pass: the automaton of
// Aho and Corasick (CACM 18/6, 1975), fully expanded to a table over classes of
// bytes. Each rule's necessary literals go through it, so it runs over every
// byte a visitor sends: unlike the general libraries it allocates nothing while
// scanning and costs one table look-up per byte.
type scanner struct {
	class  [256]uint8
	width  int
	next   []int32   // state*width + class → state
	output [][]int32 // state → ids of the literals that end there
}

// newScanner builds the automaton; ids are positions in literals. Empty
// literals are not allowed.
func newScanner(literals []string) *scanner {
	s := &scanner{width: 1}
	for _, l := range literals {
		for i := range len(l) {
			if s.class[l[i]] == 0 && s.width < 256 {
				s.class[l[i]] = uint8(s.width)
				s.width++
			}
		}
	}
	s.state()
	for id, l := range literals {
		at := int32(0)
		for i := range len(l) {
			slot := int(at)*s.width + int(s.class[l[i]])
			if s.next[slot] == 0 {
				n := s.state()
				s.next[slot] = n
			}
			at = s.next[slot]
		}
		s.output[at] = append(s.output[at], int32(id))
	}
	s.expand()
	return s
}

func (s *scanner) state() int32 {
	s.next = append(s.next, make([]int32, s.width)...)
	s.output = append(s.output, nil)
	return int32(len(s.output) - 1)
}

// expand turns the trie into a table without failure links, breadth first.
func (s *scanner) expand() {
	fail := make([]int32, len(s.output))
	var queue []int32
	for c := range s.width {
		if n := s.next[c]; n != 0 {
			queue = append(queue, n)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		f := fail[at]
		s.output[at] = append(s.output[at], s.output[f]...)
		for c := range s.width {
			slot := int(at)*s.width + c
			down := s.next[int(f)*s.width+c]
			if n := s.next[slot]; n != 0 {
				fail[n] = down
				queue = append(queue, n)
			} else {
				s.next[slot] = down
			}
		}
	}
}

// scan calls hit with the id of every literal found in text and the place
// where it ends, once per place.
func (s *scanner) scan(text string, hit func(id int32, end int)) {
	at := int32(0)
	for i := range len(text) {
		at = s.next[int(at)*s.width+int(s.class[text[i]])]
		if out := s.output[at]; out != nil {
			for _, id := range out {
				hit(id, i+1)
			}
		}
	}
}
