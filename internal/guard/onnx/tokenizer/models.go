package tokenizer

import (
	"container/heap"
	"fmt"
	"math"
	"unicode/utf8"
)

// wordPiece takes the longest part of the vocabulary that a word begins with, then of the rest.
type wordPiece struct {
	vocab   map[string]int64
	prefix  string // of what does not begin a word
	unknown int64
	longest int // word, in characters; a longer one is unknown
}

func (m *wordPiece) encode(word string, ids []int64) []int64 {
	if utf8.RuneCountInString(word) > m.longest {
		return append(ids, m.unknown)
	}
	was := len(ids)
	for from := 0; from < len(word); {
		to, id, ok := len(word), int64(0), false
		for ; to > from; to-- {
			if to < len(word) && !utf8.RuneStart(word[to]) {
				continue
			}
			part := word[from:to]
			if from > 0 {
				part = m.prefix + part
			}
			if id, ok = m.vocab[part]; ok {
				break
			}
		}
		if !ok {
			return append(ids[:was], m.unknown)
		}
		ids, from = append(ids, id), to
	}
	return ids
}

// fallback are the numbers of the tokens <0x00> to <0xFF>, for characters without one.
type fallback [256]int64

func newFallback(vocab map[string]int64) *fallback {
	var f fallback
	for b := range f {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			return nil // the reference then takes the unknown token
		}
		f[b] = id
	}
	return &f
}

// bpe joins neighbours, those that were joined first in training first.
type bpe struct {
	vocab          map[string]int64
	merges         map[[2]int64]merge
	unknown        int64 // -1: none, and what is unknown is dropped
	fuse, whole    bool
	prefix, suffix string
	bytes          *fallback
}

type merge struct {
	rank int
	id   int64
}

type symbol struct {
	id         int64
	prev, next int
	gone       bool
}

type candidate struct {
	merge
	at int
}

type queue []candidate

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].rank < q[j].rank || q[i].rank == q[j].rank && q[i].at < q[j].at
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(candidate)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func (m *bpe) encode(word string, ids []int64) []int64 {
	if m.whole {
		if id, ok := m.vocab[word]; ok {
			return append(ids, id)
		}
	}
	all := m.symbols(word)
	var q queue
	try := func(at int) {
		if at < 0 || all[at].next < 0 {
			return
		}
		if j, ok := m.merges[[2]int64{all[at].id, all[all[at].next].id}]; ok {
			heap.Push(&q, candidate{j, at})
		}
	}
	for i := range all {
		try(i)
	}
	for q.Len() > 0 {
		c := heap.Pop(&q).(candidate)
		s := &all[c.at]
		if s.gone || s.next < 0 {
			continue
		}
		if j, ok := m.merges[[2]int64{s.id, all[s.next].id}]; !ok || j.id != c.id {
			continue // one of the two was joined meanwhile
		}
		right := &all[s.next]
		right.gone = true
		s.id, s.next = c.id, right.next
		if s.next >= 0 {
			all[s.next].prev = c.at
		}
		try(s.prev)
		try(c.at)
	}
	for i := range all {
		if !all[i].gone {
			ids = append(ids, all[i].id)
		}
	}
	return ids
}

// symbols are what the joining begins with.
func (m *bpe) symbols(word string) []symbol {
	all := make([]symbol, 0, len(word))
	add := func(id int64) { all = append(all, symbol{id: id, prev: len(all) - 1, next: len(all) + 1}) }
	unknown := false
	for i, r := range word {
		part, end := string(r), i+utf8.RuneLen(r) == len(word)
		if i > 0 {
			part = m.prefix + part
		}
		if end {
			part += m.suffix
		}
		id, ok := m.vocab[part]
		switch {
		case ok:
			add(id)
			unknown = false
			continue
		case m.bytes != nil:
			for _, b := range []byte(part) {
				add(m.bytes[b])
			}
			unknown = false
			continue
		case m.unknown >= 0 && !(unknown && m.fuse):
			add(m.unknown)
		}
		unknown = true
	}
	if len(all) > 0 {
		all[len(all)-1].next = -1
	}
	return all
}

// unigram takes the most probable way to cut a word.
type unigram struct {
	words   *lexicon
	vocab   map[string]int64
	scores  []float64
	unknown int64
	least   float64 // score of what is unknown
	bytes   *fallback
}

const unknownPenalty = 10

type step struct {
	from  int // where the token that ends here begins, -1: none
	id    int64
	score float64
}

func (m *unigram) encode(word string, ids []int64) []int64 {
	best := make([]step, len(word)+1)
	for i := range best {
		best[i] = step{from: -1, score: math.Inf(-1)}
	}
	best[0].score = 0
	for i, r := range word {
		size, single, here := utf8.RuneLen(r), false, best[i].score
		m.words.prefixes(word[i:], func(n int, id int64) {
			if s := here + m.scores[id]; best[i+n].from < 0 || s > best[i+n].score {
				best[i+n] = step{i, id, s}
			}
			single = single || n == size
		})
		if s := here + m.least; !single && (best[i+size].from < 0 || s > best[i+size].score) {
			best[i+size] = step{i, m.unknown, s}
		}
	}
	// Backwards from the end; what is unknown in a row is one token.
	type span struct {
		from, to int
		id       int64
	}
	var spans []span
	for at := len(word); at > 0; at = best[at].from {
		b := best[at]
		if n := len(spans); n > 0 && b.id == m.unknown && spans[n-1].id == m.unknown {
			spans[n-1].from = b.from
			continue
		}
		spans = append(spans, span{b.from, at, b.id})
	}
	for k := len(spans) - 1; k >= 0; k-- {
		s := spans[k]
		if s.id != m.unknown {
			ids = append(ids, s.id)
			continue
		}
		part := word[s.from:s.to]
		if id, ok := m.vocab[part]; ok {
			ids = append(ids, id)
			continue
		}
		if m.bytes == nil {
			ids = append(ids, m.unknown)
			continue
		}
		for _, b := range []byte(part) {
			ids = append(ids, m.bytes[b])
		}
	}
	return ids
}
