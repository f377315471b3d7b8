package secret

import (
	"bytes"
	"sync"
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
// bytes for each letter of a secret.
type recall struct {
	mu      sync.Mutex
	secrets []shown
	words   int32                 // counted in words that are no ordinary words
	singles [1 + wordCodes][]byte // by the code they came in
	runs    [1 + wordCodes]struct {
		last byte
		n    int
	}
	short  track // such words and single letters, one after the other, over all texts
	pushed int
	prompt []bool // words of the system prompt that came out in runs
}

// shown is what is known of one secret: by position, until which word.
type shown struct {
	until  []int32
	pieces int // that were marked weakly
	sure   []bool
}

func newRecall(ix *index) *recall {
	r := &recall{secrets: make([]shown, len(ix.needles))}
	for i, n := range ix.needles {
		r.secrets[i] = shown{until: make([]int32, len(n.text)), sure: make([]bool, len(n.text))}
	}
	return r
}

// Size implements guard.Recall.
func (r *recall) Size() int {
	n := 1024
	for _, s := range r.secrets {
		n += 64 + 5*len(s.until)
	}
	return n
}

// strong marks positions of a secret that came out beyond doubt.
func (r *recall) strong(s *scan, secret int, at []int16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &r.secrets[secret]
	for _, p := range at {
		w.sure[p], w.until[p] = true, never
	}
	r.judge(s, secret)
}

// piece takes a word that is no ordinary one, and marks the secrets that it is
// a part of.
func (r *recall) piece(s *scan, word []byte, at int) {
	r.mu.Lock()
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
		hit := r.mark(i, n.text, word, life, false)
		if r.mark(i, n.back, word, life, true) || hit {
			r.secrets[i].pieces++
			r.judge(s, i)
		}
	}
	r.mu.Unlock()
	if len(word) <= 8 {
		r.chain(s, word, at)
	}
}

// mark marks where a word stands in a secret; new says that it told something.
func (r *recall) mark(secret int, text, word []byte, life int32, back bool) (news bool) {
	w := &r.secrets[secret]
	for from := 0; ; from++ {
		k := bytes.Index(text[from:], word)
		if k < 0 {
			return news
		}
		from += k
		for j := range word {
			p := from + j
			if back {
				p = len(text) - 1 - p
			}
			news = news || w.until[p] <= r.words
			w.until[p] = max(w.until[p], life)
			if len(word) >= 8 && !ordinary(word) {
				w.sure[p] = true
			}
		}
	}
}

// chain reads short words of all texts as one text.
func (r *recall) chain(s *scan, word []byte, at int) {
	seen := s.seen
	r.mu.Lock()
	r.pushed += len(word)
	s.seen = min(r.pushed, 400) // ordinary words are not in it
	t := r.short
	r.mu.Unlock()
	for _, c := range word {
		t.push(s, c, at)
	}
	r.mu.Lock()
	r.short = t
	r.mu.Unlock()
	s.seen = seen
}

// single takes a letter or digit that stands alone, as it is (code 0) or in a
// code: many of them in any order are a secret when they are its letters and
// hardly any others.
func (r *recall) single(s *scan, code int, sym byte, at int) {
	if code == 0 {
		r.chain(s, []byte{sym}, at)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
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
		if n, w := &s.ix.needles[i], &r.secrets[i]; n.distinct >= 6 && r.wants(n, w, sym) {
			r.judge(s, i)
		}
	}
}

// wants says whether a letter is one of those that nothing else has told.
func (r *recall) wants(n *needle, w *shown, sym byte) bool {
	for p, c := range n.text {
		if c == sym && w.until[p] <= r.words {
			return true
		}
	}
	return false
}

// filled counts the positions of a secret that single letters fill, of those
// that nothing else has told.
func (r *recall) filled(n *needle, w *shown) (most int) {
	for _, list := range r.singles {
		last := list[max(0, len(list)-len(n.text)*5/4):]
		var left [symbols]int8
		for p, c := range n.text {
			if w.until[p] <= r.words {
				left[c]++
			}
		}
		hit := 0
		for _, c := range last {
			if left[c] > 0 {
				left[c]--
				hit++
			}
		}
		most = max(most, hit)
	}
	return most
}

// judge says whether too much of a secret has come out. The lock is held.
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
	case any*10 >= len(w.until)*6 && any >= n.need && w.pieces >= 3 || any*10 >= len(w.until)*5 && w.pieces >= 5:
		s.say(0.95, "pieces of "+n.name())
	case n.distinct >= 6: // a number has no more digits than any other
		if alone := r.filled(n, w); (any+alone)*100 >= len(w.until)*65 && alone*4 >= len(w.until) {
			s.say(0.95, "the letters of "+n.name()+", one by one")
		}
	}
}
