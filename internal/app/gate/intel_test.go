package gate

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/intel"
	"bartizan/internal/model"
)

// What becomes surer is news as well: a text that was only flagged a moment ago is looked
// at again when a second signal makes a route sure enough to block it.
func TestSurerIsNews(t *testing.T) {
	store := intel.New(intel.Default())
	k, err := NewIntel(store, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e, err := model.ParseEntity(model.TypeDomain, "own.example.org")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signal := func() *model.Signal {
		now = now.Add(time.Second)
		return &model.Signal{ID: model.NewULID(now), Time: now, Kind: "malware.fetch", Class: model.ClassFile, Rule: "r", Title: "t", Actor: e, Sensor: "s", Confidence: 0.97, Severity: model.High, Count: 1}
	}
	hear := func(s *model.Signal) (confidence float64, news bool) {
		version := k.version.Load()
		k.Changed(store.Fold(s), now)
		w, _ := k.Host("own.example.org")
		return w.Confidence, k.version.Load() != version
	}
	const sure = 0.7 // of a route that chose nothing else
	if c, news := hear(signal()); !news || c < doubt || c > sure {
		t.Errorf("the first signal: confidence %v, news: %t", c, news)
	}
	if c, news := hear(signal()); !news || c < sure {
		t.Errorf("the second: confidence %v, news: %t", c, news)
	}
	version := k.version.Load()
	if k.Changed([]model.Entity{e}, now); k.version.Load() != version {
		t.Error("what makes it no surer is news")
	}
	if k.Changed([]model.Entity{e}, now.Add(decays)); k.version.Load() == version {
		t.Error("what was told long ago, and may have become less since, is no news")
	}
}

func TestKnownIsCurrent(t *testing.T) {
	list := filepath.Join(t.TempDir(), "bad.txt")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listed.example.net\n")
	store := intel.New(intel.Default())
	k, err := NewIntel(store, []string{list + "@0.9"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if w, ok := k.Host("a.listed.example.net"); !ok || w.Confidence < 0.89 || !strings.Contains(w.From, "list bad.txt line 1") {
		t.Errorf("%+v %v", w, ok)
	}
	if _, ok := k.Host("example.net"); ok {
		t.Error("what stands above a listed name is not listed")
	}
	// The node's own.
	now := time.Now()
	signal := func(e model.Entity) *model.Signal {
		return &model.Signal{ID: model.NewULID(now), Time: now, Kind: "malware.fetch", Class: model.ClassFile, Rule: "r", Title: "t", Actor: e, Sensor: "s", Confidence: 0.97, Severity: model.High, Count: 1}
	}
	for kind, value := range map[model.EntityType]string{model.TypeDomain: "own.example.org", model.TypeURL: "http://cdn.example.org/x.sh", model.TypeIP: "45.66.77.88"} {
		e, err := model.ParseEntity(kind, value)
		if err != nil {
			t.Fatal(err)
		}
		before := k.version.Load() // which no clock moves
		s := signal(e)
		k.Changed(store.Fold(s), now)
		if k.version.Load() == before {
			t.Errorf("%s: the version did not change", value)
		}
		s.ID = model.NewULID(now.Add(time.Millisecond))
		k.Changed(store.Fold(s), now)
		same := k.version.Load()
		k.Changed(append(store.Fold(s), e), now)
		if k.version.Load() != same || k.Version() < same {
			t.Errorf("%s: what was known to be hostile is no news", value)
		}
	}
	for _, name := range []string{"www.own.example.org", "45.66.77.88"} {
		if w, ok := k.Host(name); !ok || w.Confidence < 0.7 || !strings.Contains(w.From, "malware.fetch") {
			t.Errorf("%s: %+v %v", name, w, ok)
		}
	}
	if w, ok := k.URL("HTTP://cdn.Example.org/x.sh"); !ok || !strings.Contains(w.What, "url http://cdn.example.org/x.sh") {
		t.Errorf("%+v %v", w, ok)
	}
	for _, name := range []string{"org", "example.org", "45.66.77.89", "x", ""} {
		if w, ok := k.Host(name); ok {
			t.Errorf("%q: %+v", name, w)
		}
	}
	if _, err := NewIntel(nil, []string{filepath.Join(t.TempDir(), "none")}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a list that is not there")
	}
}
