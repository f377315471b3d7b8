package detectors

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"bartizan/internal/builtin"
	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// judgeCalls runs a week of calls to a cloud's API through what is shipped: at most one alert per 10,000 ordinary
// calls, and nine of ten attacks of every kind by the rule that is meant.
func judgeCalls(t *testing.T, name string, w detecttest.Week) {
	t.Helper()
	calls := w.Call()
	all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	format, err := builtin.Formats().Build("cloudtrail", nil)
	if err != nil {
		t.Fatal(err)
	}
	decoder := format.Decoder()
	r := detect.NewRecords(detect.RecordDetectors{Events: all.Events, Documents: all.Documents})
	found := map[int32]bool{}
	var wrong []string
	ordinary := 0
	var b observe.LogBatch
	for i, rec := range calls.Records {
		if calls.Of[i] < 0 {
			ordinary++
		}
		b.Reset()
		if err := decoder.Decode(rec, uint64(i), &b); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		r.Process(&b, func(_ uint64, s model.Signal) {
			switch of := calls.Of[i]; {
			case s.Severity < model.Medium:
			case of < 0:
				wrong = append(wrong, s.Rule+" "+s.Title)
			case s.Rule == calls.Attacks[of].Rule:
				found[of] = true
			}
		})
	}
	if p := r.Panics(); len(p) > 0 {
		t.Fatalf("detectors broke: %v", p)
	}
	per := map[string][2]int{}
	for i, a := range calls.Attacks {
		n := per[a.Kind]
		n[1]++
		if found[int32(i)] {
			n[0]++
		}
		per[a.Kind] = n
	}
	t.Logf("%s: %d records, %d ordinary, %d alerts on them, found %v", name, len(calls.Records), ordinary, len(wrong), per)
	if len(wrong)*10_000 > ordinary {
		slices.Sort(wrong)
		t.Errorf("%s: %d alerts on %d ordinary calls: %q", name, len(wrong), ordinary, wrong[:min(len(wrong), 20)])
	}
	if len(per) != len(detecttest.CallKinds()) {
		t.Errorf("%d kinds of attack", len(per))
	}
	for kind, n := range per {
		if n[0]*10 < n[1]*9 {
			t.Errorf("%s: %d of %d %s found", name, n[0], n[1], kind)
		}
	}
}

// TestAccuracyCalls: a week of calls. The long form (BARTIZAN_FULL) has a million.
func TestAccuracyCalls(t *testing.T) {
	if os.Getenv("BARTIZAN_FULL") == "" {
		judgeCalls(t, "short", detecttest.Week{Seed: 5, Days: 7, Hosts: 30, Records: 40_000, Attacks: 4})
		return
	}
	for _, seed := range []uint64{1, 2, 3} {
		judgeCalls(t, fmt.Sprintf("seed %d", seed), detecttest.Week{Seed: seed, Days: 7, Hosts: 200, Records: 300_000, Attacks: 20})
	}
}
