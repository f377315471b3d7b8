package nft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"bartizan/internal/enforce"
	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/model"
)

var (
	attacker4 = netip.MustParsePrefix("198.18.0.2/24")
	victim4   = netip.MustParsePrefix("198.18.0.1/24")
	attacker6 = netip.MustParsePrefix("2001:db8:7::2/64")
	victim6   = netip.MustParsePrefix("2001:db8:7::1/64")
)

// scene is an attacker and a victim whose kernel the enforcer drives.
type scene struct {
	attacker, victim *enforcetest.Net
	e                *Enforcer
	book             *enforce.Book
	got              map[model.ULID][]model.ReceiptStatus
}

func newScene(t testing.TB, cable bool) *scene {
	t.Helper()
	needNft(t)
	s := &scene{victim: enforcetest.NewNet(t)}
	s.prepare()
	if cable {
		s.attacker = enforcetest.NewNet(t)
		enforcetest.Join(t, s.attacker, s.victim, []netip.Prefix{attacker4, attacker6}, []netip.Prefix{victim4, victim6})
	}
	s.e = openIn(t, s.victim, nil)
	return s
}

func (s *scene) prepare() {
	s.book, s.got = enforce.NewBook(), map[model.ULID][]model.ReceiptStatus{}
}

func (s *scene) apply(t testing.TB) {
	t.Helper()
	err := s.e.Apply(context.Background(), s.book.Snapshot(), func(r model.Receipt) { s.got[r.Decision] = append(s.got[r.Decision], r.Status) })
	if err != nil {
		t.Fatal(err)
	}
}

func (s *scene) block(n int, prefix string, d time.Duration) {
	s.book.Set(enforcetest.Order(n, prefix, model.Block, d))
}

