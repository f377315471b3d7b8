package detecttest

import (
	"fmt"
	"net/netip"

	"bartizan/internal/observe"
)

// FlowKinds are the kinds of attack a Week has.
func FlowKinds() []string {
	return []string{"scan.fast", "scan.slow", "scan.inside", "beacon", "exfil", "miner", "lateral", "flood", "amplification"}
}

// attack begins one; what is written until the next call belongs to it.
func (g *maker) attack(kind string, actor, target uint32, note string, args ...any) {
	g.out.Attacks = append(g.out.Attacks, Attack{Kind: kind, Actor: ip(actor), Target: ip(target), Note: fmt.Sprintf(note, args...)})
	g.label = int32(len(g.out.Attacks) - 1)
}

func ip(a uint32) netip.Addr { return observe.Addr4(a).Netip() }

// victim is an ordinary host that nothing else was done to yet.
func (g *maker) victim() uint32 {
	g.infected++
	k := g.infected * 7 % (len(g.stations) + len(g.servers) - 8)
	if k < len(g.stations) {
		return g.stations[k]
	}
	return g.servers[8+k-len(g.stations)]
}

// attacks draws the k-th of every kind.
func (g *maker) attacks(k int) {
	g.scans(k)
	g.beacons(k)
	g.exfil(k)
	g.miner(k)
	g.lateral(k)
	g.floods(k)
	g.label = -1
}

func (g *maker) target(i int) uint32 { return 10<<24 | 2<<16 | uint32(i)&0xffff }

func (g *maker) scans(k int) {
	from := g.outside()
	n := 40 + g.r.IntN(400)
	at := g.between(WeekStart, g.end-7200)
	g.attack("scan.fast", from, 0, "%d targets", n)
	for i := range n {
		if k%2 == 0 {
			g.syn(from, g.target(i*3), []uint16{22, 23, 445, 3389, 6379}[k/2%5], at)
		} else {
			g.syn(from, g.target(k), uint16(1+i*17), at)
		}
		at += int64(g.r.IntN(3))
	}
	from = g.outside()
	gap := int64(60 << (k % 4)) // one try per 1 to 8 minutes, ± half
	n = int(min(120, 80_000/gap))
	g.attack("scan.slow", from, 0, "%d targets, one per %d s", n, gap)
	at = g.between(WeekStart, g.end-int64(n)*gap)
	for i := range n {
		if k%2 == 0 {
			g.syn(from, g.target(1000+i*5), 22, at)
		} else {
			g.syn(from, g.target(1000+k), uint16(1+i*31), at)
		}
		at += g.between(gap/2, gap*3/2)
	}
	inside := g.victim()
	g.attack("scan.inside", inside, 0, "of its own network")
	at = g.between(WeekStart, g.end-7200)
	for i := range 60 + g.r.IntN(200) {
		g.syn(inside, g.target(i), 445, at)
		at += int64(g.r.IntN(5))
	}
}

func (g *maker) beacons(k int) {
	h, c2 := g.victim(), g.outside()
	period := []int64{30, 60, 300, 600, 1800, 3600, 7200, 120, 900}[k%9]
	jitter := float64(k%5) / 10
	style := k % 3
	port := []uint16{443, 80, 8443, 8080, 53, 50050, 443}[k%7]
	beats := 30 + g.r.IntN(300)
	at := g.between(WeekStart, max(WeekStart+1, g.end-int64(beats)*period))
	g.attack("beacon", h, c2, "every %d s ± %.0f %%, style %d, port %d, %d beats", period, jitter*100, style, port, beats)
	typical := g.about(900, 0.6)
	for range beats {
		if g.r.IntN(25) > 0 { // some are lost
			up := typical * (0.8 + 0.4*g.r.Float64())
			if g.r.IntN(20) == 0 {
				up *= 20 // a task's result
			}
			g.talk(talk{src: h, dst: c2, dport: port, at: at, lasts: g.between(0, 3), up: up, down: g.about(700, 0.3)})
		}
		pause := float64(period)
		switch style {
		case 0: // ± jitter
			pause *= 1 + jitter*(2*g.r.Float64()-1)
		case 1: // up to jitter less
			pause *= 1 - jitter*g.r.Float64()
		case 2: // normal
			pause *= max(0.2, 1+jitter/2*g.r.NormFloat64())
		}
		at += max(1, int64(pause))
	}
}

