// Package detectors measures what the detectors for flows and queries find and
// miss over seeded weeks of traffic.
package detectors

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/builtin"
	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// alert is a conclusion of medium severity or above, with its record.
type alert struct {
	rule, actor, target, title string
	of                         int32 // attack of the record, or -1
}

// play runs a week through every flow detector as shipped.
func play(t *testing.T, w detecttest.Week) (tr *detecttest.Traffic, alerts []alert, facts map[string]int) {
	t.Helper()
	tr = w.Make()
	all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := detect.NewRecords(detect.RecordDetectors{Flows: all.Flows})
	facts = map[string]int{}
	take := func(rec uint64, s model.Signal) {
		if s.Severity < model.Medium {
			facts[s.Rule]++
			return
		}
		alerts = append(alerts, alert{s.Rule, s.Actor.Value(), s.Asset.Name, s.Title, tr.Of[rec]})
	}
	for part := range slices.Chunk(tr.Flows, 1024) {
		r.Process(&observe.LogBatch{Input: "week", Flows: part}, take)
	}
	r.Settle(take)
	if p := r.Panics(); len(p) > 0 {
		t.Fatalf("detectors broke: %v", p)
	}
	return tr, alerts, facts
}

// kinds are the rules that tell a kind of attack, by their beginnings.
func kinds(kind string) []string {
	switch kind {
	case "scan.fast", "scan.slow", "scan.inside":
		return []string{"scan."}
	case "exfil":
		return []string{"exfil."}
	case "amplification":
		return []string{"flood.amplification"}
	case "tunnel.hex", "tunnel.base32", "tunnel.base64url", "tunnel.raw", "tunnel.down":
		return []string{"dns.tunnel"}
	case "dga":
		return []string{"dns.dga"}
	case "flux":
		return []string{"dns.fast-flux"}
	}
	return []string{kind + "."}
}

// verdict compares alerts with the truth. most is how many alerts per so many
// ordinary records are too many.
type verdict struct {
	name     string
	of       []int32 // attack of each record
	attacks  []detecttest.Attack
	kinds    []string
	most     float64
	per      int
	alerts   []alert
	facts    map[string]int
	ordinary int
}

func (v *verdict) judge(t *testing.T) {
	t.Helper()
	found := make([]bool, len(v.attacks))
	wrong := map[string]int{}
	n := 0
	for _, a := range v.alerts {
		hit := false
		for i, x := range v.attacks {
			if (a.actor == x.Actor.String() || a.target == x.Target.String()) && slices.ContainsFunc(kinds(x.Kind), func(p string) bool { return strings.HasPrefix(a.rule, p) }) {
				hit, found[i] = true, true
			}
		}
		if !hit && a.of < 0 {
			n++
			wrong[a.rule]++
			if n <= 12 {
				t.Logf("ordinary: %s %s %s", a.rule, a.actor, a.title)
			}
		}
	}
	for _, o := range v.of {
		if o < 0 {
			v.ordinary++
		}
	}
	t.Logf("%s: %d ordinary records, %d alerts on them = %.3f per %d (%v); facts %v", v.name, v.ordinary, n, float64(v.per)*float64(n)/float64(v.ordinary), v.per, wrong, v.facts)
	if float64(n) > v.most*float64(v.ordinary)/float64(v.per) {
		t.Errorf("%s: %d alerts on %d ordinary records, at most %v per %d", v.name, n, v.ordinary, v.most, v.per)
	}
	all, hits := map[string]int{}, map[string]int{}
	for i, x := range v.attacks {
		all[x.Kind]++
		if found[i] {
			hits[x.Kind]++
		} else {
			t.Logf("missed: %s by %s to %s: %s", x.Kind, x.Actor, x.Target, x.Note)
		}
	}
	var rows []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		rows = append(rows, fmt.Sprintf("%s %d/%d", k, hits[k], all[k]))
		if float64(hits[k]) < 0.9*float64(all[k]) {
			t.Errorf("%s: %s found %d of %d", v.name, k, hits[k], all[k])
		}
	}
	if len(all) != len(v.kinds) {
		t.Errorf("%d kinds of attack, want %d", len(all), len(v.kinds))
	}
	t.Logf("%s: %s", v.name, strings.Join(rows, ", "))
}

func judge(t *testing.T, name string, w detecttest.Week, most float64) {
	t.Helper()
	tr, alerts, facts := play(t, w)
	v := verdict{name: name, of: tr.Of, attacks: tr.Attacks, kinds: detecttest.FlowKinds(), most: most, per: 1000, alerts: alerts, facts: facts}
	v.judge(t)
}

// TestAccuracyFlows: a week of a network. The long form (BARTIZAN_FULL) has more
// than a million records and several ways of exporting them.
func TestAccuracyFlows(t *testing.T) {
	if os.Getenv("BARTIZAN_FULL") == "" {
		judge(t, "short", detecttest.Week{Seed: 3, Days: 7, Hosts: 40, Records: 100_000, Attacks: 5, Longest: 600}, 1)
		return
	}
	for _, seed := range []uint64{1, 2, 3} {
		judge(t, fmt.Sprintf("seed %d", seed), detecttest.Week{Seed: seed, Days: 7, Hosts: 200, Records: 1_100_000, Attacks: 20, Longest: 600}, 1)
	}
	judge(t, "records of a minute", detecttest.Week{Seed: 4, Days: 7, Hosts: 100, Records: 1_100_000, Attacks: 20, Longest: 60}, 1)
	judge(t, "one record per connection, no flags", detecttest.Week{Seed: 5, Days: 7, Hosts: 150, Records: 1_100_000, Attacks: 20, NoFlags: true}, 1)
	judge(t, "one way, no flags", detecttest.Week{Seed: 6, Days: 7, Hosts: 150, Records: 700_000, Attacks: 20, Longest: 600, NoFlags: true, OneWay: true}, 1)
}
