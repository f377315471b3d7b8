package detect

import (
	"net/netip"
	"testing"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// scripted concludes what its test wants.
type scripted struct {
	say func(o *observe.Observation, emit Emit)
}

func (s scripted) Detect(o *observe.Observation, emit Emit) { s.say(o, emit) }

type scriptedFlow struct {
	say func([]observe.Flow, FlowEmit)
}

func (s scriptedFlow) Detect(f []observe.Flow, emit FlowEmit) { s.say(f, emit) }

// scriptedDocument tells of every document, and once more at the end.
type scriptedDocument struct{ s model.Signal }

func (s *scriptedDocument) DetectDocument(d *observe.Document, emit Emit) {
	e, _ := model.ParseIP("192.0.2.7") // a constant that parses
	s.s = model.Signal{Kind: "sigma.x", Rule: "d", Title: string(d.JSON().Get("a").MarshalTo(nil)), Actor: e, Time: time.Unix(1, 0)}
	emit(&s.s)
}

func (s *scriptedDocument) Flush(emit Emit) {
	s.s.Rule = "late"
	emit(&s.s)
}

func TestRecords(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b observe.LogBatch
	b.Input = "access.log\x1b"
	for i, minutes := range []int{0, 1, 2, 20} {
		o := b.Add(uint64(10+i), at.Add(time.Duration(minutes)*time.Minute), observe.KindHTTP, "http", netip.MustParseAddr("::ffff:192.0.2.1"), 0)
		o.HTTP = &observe.HTTPRequest{Method: "GET", Target: "/x"}
	}
	b.Events = append(b.Events, observe.LogEvent{Record: 99}) // without an address
	b.Flows = []observe.Flow{{Record: 5}, {Record: 6}}
	events := []Named{
		{"rule", scripted{func(_ *observe.Observation, emit Emit) {
			emit(&model.Signal{Kind: "exploit.x", Class: model.ClassExploit, Rule: "r", Title: "t", Confidence: 0.9})
		}}},
		{"sweep", scripted{func(_ *observe.Observation, emit Emit) {
			emit(&model.Signal{Kind: "scan.x", Class: model.ClassScan, Rule: "s", Title: "t", Confidence: 0.9})
		}}},
		{"broken", scripted{func(*observe.Observation, Emit) { panic("hostile") }}},
	}
	flows := []NamedFlow{
		{"broken-flow", scriptedFlow{func([]observe.Flow, FlowEmit) { panic("hostile") }}},
		{"flow", scriptedFlow{func(f []observe.Flow, emit FlowEmit) {
			e, err := model.ParseIP("192.0.2.7")
			if err != nil {
				t.Error(err)
			}
			emit(&model.Signal{Kind: "scan.y", Class: model.ClassScan, Rule: "f", Title: "t", Time: at, Actor: e, Confidence: 0.9}, &f[1])
			emit(&model.Signal{Kind: "scan.y", Rule: "no actor"}, &f[1])
		}}},
	}
	documents := []NamedDocument{{"doc", &scriptedDocument{}}}
	if _, err := b.AddDocument(7, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	r := NewRecords(RecordDetectors{Events: events, Flows: flows, Documents: documents})
	byRule := map[string][]uint64{}
	r.Process(&b, func(record uint64, s model.Signal) {
		byRule[s.Rule] = append(byRule[s.Rule], record)
		if s.ID.IsZero() || s.Sensor != `access.log\x1b` || s.Actor.IsZero() || s.Check() != nil {
			t.Errorf("incomplete: %+v", s)
		}
		if s.Rule == "r" && (s.Asset != model.AssetRef{Kind: "service", Name: "http"} || s.Address != "192.0.2.1" || s.Evidence[0].Excerpt != "GET /x") {
			t.Errorf("incomplete: %+v", s)
		}
	})
	r.Flush(func(record uint64, s model.Signal) { byRule[s.Rule] = append(byRule[s.Rule], record) })
	want := map[string][]uint64{"r": {10, 11, 12, 13}, "s": {10, 13}, "f": {6}, "d": {7}, "late": {7}}
	for rule, records := range want {
		if len(byRule[rule]) != len(records) {
			t.Errorf("%s: records %v, want %v", rule, byRule[rule], records)
			continue
		}
		for i := range records {
			if byRule[rule][i] != records[i] {
				t.Errorf("%s: records %v, want %v", rule, byRule[rule], records)
			}
		}
	}
	if p := r.Panics(); p["broken"] != 4 || p["broken-flow"] != 1 || p["signal"] != 1 || len(p) != 3 {
		t.Errorf("panics %v", p)
	}
}
