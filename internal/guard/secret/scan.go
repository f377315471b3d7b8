package secret

import (
	"unicode/utf8"

	"bartizan/internal/guard"
)

// Limits of one scan.
const (
	ring     = 64  // symbols of a track whose places are remembered
	maxDepth = 3   // codes inside of codes
	maxNodes = 48  // texts that are read at the same time: the plain one and what is decoded from it
	maxToken = 192 // bytes of a word that are kept
)

// track is one way to read a text as symbols: all letters, every second one,
// the first one of each line, what a list of numbers stands for.
type track struct {
	abs, delta cursor
	n          int32
	at         [ring]int32 // where in the text each symbol began
	letter     byte        // the last one
	last       place       // where the last run of a secret ended
	lastN      int32       // symbols up to there
}

// scan reads one text in every way at once. Nothing is looked at twice, so
// that a stream costs what the whole text costs.
type scan struct {
	ix     *index
	recall *recall
	root   *node
	exp    explain
	// odd says that what nothing explains is no finding: see marked.
	odd    bool
	most   float32   // see index.most: of the secrets that the model was told
	awake  bool      // codes are read
	tail   [256]byte // of what was not read for codes
	tailN  int
	free   []*node
	nodes  int
	offset int // of the next byte
	rest   []byte
	seen   int // symbols of the text
	found  []guard.Finding
	said   map[string]bool
}

func newScan(ix *index, r *recall) *scan {
	if r == nil {
		r = newRecall(ix)
	}
	s := &scan{ix: ix, recall: r, most: ix.most}
	s.root, s.nodes = &node{sentence: true}, 1
	s.exp.brisk = ix.most == 0
	return s
}

// reset makes a scan of a text by itself as it was before. What it read codes with is
// given up: few texts need it.
func (s *scan) reset() {
	s.recall.reset()
	s.again(s.recall)
}

// again makes a scan ready for another text.
func (s *scan) again(r *recall) {
	*s.root = node{sentence: true}
	*s = scan{ix: s.ix, recall: r, root: s.root, nodes: 1, most: s.ix.most}
	s.exp.brisk = s.most == 0
}

// Free lets another text be read with what this one was read with.
func (s *scan) Free() {
	s.again(nil)
	s.ix.scans.Put(s)
}

// Write implements guard.Follow.
func (s *scan) Write(piece string) ([]guard.Finding, int) {
	s.recall.mu.Lock()
	defer s.recall.mu.Unlock()
	s.recall.touched = true
	defer s.forgive(s.recall.ledger.sums())
	text := piece
	if len(s.rest) > 0 {
		text = string(s.rest) + piece
		s.rest = s.rest[:0]
	}
	for i := 0; i < len(text); {
		if n := s.letters(text[i:]); n > 0 {
			i += n
			continue
		}
		r, n := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			if !utf8.FullRuneInString(text[i:]) && len(text)-i < utf8.UTFMax {
				s.rest = append(s.rest, text[i:]...)
				break
			}
			r, n = utf8.DecodeRuneInString(text[i:])
		}
		s.front(text[i:i+n], r)
		s.offset += n
		i += n
	}
	return s.take(), min(s.held()+len(s.rest), s.offset+len(s.rest))
}

// front takes one character. Words are always read, and what codes say only around
// what is not explained: most texts have nothing of that.
func (s *scan) front(bytes string, r rune) {
	sym, l := symbol(r), &s.recall.ledger
	s.exp.char(l, r, sym, s.offset)
	if !s.exp.brisk {
		s.exp.copy.char(l, r)
	}
	if l.moved {
		s.unexplained()
	}
	s.root.inWord(s, r, sym, s.offset)
	if sym != noSymbol {
		s.seen++
		s.root.flat.push(s, sym, s.offset)
	}
	if s.awake {
		s.root.char(s, r, sym, s.offset)
		s.awake = s.exp.heat > 0 || s.exp.calm < calmWords
		return
	}
	for i := range len(bytes) {
		s.tail[s.tailN%len(s.tail)] = bytes[i]
		s.tailN++
	}
	if s.exp.heat >= wakes {
		s.wake(s.offset + len(bytes))
	}
}

// letters takes the letters of ASCII at the beginning of a text as front would, all at
// once: a text is mostly of them, and nothing ends with one.
func (s *scan) letters(text string) (n int) {
	for n < len(text) && ascii[text[n]&0x7f] < 26 && text[n] < 0x80 {
		n++
	}
	if n == 0 || s.awake || !s.exp.letters(text[:n], s.offset) {
		return 0
	}
	if !s.exp.brisk {
		l := &s.recall.ledger
		for _, c := range []byte(text[:n]) {
			s.exp.copy.char(l, rune(c))
		}
		if l.moved {
			s.unexplained()
		}
	}
	s.root.inLetters(s, text[:n], s.offset)
	for i, c := range []byte(text[:n]) {
		s.seen++
		s.root.flat.push(s, ascii[c&0x7f], s.offset+i)
		s.tail[(s.tailN+i)%len(s.tail)] = c
	}
	s.tailN += n
	s.offset += n
	return n
}

const (
	wakes     = 8  // bits in a row that nothing explains from which codes are read
	calmWords = 12 // ordinary words after which they are no longer
)

