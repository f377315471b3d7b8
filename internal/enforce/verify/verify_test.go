package verify

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/enforce/enforcetest"
)

// stage is an attacker and a victim that listens.
type stage struct {
	attacker, victim *enforcetest.Net
	port             uint16
}

var (
	attacker4 = netip.MustParsePrefix("198.51.100.2/24")
	victim4   = netip.MustParsePrefix("198.51.100.1/24")
	attacker6 = netip.MustParsePrefix("2001:db8:7::2/64")
	victim6   = netip.MustParsePrefix("2001:db8:7::1/64")
)

func newStage(t *testing.T) *stage {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the nft command, to block without the enforcer")
	}
	s := &stage{attacker: enforcetest.NewNet(t), victim: enforcetest.NewNet(t)}
	enforcetest.Join(t, s.attacker, s.victim, []netip.Prefix{attacker4, attacker6}, []netip.Prefix{victim4, victim6})
	var l net.Listener
	err := s.victim.Do(func() (err error) {
		l, err = net.Listen("tcp", ":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.port = uint16(l.Addr().(*net.TCPAddr).Port)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	s.victim.Run(t, "nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
	return s
}

func (s *stage) target(src, dst netip.Prefix, port uint16) Target {
	return Target{Netns: s.attacker.Path, Source: src.Addr(), Dest: netip.AddrPortFrom(dst.Addr(), port)}
}

func TestProbeTellsOutcomesApart(t *testing.T) {
	s := newStage(t)
	for name, pair := range map[string][2]netip.Prefix{"v4": {attacker4, victim4}, "v6": {attacker6, victim6}} {
		t.Run(name, func(t *testing.T) {
			look := func(port uint16, want Outcome) {
				t.Helper()
				// An answer is waited for as long as a busy machine needs; only one that never comes is not.
				limit := 20 * time.Second
				if want == Dropped {
					limit = 100 * time.Millisecond
				}
				r, err := Probe(t.Context(), s.target(pair[0], pair[1], port), limit)
				if err != nil || r.Outcome != want || (r.Took >= limit) != (want == Dropped) {
					t.Errorf("outcome %s after %s of %s, %v; want %s", r.Outcome, r.Took, limit, err, want)
				}
			}
			look(s.port, Accepted)
			look(1, Refused)
			family := map[bool]string{true: "ip", false: "ip6"}[pair[0].Addr().Is4()]
			s.victim.Run(t, "nft", "add rule inet t c "+family+" saddr "+pair[0].Addr().String()+" drop")
			look(s.port, Dropped)
			s.victim.Run(t, "nft", "flush chain inet t c")
			s.victim.Run(t, "nft", "add rule inet t c "+family+" saddr "+pair[0].Addr().String()+" meta l4proto tcp reject with tcp reset")
			look(s.port, Refused)
			s.victim.Run(t, "nft", "flush chain inet t c")
			if family == "ip" { // the error of a router on the way
				s.victim.Run(t, "nft", "add rule inet t c reject with icmpx admin-prohibited")
				look(s.port, Refused)
				s.victim.Run(t, "nft", "flush chain inet t c")
			}
		})
	}
}

// "Could not look" must never be told as an outcome.
func TestProbeErrors(t *testing.T) {
	s := newStage(t)
	for name, target := range map[string]Target{
		"no destination":   {},
		"no such netns":    {Netns: "/does/not/exist", Dest: netip.AddrPortFrom(victim4.Addr(), s.port)},
		"foreign source":   {Netns: s.attacker.Path, Source: netip.MustParseAddr("203.0.113.1"), Dest: netip.AddrPortFrom(victim4.Addr(), s.port)},
		"families differ":  {Netns: s.attacker.Path, Source: attacker6.Addr(), Dest: netip.AddrPortFrom(victim4.Addr(), s.port)},
		"not a namespace":  {Netns: "/etc/hostname", Dest: netip.AddrPortFrom(victim4.Addr(), s.port)},
		"no port to go to": {Netns: s.attacker.Path, Dest: netip.AddrPortFrom(victim4.Addr(), 0)},
	} {
		if r, err := Probe(t.Context(), target, 0); err == nil || r.Outcome != Unknown {
			t.Errorf("%s: outcome %s, error %v; want an error and no outcome", name, r.Outcome, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.victim.Run(t, "nft", "add rule inet t c drop")
	if r, err := Probe(ctx, s.target(attacker4, victim4, s.port), time.Minute); err == nil || r.Outcome != Unknown {
		t.Errorf("ended context: outcome %s, error %v", r.Outcome, err)
	}
}

func TestProberSeesBlockAndRelease(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cpu, began := cpuTime(t), time.Now()
	p, err := Start(ctx, s.target(attacker4, victim4, s.port), Options{})
	if err != nil {
		t.Fatal(err)
	}
	enforcetest.Until(t, "the way is open", 20*time.Second, func() bool { return p.Report().Accepted > 5 })
	start := time.Now()
	s.victim.Run(t, "nft", "add rule inet t c ip saddr 198.51.100.2 drop")
	wait(t, p.Blocked(), "blocked")
	release := time.Now()
	s.victim.Run(t, "nft", "flush chain inet t c")
	wait(t, p.Released(), "released")
	cancel()
	r, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	// Times are those of the attempts, not of when they were judged: that a drop is one
	// is known only when its time is over. How soon they come is the machine's business.
	if r.Blocked.Before(start) || r.Blocked.After(release.Add(-defaultTimeout)) || r.How != Dropped {
		t.Errorf("blocked %s after the rule was asked for, %s before it was told, how %s", r.Blocked.Sub(start), release.Sub(r.Blocked), r.How)
	}
	if r.Released.Before(release) {
		t.Errorf("released %s after it was asked for", r.Released.Sub(release))
	}
	if r.Dropped < 2 || r.Unknown != 0 || r.Refused != 0 {
		t.Errorf("report %+v", r)
	}
	if used, took := cpuTime(t)-cpu, time.Since(began); used > took/2 {
		t.Errorf("used %s of processor time in %s", used, took)
	}
}

func TestProberReportsThatItCannotLook(t *testing.T) {
	s := newStage(t)
	target := s.target(attacker4, victim4, s.port)
	target.Source = netip.MustParseAddr("203.0.113.1")
	p, err := Start(t.Context(), target, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := p.Wait(); err == nil || r.Dropped+r.Refused+r.Accepted != 0 {
		t.Errorf("report %+v, error %v; want nothing seen and an error", r, err)
	}
}

func wait(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatalf("not %s within 20 s", what)
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
