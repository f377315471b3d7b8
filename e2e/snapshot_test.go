package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// known is the intelligence of a node without what changes as time passes.
func known(t *testing.T, n *node) []model.Indicator {
	t.Helper()
	list, err := n.api.Intel(t.Context(), api.IntelQuery{Limit: 1000})
	if err != nil {
		t.Fatalf("ask for the intelligence: %v", err)
	}
	return timeless(list)
}

// timeless leaves out what changes as time passes.
func timeless(list []model.Indicator) []model.Indicator {
	for i := range list {
		list[i].Confidence, list[i].AsOf, list[i].Terms = 0, time.Time{}, nil
	}
	slices.SortFunc(list, func(a, b model.Indicator) int { return cmp.Compare(a.Entity.String(), b.Entity.String()) })
	return list
}

// TestSnapshot: what a node knows after a start does not depend on whether it
// found its snapshot, an old one, a damaged one, or none.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.up(t)
	a, b := l.attacker(t), l.attacker(t)
	file := filepath.Join(n.data, "intel.snapshot")
	attack := func(a *attacker) {
		t.Helper()
		if _, err := a.attackWeb("", "80"); err != nil {
			t.Fatal(err)
		}
		n.awaitSignals(t, a.ip, "secrets.version-control") // by the last of the requests
	}
	again := func(how, log string) []model.Indicator {
		t.Helper()
		n.start(t)
		n.awaitReady(t)
		if said := n.err.String(); !regexp.MustCompile(log).MatchString(said) {
			t.Errorf("%s: the log does not say %q:\n%s", how, log, tail(said))
		}
		after := known(t, n)
		n.stop(t)
		return after
	}
	attack(a)
	n.stop(t)
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n.start(t)
	n.awaitReady(t)
	attack(b)
	st := n.status(t)
	n.kill()
	n.gone(t, st.PID, st.Decoys.PID)
	want := again("killed, with the snapshot of before", `snapshot=[1-9]\d* signals=[1-9]`)
	if len(want) < 3 {
		t.Fatalf("it knows %d indicators", len(want))
	}
	same := func(how, log string) {
		t.Helper()
		if got := again(how, log); !reflect.DeepEqual(want, got) {
			t.Errorf("%s: %d indicators, want %d; the first is %+v, want %+v", how, len(got), len(want), got[:1], want[:1])
		}
	}
	same("with the newest snapshot", `snapshot=[1-9]\d* signals=0`)
	write(t, file, string(first))
	same("with an old snapshot", `snapshot=[1-9]\d* signals=[1-9]`)
	first[len(first)/2] ^= 1
	write(t, file, string(first))
	same("with a damaged snapshot", "everything is folded again.*checksum")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	same("without a snapshot", `snapshot=0 signals=[1-9]`)
}