// kernel reads a set of the victim as ranges.
func (s *scene) kernel(t testing.TB, set int) []rangeOf {
	t.Helper()
	sock, err := dial(s.victim.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.close()
	list, err := s.e.layout.ranges(t.Context(), sock, set)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The property of TestFlatMatchesNaiveModel, on the kernel: whatever comes and
// goes in whatever order, every address is held as long as the longest order
// that covers it, and what is no more wanted is gone.
func TestKernelMatchesNaiveModel(t *testing.T) {
	for _, u := range []netip.Prefix{netip.MustParsePrefix("203.0.113.0/27"), netip.MustParsePrefix("255.255.255.224/27"), netip.MustParsePrefix("2001:db8:0:20::/59")} {
		t.Run(u.String(), func(t *testing.T) {
			s := newScene(t, false)
			rounds := 0
			rapid.Check(t, func(rt *rapid.T) {
				rounds++
				if rounds > 25 {
					return // each round is a few dozen transactions and reads
				}
				if rounds%5 == 0 {
					s.e = openIn(t, s.victim, nil) // as after a crash
				}
				s.book = enforce.NewBook()
				s.e.tracker = enforce.NewTracker() // another book
				s.e.flats, s.e.synced = [setCount]flat{{width: 32}, {width: 128}, {width: 32}, {width: 128}, {width: 32}, {width: 128}}, false
				m := naive{}
				for range rapid.IntRange(2, 6).Draw(rt, "rounds") {
					for range rapid.IntRange(1, 5).Draw(rt, "changes") {
						n := rapid.IntRange(1, 8).Draw(rt, "decision")
						delete(m, id(n))
						s.book.Delete(id(n))
						if rapid.IntRange(0, 3).Draw(rt, "set") > 0 {
							p := prefixIn(rt, u)
							until := time.Now().Add(time.Duration(rapid.IntRange(1, 5).Draw(rt, "minutes")) * 10 * time.Minute)
							m[id(n)] = struct {
								prefix netip.Prefix
								until  int64
							}{p, until.UnixMilli()}
							s.book.Set(enforce.Order{Decision: id(n), Prefix: p, Action: model.Block, Until: until, Manual: true})
						}
					}
					s.apply(t)
					s.compare(t, rt, u, m)
				}
			})
		})
	}
}

func (s *scene) compare(t *testing.T, rt *rapid.T, u netip.Prefix, m naive) {
	set := setBlock4
	if u.Addr().Is6() {
		set = setBlock6
	}
	list := s.kernel(t, set)
	for _, a := range addressesIn(u) {
		got := int64(0)
		for _, r := range list {
			if x := fromAddr(a); !x.less(r.lo) && !r.hi.less(x) {
				got = r.until
			}
		}
		if want := m.until(a); (got == 0) != (want == 0) || abs(got-want) > tolerance {
			rt.Fatalf("the kernel holds %s until %d, want %d; it holds %v", a, got, want, list)
		}
	}
}

func abs(v int64) int64 { return max(v, -v) }

// Ends in the kernel: what only the kernel's clock ends, and what is extended.
func TestKernelEndsWithoutUs(t *testing.T) {
	s := newScene(t, false)
	start := time.Now()
	s.block(1, "203.0.113.0/24", 500*time.Millisecond)
	s.block(2, "203.0.113.7/32", time.Hour)
	s.block(3, "198.51.100.9/32", time.Minute)
	s.apply(t)
	held := func(a string) bool { return holds(t, s.victim, netip.MustParseAddr(a)) }
	enforcetest.Until(t, "the kernel lets go", 10*time.Second, func() bool { return !held("203.0.113.1") })
	if took := time.Since(start); took < 450*time.Millisecond {
		t.Errorf("let go after %s, too early", took)
	}
	if !held("203.0.113.7") {
		t.Error("the narrow one went with the wide one")
	}
	s.block(3, "198.51.100.9/32", 3*time.Hour) // and the wide one is cleaned up, although it is gone already
	s.apply(t)
	for _, r := range s.kernel(t, setBlock4) {
		if left := time.Until(time.UnixMilli(r.until)); r.lo == fromAddr(netip.MustParseAddr("198.51.100.9")) && (left < 179*time.Minute || left > 181*time.Minute) {
			t.Errorf("extended to %s from now, want 3h", left)
		}
	}
	if st := s.got[id(1)]; len(st) != 2 {
		t.Errorf("receipts of the wide one: %v", st)
	}
}

func TestDriftIsFoundAndRepaired(t *testing.T) {
	for name, damage := range map[string]string{
		"table deleted":       "delete table inet bartizan",
		"set emptied":         "flush set inet bartizan block4",
		"element deleted":     "delete element inet bartizan block4 { 203.0.113.0/24 }",
		"element added":       "add element inet bartizan block4 { 9.9.9.9 }",
		"element that lasts":  "delete element inet bartizan block4 { 203.0.113.0/24 }; add element inet bartizan block4 { 203.0.113.0/24 timeout 10h }",
		"chain emptied":       "flush chain inet bartizan input",
		"rule in front":       "insert rule inet bartizan input accept",
		"everything flushed":  "flush ruleset",
		"foreign chain added": "add chain inet bartizan more",
		"unfinished exchange": "add set inet bartizan block4b { type ipv4_addr; flags interval,timeout; }",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, false)
			s.block(1, "203.0.113.0/24", time.Hour)
			s.block(2, "2001:db8:1::/64", time.Hour)
			s.apply(t)
			for range 2 {
				if drift, err := s.e.Audit(t.Context()); drift || err != nil {
					t.Fatalf("drift %v, %v before anything was done", drift, err)
				}
			}
			s.victim.Run(t, "nft", damage)
			if drift, err := s.e.Audit(t.Context()); !drift || err != nil {
				t.Fatalf("drift %v, %v after %s", drift, err, damage)
			}
			s.apply(t)
			if drift, err := s.e.Audit(t.Context()); drift || err != nil {
				t.Errorf("drift %v, %v after the repair", drift, err)
			}
			if !holds(t, s.victim, netip.MustParseAddr("203.0.113.200")) || holds(t, s.victim, netip.MustParseAddr("9.9.9.9")) {
				t.Error("not repaired")
			}
			for n := 1; n <= 2; n++ {
				if st := s.got[id(n)]; len(st) != 1 {
					t.Errorf("receipts of decision %d: %v", n, st)
				}
			}
		})
	}
}

// Without an audit, too: a transaction the kernel refuses because others have
// been in our table changes nothing, and the same Apply repairs it.
func TestRefusedTransactionIsRepairedAtOnce(t *testing.T) {
	s := newScene(t, false)
	s.block(1, "203.0.113.0/24", time.Hour)
	s.apply(t)
	s.victim.Run(t, "nft", "add element inet bartizan block4 { 198.51.100.128/25 }")
	s.block(2, "198.51.100.0/24", time.Hour)
	s.apply(t)
	s.victim.Run(t, "nft", "delete table inet bartizan")
	s.book.Delete(id(2))
	s.apply(t)
	if !holds(t, s.victim, netip.MustParseAddr("203.0.113.1")) || holds(t, s.victim, netip.MustParseAddr("198.51.100.200")) {
		t.Error("not repaired")
	}
}

