package secret

import (
	"bytes"
	"math"
	"slices"
	"sync"
	"unsafe"
)

// Windows of what is remembered, in words that are no ordinary words. A pair of
// letters is part of some secret by chance; that many of them in a row are not.
const (
	shortLife = 160  // words of two letters or digits
	midLife   = 2500 // words of three
	never     = 1 << 30
	maxSingle = 96 // single letters and digits that are remembered
)

// recall is what a conversation has shown of each secret. It is bounded: a few
// bytes for each letter of a secret, and the ledger. Its lock is held by a scan
// while it takes a piece of a text.
type recall struct {
	mu      sync.Mutex
	spares  *sync.Pool // of those that keep how another one was
	counted bool       // what nothing explains is: ledger is used
	secrets []shown
	words   int32             // counted in words that are no ordinary words
	singles [rareKinds][]byte // by the code they came in
	runs    [rareKinds]struct {
		last byte
		n    int
	}
	before  [rareKinds][]byte // what the last answer had of a rare kind: what stands in every answer says nothing
	short   track             // such words and single letters, one after the other, over all texts
	pushed  int
	ledger  ledger
	touched bool // something was read
}

// shown is what is known of one secret: by position, until which word.
type shown struct {
	until  []int32
	pieces int // that were marked weakly
	sure   []bool
	// by the shift of the alphabet, made when something is seen in it
	shifted map[int]*shown
}

func newShown(n int) *shown { return &shown{until: make([]int32, n), sure: make([]bool, n)} }

func newRecall(ix *index) *recall {
	r := &recall{secrets: make([]shown, len(ix.needles)), spares: &ix.spares, counted: ix.most > 0}
	for i, n := range ix.needles {
		r.secrets[i] = *newShown(len(n.text))
	}
	return r
}

// reset forgets everything, for somebody who has it alone.
func (r *recall) reset() {
	secrets := r.secrets
	for i := range secrets {
		clear(secrets[i].until)
		clear(secrets[i].sure)
		secrets[i] = shown{until: secrets[i].until, sure: secrets[i].sure}
	}
	r.words, r.pushed, r.short, r.ledger, r.touched = 0, 0, track{}, ledger{}, false
	clear(r.singles[:])
	clear(r.before[:])
	clear(r.runs[:])
}

// Size implements guard.Recall.
func (r *recall) Size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 1024 + rareKinds*maxSingle + int(unsafe.Sizeof(r.ledger))
	for _, s := range r.secrets {
		n += (64 + 5*len(s.until)) * (1 + len(s.shifted))
	}
	return n
}

