package secret

import (
	"hash/maphash"
	"slices"
	"unicode"
)

// node reads one text: the plain one, or what a code inside of another text says.
type node struct {
	depth    int
	flat     track // letters and digits
	signs    track // with signs for letters, as leetspeak has them
	rot47    track
	keys     [2]track // one key to the left, to the right
	strides  [9]track // every second, third, fourth of them
	quoted   track    // inside of quotes, names of fields left out
	reversed track    // each word from its end
	letters  [4]track // first, second, last, last but one letter of each word
	lines    [5]track // first letter or digit, first letter, last one of each line; first one of each sentence; first of a line if nothing stands before it
	names    [3]track // letters and digits by name, alone, both
	codes    [5]track // lists of decimal, hexadecimal, octal numbers, places in the alphabet from 1, from 0
	morse    track
	bits     [15]track
	triples  [3]track
	lexical  track
	blobs    blobs
	esc      escape

	count    int
	tok      [maxToken]byte // symbols of the word
	raw      [maxToken]byte // its characters, 0 where they are not ASCII
	tokN     int
	tokAt    int
	lineWord int // words in this line so far
	lineAt   int
	lineLast byte // last symbol of the line
	lineEnd  int
	begun    [3]bool // the line has a letter or digit, a letter, anything
	sentence bool    // the next letter begins one
	dot      byte
	quote    quote
	dash     [8]byte
	dashN    int
	dashAt   int
	reg      uint32 // bits
	bitN     int
	dec      [3]byte
	decN     int
	words    [64]uint64 // hashes
	wordAt   [64]int32
	wordN    int
	total    int      // words
	few      []string // short ordinary ones of a short text
	run      int      // of words that follow each other in the system prompt
}

type quote struct {
	open  bool
	ended bool // a closing quote has come: what follows tells a field from its value
	text  [64]byte
	at    [64]int32
	n     int
}

func (s *scan) node(depth int) *node {
	s.nodes++
	if k := len(s.free); k > 0 {
		n := s.free[k-1]
		s.free = s.free[:k-1]
		*n = node{depth: depth, sentence: true}
		return n
	}
	return &node{depth: depth, sentence: true}
}

func (s *scan) drop(n *node) {
	n.blobs.drop(s)
	if n.esc.child != nil {
		s.drop(n.esc.child)
	}
	s.nodes--
	s.free = append(s.free, n)
}

// feed takes one character.
func (n *node) feed(s *scan, r rune, at int) {
	sym := symbol(r)
	if n.depth == 0 && sym != noSymbol {
		s.seen++
	}
	n.inWord(s, r, sym, at)
	if sym != noSymbol {
		n.flat.push(s, sym, at)
		n.signs.push(s, sym, at)
		if sym < 26 {
			n.keys[0].push(s, keyLeft[sym], at)
			n.keys[1].push(s, keyRight[sym], at)
		} else if sym < 36 {
			n.keys[0].push(s, sym, at)
			n.keys[1].push(s, sym, at)
		}
		n.digits(s, sym, at)
	} else {
		n.signs.push(s, sign(r), at)
	}
	if r > ' ' && (r < 0x80 || sym != noSymbol) {
		k := n.count
		n.strides[k%2].push(s, sym, at)
		n.strides[2+k%3].push(s, sym, at)
		n.strides[5+k%4].push(s, sym, at)
		n.count++
		if !n.begun[2] {
			n.begun[2] = true
			n.lines[4].push(s, sym, at)
		}
	}
	if r > ' ' && r < 0x7f {
		n.rot47.push(s, symbol(33+(r-33+47)%94), at)
	}
	n.quotes(s, r, sym, at)
	n.dashes(s, r, at)
	if r < 0x80 && n.depth < maxDepth {
		n.blobs.feed(s, n.depth, byte(r), at)
	}
	n.esc.feed(s, n.depth, r, at)
}

