package nft

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"bartizan/internal/model"
)

// The naive model keeps every claim and answers per address.
type naive map[model.ULID]struct {
	prefix netip.Prefix
	until  int64
}

func (m naive) until(a netip.Addr) int64 {
	var u int64
	for _, c := range m {
		if c.prefix.Contains(a) {
			u = max(u, c.until)
		}
	}
	return u
}

// small universes at both ends of the address space and at a 64-bit border.
var universes = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/27"), netip.MustParsePrefix("10.1.2.0/27"), netip.MustParsePrefix("255.255.255.224/27"),
	netip.MustParsePrefix("::/123"), netip.MustParsePrefix("2001:db8::ffff:ffff:ffff:ffe0/123"),
	netip.MustParsePrefix("2001:db8::/59"), netip.MustParsePrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffe0/123"),
}

// prefixIn draws a prefix inside u; addressesIn lists u's 32 smallest units.
func prefixIn(t *rapid.T, u netip.Prefix) netip.Prefix {
	unit := u.Bits() + 5
	lo, _ := bounds(u)
	step := hostMask(u.Addr().BitLen(), unit).next() // size of one unit
	n := uint64(rapid.IntRange(0, 31).Draw(t, "unit"))
	a := addr{lo.hi + n*step.hi, lo.lo + n*step.lo}
	return netip.PrefixFrom(a.netip(u.Addr().BitLen()), rapid.IntRange(u.Bits(), unit).Draw(t, "bits")).Masked()
}

func addressesIn(u netip.Prefix) []netip.Addr {
	lo, _ := bounds(u)
	step := hostMask(u.Addr().BitLen(), u.Bits()+5).next()
	var out []netip.Addr
	for n := range uint64(32) {
		out = append(out, addr{lo.hi + n*step.hi, lo.lo + n*step.lo}.netip(u.Addr().BitLen()))
	}
	return out
}

func TestFlatMatchesNaiveModel(t *testing.T) {
	for _, u := range universes {
		t.Run(u.String(), func(t *testing.T) {
			n := 0
			rapid.Check(t, func(t *rapid.T) {
				if n++; n <= 60 { // for each of seven universes
					checkFlat(t, u)
				}
			})
		})
	}
}

func checkFlat(t *rapid.T, u netip.Prefix) {
	f := flat{width: u.Addr().BitLen()}
	m := naive{}
	mirror := map[piece]bool{}
	for range rapid.IntRange(1, 12).Draw(t, "rounds") {
		var changes []change
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			who := id(rapid.IntRange(1, 12).Draw(t, "decision"))
			if old, ok := m[who]; ok {
				changes = append(changes, newChange(old.prefix, who, 0, true))
				delete(m, who)
				if slices.ContainsFunc(changes, func(c change) bool { return !c.remove && c.claim.decision == who }) {
					// one plan never adds and then removes a decision
					changes = slices.DeleteFunc(changes, func(c change) bool { return !c.remove && c.claim.decision == who })
					changes = changes[:len(changes)-1]
				}
			}
			if rapid.Bool().Draw(t, "set") {
				p, until := prefixIn(t, u), int64(rapid.IntRange(1, 6).Draw(t, "until"))
				m[who] = struct {
					prefix netip.Prefix
					until  int64
				}{p, until}
				changes = append(changes, newChange(p, who, until, false))
			}
		}
		del, add := f.apply(changes)
		for _, p := range del {
			if !mirror[p] {
				t.Fatalf("deletes %v, which is not there", p)
			}
			delete(mirror, p)
		}
		for _, p := range add {
			mirror[p] = true
		}
		checkPieces(t, &f, m, mirror, u)
	}
}

func checkPieces(t *rapid.T, f *flat, m naive, mirror map[piece]bool, u netip.Prefix) {
	if len(mirror) != len(f.pieces) {
		t.Fatalf("the changes lead to %d pieces, the flat has %d", len(mirror), len(f.pieces))
	}
	for i, p := range f.pieces {
		if !mirror[p] {
			t.Fatalf("piece %v is not what the changes lead to", p)
		}
		if p.hi.less(p.lo) || i > 0 && !f.pieces[i-1].hi.less(p.lo) {
			t.Fatalf("pieces %v overlap or are out of order", f.pieces)
		}
	}
	for _, a := range addressesIn(u) {
		got := int64(0)
		if i := f.find(fromAddr(a)); i < len(f.pieces) && !fromAddr(a).less(f.pieces[i].lo) {
			got = f.pieces[i].until
		}
		if want := m.until(a); got != want {
			t.Fatalf("%s ends at %d, want %d; pieces %v", a, got, want, f.pieces)
		}
		var who []model.ULID
		f.decisions(fromAddr(a), func(d model.ULID) { who = append(who, d) })
		for d, c := range m {
			if c.prefix.Contains(a) != slices.Contains(who, d) {
				t.Fatalf("%s counts for %v, wrong about %s (%s)", a, who, d, c.prefix)
			}
		}
	}
	// However it came about, the result is the one a fresh start gives.
	fresh := flat{width: f.width}
	var all []change
	for d, c := range m {
		all = append(all, newChange(c.prefix, d, c.until, false))
	}
	if fresh.apply(all); !slices.Equal(fresh.pieces, f.pieces) {
		t.Fatalf("pieces depend on history: %v, afresh %v", f.pieces, fresh.pieces)
	}
}

// A long list takes another path than a few changes; both must agree.
func TestFlatBulkEqualsOneByOne(t *testing.T) {
	var bulk, single flat
	bulk.width, single.width = 32, 32
	var changes []change
	for i := range 2500 {
		a := netip.AddrFrom4([4]byte{10, byte(i % 7), byte(i * 31), byte(i * 17)})
		p := netip.PrefixFrom(a, []int{32, 30, 24, 16, 29}[i%5]).Masked()
		changes = append(changes, newChange(p, id(i), int64(i%90+1), false))
	}
	for _, c := range changes {
		single.apply([]change{c})
	}
	bulk.apply(slices.Clone(changes))
	if !slices.Equal(bulk.pieces, single.pieces) || len(bulk.pieces) < 1000 {
		t.Fatalf("bulk gives %d pieces, one by one %d", len(bulk.pieces), len(single.pieces))
	}
	var drop []change
	for _, c := range changes[:2200] {
		c.remove = true
		drop = append(drop, c)
	}
	for _, c := range drop {
		single.apply([]change{c})
	}
	bulk.apply(drop)
	if !slices.Equal(bulk.pieces, single.pieces) || len(bulk.pieces) == 0 {
		t.Fatalf("after removal: bulk gives %d pieces, one by one %d", len(bulk.pieces), len(single.pieces))
	}
}

func TestPrefixesCoverARangeExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Uint32().Draw(t, "lo")
		hi := rapid.Uint32Min(lo).Draw(t, "hi")
		next := addr{0, uint64(lo)}
		for _, p := range prefixes(nil, 32, next, addr{0, uint64(hi)}) {
			a, b := bounds(p)
			if a != next || p != p.Masked() {
				t.Fatalf("%s does not begin at %v", p, next)
			}
			next = b.next()
		}
		if next != (addr{0, uint64(hi)}.next()) {
			t.Fatalf("ends before %v, want %d", next, hi)
		}
	})
}
