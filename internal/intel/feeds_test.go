package intel

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/ioc"
	"bartizan/internal/model"
)

func list(t *testing.T, lines ...string) *ioc.List {
	t.Helper()
	l, err := ioc.Read(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil || l.Unusable > 0 {
		t.Fatal(err, l)
	}
	return l
}

func TestFeeds(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f, err := NewFeeds([]Feed{
		{"a", 0.8, list(t, "203.0.113.0/24", "evil.example", "http://x.example/p", "ja3:"+strings.Repeat("a", 32), "good.evil.example")},
		{"p", 0.5, list(t, "ip:192.0.2.1:8080")},
		{"b", 0.5, list(t, "value,confidence,valid_until", "203.0.113.0/24,90,2026-03-02", "198.51.100.7,20,2026-02-01", "2001:db8:1::/48,,")},
	}, []*ioc.List{list(t, "203.0.113.9", "good.evil.example")})
	if err != nil {
		t.Fatal(err)
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
	if _, err := NewFeeds([]Feed{{"c", 0, &ioc.List{}}}, nil); err == nil {
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
