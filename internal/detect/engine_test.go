package detect

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(addr string, after time.Duration) observe.Observation {
	return observe.Observation{
		Kind: observe.KindCommand, Time: start.Add(after), Session: model.NewULID(start), Sensor: "s1", Decoy: "ssh-1", Service: "ssh",
		Local: netip.MustParseAddrPort("192.0.2.1:22"), Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 4000),
		Command: &observe.Command{Line: "uname -a\x1b[31m"},
	}
}

// say is a detector that concludes the same of everything.
type say func(o *observe.Observation, s *model.Signal)

func (f say) Detect(o *observe.Observation, emit Emit) {
	s := &model.Signal{Kind: "command.test", Class: model.ClassCommand, Rule: "test", Title: "t", Confidence: 0.8, Severity: model.Low, Count: 1}
	f(o, s)
	emit(s)
}

func plainSay(*observe.Observation, *model.Signal) {}

type collector struct{ got []model.Signal }

func (c *collector) add(s model.Signal) { c.got = append(c.got, s) }

func (c *collector) counts() (n []int) {
	for _, s := range c.got {
		n = append(n, s.Count)
	}
	return n
}

func TestEngineCompletes(t *testing.T) {
	e := NewEngine([]Named{{"say", say(func(_ *observe.Observation, s *model.Signal) {
		u, _ := model.ParseEntity(model.TypeURL, "http://a.example/x")
		s.Related = []model.Entity{u}
	})}}, Options{})
	var c collector
	o := at("2001:db8:1:2:3::4", 0)
	o.Spoofable = true
	o.Evidence = []observe.Blob{{What: "transcript", SHA256: strings.Repeat("a", 64), Size: 3}}
	e.Process([]observe.Observation{o}, c.add)
	if len(c.got) != 1 {
		t.Fatalf("%d signals", len(c.got))
	}
	s := c.got[0]
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if s.Actor.String() != "ip:2001:db8:1:2::/64" || s.Address != "2001:db8:1:2:3::4" || s.Sensor != "s1" ||
		s.Asset != (model.AssetRef{Kind: "decoy", Name: "ssh-1"}) || !s.Time.Equal(start) || !s.Spoofable || len(s.Related) != 1 {
		t.Errorf("incomplete: %+v", s)
	}
	ev := s.Evidence[0]
	if ev.Session != o.Session || ev.What != "transcript" || ev.Blob != strings.Repeat("a", 64) || ev.Excerpt != `uname -a\x1b[31m` {
		t.Errorf("evidence: %+v", ev)
	}
}

func TestEngineCoalesces(t *testing.T) {
	e := NewEngine([]Named{{"say", say(plainSay)}}, Options{})
	var c collector
	for i := range 100 { // 10 per second for 10 seconds, a tick each second
		e.Process([]observe.Observation{at("198.51.100.7", time.Duration(i)*100*time.Millisecond)}, c.add)
		if i%10 == 9 {
			e.Tick(start.Add(time.Duration(i)*100*time.Millisecond), c.add)
		}
	}
	e.Flush(c.add)
	total := 0
	for _, n := range c.counts() {
		total += n
	}
	if total != 100 {
		t.Errorf("counts %v sum to %d", c.counts(), total)
	}
	if len(c.got) != 3 || c.got[0].Count != 1 {
		t.Errorf("one at once, one after 5 s, the rest at the end: %v", c.counts())
	}
	if n := e.Counters(); n.Observations != 100 || n.Signals != 3 || n.Coalesced != 98 {
		t.Errorf("counters %+v", n)
	}
}

func TestEngineIntervalGrowsAndForgets(t *testing.T) {
	e := NewEngine([]Named{{"say", say(plainSay)}}, Options{})
	var c collector
	for i := range 600 {
		now := time.Duration(i) * time.Second
		e.Process([]observe.Observation{at("198.51.100.7", now)}, c.add)
		e.Tick(start.Add(now), c.add)
	}
	// 0, 5, 15, 35, 75, 135, 195 … : 5 s doubling to 60 s.
	if len(c.got) < 10 || len(c.got) > 16 {
		t.Errorf("%d signals in 10 minutes: %v", len(c.got), c.counts())
	}
	before := len(c.got)
	e.Process([]observe.Observation{at("198.51.100.7", time.Hour)}, c.add)
	if last := c.got[len(c.got)-1]; len(c.got) == before || !last.Time.Equal(start.Add(time.Hour)) || last.Count != 1 {
		t.Errorf("after an hour of silence the key is new: %+v", last)
	}
}

func TestEngineTickHandsOutWithoutFurtherEvidence(t *testing.T) {
	e := NewEngine([]Named{{"say", say(plainSay)}}, Options{})
	var c collector
	e.Process([]observe.Observation{at("198.51.100.7", 0), at("198.51.100.7", time.Second)}, c.add)
	e.Tick(start.Add(4*time.Second), c.add)
	if len(c.got) != 1 {
		t.Fatalf("too early: %v", c.counts())
	}
	e.Tick(start.Add(5*time.Second), c.add)
	e.Tick(start.Add(6*time.Second), c.add)
	if len(c.got) != 2 || c.got[1].Count != 1 || !c.got[1].Time.Equal(start.Add(time.Second)) {
		t.Errorf("signals: %+v", c.got)
	}
}

