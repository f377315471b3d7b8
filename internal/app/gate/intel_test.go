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
		before := k.Version()
		s := signal(e)
		s.ID = model.NewULID(now)
		k.Changed(store.Fold(s), now)
		if k.Version() == before {
			t.Errorf("%s: the version did not change", value)
		}
		same := k.Version()
		s.ID = model.NewULID(now.Add(time.Millisecond))
		k.Changed(store.Fold(s), now)
		if k.Version() != same {
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
