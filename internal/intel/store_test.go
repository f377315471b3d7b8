package intel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"bartizan/internal/model"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func entity(t testing.TB, kind model.EntityType, v string) model.Entity {
	t.Helper()
	e, err := model.ParseEntity(kind, v)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ip(t testing.TB, v string) model.Entity { return entity(t, model.TypeIP, v) }

func signal(t testing.TB, n int, actor, kind string, class model.Class, sensor string, conf float64, at time.Time) *model.Signal {
	t.Helper()
	var id model.ULID
	copy(id[:], fmt.Sprintf("%016d", n))
	return &model.Signal{ID: id, Time: at, Kind: kind, Class: class, Actor: ip(t, actor), Sensor: sensor,
		Confidence: conf, Severity: model.Medium, Count: 1}
}

func get(t testing.TB, st *Store, actor string, now time.Time) model.Indicator {
	t.Helper()
	ind, ok := st.Get(ip(t, actor), now)
	if !ok {
		t.Fatalf("no indicator for %s", actor)
	}
	return ind
}

// genSignals draws a stream with few actors, kinds and sensors, so that
// repeats, shared classes and independent sensors all occur.
func genSignals(r *rapid.T, t testing.TB) []*model.Signal {
	n := rapid.IntRange(1, 40).Draw(r, "n")
	classes := []model.Class{model.ClassContact, model.ClassAuth, model.ClassCommand, "invented"}
	out := make([]*model.Signal, n)
	for i := range out {
		s := signal(t, i+1, rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}).Draw(r, "actor"),
			rapid.SampledFrom([]string{"k.a", "k.b", "k.c", "k.d"}).Draw(r, "kind"),
			rapid.SampledFrom(classes).Draw(r, "class"),
			rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(r, "sensor"),
			rapid.Float64Range(0, 1).Draw(r, "confidence"),
			t0.Add(time.Duration(rapid.IntRange(-7200, 240).Draw(r, "at"))*time.Second))
		s.Spoofable = rapid.IntRange(0, 4).Draw(r, "spoofable") == 0
		out[i] = s
	}
	return out
}

func dump(st *Store, now time.Time) []model.Indicator {
	return st.List(now, Filter{Limit: MaxList})
}

func TestTermsSumToLogOdds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		st := New(Default())
		for _, s := range genSignals(r, t) {
			st.Fold(s)
		}
		now := t0.Add(time.Duration(rapid.IntRange(0, 100_000).Draw(r, "later")) * time.Second)
		for _, ind := range dump(st, now) {
			sum := 0.0
			for _, term := range ind.Terms {
				sum += term.LogLR
				if term.LogLR < 0 && term.What != "prior" {
					r.Fatalf("term %+v excuses the actor", term)
				}
			}
			if got := 1 / (1 + math.Exp(-sum)); got != ind.Confidence {
				r.Fatalf("terms sum to %v = %v, confidence %v", sum, got, ind.Confidence)
			}
		}
	})
}

func TestOrderAndReplayDoNotMatter(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		signals := genSignals(r, t)
		// The window that recognises repeats is per kind and sensor: stay inside.
		seen := map[string]int{}
		signals = slices.DeleteFunc(signals, func(s *model.Signal) bool {
			k := fmt.Sprint(s.Actor, s.Kind, s.Sensor, s.Class, s.Spoofable)
			seen[k]++
			return seen[k] > MaxTermIDs
		})
		a, b := New(Default()), New(Default())
		for _, s := range signals {
			a.Fold(s)
		}
		shuffled := slices.Clone(signals)
		seed := rapid.Uint64().Draw(r, "seed")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for range 2 { // the second pass is a replay
			for _, s := range shuffled {
				b.Fold(s)
			}
		}
		for _, now := range []time.Time{t0, t0.Add(5 * time.Hour)} {
			if x, y := dump(a, now), dump(b, now); !reflect.DeepEqual(x, y) {
				r.Fatalf("order or replay changed the state:\n%+v\n%+v", x, y)
			}
		}
		if got := b.Stats().Repeated; got < uint64(len(signals)) {
			r.Fatalf("%d repeats recognised of %d", got, len(signals))
		}
		if a.Stats().Bytes != b.Stats().Bytes && a.Stats().Indicators != b.Stats().Indicators {
			r.Fatal("accounting differs")
		}
	})
}

