package guard

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
)

// Kept is a set of secrets, by their number with the inspector that knows them.
type Kept [4]uint64

// MaxKept is how many secrets a Kept can have.
const MaxKept = 256

// Add puts one in.
func (k *Kept) Add(i int) { k[i>>6&3] |= 1 << (i & 63) }

// Has says whether one is in it.
func (k *Kept) Has(i int) bool { return k[i>>6&3]>>(i&63)&1 != 0 }

// Withholder is an Inspector with secrets that a model need not be told: nobody can
// talk it into saying what it does not know.
type Withholder interface {
	// Withholds says whether there are any.
	Withholds() bool
	// Withhold says where they stand in the texts of one request that the application
	// wrote, for each text in order and apart, and which of them the model learns
	// nothing of when those places are taken out: none, if anything of one may be left.
	Withhold(texts []string) ([][]Span, Kept)
}

// untold is a Follow that may be told which secrets the model was not.
type untold interface {
	// Untold comes before the first Write.
	Untold(Kept)
}

// Untold is the same memory in an exchange whose model was not told some secrets.
func (m *Memory) Untold(k Kept) *Memory {
	if m == nil || k == (Kept{}) {
		return m
	}
	u := &Memory{engine: m.engine, recalls: m.recalls, kept: k}
	if m.joined != nil {
		u.joined = &Memory{engine: m.engine, recalls: m.joined.recalls, kept: k}
	}
	return u
}

// Withholding asks a Withholder and remembers what it said: the application's words
// are the same in most requests. It is safe for concurrent use.
type Withholding struct {
	by  Withholder
	mu  sync.Mutex
	now map[[sha256.Size]byte]*withheld
}

// withheld is what to take out of some texts.
type withheld struct {
	spans [][]Span
	kept  Kept
}

// maxWithheld is how many sets of texts are remembered.
const maxWithheld = 256

// NewWithholding chooses the inspector that withholds; nil when none has anything to.
func NewWithholding(inspectors []Named) *Withholding {
	for _, in := range inspectors {
		if w, ok := in.Inspector.(Withholder); ok && w.Withholds() {
			return &Withholding{by: w, now: map[[sha256.Size]byte]*withheld{}}
		}
	}
	return nil
}

// Look is Withholder.Withhold; nil spans: nothing is to be taken out. What it returns is shared: it is not to be changed.
func (w *Withholding) Look(texts []string) ([][]Span, Kept) {
	h := sha256.New()
	var size [8]byte
	for _, t := range texts {
		binary.LittleEndian.PutUint64(size[:], uint64(len(t)))
		h.Write(size[:])
		sum := sumOf(t)
		h.Write(sum[:])
	}
	key := [sha256.Size]byte(h.Sum(nil))
	w.mu.Lock()
	x := w.now[key]
	w.mu.Unlock()
	if x == nil {
		x = &withheld{}
		x.spans, x.kept = w.by.Withhold(texts)
		if !slices.ContainsFunc(x.spans, func(s []Span) bool { return len(s) > 0 }) {
			x.spans = nil // most requests: as many empty lists as a client likes are not kept
		}
		w.mu.Lock()
		if len(w.now) >= maxWithheld {
			clear(w.now)
		}
		w.now[key] = x
		w.mu.Unlock()
	}
	return x.spans, x.kept
}
