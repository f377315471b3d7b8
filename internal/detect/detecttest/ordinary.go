package detecttest

// ordinary draws what happens without any attack.
func (g *maker) ordinary() {
	mail, dns, files, jump, monitor := g.servers[0], g.servers[1], g.servers[2], g.servers[3], g.servers[4]
	for i, h := range append(append([]uint32{}, g.stations...), g.servers...) {
		g.machine(h, i < len(g.stations), dns)
	}
	for _, h := range g.stations {
		g.person(h, files, dns, mail)
	}
	g.mail(mail)
	g.backups()
	g.jobs()
	g.monitoring(monitor)
	for day := range g.Days { // somebody administers the servers every day
		for _, s := range g.servers {
			if g.r.IntN(3) == 0 {
				at := WeekStart + int64(day)*86400 + g.between(9*3600, 16*3600)
				g.talk(talk{src: jump, dst: s, dport: 22, at: at, lasts: g.between(60, 1200), up: g.about(2e4, 1), down: g.about(2e5, 1)})
			}
		}
	}
	g.noise()
	g.public(g.servers[5])
	for len(g.out.Flows) < g.Records { // people look at things
		h := g.stations[g.r.IntN(len(g.stations))]
		day := int64(g.r.IntN(g.Days)) * 86400
		g.browse(h, WeekStart+day+g.between(7*3600, 19*3600))
	}
}

// machine is what every computer does by itself: time, telemetry, updates, names.
func (g *maker) machine(h uint32, station bool, dns uint32) {
	clock := g.vendors[0]
	g.every(WeekStart+g.between(0, 1024), []int64{64, 256, 1024, 1024}[g.r.IntN(4)]*4, 0.02, func(at int64) {
		g.talk(talk{src: h, dst: clock[g.r.IntN(len(clock))], sport: 123, dport: 123, udp: true, at: at, up: 76, down: 76})
	})
	for k := range 3 { // telemetry of the system, of the security program, of an application
		v := g.vendors[1+(k*3+g.r.IntN(3))%6]
		home := v[g.r.IntN(len(v))]
		g.every(WeekStart+g.between(0, 3600), []int64{900, 1800, 3600}[k]*2, []float64{0, 0.05, 0.2}[g.r.IntN(3)], func(at int64) {
			if g.r.IntN(30) == 0 {
				home = v[g.r.IntN(len(v))]
			}
			g.talk(talk{src: h, dst: home, dport: 443, at: at, lasts: g.between(0, 3), up: g.about(1800, 0.3), down: g.about(5000, 0.3)})
		})
	}
	up := g.vendors[8]
	g.every(WeekStart+g.between(0, 6*3600), 6*3600, 0.3, func(at int64) {
		down := 2e4
		if g.r.IntN(12) == 0 {
			down = g.about(8e7, 1)
		}
		g.talk(talk{src: h, dst: up[g.r.IntN(len(up))], dport: 443, at: at, lasts: g.between(1, 200), up: g.about(4e3, 0.5), down: down})
	})
	g.every(WeekStart+g.between(0, 600), 2400, 0.9, func(at int64) {
		g.talk(talk{src: h, dst: dns, dport: 53, udp: true, at: at, up: 64, down: 180})
	})
	if station {
		return
	}
	g.every(WeekStart+g.between(0, 600), 7200, 0.9, func(at int64) { // logs go to the collector
		g.talk(talk{src: h, dst: g.servers[6], dport: 6514, at: at, lasts: 30, up: g.about(2e5, 0.4), down: 2e3})
	})
}

// person is what somebody at a workstation does.
func (g *maker) person(h, files, dns, mail uint32) {
	chat, calls, drive := g.vendors[7], g.vendors[9], g.vendors[6]
	g.office(func(begin, end int64) {
		g.talk(talk{src: h, dst: chat[g.r.IntN(len(chat))], dport: 443, at: begin, lasts: end - begin, up: float64(end-begin) * 3, down: float64(end-begin) * 6, each: 120})
		g.talk(talk{src: h, dst: mail, dport: 993, at: begin, lasts: end - begin, up: 4e5, down: 2e7})
		g.talk(talk{src: h, dst: dns, dport: 88, at: begin, up: 3e3, down: 4e3})
		for range 3 {
			g.talk(talk{src: h, dst: files, dport: 445, at: g.between(begin, end), lasts: g.between(10, 3000), up: g.about(3e5, 1.5), down: g.about(3e6, 1.5)})
		}
		g.talk(talk{src: h, dst: dns, dport: 135, at: begin + 5, up: 2e3, down: 2e3})
		if g.r.IntN(3) == 0 { // a call with video, both ways
			lasts := g.between(900, 4000)
			g.talk(talk{src: h, dst: calls[g.r.IntN(len(calls))], sport: uint16(50000 + g.r.IntN(20)), dport: 3480, udp: true, at: g.between(begin, end), lasts: lasts,
				up: float64(lasts) * g.about(2e5, 0.4), down: float64(lasts) * g.about(3e5, 0.4), each: 900})
		}
		if g.r.IntN(6) == 0 { // pictures, a film, a release go to where everybody's files are
			g.talk(talk{src: h, dst: drive[g.r.IntN(len(drive))], dport: 443, at: g.between(begin, end), lasts: g.between(20, 900), up: g.about(4e7, 1.2), down: 3e5})
		}
		if g.r.IntN(4) == 0 { // a film
			at := g.between(begin, end)
			for range g.r.IntN(40) {
				g.talk(talk{src: h, dst: g.sites[g.zipf(40)], dport: 443, udp: g.r.IntN(2) == 0, at: at, lasts: 8, up: 4e4, down: g.about(4e6, 0.5)})
				at += g.between(6, 90)
			}
		}
		if g.r.IntN(8) == 0 { // somebody leaves a page open that asks for news
			site := g.sites[200+g.zipf(500)]
			for at := begin; at < begin+3600; at += g.between(28, 33) {
				if g.r.IntN(3) > 0 {
					g.talk(talk{src: h, dst: site, dport: 443, at: at, lasts: 1, up: g.about(900, 0.1), down: g.about(2e3, 0.8)})
				}
			}
		}
	})
}

