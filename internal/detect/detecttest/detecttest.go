// Package detecttest is the suite every detector passes: hostile and broken
// observations of all kinds, a million actors, clocks that step, and the same
// answer twice. It also holds the stories (story.go) by which confidences are
// tuned. It is imported by tests only.
package detecttest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Start is the time at which everything here begins.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// MaxGrowth is how much memory a detector may hold after a million actors.
const MaxGrowth = 64 << 20

// Run is the suite. New makes a fresh detector, quick to call again; telling
// is an observation (from Observation) that it must conclude something from.
func Run(t *testing.T, fresh func() detect.Detector, telling ...observe.Observation) {
	t.Helper()
	if len(telling) == 0 {
		t.Fatal("at least one telling observation is needed, or the suite proves nothing")
	}
	t.Run("concludes", func(t *testing.T) { concludes(t, fresh(), telling) })
	t.Run("hostile", func(t *testing.T) { hostile(t, fresh()) })
	t.Run("deterministic", func(t *testing.T) { deterministic(t, fresh, telling) })
	t.Run("clock", func(t *testing.T) { clock(t, fresh(), telling) })
	t.Run("actors", func(t *testing.T) { actors(t, fresh(), telling) })
}

// Observation completes o with who, when and where.
func Observation(o observe.Observation) observe.Observation {
	if o.Time.IsZero() {
		o.Time = Start
	}
	if o.Session.IsZero() {
		o.Session = model.NewULID(o.Time)
	}
	if o.Decoy == "" {
		o.Decoy = o.Service + "-1"
	}
	o.Sensor = "sensor-1"
	if !o.Remote.IsValid() {
		o.Remote = netip.MustParseAddrPort("198.51.100.23:40123")
	}
	if !o.Local.IsValid() {
		o.Local = netip.MustParseAddrPort("192.0.2.1:2222")
	}
	switch {
	case o.Interaction != nil:
		o.Kind = observe.KindInteraction
	case o.Auth != nil:
		o.Kind = observe.KindAuth
	case o.Command != nil:
		o.Kind = observe.KindCommand
	case o.HTTP != nil:
		o.Kind = observe.KindHTTP
	case o.File != nil:
		o.Kind = observe.KindFile
	case o.Fetch != nil:
		o.Kind = observe.KindFetch
	case o.Forward != nil:
		o.Kind = observe.KindForward
	case o.Call != nil:
		o.Kind = observe.KindCall
	case o.Exchange != nil:
		o.Kind = observe.KindExchange
	}
	return o
}

// engine wraps one detector so that signals are completed and checked as in use.
func engine(d detect.Detector) *detect.Engine {
	return detect.NewEngine([]detect.Named{{Name: "subject", Detector: d}}, detect.Options{})
}

func healthy(t *testing.T, e *detect.Engine) {
	t.Helper()
	if n := e.Counters(); len(n.Panics) > 0 || n.Invalid > 0 {
		t.Errorf("panics %v, invalid signals %d", n.Panics, n.Invalid)
	}
}

func concludes(t *testing.T, d detect.Detector, telling []observe.Observation) {
	e := engine(d)
	n := 0
	e.Process(telling, func(s model.Signal) {
		n++
		if s.Class == "" || s.Title == "" || s.Rule == "" || s.Confidence <= 0.5 || len(s.Techniques) == 0 || len(s.Evidence) == 0 {
			t.Errorf("incomplete signal %+v", s)
		}
		for _, r := range s.Title {
			if r < ' ' || r > '~' {
				t.Errorf("title %q is not plain text", s.Title)
			}
		}
	})
	if n == 0 {
		t.Error("nothing concluded from the telling observations")
	}
	healthy(t, e)
}

// Garbage returns broken and hostile observations of every kind, the same for
// the same seed: empty bodies, huge texts, binary, wrong or several bodies.
func Garbage(seed uint64, n int) []observe.Observation {
	r := rand.New(rand.NewPCG(seed, 1))
	text := func() string {
		switch r.IntN(8) {
		case 0:
			return ""
		case 1:
			return strings.Repeat(string([]byte{byte(r.IntN(256))}), r.IntN(observe.MaxText))
		case 2:
			b := make([]byte, r.IntN(2048))
			for i := range b {
				b[i] = byte(r.IntN(256))
			}
			return string(b)
		case 3:
			return strings.Repeat("%25", r.IntN(500)) + "2e%2e/${jndi:"
		case 4:
			return strings.Repeat("${", r.IntN(3000)) + strings.Repeat("(", r.IntN(3000))
		case 5:
			return "http://" + strings.Repeat("a.", r.IntN(1500)) + "/\x00' or 1=1 <script>"
		case 6:
			return "\xff\xfe;wget http://[::1]:0/$(x) \u202e😀" + strings.Repeat("/*", r.IntN(800))
		}
		return fmt.Sprintf("GET /%d/../../etc/passwd HTTP/1.1", r.IntN(1000))
	}
	list := func() (out []string) {
		for range r.IntN(observe.MaxFields) {
			out = append(out, text())
		}
		return out
	}
	kinds := []observe.Kind{observe.KindInteraction, observe.KindAuth, observe.KindCommand, observe.KindHTTP, observe.KindFile,
		observe.KindFetch, observe.KindForward, observe.KindCall, observe.KindExchange, "", "nonsense"}
	services := []string{"ssh", "telnet", "http", "https", "redis", "docker", "llm", "tcp", "", "\x00\xff"}
	out := make([]observe.Observation, n)
	for i := range out {
		o := &out[i]
		*o = observe.Observation{Kind: kinds[r.IntN(len(kinds))], Time: Start.Add(time.Duration(i) * time.Second), Decoy: "d",
			Service: services[r.IntN(len(services))], Sensor: "s"}
		if r.IntN(10) > 0 {
			o.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(4))}), 1)
		}
		if r.IntN(10) == 0 {
			o.Remote = netip.AddrPortFrom(netip.MustParseAddr("fe80::1%eth0"), 1)
		}
		body(o, r.IntN(10), r, text, list)
		if r.IntN(20) == 0 {
			body(o, r.IntN(10), r, text, list) // two bodies
		}
		for range r.IntN(6) {
			o.Evidence = append(o.Evidence, observe.Blob{What: text(), SHA256: text()})
		}
	}
	return out
}

