package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/observe"
)

// What is made: a month of requests, as a few decoys with web servers see them.
// Few sources, agents and paths make most of it; the tails are long.
const (
	seed    = 20261127
	sources = 400_000 // addresses that ever ask something
	agents  = 3_000
	paths   = 20_000
	hosts   = 300
	perCall = 512 // observations handed over at once, as decoys send them
	version = "1" // of what is made: another one makes the lake anew
)

// start is the first hour, and the shape says how the rows are spread.
var start = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

// ready makes the lake unless it is there, whole, from an earlier run.
func ready(ctx context.Context, dir string, rows, hours int) error {
	mark, want := filepath.Join(dir, ".made"), fmt.Sprintf("%s %d rows %d hours seed %d\n", version, rows, hours, seed)
	have, err := os.ReadFile(mark)
	if err == nil && string(have) == want {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	began := time.Now()
	fmt.Printf("making %s: %d rows of http in %d hours\n", dir, rows, hours)
	if err := generate(ctx, dir, rows, hours); err != nil {
		return fmt.Errorf("make lake: %w", err)
	}
	fmt.Printf("made in %v\n", time.Since(began).Round(time.Second))
	return os.WriteFile(mark, []byte(want), 0o600)
}

// generate writes the rows with the lake's own writer and compacts them, as a node does.
func generate(ctx context.Context, dir string, rows, hours int) error {
	words := newVocabulary()
	next := make(chan int)
	var all sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		all.Go(func() {
			errs[i] = func() error {
				l, err := lake.Open(dir, lake.Options{Product: "bench", MaxEvidence: 64 << 10})
				if err != nil {
					return err
				}
				for h := range next {
					if errs[i] == nil {
						errs[i] = writeHour(l, words, h, (rows*(h+1))/hours-(rows*h)/hours)
					}
				}
				return errs[i]
			}()
		})
	}
	for h := range hours {
		next <- h
	}
	close(next)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := lake.Compact(ctx, dir, lake.Compaction{Product: "bench", All: true, Now: time.Now()})
	return err
}

func writeHour(l *lake.Lake, words *vocabulary, hour, rows int) error {
	g := generator{vocabulary: words, r: rand.New(rand.NewPCG(seed, uint64(hour)))}
	g.from = start.Add(time.Duration(hour) * time.Hour)
	g.zipf = rand.NewZipf(g.r, 1.08, 40, sources-1)
	g.path = rand.NewZipf(g.r, 1.2, 6, paths-1)
	g.agent = rand.NewZipf(g.r, 1.3, 4, agents-1)
	var list []observe.Observation
	for done := 0; done < rows; {
		list = g.session(list[:0], rows-done)
		done += len(list)
		l.Observations(list)
	}
	return l.Flush()
}

// source is the n-th busiest address.
func source(n uint64) netip.Addr {
	x := (n + 1) * 0x9e3779b97f4a7c15
	if n%16 == 7 {
		var a [16]byte
		copy(a[:], []byte{0x20, 0x01, 0x0d, 0xb8})
		binary.BigEndian.PutUint64(a[4:], x)
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{byte(1 + (x>>56)%222), byte(x >> 48), byte(x >> 40), byte(x >> 32)})
}

// vocabulary is what visitors choose from, most frequent first.
type vocabulary struct{ agents, paths, hosts []string }

