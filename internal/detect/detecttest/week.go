package detecttest

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"

	"bartizan/internal/observe"
)

// Week is seeded traffic of a network over some days as flow records: what
// ordinary hosts do, and attacks in it. It knows nothing about the detectors;
// what it draws from is what the programs in question do (periods, ports,
// sizes, who talks to whom).
type Week struct {
	Seed    uint64
	Days    int
	Hosts   int // workstations; there is a server for every six
	Records int // of ordinary traffic, about; browsing fills up to it
	Attacks int // of every kind
	// How the exporter writes.
	Longest int64 // seconds that one record covers at most; 0: one record per connection
	OneWay  bool  // only what goes out of internal hosts, and what comes from outside unasked
	NoFlags bool
}

// Attack is one of them.
type Attack struct {
	Kind   string     // "scan.fast", "beacon", …
	Actor  netip.Addr // who does it
	Target netip.Addr // whom it is done to, where that is one
	Note   string
}

// Traffic is what a week makes: records in order of their beginning, and for
// each the attack it belongs to, or -1.
type Traffic struct {
	Flows   []observe.Flow
	Of      []int32
	Attacks []Attack
}

// WeekStart is when it begins, a Monday, Unix seconds.
const WeekStart = 1_772_409_600

// Make draws the traffic.
func (w Week) Make() *Traffic {
	g := &maker{Week: w, r: rand.New(rand.NewPCG(w.Seed, 7)), end: WeekStart + int64(w.Days)*86400, label: -1}
	g.people()
	g.ordinary()
	for k := range w.Attacks {
		g.attacks(k)
	}
	order := make([]int32, len(g.out.Flows))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return int(g.out.Flows[a].Start - g.out.Flows[b].Start) })
	sorted := &Traffic{Flows: make([]observe.Flow, len(order)), Of: make([]int32, len(order)), Attacks: g.out.Attacks}
	for i, k := range order {
		sorted.Flows[i], sorted.Of[i] = g.out.Flows[k], g.out.Of[k]
		sorted.Flows[i].Record = uint64(i)
	}
	return sorted
}

type maker struct {
	Week
	r        *rand.Rand
	end      int64
	out      Traffic
	label    int32
	used     map[uint32]bool
	stations []uint32
	servers  []uint32
	sites    []uint32 // what people look at, popular first
	vendors  [][]uint32
	infected int // servers and stations taken by attacks
}

// people draws who is there.
func (g *maker) people() {
	g.used = map[uint32]bool{}
	for i := range g.Hosts {
		g.stations = append(g.stations, 10<<24|1<<16|uint32(i/250)<<8|uint32(2+i%250))
	}
	for i := range max(g.Hosts/6, 8) {
		g.servers = append(g.servers, 10<<24|2<<16|uint32(i/250)<<8|uint32(2+i%250))
	}
	for range 3000 {
		g.sites = append(g.sites, g.outside())
	}
	for i := range 10 {
		var v []uint32
		for range 1 + i%4 {
			v = append(v, g.outside())
		}
		g.vendors = append(g.vendors, v)
	}
}

// outside draws an address that nobody has yet.
func (g *maker) outside() uint32 {
	for {
		a := g.r.Uint32()
		top := a >> 24
		if top == 0 || top == 10 || top == 127 || top >= 224 || top == 100 || top == 169 || top == 172 || top == 192 || g.used[a] {
			continue
		}
		g.used[a] = true
		return a
	}
}

func (g *maker) port() uint16 { return uint16(32768 + g.r.IntN(28000)) }

// about is a size or time around a typical one (log-normal).
func (g *maker) about(median, spread float64) float64 {
	return median * math.Exp(g.r.NormFloat64()*spread)
}

func (g *maker) between(a, b int64) int64 { return a + g.r.Int64N(max(b-a, 1)) }