func TestInOrderReplayOfLongStream(t *testing.T) {
	st := New(Default())
	stream := make([]*model.Signal, 500)
	for i := range stream {
		stream[i] = signal(t, i+1, "192.0.2.1", "auth.brute-force", model.ClassAuth, "s", 0.9, t0.Add(time.Duration(i)*time.Second))
	}
	for _, s := range stream {
		st.Fold(s)
	}
	want := get(t, st, "192.0.2.1", t0.Add(time.Hour))
	for _, s := range stream {
		if c := st.Fold(s); c != nil {
			t.Fatalf("replayed signal %v changed %v", s.ID, c)
		}
	}
	if got := get(t, st, "192.0.2.1", t0.Add(time.Hour)); !reflect.DeepEqual(got, want) {
		t.Fatalf("replay changed the indicator: %+v, want %+v", got, want)
	}
	if want.Count != 500 || len(want.Signals) != MaxTermIDs {
		t.Fatalf("count %d, %d signals kept", want.Count, len(want.Signals))
	}
}

func TestSpoofableEvidenceNeverCounts(t *testing.T) {
	st := New(Default())
	for i := range 200 {
		s := signal(t, i+1, "192.0.2.1", fmt.Sprintf("scan.k%d", i%6), []model.Class{model.ClassScan, model.ClassProbe, model.ClassExploit}[i%3], fmt.Sprintf("s%d", i%5), 0.99, t0)
		s.Spoofable = true
		s.Related = []model.Entity{ip(t, "198.51.100.7"), entity(t, model.TypeSHA256, "0000000000000000000000000000000000000000000000000000000000000001")}
		st.Fold(s)
	}
	for _, ind := range dump(st, t0) {
		if math.Abs(ind.Confidence-0.05) > 1e-9 || len(ind.Classes) != 0 || !ind.LastProof.IsZero() {
			t.Fatalf("forged evidence counted: %+v", ind)
		}
		if len(ind.Terms) < 2 || ind.Terms[1].Note != "spoofable: not counted" {
			t.Fatalf("not explained: %+v", ind.Terms)
		}
	}
	if st.Len() != 3 {
		t.Fatalf("%d indicators, want 3: forged evidence is kept and shown", st.Len())
	}
	if gone := st.Expire(t0.Add(16 * time.Minute)); len(gone) != 3 {
		t.Fatalf("forged evidence outlives its time: %v", gone)
	}
}

func TestWeights(t *testing.T) {
	conf := Default()
	at := func(signals ...*model.Signal) model.Indicator {
		st := New(conf)
		for _, s := range signals {
			st.Fold(s)
		}
		return get(t, st, "192.0.2.1", t0)
	}
	one := at(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.95, t0))
	repeat := at(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.95, t0), signal(t, 2, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.95, t0))
	sameClass := at(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.95, t0), signal(t, 2, "192.0.2.1", "auth.b", model.ClassAuth, "s1", 0.95, t0))
	otherClass := at(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.95, t0), signal(t, 2, "192.0.2.1", "cmd.b", model.ClassCommand, "s1", 0.95, t0))
	otherSensor := at(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.95, t0), signal(t, 2, "192.0.2.1", "auth.a", model.ClassAuth, "s2", 0.95, t0))
	if !(one.Confidence < repeat.Confidence && repeat.Confidence < sameClass.Confidence*1.1 && sameClass.Confidence < otherClass.Confidence) {
		t.Fatalf("one %v, repeat %v, same class %v, other class %v", one.Confidence, repeat.Confidence, sameClass.Confidence, otherClass.Confidence)
	}
	if math.Abs(otherSensor.Confidence-otherClass.Confidence) > 1e-12 {
		t.Fatalf("an independent sensor adds in full: %v, %v", otherSensor.Confidence, otherClass.Confidence)
	}
	if len(one.Classes) != 1 || len(otherClass.Classes) != 2 || len(otherSensor.Classes) != 1 {
		t.Fatalf("classes %v %v %v", one.Classes, otherClass.Classes, otherSensor.Classes)
	}
	// Bounded: endless repeats of one kind from one sensor.
	var flood []*model.Signal
	for i := range 10_000 {
		flood = append(flood, signal(t, i+1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 1, t0))
	}
	limit := sigmoid(logit(conf.Prior) + conf.MaxLLR*(1+conf.RepeatGain))
	if got := at(flood...).Confidence; got > limit || got < limit-1e-9 {
		t.Fatalf("flood reaches %v, bound %v", got, limit)
	}
	// Weak evidence excuses nobody.
	weak := at(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.95, t0), signal(t, 2, "192.0.2.1", "contact", model.ClassContact, "s1", 0.01, t0))
	if weak.Confidence != one.Confidence {
		t.Fatalf("weak evidence moved %v to %v", one.Confidence, weak.Confidence)
	}
}

