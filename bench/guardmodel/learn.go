package main

import (
	"math"
	"math/rand/v2"
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
	part   bool   // a window of a longer text, whose label may not hold for it
}

// settings of the training. They are chosen by leaving sets out (-cv).
type settings struct {
	L1, L2 float64
	Rate   float64
	Epochs int
}

// learner is FTRL-proximal logistic regression (McMahan et al., KDD 2013).
type learner struct {
	settings
	z, n  []float64
	bias  float64
	biasN float64
}

func newLearner(s settings) *learner {
	return &learner{settings: s, z: make([]float64, 1<<classify.Bits), n: make([]float64, 1<<classify.Bits)}
}

func (l *learner) weight(i uint32) float64 {
	z := l.z[i]
	if math.Abs(z) <= l.L1 {
		return 0
	}
	return -(z - math.Copysign(l.L1, z)) / ((1+math.Sqrt(l.n[i]))/l.Rate + l.L2)
}

func (l *learner) margin(s *sample) float64 {
	sum, strong := 0.0, 0.0
	for _, i := range s.list {
		sum += l.weight(i)
	}
	for _, i := range s.strong {
		strong += l.weight(i)
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
	for _, i := range list {
		w := l.weight(i)
		sigma := (math.Sqrt(l.n[i]+g*g) - math.Sqrt(l.n[i])) / l.Rate
		l.z[i] += g - sigma*w
		l.n[i] += g * g
	}
}

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
	for set, n := range size {
		sum[label[set]] += math.Sqrt(n)
	}
	out := map[string]float64{}
	total := 0.0
	for _, n := range size {
		total += n
	}
	for set, n := range size {
		out[set] = math.Sqrt(n) / sum[label[set]] * total / 2 / n
	}
	return out
}

// train learns from the samples that keep holds for. Windows of attacks that
// a first model finds harmless are left out of the second.
func train(all []sample, keep func(*sample) bool, s settings, seed uint64) *learner {
	by := balance(all, keep)
	var order []int
	for i := range all {
		if keep(&all[i]) {
			order = append(order, i)
		}
	}
	sort.Ints(order)
	run := func(order []int, epochs int) *learner {
		l := newLearner(s)
		r := rand.New(rand.NewPCG(seed, 7))
		for range epochs {
			r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, i := range order {
				l.step(&all[i], float64(all[i].weight)*by[all[i].set])
			}
		}
		return l
	}
	first := run(append([]int(nil), order...), max(1, s.Epochs/2))
	left := order[:0]
	for _, i := range order {
		if all[i].attack && all[i].part && first.margin(&all[i]) < -0.5 {
			continue
		}
		left = append(left, i)
	}
	return run(left, s.Epochs)
}

// freeze turns a learner into the stored form.
func (l *learner) freeze() classify.Linear {
	w := make([]float64, 1<<classify.Bits)
	var sizes []float64
	for i := range w {
		w[i] = l.weight(uint32(i))
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
