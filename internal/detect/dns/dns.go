// Package dns concludes things from questions to name servers: data carried in
// names (tunnels), names that an algorithm made, names whose addresses change
// all the time, and look-ups of mining pools.
//
// What is counted is what somebody would have to do for it: different names
// that nobody would choose, below one registered domain, by one host. Who looks
// up the same ordinary names all day is silent, however many they are.
package dns

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"

	"golang.org/x/net/publicsuffix"
)

// Config of the family.
type Config struct {
	// Clients, Zones and Talks are how many hosts that ask, registered domains,
	// and pairs of them are remembered.
	Clients int `yaml:"clients"`
	Zones   int `yaml:"zones"`
	Talks   int `yaml:"talks"`
	// Popular is the share of the clients (and at least PopularClients) that
	// makes a domain an ordinary one.
	Popular        float64 `yaml:"popular"`
	PopularClients int     `yaml:"popular_clients"`
	// Patience is how long a conclusion about a domain waits, so that it is
	// known who else asks for it.
	Patience time.Duration `yaml:"patience"`
	// Quiet are more domains whose names carry data by design.
	Quiet []string `yaml:"quiet"`

	Tunnel TunnelConfig `yaml:"tunnel"`
	DGA    DGAConfig    `yaml:"dga"`
	// Flux is how many networks (/16) the addresses of a domain must be of within a day.
	Flux int `yaml:"flux"`
}

// Default configuration; docs/detect.md has the reasons and what was measured.
func Default() Config {
	return Config{
		Clients: 16384, Zones: 65536, Talks: 131072, Popular: 0.10, PopularClients: 5, Patience: time.Hour,
		Tunnel: TunnelConfig{Names: 24, Letters: 480, WeekNames: 60, Plain: 30_000, Down: 32 << 10, Cost: 5},
		DGA:    DGAConfig{Fast: 20, Slow: 40, Any: 50, Cost: 4.8},
		Flux:   24,
	}
}

// New makes the detector.
func New(c Config) (detect.QueryDetector, error) {
	if c.Clients < 1 || c.Zones < 1 || c.Talks < 1 || c.Clients > 1<<22 || c.Zones > 1<<22 || c.Talks > 1<<22 {
		return nil, errors.New("dns detector: clients, zones and talks must lie between 1 and 2^22")
	}
	if !(c.Popular > 0 && c.Popular <= 1) || c.PopularClients < 2 || c.PopularClients > maxClients || c.Patience < 0 || c.Flux < 8 {
		return nil, fmt.Errorf("dns detector: popular must lie between 0 and 1, popular_clients between 2 and %d, flux be at least 8, patience not negative", maxClients)
	}
	if err := errors.Join(c.Tunnel.check(), c.DGA.check()); err != nil {
		return nil, fmt.Errorf("dns detector: %w", err)
	}
	k, err := loadKnowledge()
	if err != nil {
		return nil, fmt.Errorf("dns detector: %w", err)
	}
	for _, q := range c.Quiet {
		if q = strings.ToLower(strings.Trim(q, ".")); q == "" {
			return nil, errors.New("dns detector: quiet has an empty name")
		}
		k.quiet[q] = true
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // does not fail (Go 1.24)
	return &names{conf: c, known: k, seed: binary.LittleEndian.Uint64(b[:]),
		clients: detect.NewTable[observe.Addr, client](c.Clients), zones: detect.NewTable[string, zone](c.Zones),
		talks: detect.NewTable[talkKey, talk](c.Talks)}, nil
}

type names struct {
	conf    Config
	known   *knowledge
	seed    uint64
	clients *detect.Table[observe.Addr, client]
	zones   *detect.Table[string, zone]
	talks   *detect.Table[talkKey, talk]
	waiting []waiting
	clock   int64
	sig     model.Signal
}

// talkKey is a host and a registered domain.
type talkKey struct {
	client observe.Addr
	zone   string
}

// zone is what is remembered about a registered domain.
type zone struct {
	seen [maxClients]uint32 // hashes of who asked
	n    int
	flux flux
	told window // that it is popular
}

const maxClients = 64

const (
	hour = 3600
	day  = 24 * hour
	week = 7 * day
)

// DetectQueries implements detect.QueryDetector.
func (d *names) DetectQueries(queries []observe.Query, emit detect.QueryEmit) {
	for i := range queries {
		q := &queries[i]
		if q.Client.IsZero() || q.Name == "" || len(q.Name) > observe.MaxQueryName {
			continue
		}
		if q.Time > d.clock {
			if d.clock == 0 {
				d.clock = q.Time
			}
			d.clock = min(q.Time, d.clock+day)
			d.ripe(false, emit)
		}
		d.query(q, emit)
	}
}

func (d *names) query(q *observe.Query, emit detect.QueryEmit) {
	zoneName, sub, ok := split(q.Name)
	if !ok {
		return
	}
	h := d.hashAddr(&q.Client)
	c, _ := d.clients.Get(q.Client)
	if d.known.pool(q.Name) {
		d.pool(c, q, zoneName, emit)
	}
	d.dga(c, q, zoneName, emit)
	if d.known.quietName(q.Name, zoneName) {
		return
	}
	z, _ := d.zones.Get(zoneName)
	z.add(h)
	d.flux(z, q, zoneName)
	if sub != "" {
		d.tunnel(q, zoneName, sub)
	}
}

func (z *zone) add(h uint64) {
	v := uint32(h>>32) | 1
	if z.n == maxClients {
		return
	}
	for _, x := range z.seen[:z.n] {
		if x == v {
			return
		}
	}
	z.seen[z.n] = v
	z.n++
}

// popular reports whether a domain is an ordinary one, because many ask for it.
func (d *names) popular(zoneName string) bool {
	z := d.zones.Peek(zoneName)
	if z == nil {
		return false
	}
	return z.n == maxClients || z.n >= d.conf.PopularClients && float64(z.n) >= d.conf.Popular*float64(d.clients.Len())
}

// split cuts a name into its registered domain (public suffix and one label,
// publicsuffix.org) and what is before it; not ok for names of one label, of
// local networks, and suffixes themselves.
func split(name string) (zoneName, sub string, ok bool) {
	if len(name) > 253*4 || !strings.Contains(name, ".") {
		return "", "", false
	}
	top := name[strings.LastIndexByte(name, '.')+1:]
	switch top {
	case "arpa", "local", "localhost", "localdomain", "lan", "home", "internal", "intranet", "corp", "test", "invalid", "onion":
		return "", "", false
	}
	suffix, _ := publicsuffix.PublicSuffix(name)
	if len(suffix) >= len(name) {
		return "", "", false
	}
	rest := name[:len(name)-len(suffix)-1]
	cut := strings.LastIndexByte(rest, '.')
	zoneName = name[cut+1:]
	if cut > 0 {
		sub = rest[:cut]
	}
	return zoneName, sub, zoneName[0] != '.'
}

func (d *names) hashAddr(a *observe.Addr) uint64 {
	return mix(binary.LittleEndian.Uint64(a[:8])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(a[8:]) ^ d.seed)
}

// hash is of a text (FNV-1a with a random beginning, mixed): nobody can choose collisions.
func (d *names) hash(s string) uint64 {
	h := d.seed ^ 14695981039346656037
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// window counts within a time that begins with the first thing counted.
type window struct {
	since int64
	begun bool
}

// open reports whether the window begins anew at now. Records may be out of
// order, so that one of before the window counts into it.
func (w *window) open(now, lasts int64) bool {
	if w.begun && now-w.since < lasts && w.since-now < lasts {
		return false
	}
	w.since, w.begun = now, true
	return true
}
