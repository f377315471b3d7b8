package intel

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unique"

	"bartizan/internal/model"
)

// termKey says whose word of what a term is. Keys are interned: a million
// indicators share a few hundred, and one that nobody uses any more is freed.
type termKey struct {
	kind   string
	class  model.Class
	sensor string
	// how is the reason why the term may count less than its confidence.
	how how
}

type how uint8

const (
	direct  how = iota // the actor did it, over a connection that proves its address
	spoofed            // the address is not proven: shown, never counted
	named              // an address that another actor mentioned: shown, never counted
	related            // came with an actor (a URL, a hash, a fingerprint): counts for a fraction
)

// counted reports whether the term may add to the log-odds.
func (k *termKey) counted() bool { return k.how == direct || k.how == related }

// term is the folded evidence of one (kind, sensor).
type term struct {
	key    unique.Handle[termKey]
	best   float64      // LLR, before decay, of the signal that weighs most
	bestAt int64        // and its time
	last   int64        // time of the newest signal
	first  int64        // time of the oldest signal
	n      uint32       // signals folded
	count  uint32       // observations behind them, saturating
	ids    []model.ULID // newest first, at most MaxTermIDs
}

// record is all that is kept about one entity.
type record struct {
	entity     model.Entity
	terms      []term
	techniques []unique.Handle[string]
	expires    int64
	pos        int32 // place in the heap
	severity   model.Severity
}

// estimated sizes for the memory budget, measured with BenchmarkStoreMemory.
const (
	recordBytes = 240
	termBytes   = 72
)

func (r *record) cost() int64 {
	n := int64(recordBytes + len(r.entity.Value()) + cap(r.terms)*termBytes + cap(r.techniques)*8)
	for i := range r.terms {
		n += int64(cap(r.terms[i].ids)) * 16
	}
	return n
}

// add folds one signal into its term. It reports false when the signal was
// folded before.
func (t *term) add(c *Config, id model.ULID, at int64, llr float64, count int) bool {
	i, found := slices.BinarySearchFunc(t.ids, id, func(a, b model.ULID) int { return b.Compare(a) })
	if found || (i == MaxTermIDs && len(t.ids) == MaxTermIDs) {
		// Older than the window: a repeated delivery, or so late that it would
		// only be one more repeat of something known.
		return false
	}
	if len(t.ids) == MaxTermIDs {
		t.ids = t.ids[:MaxTermIDs-1]
	}
	t.ids = slices.Insert(t.ids, i, id)
	if t.n == 0 {
		t.best, t.bestAt, t.last, t.first = llr, at, at, at
	} else {
		if c.outweighs(t.key.Value().class, llr, at, t.best, t.bestAt) {
			t.best, t.bestAt = llr, at
		}
		t.last, t.first = max(t.last, at), min(t.first, at)
	}
	t.n = saturate(t.n, 1)
	t.count = saturate(t.count, count)
	return true
}

func saturate(a uint32, n int) uint32 {
	return uint32(min(uint64(a)+uint64(max(n, 0)), math.MaxUint32))
}

// outweighs compares two pieces of evidence of one class at any later moment:
// llr·2^(-(t-at)/h) is larger exactly when log2(llr)+at/h is. Ties go to the
// newer one, so that the outcome does not depend on the order.
func (c *Config) outweighs(class model.Class, llr float64, at int64, than float64, thanAt int64) bool {
	h := float64(c.halfLife(class))
	lift := float64(at-thanAt) / h
	switch {
	case llr == 0 && than == 0:
		return at > thanAt
	case llr == 0 || than == 0:
		return than == 0
	}
	d := math.Log2(llr/than) + lift
	return d > 0 || d == 0 && at > thanAt
}

// weight is what the term is worth at now, before it shares with others of
// its class: decayed, with the bonus for repeats. ok is false when it counts
// nothing, and then why says the reason.
func (t *term) weight(c *Config, now int64) (w float64, why string) {
	k := t.key.Value()
	switch {
	case k.how == spoofed:
		return 0, "spoofable: not counted"
	case k.how == named:
		return 0, "named by another actor: not counted"
	case t.bestAt > later(now, c.MaxSkew):
		return 0, "dated in the future: not counted"
	case now >= t.dies(c):
		return 0, "decayed"
	}
	return t.best * c.repeat(t.n) * c.decay(k.class, now-t.bestAt), ""
}