func (g *maker) exfil(k int) {
	h, drop := g.victim(), g.outside()
	amount := []float64{2e8, 5e8, 1e9, 3e9, 4e8, 1e10}[k%6]
	lasts := []int64{300, 1800, 7200, 600, 36000, 3600}[k%6]
	parts := []int{1, 1, 4, 20, 60, 1}[k%6]
	at := g.between(WeekStart+3600, g.end-lasts-3600)
	g.attack("exfil", h, drop, "%.0f MB in %d s, %d connections", amount/1e6, lasts, parts)
	for range parts {
		g.talk(talk{src: h, dst: drop, dport: []uint16{443, 22, 21, 8443}[k%4], at: at, lasts: lasts / int64(parts), up: amount / float64(parts), down: amount / float64(parts) / 60, each: 1400})
		at += lasts / int64(parts)
	}
}

func (g *maker) miner(k int) {
	h, pool := g.victim(), g.outside()
	port := []uint16{3333, 14444, 4444, 5555, 45700, 9999, 10128, 24017, 7777}[k%9]
	at := g.between(WeekStart, g.end-10*3600)
	g.attack("miner", h, pool, "port %d", port)
	until := at + g.between(4*3600, 10*3600)
	for at < until {
		lasts := g.between(3600, 5*3600)
		if k%4 == 3 { // a pool that hangs up often
			lasts = g.between(100, 400)
		}
		if port == 24017 {
			lasts = 5 * 3600
		}
		g.talk(talk{src: h, dst: pool, dport: port, at: at, lasts: lasts, up: float64(lasts) * g.about(6, 0.3), down: float64(lasts) * g.about(15, 0.3), each: 180})
		at += lasts + g.between(1, 30)
	}
}

func (g *maker) lateral(k int) {
	h := g.victim()
	n := 22 + g.r.IntN(30)
	span := []int64{1200, 3000, 8 * 3600}[k%3]
	if span > 3600 {
		n += 20
	}
	at := g.between(WeekStart+3600, g.end-span-3600)
	g.attack("lateral", h, 0, "%d hosts in %d s", n, span)
	for i := range n {
		g.talk(talk{src: h, dst: g.stations[(k*31+i)%len(g.stations)], dport: []uint16{445, 3389, 5985, 22, 135}[k%5], at: at, lasts: g.between(2, 60), up: g.about(2e4, 0.7), down: g.about(1e4, 0.7)})
		at += span / int64(n)
	}
}

func (g *maker) floods(k int) {
	victim := g.servers[5]
	if k%2 == 1 {
		victim = g.servers[6]
	}
	at := g.between(WeekStart+86400, g.end-900)
	n := 3000 + g.r.IntN(3000)
	g.attack("flood", 0, victim, "%d sources", n)
	for range n {
		src := g.r.Uint32()&0x3fffffff | 1<<30
		f := observe.Flow{Src: observe.Addr4(src), Dst: observe.Addr4(victim), SrcPort: g.port(), DstPort: 443, Proto: observe.ProtoTCP, Start: at, End: at + 30, Packets: 3, Bytes: 132, Action: observe.FlowAccept}
		if !g.NoFlags {
			f.HasFlags, f.Flags = true, observe.FlagSYN
		}
		f.Start = at + g.between(0, 240)
		f.End = f.Start + 20
		g.add(f)
	}
	victim = g.servers[7]
	at = g.between(WeekStart+3600, g.end-900)
	g.attack("amplification", 0, victim, "")
	port := []uint16{123, 53, 1900, 11211, 389}[k%5]
	for range 200 + g.r.IntN(400) {
		f := observe.Flow{Src: observe.Addr4(g.outside()), Dst: observe.Addr4(victim), SrcPort: port, DstPort: g.port(), Proto: observe.ProtoUDP, Start: at + g.between(0, 200), Action: observe.FlowAccept}
		f.End, f.Packets = f.Start+30, uint64(20+g.r.IntN(100))
		f.Bytes = f.Packets * uint64(900+g.r.IntN(500))
		g.add(f)
	}
}
