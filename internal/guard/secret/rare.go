package secret

// rare is a track that ordinary text hardly has: what lists of numbers, names
// of letters or dots and dashes stand for. What it reads is a text of its own,
// which may be coded again, and all that it reads of a short answer is a piece.
type rare struct {
	track
	got  [fewSymbols]byte
	all  int
	out  run
	word int // of the text, at the last one
}

// apart is how many words may stand between two signs of a text that is read from them.
const apart = 16

// fewSymbols is how much of a secret an answer says at most that is a piece.
const fewSymbols = 12

// Numbers of the rare tracks in the memory of a conversation.
const (
	rareNames = 1 + wordCodes + iota
	rareCodes
	rareMorse   = rareCodes + 5
	rareBits    = rareMorse + 1
	rareTriples = rareBits + 15
	rareQuoted  = rareTriples + 3
	rareKinds   = rareQuoted + 2
)

func (t *rare) char(s *scan, n *node, c byte, at int) {
	if n.wordCount-t.word > apart { // a word of a list now and then says nothing together
		t.out.n = 0
		t.out.drop(s)
	}
	t.word = n.wordCount
	if n.depth < maxDepth {
		t.out.sure = !n.noise
		t.out.byte(s, n.depth, c, at)
	}
	sym := symbol(rune(c))
	if sym == noSymbol {
		return
	}
	t.push(s, sym, at)
	if t.all < fewSymbols {
		t.got[t.all] = sym
	}
	t.all++
}

// char is how a symbol is written.
func char(sym byte) byte {
	if sym < 26 {
		return 'a' + sym
	}
	return '0' + sym - 26
}

func (n *node) rares(f func(kind int, t *rare)) {
	f(rareNames, &n.names[0])
	for i := range n.codes {
		f(rareCodes+i, &n.codes[i])
	}
	c := n.chars
	if c == nil {
		return
	}
	f(rareMorse, &c.morse)
	f(rareQuoted, &c.quoted[0])
	f(rareQuoted+1, &c.quoted[1])
	for i := range c.bits {
		f(rareBits+i, &c.bits[i])
	}
	for i := range c.triples {
		f(rareTriples+i, &c.triples[i])
	}
}

// few hands what rare tracks read of a short answer to the memory.
func (n *node) rarePieces(s *scan) {
	n.rares(func(kind int, t *rare) {
		if t.out.child != nil {
			t.out.child.finish(s)
		}
		if n.noise || t.all == 0 || t.all > fewSymbols {
			return
		}
		got := s.recall.news(kind, t.got[:t.all])
		for _, c := range got {
			s.recall.single(s, kind, c, 0)
		}
		if len(got) > 1 {
			s.recall.part(s, got)
		}
	})
}
