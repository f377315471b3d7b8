package main

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"bartizan/internal/guard/classify"
	"bartizan/internal/guard/decode"
)

// scored is a row with what a model that had not seen it says of each of its
// readings: with its role, and without.
type scored struct {
	row
	by [2][]classify.Margins
}

// highest score of a head over the readings of a kind, or of all kinds (-1).
func (s *scored) highest(asked int, h classify.Head, kind int) float64 {
	best := math.Inf(-1)
	for _, m := range s.by[asked] {
		if m.Asked[h] && (kind < 0 || int(m.Kind) == kind) {
			best = max(best, m.Raw[h])
		}
	}
	return best
}

// flagged at the cuts of a model.
func (s *scored) flagged(m *classify.Model, asked int) bool {
	for _, v := range s.by[asked] {
		for h := range m.Heads {
			if v.Asked[h] && v.Raw[h] > float64(m.Heads[h].Cut[v.Kind]) {
				return true
			}
		}
	}
	return false
}

// crossScores scores the rows that are wanted with the part that was trained
// without what of returns.
func crossScores(rows []row, parts []*classify.Model, like decode.Likeness, of func(*row) (id string, want bool)) []scored {
	var f classify.Features
	var out []scored
	for i := range rows {
		r := &rows[i]
		id, want := of(r)
		if !want {
			continue
		}
		s := scored{row: *r}
		views, _ := decode.Views(r.Text, like)
		for _, v := range views {
			s.by[0] = append(s.by[0], parts[foldOf(id)].Margins(v.Text, r.role(), &f))
			s.by[1] = append(s.by[1], parts[foldOf(id)].Margins(v.Text, classify.Unknown, &f))
		}
		out = append(out, s)
	}
	return out
}

// Shares of the benign rows that may be flagged at the thresholds: of all, of
// any large set by the first head, and of a kind of document by the second.
const (
	overall   = 0.01
	mostOfSet = 0.005
	mostMixed = 0.003 // of a large set that people wrote, by the third head, of each kind
	enough    = 100   // rows of a set; fewer cannot tell a per cent
	least     = 25    // rows of a kind
)

// thresholds sets the cuts from the benign rows.
func thresholds(b *strings.Builder, m *classify.Model, benign []scored) {
	cut := directCut(b, benign)
	for k := range m.Heads[classify.Direct].Cut {
		m.Heads[classify.Direct].Cut[k] = float32(cut)
	}
	for asked, h := range [...]classify.Head{classify.Indirect, classify.Mixed} {
		fmt.Fprintf(b, "%s\n", [...]string{"indirect, with the role", "mixed, without a role"}[asked])
		indirectCuts(b, m, benign, asked, h)
	}
}

// people is the two sets together that people wrote to a model: each alone is
// too small to tell 0.5 %.
const people = "prompts of people"

func written(set string) bool { return set == "self-instruct" || set == "Arena-Hard v0.1" }

// directCut is one for all kinds.
func directCut(b *strings.Builder, all []scored) float64 {
	bySet := map[string][]float64{}
	var benign []float64
	for i := range all {
		if s := &all[i]; !s.attack() {
			x := s.highest(0, classify.Direct, -1)
			bySet[s.set()] = append(bySet[s.set()], x)
			if written(s.set()) {
				bySet[people] = append(bySet[people], x)
			}
			benign = append(benign, x)
		}
	}
	cut := quantile(benign, overall)
	fmt.Fprintf(b, "direct: 1%% of all %d benign rows: %.2f\n", len(benign), cut)
	for _, set := range sortedKeys(bySet) {
		x := bySet[set]
		q := quantile(x, mostOfSet)
		fmt.Fprintf(b, "  %-24s n=%-4d 0.5%%: %5.2f 1%%: %5.2f 2%%: %5.2f 5%%: %5.2f\n", set, len(x), q, quantile(x, 0.01), quantile(x, 0.02), quantile(x, 0.05))
		if len(x) >= enough && !written(set) {
			cut = max(cut, q)
		}
	}
	fmt.Fprintf(b, "  cut %.2f\n", cut)
	return cut
}

// indirectCuts sets one for each kind that has enough rows, and the highest of
// those for the others.
func indirectCuts(b *strings.Builder, m *classify.Model, all []scored, asked int, h classify.Head) {
	cuts := &m.Heads[h].Cut
	n := make([]int, classify.Kinds)
	highest := math.Inf(-1)
	for k := range classify.Kinds {
		var x []float64
		for i := range all {
			if s := &all[i]; !s.attack() && s.role() == classify.Document {
				if v := s.highest(asked, h, k); !math.IsInf(v, -1) {
					x = append(x, v)
				}
			}
		}
		n[k] = len(x)
		q := quantile(x, overall)
		fmt.Fprintf(b, "  kind %d n=%-4d 1%%: %5.2f 2%%: %5.2f 5%%: %5.2f 10%%: %5.2f\n", k, len(x), q, quantile(x, 0.02), quantile(x, 0.05), quantile(x, 0.1))
		if n[k] >= least {
			if h == classify.Mixed {
				q = max(q, prompts(all, k))
			}
			cuts[k] = float32(q)
			highest = max(highest, q)
			fmt.Fprintf(b, "    cut %.2f\n", q)
		}
	}
	for k := range cuts {
		if n[k] < least {
			cuts[k] = float32(highest)
		}
	}
}

// prompts is the score of the third head that mostMixed of the texts of people
// have that look like a kind of document.
func prompts(all []scored, kind int) float64 {
	bySet := map[string][]float64{}
	for i := range all {
		if s := &all[i]; !s.attack() && s.role() != classify.Document {
			bySet[s.set()] = append(bySet[s.set()], s.highest(1, classify.Mixed, kind))
		}
	}
	cut := math.Inf(-1)
	for _, x := range bySet {
		if len(x) >= enough {
			cut = max(cut, quantile(x, mostMixed))
		}
	}
	return cut
}

// recalls lists the share of each set that is flagged at the cuts.
func recalls(b *strings.Builder, m *classify.Model, all []scored) {
	type cell struct {
		n   int
		hit [2]int
	}
	by := map[string]*cell{}
	add := func(k string, hit [2]bool) {
		if by[k] == nil {
			by[k] = &cell{}
		}
		by[k].n++
		for i, h := range hit {
			if h {
				by[k].hit[i]++
			}
		}
	}
	for i := range all {
		s := &all[i]
		hit := [2]bool{s.flagged(m, 0), s.flagged(m, 1)}
		add(s.Label+" "+s.set(), hit)
		if !s.attack() {
			add("benign, all", hit)
		} else if strings.HasPrefix(s.set(), "BIPIA") {
			add("goal "+s.category(), hit)
		}
	}
	for _, k := range sortedKeys(by) {
		n := float64(by[k].n)
		fmt.Fprintf(b, "  %-42s n=%-5d flagged %.3f, without a role %.3f\n", k, by[k].n, float64(by[k].hit[0])/n, float64(by[k].hit[1])/n)
	}
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