// inWord collects words and lines.
func (n *node) inWord(s *scan, r rune, sym byte, at int) {
	if sym != noSymbol {
		if n.tokN == 0 {
			n.tokAt = at
		}
		if n.tokN < maxToken {
			n.tok[n.tokN], n.raw[n.tokN] = sym, 0
			if r < 0x80 {
				n.raw[n.tokN] = byte(r)
			}
		}
		n.tokN++
		if !n.begun[0] {
			n.begun[0] = true
			n.lines[0].push(s, sym, at)
		}
		if !n.begun[1] && (sym < 26 || sym >= 36) {
			n.begun[1] = true
			n.lines[1].push(s, sym, at)
		}
		if n.sentence {
			n.sentence = false
			n.lines[3].push(s, sym, at)
		}
		n.lineLast, n.lineEnd = sym, at
		return
	}
	if (r == '\'' || r == '’') && n.tokN > 0 || r >= 0x80 && !unicode.IsSpace(r) && !unicode.IsPunct(r) && !unicode.IsSymbol(r) {
		return // it's, or something that nobody sees
	}
	if n.tokN > 0 {
		n.word(s)
	}
	switch r {
	case '\n':
		n.line(s)
	case '.', '!', '?', ';':
		n.sentence = true
	}
}

func (n *node) line(s *scan) {
	if n.begun[0] {
		n.lines[2].push(s, n.lineLast, n.lineEnd)
	}
	n.begun = [3]bool{}
	n.sentence = true
}

// word reads the word that has ended.
func (n *node) word(s *scan) {
	tok, at := n.tok[:min(n.tokN, maxToken)], n.tokAt
	raw := n.raw[:len(tok)]
	whole := n.tokN <= maxToken
	n.tokN = 0
	n.letters[0].push(s, tok[0], at)
	n.letters[2].push(s, tok[len(tok)-1], at)
	if len(tok) > 1 {
		n.letters[1].push(s, tok[1], at)
		n.letters[3].push(s, tok[len(tok)-2], at)
	}
	for i := len(tok) - 1; i >= 0; i-- {
		n.reversed.push(s, tok[i], at+i)
	}
	var buf [maxToken]byte
	low := lower(&buf, raw)
	if name, ok := named(low); ok {
		n.names[0].push(s, name, at)
		n.names[2].push(s, name, at)
	}
	if len(tok) == 1 {
		n.names[1].push(s, tok[0], at)
		n.names[2].push(s, tok[0], at)
	}
	n.number(s, low, at)
	if english, ok := translated(low); ok {
		for i := 0; i < len(english); i++ {
			n.lexical.push(s, symbol(rune(english[i])), at)
		}
	} else {
		for _, c := range tok {
			n.lexical.push(s, c, at)
		}
	}
	if len(s.ix.needles) > 0 && whole {
		n.piece(s, tok, raw, at)
	}
	n.passage(s, tok, at)
}

// piece hands a word that is no ordinary one to the memory of the conversation.
// What is decoded from somewhere in a text is often noise: only long words of it.
func (n *node) piece(s *scan, tok, raw []byte, at int) {
	if n.depth > 0 {
		if len(tok) >= 4 && !ordinary(tok) {
			s.recall.piece(s, tok, at)
		}
		return
	}
	n.total++
	switch filler := n.total > 1 && (raw[0] == 'a' || raw[0] == 'I'); {
	case len(tok) == 1 && !filler:
		s.recall.single(s, 0, tok[0], at)
	case len(tok) == 1:
	case !ordinary(tok) || s.ix.isPart(tok):
		s.recall.piece(s, tok, at)
	case len(tok) <= 4 && n.total <= fewWords:
		n.few = append(n.few, string(tok))
	}
	if slices.Contains(raw, 0) {
		return
	}
	for how, text := range decodedWord(raw) {
		syms := symbolsOf(text)
		switch {
		case len(syms) == 1:
			s.recall.single(s, 1+how, syms[0], at)
		case len(syms) > 1 && len(syms) < 20:
			s.recall.piece(s, syms, at)
		case n.depth < maxDepth && s.nodes < maxNodes:
			child := s.node(n.depth + 1)
			for _, r := range text {
				child.feed(s, r, at)
			}
			child.finish(s)
			s.drop(child)
		}
	}
}