func TestContactAndInventedClassesAreNoKinds(t *testing.T) {
	st := New(Default())
	for i, c := range []model.Class{model.ClassContact, "invented-1", "invented-2", ""} {
		st.Fold(signal(t, i+1, "192.0.2.1", fmt.Sprint("k", i), c, "s", 0.99, t0))
	}
	if ind := get(t, st, "192.0.2.1", t0); len(ind.Classes) != 0 {
		t.Fatalf("classes %v", ind.Classes)
	}
}

func TestDecayAndSelfRemoval(t *testing.T) {
	st := New(Default())
	st.Fold(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "s1", 0.99, t0))
	fresh := get(t, st, "192.0.2.1", t0)
	half := get(t, st, "192.0.2.1", t0.Add(12*time.Hour))
	if math.Abs(half.Terms[1].LogLR*2-fresh.Terms[1].LogLR) > 1e-12 {
		t.Fatalf("after one half-life %v of %v", half.Terms[1].LogLR, fresh.Terms[1].LogLR)
	}
	if half.Terms[1].Note != "age 12h" {
		t.Fatalf("note %q", half.Terms[1].Note)
	}
	end := fresh.Expires
	if gone := st.Expire(end.Add(-time.Second)); len(gone) != 0 {
		t.Fatalf("removed early: %v", gone)
	}
	if _, ok := st.Get(ip(t, "192.0.2.1"), end); ok {
		t.Fatal("shown after its end")
	}
	if gone := st.Expire(end); len(gone) != 1 || st.Len() != 0 || st.Stats().Bytes != 0 {
		t.Fatalf("gone %v, left %d, %d bytes", gone, st.Len(), st.Stats().Bytes)
	}
}

func TestFutureEvidenceIsDisbelieved(t *testing.T) {
	st := New(Default())
	st.Fold(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "liar", 0.99, t0.Add(1000*time.Hour)))
	st.Fold(signal(t, 2, "192.0.2.1", "cmd.a", model.ClassCommand, "honest", 0.99, t0))
	st.Fold(signal(t, 3, "192.0.2.2", "cmd.a", model.ClassCommand, "liar", 0.99, time.Unix(1<<60, 0)))
	ind := get(t, st, "192.0.2.1", t0)
	if len(ind.Classes) != 1 || ind.Classes[0] != model.ClassCommand || !ind.LastProof.Equal(t0) {
		t.Fatalf("%+v", ind)
	}
	if gone := st.Expire(t0); len(gone) != 1 || gone[0] != ip(t, "192.0.2.2") {
		t.Fatalf("gone %v", gone)
	}
	// After the clock was set right, the same kind counts again.
	st.Fold(signal(t, 4, "192.0.2.1", "auth.a", model.ClassAuth, "liar", 0.99, t0))
	if ind := get(t, st, "192.0.2.1", t0); len(ind.Classes) != 2 {
		t.Fatalf("classes %v", ind.Classes)
	}
}

func TestRelated(t *testing.T) {
	st := New(Default())
	s := signal(t, 1, "192.0.2.1", "file.download", model.ClassFile, "s", 0.99, t0)
	url := entity(t, model.TypeURL, "http://evil.example/x")
	s.Related = []model.Entity{url, url, s.Actor, ip(t, "203.0.113.9"), {}}
	if changed := st.Fold(s); len(changed) != 3 {
		t.Fatalf("changed %v", changed)
	}
	u, ok := st.Get(url, t0)
	if !ok || math.Abs(u.Terms[1].LogLR-Default().MaxLLR*0.5) > 1e-12 {
		t.Fatalf("%+v", u)
	}
	if !u.LastProof.IsZero() || len(u.Classes) != 0 {
		t.Fatalf("what came with an actor proved something: %+v", u)
	}
	// Anybody can write any address into a command: that proves nothing about it.
	victim := get(t, st, "203.0.113.9", t0)
	if math.Abs(victim.Confidence-0.05) > 1e-9 || len(victim.Classes) != 0 || !victim.LastProof.IsZero() {
		t.Fatalf("naming an address was taken as evidence: %+v", victim)
	}
}

func TestCapsPerIndicator(t *testing.T) {
	st := New(Default())
	st.Fold(signal(t, 1, "192.0.2.1", "auth.a", model.ClassAuth, "honest", 0.99, t0))
	for i := range 3000 {
		s := signal(t, i+2, "192.0.2.1", fmt.Sprintf("k%d", i), model.ClassScan, "flood", 0.99, t0.Add(time.Duration(i)*time.Millisecond))
		s.Techniques = []string{fmt.Sprintf("T%d", i), "bad\nid", ""}
		st.Fold(s)
	}
	ind := get(t, st, "192.0.2.1", t0.Add(time.Minute))
	if len(ind.Terms) != MaxTerms+1 || len(ind.Signals) != MaxSignals || len(ind.Techniques) != MaxTechniques {
		t.Fatalf("%d terms, %d signals, %d techniques", len(ind.Terms), len(ind.Signals), len(ind.Techniques))
	}
	if !slices.Contains(ind.Sensors, "honest") {
		t.Fatal("a flooding sensor pushed out another's word")
	}
	if b := st.Stats().Bytes; b > 16<<10 {
		t.Fatalf("one indicator takes %d bytes", b)
	}
}

