package main

import (
	"strings"
	"testing"

	"bartizan/internal/enforce/enforcetest"
)

// BenchmarkNFT reports every figure as its share of the time it may take:
// below 1 it is within the limit.
func BenchmarkNFT(b *testing.B) {
	ns := enforcetest.NewNet(b)
	steps := newSteps()
	seed := uint64(0)
	for b.Loop() {
		if err := measure(steps, ns.Path, 100_000, seed); err != nil {
			b.Fatal(err)
		}
		seed++
	}
	for _, s := range steps {
		name := strings.ReplaceAll(strings.ReplaceAll(s.name, ",", ""), " ", "-")
		b.ReportMetric(float64(s.median())/float64(s.limit), name+"/limit")
		b.ReportMetric(float64(s.median().Microseconds())/1000, name+"-ms")
	}
}

// The benchmark itself works; its figures are another matter.
func TestMeasureSmall(t *testing.T) {
	ns := enforcetest.NewNet(t)
	steps := newSteps()
	if err := measure(steps, ns.Path, 2_000, 1); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if len(s.took) != 1 || s.median() <= 0 {
			t.Errorf("%s was not measured", s.name)
		}
	}
}
