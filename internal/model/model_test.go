package model

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestULIDRoundTripAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b ULID
		copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a"))
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b"))
		got, err := ParseULID(a.String())
		if err != nil || got != a {
			t.Fatalf("%x → %q → %x, %v", a, a.String(), got, err)
		}
		if !a.IsZero() && !b.IsZero() && strings.Compare(a.String(), b.String()) != a.Compare(b) {
			t.Fatalf("text order of %s and %s differs from Compare", a, b)
		}
	})
	at := time.UnixMilli(1_700_000_000_123).UTC()
	if id := NewULID(at); !id.Time().Equal(at) {
		t.Errorf("Time() = %v, want %v", id.Time(), at)
	}
	// The example of the ULID specification's reference test vectors.
	if _, err := ParseULID("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"); err != nil {
		t.Errorf("largest id: %v", err)
	}
	for _, bad := range []string{"8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "short", "01ARZ3NDEKTSV4RRFFQ69G5FA!", strings.Repeat("U", 26)} {
		if _, err := ParseULID(bad); err == nil {
			t.Errorf("ParseULID(%q) accepted", bad)
		}
	}
}

func TestIPEntityIsCanonical(t *testing.T) {
	cases := []struct{ in, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"192.0.2.7/32", "192.0.2.7"},
		{"192.0.2.7/24", "192.0.2.0/24"},
		{"::ffff:192.0.2.7/120", "192.0.2.0/24"},
		{"2001:db8::1", "2001:db8::/64"},
		{"2001:DB8:0:0:FFFF::1/128", "2001:db8::/64"},
		{"2001:db8::/48", "2001:db8::/48"},
		{"0.0.0.0/0", "0.0.0.0/0"},
	}
	for _, c := range cases {
		e, err := ParseIP(c.in)
		if err != nil || e.Value() != c.want || e.Type() != TypeIP {
			t.Errorf("ParseIP(%q) = %v, %v; want %q", c.in, e, err, c.want)
		}
		p, ok := e.Prefix()
		if !ok || PrefixEntity(p) != e {
			t.Errorf("%q: prefix %v does not give the entity back", c.in, p)
		}
	}
	for _, bad := range []string{"", "192.0.2.256", "fe80::1%eth0", "1.2.3.4/33", "host"} {
		if e, err := ParseIP(bad); err == nil {
			t.Errorf("ParseIP(%q) = %v, want an error", bad, e)
		}
	}
}

func TestActorPrefixCoversItsAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{4, 16}).Draw(t, "length")
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes"))
		p := ActorPrefix(a)
		if !p.Contains(a.Unmap()) {
			t.Fatalf("%v does not contain %v", p, a)
		}
		if want := map[bool]int{true: 32, false: ActorBits6}[a.Unmap().Is4()]; p.Bits() != want {
			t.Fatalf("%v has %d bits, want %d", p, p.Bits(), want)
		}
	})
}

func TestOtherEntities(t *testing.T) {
	good := []struct {
		t        EntityType
		in, want string
	}{
		{TypeDomain, "Example.COM.", "example.com"},
		{TypeURL, "HTTP://Example.com/A?b#c", "http://example.com/A?b"},
		{TypeSHA256, strings.Repeat("AB", 32), strings.Repeat("ab", 32)},
		{TypeHASSH, strings.Repeat("0f", 16), strings.Repeat("0f", 16)},
		{TypeJA4, "t13d1516h2_8daaf6152771_02713d6af862", "t13d1516h2_8daaf6152771_02713d6af862"},
		{TypeAccessKey, "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"},
		{TypePrompt, "0123456789abcdef", "0123456789abcdef"},
	}
	for _, c := range good {
		e, err := ParseEntity(c.t, c.in)
		if err != nil || e.Value() != c.want {
			t.Errorf("ParseEntity(%s, %q) = %v, %v; want %q", c.t, c.in, e, err, c.want)
		}
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back Entity
		if err := json.Unmarshal(b, &back); err != nil || back != e {
			t.Errorf("%s: JSON %s comes back as %v, %v", c.t, b, back, err)
		}
	}
	bad := []struct {
		t  EntityType
		in string
	}{
		{TypeDomain, "a..b"}, {TypeDomain, "a b"}, {TypeDomain, strings.Repeat("a", 64) + ".com"}, {TypeURL, "/path"}, {TypeSHA256, "abc"},
		{TypeHASSH, strings.Repeat("g", 32)}, {TypeJA4, "with space"}, {"nonsense", "x"}, {TypeURL, "http://x/" + strings.Repeat("a", MaxEntity)},
	}
	for _, c := range bad {
		if e, err := ParseEntity(c.t, c.in); err == nil {
			t.Errorf("ParseEntity(%s, %.40q) = %v, want an error", c.t, c.in, e)
		}
	}
}

