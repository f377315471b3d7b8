package tokenizer

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest is the length of the longest token that is found inside texts, in bytes: what looking at
// one place of a text can cost.
const longest = 512

// lexicon finds the tokens that a text begins with. Sorted words take a tenth of the memory of
// a tree with a quarter of a million of them.
type lexicon struct {
	words []string
	ids   []int64
	at    [257]int // where words with a first byte begin
}

func newLexicon(words map[string]int64) *lexicon {
	l := &lexicon{words: make([]string, 0, len(words))}
	for w := range words {
		if w != "" {
			l.words = append(l.words, w)
		}
	}
	slices.Sort(l.words)
	l.ids = make([]int64, len(l.words))
	for i, w := range l.words {
		l.ids[i] = words[w]
	}
	for c := range l.at {
		l.at[c] = sort.Search(len(l.words), func(i int) bool { return int(l.words[i][0]) >= c })
	}
	return l
}

// prefixes calls yield with the length and the number of every word that s begins with, the shortest first.
func (l *lexicon) prefixes(s string, yield func(n int, id int64)) {
	if s == "" {
		return
	}
	lo, hi := l.at[s[0]], l.at[int(s[0])+1]
	for k := 0; lo < hi; k++ { // words lo to hi begin with s[:k+1]
		if len(l.words[lo]) == k+1 {
			yield(k+1, l.ids[lo])
			lo++
		}
		if k+1 >= len(s) {
			return
		}
		c := s[k+1]
		part := l.words[lo:hi]
		from := sort.Search(len(part), func(i int) bool { return part[i][k+1] >= c })
		to := from + sort.Search(len(part)-from, func(i int) bool { return part[from+i][k+1] > c })
		lo, hi = lo+from, lo+to
	}
}

// added are the tokens that are found before the model sees a text.
type added struct {
	words *lexicon
	how   map[int64]addedToken
}

// cut hands out a text in order: id is that of an added token, or -1 and part is what stands between two.
func (a *added) cut(text string, yield func(id int64, part string) error) error {
	from, after := 0, 0 // what is not handed out yet; nothing is looked for before after
	if a != nil {
		for i := 0; i < len(text); i++ {
			if i < after {
				continue
			}
			n, id := 0, int64(-1)
			a.words.prefixes(text[i:], func(length int, found int64) {
				if !a.how[found].SingleWord || alone(text, i, i+length) {
					n, id = length, found
				}
			})
			if id < 0 {
				continue
			}
			start, end := i, i+n
			if a.how[id].LStrip {
				start = from + len(strings.TrimRightFunc(text[from:start], unicode.IsSpace))
			}
			if a.how[id].RStrip {
				end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
			}
			if start > from {
				if err := yield(-1, text[from:start]); err != nil {
					return err
				}
			}
			if err := yield(id, ""); err != nil {
				return err
			}
			from, after = end, end
		}
	}
	if from < len(text) {
		return yield(-1, text[from:])
	}
	return nil
}

// alone says that no letter or digit stands beside a part of a text.
func alone(text string, from, to int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:from])
	after, _ := utf8.DecodeRuneInString(text[to:])
	return (from == 0 || !isWord(before)) && (to == len(text) || !isWord(after))
}
