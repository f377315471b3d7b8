package traffic

import (
	"fmt"
	"math"
	"math/bits"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// FloodConfig says what denial of service looks like in flow records.
type FloodConfig struct {
	// Sources within five minutes to one host are a flood, when they are Growth
	// times as many as the host had in its busiest five minutes of before, and
	// most of what they send carries nothing.
	Sources int     `yaml:"sources"`
	Growth  float64 `yaml:"growth"`
	// Reflectors is how many services that amplify answer one host, unasked.
	Reflectors int `yaml:"reflectors"`
	// Packets of nothing in one record are a flood by themselves.
	Packets uint64 `yaml:"packets"`
}

func (c FloodConfig) check() error {
	if c.Sources < 64 || c.Sources > 4*mapBits || !(c.Growth > 1) || c.Reflectors < 8 || c.Reflectors > mapBits || c.Packets < 1000 {
		return fmt.Errorf("flood.sources must lie between 64 and %d, growth above 1, reflectors between 8 and %d, packets at least 1000", 4*mapBits, mapBits)
	}
	return nil
}

const (
	slice   = 5 * minute
	mapBits = 2048
)

// target is what is remembered about an internal host that others talk to.
type target struct {
	host             observe.Addr
	slice            int64 // five minutes since 1970
	flows, empty     uint32
	busiest          float64 // most distinct sources in a slice before the last; falls by 10 % with each
	last             float64 // of the slice before this one: a flood may begin at its end
	slices           int
	from, reflectors *bitmap // made when there is much to count
	octets           uint64  // from reflectors
	told             int64   // slice of the last flood told
}

// bitmap counts distinct things by linear counting (Whang 1990): 2,048 bits tell
// up to some 8,000 apart well enough.
type bitmap [mapBits / 64]uint64

func (b *bitmap) add(h uint64) { b[h>>6%uint64(len(b))] |= 1 << (h & 63) }

func (b *bitmap) count() float64 {
	free := mapBits
	for _, w := range b {
		free -= bits.OnesCount64(w)
	}
	return mapBits * math.Log(mapBits/max(float64(free), 0.5))
}

const crowd = 64 // flows in a slice from which on sources are told apart

// inbound counts who talks to an internal host.
func (d *traffic) inbound(f *observe.Flow, emit detect.FlowEmit) {
	t := d.target(f)
	if t == nil {
		return
	}
	if t.flows++; t.flows < crowd {
		return
	}
	if f.Action == observe.FlowReject || f.Bytes <= 64*f.Packets {
		t.empty++
	}
	if t.from == nil {
		t.from = &bitmap{}
	}
	t.from.add(d.hash(&f.Src))
	// Counting the bits costs more than setting one.
	if t.flows%256 != 0 || t.told == t.slice || t.slices == 0 || t.empty < t.flows/2 {
		return
	}
	n := t.from.count()
	if n < float64(d.conf.Flood.Sources) || n < d.conf.Flood.Growth*t.busiest {
		return
	}
	t.told = t.slice
	d.flood(f, "flood.sources", "T1498.001", fmt.Sprintf("%.0f sources within five minutes to %s, %.0f at most before, most of them without content", n, f.Dst.Netip(), t.busiest), int(n), emit)
}

// target is the record of the flow's slice; nil for one that is over. Of two
// hosts that share a place the one seen last stays: places are many times as
// many as hosts that are flooded, and looking one up costs a memory access.
func (d *traffic) target(f *observe.Flow) *target {
	t := &d.targets[d.hash(&f.Dst)&uint64(len(d.targets)-1)]
	at := f.Start / slice
	if t.host != f.Dst {
		*t = target{host: f.Dst, slice: at}
		return t
	}
	if at == t.slice {
		return t
	}
	fade := 0.9
	if at < t.slice {
		if t.slice-at < hour/slice {
			return nil
		}
		fade = 1 // an older log follows a newer one: time goes on from there
	}
	n := float64(t.flows)
	if t.from != nil {
		n = t.from.count()
	}
	*t = target{host: t.host, slice: at, last: n, busiest: max(t.last, t.busiest*fade), slices: t.slices + 1, told: t.told}
	return t
}

// amplifier reports whether a UDP service answers a small question with a
// large answer, and from which size per packet on an answer is one of those
// (ordinary time and name answers are smaller).
func amplifier(port uint16) (least uint64, ok bool) {
	switch port {
	case 53:
		return 800, true
	case 123:
		return 200, true
	case 17, 19, 69, 111, 137, 161, 389, 520, 1434, 1900, 3283, 3702, 5093, 5353, 5683, 10001, 11211, 27015, 37810:
		return 200, true
	}
	return 0, false
}

// reflected counts answers of services that amplify.
func (d *traffic) reflected(f *observe.Flow, emit detect.FlowEmit) {
	if f.Proto != observe.ProtoUDP {
		return
	}
	least, ok := amplifier(f.SrcPort)
	if !ok || f.Packets == 0 || f.Bytes/f.Packets < least {
		return
	}
	t := d.target(f)
	if t == nil {
		return
	}
	if t.reflectors == nil {
		t.reflectors = &bitmap{}
	}
	t.reflectors.add(d.hash(&f.Src))
	t.octets += f.Bytes
	if t.told == t.slice || t.octets < 1<<20 {
		return
	}
	if n := t.reflectors.count(); n >= float64(d.conf.Flood.Reflectors) {
		t.told = t.slice
		d.flood(f, "flood.amplification", "T1498.002", fmt.Sprintf("%.0f services answer %s with %s that it did not ask for", n, f.Dst.Netip(), size(t.octets)), int(n), emit)
	}
}

// blast is one record of an internal host that floods somebody outside.
func (d *traffic) blast(f *observe.Flow, emit detect.FlowEmit) {
	if f.Packets < d.conf.Flood.Packets || f.Bytes > 120*f.Packets || f.End-f.Start > 2*slice {
		return
	}
	d.flood(f, "flood.outbound", "T1498.001", fmt.Sprintf("sent %d packets of nearly nothing to %s", f.Packets, endpoint(f)), 1, emit)
}

func (d *traffic) flood(f *observe.Flow, kind, tech, title string, n int, emit detect.FlowEmit) {
	d.say(f, kind, model.ClassFlood, []string{tech}, title)
	d.sig.Count, d.sig.Spoofable, d.sig.Severity, d.sig.Confidence = max(n, 1), true, model.High, 0.8
	emit(&d.sig, f)
}
