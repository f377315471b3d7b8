package secret

// wordSet is words as symbols. Nearly every word of a text is told not to be one of
// them by its length and its first symbol.
type wordSet struct {
	words map[string]bool
	sizes [symbols]uint64 // by the first symbol, a bit for each length
}

func (w *wordSet) add(word []byte) {
	if w.words == nil {
		w.words = map[string]bool{}
	}
	w.words[string(word)] = true
	w.sizes[word[0]] |= 1 << (len(word) & 63)
}

// maybe is true of all words of the set, and of a few others.
func (w *wordSet) maybe(word []byte) bool { return w.sizes[word[0]]>>(len(word)&63)&1 != 0 }

func (w *wordSet) has(word []byte) bool { return w.maybe(word) && w.words[string(word)] }
