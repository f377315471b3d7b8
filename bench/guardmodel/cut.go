package main

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"bartizan/internal/guard/classify"
)

// scored is a row with the raw scores of a model that had not seen it.
type scored struct {
	row
	classify.Margins
}

// crossScores scores every row with the part that was trained without it.
func crossScores(rows []row, parts []*classify.Model) []scored {
	var f classify.Features
	out := make([]scored, 0, len(rows))
	for _, r := range rows {
		s := scored{row: r}
		s.Margins = parts[foldOf(r.Text)].Margins(r.Text, r.role(), &f)
		out = append(out, s)
	}
	return out
}

// most is the largest share of a benign set that may be flagged at the
// thresholds, and overall the largest share of all benign rows.
const (
	mostOfSet = 0.002
	overall   = 0.01
)

// thresholds sets the cuts from the benign rows. Of the first head one for all
// kinds: no more than overall of all rows, and no more than mostOfSet of those
// of any set. Of the second one for each kind that has at least
// least rows,
// and one for the others, the highest of those.
func thresholds(m *classify.Model, all []scored) string {
	const enough, least = 100, 25
	var b strings.Builder
	bySet, byKind := map[string][]float64{}, make([][]float64, classify.Kinds)
	var benign, few []float64
	for _, s := range all {
		if s.attack() {
			continue
		}
		bySet[s.set()] = append(bySet[s.set()], s.Raw[classify.Direct])
		benign = append(benign, s.Raw[classify.Direct])
		if s.role() == classify.Document {
			x := math.Inf(-1)
			if s.Asked[classify.Indirect] {
				x = s.Raw[classify.Indirect]
			}
			byKind[s.Kind] = append(byKind[s.Kind], x)
		}
	}
	cut := quantile(benign, overall)
	fmt.Fprintf(&b, "direct: 1%% of all %d benign rows: %.2f\n", len(benign), cut)
	for _, set := range sortedKeys(bySet) {
		q := quantile(bySet[set], mostOfSet)
		fmt.Fprintf(&b, "  %-24s n=%d 1%%: %.2f 5%%: %.2f\n", set, len(bySet[set]), q, quantile(bySet[set], 0.05))
		if len(bySet[set]) >= enough { // fewer rows cannot tell one per cent
			cut = max(cut, q)
		}
	}
	for k := range m.Heads[classify.Direct].Cut {
		m.Heads[classify.Direct].Cut[k] = float32(cut)
	}
	for _, x := range byKind {
		if len(x) < least {
			few = append(few, x...)
		}
	}
	highest := math.Inf(-1)
	for _, x := range byKind {
		if len(x) >= least {
			highest = max(highest, quantile(x, overall))
		}
	}
	for k, x := range byKind {
		q := max(highest, quantile(few, overall))
		if len(x) >= least {
			q = quantile(x, overall)
		}
		m.Heads[classify.Indirect].Cut[k] = float32(q)
		fmt.Fprintf(&b, "indirect: kind %d, %d rows, cut %.2f (1%%: %.2f, 5%%: %.2f)\n", k, len(x), q, quantile(x, overall), quantile(x, 0.05))
	}
	fmt.Fprintf(&b, "direct cut %.2f\n", cut)
	b.WriteString(recalls(m, all))
	return b.String()
}

// recalls lists the share of each set that is flagged at the cuts.
func recalls(m *classify.Model, all []scored) string {
	type cell struct{ n, hit int }
	by := map[string]*cell{}
	for _, s := range all {
		k := s.Label + " " + s.set()
		if by[k] == nil {
			by[k] = &cell{}
		}
		by[k].n++
		for h := range m.Heads {
			if s.Asked[h] && s.Raw[h] > float64(m.Heads[h].Cut[s.Kind]) {
				by[k].hit++
				break
			}
		}
	}
	var b strings.Builder
	for _, k := range sortedKeys(by) {
		fmt.Fprintf(&b, "  %-36s %5d of %5d flagged, %.3f\n", k, by[k].hit, by[k].n, float64(by[k].hit)/float64(by[k].n))
	}
	return b.String()
}

// quantile is the value above which share of x lies, interpolated between the
// two nearest (Hyndman and Fan, 1996, type 7). Values that were not asked for
// are minus infinity and are not interpolated with.
func quantile(x []float64, share float64) float64 {
	if len(x) == 0 {
		return math.Inf(-1)
	}
	x = append([]float64(nil), x...)
	sort.Float64s(x)
	at := (1 - share) * float64(len(x)-1)
	k := int(at)
	if k+1 >= len(x) || math.IsInf(x[k], -1) {
		return x[min(k+1, len(x)-1)]
	}
	return x[k] + (at-float64(k))*(x[k+1]-x[k])
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
