package main

import (
	"fmt"
	"slices"
	"strings"

	"bartizan/internal/guard/classify"
)

// grid is what -cv chooses from.
var grid = []settings{
	{L1: 0.3, L2: 1, Rate: 0.3, Epochs: 4},
	{L1: 0.05, L2: 8, Rate: 0.3, Epochs: 4},
	{L1: 0.05, L2: 1, Rate: 0.1, Epochs: 4},
	{L1: 0.3, L2: 0.1, Rate: 1, Epochs: 4},
}

// leaveOut prints, for each choice of settings, what models find that were
// trained without the group of a text: the goal of an order, the family of an
// attack, a benign text. The cuts are set as for the shipped model. The visible
// test set has no part in it.
func leaveOut(c *corpus, rows []row, seed uint64) {
	for _, s := range grid {
		fmt.Printf("%+v\n%s", s, groups(c, rows, s, seed))
	}
}

func groups(c *corpus, rows []row, s settings, seed uint64) string {
	m := &classify.Model{Triples: triples(c.texts)}
	all := crossScores(append(slices.Clone(rows), c.probes...), parts(c, s, seed, byGroup), m.Likeness,
		func(r *row) (string, bool) { return r.group(), true })
	var b strings.Builder
	thresholds(&b, m, slices.DeleteFunc(slices.Clone(all), func(x scored) bool { return x.attack() }))
	recalls(&b, m, all)
	return b.String()
}
