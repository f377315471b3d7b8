package main

import (
	"fmt"

	"bartizan/internal/guard/classify"
)

// grid is what -cv chooses from.
var grid = []settings{
	{L1: 0.05, L2: 1, Rate: 0.3, Epochs: 6},
	{L1: 0.01, L2: 0.3, Rate: 0.3, Epochs: 8},
	{L1: 0.3, L2: 1, Rate: 0.5, Epochs: 6},
}

// leaveOut trains, for each choice of settings, once without each set, and
// scores the set that was left out. The cut is that of 1 % of the benign set
// that comes off worst; the choice with the best mean recall at it is to be
// chosen. The visible test set has no part in it.
func leaveOut(c *corpus, seed uint64) error {
	for _, s := range grid {
		fmt.Printf("%+v\n", s)
		for h, all := range c.heads {
			attack := map[string]bool{}
			for i := range all {
				attack[all[i].set] = all[i].attack
			}
			margins := map[string][]float64{}
			for _, left := range sortedKeys(attack) {
				if h == int(classify.Direct) && (left == "own hard negatives" || left == "own personas" || left == "own documents") ||
					h == int(classify.Indirect) && left == "documents" {
					continue // nothing else is like them
				}
				l := train(all, func(x *sample) bool { return x.set != left }, s, seed)
				for i := range all {
					if x := &all[i]; x.set == left && !x.part {
						margins[left] = append(margins[left], l.margin(x))
					}
				}
			}
			cut, at := -100.0, ""
			for set, x := range margins {
				if q := quantile(x, overall); !attack[set] && len(x) >= 100 && q > cut {
					cut, at = q, set
				}
			}
			sum, n := 0.0, 0
			for _, set := range sortedKeys(margins) {
				hit := 0
				for _, x := range margins[set] {
					if x > cut {
						hit++
					}
				}
				share := float64(hit) / float64(len(margins[set]))
				fmt.Printf("  head %d without %-28s attack=%-5v flagged %.3f of %d\n", h, set, attack[set], share, len(margins[set]))
				if attack[set] {
					sum += share
					n++
				}
			}
			fmt.Printf("  head %d: cut %.2f (%s), mean recall %.3f\n", h, cut, at, sum/float64(n))
		}
	}
	return nil
}
