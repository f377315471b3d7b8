package onnx

import (
	"errors"
	"fmt"
	"math"
)

// windows cuts a text of n tokens into overlapping windows of at most body tokens: where each begins and ends.
// The last one is as long as the others, so that the end of a text is seen with what stands before it.
func windows(n, body, overlap int) (out [][2]int) {
	if n <= body {
		return [][2]int{{0, n}}
	}
	for from := 0; ; from += body - overlap {
		if from+body >= n {
			return append(out, [2]int{n - body, n})
		}
		out = append(out, [2]int{from, from + body})
	}
}

// chances makes probabilities of what a model gave for one window.
func chances(row []float32, multi, ready bool) ([]float64, error) {
	out := make([]float64, len(row))
	top := math.Inf(-1)
	for i, x := range row {
		out[i] = float64(x)
		if math.IsNaN(out[i]) || math.IsInf(out[i], 0) {
			return nil, errors.New("the model gave no number")
		}
		top = max(top, out[i])
	}
	switch {
	case ready:
		for _, p := range out {
			if p < -1e-3 || p > 1+1e-3 {
				return nil, fmt.Errorf("the model gave %g, which is no probability: set output to %s", p, logits)
			}
		}
	case multi:
		for i, x := range out {
			out[i] = 1 / (1 + math.Exp(-x))
		}
	default:
		total := 0.0
		for i, x := range out {
			out[i] = math.Exp(x - top)
			total += out[i]
		}
		for i := range out {
			out[i] /= total
		}
	}
	for i := range out {
		out[i] = min(max(out[i], 0), 1)
	}
	return out, nil
}
