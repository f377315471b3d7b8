package secret

import (
	"hash/maphash"
	"slices"
	"unicode"

	"bartizan/internal/guard/decode"
)

// node reads one text: the plain one, or what a code inside of another text says.
// It reads words and lines, and has a part that reads characters: of the plain text
// only where it is not explained (scan.front).
type node struct {
	depth    int
	noise    bool // decoded from where nothing says that it was coded
	chars    *chars
	flat     track    // letters and digits
	reversed track    // each word from its end
	letters  [4]track // first, second, last, last but one letter of each word
	lines    [4]track // first letter or digit, first letter, last one of each line; first one of each sentence
	alone    [2]track // letters that stand alone; those and names of letters
	names    [1]rare
	codes    [5]rare // lists of decimal, hexadecimal, octal numbers, places in the alphabet from 1, from 0
	lexical  track

	tok       [maxToken]byte // symbols of the word
	raw       [maxToken]byte // its characters, 0 where they are not ASCII
	tokN      int
	tokAt     int
	lineLast  byte // last symbol of the line
	lineEnd   int
	begun     [2]bool    // the line has a letter or digit, a letter
	sentence  bool       // the next letter begins one
	words     [64]uint64 // hashes
	wordAt    [64]int32
	wordN     int
	total     int               // words that may be pieces
	wordCount int               // all words
	foreign   int               // words since one that was translated
	first     byte              // 1 + the letter that is the first word
	few       [fewWords][4]byte // short ordinary ones of a short text
	fewN      int
	fewLen    [fewWords]uint8
	run       int // of words that follow each other in the system prompt
}

// node makes one that reads characters too.
func (s *scan) node(depth int) *node {
	s.nodes++
	var n *node
	if k := len(s.free); k > 0 {
		n = s.free[k-1]
		s.free = s.free[:k-1]
		c := n.chars
		*c = chars{}
		*n = node{chars: c}
	} else {
		n = &node{chars: &chars{}}
	}
	n.depth, n.sentence = depth, true
	return n
}

func (s *scan) drop(n *node) {
	n.rares(func(_ int, t *rare) { t.out.drop(s) })
	if c := n.chars; c != nil {
		c.blobs.drop(s)
		if c.tight != nil {
			s.drop(c.tight)
		}
		if c.esc.child != nil {
			s.drop(c.esc.child)
		}
	}
	s.nodes--
	s.free = append(s.free, n)
}