// TestEngineKeepsTheNewestBytes: of what waits the first pieces of evidence are
// kept and the newest that has bytes behind it.
func TestEngineKeepsTheNewestBytes(t *testing.T) {
	e := NewEngine([]Named{{"say", say(plainSay)}}, Options{})
	var c collector
	for i := range 10 {
		o := at("198.51.100.7", time.Duration(i)*100*time.Millisecond)
		if i%2 == 1 || i == 0 {
			o.Evidence = []observe.Blob{{What: "transcript", SHA256: strings.Repeat(string(rune('a'+i)), 64), Size: 3}}
		}
		e.Process([]observe.Observation{o}, c.add)
	}
	e.Flush(c.add)
	if len(c.got) != 2 || c.got[1].Count != 9 {
		t.Fatalf("signals: %+v", c.got)
	}
	var got []string
	for _, ev := range c.got[1].Evidence {
		got = append(got, ev.Blob[:min(1, len(ev.Blob))])
	}
	if want := []string{"b", "", "d", "j"}; !slices.Equal(got, want) {
		t.Errorf("evidence %q, want %q", got, want)
	}
	if err := c.got[1].Check(); err != nil {
		t.Error(err)
	}
}

func TestEngineEscalationGoesOutAtOnce(t *testing.T) {
	n := 0
	e := NewEngine([]Named{{"say", say(func(_ *observe.Observation, s *model.Signal) {
		if n++; n == 3 {
			s.Severity = model.Critical
		}
	})}}, Options{})
	var c collector
	for i := range 4 {
		e.Process([]observe.Observation{at("198.51.100.7", time.Duration(i)*time.Millisecond)}, c.add)
	}
	if fmt.Sprint(c.counts()) != "[1 2]" || c.got[1].Severity != model.Critical {
		t.Errorf("signals %v", c.counts())
	}
}

func TestEngineKeepsSpoofableApart(t *testing.T) {
	e := NewEngine([]Named{{"say", say(plainSay)}}, Options{})
	var c collector
	forged := at("198.51.100.7", 0)
	forged.Spoofable = true
	e.Process([]observe.Observation{forged, forged, at("198.51.100.7", 0)}, c.add)
	if len(c.got) != 2 || !c.got[0].Spoofable || c.got[1].Spoofable {
		t.Errorf("signals %+v", c.got)
	}
}

func TestEngineRecoversAndCounts(t *testing.T) {
	bad := say(func(*observe.Observation, *model.Signal) { panic("attacker text") })
	invalid := say(func(_ *observe.Observation, s *model.Signal) { s.Confidence = 7 })
	e := NewEngine([]Named{{"bad", bad}, {"invalid", invalid}, {"good", say(plainSay)}}, Options{})
	var c collector
	none := at("198.51.100.7", 0)
	none.Remote = netip.AddrPort{}
	e.Process([]observe.Observation{at("198.51.100.7", 0), none, at("198.51.100.8", 0)}, c.add)
	n := e.Counters()
	if n.Panics["bad"] != 2 || n.Ignored != 1 || n.Invalid != 2 || len(n.Panics) != 1 {
		t.Errorf("counters %+v", n)
	}
}

func TestEngineEvictsWithoutLosing(t *testing.T) {
	e := NewEngine([]Named{{"say", say(plainSay)}}, Options{MaxKeys: 100})
	total := 0
	count := func(s model.Signal) { total += s.Count }
	for i := range 3000 {
		a := netip.AddrFrom4([4]byte{203, 0, byte(i / 2 / 256), byte(i / 2)}).String()
		e.Process([]observe.Observation{at(a, 0)}, count)
	}
	e.Flush(count)
	n := e.Counters()
	if total != 3000 || n.Evicted != 1400 || e.keys.Len() != 100 {
		t.Errorf("%d of 3000 counted, %+v, %d keys", total, n, e.keys.Len())
	}
}

func TestEngineBoundsWaitingBytes(t *testing.T) {
	long := strings.Repeat("x", 200)
	e := NewEngine([]Named{{"say", say(func(o *observe.Observation, s *model.Signal) {
		for i := range 16 {
			u, _ := model.ParseEntity(model.TypeURL, fmt.Sprintf("http://%d.example/%s/%s", i, long, o.Remote))
			s.Related = append(s.Related, u)
		}
	})}}, Options{MaxBytes: 100_000})
	total := 0
	count := func(s model.Signal) { total += s.Count }
	for i := range 4000 {
		e.Process([]observe.Observation{at(netip.AddrFrom4([4]byte{203, 0, byte(i % 1000 / 256), byte(i % 1000)}).String(), 0)}, count)
		if e.bytes > 100_000+8192 {
			t.Fatalf("%d bytes wait", e.bytes)
		}
	}
	e.Flush(count)
	if total != 4000 || e.bytes != 0 {
		t.Errorf("%d of 4000 counted, %d bytes left", total, e.bytes)
	}
}

func TestEngineSurvivesClockSteps(t *testing.T) {
	e := NewEngine([]Named{{"say", say(plainSay)}}, Options{})
	var c collector
	e.Process([]observe.Observation{at("198.51.100.7", 0), at("198.51.100.7", -24*time.Hour), at("198.51.100.7", -24*time.Hour+time.Second)}, c.add)
	e.Tick(start.Add(-24*time.Hour+10*time.Second), c.add)
	e.Tick(start.Add(-24*time.Hour+20*time.Second), c.add)
	total := 0
	for _, n := range c.counts() {
		total += n
	}
	if total != 3 {
		t.Errorf("what was seen after the clock went back must not wait for the old time: %v", c.counts())
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":         "plain",
		"a\x00b\n":      `a\x00b\x0a`,
		"ü\u202e":       `ü\u{202e}`,
		"\xff":          `\xff`,
		"\x7f":          `\x7f`,
		"12345678\x1bq": `12345678`,
	} {
		if got := Clean(in, 10); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[0m\u202eü\xff")
	f.Fuzz(func(t *testing.T, s string) {
		c := Clean(s, 64)
		if len(c) > 64 || strings.ContainsAny(c, "\x00\x07\x1b\r\n\x7f") {
			t.Fatalf("%q", c)
		}
	})
}
