package gateway

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"

	"pgregory.net/rapid"
)

// The quick way of writing a line says exactly what encoding/json would.
func TestEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := func(name string) string { return rapid.StringN(0, 8, 40).Draw(t, name) }
		n := func(name string) int { return rapid.IntRange(-1, 1000).Draw(t, name) }
		r := Record{ID: model.NewULID(time.Now()), Time: time.Unix(int64(n("t")), int64(n("ns"))).UTC(), Took: rapid.Float64Range(0, 1e6).Draw(t, "took"), Route: s("route"), Peer: s("peer"),
			Key: s("key"), KeyName: s("name"), User: s("user"), Method: s("method"), Path: s("path"), Model: s("model"), Stream: rapid.Bool().Draw(t, "stream"), Outcome: Outcome(s("outcome")),
			Status: n("status"), Code: s("code"), Action: Action(s("action")), Category: guard.Category(s("category")), Reason: s("reason"), Upstream: n("up"), Request: n("req"), Answer: int64(n("ans")),
			Unpriced: rapid.Bool().Draw(t, "unpriced"), Masked: n("masked"), Untold: n("untold"), Restored: n("restored"), More: n("more"), Media: n("media")}
		if rapid.Bool().Draw(t, "has") {
			d := rapid.Float64Range(0, 1).Draw(t, "dollars")
			r.Decision, r.Dollars, r.Usage = model.NewULID(time.Now()), &d, &wire.Usage{Input: int64(n("in")), Output: 3, CacheRead: -1}
			r.Unknown = []string{s("u1"), s("u2")}
			r.Person = &Person{Held: s("held"), Approved: rapid.Bool().Draw(t, "approved"), By: s("by"), Waited: rapid.Float64Range(0, 1e6).Draw(t, "waited")}
			r.Found = []Found{{s("where"), s("d"), guard.Category(s("c")), rapid.Float64().Draw(t, "score"), s("note"), Action(s("a"))}, {Note: s("n2")}}
			r.Inspections = []Inspection{{Direction: s("dir"), Kind: wire.Prompt, Where: s("w"), Size: n("size"), SHA256: s("sum"), Again: true, Verdict: guard.Flag, Score: 0.5, Category: guard.PII, Readings: []string{s("how")},
				Inspectors: States{[]guard.Report{{Name: "a", State: guard.Clean}, {Name: "b", State: guard.Failed, Why: s("why")}}, []string{"c"}}}, {Where: s("w2")}}
		}
		want, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.encode(nil); string(got) != string(want) {
			t.Fatalf("\n got %s\nwant %s", got, want)
		}
	})
	if n := reflect.TypeFor[Record]().NumField(); n != 34 {
		t.Errorf("a record has %d fields: write the new ones in encode.go, and draw them above", n)
	}
}