// Snapshot implements guard.Recall.
func (r *recall) Snapshot() (end func(back bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.touched { // the most of memories: of several channels together
		return r.forget
	}
	was, ok := r.spares.Get().(*recall)
	if !ok {
		was = &recall{}
	}
	r.copyTo(was)
	return func(back bool) {
		if back {
			r.mu.Lock()
			was.copyTo(r)
			r.mu.Unlock()
		}
		r.spares.Put(was)
	}
}

// forget ends a snapshot of a memory in which nothing was.
func (r *recall) forget(back bool) {
	if back {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reset()
	}
}

// copyTo makes another one of the same index equal, but for its lock. What it had is used again.
func (r *recall) copyTo(to *recall) {
	if to.secrets == nil {
		to.secrets = make([]shown, len(r.secrets))
	}
	for i := range r.secrets {
		from, w := &r.secrets[i], &to.secrets[i]
		*w = shown{until: append(w.until[:0], from.until...), pieces: from.pieces, sure: append(w.sure[:0], from.sure...)}
		if len(from.shifted) > 0 {
			w.shifted = from.clone().shifted
		}
	}
	if to.counted = r.counted; r.counted {
		to.ledger = r.ledger
	}
	to.words, to.pushed, to.short, to.runs = r.words, r.pushed, r.short, r.runs
	for k := range r.singles {
		to.singles[k], to.before[k] = append(to.singles[k][:0], r.singles[k]...), append(to.before[k][:0], r.before[k]...)
	}
}

func (w *shown) clone() *shown {
	c := &shown{until: slices.Clone(w.until), pieces: w.pieces, sure: slices.Clone(w.sure)}
	if len(w.shifted) > 0 {
		c.shifted = make(map[int]*shown, len(w.shifted))
		for k, v := range w.shifted {
			c.shifted[k] = v.clone()
		}
	}
	return c
}

// strong marks positions of a secret that came out beyond doubt.
func (r *recall) strong(s *scan, secret int, at []int16) {
	w := &r.secrets[secret]
	for _, p := range at {
		w.sure[p], w.until[p] = true, never
	}
	r.judge(s, secret)
}

// piece takes a word that is no ordinary one, and marks the secrets that it is
// a part of.
func (r *recall) piece(s *scan, word []byte, at int) {
	r.part(s, word)
	if len(word) <= 8 {
		r.chain(s, word, at)
	}
}

// part marks the secrets that a word is a part of.
func (r *recall) part(s *scan, word []byte) {
	r.words++
	life := int32(never)
	switch len(word) {
	case 2:
		life = r.words + shortLife
	case 3:
		life = r.words + midLife
	}
	for i := range s.ix.needles {
		n := &s.ix.needles[i]
		if r.mark(&r.secrets[i], n, word, life) {
			if !ordinary(word) {
				r.secrets[i].pieces++
			}
			r.judge(s, i)
		}
		if len(word) >= 3 {
			r.shift(s, i, word, life)
		}
	}

}

// mark marks where a word stands in a secret, leetspeak or letters in another
// order included; news says that it told something.
func (r *recall) mark(w *shown, n *needle, word []byte, life int32) (news bool) {
	mixed := len(word) >= 4 && len(word) <= fewSymbols
	var want [symbols]int8
	for _, c := range word {
		want[leet[c]]++
	}
	for from := 0; from+len(word) <= len(n.text); from++ {
		part := n.text[from : from+len(word)]
		if !(same(part, word) || backwards(part, word) || mixed && anagram(part, want) || len(word) == 3 && leet[part[0]] == leet[word[1]] && leet[part[1]] == leet[word[0]] && leet[part[2]] == leet[word[2]]) {
			continue
		}
		for p := from; p < from+len(word); p++ {
			news = news || w.until[p] <= r.words
			w.until[p] = max(w.until[p], life)
			if len(word) >= 8 && !ordinary(word) {
				w.sure[p] = true
			}
		}
	}
	return news
}

// shift marks a word that is a part of a secret in another alphabet: shifted, or
// turned round. Each alphabet is counted by itself.
func (r *recall) shift(s *scan, secret int, word []byte, life int32) {
	n := &s.ix.needles[secret]
	var text [fewSymbols]byte
	if len(word) > len(text) {
		return
	}
	letters := 0
	for k := 1; k < 29; k++ {
		letters = 0
		for i, c := range word {
			if c < 26 {
				letters++
				switch k {
				case 26:
					c = 25 - c
				case 27:
					c = keyLeft[c]
				case 28:
					c = keyRight[c]
				default:
					c = (c + byte(k)) % 26
				}
			}
			text[i] = c
		}
		if letters < 2 {
			return
		}
		if !n.has(text[:len(word)]) {
			continue
		}
		w := r.secrets[secret].shifted[k]
		if w == nil {
			if w = newShown(len(n.text)); r.secrets[secret].shifted == nil {
				r.secrets[secret].shifted = map[int]*shown{}
			}
			r.secrets[secret].shifted[k] = w
		}
		if r.mark(w, n, text[:len(word)], life) {
			w.pieces++
			any := 0
			for _, u := range w.until {
				if u > r.words {
					any++
				}
			}
			if any*10 >= len(w.until)*5 && w.pieces >= 3 {
				s.say(0.95, "pieces of "+n.name()+" in another alphabet")
			}
		}
	}
}

// has says whether a word stands in a secret, either way round.
func (n *needle) has(word []byte) bool {
	return bytes.Contains(n.text, word) || bytes.Contains(n.back, word)
}

func same(a, b []byte) bool {
	for i := range a {
		if leet[a[i]] != leet[b[i]] {
			return false
		}
	}
	return true
}

func backwards(a, b []byte) bool {
	for i := range a {
		if leet[a[i]] != leet[b[len(b)-1-i]] {
			return false
		}
	}
	return true
}

func anagram(part []byte, want [symbols]int8) bool {
	for _, c := range part {
		if want[leet[c]]--; want[leet[c]] < 0 {
			return false
		}
	}
	return true
}

// news returns what an answer has of a rare kind that the last one had not.
func (r *recall) news(kind int, got []byte) (out []byte) {
	old := r.before[kind]
	r.before[kind] = slices.Clone(got)
	for _, c := range got {
		if i := bytes.IndexByte(old, c); i >= 0 {
			old = slices.Delete(slices.Clone(old), i, i+1)
			continue
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return got
	}
	return out
}

// chain reads short words of all texts as one text.
func (r *recall) chain(s *scan, word []byte, at int) {
	seen := s.seen
	r.pushed += len(word)
	s.seen = min(r.pushed, 400) // ordinary words are not in it
	t := r.short
	for _, c := range word {
		t.push(s, c, at)
	}
	r.short = t
	s.seen = seen
}

// single takes a letter or digit that stands alone, as it is (code 0) or in a
// code: many of them in any order are a secret when they are its letters and
// hardly any others.
func (r *recall) single(s *scan, code int, sym byte, at int) {
	if code == 0 {
		r.chain(s, []byte{sym}, at)
	}
	run := &r.runs[code]
	if run.n > 0 && sym == run.last+1 {
		run.n++
	} else {
		run.n = 1
	}
	run.last = sym
	if run.n >= 4 { // a, b, c, d: nobody's secret
		if k := len(r.singles[code]); run.n == 4 && k >= 3 {
			r.singles[code] = r.singles[code][:k-3]
		}
		return
	}
	list := append(r.singles[code], sym)
	if len(list) > maxSingle {
		list = append(list[:0], list[len(list)-maxSingle:]...)
	}
	r.singles[code] = list
	for i := range s.ix.needles {
		if s.ix.needles[i].distinct >= 6 {
			r.judge(s, i)
		}
	}
}

// filled counts the positions of a secret that single letters fill, of those
// that nothing else has told; with the alphabet shifted, or turned round, too.
// Fewer than least are as good as none.
func (r *recall) filled(n *needle, w *shown, least int) (most int) {
	for kind, list := range r.singles {
		last := list[max(0, len(list)-len(n.text)*5/4):]
		if len(last) < least || len(last) <= most || len(last)*2 < len(n.text) && kind > 0 { // no more can be filled than there are
			continue
		}
		shifts := 27
		if kind > 0 || len(last)*100 < len(n.text)*shiftedShare {
			shifts = 1
		}
		for k := range shifts {
			hit := r.fills(n, w, last, byte(k))
			if kind >= wordCodes && hit*100 < len(n.text)*75 { // lists of numbers and short words are letters too often
				hit = 0
			}
			if hit > most && r.telling(n, w, len(last), hit, kind, byte(k)) {
				most = hit
			}
		}
	}
	return most
}

// shiftedShare is the share of a secret, in per cent, that letters in another alphabet
// must fill.
const shiftedShare = 80

func (r *recall) fills(n *needle, w *shown, last []byte, k byte) (hit int) {
	var left [symbols]int8
	for p, c := range n.text {
		if k > 0 || w.until[p] <= r.words {
			left[c]++
		}
	}
	for _, c := range last {
		switch {
		case c < 26 && k == 26:
			c = 25 - c
		case c < 26:
			c = (c + k) % 26
		}
		if left[c] > 0 {
			left[c]--
			hit++
		}
	}
	if k > 0 && hit*100 < len(n.text)*shiftedShare { // of 26 alphabets one always comes close
		return 0
	}
	return hit
}

// telling says whether so many positions are not filled by as many letters and
// digits as stand alone in any text. Of a symbol that the secret has m times
// min(X, m) positions are filled, X Poisson with its share of ordinary texts; the
// sum over all symbols is about normal. It is asked after every single letter of
// a conversation and for every secret, so chance must be far away.
func (r *recall) telling(n *needle, w *shown, singles, hit, kind int, k byte) bool {
	var left [symbols]int
	for p, c := range n.text {
		if k > 0 || w.until[p] <= r.words {
			left[c]++
		}
	}
	mean, variance := 0.0, 0.25
	for c, m := range left {
		if m == 0 {
			continue
		}
		x := float64(singles) * aloneShare(byte(c))
		// E[min(X, m)] and E[min(X, m)²] from P(X = j), j < m.
		p, first, second, below := math.Exp(-x), 0.0, 0.0, 0.0
		for j := range m {
			first, second, below = first+float64(j)*p, second+float64(j*j)*p, below+p
			p *= x / float64(j+1)
		}
		first, second = first+float64(m)*(1-below), second+float64(m*m)*(1-below)
		mean, variance = mean+first, variance+second-first*first
	}
	far := 3.5
	switch {
	case kind > 0: // letters in a code are rare
		far = 2
	case k > 0: // the most of 27 alphabets
		far = 5
	}
	return float64(hit) >= mean+far*math.Sqrt(variance)
}

// aloneShare is how often what stands alone in a text is a certain symbol: mostly
// digits of lists and tables, then names of variables and units.
func aloneShare(sym byte) float64 {
	switch {
	case sym < 26:
		return 0.5 / 26
	case sym < 36:
		return 0.5 / 10
	}
	return 0.01
}

// judge says whether too much of a secret has come out.
func (r *recall) judge(s *scan, secret int) {
	n, w := &s.ix.needles[secret], &r.secrets[secret]
	sure, any := 0, 0
	for p := range w.until {
		if w.sure[p] {
			sure++
		}
		if w.until[p] > r.words {
			any++
		}
	}
	switch {
	case sure*10 >= len(w.until)*9:
		s.say(1, n.name())
	case sure >= n.need:
		s.say(0.95, "a part of "+n.name())
	case any >= n.need && any*10 >= len(w.until)*6 && w.pieces >= 3:
		s.say(0.95, "pieces of "+n.name())
	case n.distinct >= 6: // a number has no more digits than any other
		least := max((len(w.until)+3)/4, (len(w.until)*65+99)/100-any)
		if r.filled(n, w, least) >= least {
			s.say(0.95, "the letters of "+n.name()+", one by one")
		}
	}
}
