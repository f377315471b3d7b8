package detectors

import (
	"testing"

	"bartizan/internal/builtin"
	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// TestAccuracyUnsorted: an older log behind a newer one, as files come that are
// given in any order; everything is found all the same.
func TestAccuracyUnsorted(t *testing.T) {
	tr := detecttest.Week{Seed: 9, Days: 7, Hosts: 40, Records: 150_000, Attacks: 6, Longest: 600}.Make()
	var fl []observe.Flow
	var of []int32
	for _, want := range []bool{false, true} {
		for i := range tr.Flows {
			if (tr.Of[i] >= 0) == want {
				f := tr.Flows[i]
				f.Record = uint64(len(fl))
				fl = append(fl, f)
				of = append(of, tr.Of[i])
			}
		}
	}
	all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := detect.NewRecords(detect.RecordDetectors{Flows: all.Flows})
	v := verdict{name: "unsorted", of: of, attacks: tr.Attacks, kinds: detecttest.FlowKinds(), most: 1, per: 1000, facts: map[string]int{}}
	take := func(rec uint64, s model.Signal) {
		if s.Severity < model.Medium {
			return
		}
		v.alerts = append(v.alerts, alert{s.Rule, s.Actor.Value(), s.Asset.Name, s.Title, of[rec]})
	}
	for i := 0; i < len(fl); i += 512 {
		r.Process(&observe.LogBatch{Flows: fl[i:min(i+512, len(fl))]}, take)
	}
	r.Settle(take)
	v.judge(t)
}
