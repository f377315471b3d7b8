package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"bartizan/internal/guard/classify"
)

// sample is a list of features with what it should say.
type sample struct {
	list   []uint32
	strong []uint32
	attack bool
	weight float32
	set    string // the data set, for leaving sets out
	fold   uint8  // 0 to folds-1, by text
	group  uint8  // the same, by what it is left out with
	part   bool   // a window of a longer text, whose label may not hold for it
}

// settings of the training. They are chosen by leaving sets out (-cv).
type settings struct {
	L1, L2 float64
	Rate   float64
	Epochs int
}

// cell of a feature: what is learnt, and the weight that this amounts to.
type cell struct{ z, n, w float32 }

// learner is FTRL-proximal logistic regression (McMahan et al., KDD 2013).
type learner struct {
	settings
	cells []cell
	bias  float64
	biasN float64
}

func newLearner(s settings) *learner {
	return &learner{settings: s, cells: make([]cell, 1<<classify.Bits)}
}

func (l *learner) margin(s *sample) float64 {
	sum, strong := 0.0, 0.0
	for _, i := range s.list {
		sum += float64(l.cells[i].w)
	}
	for _, i := range s.strong {
		strong += float64(l.cells[i].w)
	}
	return l.bias + sum/math.Sqrt(float64(len(s.list))+1) + classify.StrongWeight*strong
}

func (l *learner) step(s *sample, weight float64) {
	p := 1 / (1 + math.Exp(-l.margin(s)))
	g := p
	if s.attack {
		g = p - 1
	}
	g *= weight
	l.update(s.list, g/math.Sqrt(float64(len(s.list))+1))
	l.update(s.strong, g*classify.StrongWeight)
	l.biasN += g * g
	l.bias -= 0.05 * g / (1 + math.Sqrt(l.biasN))
}

func (l *learner) update(list []uint32, g float64) {
	g32, rate, l1, l2 := float32(g), float32(l.Rate), float32(l.L1), float32(l.L2)
	for _, i := range list {
		c := &l.cells[i]
		n := c.n + g32*g32
		root := sqrt32(n)
		c.z += g32 - (root-sqrt32(c.n))/rate*c.w
		c.n = n
		switch {
		case c.z > l1:
			c.w = -(c.z - l1) / ((1+root)/rate + l2)
		case c.z < -l1:
			c.w = -(c.z + l1) / ((1+root)/rate + l2)
		default:
			c.w = 0
		}
	}
}

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// balance gives each set the square root of its share, and both labels the
// same total: a large set of easy texts must not outvote a small one.
func balance(all []sample, keep func(*sample) bool) map[string]float64 {
	size := map[string]float64{}
	label := map[string]bool{}
	for i := range all {
		if s := &all[i]; keep(s) {
			size[s.set] += float64(s.weight)
			label[s.set] = s.attack
		}
	}
	sum := map[bool]float64{}
	for _, set := range sortedKeys(size) { // a fixed order: sums of floats depend on it
		sum[label[set]] += math.Sqrt(size[set])
	}
	out := map[string]float64{}
	total := 0.0
	for _, set := range sortedKeys(size) {
		total += size[set]
	}
	for set, n := range size {
		out[set] = math.Sqrt(n) / sum[label[set]] * total / 2 / n
	}
	return out
}

// train learns from the samples that keep holds for. Windows of attacks that
// are found harmless after the first epoch are left out of the others.
func train(all []sample, keep func(*sample) bool, s settings, seed uint64) *learner {
	by := balance(all, keep)
	var order []int
	for i := range all {
		if keep(&all[i]) {
			order = append(order, i)
		}
	}
	sort.Ints(order)
	l := newLearner(s)
	r := rand.New(rand.NewPCG(seed, 7))
	for epoch := range s.Epochs {
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			l.step(&all[i], float64(all[i].weight)*by[all[i].set])
		}
		if epoch == 0 {
			order = slices.DeleteFunc(order, func(i int) bool { return all[i].attack && all[i].part && l.margin(&all[i]) < 0.5 })
		}
	}
	return l
}

// freeze turns a learner into the stored form.
func (l *learner) freeze() classify.Linear {
	w := make([]float64, 1<<classify.Bits)
	var sizes []float64
	for i := range w {
		w[i] = float64(l.cells[i].w)
		if w[i] != 0 {
			sizes = append(sizes, math.Abs(w[i]))
		}
	}
	sort.Float64s(sizes)
	top := 1e-6
	if len(sizes) > 0 {
		top = sizes[int(float64(len(sizes)-1)*0.9995)]
	}
	out := classify.Linear{Bias: float32(l.bias), Scale: float32(top / 127), Spread: 1, W: make([]int8, 1<<classify.Bits)}
	for i, x := range w {
		out.W[i] = int8(max(-127, min(127, math.Round(x/top*127))))
	}
	return out
}

// triples counts letters after two letters, in texts that may be learnt from.
func triples(texts []string) (out [27 * 27 * 27]int8) {
	count := make([]float64, 27*27*27)
	for _, t := range texts {
		a, b := 0, 0
		put := func(c int) {
			if c == 0 && b == 0 {
				return
			}
			count[(a*27+b)*27+c]++
			a, b = b, c
		}
		for i := 0; i < len(t); i++ {
			c := 0
			if x := t[i] | 0x20; x >= 'a' && x <= 'z' {
				c = int(x-'a') + 1
			} else if t[i] == '\'' {
				continue
			}
			put(c)
		}
		put(0)
	}
	for i := 0; i < len(count); i += 27 {
		sum := 0.0
		for _, n := range count[i : i+27] {
			sum += n
		}
		for c, n := range count[i : i+27] {
			p := (n + 0.5*27/27) / (sum + 0.5*27)
			out[i+c] = int8(min(127, math.Round(-math.Log(p)*16)))
		}
	}
	return out
}
