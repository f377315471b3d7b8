package dns

import (
	"math"
	"math/bits"
	"net/netip"
	"slices"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// flux counts the networks of a domain's addresses.
type flux struct {
	day  window
	nets *[16]uint64 // linear counting over 1,024 bits
	told bool
}

// longTTL is a time to live that whoever changes addresses all the time does not give.
const longTTL = 3600

func (f *flux) count() int {
	free := 1024
	for _, w := range f.nets {
		free -= bits.OnesCount64(w)
	}
	return int(math.Round(1024 * math.Log(1024/max(float64(free), 0.5))))
}

// flux counts the addresses in an answer. A domain of one's own moves within a
// provider; only one that lives on other people's machines is everywhere.
func (d *names) flux(z *zone, q *observe.Query, zoneName string) {
	f := &z.flux
	if len(q.Answers) == 0 || q.Type != "A" && q.Type != "" || q.TTL > longTTL {
		return
	}
	if f.day.open(q.Time, day) {
		f.nets, f.told = nil, false
	}
	if f.told || under(d.known.shared, q.Name) {
		return
	}
	grown := false
	for _, a := range q.Answers {
		ip, err := netip.ParseAddr(a)
		if err != nil || !ip.Unmap().Is4() || ip.IsPrivate() {
			if err != nil && under(d.known.shared, a) {
				return // an alias of something at a shared network
			}
			continue
		}
		b := ip.Unmap().As4()
		h := mix(uint64(b[0])<<8 | uint64(b[1]) ^ d.seed)
		if f.nets == nil {
			f.nets = &[16]uint64{}
		}
		w, bit := &f.nets[h>>6%16], uint64(1)<<(h&63)
		grown = grown || *w&bit == 0
		*w |= bit
	}
	if grown && f.count() >= d.conf.Flux {
		f.told = true
		d.wait(waiting{kind: aFlux, zone: zoneName, query: *q})
	}
}

// sayFlux is called when it is known who else asks: what many use is a service.
func (d *names) sayFlux(w *waiting) bool {
	if d.popular(w.zone) {
		return false
	}
	n := d.conf.Flux
	if z := d.zones.Peek(w.zone); z != nil && z.flux.nets != nil {
		n = z.flux.count()
	}
	d.say(&w.query, "dns.fast-flux", model.ClassControl, []string{"T1568.001"}, w.zone)
	d.sig.Confidence = 0.6
	d.title("%s has addresses of %d networks within a day", w.zone, n)
	return true
}

// pool tells that a host looks up a mining pool, once per host and domain.
func (d *names) pool(c *client, q *observe.Query, zoneName string, emit detect.QueryEmit) {
	if slices.Contains(c.pools, zoneName) || len(c.pools) >= 8 {
		return
	}
	c.pools = append(c.pools, zoneName)
	d.say(q, "miner.domain", model.ClassControl, []string{"T1496"}, zoneName)
	d.sig.Confidence = 0.8
	d.title("looked up %s, as miners do", q.Name)
	emit(&d.sig, q.Record)
}
