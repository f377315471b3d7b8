package enforce

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bartizan/internal/model"
)

func id(n int) (u model.ULID) {
	binary.BigEndian.PutUint64(u[8:], uint64(n)+1)
	return u
}

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func order(n, version int) Order {
	a := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return Order{Decision: id(n), Prefix: netip.PrefixFrom(a, 32), Action: model.Block, Until: epoch.Add(time.Duration(version+1) * time.Hour)}
}

func collect(s State) []Order { return slices.Collect(s.All()) }

// A snapshot never changes, All is the book sorted, and Since leads from any
// older snapshot to any newer one.
func TestBookSnapshots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBook()
		naive := map[model.ULID]Order{}
		type kept struct {
			state State
			all   []Order
		}
		var old []kept
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := rapid.IntRange(0, 15).Draw(t, "n")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				o := order(n, rapid.IntRange(0, 2).Draw(t, "version"))
				if was := naive[o.Decision]; b.Set(o) == (was == o) {
					t.Fatal("Set reports a change where there is none, or the reverse")
				}
				naive[o.Decision] = o
			case 2:
				_, was := naive[id(n)]
				if b.Delete(id(n)) != was {
					t.Fatal("Delete is wrong about what was there")
				}
				delete(naive, id(n))
			case 3:
				s := b.Snapshot()
				var want []Order
				for _, o := range naive {
					want = append(want, o)
				}
				slices.SortFunc(want, func(x, y Order) int { return x.Decision.Compare(y.Decision) })
				if got := collect(s); !slices.Equal(got, want) {
					t.Fatalf("All yields %v, want %v", got, want)
				}
				old = append(old, kept{s, want})
			}
		}
		for i, a := range old {
			if !slices.Equal(collect(a.state), a.all) {
				t.Fatal("a snapshot has changed")
			}
			for _, z := range old[i:] {
				checkSince(t, a.state, z.state)
			}
			if _, _, ok := a.state.Since(a.state.Generation() + 1); ok {
				t.Fatal("a snapshot knows the future")
			}
		}
	})
}

func checkSince(t *rapid.T, from, to State) {
	added, removed, ok := to.Since(from.Generation())
	if !ok {
		t.Fatal("Since does not know a recent generation")
	}
	now := map[model.ULID]Order{}
	for o := range from.All() {
		now[o.Decision] = o
	}
	for _, o := range removed {
		if now[o.Decision] != o {
			t.Fatalf("removes %v, which is not there", o)
		}
		delete(now, o.Decision)
	}
	for _, o := range added {
		if _, there := now[o.Decision]; there {
			t.Fatalf("adds %v, which is there", o)
		}
		now[o.Decision] = o
	}
	want := collect(to)
	if len(now) != len(want) {
		t.Fatalf("Since leads to %d orders, want %d", len(now), len(want))
	}
	for _, o := range want {
		if now[o.Decision] != o {
			t.Fatalf("Since misses %v", o)
		}
	}
}

// With 200,000 orders a change costs the change, not the book; what is too long
// ago is admitted to be unknown.
func TestBookOfMany(t *testing.T) {
	const many = 200_000
	b := NewBook()
	for n := range many {
		b.Set(order(n, 0))
	}
	first := b.Snapshot()
	if _, _, ok := first.Since(0); ok {
		t.Error("Since claims to know all the way back")
	}
	start := time.Now()
	last := first
	for n := range 200 {
		b.Set(order(n*977, 1))
		last = b.Snapshot()
	}
	if each := time.Since(start) / 200; each > 5*time.Millisecond {
		t.Errorf("a change and a snapshot take %s", each)
	}
	added, removed, ok := last.Since(first.Generation())
	if !ok || len(added) != 200 || len(removed) != 200 {
		t.Errorf("since the first snapshot: %d added, %d removed, %v", len(added), len(removed), ok)
	}
	for n := range 20_000 { // through the base
		b.Delete(id(n))
	}
	all := collect(b.Snapshot())
	if len(all) != many-20_000 || !slices.IsSortedFunc(all, func(x, y Order) int { return x.Decision.Compare(y.Decision) }) {
		t.Errorf("%d orders", len(all))
	}
	if got := collect(first); len(got) != many || got[977] != order(977, 0) {
		t.Error("the first snapshot has changed")
	}
}

func TestLatestKeepsTheNewest(t *testing.T) {
	var l Latest
	s, newer := l.Get()
	if s != nil {
		t.Fatal("a state out of nowhere")
	}
	b := NewBook()
	one := b.Snapshot()
	b.Set(order(1, 0))
	two := b.Snapshot()
	l.Set(two)
	<-newer
	l.Set(one)
	l.Set(nil)
	s, newer = l.Get()
	if s != two {
		t.Error("an older state replaced a newer one")
	}
	select {
	case <-newer:
		t.Error("told of a newer state that is none")
	default:
	}
}

// The tracker against the plain definition: what is held is what the state
// wants and has not ended.
func TestTrackerFollowsAnyBook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, tr, now := NewBook(), NewTracker(), epoch
		held := map[model.ULID]Order{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				n := rapid.IntRange(0, 9).Draw(t, "n")
				if rapid.Bool().Draw(t, "set") {
					b.Set(order(n, rapid.IntRange(0, 4).Draw(t, "hours")))
				} else {
					b.Delete(id(n))
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(-20, 40).Draw(t, "minutes")) * time.Minute)
			if rapid.IntRange(0, 5).Draw(t, "forget") == 0 {
				tr.seeded = false // as when the log was too short
			}
			c := tr.Next(b.Snapshot(), now)
			for _, list := range [][]Order{c.Removed, c.Expired} {
				for _, o := range list {
					if held[o.Decision] != o {
						t.Fatalf("lets go of %v, which is not held", o)
					}
					delete(held, o.Decision)
				}
			}
			for _, o := range c.Added {
				held[o.Decision] = o
			}
			count := 0
			next := time.Time{}
			for o := range b.Snapshot().All() {
				if o.Until.After(now) {
					count++
					if held[o.Decision] != o || !tr.Holds(o.Decision) {
						t.Fatalf("does not hold %v", o)
					}
					if next.IsZero() || o.Until.Before(next) {
						next = o.Until
					}
				}
			}
			if count != len(held) || tr.Len() != count {
				t.Fatalf("holds %d, tells of %d, want %d", tr.Len(), len(held), count)
			}
			if at, ok := tr.NextEnd(); ok != (count > 0) || ok && !at.Equal(next) {
				t.Fatalf("next end %s, want %s", at, next)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	l := DefaultLimits()
	l.Never = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	also := []netip.Prefix{netip.MustParsePrefix("2001:db8:1::1/128")}
	for text, want := range map[string]bool{
		"203.0.113.1/32": true, "10.0.0.0/8": true, "11.0.0.0/7": false, "0.0.0.0/0": false, "192.0.2.7/32": false, "192.0.0.0/16": false,
		"2001:db8:2::/56": true, "2001:db8::/55": false, "::/0": false, "2001:db8:1::/64": false, "::ffff:1.2.3.4/128": false,
	} {
		o := Order{Prefix: netip.MustParsePrefix(text), Action: model.Block, Until: epoch}
		if got := l.Refuse(o, also); (got == "") != want {
			t.Errorf("%s: %q, accepted should be %v", text, got, want)
		}
	}
	o := Order{Prefix: netip.MustParsePrefix("2001:db8::/40"), Action: model.Block, Until: epoch, Manual: true}
	if why := l.Refuse(o, nil); why != "" {
		t.Errorf("a person may order a /40: %s", why)
	}
}