// feed takes one character.
func (n *node) feed(s *scan, r rune, at int) {
	sym := symbol(r)
	n.inWord(s, r, sym, at)
	if sym != noSymbol {
		n.flat.push(s, sym, at)
	}
	n.char(s, r, sym, at)
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
			} else if c := decode.Letter(r); c < 0x80 {
				n.raw[n.tokN] = byte(c)
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

// inLetters collects letters of ASCII, all of one word.
func (n *node) inLetters(s *scan, text string, at int) {
	if n.tokN == 0 {
		n.tokAt = at
	}
	if n.tokN < maxToken {
		for i, c := range n.raw[n.tokN : n.tokN+copy(n.raw[n.tokN:], text)] {
			n.tok[n.tokN+i] = ascii[c&0x7f]
		}
	}
	n.tokN += len(text)
	first, last := ascii[text[0]&0x7f], ascii[text[len(text)-1]&0x7f]
	for i := range n.begun {
		if !n.begun[i] {
			n.begun[i] = true
			n.lines[i].push(s, first, at)
		}
	}
	if n.sentence {
		n.sentence = false
		n.lines[3].push(s, first, at)
	}
	n.lineLast, n.lineEnd = last, at+len(text)-1
}

func (n *node) line(s *scan) {
	if n.begun[0] {
		n.lines[2].push(s, n.lineLast, n.lineEnd)
	}
	n.begun = [2]bool{}
	n.sentence = true
}

// word reads the word that has ended.
func (n *node) word(s *scan) {
	tok, at := n.tok[:min(n.tokN, maxToken)], n.tokAt
	raw := n.raw[:len(tok)]
	whole := n.tokN <= maxToken
	n.tokN = 0
	n.wordCount++
	n.letters[0].push(s, tok[0], at)
	n.letters[2].push(s, tok[len(tok)-1], at)
	if len(tok) > 1 {
		n.letters[1].push(s, tok[1], at)
		n.letters[3].push(s, tok[len(tok)-2], at)
	}
	var buf [maxToken]byte
	low := lower(&buf, raw)
	if name, ok := named(low); ok {
		n.names[0].char(s, n, char(name), at)
		n.alone[1].push(s, name, at)
	}
	n.translate(s, tok, low, at)
	n.passage(s, tok, at)
	if n.depth == 0 && whole && len(low) == len(tok) && len(tok) > 2 && low[0] >= 'a' && s.exp.oddness(raw) == 0 {
		n.total++
		switch { // a word: no code that is made of words
		case s.ix.parts.has(tok):
			s.recall.piece(s, tok, at)
		case len(tok) <= 4 && n.total <= fewWords:
			n.keep(tok)
		}
		return
	}
	for i := len(tok) - 1; i >= 0; i-- {
		n.reversed.push(s, tok[i], at+i)
	}
	if len(tok) == 1 {
		n.alone[0].push(s, tok[0], at)
		n.alone[1].push(s, tok[0], at)
	}
	n.number(s, low, at)
	if len(s.ix.needles) > 0 && whole {
		n.piece(s, tok, raw, at)
	}
}

// translate reads the text with words of other languages in English: from one that
// is known on, and a few more.
func (n *node) translate(s *scan, tok, low []byte, at int) {
	n.foreign++
	english, ok := translated(low)
	if ok {
		if n.foreign > 8 {
			n.lexical.abs, n.lexical.delta = cursor{}, cursor{}
		}
		n.foreign = 0
		for i := 0; i < len(english); i++ {
			n.lexical.push(s, symbol(rune(english[i])), at)
		}
		return
	}
	if n.foreign <= 8 {
		for _, c := range tok {
			n.lexical.push(s, c, at)
		}
	}
}

// piece hands a word that is no ordinary one to the memory of the conversation.
// What is decoded from somewhere in a text is often noise: only long words of it.
func (n *node) piece(s *scan, tok, raw []byte, at int) {
	if n.noise {
		if len(tok) >= 4 && !ordinary(tok) {
			s.recall.piece(s, tok, at)
		}
		if len(raw) >= 8 && len(raw) < maxToken && n.depth > 1 && mixed(raw) {
			n.decoded(s, raw, at)
		}
		return
	}
	n.total++
	switch filler := raw[0] == 'a' || raw[0] == 'I'; {
	case len(tok) == 1 && !filler:
		s.recall.single(s, 0, tok[0], at)
	case len(tok) == 1:
		if n.total == 1 {
			n.first = tok[0] + 1
		}
	case !ordinary(tok) || s.ix.parts.has(tok):
		s.recall.piece(s, tok, at)
	case len(tok) <= 4 && n.total <= fewWords:
		n.keep(tok)
	}
	if slices.Contains(raw, 0) {
		return
	}
	n.decoded(s, raw, at)
	var back [maxToken]byte
	for i, c := range raw {
		back[len(raw)-1-i] = c
	}
	n.decoded(s, back[:len(raw)], at)
	if len(raw) >= 8 && len(raw) < maxToken && mixed(raw) {
		for _, from := range transposedOrders(len(raw)) { // back holds one after the other
			for i, p := range from {
				back[p] = raw[i]
			}
			n.decoded(s, back[:len(raw)], at)
		}
	}
	if twice := halved(tok); twice != nil {
		s.recall.piece(s, twice, at)
	}
}

// halved is a word of which every letter stands twice, or has the same letter
// after it.
func halved(tok []byte) (out []byte) {
	if len(tok) < 4 {
		return nil
	}
	twice, filled := len(tok)%2 == 0, true
	for i := range tok {
		if i%2 == 0 {
			out = append(out, tok[i])
			continue
		}
		twice = twice && tok[i] == tok[i-1]
		filled = filled && tok[i] == tok[1]
	}
	if !twice && !filled {
		return nil
	}
	return out
}

// decoded reads a word by itself in every code that words have.
func (n *node) decoded(s *scan, raw []byte, at int) {
	all, any := decodedWord(raw)
	if !any {
		return
	}
	for how, text := range all {
		if text == "" {
			continue
		}
		switch syms := symbolsOf(text); {
		case len(syms) == 1:
			s.recall.single(s, 1+how, syms[0], at)
		case len(syms) > 1 && len(syms) < 20:
			s.recall.piece(s, syms, at)
		case len(syms) >= 20 && n.depth < maxDepth && s.nodes < maxNodes:
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

// keep notes a short word of a short text.
func (n *node) keep(tok []byte) {
	n.fewLen[n.fewN] = uint8(copy(n.few[n.fewN][:], tok))
	n.fewN++
}

// answers takes the short words of a short answer: "the next part is do".
func (n *node) answers(s *scan) {
	if !n.noise && n.total <= fewWords {
		for i := range n.fewN {
			s.recall.part(s, n.few[i][:n.fewLen[i]])
		}
	}
	if n.depth == 0 && n.total == 1 && n.first > 0 {
		s.recall.single(s, 0, n.first-1, 0)
	}
	n.fewN = 0
}

// passage compares the last words with the system prompt.
func (n *node) passage(s *scan, tok []byte, at int) {
	p := &s.ix.prompt
	if len(p.passages) == 0 {
		return
	}
	h := uint64(0) // of no word of the prompt
	if p.all.maybe(tok) {
		h = maphash.Bytes(p.seed, tok)
	}
	last := n.words[(n.wordN+63)&63]
	n.words[n.wordN&63], n.wordAt[n.wordN&63] = h, int32(at)
	n.wordN++
	if n.wordN > 1 && p.follows(last, h) {
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

// finish says that nothing follows.
func (n *node) finish(s *scan) {
	if n.tokN > 0 {
		n.word(s)
	}
	n.line(s)
	n.answers(s)
	c := n.chars
	if c != nil {
		n.value(s, 0)
		n.value(s, 1)
		n.dashEnd(s)
	}
	n.rarePieces(s)
	if c == nil {
		return
	}
	c.esc.finish(s)
	c.blobs.finish(s)
	if c.tight != nil {
		c.tight.finish(s)
	}
}

// held lowers first to where the earliest run begins that may become a finding.
func (n *node) held(s *scan, first *int) {
	least := int32(4)
	if n.depth == 0 {
		least = 3
	}
	n.flat.low(s, least, first)
	for _, list := range [][]track{n.letters[:], n.lines[:], n.alone[:]} {
		for i := range list {
			list[i].low(s, 4, first)
		}
	}
	n.rares(func(_ int, t *rare) {
		t.low(s, 4, first)
		if t.out.child != nil {
			t.out.child.held(s, first)
		}
	})
	n.reversed.low(s, 5, first)
	n.lexical.low(s, 5, first)
	if n.run >= 2 {
		*first = min(*first, int(n.wordAt[(n.wordN-min(n.run, n.wordN, 63))&63]))
	}
	if c := n.chars; c != nil && (n.depth > 0 || s.awake) {
		c.held(s, first)
	}
	*first = max(*first, 0)
}

// low lowers first to where the run begins that the track is in.
func (t *track) low(s *scan, least int32, first *int) {
	if at := t.holds(s.ix, least); at >= 0 && at < *first {
		*first = at
	}
}
