package cli

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"bartizan/internal/app"
	"bartizan/internal/intel"
	"bartizan/internal/model"
)

// sameLine compares both ways of writing a signal.
func sameLine(t *testing.T, d app.Detected) {
	t.Helper()
	want, wantErr := json.Marshal(lineOf(d))
	got, gotErr := appendLine(nil, &d)
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("error %v, want %v", gotErr, wantErr)
	}
	if wantErr == nil && string(got) != string(want) {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestAppendLine(t *testing.T) {
	at := time.Date(2026, 11, 27, 10, 0, 0, 5000, time.UTC)
	ip, err := model.ParseIP("192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	full := app.Detected{File: "a<b>.log", Record: math.MaxUint64, Signal: model.Signal{ID: model.NewULID(at), Time: at, Kind: "k", Class: model.ClassScan, Rule: "r", Title: "ü\u2028\"\\\x01\xff&",
		Severity: model.High, Confidence: 0.95, Actor: ip, Address: "192.0.2.1", Asset: model.AssetRef{Kind: "host", Name: "h"}, Techniques: []string{"T1046", "T1595"}, Count: 3,
		Spoofable: true, Related: []model.Entity{ip, {}}, Evidence: []model.Evidence{{Excerpt: "x"}, {Excerpt: "y"}}},
		Lists: []intel.Provenance{{Feed: "f", Line: 7, Note: "n", Confidence: 0.75, Until: at}, {Feed: "g", Line: -1}}}
	cases := []app.Detected{{}, full}
	for _, change := range []func(*app.Detected){
		func(d *app.Detected) { d.Signal.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, // no RFC 3339
		func(d *app.Detected) { d.Signal.Time = at.In(time.FixedZone("", 3600)) },
		func(d *app.Detected) { d.Signal.Time = at.In(time.FixedZone("", 25*3600)) },
		func(d *app.Detected) { d.Signal.Confidence = math.NaN() },
		func(d *app.Detected) { d.Signal.Confidence = 1e-9 },
		func(d *app.Detected) { d.Lists = []intel.Provenance{{Confidence: math.Inf(1)}} },
		func(d *app.Detected) { d.Signal.Evidence = nil },
		func(d *app.Detected) { d.Signal.Evidence = []model.Evidence{{}} },
	} {
		d := full
		change(&d)
		cases = append(cases, d)
	}
	for _, d := range cases {
		sameLine(t, d)
	}
}

func FuzzAppendLine(f *testing.F) {
	f.Add("scan.horizontal", "tried 30 hosts", "192.0.2.1", "n", 0.5, int64(1_700_000_000), 3, uint64(9), true)
	f.Add("\x00\xff<", "\u2028\u2029\"", "x", "", 1e-7, int64(-1), -1, uint64(0), false)
	f.Fuzz(func(t *testing.T, rule, title, address, note string, confidence float64, at int64, count int, record uint64, spoofable bool) {
		when := time.Unix(at%(1<<40), at%1_000_000_000&0xffff).UTC()
		e, err := model.ParseEntity(model.TypeDomain, address)
		if err != nil {
			e = model.Entity{}
		}
		sameLine(t, app.Detected{File: note, Record: record, Signal: model.Signal{ID: model.NewULID(when), Time: when, Kind: rule, Rule: rule, Title: title, Confidence: confidence, Count: count,
			Actor: e, Address: address, Spoofable: spoofable, Techniques: []string{note}, Asset: model.AssetRef{Name: title}, Evidence: []model.Evidence{{Excerpt: note}}},
			Lists: []intel.Provenance{{Feed: address, Line: count, Note: note, Confidence: confidence, Until: when}}})
	})
}