// browse is one page: some connections at once, to the site and what it embeds.
func (g *maker) browse(h uint32, at int64) {
	site := g.sites[g.zipf(len(g.sites))]
	for range 1 + g.r.IntN(5) {
		dst := site
		if g.r.IntN(2) == 0 {
			dst = g.sites[g.zipf(200)]
		}
		g.talk(talk{src: h, dst: dst, dport: 443, udp: g.r.IntN(3) == 0, at: at + int64(g.r.IntN(4)), lasts: g.between(1, 100), up: g.about(4e3, 1), down: g.about(8e4, 1.6)})
	}
}

func (g *maker) mail(server uint32) {
	n := g.Hosts * 20 * g.Days
	for range n / 4 {
		day := WeekStart + int64(g.r.IntN(g.Days))*86400
		other := g.sites[g.zipf(len(g.sites))]
		t := talk{src: server, dst: other, dport: 25, at: day + g.between(0, 86400), lasts: g.between(2, 30), up: g.about(4e4, 1.5), down: 2e3}
		if g.r.IntN(2) == 0 {
			t.src, t.dst = t.dst, t.src
		}
		g.talk(t)
	}
}

// backups go out every night: most servers to the provider's few addresses,
// some to a storage of their own.
func (g *maker) backups() {
	provider := g.vendors[5]
	for i, s := range g.servers {
		if i%2 == 1 {
			continue
		}
		own := g.outside()
		amount := g.about(2e9, 0.7)
		for day := range g.Days {
			dst := provider[g.r.IntN(len(provider))]
			if i%8 == 0 {
				dst = own
			}
			at := WeekStart + int64(day)*86400 + 3600 + g.between(0, 1800)
			g.talk(talk{src: s, dst: dst, dport: 443, at: at, lasts: g.between(600, 5000), up: amount * g.about(1, 0.15), down: 5e6, each: 1400})
		}
	}
}

// jobs ask an interface of somebody else at regular times, which looks like a
// beacon because it is one. A network has some.
func (g *maker) jobs() {
	for i := range 4 {
		dst, s := g.outside(), g.servers[7%len(g.servers)+i%max(1, len(g.servers)-7)]
		g.every(WeekStart+g.between(0, 600), []int64{300, 600, 900, 3600}[i], 0.01, func(at int64) {
			g.talk(talk{src: s, dst: dst, dport: 443, at: at, lasts: 2, up: g.about(2e3, 0.4), down: g.about(2e4, 1)})
		})
	}
}

func (g *maker) monitoring(m uint32) {
	for _, s := range g.servers {
		g.every(WeekStart+g.between(0, 300), 3600, 0, func(at int64) {
			g.talk(talk{src: m, dst: s, dport: 22, at: at, lasts: 2, up: 3e3, down: 4e3})
			g.talk(talk{src: m, dst: s, dport: 161, udp: true, at: at, up: 2e2, down: 2e3})
		})
	}
	for range 4 { // and somebody from outside asks whether we are there
		from := g.outside()
		g.every(WeekStart+g.between(0, 300), 1200, 0, func(at int64) {
			g.talk(talk{src: from, dst: g.servers[5], dport: 443, at: at, lasts: 1, up: 800, down: 3e3})
		})
	}
}

// noise is what comes from the Internet all the time, a few attempts of each source.
func (g *maker) noise() {
	for range g.Records / 400 {
		from, at := g.outside(), g.between(WeekStart, g.end)
		for range 1 + g.r.IntN(5) {
			g.syn(from, g.servers[g.r.IntN(len(g.servers))], []uint16{22, 23, 445, 3389, 8080, 5900}[g.r.IntN(6)], at)
			at += g.between(1, 4000)
		}
	}
}

// public is the web server's guests; it has a busy hour every evening.
func (g *maker) public(server uint32) {
	guests := make([]uint32, 4000)
	for i := range guests {
		guests[i] = g.outside()
	}
	for range g.Records / 12 {
		at := WeekStart + int64(g.r.IntN(g.Days))*86400
		if g.r.IntN(3) == 0 {
			at += g.between(19*3600, 20*3600)
		} else {
			at += g.between(0, 86400)
		}
		g.talk(talk{src: guests[g.zipf(len(guests))], dst: server, dport: 443, at: at, lasts: g.between(1, 60), up: g.about(3e3, 0.8), down: g.about(2e5, 1.5)})
	}
}