// wake begins to read what codes say, from some characters before on.
func (s *scan) wake(offset int) {
	if s.root.chars == nil {
		s.root.chars = &chars{}
	}
	s.awake = true
	var buf [len(s.tail)]byte
	n := min(s.tailN, len(s.tail))
	for i := range n {
		buf[i] = s.tail[(s.tailN-n+i)%len(s.tail)]
	}
	s.tailN = 0
	at := offset - n
	for b := buf[:n]; len(b) > 0; {
		r, size := utf8.DecodeRune(b)
		if at > offset-n || utf8.RuneStart(b[0]) || offset == n { // not the end of one
			s.root.char(s, r, symbol(r), at)
		}
		at += size
		b = b[size:]
	}
}

// End implements guard.Follow.
func (s *scan) End() []guard.Finding {
	s.recall.mu.Lock()
	defer s.recall.mu.Unlock()
	s.recall.touched = true
	l := &s.recall.ledger
	defer s.forgive(l.sums())
	s.exp.finish(l)
	if l.moved {
		s.unexplained()
	}
	if !s.awake && s.exp.strange && s.offset <= len(s.tail) { // a short answer may be all in a code
		s.wake(s.offset)
	}
	s.root.finish(s)
	return s.take()
}

// unexplained judges what the conversation said that nothing explains.
func (s *scan) unexplained() {
	if s.most == 0 || s.odd {
		s.recall.ledger.moved = false
		return
	}
	if s.recall.ledger.over(s.most) {
		s.say(0.95, "text that nothing explains, which may be a secret in a code")
	}
}

// Untold says which secrets the model was not told: what nothing explains is no code of
// them. What looks like them is found all the same.
func (s *scan) Untold(k guard.Kept) { s.most = s.ix.least(k) }

// forgive takes back what was counted of an answer by a model that had no secret to tell.
func (s *scan) forgive(was sums) {
	if s.most == 0 && s.ix.most > 0 {
		l := &s.recall.ledger
		l.odd, l.listed, l.chosen = was.odd, was.listed, was.chosen
	}
}

func (s *scan) take() []guard.Finding {
	out := s.found
	s.found = nil
	return out
}

func (s *scan) say(score float64, note string) {
	if !s.said[note] {
		if s.said == nil {
			s.said = map[string]bool{}
		}
		s.said[note] = true
		s.found = append(s.found, guard.Finding{Category: guard.Secret, Score: score, Note: note})
	}
}

// push takes one symbol. A run of a secret is marked as soon as it says more
// than ordinary text would by chance.
func (t *track) push(s *scan, sym byte, at int) {
	if sym == noSymbol {
		return
	}
	ix := s.ix
	t.at[t.n&(ring-1)] = int32(at)
	t.n++
	t.abs = ix.abs.step(t.abs, leet[sym])
	if t.abs.length >= 3 {
		t.match(s, ix.abs, t.abs, 0)
	}
	d := sym
	if sym < 26 {
		d = (sym + 26 - t.letter) % 26
		t.letter = sym
	}
	t.delta = ix.delta.step(t.delta, d)
	if t.delta.length >= 4 {
		t.match(s, ix.delta, t.delta, 10)
	}
}

// match judges the run that ends with the last symbol. One that goes on where
// the one before it ended, with a few other symbols in between, is no chance.
func (t *track) match(s *scan, a *automaton, c cursor, extra float32) {
	end := a.end[c.state]
	v := &a.vars[end.variant]
	from := end.pos - c.length + 1
	bits := v.sum[end.pos+1] - v.sum[from]
	if bits < leastChance && t.lastN == 0 {
		return
	}
	if t.lastN > 0 && end.variant == t.last.variant && from > t.last.pos && from <= t.last.pos+3 && t.n-c.length-t.lastN <= 4 {
		bits += 12
	}
	if bits >= leastChanceIn(s.seen, s.ix.size)+v.extra+extra && bits >= chance(s.seen, s.ix.size)+v.extra+extra {
		s.recall.strong(s, v.secret, v.at[from:end.pos+1])
		t.last, t.lastN = end, t.n
	}
}

// holds returns where the run begins that the track is in, -1 for none. least
// is how long a run must be: what is held must not be all of a text.
func (t *track) holds(ix *index, least int32) int {
	n := max(t.abs.length, 0)
	if t.delta.length+1 > n && t.delta.length >= 5 {
		n = t.delta.length + 1
	}
	if n < least {
		if least > 3 || t.n == 0 {
			return -1
		}
		n = t.start(ix)
	}
	if n == 0 {
		return -1
	}
	n = min(n, ring, t.n)
	return int(t.at[(t.n-n)&(ring-1)])
}

// start is how many of the last two symbols begin a secret.
func (t *track) start(ix *index) int32 {
	if t.abs.length >= 2 && ix.begins2[t.abs.state] {
		return 2
	}
	c := t.abs
	for c.length > 1 && c.state > 0 {
		c.state = ix.abs.link[c.state]
		c.length = ix.abs.size[c.state]
	}
	if c.length == 1 && ix.begins1[c.state] {
		return 1
	}
	return 0
}

// held returns how many bytes at the end of the text must wait.
func (s *scan) held() int {
	first := s.offset
	if s.most > 0 && !s.odd {
		s.exp.held(&first, s.offset, s.recall.ledger.near(s.most))
	}
	s.root.held(s, &first)
	return s.offset - first
}
