package traffic

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

const t0 = 1_772_409_600

func addr(s string) observe.Addr { return observe.AddrOf(netip.MustParseAddr(s)) }

func detector(t testing.TB, change func(*Config)) detect.FlowDetector {
	t.Helper()
	c := Default()
	if change != nil {
		change(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hear runs flows, settles, and writes down what was concluded.
func hear(t *testing.T, d detect.FlowDetector, flows []observe.Flow) (out []string) {
	t.Helper()
	emit := func(s *model.Signal, f *observe.Flow) {
		full := *s
		full.ID = model.NewULID(s.Time)
		if err := full.Check(); err != nil {
			t.Error(err)
		}
		out = append(out, s.Rule+" "+s.Actor.Value()+" "+s.Severity.String())
	}
	for part := range slices.Chunk(flows, 100) {
		d.Detect(part, emit)
	}
	d.(detect.FlowSettler).Settle(emit)
	return out
}

// conns are connections of one host to one service at the moments given.
func conns(src, dst string, port uint16, at []int64, bytes uint64) (out []observe.Flow) {
	for i, t := range at {
		out = append(out, observe.Flow{Src: addr(src), Dst: addr(dst), SrcPort: uint16(40000 + i%20000), DstPort: port, Proto: observe.ProtoTCP, Action: observe.FlowAccept,
			Start: t, End: t + 2, Packets: 10, Bytes: bytes})
	}
	return out
}

func moments(n int, pause func(i int) float64) (out []int64) {
	at := float64(t0)
	for i := range n {
		out = append(out, int64(at))
		at += pause(i)
	}
	return out
}

func TestBeacon(t *testing.T) {
	var r *rand.Rand // the same for each case, whichever comes first
	for name, c := range map[string]struct {
		pause func(i int) float64
		n     int
		bytes uint64
		dst   string
		port  uint16
		want  bool
	}{
		"exact":             {func(int) float64 { return 60 }, 30, 900, "198.51.100.9", 443, true},
		"40 % either way":   {func(int) float64 { return 600 * (0.6 + 0.8*r.Float64()) }, 40, 900, "198.51.100.9", 443, true},
		"backwards":         {func(int) float64 { return -60 }, 40, 900, "198.51.100.9", 443, true},
		"every third lost":  {func(i int) float64 { return []float64{60, 60, 60, 60, 120}[i%5] }, 60, 900, "198.51.100.9", 443, true},
		"too few":           {func(int) float64 { return 600 }, 12, 900, "198.51.100.9", 443, false},
		"random moments":    {func(int) float64 { return 60 * r.ExpFloat64() }, 2000, 900, "198.51.100.9", 443, false},
		"people":            {func(int) float64 { return math.Exp(3 + 1.5*r.NormFloat64()) }, 2000, 900, "198.51.100.9", 443, false},
		"large transfers":   {func(int) float64 { return 3600 }, 40, 5 << 20, "198.51.100.9", 443, false},
		"time":              {func(int) float64 { return 64 }, 400, 76, "198.51.100.9", 123, true}, // TCP 123 is no NTP
		"among own hosts":   {func(int) float64 { return 60 }, 400, 900, "10.9.9.9", 443, false},
		"at the same time":  {func(int) float64 { return 1 }, 400, 900, "198.51.100.9", 443, false},
		"a day of the year": {func(int) float64 { return 86400 }, 40, 900, "198.51.100.9", 443, true},
	} {
		t.Run(name, func(t *testing.T) {
			r = rand.New(rand.NewPCG(1, 2))
			got := hear(t, detector(t, nil), conns("10.1.2.3", c.dst, c.port, moments(c.n, c.pause), c.bytes))
			got = slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s, "beacon.") })
			if c.want != slices.Equal(got, []string{"beacon.flow 10.1.2.3 medium"}) || !c.want && len(got) > 0 {
				t.Errorf("told %q", got)
			}
		})
	}
}

// TestPopular: what many hosts do is what their vendor makes them do.
func TestPopular(t *testing.T) {
	var flows []observe.Flow
	for i := range 10 {
		flows = append(flows, conns(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}).String(), "198.51.100.9", 443, moments(40, func(int) float64 { return 300 }), 900)...)
	}
	slices.SortFunc(flows, func(a, b observe.Flow) int { return int(a.Start - b.Start) })
	for _, s := range hear(t, detector(t, nil), flows) {
		if strings.HasSuffix(s, "medium") || !strings.HasPrefix(s, "beacon.flow.popular") {
			t.Error(s)
		}
	}
}

// TestOneConnection: what an exporter cuts into minutes is one connection, not a beacon.
func TestOneConnection(t *testing.T) {
	flows := conns("10.1.2.3", "198.51.100.9", 443, moments(600, func(int) float64 { return 60 }), 2000)
	for i := range flows {
		flows[i].SrcPort, flows[i].End = uint16(50000+i%3), flows[i].Start+58
	}
	if got := hear(t, detector(t, nil), flows); len(got) > 0 {
		t.Errorf("told %q", got)
	}
}

