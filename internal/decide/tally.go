package decide

import (
	"net/netip"
	"time"

	"bartizan/internal/model"
)

// tally counts decisions in force, for the budget.
type tally struct {
	active int
	per    map[netip.Prefix]int // by IPv4 /24 and IPv6 /48
	recent []begun              // in the order of the ledger
}

// begun is a decision that came into force lately.
type begun struct {
	at     time.Time
	sensor string // the only one whose word counted, "" when there were more or none
	id     model.ULID
}

// maxRecent bounds the memory for the rate; a budget above it has no rate.
const maxRecent = 1 << 16

func newTally() tally { return tally{per: map[netip.Prefix]int{}} }

// neighbourhood is the prefix in which crowding is counted.
func neighbourhood(p netip.Prefix) netip.Prefix {
	bits := 48
	if p.Addr().Is4() {
		bits = 24
	}
	return netip.PrefixFrom(p.Addr(), min(bits, p.Bits())).Masked()
}

func (t *tally) begin(it *item, at time.Time) {
	t.active++
	if p, ok := it.d.Target.Prefix(); ok {
		t.per[neighbourhood(p)]++
	}
	// Far enough back for the rate and for Watch.
	cut := 0
	for cut < len(t.recent) && (len(t.recent)-cut >= maxRecent || at.Sub(t.recent[cut].at) > maxWatch) {
		cut++
	}
	t.recent = append(t.recent[cut:], begun{at, soleSensor(&it.d), it.d.ID})
}

func (t *tally) end(it *item) {
	t.active--
	p, ok := it.d.Target.Prefix()
	if !ok {
		return
	}
	n := neighbourhood(p)
	if t.per[n]--; t.per[n] <= 0 {
		delete(t.per, n)
	}
}

// since counts what began after a moment, of one sensor's word alone or all.
func (t *tally) since(after time.Time, sensor string) (n int) {
	for i := len(t.recent) - 1; i >= 0; i-- {
		b := &t.recent[i]
		if b.at.After(after) {
			if sensor == "" || b.sensor == sensor {
				n++
			}
		} else if after.Sub(b.at) > time.Minute {
			break // entries are in order but for small differences of clocks
		}
	}
	return n
}

func soleSensor(d *model.Decision) string {
	if len(d.Because.Sensors) == 1 {
		return d.Because.Sensors[0]
	}
	return ""
}