// When the clock was set, every end in the kernel is off: the next Apply must
// look at all of them, not only at what changed.
func TestClockJumpIsNoticed(t *testing.T) {
	s := newScene(t, false)
	s.block(1, "203.0.113.0/24", time.Hour)
	s.apply(t)
	s.victim.Run(t, "nft", "delete element inet bartizan block4 { 203.0.113.0/24 }; add element inet bartizan block4 { 203.0.113.0/24 timeout 3h }")
	s.apply(t)
	left := func() time.Duration {
		return time.Until(time.UnixMilli(s.kernel(t, setBlock4)[0].until)).Round(time.Minute)
	}
	if left() != 3*time.Hour {
		t.Fatalf("%s left: Apply without a change reads everything back", left())
	}
	s.e.skew -= 2 * time.Hour
	s.apply(t)
	if left() != time.Hour {
		t.Errorf("%s left after the clock was set, want 1h", left())
	}
}

// A read-back under way must not hold up a decision.
func TestReadBackDelaysNoDecision(t *testing.T) {
	s := newScene(t, false)
	s.apply(t)
	s.e.reader.mu.Lock() // as a long read does
	defer s.e.reader.mu.Unlock()
	s.block(1, "203.0.113.0/24", time.Hour)
	done := make(chan struct{})
	go func() { defer close(done); s.apply(t) }()
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatal("Apply waits for the read-back")
	}
}

// A restart that finds what it wants changes nothing, so counts survive.
func TestRestartTouchesNothing(t *testing.T) {
	s := newScene(t, true)
	s.block(1, "198.18.0.0/24", time.Hour)
	s.block(2, "2001:db8:1::/64", 2*time.Hour)
	s.apply(t)
	sent, _ := s.flood(t)
	enforcetest.Until(t, "packets are dropped", 5*time.Second, func() bool { return sent.Load() > 100 })
	sock, err := dial(s.victim.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.close()
	before, err := generation(t.Context(), sock)
	if err != nil {
		t.Fatal(err)
	}
	s.e = openIn(t, s.victim, nil)
	s.apply(t)
	if after, err := generation(t.Context(), sock); err != nil || after != before {
		t.Errorf("the restart made a transaction: generation %d, before %d, %v", after, before, err)
	}
	c, err := s.e.Counters(t.Context())
	if err != nil || c[id(1)].Packets < 100 {
		t.Errorf("counters after a restart %v, %v", c, err)
	}
	list, err := s.e.Read(t.Context())
	if fmt.Sprint(list) != "[198.18.0.0/24 2001:db8:1::/64]" || err != nil {
		t.Errorf("read %v, %v", list, err)
	}
}

func TestOtherSettingsRebuildTheTable(t *testing.T) {
	s := newScene(t, false)
	s.block(1, "203.0.113.0/24", time.Hour)
	s.apply(t)
	s.e = openIn(t, s.victim, func(c *Config) { c.Priority, c.Hooks = -150, []string{"prerouting"} })
	s.apply(t)
	rules := s.victim.Run(t, "nft", "list table inet bartizan")
	if !strings.Contains(rules, "hook prerouting priority mangle") || strings.Contains(rules, "chain input") || !strings.Contains(rules, "203.0.113.0/24") {
		t.Errorf("rules after other settings:\n%s", rules)
	}
}

// What the user can do about it stands in the error.
func TestErrorsSayWhatToDo(t *testing.T) {
	s := newScene(t, false)
	s.block(1, "203.0.113.0/24", time.Hour)
	e := openIn(t, s.victim, func(c *Config) { c.Netns = "/does/not/exist" })
	if err := e.Apply(t.Context(), s.book.Snapshot(), func(model.Receipt) { t.Error("receipt") }); err == nil || !strings.Contains(err.Error(), "network namespace") {
		t.Errorf("no namespace: %v", err)
	}
	e = openIn(t, s.victim, func(c *Config) { c.Netns, c.Table = "", "bartizan_unprivileged" })
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends without its capabilities
		var data [2]unix.CapUserData
		if err = unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err == nil {
			err = e.Apply(context.Background(), s.book.Snapshot(), func(model.Receipt) { t.Error("receipt") })
		}
	}()
	<-done
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("without privileges: %v", err)
	}
	if exec.Command("nft", "list", "table", "inet", "bartizan_unprivileged").Run() == nil {
		t.Error("there is a table in the namespace of the tests")
	}
}

func TestConfigMistakes(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"table":      func(c *Config) { c.Table = "a b" },
		"hooks must": func(c *Config) { c.Hooks = nil },
		"unknown":    func(c *Config) { c.Hooks = []string{"output"} },
		"twice":      func(c *Config) { c.Hooks = []string{"input", "input"} },
		"priority":   func(c *Config) { c.Priority = 500 },
		"throttle":   func(c *Config) { c.ThrottleRate = 0 },
		"widest_v6":  func(c *Config) { c.Limits.Widest6 = 0 },
	} {
		c := Default()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %s", err, want)
		}
	}
	if _, err := New(Default()); err != nil {
		t.Error(err)
	}
}
