package intel

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
	"pgregory.net/rapid"
)

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// equalsBart asks the index and bart's table of the same prefixes about addresses,
// one by one and as a batch.
func equalsBart(t rapid.TB, x *Index, table *bart.Table[uint64], probes []uint32) {
	t.Helper()
	refs := make([]Ref, len(probes))
	x.Find4(probes, refs)
	for i, a := range probes {
		addr := addr4(a)
		want, id, ok := table.LookupPrefixLPM(netip.PrefixFrom(addr, 32))
		m, found := x.LookupAddr(addr)
		if found != ok || (refs[i] != 0) != ok {
			t.Fatalf("%s: %v and %d, bart says %v", addr, found, refs[i], ok)
		}
		if !ok {
			continue
		}
		got, _ := m.Entity.Prefix()
		if got != want || m.ID != id || x.Match4(refs[i]) != m {
			t.Fatalf("%s: %v of %d, bart says %v of %d; in a batch %+v", addr, got, m.ID, want, id, x.Match4(refs[i]))
		}
	}
}

// TestBatchEqualsBart: nested prefixes of every length in a small space, asked
// at and beside every border.
func TestBatchEqualsBart(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var b Builder
		var table bart.Table[uint64]
		var probes []uint32
		for i := range rapid.IntRange(0, 60).Draw(r, "n") {
			// Addresses that share their beginnings, so that prefixes nest.
			a := rapid.SampledFrom([]uint32{0, 0x0a000000, 0x0a000100, 0xc0000200, 0xffffff00}).Draw(r, "near") ^ rapid.Uint32Range(0, 0x1ff).Draw(r, "low")
			p := netip.PrefixFrom(addr4(a), rapid.IntRange(0, 32).Draw(r, "bits")).Masked()
			if _, ok := table.Get(p); ok {
				continue
			}
			b.AddPrefix(p, uint64(i)+1, 0.5)
			table.Insert(p, uint64(i)+1)
			from := be32(p.Addr().As4())
			to := from | uint32(uint64(0xffffffff)>>p.Bits())
			probes = append(probes, from-1, from, from+1, to-1, to, to+1, a)
		}
		x, err := b.Build()
		if err != nil {
			r.Fatal(err)
		}
		if x.Len() != table.Size() {
			r.Fatalf("%d entries of %d", x.Len(), table.Size())
		}
		equalsBart(r, x, &table, append(probes, 0, 1<<31, 1<<32-1))
	})
}

// TestBatchEqualsBartLarge: a feed's mix of lengths over the whole space.
func TestBatchEqualsBartLarge(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var b Builder
	var table bart.Table[uint64]
	var probes []uint32
	for i := range 100_000 {
		bits := []int{24, 24, 32, 8 + r.IntN(25)}[i%4]
		p := netip.PrefixFrom(addr4(r.Uint32()), bits).Masked()
		if _, ok := table.Get(p); ok {
			continue
		}
		b.AddPrefix(p, uint64(i)+1, 0.5)
		table.Insert(p, uint64(i)+1)
		from := be32(p.Addr().As4())
		probes = append(probes, from, from-1, from|uint32(uint64(0xffffffff)>>bits), from+r.Uint32N(1<<8))
	}
	for range 200_000 {
		probes = append(probes, r.Uint32())
	}
	x, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	equalsBart(t, x, &table, probes)
}

// TestLookupAllocatesNothing: what is not there costs no memory.
func TestLookupAllocatesNothing(t *testing.T) {
	x, err := Build([]IndexEntry{{Entity: entity(t, "sha256", hash(1)), ID: 1}, {Entity: entity(t, "ip", "192.0.2.0/24"), ID: 2}})
	if err != nil {
		t.Fatal(err)
	}
	sum, addr := [32]byte{1}, netip.MustParseAddr("198.51.100.1")
	addrs, refs := []uint32{1, 2, 3}, make([]Ref, 3)
	if n := testing.AllocsPerRun(100, func() {
		x.FindSHA256(&sum)
		x.LookupAddr(addr)
		x.Find4(addrs, refs)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTurnsAway: our reading of the filter is its own, for every size.
func TestTurnsAway(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 3, 10, 1000, 50_000} {
		var list builder
		for i := range n {
			list.add(hash(i), uint32(i))
		}
		s, err := list.build(false, func(a, b uint32) bool { return a < b })
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range s.hashes {
			if s.turnsAway(s.mixed(h)) {
				t.Fatalf("%d keys: one is turned away", n)
			}
		}
		for range 20_000 {
			if h := r.Uint64(); s.turnsAway(s.mixed(h)) == s.filter.Contains(h) {
				t.Fatalf("%d keys: %x is turned away: %v", n, h, s.turnsAway(s.mixed(h)))
			}
		}
	}
}
