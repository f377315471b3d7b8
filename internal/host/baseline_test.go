package host

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func from(addrs ...string) []Conn {
	var out []Conn
	for _, s := range addrs {
		out = append(out, Conn{Remote: netip.AddrPortFrom(addr(s), 1)})
	}
	return out
}

func TestBaseline(t *testing.T) {
	b := NewBaseline(BaselineConfig{MinSteps: 3})
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	step := func(conns []Conn) { b.Observe(now, conns); now = now.Add(time.Minute) }
	share := func(p string) float64 {
		t.Helper()
		s, known := b.Share(now, prefix(p))
		if !known {
			t.Fatal("not known")
		}
		return s
	}
	step(nil)
	step(nil)
	if _, known := b.Share(now, prefix("192.0.2.1/32")); known {
		t.Error("known after two steps")
	}
	step(nil)
	if s := share("192.0.2.1/32"); s != 0 {
		t.Errorf("nobody there, share %v", s)
	}
	for range 9 { // a customer who stays, from v6 too, where only the /64 counts
		step(from("192.0.2.1", "2001:db8::1", "2001:db8::2", "127.0.0.1"))
	}
	b.Observe(now, from("198.51.100.7", "198.51.100.7", "::ffff:198.51.100.8")) // and two who were there for a moment
	if n := b.Total(now); n != 4 {
		t.Errorf("%d peers, want 4", n)
	}
	for p, want := range map[string]float64{
		"192.0.2.1/32": 9.0 / 20, "192.0.2.0/24": 9.0 / 20, "2001:db8::99/128": 9.0 / 20, "2001:db8:1::/48": 0, "2001:db8::/32": 9.0 / 20,
		"198.51.100.0/24": 2.0 / 20, "198.51.100.7/32": 1.0 / 20, "0.0.0.0/0": 11.0 / 20, "::ffff:192.0.2.1/128": 9.0 / 20,
	} {
		if got := share(p); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
	}
	if n := b.Clients(now, prefix("198.51.100.0/24")); n != 2 {
		t.Errorf("%d clients", n)
	}
	back := now.Add(-10 * time.Minute) // a clock that jumps back loses nothing
	if n := b.Total(back); n != 4 {
		t.Errorf("%d peers after the clock jumped back", n)
	}
	now = now.Add(2 * time.Hour)
	if n := b.Total(now); n != 0 {
		t.Errorf("%d peers after two hours", n)
	}
	if _, known := b.Share(now, prefix("192.0.2.0/24")); known {
		t.Error("known after two hours without a look")
	}
	b.Observe(now.Add(-100*time.Hour), from("192.0.2.1")) // a jump over the whole window: time goes on from there
	b.Observe(now.Add(-99*time.Hour+time.Minute), nil)
	if n := b.Total(now.Add(-99*time.Hour + time.Minute)); n != 0 {
		t.Errorf("%d peers: time stands still after a jump back", n)
	}
}

func TestBaselineFull(t *testing.T) {
	b := NewBaseline(BaselineConfig{MinSteps: 1, MaxPeers: 100})
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	b.Observe(now, from("192.0.2.1"))
	for i := range 10000 { // a flood from as many addresses as it likes
		b.Observe(now, []Conn{{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)}})
	}
	if b.Total(now) != 100 || b.Refused() != 9901 {
		t.Errorf("%d peers, %d refused", b.Total(now), b.Refused())
	}
	if s, known := b.Share(now, prefix("192.0.2.1/32")); !known || s != 0.01 {
		t.Errorf("share %v, %v", s, known)
	}
}

// TestBaselineModel compares with a record of everything.
func TestBaselineModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := NewBaseline(BaselineConfig{MinSteps: 1})
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	type sight struct {
		step int
		peer netip.Addr
	}
	all := map[sight]bool{}
	step, checks := 0, 0
	for range 3000 {
		if rng.IntN(10) == 0 {
			step += rng.IntN(9)
		}
		now := start.Add(time.Duration(step)*time.Minute + time.Duration(rng.IntN(60))*time.Second)
		a := netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), byte(rng.IntN(4)), byte(rng.IntN(8))})
		b.Observe(now, []Conn{{Remote: netip.AddrPortFrom(a, 1)}})
		all[sight{step, a}] = true
		p, err := a.Prefix([]int{8, 16, 24, 30, 32}[rng.IntN(5)])
		if err != nil {
			t.Fatal(err)
		}
		in, sum := 0, 0
		peers := map[netip.Addr]bool{}
		for s := range all {
			if s.step <= step-steps {
				delete(all, s)
				continue
			}
			sum++
			if p.Contains(s.peer) {
				in++
				peers[s.peer] = true
			}
		}
		got, known := b.Share(now, p)
		if want := float64(in) / float64(sum); !known || math.Abs(got-want) > 1e-9 || b.Clients(now, p) != len(peers) {
			t.Fatalf("%s: share %v, want %v; %d clients, want %d", p, got, want, b.Clients(now, p), len(peers))
		}
		checks++
	}
	if checks < 3000 || bits.OnesCount64(b.looked) < 10 {
		t.Errorf("%d checks", checks)
	}
}

func BenchmarkShare(b *testing.B) {
	base := NewBaseline(BaselineConfig{MinSteps: 1})
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	var conns []Conn
	for i := range 1 << 16 {
		conns = append(conns, Conn{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 1)})
	}
	base.Observe(now, conns)
	p := prefix("10.7.0.0/16")
	b.ReportAllocs()
	for b.Loop() {
		base.Share(now, p)
	}
}
