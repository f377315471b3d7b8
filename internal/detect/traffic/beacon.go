package traffic

import (
	"fmt"
	"slices"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// BeaconConfig says what a beacon is.
type BeaconConfig struct {
	// Beats is how many connections it needs.
	Beats int `yaml:"beats"`
	// Within is the share of the pauses that must lie between half and one and
	// a half of their median. A program that waits for its period ± 40 % has
	// all of them there; of connections at random moments 35 % are.
	Within float64 `yaml:"within"`
	// Sizes is the share of the connections whose size must lie between half and
	// twice their median.
	Sizes float64 `yaml:"sizes"`
	// Lasts is how long it must go on.
	Lasts time.Duration `yaml:"lasts"`
	// Largest is the median size, in bytes, from which on it is a transfer.
	Largest int64 `yaml:"largest"`
}

func (c BeaconConfig) check() error {
	if c.Beats < 8 || c.Beats > maxBeats || !(c.Within > 0.4 && c.Within <= 1) || !(c.Sizes >= 0 && c.Sizes <= 1) || c.Lasts <= 0 || c.Largest <= 0 {
		return fmt.Errorf("beacon.beats must lie between 8 and %d, within between 0.4 and 1, sizes between 0 and 1, lasts and largest must be positive", maxBeats)
	}
	return nil
}

const (
	maxBeats = 64
	// Connections that begin so close together are one beat: programs open
	// several at once.
	sameBeat = 3
)

// beats are the newest moments at which connections began, oldest first.
type beats struct {
	at    []uint32 // seconds
	bytes []uint32
	fresh int // since the last look
}

func clamp32(v uint64) uint32 { return uint32(min(v, 1<<32-1)) }

func (b *beats) add(t int64, bytes uint64) {
	at := uint32(max(0, min(t, 1<<32-1)))
	n := len(b.at)
	i := n
	for i > 0 && b.at[i-1] > at { // nearly always at the end already
		i--
	}
	for _, k := range [2]int{i - 1, i} {
		if k >= 0 && k < n && max(b.at[k], at)-min(b.at[k], at) <= sameBeat {
			b.bytes[k] = clamp32(uint64(b.bytes[k]) + bytes)
			return
		}
	}
	if n == maxBeats {
		if i == 0 {
			return
		}
		b.at, b.bytes = slices.Delete(b.at, 0, 1), slices.Delete(b.bytes, 0, 1)
		i--
	}
	b.at, b.bytes = slices.Insert(b.at, i, at), slices.Insert(b.bytes, i, clamp32(bytes))
	b.fresh++
}

// grow adds to the connection that began last before t.
func (b *beats) grow(t int64, bytes uint64) {
	for i := len(b.at) - 1; i >= 0; i-- {
		if int64(b.at[i]) <= t {
			b.bytes[i] = clamp32(uint64(b.bytes[i]) + bytes)
			return
		}
	}
}

// rhythm is what the beats say.
type rhythm struct {
	period        uint32  // median of the pauses
	within, sizes float64 // see BeaconConfig
	size          uint32  // median
	jitter        float64 // median distance from the period, as a part of it
}

// rhythm needs two beats.
func (b *beats) rhythm() (r rhythm) {
	var buf, sizes [maxBeats]uint32
	gaps := buf[:0]
	for i := 1; i < len(b.at); i++ {
		gaps = append(gaps, b.at[i]-b.at[i-1])
	}
	slices.Sort(gaps)
	r.period = gaps[len(gaps)/2]
	in := 0
	for i, g := range gaps {
		if g >= r.period/2 && uint64(g) <= uint64(r.period)*3/2 {
			in++
		}
		gaps[i] = max(g, r.period) - min(g, r.period)
	}
	r.within = float64(in) / float64(len(gaps))
	slices.Sort(gaps)
	r.jitter = float64(gaps[len(gaps)/2]) / float64(max(r.period, 1))
	all := append(sizes[:0], b.bytes...)
	slices.Sort(all)
	r.size = all[len(all)/2]
	same := 0
	for _, v := range all {
		if v >= r.size/2 && uint64(v) <= uint64(r.size)*2 {
			same++
		}
	}
	r.sizes = float64(same) / float64(len(all))
	return r
}

// beacon looks at a pair once more when it has some more beats.
func (d *traffic) beacon(k pairKey, p *pair, f *observe.Flow) {
	c := &d.conf.Beacon
	n := len(p.beats.at)
	if p.told&toldBeacon != 0 || n < c.Beats || p.beats.fresh < c.Beats/4 || int64(p.beats.at[n-1])-p.first < int64(c.Lasts/time.Second) {
		return
	}
	p.beats.fresh = 0
	r := p.beats.rhythm()
	if r.period < sameBeat || r.within < c.Within || r.sizes < c.Sizes || int64(r.size) > c.Largest {
		return
	}
	p.told |= toldBeacon
	d.wait(waiting{key: k, flow: *f, kind: toldBeacon, rhythm: r, beats: n})
}

var techBeacon = []string{"T1071", "T1029"}

// sayBeacon is called when it is known who else uses the service.
func (d *traffic) sayBeacon(w *waiting) {
	every := time.Duration(w.rhythm.period) * time.Second
	d.say(&w.flow, "beacon.flow", model.ClassControl, techBeacon,
		fmt.Sprintf("calls %s every %s ± %.0f %%, %d bytes each", endpoint(&w.flow), every, 100*w.rhythm.jitter, w.rhythm.size))
	d.sig.Count = w.beats
	d.sig.Confidence = 0.7
	if w.rhythm.within > 0.95 && w.rhythm.sizes > 0.95 {
		d.sig.Confidence = 0.8
	}
	if d.popular(w.key.service) {
		d.sig.Rule, d.sig.Severity, d.sig.Confidence = "beacon.flow.popular", model.Info, 0.1
		d.sig.Title = "as many other hosts do, " + d.sig.Title
	}
}
