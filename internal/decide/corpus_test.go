package decide

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"

	"github.com/gaissmai/bart"
)

// shared finds the folder of third-party data beside the repository, or skips.
func shared(t *testing.T, name string) *bufio.Scanner {
	t.Helper()
	file := filepath.Join("..", "..", "..", "shared", "data", "intel", name)
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		t.Skipf("%s is not here: the benign lists are not checked", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewScanner(z)
}

// corpus asks for a block of everything it is given, in every way there is,
// and counts what came into force.
type corpus struct {
	t       *testing.T
	w       *world
	ind     model.Indicator
	cases   int
	blocked []string
}

func newCorpus(t *testing.T) *corpus {
	pol := enforcing(t)
	pol.Limits.MaxHeld = 100_000
	pol.Limits.Budget = Budget{NewPerMinute: 1 << 30, PerSensorPerMinute: 1 << 30, Active: 1_000_000, PerPrefix: 65536}
	pol.Limits.BlastRadius.Unknown = UnsurePass // nothing but the list under test may hold
	pol.Limits.WidestV4 = 8
	return &corpus{t: t, w: newWorld(t, pol), ind: proof(t, attacker, t0)}
}

func (c *corpus) block(e model.Entity) {
	c.cases++
	c.ind.Entity = e
	led := NewLedger(LedgerConfig{Key: c.w.led.conf.Key})
	entries, err := Evaluate(t0, c.ind, led, c.w.pol, c.w.facts)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(entries) == 0 {
		c.t.Fatalf("%s: not even considered", e)
	}
	manual, _ := EvaluateManual(t0, Manual{Target: e, Action: model.Block, For: time.Hour, By: "uid=0"}, led, c.w.pol, c.w.facts)
	for i, x := range append(entries, manual...) {
		if _, err := led.Apply(uint64(i+1), x); err != nil && x.Change == model.ChangeDecide {
			c.t.Fatal(err)
		}
	}
	for _, d := range led.Active() {
		if forcible(d.Action) && !d.DryRun {
			c.blocked = append(c.blocked, e.Value())
			break
		}
	}
}

func (c *corpus) text(s string) {
	c.t.Helper()
	c.block(ip(c.t, s))
}

func (c *corpus) done(least int) {
	c.t.Helper()
	if len(c.blocked) > 0 {
		c.t.Errorf("%d of %d blocked, such as %v", len(c.blocked), c.cases, c.blocked[:min(len(c.blocked), 10)])
	}
	if c.cases < least {
		c.t.Errorf("%d cases, at least %d must run", c.cases, least)
	}
	c.t.Logf("%d cases, %d blocked", c.cases, len(c.blocked))
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// inside draws an address of the prefix.
func inside(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		if r.IntN(2) == 1 {
			b[i/8] |= 1 << (7 - i%8)
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// forms are the ways to write an IPv4 address as an IPv6 one.
func forms(a netip.Addr) []netip.Addr {
	v4 := a.As4()
	at := func(prefix string, offset int, invert byte) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		for i := range v4 {
			b[offset+i] = v4[i] ^ invert
		}
		return netip.AddrFrom16(b)
	}
	return []netip.Addr{
		netip.AddrFrom16(a.As16()),         // ::ffff:a.b.c.d
		at("::", 12, 0),                    // compatible
		at("64:ff9b::", 12, 0),             // NAT64
		at("64:ff9b:1::", 12, 0),           // local NAT64
		at("2002::1", 2, 0),                // 6to4
		at("2001::", 4, 0),                 // Teredo server
		at("2001:0:4136:e378::", 12, 0xff), // Teredo client, inverted
	}
}

// iana are the ranges again, written down from the registries and not from the
// code under test.
var iana = strings.Fields(`
0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.88.99.2/32
192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
::1/128 ::/128 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128 2001:1::2/128
2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16
2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 4000::/3 6000::/3 8000::/1 ::/3`)

func TestCorpusReserved(t *testing.T) {
	c := newCorpus(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range iana {
		p := netip.MustParsePrefix(s)
		if s == "::ffff:0:0/96" {
			c.text("::ffff:0:0/96")
			continue // an address in it is the IPv4 address, see forms
		}
		for _, a := range []netip.Addr{p.Addr(), last(p)} {
			c.text(a.String())
		}
		for range 40 {
			a := inside(r, p)
			c.text(a.String())
			if a.Is4() {
				for _, f := range forms(a) {
					c.text(f.String())
				}
			}
		}
		// Every prefix that contains the range, and some inside it.
		for bits := 0; bits < p.Bits(); bits++ {
			c.block(model.PrefixEntity(netip.PrefixFrom(p.Addr(), bits)))
		}
		for bits := p.Bits(); bits <= p.Addr().BitLen(); bits += 3 {
			c.block(model.PrefixEntity(netip.PrefixFrom(inside(r, p), bits)))
		}
	}
	c.done(8000)
}

// TestCorpusOpenNeighbours proves that the corpus can see a block at all: the
// addresses right beside the ranges, where the Internet begins again.
func TestCorpusOpenNeighbours(t *testing.T) {
	c := newCorpus(t)
	open := strings.Fields(`9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
		172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255
		198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 2001:200:: 2001:db7:ffff:ffff::1 2001:db9:: 2003:: 2600:1f00:: 2a00:: 3ffe::1`)
	for _, s := range open {
		c.text(s)
	}
	if len(c.blocked) != len(open) {
		t.Fatalf("%d of %d blocked: %v", len(c.blocked), len(open), c.blocked)
	}
}

// TestCorpusOwnThings: what belongs to the machine or keeps it reachable, in
// every form and as part of every prefix.
func TestCorpusOwnThings(t *testing.T) {
	c := newCorpus(t)
	own := addrs("185.1.1.1", "185.9.200.255", "2a01:4f8:1:2::5", "2600:1f18:0:1234:5678::1")
	c.w.facts = Facts{
		Never: prefixes("185.60.0.0/17", "2a06:98c0::/48", "::ffff:185.61.1.0/120"),
		Own:   prefixes("185.1.1.0/28", "2a01:4f8:1:2::/64", "::ffff:185.7.7.0/120"), Addresses: own,
		Resolvers: addrs("9.9.9.9", "2620:fe::fe"), Gateways: addrs("185.1.1.14", "2a01:4f8:1:3::1"),
		Balancers: prefixes("185.30.0.0/22", "2a02:6b8::/56"), Sessions: addrs("185.44.44.44", "::ffff:185.44.44.45", "2a03:2880::1:1"),
	}
	var err error
	if c.w.pol, err = LoadPolicy("policy.yaml", []byte("mode: enforce\nnever: [185.55.0.0/16, 185.56.1.1, '2a04:4e40::1', '2a05::/48']\nrules: [{name: all, when: 'true', action: block, for: 1h, min_classes: 1}]\n"+
		"guardrails: {widest_v4: 8, blast_radius: {unknown: pass}}")); err != nil {
		t.Fatal(err)
	}
	var protected []netip.Prefix
	for _, list := range [][]netip.Prefix{c.w.facts.Never, c.w.facts.Own, c.w.facts.Balancers, prefixes("185.55.0.0/16", "185.56.1.1/32", "2a04:4e40::1/128", "2a05::/48")} {
		protected = append(protected, list...)
	}
	for _, list := range [][]netip.Addr{own, c.w.facts.Resolvers, c.w.facts.Gateways, c.w.facts.Sessions} {
		for _, a := range list {
			protected = append(protected, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, p := range protected {
		p = unmapped(p)
		for bits := 8; bits <= p.Addr().BitLen(); bits++ {
			c.block(model.PrefixEntity(netip.PrefixFrom(p.Addr(), bits)))
		}
		for range 60 {
			a := inside(r, p)
			c.text(a.String())
			if a.Is4() {
				for _, f := range forms(a) {
					c.text(f.String())
				}
			} else {
				// Anything else in the same /64 is the same actor.
				b := a.As16()
				binary.BigEndian.PutUint64(b[8:], r.Uint64())
				c.block(model.AddrEntity(netip.AddrFrom16(b)))
			}
		}
	}
	c.done(5000)
}

// TestCorpusBenign: lists of services that many people use, as hold lists.
func TestCorpusBenign(t *testing.T) {
	for _, list := range []struct {
		file  string
		least int
		every int
	}{{"public-dns-resolvers.txt.gz", 8000, 7}, {"cloud-ranges.tsv.gz", 5000, 4}} {
		t.Run(list.file, func(t *testing.T) {
			c := newCorpus(t)
			sc := shared(t, list.file)
			var set bart.Lite
			var targets []netip.Prefix
			for sc.Scan() {
				v, _, _ := strings.Cut(strings.TrimSpace(sc.Text()), "\t")
				p, err := netip.ParsePrefix(v)
				if err != nil {
					a, err := netip.ParseAddr(v)
					if err != nil {
						continue
					}
					p = netip.PrefixFrom(a, a.BitLen())
				}
				p = unmapped(p)
				set.Insert(p)
				targets = append(targets, p)
			}
			if sc.Err() != nil {
				t.Fatal(sc.Err())
			}
			c.w.facts.Benign = []BenignList{{Name: list.file, Verdict: model.GuardHold, List: &set}}
			r := rand.New(rand.NewPCG(5, 6))
			for i, p := range targets {
				if i%list.every == 0 {
					c.block(model.PrefixEntity(p))
					c.text(inside(r, p).String())
				}
			}
			c.done(list.least)
		})
	}
}

// TestWideningAttacks: whatever an IPv6 actor does, nothing wider than its /64
// is blocked by itself, and nothing wider than a /56 by anybody.
func TestWideningAttacks(t *testing.T) {
	c := newCorpus(t)
	for bits := 0; bits <= 63; bits++ {
		e := model.PrefixEntity(netip.PrefixFrom(netip.MustParseAddr("2a01:4f8:1:2::1"), bits))
		c.ind.Entity = e
		for _, x := range c.w.evaluate(t0, c.ind) {
			if x.Change != model.ChangeHold {
				t.Fatalf("/%d decided by itself", bits)
			}
			if bits < 56 {
				x.Change = model.ChangeDecide
				c.w.refused(x, "")
			}
		}
		m, err := EvaluateManual(t0, Manual{Target: e, Action: model.Block, For: time.Hour, By: "uid=0"}, c.w.led, c.w.pol, Facts{Baseline: fakeBaseline{known: true}})
		if got := len(m) == 1 && m[0].Change == model.ChangeDecide && err == nil; got != (bits >= 56) {
			t.Fatalf("/%d by a person: %v %v", bits, m, err)
		}
	}
	// Many /64s of one /48 are one actor or one mistake: a person looks.
	w := newWorld(t, enforcing(t))
	active := 0
	for i := range 200 {
		b := netip.MustParseAddr("2a01:4f8:1::1").As16()
		b[7] = byte(i)
		if w.decide(t0, proof(t, netip.AddrFrom16(b).String(), t0)).State == model.StateActive {
			active++
		}
	}
	if active != 64 {
		t.Fatalf("%d /64s of one /48 blocked, the budget is 64", active)
	}
}
