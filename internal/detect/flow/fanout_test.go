package flow

import (
	"math/rand/v2"
	"testing"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// TestFanOutEqualsExact: of many sources with numbers of pairs around the
// threshold, among more that have few, those beyond it are told, once.
func TestFanOutEqualsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var flows []observe.Flow
	want := map[observe.Addr]bool{}
	for i := range 2000 {
		src := observe.Addr4(0xcb007100 + uint32(i))
		n := 1 + r.IntN(12)
		if i%2 == 0 {
			n = 40 + r.IntN(400)
		}
		if n > 100 {
			want[src] = true
		}
		for k := range n {
			for range 1 + r.IntN(3) {
				// Successful ones: what counts is only where to.
				flows = append(flows, observe.Flow{Src: src, Dst: observe.Addr4(0x0a000000 + uint32(k/3)), DstPort: uint16(k % 3), Proto: observe.ProtoUDP,
					Start: 1_700_000_000 + r.Int64N(3000), Packets: 30, Bytes: 9000})
			}
		}
	}
	r.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
	d, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	got := map[observe.Addr]int{}
	d.Detect(flows, func(s *model.Signal, f *observe.Flow) {
		if s.Rule != "flow.fanout" || s.Severity != model.Info {
			t.Errorf("%s of severity %s", s.Rule, s.Severity)
		}
		got[f.Src]++
	})
	wrong := 0
	for a, n := range got {
		if !want[a] {
			wrong++
		}
		if n != 1 {
			t.Errorf("%s was told %d times", a.Netip(), n)
		}
	}
	missed := len(want) - (len(got) - wrong)
	if len(want) < 500 || wrong*100 > len(got) || missed*100 > len(want) {
		t.Errorf("%d told, %d of them wrongly; %d of %d missed", len(got), wrong, missed, len(want))
	}
}

// TestFanOutBounded: sources without number leave room for one that goes on,
// and sets are used again.
func TestFanOutBounded(t *testing.T) {
	d := detector(t, func(c *Config) { c.Sources, c.Suspects = 1024, 8 })
	x, ok := d.(*scans)
	if !ok {
		t.Fatal("another type")
	}
	busy := addr("203.0.113.9")
	flows := make([]observe.Flow, 128)
	times := 0
	for i := range 1000 {
		for k := range flows {
			flows[k] = observe.Flow{Src: observe.Addr4(uint32(i*128 + k)), Dst: busy, DstPort: 53, Start: 1_700_000_000 + int64(i)}
		}
		for k := 3; k < 128; k += 20 {
			flows[k] = observe.Flow{Src: busy, Dst: observe.Addr4(0x0a000000 + uint32(i)), DstPort: uint16(k), Start: 1_700_000_000 + int64(i)}
		}
		// Others that each get a set.
		for k := 64; k < 76; k++ {
			flows[k] = observe.Flow{Src: observe.Addr4(0x0b000000 + uint32(i)), Dst: busy, DstPort: uint16(k), Start: 1_700_000_000 + int64(i)}
		}
		d.Detect(flows, func(s *model.Signal, f *observe.Flow) {
			if s.Rule == "flow.fanout" && f.Src == busy {
				times++
			}
		})
	}
	// In a table that is too small for who is in it, it may be forgotten and told again.
	if times < 1 || times > 20 || x.fans.used > 8*fanSets || len(x.fans.buckets) > 512 {
		t.Errorf("told %d times; %d sets, %d buckets", times, x.fans.used, len(x.fans.buckets))
	}
}

// TestFanOutOff: 0 keeps nothing.
func TestFanOutOff(t *testing.T) {
	d := detector(t, func(c *Config) { c.FanOut = 0 })
	flows := make([]observe.Flow, 500)
	for i := range flows {
		flows[i] = observe.Flow{Src: addr("203.0.113.9"), Dst: observe.Addr4(uint32(i)), DstPort: 53, Proto: observe.ProtoUDP, Start: 1_700_000_000}
	}
	d.Detect(flows, func(s *model.Signal, _ *observe.Flow) { t.Errorf("%s", s.Rule) })
}
