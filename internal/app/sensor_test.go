package app

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/observe"

	"github.com/go-json-experiment/json"
)

// everything is a detector that reports each observation it is shown.
type everything struct{ seen []observe.Kind }

func (e *everything) Detect(o *observe.Observation, emit detect.Emit) {
	e.seen = append(e.seen, o.Kind)
	emit(&model.Signal{Kind: "test.seen", Class: model.ClassContact, Rule: "test", Title: "seen", Confidence: 0.5})
}

// rig is a sensor over a real bus, without a child: the test says what a child
// would have said.
func rig(t *testing.T) (*sensor, *everything, *bus.Bus) {
	t.Helper()
	c := DefaultConfig()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	d := &everything{}
	s := &sensor{conf: &c, log: slog.New(slog.DiscardHandler), health: obs.NewHealth(), metrics: newSensorMetrics(obs.NewMetrics()),
		engine: detect.NewEngine([]detect.Named{{Name: "everything", Detector: d}}, detect.Options{})}
	if s.evidence, err = bus.OpenBlobs(t.Context(), b, "EVIDENCE", c.blobLimits()); err != nil {
		t.Fatal(err)
	}
	s.store = &signalStore{made: s.metrics.signals, health: s.health}
	if s.store.signals, err = bus.NewPublisher(t.Context(), b, signalTopic(&c)); err != nil {
		t.Fatal(err)
	}
	return s, d, b
}

func said(o ...observe.Observation) []byte {
	b, err := json.Marshal(observe.Batch{Observations: o})
	if err != nil {
		panic(err)
	}
	return b
}

func command(line string) observe.Observation {
	now := time.Now()
	return observe.Observation{Kind: observe.KindCommand, Time: now, Session: model.NewULID(now), Decoy: "ssh", Service: "ssh", Sensor: "a lie",
		Remote: netip.MustParseAddrPort("203.0.113.5:1"), Local: netip.MustParseAddrPort("192.0.2.1:22"), Command: &observe.Command{Line: line}}
}

func TestBatchBecomesSignalsWithEvidence(t *testing.T) {
	s, d, b := rig(t)
	o := command("id")
	o.Evidence = []observe.Blob{{What: "transcript", Data: []byte("# id\nuid=0(root)\n"), SHA256: "forged"}}
	if err := s.batch(t.Context(), said(o)); err != nil {
		t.Fatal(err)
	}
	if len(d.seen) != 1 {
		t.Fatalf("the detector saw %v", d.seen)
	}
	var got []model.Signal
	if _, err := bus.Read(t.Context(), b, signalTopic(s.conf), bus.From{}, func(m bus.Message[model.Signal]) error {
		got = append(got, m.Value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Actor.Value() != "203.0.113.5" || got[0].Sensor != s.conf.Name {
		t.Fatalf("stored %+v; the sensor's name must be the node's, whatever the decoy says", got)
	}
	if len(got[0].Evidence) == 0 || got[0].Evidence[0].Blob == "" || got[0].Evidence[0].Blob == "forged" {
		t.Fatalf("evidence %+v", got[0].Evidence)
	}
	bytes, err := s.evidence.Get(t.Context(), got[0].Evidence[0].Blob)
	if err != nil || string(bytes) != "# id\nuid=0(root)\n" {
		t.Fatalf("stored evidence %q, %v", bytes, err)
	}
}

// A decoy that was taken over may say anything: nonsense ends it, and single
// observations that make no sense are refused and counted.
func TestHostileDecoy(t *testing.T) {
	s, d, _ := rig(t)
	for name, frame := range map[string][]byte{
		"no json":    []byte("\x00\x01garbage"),
		"wrong type": []byte(`{"observations":"all"}`),
		"cut short":  said(command("id"))[:40],
		"too many":   said(make([]observe.Observation, observe.MaxBatch+1)...),
	} {
		if err := s.batch(t.Context(), frame); err == nil {
			t.Errorf("%s: taken as a batch", name)
		}
	}
	future, stranger, twoBodies, spoof := command("a"), command("b"), command("c"), command("d")
	future.Time = time.Now().Add(time.Hour)
	stranger.Decoy = "no-such-instance"
	twoBodies.Fetch = &observe.Fetch{URL: "x"}
	spoof.Spoofable = true
	long := command(strings.Repeat("x", observe.MaxText+1))
	if err := s.batch(t.Context(), said(future, stranger, twoBodies, long, spoof, command("ok"))); err != nil {
		t.Fatal(err)
	}
	if s.refused != 4 || len(d.seen) != 2 {
		t.Errorf("refused %d and passed on %d, want 4 and 2", s.refused, len(d.seen))
	}
	if err := s.counters([]byte(`{"accepted":"many"}`)); err == nil {
		t.Error("counters that are no numbers were taken")
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(said(command("uname -a")))
	f.Add([]byte(`{"observations":[{"kind":"http","http":{}}]}`))
	c := DefaultConfig()
	s := &sensor{conf: &c, log: slog.New(slog.NewTextHandler(io.Discard, nil)), health: obs.NewHealth(), metrics: newSensorMetrics(obs.NewMetrics()),
		engine: detect.NewEngine(nil, detect.Options{})}
	f.Fuzz(func(t *testing.T, b []byte) {
		var batch observe.Batch
		if json.Unmarshal(b, &batch) != nil {
			return
		}
		for i := range batch.Observations {
			batch.Observations[i].Evidence = nil // there is no store here
		}
		if again, err := json.Marshal(batch); err == nil {
			_ = s.batch(context.Background(), again) // must not panic
		}
	})
}