func newVocabulary() *vocabulary {
	v := &vocabulary{}
	r := rand.New(rand.NewPCG(seed, 1<<40))
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	tools := []string{"curl", "python-requests", "Go-http-client", "okhttp", "zgrab", "Wget", "fasthttp", "aiohttp"}
	for i := range agents {
		if i%3 == 1 {
			v.agents = append(v.agents, fmt.Sprintf("%s/%d.%d.%d", pick(tools), r.IntN(9), r.IntN(40), r.IntN(9)))
			continue
		}
		v.agents = append(v.agents, fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36",
			pick([]string{"Windows NT 10.0; Win64; x64", "X11; Linux x86_64", "Macintosh; Intel Mac OS X 10_15_7", "Linux; Android 13"}), 60+r.IntN(80), r.IntN(7000), r.IntN(200)))
	}
	parts := []string{"admin", "api", "wp-content", "plugins", "login", "cgi-bin", "vendor", "phpunit", "src", "v1", "users", "config", "backup", ".git", ".aws", "actuator",
		"console", "setup", "static", "js", "remote", "owa", "solr", "manager", "geoserver", "hudson", "_ignition", "portal", "shell", "upload"}
	ends := []string{"index.php", "config.json", ".env", "credentials", "health", "eval-stdin.php", "login.cgi", "dump.sql", "id_rsa", "status", "HEAD", "web.config"}
	seen := map[string]bool{"/": true}
	v.paths = append(v.paths, "/")
	for len(v.paths) < paths {
		p := "/"
		for range 1 + r.IntN(4) {
			p += pick(parts) + "/"
		}
		if p += pick(ends); r.IntN(3) == 0 {
			p += "." + strconv.Itoa(r.IntN(50))
		}
		if !seen[p] {
			seen[p] = true
			v.paths = append(v.paths, p)
		}
	}
	for i := range hosts {
		if i%2 == 0 {
			v.hosts = append(v.hosts, fmt.Sprintf("203.0.113.%d", i%250))
		} else {
			v.hosts = append(v.hosts, fmt.Sprintf("%s-%d.example", strings.Trim(pick(parts), "._"), i))
		}
	}
	return v
}

// generator makes the sessions of one hour.
type generator struct {
	*vocabulary
	r                 *rand.Rand
	zipf, path, agent *rand.Zipf
	from              time.Time
	n                 uint64
}

// session appends the requests of one visit, at most a number of them.
func (g *generator) session(to []observe.Observation, most int) []observe.Observation {
	g.n++
	at := g.from.Add(time.Duration(g.r.Int64N(int64(50 * time.Minute))))
	head := observe.Observation{Kind: observe.KindHTTP, Sensor: "edge-" + strconv.Itoa(int(g.n%3)+1), Decoy: "http", Service: "http",
		Remote: netip.AddrPortFrom(source(g.zipf.Uint64()), uint16(1024+g.r.IntN(64000))), Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, 7}), 80)}
	binary.BigEndian.PutUint64(head.Session[:8], uint64(at.UnixMilli())<<16)
	binary.BigEndian.PutUint64(head.Session[8:], g.r.Uint64())
	agent, host, secure := g.agents[g.agent.Uint64()], g.hosts[min(int(g.r.ExpFloat64()*12), hosts-1)], g.r.IntN(3) == 0
	if secure {
		head.Decoy, head.Local = "https", netip.AddrPortFrom(head.Local.Addr(), 443)
	}
	for range min(1+int(g.r.ExpFloat64()*6), most, perCall) {
		h := &observe.HTTPRequest{Method: "GET", Target: g.paths[g.path.Uint64()], Proto: "HTTP/1.1", Host: host, Status: 404, TLS: secure,
			Headers: []observe.Field{{Name: "Host", Value: host}, {Name: "User-Agent", Value: agent}, {Name: "Accept", Value: "*/*"}, {Name: "Accept-Encoding", Value: "gzip"}, {Name: "Connection", Value: "keep-alive"}}}
		switch g.r.IntN(14) {
		case 0:
			h.Method, h.Status, h.Body = "POST", 200, fmt.Appendf(nil, "log=admin%d&pwd=%x&wp-submit=Log+In", g.r.IntN(500), g.r.Uint32())
			h.BodyLen = int64(len(h.Body))
		case 1, 2:
			h.Target += "?id=" + strconv.Itoa(g.r.IntN(100_000))
		case 3:
			h.Status = 200
		case 4:
			h.Status = 403
		}
		o := head
		o.Time, o.HTTP = at, h
		at = at.Add(time.Duration(g.r.ExpFloat64() * float64(400*time.Millisecond)))
		if end := g.from.Add(time.Hour - time.Millisecond); at.After(end) {
			at = end
		}
		to = append(to, o)
	}
	return to
}
