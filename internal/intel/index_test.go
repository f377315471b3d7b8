package intel

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"bartizan/internal/model"

	"pgregory.net/rapid"
)

// naive answers from plain maps and loops.
type naive []IndexEntry

func (n naive) best(match func(model.Entity) (int, bool)) (Match, bool) {
	var out Match
	rank, found := -1, false
	for _, e := range n {
		r, ok := match(e.Entity)
		if !ok || r < rank {
			continue
		}
		if r == rank && !better(payload{e.ID, e.Confidence}, payload{out.ID, out.Confidence}) {
			continue
		}
		rank, found, out = r, true, e2m(e)
	}
	return out, found
}

func e2m(e IndexEntry) Match { return Match(e) }

func TestIndexEqualsNaive(t *testing.T) {
	labels := rapid.SampledFrom([]string{"a", "b", "evil", "co", "uk", "x1"})
	domain := rapid.Custom(func(r *rapid.T) string { return strings.Join(rapid.SliceOfN(labels, 1, 4).Draw(r, "labels"), ".") })
	prefix := rapid.Custom(func(r *rapid.T) netip.Prefix {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], rapid.Uint32Range(0xC0000200, 0xC00002FF).Draw(r, "v4"))
		if rapid.Bool().Draw(r, "six") {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, b[3] & 3, 0, 0, b[3] >> 6}), rapid.IntRange(16, 64).Draw(r, "bits"))
		}
		return netip.PrefixFrom(netip.AddrFrom4(b), rapid.IntRange(20, 32).Draw(r, "bits"))
	})
	rapid.Check(t, func(r *rapid.T) {
		var entries naive
		for i := range rapid.IntRange(0, 40).Draw(r, "n") {
			var e model.Entity
			switch rapid.IntRange(0, 3).Draw(r, "type") {
			case 0:
				e = model.PrefixEntity(prefix.Draw(r, "prefix"))
			case 1:
				e = entity(t, model.TypeDomain, domain.Draw(r, "domain"))
			case 2:
				e = entity(t, model.TypeURL, "http://"+domain.Draw(r, "host")+"/p")
			case 3:
				e = entity(t, model.TypeSHA256, hash(rapid.IntRange(0, 20).Draw(r, "hash")))
			}
			entries = append(entries, IndexEntry{e, uint64(i), float32(rapid.IntRange(0, 3).Draw(r, "conf"))})
		}
		x, err := Build(entries)
		if err != nil {
			r.Fatal(err)
		}
		addr := prefix.Draw(r, "probe").Addr()
		check(r, "addr", func() (Match, bool) { return x.LookupAddr(addr) }, entries, func(e model.Entity) (int, bool) {
			p, ok := e.Prefix()
			return p.Bits(), ok && p.Contains(addr)
		})
		name := domain.Draw(r, "name")
		check(r, "domain", func() (Match, bool) { return x.LookupDomain(strings.ToUpper(name) + ".") }, entries, func(e model.Entity) (int, bool) {
			return len(e.Value()), e.Type() == model.TypeDomain && (name == e.Value() || strings.HasSuffix(name, "."+e.Value()))
		})
		check(r, "url", func() (Match, bool) { return x.LookupURL("HTTP://" + name + "/p#f") }, entries, func(e model.Entity) (int, bool) {
			return 0, e.Type() == model.TypeURL && e.Value() == "http://"+name+"/p"
		})
		h := hash(rapid.IntRange(0, 20).Draw(r, "h"))
		check(r, "hash", func() (Match, bool) { return x.LookupHash(strings.ToUpper(h)) }, entries, func(e model.Entity) (int, bool) {
			return 0, e.Type() == model.TypeSHA256 && e.Value() == h
		})
		sum := sha256.Sum256(fmt.Append(nil, rapid.IntRange(0, 20).Draw(r, "sum")))
		check(r, "digest", func() (Match, bool) {
			if r := x.FindSHA256(&sum); r != 0 {
				return x.MatchSHA256(&sum, r), true
			}
			return Match{}, false
		}, entries, func(e model.Entity) (int, bool) {
			return 0, e.Type() == model.TypeSHA256 && e.Value() == hex.EncodeToString(sum[:])
		})
	})
}