func TestUpload(t *testing.T) {
	day := func(n int, src, dst string, up, down uint64) []observe.Flow {
		f := conns(src, dst, 443, []int64{t0 + int64(n)*86400 + 3600}, up)
		f[0].End += 600
		back := f[0]
		back.Src, back.Dst, back.SrcPort, back.DstPort, back.Bytes = back.Dst, back.Src, back.DstPort, back.SrcPort, down
		return append(f, back)
	}
	const src, backup, drop = "10.1.2.3", "198.51.100.1", "203.0.113.7"
	var quiet []observe.Flow
	for n := range 6 {
		quiet = append(quiet, day(n, src, backup, 100<<20, 1<<20)...)
	}
	if got := hear(t, detector(t, nil), quiet); len(got) > 0 {
		t.Errorf("backups: %q", got)
	}
	if got := hear(t, detector(t, nil), append(slices.Clone(quiet), day(6, src, drop, 300<<20, 1<<20)...)); !slices.Equal(got, []string{"exfil.upload 10.1.2.3 medium"}) {
		t.Errorf("to somebody new: %q", got)
	}
	if got := hear(t, detector(t, nil), append(slices.Clone(quiet), day(6, src, backup, 900<<20, 1<<20)...)); !slices.Equal(got, []string{"exfil.upload 10.1.2.3 medium"}) {
		t.Errorf("nine times as much: %q", got)
	}
	if got := hear(t, detector(t, nil), append(slices.Clone(quiet), day(6, src, drop, 900<<20, 800<<20)...)); len(got) > 0 {
		t.Errorf("a call goes both ways: %q", got)
	}
}

func TestOwn(t *testing.T) {
	flows := conns("10.1.2.3", "192.168.0.4", 443, moments(40, func(int) float64 { return 60 }), 900)
	if got := hear(t, detector(t, func(c *Config) { c.Own = []string{"10.0.0.0/8"} }), flows); !slices.Equal(got, []string{"beacon.flow 10.1.2.3 medium"}) {
		t.Errorf("told %q", got)
	}
	c := Default()
	c.Own = []string{"10/8"}
	if _, err := New(c); err == nil {
		t.Error("a prefix that is none was taken")
	}
}

// TestHostile: no record breaks it, and no number of them makes it grow.
func TestHostile(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	d := detector(t, nil)
	batch := make([]observe.Flow, 128)
	times := []int64{0, 1, t0, math.MaxInt64 >> 16, 1<<32 - 1, -5}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 1500 {
		for i := range batch {
			f := &batch[i]
			*f = observe.Flow{Src: observe.Addr4(10<<24 | r.Uint32()>>8), Dst: observe.Addr4(r.Uint32()), SrcPort: uint16(r.Uint32()), DstPort: uint16(r.Uint32()), Proto: []uint8{6, 17, 1, 0}[r.IntN(4)],
				Flags: uint8(r.Uint32()), HasFlags: r.IntN(2) == 0, Action: observe.FlowAction(r.IntN(3)), Packets: r.Uint64() >> r.IntN(64), Bytes: r.Uint64() >> r.IntN(64),
				Start: times[r.IntN(len(times))] + int64(r.IntN(100000)), End: times[r.IntN(len(times))]}
			if r.IntN(3) == 0 {
				f.Src, f.Dst = f.Dst, f.Src
			}
		}
		d.Detect(batch, func(s *model.Signal, _ *observe.Flow) {
			full := *s
			full.ID = model.NewULID(s.Time)
			if err := full.Check(); err != nil {
				t.Fatal(err)
			}
		})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 200<<20 {
		t.Errorf("holds %d MiB", grown>>20)
	}
	runtime.KeepAlive(d)
}

func BenchmarkInbound(b *testing.B) { bench(b, false) }

func BenchmarkOutbound(b *testing.B) { bench(b, true) }

// bench is about flows at random: what it costs to find that nothing is remarkable.
func bench(b *testing.B, out bool) {
	r := rand.New(rand.NewPCG(5, 6))
	flows := make([]observe.Flow, 1<<16)
	for i := range flows {
		f := &flows[i]
		*f = observe.Flow{Src: observe.Addr4(r.Uint32()>>2 | 1<<30), Dst: observe.Addr4(10<<24 | uint32(r.IntN(4096))), SrcPort: uint16(32768 + r.IntN(28000)), DstPort: 443, Proto: 6,
			Packets: 12, Bytes: 9000, Start: t0 + int64(i/64), End: t0 + int64(i/64) + 20}
		if out {
			f.Src, f.Dst = f.Dst, f.Src
		}
	}
	d := detector(b, nil)
	i := 0
	b.ResetTimer()
	for b.Loop() {
		d.Detect(flows[i:i+128], func(*model.Signal, *observe.Flow) {})
		i = (i + 128) % len(flows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/128, "ns/flow")
}
