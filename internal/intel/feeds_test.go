package intel

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"bartizan/internal/ioc"
	"bartizan/internal/model"
)

func scan(t testing.TB, take func(*ioc.Entry) error, lines ...string) {
	t.Helper()
	if l, err := ioc.Scan(strings.NewReader(strings.Join(lines, "\n")), take); err != nil || l.Unusable > 0 {
		t.Fatal(err, l)
	}
}

func feed(t testing.TB, b *FeedsBuilder, name string, confidence float64, lines ...string) {
	t.Helper()
	if err := b.Begin(name, confidence); err != nil {
		t.Fatal(err)
	}
	scan(t, b.Add, lines...)
}

func TestFeeds(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var b FeedsBuilder
	feed(t, &b, "a", 0.8, "203.0.113.0/24", "evil.example", "http://x.example/p", "ja3:"+strings.Repeat("a", 32), "good.evil.example", "EVIL.example", "user-agent:bad")
	feed(t, &b, "p", 0.5, "ip:192.0.2.1:8080")
	feed(t, &b, "b", 0.5, "value,confidence,valid_until", "203.0.113.0/24,90,2026-03-02", "198.51.100.7,20,2026-02-01", "2001:db8:1::/48,,")
	scan(t, b.Allow, "203.0.113.9", "good.evil.example")
	f, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if f.Indicators(0) != 6 || f.Indicators(1) != 1 || f.Indicators(2) != 3 {
		t.Errorf("counted %d, %d, %d", f.Indicators(0), f.Indicators(1), f.Indicators(2))
	}
	h, ok := f.Address(netip.MustParseAddr("203.0.113.8"), 0, at)
	if !ok || h.Entity.Value() != "203.0.113.0/24" || len(h.From) != 2 || h.From[0].Feed != "a" || h.From[1].Confidence != 0.5 || h.Confidence != 0.9 || h.From[1].Line != 2 {
		t.Errorf("%+v", h)
	}
	if h, ok = f.Address(netip.MustParseAddr("203.0.113.8"), 0, at.AddDate(0, 0, 2)); !ok || len(h.From) != 1 || h.Confidence != 0.8 {
		t.Errorf("after the end of one list's word: %+v", h)
	}
	for name, got := range map[string]bool{
		"allowed address":     hits(f.Address(netip.MustParseAddr("203.0.113.9"), 0, at)),
		"ended":               hits(f.Address(netip.MustParseAddr("198.51.100.7"), 0, at)),
		"allowed domain":      hits(f.Domain("www.good.evil.example", at)),
		"not named":           hits(f.Domain("devil.example", at)),
		"another port":        hits(f.Address(netip.MustParseAddr("192.0.2.1"), 443, at)),
		"another fingerprint": hits(f.Entity(parsed(t, model.TypeJA3, strings.Repeat("b", 32)), at)),
	} {
		if got {
			t.Errorf("%s: hit", name)
		}
	}
	for name, got := range map[string]bool{
		"before its end": hits(f.Address(netip.MustParseAddr("198.51.100.7"), 0, at.AddDate(0, -2, 0))),
		"IPv6":           hits(f.Address(netip.MustParseAddr("2001:db8:1:2::3"), 0, at)),
		"its port":       hits(f.Address(netip.MustParseAddr("192.0.2.1"), 8080, at)),
		"below a domain": hits(f.Domain("WWW.evil.example.", at)),
		"URL":            hits(f.Entity(parsed(t, model.TypeURL, "HTTP://X.example/p"), at)),
		"fingerprint":    hits(f.Entity(parsed(t, model.TypeJA3, strings.Repeat("A", 32)), at)),
	} {
		if !got {
			t.Errorf("%s: no hit", name)
		}
	}
	out := make([]Ref, 2)
	f.Find4([]uint32{0xcb007108, 0x01020304}, out)
	if out[0] == 0 || out[1] != 0 || !hits(f.Address4(netip.MustParseAddr("203.0.113.8"), 0, out[0], at)) {
		t.Errorf("batch: %v", out)
	}
	if f.Len() != 8 || !f.Has(model.TypeJA3) || f.Has(model.TypeJA4) || !f.Allowed("203.0.113.9") || f.Allowed("evil.example") {
		t.Errorf("%d indicators", f.Len())
	}
	if b.Begin("c", 0) == nil {
		t.Error("a list nobody believes was taken")
	}
}

