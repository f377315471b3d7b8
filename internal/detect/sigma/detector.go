package sigma

import (
	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Detector runs the rules of an Engine over documents, requests and messages of a source.
// It is a detect.DocumentDetector, a detect.MessageDetector, a detect.Detector and a detect.Flusher, used
// by one goroutine.
type Detector struct {
	runner *Runner
	doc    Document
	pairs  Pairs
	entry  logEntry
	out    []model.Signal
}

// NewDetector makes a detector with its own memory of correlations.
func (e *Engine) NewDetector(l Limits) *Detector { return &Detector{runner: e.NewRunner(l)} }

// DetectDocument implements detect.DocumentDetector.
func (d *Detector) DetectDocument(x *observe.Document, emit detect.Emit) {
	d.doc.Look(x.View(), Logsource{Product: x.Product, Category: x.Category, Service: x.Service})
	d.hand(d.runner.Process(&d.doc, d.out[:0]), emit)
}

// Flush implements detect.Flusher.
func (d *Detector) Flush(emit detect.Emit) { d.hand(d.runner.Flush(d.out[:0]), emit) }

func (d *Detector) hand(signals []model.Signal, emit detect.Emit) {
	for i := range signals {
		emit(&signals[i])
	}
	clear(signals)
	d.out = signals[:0]
}
