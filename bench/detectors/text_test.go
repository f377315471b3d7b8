package detectors

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/app"
	"bartizan/internal/builtin"
	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// TestTextSaysTheSame: what the verb concludes from log files is what the
// detectors conclude from the records in memory, also when the log is cut into
// files in the middle of things.
func TestTextSaysTheSame(t *testing.T) {
	dir := t.TempDir()
	w := detecttest.Week{Seed: 8, Days: 4, Hosts: 20, Records: 30_000, Attacks: 2, Longest: 600}
	tr, asked := w.Make(), w.Ask()
	text := []byte(detecttest.VPCHeader)
	for i := range tr.Flows {
		text = detecttest.AppendVPC(text, &tr.Flows[i])
	}
	flowLog := filepath.Join(dir, "flows.log")
	write(t, flowLog, text)
	text = nil
	for i := range asked.Queries {
		text = detecttest.AppendRoute53(text, &asked.Queries[i])
	}
	queryLog := filepath.Join(dir, "queries.log")
	write(t, queryLog, text)
	all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]bool{flowLog: {}, queryLog: {}}
	r := detect.NewRecords(all)
	for part := range slices.Chunk(tr.Flows, 500) {
		r.Process(&observe.LogBatch{Flows: part}, func(_ uint64, s model.Signal) { want[flowLog][line(s)] = true })
	}
	r.Settle(func(_ uint64, s model.Signal) { want[flowLog][line(s)] = true })
	for part := range slices.Chunk(asked.Queries, 500) {
		r.Process(&observe.LogBatch{Queries: part}, func(_ uint64, s model.Signal) { want[queryLog][line(s)] = true })
	}
	r.Settle(func(_ uint64, s model.Signal) { want[queryLog][line(s)] = true })
	for name, kind := range map[string]string{flowLog: "vpcflow", queryLog: "route53"} {
		for _, as := range []string{kind, app.AutoFormat} {
			got := map[string]bool{}
			rep, err := app.Detect(t.Context(), app.DetectRequest{Inputs: []string{name}, Type: as}, func(d app.Detected) error {
				got[line(d.Signal)] = true
				return nil
			})
			if err != nil || rep.Counts.Malformed > 0 || len(rep.Panics) > 0 {
				t.Fatalf("%s: %v, %+v", name, err, rep)
			}
			for l := range want[name] {
				if !got[l] {
					t.Errorf("%s as %s: missing %s", name, as, l)
				}
			}
			for l := range got {
				if !want[name][l] {
					t.Errorf("%s as %s: too much %s", name, as, l)
				}
			}
			if len(got) < 10 {
				t.Errorf("%s as %s: only %d signals", name, as, len(got))
			}
		}
	}
}

func line(s model.Signal) string {
	actor, what := s.Actor.Value(), s.Asset.Name
	if s.Kind == "dns.dga" || s.Kind == "flow.fanout" || s.Class == model.ClassScan {
		what = "" // a sketch's seed decides which is the one that completes the number
	}
	if s.Class == model.ClassFlood {
		actor = "" // one of thousands; which of them is the thousandth depends on the sketch's seed
	}
	return strings.Join([]string{s.Rule, actor, what, s.Severity.String()}, " ")
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