// fewWords is how long an answer is of which every word may be a piece.
const fewWords = 12

// answers takes the short words of a short answer: "the next part is do".
func (n *node) answers(s *scan) {
	if n.depth == 0 && n.total <= fewWords {
		for _, w := range n.few {
			s.recall.piece(s, []byte(w), 0)
		}
	}
	n.few = nil
}

func (ix *index) isPart(tok []byte) bool {
	for i := range ix.needles {
		if ix.needles[i].parts[string(tok)] {
			return true
		}
	}
	return false
}

// passage compares the last words with the system prompt.
func (n *node) passage(s *scan, tok []byte, at int) {
	p := &s.ix.prompt
	if len(p.passages) == 0 {
		return
	}
	h := maphash.Bytes(p.seed, tok)
	last := n.words[(n.wordN+63)&63]
	n.words[n.wordN&63], n.wordAt[n.wordN&63] = h, int32(at)
	n.wordN++
	if n.wordN > 1 && p.pairs[[2]uint64{last, h}] {
		n.run++
	} else {
		n.run = 1
	}
	if n.run < p.n || p.n > 64 {
		return
	}
	var words [64]uint64
	for i := range p.n {
		words[i] = n.words[(n.wordN-p.n+i)&63]
	}
	if p.passages[mix(words[:p.n])] {
		s.say(0.95, "a passage of the system prompt")
	}
}

// quotes reads what stands in quotes as one text: the values of a JSON object.
func (n *node) quotes(s *scan, r rune, sym byte, at int) {
	q := &n.quote
	if r == '"' {
		if !q.open && q.ended { // two texts in a row: the first was a value
			n.value(s)
		}
		q.open = !q.open
		q.ended = !q.open
		return
	}
	switch {
	case q.open && sym != noSymbol:
		if q.n == len(q.text) {
			n.value(s)
		}
		q.text[q.n], q.at[q.n] = sym, int32(at)
		q.n++
	case q.ended && r == ':':
		q.n, q.ended = 0, false
	case q.ended && r > ' ':
		n.value(s)
	}
}

func (n *node) value(s *scan) {
	q := &n.quote
	for i := range q.n {
		n.quoted.push(s, q.text[i], int(q.at[i]))
	}
	q.n, q.ended = 0, false
}

// finish says that nothing follows.
func (n *node) finish(s *scan) {
	if n.tokN > 0 {
		n.word(s)
	}
	n.line(s)
	n.answers(s)
	n.value(s)
	n.dashEnd(s)
	n.esc.finish(s)
	n.blobs.finish(s)
}

// held lowers first to where the earliest run begins that may become a finding.
func (n *node) held(s *scan, first *int) {
	low := func(t *track, least int32) {
		if at := t.holds(s.ix, least); at >= 0 && at < *first {
			*first = at
		}
	}
	least := int32(4)
	if n.depth == 0 {
		least = 3
	}
	low(&n.flat, least)
	low(&n.signs, 4)
	low(&n.rot47, 5)
	for i := range n.strides {
		low(&n.strides[i], 5)
	}
	for _, list := range [][]track{n.keys[:], n.letters[:], n.lines[:], n.bits[:], n.triples[:]} {
		for i := range list {
			low(&list[i], 4)
		}
	}
	for _, list := range [][]track{n.names[:], n.codes[:]} {
		for i := range list {
			low(&list[i], 4)
		}
	}
	for _, t := range [...]*track{&n.quoted, &n.reversed, &n.morse, &n.lexical} {
		low(t, 5)
	}
	if n.run >= 2 {
		*first = min(*first, int(n.wordAt[(n.wordN-min(n.run, n.wordN, 63))&63]))
	}
	n.blobs.held(s, first)
	if n.esc.child != nil {
		n.esc.child.held(s, first)
	}
	*first = max(*first, 0)
}
