package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
)

// truth is what the generator knows about the file it wrote.
type truth struct {
	records  int
	sources  int
	scanners map[string]bool // sources that tried more than fanOut hosts or ports without success
	failing  map[string]bool // all that scan, however little
}

// class is a way a source behaves.
type class uint8

const (
	client     class = iota // a few conversations with a few servers
	server                  // answers many clients
	horizontal              // one port of many hosts
	vertical                // many ports of one host
	shapeless               // many ports of many hosts
)

type host struct {
	addr    uint32
	class   class
	targets int // distinct ones of a scanner, servers a client talks to
	done    int
	salt    uint32
}

const (
	servers      = 300
	scannerShare = 166 // a scanner for so many sources: 5,400 of 900,000
	begin        = 1_772_323_200
)

// generate writes about n records of VPC flow logs, version 2 with a header
// line, as the network interfaces of 4,096 hosts behind one perimeter see them:
// clients that talk to a few services, servers that answer, and scanners that
// fail. How many targets a scanner has is drawn from 60 to 600, so that every
// threshold in between has many sources on both sides of it.
func generate(path string, n int, seed uint64) (truth, error) {
	f, err := os.Create(path)
	if err != nil {
		return truth{}, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(seed, 2))
	hosts, order := population(r, n)
	t := truth{records: len(order), sources: len(hosts), scanners: map[string]bool{}, failing: map[string]bool{}}
	fmt.Fprintln(w, "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status")
	line := make([]byte, 0, 256)
	for i, k := range order {
		h := &hosts[k]
		line = record(line[:0], r, h, begin+int64(i)*3600/int64(len(order)))
		if _, err := w.Write(line); err != nil {
			return t, err
		}
		h.done++
	}
	for i := range hosts {
		h := &hosts[i]
		if h.class < horizontal {
			continue
		}
		addr := string(appendAddr(nil, h.addr))
		t.failing[addr] = true
		if h.class != shapeless && min(h.targets, h.done) > fanOut {
			t.scanners[addr] = true
		}
	}
	if err := w.Flush(); err != nil {
		return t, err
	}
	return t, f.Sync()
}

// population draws the sources and the order of their records.
func population(r *rand.Rand, n int) ([]host, []uint32) {
	var hosts []host
	var order []uint32
	add := func(h host, records int) {
		for range records {
			order = append(order, uint32(len(hosts)))
		}
		hosts = append(hosts, h)
	}
	seen := map[uint32]bool{}
	outside := func() uint32 {
		for {
			a := r.Uint32()
			if top := a >> 24; top != 0 && top != 10 && top != 127 && top < 224 && !seen[a] {
				seen[a] = true
				return a
			}
		}
	}
	for i := range servers {
		add(host{addr: 10<<24 | uint32(i), class: server, salt: r.Uint32()}, n/20/servers)
	}
	sources := n * 18 / 100
	for range sources / scannerShare {
		c := horizontal
		switch r.IntN(10) {
		case 0, 1:
			c = vertical
		case 2:
			c = shapeless
		}
		t := 60 + r.IntN(540)
		add(host{addr: outside(), class: c, targets: t, salt: r.Uint32()}, t+r.IntN(t/8))
	}
	for len(order) < n {
		// Few clients are busy: 1 record of half of them, up to some hundreds.
		k := 1 + int(r.ExpFloat64()*r.ExpFloat64()*2.8)
		add(host{addr: outside(), class: client, targets: 1 + r.IntN(4), salt: r.Uint32()}, min(k, 400))
	}
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return hosts, order
}

// scramble spreads i over 32 bits, one to one.
func scramble(i, salt uint32) uint32 {
	i = (i ^ salt) * 0x9e3779b1
	i ^= i >> 15
	return i * 0x85ebca6b
}

func record(b []byte, r *rand.Rand, h *host, at int64) []byte {
	src, dst := h.addr, uint32(0)
	sport, dport, proto := uint16(32768+r.IntN(28000)), uint16(443), 6
	packets, octets, action := 4+r.IntN(60), 0, "ACCEPT"
	inside := func(i uint32) uint32 { return 10<<24 | i&4095 }
	failed := false
	switch h.class {
	case client:
		k := scramble(uint32(r.IntN(h.targets)), h.salt)
		dst = inside(k % servers)
		switch k >> 20 % 8 {
		case 0:
			dport, proto = 53, 17
		case 1:
			dport = 22
		case 2:
			dport = 80
		}
	case server:
		dst, sport, dport = r.Uint32()&0x5fffffff|1<<24, 443, uint16(32768+r.IntN(28000))
	case horizontal:
		failed, dst, dport = true, inside(h.salt+uint32(h.done%h.targets)*7), uint16([]int{22, 23, 445, 3389, 8080}[h.salt%5])
	case vertical:
		failed, dst, dport = true, inside(h.salt), uint16(1+(uint32(h.done%h.targets)*13+h.salt)%20000)
	case shapeless:
		i := scramble(uint32(h.done%h.targets), h.salt)
		failed, dst, dport = true, inside(i), uint16(1+i>>12%20000)
	}
	octets = packets * (90 + r.IntN(900))
	if failed {
		packets = 1 + r.IntN(2)
		octets = packets * 44
		if r.IntN(3) > 0 {
			action = "REJECT"
		}
	}
	b = append(b, "2 123456789010 eni-0"...)
	b = append(strconv.AppendUint(b, 0xabc0000000000000|uint64(dst&4095), 16), ' ')
	b = append(appendAddr(b, src), ' ')
	b = append(appendAddr(b, dst), ' ')
	for _, v := range [...]int{int(sport), int(dport), proto, packets, octets, int(at), int(at) + 1 + r.IntN(59)} {
		b = append(strconv.AppendInt(b, int64(v), 10), ' ')
	}
	b = append(b, action...)
	return append(b, " OK\n"...)
}

func appendAddr(b []byte, a uint32) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		b = strconv.AppendUint(b, uint64(a>>shift&255), 10)
		if shift > 0 {
			b = append(b, '.')
		}
	}
	return b
}

// prefixes writes n distinct IPv4 prefixes as a feed has them: half are /24, a
// quarter single addresses, the rest between /18 and /31.
func prefixes(path string, n int, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(seed, 3))
	seen := make(map[uint64]bool, n)
	var line []byte
	for len(seen) < n {
		bits := 24
		switch k := r.IntN(4); k {
		case 2:
			bits = 32
		case 3:
			// As many addresses in each length: long prefixes are many, short ones few.
			for bits = 31; bits > 18 && r.IntN(5) < 3; bits-- {
			}
		}
		a := r.Uint32()
		if top := a >> 24; top == 0 || top == 10 || top == 127 || top >= 224 {
			continue
		}
		a &= ^uint32(0) << (32 - bits)
		key := uint64(a)<<8 | uint64(bits)
		if seen[key] {
			continue
		}
		seen[key] = true
		line = appendAddr(line[:0], a)
		line = append(strconv.AppendInt(append(line, '/'), int64(bits), 10), '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}
