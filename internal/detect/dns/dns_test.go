package dns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

const t0 = 1_772_409_600

func detector(t testing.TB, change func(*Config)) *names {
	t.Helper()
	c := Default()
	if change != nil {
		change(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*names)
}

func query(client int, at int64, kind, name, rcode string, answers ...string) observe.Query {
	return observe.Query{Client: observe.Addr4(10<<24 | uint32(client)), Time: t0 + at, Type: kind, Name: name, RCode: rcode, Answers: answers, Spoofable: true}
}

func hear(t *testing.T, d *names, queries []observe.Query) (out []string) {
	t.Helper()
	for i := range queries {
		queries[i].Record = uint64(i)
	}
	emit := func(s *model.Signal, record uint64) {
		full := *s
		full.ID = model.NewULID(s.Time)
		if err := full.Check(); err != nil {
			t.Error(err)
		}
		if record >= uint64(len(queries)) || len(s.Techniques) == 0 {
			t.Errorf("record %d, techniques %v", record, s.Techniques)
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", s.Rule, s.Actor.Value(), s.Asset.Name, s.Severity))
	}
	for part := range slices.Chunk(queries, 64) {
		d.DetectQueries(part, emit)
	}
	d.Settle(emit)
	return out
}

func random(r *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

const hexDigits = "0123456789abcdef"

func TestConclusions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	many := func(n int, f func(i int) observe.Query) (out []observe.Query) {
		for i := range n {
			out = append(out, f(i))
		}
		return out
	}
	for name, c := range map[string]struct {
		queries []observe.Query
		want    []string
	}{
		"tunnel": {many(40, func(i int) observe.Query {
			return query(1, int64(i)*60, "TXT", random(r, hexDigits, 40)+".t.evil-example.co.uk", "NOERROR")
		}), []string{"dns.tunnel 10.0.0.1 evil-example.co.uk medium"}},
		"slow tunnel": {many(70, func(i int) observe.Query {
			return query(1, int64(i)*8000, "A", random(r, hexDigits, 40)+".t.evil-example.com", "NOERROR")
		}), []string{"dns.tunnel 10.0.0.1 evil-example.com medium"}},
		"tunnel behind a domain": {many(40, func(i int) observe.Query {
			return query(1, int64(i)*60, "A", random(r, hexDigits, 40)+".com.evil-example.com", "NOERROR")
		}), []string{"dns.tunnel 10.0.0.1 evil-example.com medium"}},
		"one name again and again": {many(4000, func(i int) observe.Query {
			return query(1, int64(i), "A", "d41d8cd98f00b204e9800998ecf8427e.cdn-example.com", "NOERROR")
		}), nil},
		"block lists": {many(4000, func(i int) observe.Query {
			b := r.Uint32()
			return query(1, int64(i), "A", fmt.Sprintf("%d.%d.%d.%d.bl.list-example.org", b&255, b>>8&255, b>>16&255, b>>24), "NXDOMAIN")
		}), nil},
		"block lists of IPv6": {many(400, func(i int) observe.Query {
			return query(1, int64(i), "A", strings.Join(strings.Split(random(r, hexDigits, 32), ""), ".")+".bl.list-example.org", "NXDOMAIN")
		}), nil},
		"known file look-ups": {many(400, func(i int) observe.Query {
			return query(1, int64(i), "A", random(r, hexDigits, 32)+".x.s.sophosxl.net", "NXDOMAIN")
		}), nil},
		"file look-ups of everybody": {many(4000, func(i int) observe.Query {
			return query(1+i%8, int64(i), "A", random(r, hexDigits, 32)+".files.av-example.com", "NXDOMAIN")
		}), []string{"dns.tunnel.popular 10.0.0.1 av-example.com info"}},
		"reverse": {many(4000, func(i int) observe.Query {
			return query(1, int64(i), "PTR", fmt.Sprintf("%d.%d.2.10.in-addr.arpa", i%250, i/250), "NXDOMAIN")
		}), nil},
		"algorithm": {many(60, func(i int) observe.Query {
			return query(1, int64(i)*20, "A", random(r, "abcdefghijklmnopqrstuvwxyz", 14)+".com", "NXDOMAIN")
		}), nil}, // filled in below
		"mail server": {many(3000, func(i int) observe.Query {
			return query(1, int64(i), "MX", random(r, "abcdefghijklmnopqrstuvwxyz", 14)+".com", "NXDOMAIN")
		}), nil},
		"misspelt": {many(30, func(i int) observe.Query {
			return query(1, int64(i)*60, "A", []string{"goggle", "facebok", "youtub", "wikpedia"}[i%4]+fmt.Sprint(i%3)+".com", "NXDOMAIN")
		}), nil},
		"everywhere": {many(20, func(i int) observe.Query {
			return query(1, int64(i)*300, "A", "shop.flux-example.biz", "NOERROR", netip.AddrFrom4([4]byte{byte(20 + i*7), byte(i), 1, 1}).String(), netip.AddrFrom4([4]byte{byte(21 + i*7), byte(i), 1, 1}).String())
		}), []string{"dns.fast-flux 10.0.0.1 flux-example.biz medium"}},
		"in one network": {many(200, func(i int) observe.Query {
			return query(1, int64(i)*300, "A", "shop.example-cdn.com", "NOERROR", netip.AddrFrom4([4]byte{198, 51, byte(i), 1}).String())
		}), nil},
		"pool":       {[]observe.Query{query(1, 0, "A", "pool.supportxmr.com", "NOERROR"), query(1, 9, "A", "pool.supportxmr.com", "NOERROR")}, []string{"miner.domain 10.0.0.1 supportxmr.com medium"}},
		"no moments": {many(2000, func(i int) observe.Query { return query(1, -t0, "A", fmt.Sprintf("www%d.site-example.com", i), "") }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := hear(t, detector(t, nil), c.queries)
			if name == "algorithm" {
				if len(got) != 1 || !strings.HasPrefix(got[0], "dns.dga 10.0.0.1 ") {
					t.Errorf("told %q", got)
				}
				return
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for name, want := range map[string]string{
		"www.example.co.uk": "example.co.uk www", "example.com": "example.com ", "a.b.c.example.com": "example.com a.b.c", "x.d111.cloudfront.net": "d111.cloudfront.net x",
		"com": "", "co.uk": "", "localhost": "", "printer.local": "", "1.0.0.127.in-addr.arpa": "", ".": "", "..": "", ".com": "", "a..com": "", "": "",
	} {
		zoneName, sub, ok := split(name)
		if got := zoneName + " " + sub; ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, want %q", name, got, ok, want)
		}
	}
}

// TestHostile: nothing a client asks breaks it or makes it grow.
func TestHostile(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	d := detector(t, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	batch := make([]observe.Query, 64)
	for range 5000 {
		for i := range batch {
			b := make([]byte, r.IntN(60))
			for j := range b {
				b[j] = byte(r.Uint32())
				if r.IntN(6) == 0 {
					b[j] = '.'
				}
			}
			batch[i] = query(int(r.Uint32()>>8), int64(r.Uint64()>>r.IntN(64)), []string{"A", "TXT", "MX", "", "\x00"}[r.IntN(5)], string(b)+".z"+fmt.Sprint(r.IntN(1e6))+".com", []string{"", "NXDOMAIN", "NOERROR"}[r.IntN(3)], string(b), "198.51.100.1")
		}
		d.DetectQueries(batch, func(s *model.Signal, _ uint64) {
			full := *s
			full.ID = model.NewULID(s.Time)
			if err := full.Check(); err != nil {
				t.Fatal(err)
			}
		})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 400<<20 {
		t.Errorf("holds %d MiB", grown>>20)
	} else {
		t.Logf("holds %d MiB", grown>>20)
	}
	runtime.KeepAlive(d)
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"www.example.com", "..", "a.b.c.d.e", "1.2.3.4.zen.spamhaus.org", "\\300\\001.t.example.com", strings.Repeat("a.", 100) + "com"} {
		f.Add(s, "TXT")
	}
	f.Fuzz(func(t *testing.T, name, kind string) {
		d := detector(t, func(c *Config) { c.Tunnel.Names, c.Tunnel.Letters, c.DGA.Fast = 4, 1, 4 })
		for i := range 6 {
			d.DetectQueries([]observe.Query{query(1, int64(i), kind, fmt.Sprint(i)+name, "NXDOMAIN", name)}, func(s *model.Signal, _ uint64) {
				full := *s
				full.ID = model.NewULID(s.Time)
				if err := full.Check(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

func BenchmarkQueries(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	batch := make([]observe.Query, 1<<15)
	for i := range batch {
		batch[i] = query(r.IntN(300), int64(i/50), "A", fmt.Sprintf("%s.site-%d.com", []string{"www", "api", "img4"}[i%3], r.IntN(5000)), "NOERROR", "198.51.100.7")
	}
	d := detector(b, nil)
	b.ResetTimer()
	i := 0
	for b.Loop() {
		d.DetectQueries(batch[i:i+64], func(*model.Signal, uint64) {})
		i = (i + 64) % len(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/query")
}