// FuzzEntity: what is accepted is canonical, so parsing it again changes nothing.
func FuzzEntity(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "::ffff:1.2.3.4/100", "http://a/b", "example.com.", "2001:db8::1", strings.Repeat("a", 64)} {
		for i := range entityTypes {
			f.Add(i, s)
		}
	}
	f.Fuzz(func(t *testing.T, i int, s string) {
		e, err := ParseEntity(entityTypes[uint(i)%uint(len(entityTypes))], s)
		if err != nil {
			return
		}
		again, err := ParseEntity(e.Type(), e.Value())
		if err != nil || again != e {
			t.Fatalf("%q → %v → %v, %v", s, e, again, err)
		}
	})
}

var entityTypes = []EntityType{TypeIP, TypeDomain, TypeURL, TypeSHA256, TypeJA3, TypeJA4, TypeHASSH, TypeAccessKey, TypePrompt}

func TestZeroValuesAreCautious(t *testing.T) {
	if GuardUnknown != 0 || FindingUnknown != 0 || Observe != 0 {
		t.Error("the zero verdict, finding state and action must be unknown, unknown and observe")
	}
	for _, v := range []interface {
		MarshalText() ([]byte, error)
	}{GuardNever, FindingFail, Block, Critical} {
		if b, err := v.MarshalText(); err != nil || len(b) == 0 {
			t.Errorf("%v: %q, %v", v, b, err)
		}
	}
	var s Severity
	if err := s.UnmarshalText([]byte("hgih")); err == nil || !strings.Contains(err.Error(), "high") {
		t.Errorf("a misspelt severity gives %v, want the list of words", err)
	}
}

func TestSignalCheck(t *testing.T) {
	ok := func() Signal {
		return Signal{ID: NewULID(time.Now()), Kind: "auth.brute-force", Actor: AddrEntity(netip.MustParseAddr("192.0.2.1")), Count: 1, Confidence: 0.5}
	}
	s := ok()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Signal){
		"no id":         func(s *Signal) { s.ID = ULID{} },
		"no actor":      func(s *Signal) { s.Actor = Entity{} },
		"count":         func(s *Signal) { s.Count = 0 },
		"not a number":  func(s *Signal) { s.Confidence = nan() },
		"over one":      func(s *Signal) { s.Confidence = 1.01 },
		"long kind":     func(s *Signal) { s.Kind = strings.Repeat("k", 65) },
		"much evidence": func(s *Signal) { s.Evidence = make([]Evidence, MaxEvidence+1) },
		"long excerpt":  func(s *Signal) { s.Evidence = []Evidence{{Excerpt: strings.Repeat("x", MaxExcerpt+1)}} },
		"many related":  func(s *Signal) { s.Related = make([]Entity, MaxRelated+1) },
	} {
		s := ok()
		spoil(&s)
		if err := s.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func nan() float64 { z := 0.0; return z / z }

func TestLeaseSigningBytesCoverEverything(t *testing.T) {
	base := Lease{ID: NewULID(time.Unix(1, 0)), Addresses: []string{"198.18.0.1", "198.18.0.2"}, From: time.Unix(1, 0), Until: time.Unix(2, 0), BlockFor: 2, By: "uid=0"}
	seen := map[string]string{string(base.SigningBytes()): "base"}
	for name, change := range map[string]func(*Lease){
		"id":       func(l *Lease) { l.ID = NewULID(time.Unix(9, 0)) },
		"address":  func(l *Lease) { l.Addresses = []string{"198.18.0.1", "198.18.0.3"} },
		"joined":   func(l *Lease) { l.Addresses = []string{"198.18.0.1\n198.18.0.2"}; l.By = "x" },
		"from":     func(l *Lease) { l.From = time.Unix(0, 0) },
		"until":    func(l *Lease) { l.Until = time.Unix(3, 0) },
		"blockfor": func(l *Lease) { l.BlockFor = 3 },
		"by":       func(l *Lease) { l.By = "uid=1" },
	} {
		l := base
		change(&l)
		b := string(l.SigningBytes())
		if other, same := seen[b]; same {
			t.Errorf("a change of %s signs the same bytes as %s", name, other)
		}
		seen[b] = name
	}
}