func hits(_ Hit, ok bool) bool { return ok }

func parsed(t *testing.T, k model.EntityType, v string) model.Entity {
	t.Helper()
	e, err := model.ParseEntity(k, v)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestFeedsRepeated: what a list says again gets the surest and longest terms and the first line; each list, and each
// port, has its own word. The chains of IPv4, IPv6 and names are made in different places.
func TestFeedsRepeated(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, what := range []string{"203.0.113.7", "2001:db8:1::/48", "evil.example"} {
		var b FeedsBuilder
		feed(t, &b, "a", 0.9, "value,confidence,valid_until,note", what+",20,2026-03-02,one", what+",40,2026-03-05,two", what+",30,2026-02-01,three")
		feed(t, &b, "b", 0.5, "x.example", what, what)
		f, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		look := func(at time.Time) Hit {
			var h Hit
			if a, err := netip.ParseAddr(strings.Replace(what, "::/48", "::9", 1)); err == nil {
				h, _ = f.Address(a, 0, at)
			} else {
				h, _ = f.Domain(what, at)
			}
			return h
		}
		h := look(at)
		if len(h.From) != 2 || h.From[0].Feed != "b" || h.From[0].Line != 2 || h.From[0].Confidence != 0.5 ||
			h.From[1].Line != 2 || h.From[1].Note != "one" || h.From[1].Confidence != 0.4 || !h.From[1].Until.Equal(at.AddDate(0, 0, 4)) {
			t.Errorf("%s: %+v", what, h)
		}
		if h = look(at.AddDate(0, 0, 9)); len(h.From) != 1 || h.From[0].Feed != "b" {
			t.Errorf("%s, later: %+v", what, h)
		}
		if f.Indicators(0) != 1 || f.Indicators(1) != 2 {
			t.Errorf("%s: counted %d and %d", what, f.Indicators(0), f.Indicators(1))
		}
	}
}

// BenchmarkFeeds loads a million prefixes from text; it reports what is kept and
// what the heap grew to on the way.
func BenchmarkFeeds(b *testing.B) {
	text := prefixText(1_000_000)
	for b.Loop() {
		before := heapInUse()
		f, peak := loadPeak(b, text)
		b.ReportMetric(float64(heapInUse()-before)/1e6, "MB-kept")
		b.ReportMetric(float64(peak)/1e6, "MB-peak")
		if f.Len() != 1_000_000 {
			b.Fatal(f.Len())
		}
	}
}

// TestFeedsMemory: what is kept of a prefix in a list does not depend on what
// it looked like there, and loading takes little beside it.
func TestFeedsMemory(t *testing.T) {
	const n = 200_000
	text := prefixText(n)
	before := heapInUse()
	f, _ := loadPeak(t, text)
	if kept := float64(heapInUse()-before) / n; kept > 60 || f.Len() != n {
		t.Errorf("%.0f bytes a prefix, want at most 60; %d prefixes", kept, f.Len())
	}
}

// prefixText has n lines with a /24 each, in no order.
func prefixText(n int) string {
	var b strings.Builder
	for i := range n {
		k := uint32(i) * 0x9e3779b1 & 0xffffff // odd factor: no /24 twice
		fmt.Fprintf(&b, "%d.%d.%d.0/24\n", k>>16, k>>8&255, k&255)
	}
	return b.String()
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// loadPeak loads a list and tells the heap at its largest, looked at every 8,192 entries.
func loadPeak(t testing.TB, text string) (*Feeds, uint64) {
	t.Helper()
	var b FeedsBuilder
	if err := b.Begin("list", 0.5); err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak, n := m.HeapAlloc, uint64(0), 0
	look := func() {
		if runtime.ReadMemStats(&m); m.HeapAlloc > before {
			peak = max(peak, m.HeapAlloc-before)
		}
	}
	_, err := ioc.Scan(strings.NewReader(text), func(e *ioc.Entry) error {
		if n++; n%8192 == 0 {
			look()
		}
		return b.Add(e)
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	look()
	return f, peak
}