func (c *Config) repeat(n uint32) float64 {
	if n <= 1 {
		return 1
	}
	return 1 + c.RepeatGain*(1-math.Pow(c.RepeatDecay, float64(n-1)))
}

func (c *Config) decay(class model.Class, age int64) float64 {
	if age <= 0 {
		return 1
	}
	return math.Exp2(-float64(age) / float64(c.halfLife(class)))
}

// dies is the moment the term stops being alive: when its best signal has
// decayed below the floor. Evidence that never counted is kept for a while to
// be seen.
func (t *term) dies(c *Config) int64 {
	k := t.key.Value()
	if !k.counted() || t.best <= c.Floor {
		return later(t.last, c.SpoofableLife)
	}
	life := math.Log2(t.best/c.Floor) * float64(c.halfLife(k.class))
	return later(t.bestAt, time.Duration(min(life, math.MaxInt64/2)))
}

// refresh recomputes when the record ends; dead terms leave.
func (r *record) refresh(c *Config) {
	r.expires = 0
	for i := range r.terms {
		r.expires = max(r.expires, r.terms[i].dies(c))
	}
}

// room frees one place among the terms. The sensor with the most of them pays,
// with the one that would die first: no sensor can push out another's word.
func (r *record) room(c *Config) {
	if len(r.terms) < MaxTerms {
		return
	}
	per := map[string]int{}
	most := ""
	for i := range r.terms {
		per[r.terms[i].key.Value().sensor]++
	}
	for s, n := range per {
		if n > per[most] || n == per[most] && s < most {
			most = s
		}
	}
	victim, dies := -1, int64(0)
	for i := range r.terms {
		if r.terms[i].key.Value().sensor != most {
			continue
		}
		if d := r.terms[i].dies(c); victim < 0 || d < dies {
			victim, dies = i, d
		}
	}
	r.terms = slices.Delete(r.terms, victim, victim+1)
}

func (r *record) term(c *Config, key termKey) *term {
	h := unique.Make(key)
	for i := range r.terms {
		if r.terms[i].key == h {
			return &r.terms[i]
		}
	}
	r.room(c)
	if cap(r.terms) == len(r.terms) && len(r.terms) < 2 {
		r.terms = slices.Grow(r.terms, 1) // most indicators have one or two
	}
	r.terms = append(r.terms, term{key: h})
	return &r.terms[len(r.terms)-1]
}

// share is what one term adds at a moment, for explaining it.
type share struct {
	t      *term
	w      float64
	reason string
}

// shares weighs all terms: within one class of one sensor the heaviest counts
// in full, each further one for a power of SameClass.
func (r *record) shares(c *Config, now int64) []share {
	out := make([]share, len(r.terms))
	for i := range r.terms {
		w, why := r.terms[i].weight(c, now)
		out[i] = share{&r.terms[i], w, why}
	}
	slices.SortFunc(out, compareShares)
	type group struct {
		sensor string
		class  model.Class
	}
	seen := make(map[group]int, len(out))
	for i := range out {
		if out[i].w == 0 {
			continue
		}
		k := out[i].t.key.Value()
		g := group{k.sensor, k.class}
		if n := seen[g]; n > 0 {
			out[i].w *= math.Pow(c.SameClass, float64(n))
			out[i].reason = fmt.Sprintf("%s kind of this class from this sensor", ordinal(n+1))
		}
		seen[g]++
		if k.how == related {
			out[i].w *= c.Related
		}
	}
	slices.SortFunc(out, compareShares)
	return out
}

func compareShares(a, b share) int {
	switch {
	case a.w > b.w:
		return -1
	case a.w < b.w:
		return 1
	}
	x, y := a.t.key.Value(), b.t.key.Value()
	if c := strings.Compare(x.kind, y.kind); c != 0 {
		return c
	}
	if c := strings.Compare(x.sensor, y.sensor); c != 0 {
		return c
	}
	if c := strings.Compare(string(x.class), string(y.class)); c != 0 {
		return c
	}
	return int(x.how) - int(y.how)
}

func ordinal(n int) string {
	switch n {
	case 2:
		return "2nd"
	case 3:
		return "3rd"
	}
	return fmt.Sprintf("%dth", n)
}

// confidence is the posterior alone, for sorting.
func (r *record) confidence(c *Config, now int64) float64 {
	sum := logit(c.Prior)
	for _, s := range r.shares(c, now) {
		sum += s.w
	}
	return sigmoid(sum)
}