func check(r *rapid.T, what string, got func() (Match, bool), entries naive, match func(model.Entity) (int, bool)) {
	want, wantOK := entries.best(match)
	m, ok := got()
	if ok != wantOK || m != want {
		r.Fatalf("%s: %+v %v, want %+v %v", what, m, ok, want, wantOK)
	}
}

func hash(n int) string {
	s := sha256.Sum256(fmt.Append(nil, n))
	return hex.EncodeToString(s[:])
}

func TestLiveSwap(t *testing.T) {
	var l Live
	if _, ok := l.Load().LookupDomain("x.example"); ok {
		t.Fatal("the empty index found something")
	}
	x, err := Build([]IndexEntry{{Entity: entity(t, model.TypeDomain, "example"), ID: 7, Confidence: 1}, {}})
	if err != nil {
		t.Fatal(err)
	}
	l.Swap(x)
	if m, ok := l.Load().LookupDomain("x.example"); !ok || m.ID != 7 || x.Refused() != 1 || x.Len() != 1 {
		t.Fatalf("%+v %v", m, ok)
	}
	for _, junk := range []string{"", ".", "..", "...a", strings.Repeat("a.", 400), "x.examples"} {
		if m, ok := l.Load().LookupDomain(junk); ok {
			t.Errorf("%.20q found %+v", junk, m)
		}
	}
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkIndex1M prints the memory of a million entries (half domains, a
// quarter each addresses and hashes) and times look-ups that mostly miss.
func BenchmarkIndex1M(b *testing.B) {
	entries := make([]IndexEntry, 0, 1_000_000)
	for i := range 1_000_000 {
		var e model.Entity
		switch i % 4 {
		case 0:
			e = model.AddrEntity(netip.AddrFrom4([4]byte{byte(i * 7), byte(i >> 8), byte(i >> 16), byte(i)}))
		case 1:
			e = entity(b, model.TypeSHA256, hash(i))
		default:
			e = entity(b, model.TypeDomain, fmt.Sprintf("host-%d.evil.example", i))
		}
		entries = append(entries, IndexEntry{e, uint64(i), 0.9})
	}
	before := heapBytes()
	x, err := Build(entries)
	if err != nil {
		b.Fatal(err)
	}
	size := float64(heapBytes()-before) / float64(x.Len())
	probes := make([]string, 4096)
	for i := range probes {
		probes[i] = fmt.Sprintf("a.host-%d.evil.example", i*9973)
	}
	i := 0
	for b.Loop() {
		x.LookupDomain(probes[i&4095])
		i++
	}
	b.ReportMetric(size, "bytes/entry")
	runtime.KeepAlive(entries)
}

// BenchmarkStoreMemory prints the memory of an indicator with two kinds of
// evidence, and times the fold.
func BenchmarkStoreMemory(b *testing.B) {
	const n = 300_000
	before := heapBytes()
	st := New(Default())
	for i := range n {
		a := model.AddrEntity(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		s := signal(b, i+1, "192.0.2.1", "contact", model.ClassContact, "s1", 0.6, t0)
		s.Actor = a
		st.Fold(s)
	}
	size, estimate := float64(heapBytes()-before)/n, float64(st.Stats().Bytes)/n
	i := 0
	for b.Loop() {
		s := signal(b, n+i, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.9, t0)
		s.Actor = model.AddrEntity(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		st.Fold(s)
		i++
	}
	b.ReportMetric(size, "bytes/indicator")
	b.ReportMetric(estimate, "estimated-bytes")
	runtime.KeepAlive(st)
}
