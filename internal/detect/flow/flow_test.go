package flow

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

func detector(t testing.TB, change func(*Config)) detect.FlowDetector {
	t.Helper()
	c := Default()
	c.Sources = 1 << 12
	if change != nil {
		change(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func addr(s string) observe.Addr { return observe.AddrOf(netip.MustParseAddr(s)) }

// syn is an attempt that led nowhere, in the shape that says so.
func syn(shape string, src, dst observe.Addr, port uint16, at int64) observe.Flow {
	f := observe.Flow{Src: src, Dst: dst, SrcPort: 51234, DstPort: port, Proto: observe.ProtoTCP, Start: at, End: at, Packets: 1, Bytes: 44}
	switch shape {
	case "reject":
		f.Action, f.Packets, f.Bytes = observe.FlowReject, 3, 180
	case "flags":
		f.Action, f.HasFlags, f.Flags = observe.FlowAccept, true, observe.FlagSYN
	case "connect": // to a closed or open port, and gone
		f.Action, f.Packets, f.Bytes = observe.FlowAccept, 4, 216
	}
	return f
}

// told runs flows and writes down what was concluded, each with its actor;
// facts that are no alerts are left out.
func told(d detect.FlowDetector, flows []observe.Flow) []string {
	var out []string
	d.Detect(flows, func(s *model.Signal, f *observe.Flow) {
		s.ID = model.NewULID(s.Time)
		if err := s.Check(); err != nil {
			out = append(out, err.Error())
		}
		if s.Severity < model.Medium {
			if s.Rule != "flow.fanout" || s.Actor != model.AddrEntity(f.Src.Netip()) {
				out = append(out, fmt.Sprintf("bad fact %+v", s))
			}
			return
		}
		if s.Actor != model.AddrEntity(f.Src.Netip()) || s.Spoofable == internal(f.Src.Netip()) && s.Rule != "flow.fanout" || len(s.Techniques) == 0 {
			out = append(out, fmt.Sprintf("bad signal %+v", s))
		}
		out = append(out, s.Rule+" "+s.Actor.Value())
	})
	return out
}

func TestShapes(t *testing.T) {
	const t0 = 1_700_000_000
	scanner := addr("203.0.113.9")
	host := func(i int) observe.Addr { return observe.Addr4(0x0a000000 + uint32(i)) }
	for _, shape := range []string{"reject", "flags", "connect"} {
		for name, c := range map[string]struct {
			n    int
			flow func(i int) observe.Flow
			want []string
		}{
			"horizontal": {40, func(i int) observe.Flow { return syn(shape, scanner, host(i), 22, t0+int64(i)) }, []string{"scan.horizontal 203.0.113.9"}},
			"vertical":   {40, func(i int) observe.Flow { return syn(shape, scanner, host(1), uint16(1+i), t0+int64(i)) }, []string{"scan.vertical 203.0.113.9"}},
			"slow":       {40, func(i int) observe.Flow { return syn(shape, scanner, host(i), 22, t0+int64(i)*600) }, []string{"scan.horizontal.slow 203.0.113.9"}},
			"backwards":  {40, func(i int) observe.Flow { return syn(shape, scanner, host(i), 22, t0-int64(i)) }, []string{"scan.horizontal 203.0.113.9"}},
			"few hosts":  {29, func(i int) observe.Flow { return syn(shape, scanner, host(i), 22, t0) }, nil},
			"repeats":    {5000, func(i int) observe.Flow { return syn(shape, scanner, host(i%20), 22, t0+int64(i)) }, nil},
			"no shape":   {260, func(i int) observe.Flow { return syn(shape, scanner, host(i), uint16(2000+i), t0+int64(i)) }, []string{"scan.network 203.0.113.9"}},
			"over days":  {60, func(i int) observe.Flow { return syn(shape, scanner, host(i), 22, t0+int64(i)*7200) }, nil},
		} {
			var flows []observe.Flow
			for i := range c.n {
				flows = append(flows, c.flow(i))
			}
			if got := told(detector(t, nil), flows); !slices.Equal(got, c.want) {
				t.Errorf("%s by %s: %v, want %v", name, shape, got, c.want)
			}
		}
	}
}

// TestBackground: what busy hosts do without scanning.
func TestBackground(t *testing.T) {
	const t0 = 1_700_000_000
	r := rand.New(rand.NewPCG(1, 2))
	var flows []observe.Flow
	add := func(src, dst observe.Addr, sp, dp uint16, proto uint8, packets, bytes uint64, flags bool) {
		f := observe.Flow{Src: src, Dst: dst, SrcPort: sp, DstPort: dp, Proto: proto, Packets: packets, Bytes: bytes, Action: observe.FlowAccept,
			Start: t0 + r.Int64N(86400), HasFlags: flags && proto == observe.ProtoTCP}
		f.End = f.Start
		if f.HasFlags {
			f.Flags = observe.FlagSYN | observe.FlagFIN
		}
		flows = append(flows, f)
	}
	client, resolver, server := addr("10.0.0.10"), addr("10.0.0.53"), addr("198.51.100.1")
	for i := range 20000 {
		far, high := observe.Addr4(r.Uint32()), uint16(32768+r.IntN(28000))
		flags := i%2 == 0
		add(client, far, high, 443, observe.ProtoTCP, 12+r.Uint64N(50), 4000+r.Uint64N(1e5), flags) // a browser
		add(resolver, far, high, 53, observe.ProtoUDP, 1, 70, false)                                // a resolver
		add(far, server, high, 443, observe.ProtoTCP, 9, 2500, flags)                               // visitors
		add(server, far, 443, high, observe.ProtoTCP, 4, 208, false)                                // their answers, short
		add(client, server, high, 8443, observe.ProtoTCP, 3, 156, false)                            // a monitor: one service over and over
	}
	if got := told(detector(t, nil), flows); len(got) != 0 {
		t.Errorf("ordinary traffic: %v", got)
	}
}

// TestAnswersOfATarget: the closed ports of a scanned host answer; without
// flags that looks like attempts of its own.
func TestAnswersOfATarget(t *testing.T) {
	scanner, target := addr("203.0.113.9"), addr("10.0.0.1")
	var flows []observe.Flow
	for i := range 2000 {
		a := syn("connect", scanner, target, uint16(33000+i), 1_700_000_000)
		a.SrcPort = uint16(61000 - i)
		b := syn("connect", target, scanner, a.SrcPort, 1_700_000_000)
		b.SrcPort = a.DstPort
		b.Packets, b.Bytes = 1, 40
		flows = append(flows, a, b)
	}
	for _, s := range told(detector(t, nil), flows) {
		if strings.HasSuffix(s, " 10.0.0.1") {
			t.Errorf("the target is blamed: %s", s)
		}
	}
}

// TestExact: among many sources those over the threshold are found, and no
// other, although unremarkable ones share a small sketch.
func TestExact(t *testing.T) {
	const sources = 3000
	r := rand.New(rand.NewPCG(3, 4))
	var flows []observe.Flow
	want := map[string]bool{}
	for i := range sources {
		src := observe.Addr4(0xcb007100 + uint32(i))
		n := r.IntN(28)
		if i%100 == 0 {
			n = 32 + r.IntN(200)
			want[src.Netip().String()] = true
		}
		for k := range n {
			for range 1 + r.IntN(3) {
				flows = append(flows, syn("flags", src, observe.Addr4(0x0a000000+uint32(k)), 22, 1_700_000_000+r.Int64N(3000)))
			}
		}
	}
	r.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
	got := map[string]bool{}
	for _, s := range told(detector(t, func(c *Config) { c.Sources = 1 << 13 }), flows) {
		_, a, _ := strings.Cut(s, " ")
		got[a] = true
	}
	if len(want) < 20 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %d scanners, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
}

// TestBounded: memory does not grow with the number of sources, and ten million
// of them do not hide a scan that goes on.
func TestBounded(t *testing.T) {
	d := detector(t, func(c *Config) { c.Sources, c.Suspects = 1024, 64 })
	scanner := addr("203.0.113.9")
	var out []string
	flows := make([]observe.Flow, 128)
	for i := range 2000 {
		for k := range flows {
			flows[k] = syn("flags", observe.Addr4(uint32(i*128+k)), addr("10.0.0.1"), 22, 1_700_000_000+int64(i))
		}
		flows[7] = syn("flags", scanner, observe.Addr4(0x0a000000+uint32(i)), 22, 1_700_000_000+int64(i))
		flows[90] = syn("flags", scanner, observe.Addr4(0x0b000000+uint32(i)), 22, 1_700_000_000+int64(i))
		out = append(out, told(d, flows)...)
	}
	if !slices.Contains(out, "scan.horizontal 203.0.113.9") {
		t.Errorf("the scan was lost: %v", out)
	}
	x, ok := d.(*scans)
	if !ok || x.suspects.Len() > 64 || len(x.buckets) > 512 {
		t.Errorf("memory: %d suspects, %d buckets", x.suspects.Len(), len(x.buckets))
	}
}

func TestConfig(t *testing.T) {
	for i, bad := range []func(*Config){
		func(c *Config) { c.Window = 0 }, func(c *Config) { c.Hosts = 1 }, func(c *Config) { c.Ports = 1000 },
		func(c *Config) { c.Targets = 100000 }, func(c *Config) { c.Sources = 0 }, func(c *Config) { c.Suspects = 1 << 30 },
		func(c *Config) { c.FanOut = 1 }, func(c *Config) { c.FanOut = 1000 },
	} {
		c := Default()
		bad(&c)
		if _, err := New(c); err == nil {
			t.Errorf("case %d was taken", i)
		}
	}
}

// FuzzDetect: no flow, however strange, panics or concludes something invalid.
func FuzzDetect(f *testing.F) {
	f.Add(uint64(1), int64(0), uint64(1)<<63, uint16(0), byte(6))
	f.Add(uint64(2), int64(1)<<47, uint64(0), uint16(65535), byte(255))
	f.Fuzz(func(t *testing.T, seed uint64, at int64, packets uint64, port uint16, proto byte) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := detector(t, func(c *Config) { c.Sources, c.Suspects = 64, 4 })
		var flows []observe.Flow
		for i := range 400 {
			fl := observe.Flow{Src: observe.Addr4(uint32(r.IntN(3))), Dst: observe.Addr4(r.Uint32()), SrcPort: port, DstPort: uint16(i), Proto: proto,
				Start: at & (1<<48 - 1), Packets: packets, Action: observe.FlowAction(r.IntN(3)), HasFlags: r.IntN(2) == 0, Flags: uint8(r.Uint32())}
			if r.IntN(9) == 0 {
				fl.Src, fl.Start = observe.Addr{1: 1}, 0
			}
			flows = append(flows, fl)
		}
		for _, s := range told(d, flows) {
			if !strings.HasPrefix(s, "scan.") {
				t.Fatal(s)
			}
		}
	})
}

func BenchmarkDetect(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	flows := make([]observe.Flow, 1<<16)
	for i := range flows {
		flows[i] = syn("connect", observe.Addr4(r.Uint32()>>12), observe.Addr4(r.Uint32()), uint16(r.IntN(1024)), 1_700_000_000)
		if i%3 != 0 {
			flows[i].Packets, flows[i].Bytes = 20, 5000
		}
	}
	d := detector(b, func(c *Config) { c.Sources = 1 << 20 })
	start := time.Now()
	n := 0
	for b.Loop() {
		k := n % (len(flows) / 128) * 128
		d.Detect(flows[k:k+128], func(*model.Signal, *observe.Flow) {})
		n++
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n)/128, "ns/flow")
}
