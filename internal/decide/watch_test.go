package decide

import (
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/model"
)

func watched(t *testing.T, good func(at time.Duration) int, change func(*world)) (*world, []model.Entry) {
	t.Helper()
	w := newWorld(t, enforcing(t))
	watch := NewWatch(Rollback{Drop: 0.3, Within: conf.Duration(5 * time.Minute), Before: conf.Duration(10 * time.Minute), MinGood: 50})
	var taken []model.Entry
	for s := -10 * time.Minute; s <= 10*time.Minute; s += 10 * time.Second {
		watch.Sample(at(s), good(s))
		if s == 0 {
			w.decide(t0, proof(t, attacker, t0))
			if change != nil {
				change(w)
			}
		}
		if e := watch.Check(at(s), w.led); len(e) > 0 {
			taken = append(taken, e...)
			w.apply(e...)
		}
	}
	return w, taken
}

func TestRollback(t *testing.T) {
	fall := func(s time.Duration) int {
		if s > 0 {
			return 60
		}
		return 100
	}
	w, taken := watched(t, fall, nil)
	if len(taken) != 1 || taken[0].Change != model.ChangeRemove || !strings.HasPrefix(taken[0].Reason, "rollback: good traffic fell by 40 %") {
		t.Fatalf("%+v", taken)
	}
	d := w.led.List(Filter{})[0]
	if d.State != model.StateRemoved || !strings.HasPrefix(d.EndReason, "rollback: good") || d.Ended.Sub(t0) > time.Minute {
		t.Fatalf("%+v", d)
	}
	// Not again at once.
	if e := w.evaluate(at(11*time.Minute), proof(t, attacker, at(11*time.Minute))); len(e) != 0 {
		t.Fatalf("blocked again: %+v", e)
	}
	// All that came together goes together.
	if _, taken := watched(t, fall, func(w *world) { w.decide(at(5*time.Second), proof(t, "185.1.1.1", t0)) }); len(taken) != 2 {
		t.Fatalf("%d taken back", len(taken))
	}
}

func TestNoRollback(t *testing.T) {
	for name, good := range map[string]func(time.Duration) int{
		"steady":           func(time.Duration) int { return 100 },
		"a little less":    func(s time.Duration) int { return 100 - 25*int(min(max(s, 0), 1)) },
		"nothing to judge": func(s time.Duration) int { return 0 },
		"falls much later": func(s time.Duration) int {
			if s > 6*time.Minute {
				return 0
			}
			return 100
		},
		"fell before": func(s time.Duration) int {
			if s > -9*time.Minute {
				return 40
			}
			return 60
		},
	} {
		if _, taken := watched(t, good, nil); len(taken) != 0 {
			t.Errorf("%s: %+v", name, taken)
		}
	}
	// Dry runs do nothing, so they cannot have done it.
	if _, taken := watched(t, func(s time.Duration) int { return 100 * int(1-min(max(s, 0), 1)) }, func(w *world) {
		for id, it := range w.led.active {
			e, err := Remove(t0, id, "x", "", w.led)
			if err != nil {
				t.Fatal(err)
			}
			_ = it
			w.apply(e)
		}
	}); len(taken) != 0 {
		t.Fatalf("%+v", taken)
	}
}

func TestWatchSurvivesClockJump(t *testing.T) {
	w := NewWatch(DefaultPolicy().Rollback)
	for i := range 100_000 {
		w.Sample(at(time.Duration(i)*time.Second), 1)
	}
	if len(w.samples) > maxSamples {
		t.Fatalf("%d samples", len(w.samples))
	}
	w.Sample(t0, 1)
	if len(w.samples) != 1 {
		t.Fatal("samples of a future that did not happen are kept")
	}
}
