package builtin_test

import (
	"math"
	"net/netip"
	"slices"
	"testing"

	"bartizan/internal/builtin"
	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// all is an engine with every detector family as shipped.
func all(t testing.TB) *detect.Engine {
	t.Helper()
	named, err := builtin.BuildDetectors(builtin.DetectorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return detect.NewEngine(named, detect.Options{})
}

// TestStories plays each story to all detectors together.
func TestStories(t *testing.T) {
	stories := detecttest.Stories()
	if len(stories) < 20 {
		t.Fatalf("%d stories", len(stories))
	}
	e := all(t) // one for all: each story has an actor of its own
	for i, story := range stories {
		t.Run(story.Name, func(t *testing.T) {
			for k := range story.Steps {
				story.Steps[k].Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), 40000)
			}
			var signals []model.Signal
			e.Process(story.Steps, func(s model.Signal) { signals = append(signals, s) })
			e.Flush(func(s model.Signal) { signals = append(signals, s) })
			p, classes := detecttest.Posterior(signals)
			t.Logf("%.4f %v", p, classes)
			for _, s := range signals {
				t.Logf("  %-28s %-12s %.2f %-8s ×%d %s %q", s.Kind, s.Class, s.Confidence, s.Severity, s.Count, s.Rule, s.Evidence[0].Excerpt)
				if (s.Class == model.ClassContact) == s.Class.Independent() {
					t.Errorf("class %s", s.Class)
				}
			}
			if story.Hostile && (p < 0.95 || len(classes) < 2) {
				t.Errorf("confidence %.3f with classes %v, needs 0.95 with two", p, classes)
			}
			if !story.Hostile && p > story.Max {
				t.Errorf("confidence %.3f, at most %.2f for ordinary background", p, story.Max)
			}
			for _, c := range story.Classes {
				if !classes[c] {
					t.Errorf("class %s is missing", c)
				}
			}
			perKind(t, signals)
			if n := e.Counters(); len(n.Panics) > 0 || n.Invalid > 0 {
				t.Errorf("counters %+v", n)
			}
		})
	}
}

// perKind: no kind of evidence decides alone, and contact says next to nothing.
func perKind(t *testing.T, signals []model.Signal) {
	kinds := map[string][]model.Signal{}
	for _, s := range signals {
		kinds[s.Kind] = append(kinds[s.Kind], s)
	}
	for k, list := range kinds {
		p, _ := detecttest.Posterior(list)
		// Repeats add at most half of a kind's own weight.
		p = 1 / (1 + math.Exp(-(1.5*(logit(p)-logit(0.05)) + logit(0.05))))
		if p >= 0.95 || slices.ContainsFunc(list, func(s model.Signal) bool { return s.Class == model.ClassContact }) && p >= 0.3 {
			t.Errorf("kind %s alone reaches %.3f", k, p)
		}
	}
}

func TestEngineWithEverythingIsHostileProof(t *testing.T) {
	e := all(t)
	e.Process(detecttest.Garbage(99, 1500), func(s model.Signal) {
		if err := s.Check(); err != nil {
			t.Error(err)
		}
	})
	if n := e.Counters(); len(n.Panics) > 0 || n.Invalid > 0 || n.Signals == 0 {
		t.Errorf("counters %+v", n)
	}
}

// repeatedContact is what a decoy reports of a connection that says nothing new.
func repeatedContact(first string) []observe.Observation {
	return []observe.Observation{detecttest.Observation(observe.Observation{Service: "tcp", Interaction: &observe.Interaction{
		Ended: true, First: []byte(first), BytesIn: int64(len(first))}})}
}

func TestContactCostsNoAllocation(t *testing.T) {
	e := all(t)
	batch := repeatedContact("hello\r\n")
	out := func(model.Signal) {}
	e.Process(batch, out)
	i := byte(0)
	if n := testing.AllocsPerRun(500, func() {
		i++
		batch[0].Session[15] = i // a new connection each time
		e.Process(batch, out)
	}); n >= 1 {
		t.Errorf("%v allocations for a contact that emits nothing", n)
	}
}

func BenchmarkContact(b *testing.B) {
	e := all(b)
	batch := repeatedContact("hello\r\n")
	out := func(model.Signal) {}
	i := byte(0)
	b.ReportAllocs()
	for b.Loop() {
		i++
		batch[0].Session[15] = i
		e.Process(batch, out)
	}
}

func BenchmarkRequest(b *testing.B) {
	e := all(b)
	batch := []observe.Observation{detecttest.Observation(observe.Observation{Service: "http", HTTP: detecttest.Request("/", "Mozilla/5.0 (X11; Linux x86_64)", "").HTTP})}
	out := func(model.Signal) {}
	b.ReportAllocs()
	for b.Loop() {
		e.Process(batch, out)
	}
}

func logit(p float64) float64 { return math.Log(p / (1 - p)) }