func body(o *observe.Observation, which int, r *rand.Rand, text func() string, list func() []string) {
	switch which {
	case 0:
		o.Interaction = &observe.Interaction{First: []byte(text()), Client: text(), Protocol: text(),
			Prints: observe.Fingerprints{JA3: text(), JA4: text(), HASSH: text()}}
	case 1:
		o.Auth = &observe.AuthAttempt{Method: text(), User: text(), Password: text(), Key: text(), Accepted: r.IntN(2) == 0}
	case 2:
		o.Command = &observe.Command{Line: text(), User: text()}
	case 3:
		h := &observe.HTTPRequest{Method: text(), Target: text(), Proto: text(), Host: text(), Body: []byte(text()), Status: r.IntN(1000) - 1}
		for range r.IntN(20) {
			h.Headers = append(h.Headers, observe.Field{Name: text(), Value: text()}, observe.Field{Name: "User-Agent", Value: text()})
		}
		o.HTTP = h
	case 4:
		o.File = &observe.FileEvent{Path: text(), How: text(), SHA256: text(), Type: text(), Size: int64(r.IntN(9)) - 4}
	case 5:
		o.Fetch = &observe.Fetch{URL: text(), Tool: text()}
	case 6:
		o.Forward = &observe.Forward{Kind: text(), Target: text()}
	case 7:
		o.Call = &observe.APICall{Operation: text(), Args: list(), Detail: text()}
	case 8:
		o.Exchange = &observe.Exchange{API: text(), Route: text(), Model: text(), System: text(), Prompt: text(), Key: text(), Options: text(), Turns: r.IntN(9) - 4}
	}
}

func hostile(t *testing.T, d detect.Detector) {
	e := engine(d)
	all := Garbage(7, 400)
	e.Process(all, func(s model.Signal) {
		if err := s.Check(); err != nil {
			t.Error(err)
		}
	})
	e.Tick(Start.Add(time.Hour), func(model.Signal) {})
	if n := e.Counters(); n.Observations != 400 {
		t.Errorf("%d of 400 observations seen", n.Observations)
	}
	healthy(t, e)
}

// deterministic: two detectors told the same conclude the same.
func deterministic(t *testing.T, fresh func() detect.Detector, telling []observe.Observation) {
	run := func() string {
		var b strings.Builder
		e := engine(fresh())
		say := func(s model.Signal) {
			s.ID = model.ULID{}
			j, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(j)
			b.WriteByte('\n')
		}
		for i := range 3 {
			e.Process(Garbage(uint64(i), 60), say)
			e.Process(telling, say)
			e.Tick(Start.Add(time.Duration(i)*time.Minute), say)
		}
		e.Flush(say)
		return b.String()
	}
	if a, b := run(), run(); a != b || a == "" {
		t.Errorf("two runs differ (or are empty):\n%.2000s\n\n%.2000s", a, b)
	}
}

// clock: a step backwards or far forwards neither panics nor silences a detector.
func clock(t *testing.T, d detect.Detector, telling []observe.Observation) {
	e := engine(d)
	n := 0
	count := func(model.Signal) { n++ }
	for _, step := range []time.Duration{0, -72 * time.Hour, 240 * time.Hour, -time.Second, -20 * 365 * 24 * time.Hour} {
		batch := append([]observe.Observation(nil), telling...)
		for i := range batch {
			batch[i].Time = batch[i].Time.Add(step)
		}
		before := n
		e.Process(batch, count)
		e.Tick(Start.Add(step), count)
		e.Tick(Start.Add(step+2*time.Minute), count)
		if n == before {
			t.Errorf("silent after the clock moved by %v", step)
		}
	}
	healthy(t, e)
}

// actors: a million of them must fit into MaxGrowth.
func actors(t *testing.T, d detect.Detector, telling []observe.Observation) {
	const million = 1_000_000
	before := heap()
	o := telling[len(telling)-1]
	nothing := func(*model.Signal) {}
	for i := range million {
		o.Time = Start.Add(time.Duration(i) * time.Microsecond)
		o.Session[15], o.Session[14], o.Session[13] = byte(i), byte(i>>8), byte(i>>16)
		o.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		d.Detect(&o, nothing)
	}
	grown := heap() - before
	t.Logf("%.1f MB after a million actors", float64(grown)/(1<<20))
	if grown > MaxGrowth {
		t.Errorf("%d bytes held after a million actors, at most %d", grown, MaxGrowth)
	}
	runtime.KeepAlive(d)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
