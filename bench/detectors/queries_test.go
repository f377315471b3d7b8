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

func judgeQueries(t *testing.T, name string, w detecttest.Week) {
	t.Helper()
	asked := w.Ask()
	all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := detect.NewRecords(detect.RecordDetectors{Queries: all.Queries})
	v := verdict{name: name, of: asked.Of, attacks: asked.Attacks, kinds: detecttest.QueryKinds(), most: 1, per: 10_000, facts: map[string]int{}}
	take := func(rec uint64, s model.Signal) {
		if s.Severity < model.Medium {
			v.facts[s.Rule]++
			return
		}
		v.alerts = append(v.alerts, alert{s.Rule, s.Actor.Value(), s.Asset.Name, s.Title, asked.Of[rec]})
	}
	for part := range slices.Chunk(asked.Queries, 1024) {
		r.Process(&observe.LogBatch{Input: "week", Queries: part}, take)
	}
	r.Settle(take)
	if p := r.Panics(); len(p) > 0 {
		t.Fatalf("detectors broke: %v", p)
	}
	v.judge(t)
}

// TestAccuracyQueries: a week of questions to name servers. The long form
// (BARTIZAN_FULL) has more than a million.
func TestAccuracyQueries(t *testing.T) {
	if os.Getenv("BARTIZAN_FULL") == "" {
		judgeQueries(t, "short", detecttest.Week{Seed: 3, Days: 7, Hosts: 30, Records: 120_000, Attacks: 4})
		return
	}
	for _, seed := range []uint64{1, 2, 3} {
		judgeQueries(t, fmt.Sprintf("seed %d", seed), detecttest.Week{Seed: seed, Days: 7, Hosts: 200, Records: 1_200_000, Attacks: 20})
	}
	judgeQueries(t, "few hosts", detecttest.Week{Seed: 4, Days: 7, Hosts: 12, Records: 1_200_000, Attacks: 12})
}