func TestEvictionKeepsWhatLastsLongest(t *testing.T) {
	c := Default()
	c.MaxIndicators = 10
	st := New(c)
	st.Fold(signal(t, 1, "192.0.2.1", "cmd", model.ClassCommand, "s", 0.99, t0))
	for i := range 500 {
		st.Fold(signal(t, i+2, fmt.Sprintf("198.51.%d.%d", i/250, i%250), "contact", model.ClassContact, "s", 0.6, t0.Add(time.Second)))
	}
	if st.Len() != 10 || st.Stats().Evicted != 491 {
		t.Fatalf("%d held, %d evicted", st.Len(), st.Stats().Evicted)
	}
	get(t, st, "192.0.2.1", t0.Add(time.Second))
}

func TestLookup(t *testing.T) {
	st := New(Default())
	for i, a := range []string{"192.0.2.0/24", "192.0.2.7", "2001:db8:1:2::5", "2001:db8::/32"} {
		st.Fold(signal(t, i+1, a, "k", model.ClassScan, "s", 0.9, t0))
	}
	for addr, want := range map[string][]string{
		"192.0.2.7":          {"192.0.2.7", "192.0.2.0/24"},
		"::ffff:192.0.2.7":   {"192.0.2.7", "192.0.2.0/24"},
		"192.0.2.8":          {"192.0.2.0/24"},
		"2001:db8:1:2:3::99": {"2001:db8:1:2::/64", "2001:db8::/32"},
		"203.0.113.1":        nil,
	} {
		var got []string
		for _, ind := range st.Lookup(netip.MustParseAddr(addr), t0) {
			got = append(got, ind.Entity.Value())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
}

func TestListFilterAndPages(t *testing.T) {
	st := New(Default())
	for i := range 300 {
		class := model.ClassAuth
		if i%3 == 0 {
			class = model.ClassCommand
		}
		st.Fold(signal(t, i+1, fmt.Sprintf("10.0.%d.%d", i/100, i%100), fmt.Sprintf("k%d", i%2), class, fmt.Sprintf("s%d", i%5), 0.5+float64(i)/700, t0))
	}
	all := st.List(t0, Filter{Limit: MaxList})
	if len(all) != 300 || !slices.IsSortedFunc(all, func(a, b model.Indicator) int {
		if a.Confidence < b.Confidence {
			return 1
		}
		return 0
	}) {
		t.Fatalf("%d indicators, or not sorted", len(all))
	}
	var paged []model.Indicator
	for off := 0; off < 300; off += 7 {
		paged = append(paged, st.List(t0, Filter{Offset: off, Limit: 7})...)
	}
	if !reflect.DeepEqual(all, paged) {
		t.Fatal("pages do not make up the whole")
	}
	for _, c := range []struct {
		name string
		f    Filter
		want int
	}{
		{"class", Filter{Class: model.ClassCommand}, 99}, // the very first weighs nothing
		{"within", Filter{Within: netip.MustParsePrefix("10.0.1.0/24")}, 100},
		{"behaviour and sensor", Filter{Behaviour: "k0", Sensor: "s0"}, 30},
		{"type", Filter{Types: []model.EntityType{model.TypeURL}}, 0},
		{"text", Filter{Text: "10.0.2."}, 100},
		{"since", Filter{Since: t0.Add(time.Second)}, 0},
		{"beyond the end", Filter{Offset: 1000}, 0},
	} {
		c.f.Limit = MaxList
		if got := len(st.List(t0, c.f)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRefusesWhatFailsItsCheck(t *testing.T) {
	st := New(Default())
	bad := signal(t, 1, "192.0.2.1", "", model.ClassScan, "s", 0.9, t0)
	if st.Fold(bad) != nil || st.Stats().Refused != 1 || st.Len() != 0 {
		t.Fatal("a signal that fails its check was folded")
	}
}

func TestConfigValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Prior = 1 }, func(c *Config) { c.Floor = 0 }, func(c *Config) { c.SameClass = 2 },
		func(c *Config) { c.DefaultLife = 0 }, func(c *Config) { c.MaxIndicators = 0 },
		func(c *Config) { c.HalfLife = map[model.Class]time.Duration{"x": -1} },
	} {
		c := Default()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%+v accepted", c)
		}
	}
}
