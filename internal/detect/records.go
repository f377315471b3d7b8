package detect

import (
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Records runs detectors over records of flows and logs. Unlike Engine it sums
// nothing up by time: what a record says is handed out with that record, and
// only sweeps, which every further request confirms, are told once per Window.
// It is used by one goroutine.
type Records struct {
	events []running
	flows  []NamedFlow
	names  []NamedQuery
	docs   []NamedDocument
	texts  []NamedMessage
	panics map[string]uint64
	engine *Engine // completes signals
	swept  *Table[key, time.Time]
	out    func(record uint64, s model.Signal)
	record uint64
	input  string
	event  Emit
	flow   FlowEmit
	query  QueryEmit
	doc    Emit
}

// RecordDetectors are the detectors of a Records, each asked in the order given.
type RecordDetectors struct {
	Events    []Named
	Flows     []NamedFlow
	Queries   []NamedQuery
	Documents []NamedDocument
	Messages  []NamedMessage
}

const (
	sweepWindow = 10 * time.Minute
	maxSweeps   = 65536
)

// NewRecords makes an engine of detectors.
func NewRecords(d RecordDetectors) *Records {
	r := &Records{flows: d.Flows, names: d.Queries, docs: d.Documents, texts: d.Messages, engine: NewEngine(nil, Options{}), swept: NewTable[key, time.Time](maxSweeps), panics: map[string]uint64{}}
	for _, n := range d.Events {
		r.events = append(r.events, running{name: n.Name, d: n.Detector})
	}
	r.event, r.flow, r.query, r.doc = r.takeEvent, r.takeFlow, r.takeQuery, r.takeDocument
	return r
}

// Process runs a batch through every detector. out is called for each signal,
// with the index of the record that completed it, before Process returns.
func (r *Records) Process(b *observe.LogBatch, out func(record uint64, s model.Signal)) {
	r.out, r.input = out, Clean(b.Input, 128)
	if len(b.Flows) > 0 {
		for i := range r.flows {
			r.guard(r.flows[i].Name, func() { r.flows[i].Detector.Detect(b.Flows, r.flow) })
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		if !Actor(e.Remote).IsValid() {
			continue
		}
		e.Sensor = r.input
		r.record, r.engine.obs = e.Record, &e.Observation
		for j := range r.events {
			r.engine.run(&r.events[j], &e.Observation, r.event)
		}
	}
	if len(b.Queries) > 0 {
		for i := range r.names {
			r.guard(r.names[i].Name, func() { r.names[i].Detector.DetectQueries(b.Queries, r.query) })
		}
	}
	for i := range b.Documents {
		r.record = b.Documents[i].Record
		for j := range r.docs {
			r.guard(r.docs[j].Name, func() { r.docs[j].Detector.DetectDocument(&b.Documents[i], r.doc) })
		}
	}
	for i := range b.Messages {
		r.record = b.Messages[i].Record
		for j := range r.texts {
			r.guard(r.texts[j].Name, func() { r.texts[j].Detector.DetectMessage(&b.Messages[i], r.doc) })
		}
	}
	r.out, r.engine.obs = nil, nil
}

// Settle hands out what detectors of flows and queries held back until they know more, with the
// records that completed it; for the end of an input.
func (r *Records) Settle(out func(record uint64, s model.Signal)) {
	r.out = out
	for i := range r.flows {
		if s, ok := r.flows[i].Detector.(FlowSettler); ok {
			r.guard(r.flows[i].Name, func() { s.Settle(r.flow) })
		}
	}
	for i := range r.names {
		r.guard(r.names[i].Name, func() { r.names[i].Detector.Settle(r.query) })
	}
	r.out = nil
}

// guard keeps a broken detector from taking the others with it.
func (r *Records) guard(name string, f func()) {
	defer func() {
		if recover() != nil { // what it says may quote hostile bytes
			r.panics[name]++
		}
	}()
	f()
}

// Flush hands out what detectors held back, with the last record; for the end.
func (r *Records) Flush(out func(record uint64, s model.Signal)) {
	r.out = out
	for i := range r.docs {
		if f, ok := r.docs[i].Detector.(Flusher); ok {
			f.Flush(r.doc)
		}
	}
	r.out = nil
}

func (r *Records) takeDocument(s *model.Signal) {
	full := *s
	full.Sensor, full.Count = r.input, max(s.Count, 1)
	full.Techniques = clamp(s.Techniques, model.MaxTechniques)
	r.hand(r.record, full)
}

// Panics counts by detector how often one was broken off by a record.
func (r *Records) Panics() map[string]uint64 {
	out := map[string]uint64{}
	for n, c := range r.panics {
		out[n] = c
	}
	for i := range r.events {
		if c := r.events[i].panics; c > 0 {
			out[r.events[i].name] = c
		}
	}
	return out
}

func (r *Records) takeEvent(s *model.Signal) {
	o := r.engine.obs
	now := s.Time
	if now.IsZero() {
		now = o.Time
	}
	k := key{actor: Actor(o.Remote), kind: s.Kind, rule: s.Rule, sensor: r.input, spoofable: s.Spoofable || o.Spoofable}
	if s.Class == model.ClassScan {
		t, fresh := r.swept.Get(k)
		if !fresh && Within(*t, now, sweepWindow) {
			return
		}
		*t = now
	}
	full := r.engine.complete(s, k, now)
	r.hand(r.record, full)
}

func (r *Records) takeFlow(s *model.Signal, f *observe.Flow) {
	full := *s
	full.Sensor, full.Count = r.input, max(s.Count, 1)
	full.Evidence = append([]model.Evidence(nil), clamp(s.Evidence, model.MaxEvidence)...)
	full.Related = append([]model.Entity(nil), clamp(s.Related, model.MaxRelated)...)
	r.hand(f.Record, full)
}

func (r *Records) takeQuery(s *model.Signal, record uint64) {
	full := *s
	full.Sensor, full.Count = r.input, max(s.Count, 1)
	full.Evidence = append([]model.Evidence(nil), clamp(s.Evidence, model.MaxEvidence)...)
	full.Related = append([]model.Entity(nil), clamp(s.Related, model.MaxRelated)...)
	r.hand(record, full)
}

func (r *Records) hand(record uint64, s model.Signal) {
	s.ID = model.NewULID(s.Time)
	if s.Check() != nil {
		r.panics["signal"]++ // a bug in a detector
		return
	}
	if r.out != nil {
		r.out(record, s)
	}
}
