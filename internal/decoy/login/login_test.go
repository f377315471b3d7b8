package login

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy/persona"
)

var (
	now  = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	here = persona.New([32]byte{1}, now)
	addr = netip.MustParseAddr
)

func gate(t testing.TB, change func(*Policy)) *Gate {
	t.Helper()
	p := Default()
	if change != nil {
		change(&p)
	}
	g, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// fail tries n passwords that nobody would accept so early.
func fail(t testing.TB, g *Gate, from netip.Addr, n int) {
	t.Helper()
	for i := range n {
		if g.Try(here, from, fmt.Sprintf("user%d", i), "no such password", now) {
			t.Fatalf("let in at attempt %d", i+1)
		}
	}
}

func TestWeakPairOpensAfterFailures(t *testing.T) {
	g := gate(t, nil)
	from := addr("192.0.2.1")
	fail(t, g, from, 4)
	if g.Try(here, from, "root", "admin", now) {
		t.Fatal("let in after four failures")
	}
	if !g.Try(here, from, "root", "admin", now) {
		t.Fatal("a weak pair is refused after five failures")
	}
	if g.Try(here, addr("192.0.2.2"), "root", "admin", now) {
		t.Error("a weak pair found by one source opens for another at once")
	}
}

func TestAnAccountHasOnePassword(t *testing.T) {
	g := gate(t, nil)
	from := addr("192.0.2.1")
	fail(t, g, from, 5)
	if !g.Try(here, from, "root", "admin", now) {
		t.Fatal("refused")
	}
	for range 5 {
		if g.Try(here, from, "root", "root", now) || g.Try(here, from, "root", "wrong", now) {
			t.Fatal("a second password opens the same account")
		}
	}
	if !g.Try(here, from, "root", "admin", now) {
		t.Error("the password that opened once is refused")
	}
	if g.Try(here, from, "root", "", now) {
		t.Error("an empty password opens an account that has one")
	}
}

func TestAnythingOpensInTheEnd(t *testing.T) {
	for i := range 50 {
		g := gate(t, nil)
		from := addr(fmt.Sprintf("192.0.2.%d", i))
		at := 0
		for n := 1; n <= 20; n++ {
			if g.Try(here, from, "bob", fmt.Sprintf("guess %d", n), now) {
				at = n
				break
			}
		}
		if at < 11 || at > 15 {
			t.Errorf("%v is let in at attempt %d, want 11 to 15", from, at)
		}
		if g.Try(here, from, "alice", "x", now) {
			t.Error("then everything opens")
		}
	}
}

func TestTheSameSourceMeetsTheSameHost(t *testing.T) {
	when := func() (at int) {
		g := gate(t, nil)
		for at = 1; !g.Try(here, addr("198.51.100.9"), "bob", fmt.Sprint("guess", at), now); at++ {
		}
		return at
	}
	if a, b := when(), when(); a != b {
		t.Errorf("let in at attempt %d, then at %d", a, b)
	}
}

func TestV6SourcesAreJudgedByNetwork(t *testing.T) {
	g := gate(t, nil)
	for i := range 5 {
		g.Try(here, addr(fmt.Sprintf("2001:db8:1:2::%d", i)), "root", "nope", now)
	}
	if !g.Try(here, addr("2001:db8:1:2:ffff::1"), "root", "admin", now) {
		t.Error("the failures of a /64 do not count for its other addresses")
	}
	if g.Try(here, addr("2001:db8:1:3::1"), "root", "admin", now) {
		t.Error("they count for another /64")
	}
}

func TestHandover(t *testing.T) {
	g := gate(t, func(p *Policy) { p.AnySpread = 0 })
	scanner, loader := addr("192.0.2.1"), addr("192.0.2.2")
	fail(t, g, scanner, 10)
	if !g.Try(here, scanner, "root", "found", now) {
		t.Fatal("refused")
	}
	if !g.Try(here, loader, "root", "found", now.Add(time.Minute)) {
		t.Error("what one found does not open for its loader")
	}
	if g.Try(here, addr("192.0.2.3"), "root", "found", now.Add(11*time.Minute)) {
		t.Error("it still opens after its time")
	}
}

// TestGuessingAgain: whoever starts a second round of guessing, or comes with
// what somebody else found, is let in again.
func TestGuessingAgain(t *testing.T) {
	g := gate(t, func(p *Policy) { p.AnySpread = 0 })
	a, b := addr("192.0.2.1"), addr("192.0.2.2")
	for round, from := range []netip.Addr{a, b, a, b} {
		pass := ""
		for i := range 15 {
			pass = fmt.Sprintf("Summer%d!%d", i, round)
			if g.Try(here, from, "root", pass, now) {
				if i != 10 {
					t.Errorf("round %d: let in at attempt %d, want 11", round, i+1)
				}
				break
			}
		}
		other := a
		if from == a {
			other = b
		}
		if !g.Try(here, other, "root", pass, now) {
			t.Errorf("round %d: what %v found does not open for %v", round, from, other)
		}
	}
}

func TestEmptyPasswords(t *testing.T) {
	g := gate(t, func(p *Policy) { p.AnySpread = 0 })
	from := addr("192.0.2.1")
	fail(t, g, from, 10)
	if g.Try(here, from, "bob", "", now) {
		t.Error("an empty password opens an ordinary account")
	}
	if !g.Try(here, from, "root", "", now) {
		t.Error("the listed empty password does not open")
	}
}

func TestNever(t *testing.T) {
	g := gate(t, func(p *Policy) { p.Never = true })
	for range 100 {
		if g.Try(here, addr("192.0.2.1"), "root", "root", now) {
			t.Fatal("let in")
		}
	}
}

func TestTablesAreBounded(t *testing.T) {
	g := gate(t, func(p *Policy) { p.MaxSources, p.AnyAfter, p.AnySpread = 100, 0, 0 })
	kept := addr("203.0.113.1")
	g.Try(here, kept, "root", "mine", now)
	for i := range 5000 {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		g.Try(here, from, "u", fmt.Sprint("p", i), now)
		if i%50 == 0 && !g.Try(here, kept, "root", "mine", now) {
			t.Fatal("a source in use is forgotten")
		}
	}
	if len(g.sources) > 100 || len(g.shared) > maxShared {
		t.Errorf("%d sources and %d credentials are kept", len(g.sources), len(g.shared))
	}
	n := 0
	for s := g.newest.next; s != &g.newest; s = s.next {
		n++
	}
	if n != len(g.sources) {
		t.Errorf("ring of %d for %d sources", n, len(g.sources))
	}
	many := gate(t, func(p *Policy) {
		p.WeakAfter = 0
		p.Weak = nil
		for i := range 100 {
			p.Weak = append(p.Weak, fmt.Sprintf("u%d:p", i))
		}
	})
	opened := 0
	for i := range 100 {
		if many.Try(here, kept, fmt.Sprintf("u%d", i), "p", now) {
			opened++
		}
	}
	if opened != maxAccounts {
		t.Errorf("one source opens %d accounts, want %d", opened, maxAccounts)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for want, change := range map[string]func(*Policy){
		"user:password":    func(p *Policy) { p.Weak = []string{"root"} },
		"max_sources":      func(p *Policy) { p.MaxSources = 0 },
		"must not be nega": func(p *Policy) { p.AnyAfter = -1 },
	} {
		p := Default()
		change(&p)
		if _, err := New(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func BenchmarkTry(b *testing.B) {
	g := gate(b, nil)
	for i := 0; b.Loop(); i++ {
		g.Try(here, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "root", "x", now)
	}
}
