package records

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decide"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// lists writes a list and loads it.
func lists(t testing.TB, text string) *intel.Feeds {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, _, err := LoadFeeds([]string{name + "@0.9"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const listed = "203.0.113.7\n198.51.100.1:8080\nevil.example\nja3:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nt13d1516h2_8daaf6152771_e5627efa2ab1\nAKIAIOSFODNN7EXAMPLE\nbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\ncccccccccccccccccccccccccccccccc\ndddddddddddddddddddddddddddddddddddddddd\n"

func matcherOf(t testing.TB, got *[]string) *Matcher {
	return NewMatcher(lists(t, listed), func(_ uint64, s model.Signal, from []intel.Provenance) {
		if err := s.Check(); err != nil || len(from) == 0 || len(s.Techniques) == 0 {
			t.Errorf("%v: %+v", err, s)
		}
		spoofed := ""
		if s.Spoofable {
			spoofed = " spoofable"
		}
		*got = append(*got, s.Kind+" "+s.Actor.Value()+" "+s.Severity.String()+spoofed)
	})
}

func addr(s string) observe.Addr { return observe.AddrOf(netip.MustParseAddr(s)) }

func TestMatch(t *testing.T) {
	flow := func(src, dst string, sport, dport uint16, packets, bytes uint64) observe.LogBatch {
		return observe.LogBatch{Flows: []observe.Flow{{Src: addr(src), Dst: addr(dst), SrcPort: sport, DstPort: dport, Proto: observe.ProtoTCP, Packets: packets, Bytes: bytes, Start: 1.7e9, End: 1.7e9}}}
	}
	event := func(o observe.Observation) observe.LogBatch {
		o.Remote, o.Time, o.Service = netip.MustParseAddrPort("192.0.2.9:4711"), time.Unix(1.7e9, 0), "http"
		return observe.LogBatch{Events: []observe.LogEvent{{Observation: o}}}
	}
	document := func(text string) observe.LogBatch {
		var b observe.LogBatch
		if _, err := b.AddDocument(0, []byte(text)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		batch observe.LogBatch
		want  []string
	}{
		"calls":              {flow("10.0.0.5", "203.0.113.7", 50000, 443, 20, 5000), []string{"intel.call 10.0.0.5 high"}},
		"is answered":        {flow("203.0.113.7", "10.0.0.5", 443, 50000, 20, 5000), []string{"intel.call 10.0.0.5 high"}},
		"talks":              {flow("203.0.113.7", "10.0.0.5", 50000, 443, 20, 5000), []string{"intel.address 203.0.113.7 medium"}},
		"knocks":             {flow("203.0.113.7", "10.0.0.5", 50000, 443, 1, 44), []string{"intel.address 203.0.113.7 low spoofable"}},
		"its port":           {flow("10.0.0.5", "198.51.100.1", 50000, 8080, 20, 5000), []string{"intel.call 10.0.0.5 high"}},
		"another port":       {flow("10.0.0.5", "198.51.100.1", 50000, 443, 20, 5000), nil},
		"nobody":             {flow("10.0.0.5", "203.0.113.8", 50000, 443, 20, 5000), nil},
		"fingerprint":        {event(observe.Observation{Interaction: &observe.Interaction{Prints: observe.Fingerprints{JA3: strings.Repeat("a", 32)}}}), []string{"intel.ja3 192.0.2.9 medium"}},
		"JA4":                {event(observe.Observation{Interaction: &observe.Interaction{Prints: observe.Fingerprints{JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1"}}}), []string{"intel.ja4 192.0.2.9 medium"}},
		"a name in TLS":      {event(observe.Observation{Interaction: &observe.Interaction{Prints: observe.Fingerprints{SNI: "c2.evil.example"}}}), []string{"intel.domain 192.0.2.9 high"}},
		"a host":             {event(observe.Observation{HTTP: &observe.HTTPRequest{Host: "x.evil.example:8080", Target: "/"}}), []string{"intel.domain 192.0.2.9 medium"}},
		"a key in a trail":   {document(`{"sourceIPAddress":"192.0.2.1","userIdentity":{"accessKeyId":"AKIAIOSFODNN7EXAMPLE"},"eventTime":"2026-01-02T03:04:05Z"}`), []string{"intel.access-key 192.0.2.1 high"}},
		"a source in a log":  {document(`{"src_ip":"203.0.113.7","timestamp":"2026-01-02T03:04:05.1+0000"}`), []string{"intel.address 203.0.113.7 medium"}},
		"JA4 of Suricata":    {document(`{"src_ip":"10.0.0.5","tls":{"ja4":"t13d1516h2_8daaf6152771_e5627efa2ab1"}}`), []string{"intel.ja4 10.0.0.5 high"}},
		"a URL in a command": {document(`{"Computer":"PC1","uri":"https://a.evil.example/x"}`), []string{"intel.domain pc1 high"}},
		"a file by MD5":      {document(`{"src_ip":"10.0.0.5","fileinfo":{"md5":"CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC"}}`), []string{"intel.md5 10.0.0.5 high"}},
		"a file of Zeek":     {document(`{"sha1":"dddddddddddddddddddddddddddddddddddddddd","md5":"00000000000000000000000000000000","id.orig_h":"10.0.0.5"}`), []string{"intel.sha1 10.0.0.5 high"}},
		"Sysmon's hashes":    {document(`{"Computer":"PC1","Hashes":"SHA1=DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDD,MD5=0,SHA256=1,IMPHASH=cccccccccccccccccccccccccccccccc"}`), []string{"intel.sha1 pc1 high"}},
		"an import hash":     {document(`{"Computer":"PC1","Hashes":"MD5=11111111111111111111111111111111,IMPHASH=cccccccccccccccccccccccccccccccc"}`), nil},
		"a captured file":    {event(observe.Observation{File: &observe.FileEvent{SHA256: strings.Repeat("0", 64), SHA1: strings.Repeat("0", 40), MD5: strings.Repeat("c", 32)}}), []string{"intel.md5 192.0.2.9 high"}},
		"nothing":            {document(`{"message":"evil.example is a name in a sentence","n":[1,true,null,{"a":[]}]}`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			m := matcherOf(t, &got)
			m.Process(&c.batch)
			m.Process(&c.batch) // told once a day
			if !slices.Equal(got, c.want) || m.Wrong() > 0 {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(`{"a":"203.0.113.7","b":{"c":["evil.example","http://x.evil.example/\u0000"]},"ts":1e300,"eventTime":"x"}`)
	f.Add(`{"Hashes":"SHA256=","id.orig_h":"::ffff:1.2.3.4%eth0","User":"\u202e"}`)
	var got []string
	m := matcherOf(f, &got)
	f.Fuzz(func(t *testing.T, text string) {
		var b observe.LogBatch
		if _, err := b.AddDocument(0, []byte(text)); err != nil {
			return
		}
		m.Process(&b)
		if m.Wrong() > 0 {
			t.Error("a signal that fails its own check")
		}
	})
}

// TestSpoofedNeverBlocks: however many lists and scans agree, what nothing
// proves decides nothing; with proof of two kinds it is a block.
func TestSpoofedNeverBlocks(t *testing.T) {
	who, err := model.ParseIP("45.33.32.156")
	if err != nil {
		t.Fatal(err)
	}
	run := func(spoofable bool) (out []Decision) {
		d, err := NewDecider(decide.DefaultPolicy(), nil)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1.7e9, 0).UTC()
		for i, class := range []model.Class{model.ClassScan, model.ClassReputation, model.ClassExploit, model.ClassAuth} {
			at = at.Add(time.Second)
			s := model.Signal{ID: model.NewULID(at), Time: at, Kind: "k" + string(class), Class: class, Rule: "r", Title: "t", Actor: who, Address: who.Value(), Sensor: "s",
				Confidence: 0.95, Severity: model.High, Count: 1, Spoofable: spoofable}
			d.Add(Detected{File: "f", Record: uint64(i), Signal: s}, func(x Decision) { out = append(out, x) })
		}
		if len(d.Errors()) > 0 {
			t.Error(d.Errors())
		}
		return out
	}
	if got := run(true); len(got) > 0 {
		t.Errorf("decided %+v", got)
	}
	got := run(false)
	if !slices.ContainsFunc(got, func(x Decision) bool {
		return x.Action == model.Block && len(x.Reasons) > 1 && x.Held == "" && x.Reasons[0].File == "f"
	}) {
		t.Errorf("decided %+v", got)
	}
}
