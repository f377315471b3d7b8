package decide

import (
	"fmt"
	"slices"
	"time"

	"bartizan/internal/model"
)

// maxWatch is the longest window Watch looks at.
const maxWatch = time.Hour

// Watch compares the good traffic before decisions came into force with the
// good traffic after, and takes them back when it has fallen. It is fed with
// samples; it has no clock and is used by one goroutine.
type Watch struct {
	conf    Rollback
	samples []sample // oldest first
}

type sample struct {
	at   time.Time
	good int
}

// maxSamples bounds memory: one a second for two windows of an hour.
const maxSamples = 2 * 3600

// NewWatch uses the rollback settings of a policy.
func NewWatch(c Rollback) *Watch { return &Watch{conf: c} }

// Sample records how many good events (connections of known-good clients,
// requests answered) there were since the sample before. Samples must come at
// equal distances; one that is not later than the last restarts the record,
// because the clock was set back.
func (w *Watch) Sample(at time.Time, good int) {
	if n := len(w.samples); n > 0 && !at.After(w.samples[n-1].at) {
		w.samples = w.samples[:0]
	}
	old := at.Add(-w.conf.Before.D() - w.conf.Within.D() - time.Minute)
	cut := 0
	for cut < len(w.samples) && (w.samples[cut].at.Before(old) || len(w.samples)-cut >= maxSamples) {
		cut++
	}
	w.samples = append(slices.Delete(w.samples, 0, cut), sample{at, max(good, 0)})
}

// minSamples is the least number of samples on either side of a decision.
const minSamples = 3

// Check returns the entries that take back the decisions after which good
// traffic fell: all that came into force within the window, because which of
// them did it cannot be told. Drills are left alone; they end by themselves.
func (w *Watch) Check(now time.Time, led *Ledger) []model.Entry {
	led.mu.RLock()
	defer led.mu.RUnlock()
	type one struct {
		id model.ULID
		at time.Time
	}
	var young []one
	first := now
	for _, b := range led.budget[0].recent {
		it := led.active[b.id]
		if it == nil || !it.d.Lease.IsZero() || b.at.After(now) || now.Sub(b.at) > w.conf.Within.D() || !now.Before(it.d.Until) {
			continue
		}
		young = append(young, one{b.id, b.at})
		if b.at.Before(first) {
			first = b.at
		}
	}
	if len(young) == 0 {
		return nil
	}
	// Against the time before the first of them: the second would otherwise be
	// compared with what the first had spoilt.
	before, n := w.rate(first.Add(-w.conf.Before.D()), first)
	if n < minSamples || before*float64(n) < float64(w.conf.MinGood) {
		return nil
	}
	var out []model.Entry
	for _, y := range young {
		after, m := w.rate(y.at, now)
		if m < minSamples || after >= before*(1-w.conf.Drop) {
			continue
		}
		out = append(out, model.Entry{Change: model.ChangeRemove, Time: now.UTC(), ID: y.id, By: "rollback",
			Reason: fmt.Sprintf("rollback: good traffic fell by %.0f %% after it", 100*(1-after/before))})
	}
	return out
}

// rate is the mean of the samples after from and up to until.
func (w *Watch) rate(from, until time.Time) (mean float64, n int) {
	sum := 0
	for _, s := range w.samples {
		if s.at.After(from) && !s.at.After(until) {
			sum += s.good
			n++
		}
	}
	if n == 0 {
		return 0, 0
	}
	return float64(sum) / float64(n), n
}
