package intel

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"bartizan/internal/model"
)

// MaxList is the most indicators one List returns.
const MaxList = 10_000

// Filter narrows List. Zero fields do not narrow.
type Filter struct {
	Types         []model.EntityType
	MinConfidence float64
	Class         model.Class  // has live evidence of this class
	Behaviour     string       // has this signal kind
	Sensor        string       // some evidence is this sensor's word
	Technique     string       // carries this technique id
	Within        netip.Prefix // addresses and prefixes inside it
	Text          string       // the value contains this, as written
	Since         time.Time    // seen at or after this
	After         Place        // sorted after this one; the zero Place is the beginning
	Offset        int          // skip this many of the sorted result
	Limit         int          // at most this many; 0 means 100, more than MaxList means MaxList
}

// Place is where an indicator stands in a List.
type Place struct {
	Confidence float64
	LastSeen   time.Time
	Entity     model.Entity
}

// List returns the indicators that pass the filter, most confident first;
// among equals the one seen last comes first.
func (st *Store) List(now time.Time, f Filter) []model.Indicator {
	limit, offset := f.Limit, max(f.Offset, 0)
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, MaxList)
	n := nanos(now)
	st.mu.RLock()
	defer st.mu.RUnlock()
	// Only the best are kept while looking at everything: the buffer is cut
	// back whenever it has grown to twice what can be returned.
	keep := min(offset, len(st.by)) + limit
	begin := candidate{r: &record{entity: f.After.Entity}, confidence: f.After.Confidence, last: nanos(f.After.LastSeen)}
	var best []candidate
	for _, r := range st.by {
		if r.expires <= n || !f.admits(r) {
			continue
		}
		c := candidate{r: r, confidence: r.confidence(&st.conf, n), last: r.last()}
		if !f.After.Entity.IsZero() && compareCandidates(c, begin) <= 0 || c.confidence < f.MinConfidence || f.Class != "" && !slices.Contains(r.indicator(&st.conf, n).Classes, f.Class) {
			continue
		}
		if best = append(best, c); len(best) >= 2*keep {
			slices.SortFunc(best, compareCandidates)
			best = best[:keep]
		}
	}
	slices.SortFunc(best, compareCandidates)
	best = best[min(offset, len(best)):min(keep, len(best))]
	out := make([]model.Indicator, len(best))
	for i, c := range best {
		out[i] = c.r.indicator(&st.conf, n)
	}
	return out
}

type candidate struct {
	r          *record
	confidence float64
	last       int64
}

func compareCandidates(a, b candidate) int {
	switch {
	case a.confidence != b.confidence:
		if a.confidence > b.confidence {
			return -1
		}
		return 1
	case a.last != b.last:
		if a.last > b.last {
			return -1
		}
		return 1
	}
	return compareEntities(a.r.entity, b.r.entity)
}

func (r *record) last() (at int64) {
	for i := range r.terms {
		at = max(at, r.terms[i].last)
	}
	return at
}

func (f *Filter) admits(r *record) bool {
	if len(f.Types) > 0 && !slices.Contains(f.Types, r.entity.Type()) {
		return false
	}
	if f.Text != "" && !strings.Contains(r.entity.Value(), f.Text) {
		return false
	}
	if f.Within.IsValid() {
		p, ok := r.entity.Prefix()
		w := model.CanonicalPrefix(f.Within)
		if !ok || p.Bits() < w.Bits() || !w.Overlaps(p) {
			return false
		}
	}
	if !f.Since.IsZero() && r.last() < nanos(f.Since) {
		return false
	}
	if f.Technique != "" {
		found := false
		for _, t := range r.techniques {
			found = found || t.Value() == f.Technique
		}
		if !found {
			return false
		}
	}
	if f.Behaviour == "" && f.Sensor == "" {
		return true
	}
	kind, sensor := f.Behaviour == "", f.Sensor == ""
	for i := range r.terms {
		k := r.terms[i].key.Value()
		kind = kind || k.kind == f.Behaviour
		sensor = sensor || k.sensor == f.Sensor
	}
	return kind && sensor
}
