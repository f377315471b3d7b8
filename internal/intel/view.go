package intel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bartizan/internal/model"
)

// indicator explains a record at a moment.
func (r *record) indicator(c *Config, now int64) model.Indicator {
	prior := logit(c.Prior)
	ind := model.Indicator{
		Entity: r.entity, AsOf: fromNanos(now), Severity: r.severity, Expires: fromNanos(r.expires),
		Terms: make([]model.Term, 0, len(r.terms)+1),
	}
	ind.Terms = append(ind.Terms, model.Term{What: "prior", LogLR: prior, Note: fmt.Sprintf("%.3g", c.Prior)})
	kinds, sensors := map[string]bool{}, map[string]bool{}
	classes := map[model.Class]bool{}
	var first, last, proof int64
	var ids []model.ULID
	sum := prior
	for i, s := range r.shares(c, now) {
		k, t := s.t.key.Value(), s.t
		kinds[k.kind], sensors[k.sensor] = true, true
		if i == 0 || t.first < first {
			first = t.first
		}
		last = max(last, t.last)
		ids = append(ids, t.ids...)
		ind.Count = min(ind.Count+int(t.count), 1<<53)
		ind.Terms = append(ind.Terms, model.Term{What: k.kind, Class: k.class, Sensor: k.sensor,
			Signal: t.ids[0], Count: int(t.n), LogLR: s.w, Note: s.note(c, now)})
		sum += s.w
		// Only what counts can be a kind of evidence or a proof. A contact is
		// neither: who knocks again after a block has proven nothing new.
		if s.w > 0 && k.how == direct && k.class.Independent() && KnownClass(k.class) {
			proof = max(proof, t.proof(c, now))
			classes[k.class] = true
		}
	}
	ind.Confidence = sigmoid(sum)
	ind.Behaviours, ind.Sensors = slices.Sorted(maps.Keys(kinds)), slices.Sorted(maps.Keys(sensors))
	ind.Classes = slices.Sorted(maps.Keys(classes))
	ind.FirstSeen, ind.LastSeen = fromNanos(first), fromNanos(last)
	if proof > 0 {
		ind.LastProof = fromNanos(proof)
	}
	slices.SortFunc(ids, func(a, b model.ULID) int { return b.Compare(a) })
	ids = slices.Compact(ids)
	ind.Signals = ids[:min(len(ids), MaxSignals):min(len(ids), MaxSignals)]
	for _, t := range r.techniques {
		ind.Techniques = append(ind.Techniques, t.Value())
	}
	slices.Sort(ind.Techniques)
	return ind
}

// proof is the time of the newest evidence of a counted term. One dated in
// the future proves nothing yet: then the best signal's time, which was
// checked, stands in.
func (t *term) proof(c *Config, now int64) int64 {
	if t.last > later(now, c.MaxSkew) {
		return t.bestAt
	}
	return t.last
}

func (s share) note(c *Config, now int64) string {
	var notes []string
	t, k := s.t, s.t.key.Value()
	if s.reason != "" {
		notes = append(notes, s.reason)
	}
	if s.w > 0 {
		if k.how == related {
			notes = append(notes, "came with an actor")
		}
		if age := now - t.bestAt; c.decay(k.class, age) < 0.995 {
			notes = append(notes, "age "+shortAge(time.Duration(age)))
		}
		if t.n > 1 {
			notes = append(notes, fmt.Sprintf("repeat ×%d", t.n))
		}
	}
	return strings.Join(notes, "; ")
}

func shortAge(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