// talk is a conversation.
type talk struct {
	src, dst     uint32
	sport, dport uint16
	udp          bool
	at, lasts    int64
	up, down     float64 // bytes
	each         float64 // bytes per packet; 0: 700
}

// talk writes a conversation as an exporter does: both directions, cut into
// records, with the flags of each.
func (g *maker) talk(t talk) {
	if t.sport == 0 {
		t.sport = g.port()
	}
	longest := g.Longest
	if longest == 0 {
		longest = 1 << 40
	}
	parts := t.lasts/longest + 1
	if t.each == 0 {
		t.each = 700
	}
	for i := range parts {
		at := t.at + i*longest
		if at >= g.end {
			return
		}
		last := i == parts-1
		until := min(at+longest-1, t.at+t.lasts)
		share := 1 / float64(parts)
		f := observe.Flow{Src: observe.Addr4(t.src), Dst: observe.Addr4(t.dst), SrcPort: t.sport, DstPort: t.dport, Start: at, End: max(until, at), Action: observe.FlowAccept}
		fill := func(bytes float64, answer bool) {
			f.Proto = observe.ProtoUDP
			f.Bytes = uint64(max(bytes*share, 46))
			f.Packets = max(1, uint64(float64(f.Bytes)/t.each))
			if t.udp {
				return
			}
			f.Proto = observe.ProtoTCP
			f.Packets = max(f.Packets, 3)
			if i == 0 && last {
				f.Packets = max(f.Packets, 6)
			}
			f.Bytes = max(f.Bytes, f.Packets*52)
			if !g.NoFlags {
				f.HasFlags, f.Flags = true, 0
				if i == 0 {
					f.Flags |= observe.FlagSYN
					if answer {
						f.Flags |= observe.FlagACK
					}
				}
				if last {
					f.Flags |= observe.FlagFIN
				}
			}
		}
		fill(t.up, false)
		g.add(f)
		if g.OneWay && t.src>>24 == 10 && t.dst>>24 != 10 {
			continue
		}
		f.Src, f.Dst, f.SrcPort, f.DstPort = f.Dst, f.Src, f.DstPort, f.SrcPort
		fill(t.down, true)
		g.add(f)
	}
}

// syn is an attempt that leads nowhere.
func (g *maker) syn(src, dst uint32, port uint16, at int64) {
	f := observe.Flow{Src: observe.Addr4(src), Dst: observe.Addr4(dst), SrcPort: g.port(), DstPort: port, Proto: observe.ProtoTCP, Start: at, End: at, Packets: 1, Bytes: 44}
	if f.Action = observe.FlowReject; g.r.IntN(3) == 0 {
		f.Action = observe.FlowAccept
	}
	if !g.NoFlags {
		f.HasFlags, f.Flags = true, observe.FlagSYN
	}
	g.add(f)
}

func (g *maker) add(f observe.Flow) {
	if f.Start < WeekStart || f.Start >= g.end {
		return
	}
	g.out.Flows = append(g.out.Flows, f)
	g.out.Of = append(g.out.Of, g.label)
}

// every calls f at regular moments with some jitter, from start to the end.
func (g *maker) every(start, period int64, jitter float64, f func(at int64)) {
	for at := start; at < g.end; {
		f(at)
		at += max(1, int64(float64(period)*(1+jitter*(2*g.r.Float64()-1))))
	}
}

// office calls f with the beginning and end of each working day of somebody.
func (g *maker) office(f func(begin, end int64)) {
	for day := range g.Days {
		if day%7 >= 5 && g.r.IntN(10) > 0 || g.r.IntN(20) == 0 {
			continue
		}
		begin := WeekStart + int64(day)*86400 + g.between(7*3600, 10*3600)
		f(begin, begin+g.between(6*3600, 10*3600))
	}
}

// zipf picks one of n, the first ones much more often.
func (g *maker) zipf(n int) int {
	return min(int(math.Exp(g.r.Float64()*math.Log(float64(n)))), n-1)
}
