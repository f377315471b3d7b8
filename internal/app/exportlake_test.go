package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/export"
	"bartizan/internal/lake"
	"bartizan/internal/ocsf/ocsftest"
)

const observations = `{"kind":"command","time":"2026-11-27T01:02:03.000000004Z","session":"01M8DC7CBDJENXBAZ6X3F4K3ZH","sensor":"s","decoy":"ssh","service":"ssh","local":"192.0.2.1:22","remote":"203.0.113.5:4000","command":{"line":"uname -a","user":"root"}}
{"kind":"auth","time":"2026-11-27T02:02:04Z","session":"01M8DC7CBDJENXBAZ6X3F4K3ZH","sensor":"s","decoy":"ssh","service":"ssh","local":"192.0.2.1:22","remote":"203.0.113.5:4000","auth":{"method":"password","user":"root","password":"x","accepted":false}}
`

// TestExportLake: observations come out of a lake as valid events; a damaged
// file is named, and what cannot be taken ends the export.
func TestExportLake(t *testing.T) {
	schema := ocsftest.Load(t)
	dir := t.TempDir()
	l, err := lake.Open(dir, lake.Options{Product: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	var sum lake.Imported
	if err := l.Import(t.Context(), "observations", strings.NewReader(observations), &sum); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	read := func(q api.ExportQuery) (classes string, skipped []lake.NotLookedAt) {
		skipped, err := ExportLake(t.Context(), dir, q, func(e export.Event) error {
			schema.Check(t, e.JSON)
			classes += e.Class + " "
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return classes, skipped
	}
	at := time.Date(2026, 11, 27, 1, 30, 0, 0, time.UTC)
	for want, q := range map[string]api.ExportQuery{
		"auth command ": {},
		"command ":      {To: at},
		"auth ":         {From: at},
		"":              {From: at, Classes: []string{"command"}},
	} {
		if got, skipped := read(q); got != want || len(skipped) > 0 {
			t.Errorf("%+v: %q, %v, want %q", q, got, skipped, want)
		}
	}
	full := errors.New("full")
	if _, err := ExportLake(t.Context(), dir, api.ExportQuery{}, func(export.Event) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v, want the taker's error", err)
	}
	if _, err := ExportLake(t.Context(), dir, api.ExportQuery{Classes: []string{"htttp"}}, nil); !errors.Is(err, api.ErrInput) || !strings.Contains(err.Error(), `nearest: "http"`) {
		t.Errorf("%v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "class=auth", "*", "*", "*.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("PAR1 this is no Parquet file PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, skipped := read(api.ExportQuery{}); got != "command " || len(skipped) != 1 || !strings.Contains(skipped[0].File, "class=auth") {
		t.Errorf("damaged: %q, %v", got, skipped)
	}
}
