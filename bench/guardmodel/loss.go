package main

import (
	"fmt"
	"maps"
	"slices"

	"bartizan/internal/guard/classify"
	"bartizan/internal/guard/decode"
)

// compare trains with and without the sets under a share-alike licence and prints what
// each model flags of the visible test, with the role of the text. The model with them
// is not kept: it could not be given away.
func compare(rows []row, seed uint64) error {
	test, err := readRows("visible-test")
	if err != nil {
		return err
	}
	var rates [2]map[string]*share
	for i := range rates {
		c, err := build(rows, seed, i == 1)
		if err != nil {
			return err
		}
		m, _ := fit(c, rows, chosen, seed)
		rates[i] = flags(m, test)
	}
	fmt.Printf("%-45s %6s  without  with the share-alike sets\n", "flagged", "n")
	for _, k := range slices.Sorted(maps.Keys(rates[0])) {
		fmt.Printf("%-45s %6d  %5.1f %%  %5.1f %%\n", k, rates[0][k].n, 100*rates[0][k].rate(), 100*rates[1][k].rate())
	}
	fmt.Printf("macro balanced accuracy %.3f and %.3f\n", balanced(rates[0]), balanced(rates[1]))
	return nil
}

// flags is what a model by itself flags of each set, in all readings.
func flags(m *classify.Model, rows []row) map[string]*share {
	out := map[string]*share{}
	var f classify.Features
	for i := range rows {
		r := &rows[i]
		k := r.Label + " " + r.set()
		if out[k] == nil {
			out[k] = &share{}
		}
		hit := false
		views, _ := decode.Views(r.Text, m.Likeness)
		for _, v := range views {
			hit = hit || m.Score(v.Text[:min(len(v.Text), classify.MaxText)], r.role(), &f).P >= 0.5
		}
		out[k].add(hit)
	}
	return out
}

// share of n texts.
type share struct{ hit, n int }

func (s *share) add(hit bool) {
	s.n++
	if hit {
		s.hit++
	}
}

func (s share) rate() float64 { return float64(s.hit) / max(1, float64(s.n)) }

// balanced is the macro balanced accuracy of the goal: mean recall of four sets of
// attacks and mean pass rate of three kinds of harmless texts.
func balanced(s map[string]*share) float64 {
	recall := (s["attack BIPIA email"].rate() + s["attack BIPIA table"].rate() + s["attack BIPIA code"].rate() + s["attack CyberSecEval prompt injection"].rate()) / 4
	contexts := (s["benign BIPIA email contexts"].rate() + s["benign BIPIA table contexts"].rate() + s["benign BIPIA code contexts"].rate()) / 3
	pass := 1 - (s["benign NotInject one"].rate()+s["benign XSTest"].rate()+contexts)/3
	return (recall + pass) / 2
}
