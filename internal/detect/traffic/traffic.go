// Package traffic concludes things about the hosts of one's own network from
// whom they talk to, how often and how much: beacons, exfiltration, mining,
// lateral movement, long and fat connections, and floods against them.
//
// It looks at what internal hosts begin. Flows that only say that somebody
// outside tries something are counted per target and otherwise left alone;
// scans are package flow's. All memory is in tables of fixed size.
package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Config of the family.
type Config struct {
	// Own are the internal networks, as prefixes; empty: the private ranges.
	Own []string `yaml:"own"`
	// Hosts and Pairs are how many internal hosts, and conversations of an
	// internal host with a service outside, are remembered.
	Hosts int `yaml:"hosts"`
	Pairs int `yaml:"pairs"`
	// Popular is the share of the internal hosts (and at least PopularHosts of
	// them) that makes a service outside an ordinary one; Late is the share for
	// one that appeared more than a day after the beginning.
	Popular      float64 `yaml:"popular"`
	Late         float64 `yaml:"late"`
	PopularHosts int     `yaml:"popular_hosts"`
	// Patience is how long a conclusion about a service outside waits, so that
	// it is known who else uses it.
	Patience time.Duration `yaml:"patience"`

	Beacon  BeaconConfig  `yaml:"beacon"`
	Upload  UploadConfig  `yaml:"upload"`
	Miner   MinerConfig   `yaml:"miner"`
	Lateral LateralConfig `yaml:"lateral"`
	Flood   FloodConfig   `yaml:"flood"`
}

// Default configuration; docs/detect.md has the reasons and what was measured.
func Default() Config {
	return Config{
		Hosts: 16384, Pairs: 131072, Popular: 0.10, Late: 0.25, PopularHosts: 5, Patience: time.Hour,
		Beacon:  BeaconConfig{Beats: 16, Within: 0.8, Sizes: 0.7, Lasts: 10 * time.Minute, Largest: 256 << 10},
		Upload:  UploadConfig{Floor: 64 << 20, Unknown: 128 << 20, Factor: 5, Long: 12 * time.Hour, Fat: 1 << 30},
		Miner:   MinerConfig{Lasts: 20 * time.Minute, Unnamed: 3 * time.Hour, Rate: 4096},
		Lateral: LateralConfig{Fast: 10, Slow: 20, New: 20},
		Flood:   FloodConfig{Sources: 1000, Growth: 8, Reflectors: 50, Packets: 1_000_000},
	}
}

// New makes the detector.
func New(c Config) (detect.FlowDetector, error) {
	if c.Hosts < 1 || c.Pairs < 1 || c.Hosts > 1<<22 || c.Pairs > 1<<22 {
		return nil, errors.New("traffic detector: hosts and pairs must lie between 1 and 2^22")
	}
	if !(c.Popular > 0 && c.Popular <= c.Late && c.Late <= 1) || c.PopularHosts < 2 || c.PopularHosts > maxClients || c.Patience < 0 {
		return nil, fmt.Errorf("traffic detector: 0 < popular <= late <= 1 must hold, popular_hosts between 2 and %d, patience must not be negative", maxClients)
	}
	own, err := prefixes(c.Own)
	if err != nil {
		return nil, fmt.Errorf("traffic detector: %w", err)
	}
	for _, err := range []error{c.Beacon.check(), c.Upload.check(), c.Miner.check(), c.Lateral.check(), c.Flood.check()} {
		if err != nil {
			return nil, fmt.Errorf("traffic detector: %w", err)
		}
	}
	return &traffic{conf: c, own: own,
		pairs: detect.NewTable[pairKey, pair](c.Pairs), outside: detect.NewTable[service, users](c.Pairs),
		hosts: detect.NewTable[observe.Addr, host](c.Hosts), targets: make([]target, 1<<bits.Len(uint(c.Hosts-1))),
		seed: seed()}, nil
}

type traffic struct {
	conf    Config
	own     []netip.Prefix
	pairs   *detect.Table[pairKey, pair]
	outside *detect.Table[service, users]
	hosts   *detect.Table[observe.Addr, host]
	targets []target // by hash; a power of two
	waiting []waiting
	clock   int64 // newest time of a record, as far as it can be believed
	began   int64 // oldest
	seed    uint64
	sig     model.Signal
}

// pairKey is a conversation: an internal host and a service outside.
type pairKey struct {
	src observe.Addr
	service
}

// service is what others can use as well.
type service struct {
	dst   observe.Addr
	port  uint16
	proto uint8
}

// Detect implements detect.FlowDetector.
func (d *traffic) Detect(flows []observe.Flow, emit detect.FlowEmit) {
	for i := range flows {
		f := &flows[i]
		from, to := d.internal(&f.Src), d.internal(&f.Dst)
		switch {
		case !from && to:
			if !answer(f) {
				d.inbound(f, emit)
			} else {
				d.answered(f)
			}
			d.reflected(f, emit)
		case from && !to:
			if !answer(f) && begins(f) && f.Action != observe.FlowReject && !special(&f.Dst) {
				d.outbound(f, emit)
			}
		case from && to:
			d.sideways(f, emit)
			d.inbound(f, emit)
		}
	}
}

// Settle implements detect.FlowSettler: what waits to be judged is judged with
// what is known.
func (d *traffic) Settle(emit detect.FlowEmit) { d.ripe(emit, true) }

// outbound is about what an internal host sends to a service outside.
func (d *traffic) outbound(f *observe.Flow, emit detect.FlowEmit) {
	if f.Proto != observe.ProtoTCP && f.Proto != observe.ProtoUDP {
		return
	}
	d.tick(f.Start)
	if len(d.waiting) > 0 && d.waiting[0].due <= d.clock {
		d.ripe(emit, false)
	}
	k := pairKey{f.Src, service{f.Dst, f.DstPort, f.Proto}}
	p, fresh := d.pairs.Get(k)
	h := d.host(f)
	if fresh {
		p.first = f.Start
		u, _ := d.outside.Get(k.service)
		if u.n == 0 {
			u.first = f.Start
		}
		u.add(d.hash(&f.Src))
	}
	p.first = min(p.first, f.Start)
	c, begun := p.conn(f)
	p.up += f.Bytes
	if begun && !housekeeping(f.DstPort, f.Proto) {
		p.beats.add(f.Start, f.Bytes)
		d.beacon(k, p, f)
	} else if !begun {
		p.beats.grow(f.Start, f.Bytes)
	}
	d.upload(k, p, h, c, f, emit)
	d.miner(p, c, f, emit)
	d.blast(f, emit)
}

// answered adds what came back.
func (d *traffic) answered(f *observe.Flow) {
	if p := d.pairs.Peek(pairKey{f.Dst, service{f.Src, f.SrcPort, f.Proto}}); p != nil {
		p.down += f.Bytes
		p.heard = true
	}
}

// tick moves the clock. One record from the future must not age everything:
// the clock goes at most a day ahead at once.
func (d *traffic) tick(t int64) {
	if d.clock == 0 {
		d.clock, d.began = t, t
	}
	if t > d.clock {
		d.clock = min(t, d.clock+day)
	}
	if t > 0 && t < d.began && d.began-t < 30*day {
		d.began = t
	}
}

const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
)

// internal reports whether an address is one's own.
func (d *traffic) internal(a *observe.Addr) bool {
	if len(d.own) > 0 {
		n := a.Netip()
		for _, p := range d.own {
			if p.Contains(n) {
				return true
			}
		}
		return false
	}
	if a.Is4() {
		switch {
		case a[12] == 10, a[12] == 172 && a[13]&0xf0 == 16, a[12] == 192 && a[13] == 168, a[12] == 100 && a[13]&0xc0 == 64, a[12] == 169 && a[13] == 254:
			return true
		}
	} else if a[0]&0xfe == 0xfc || a[0] == 0xfe && a[1]&0xc0 == 0x80 {
		return true
	}
	return false
}

func prefixes(list []string) (out []netip.Prefix, err error) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("own: %.50q is no prefix such as 192.0.2.0/24", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// special reports whether an address is no single host: multicast, broadcast, unspecified.
func special(a *observe.Addr) bool {
	if a.Is4() {
		return a[12] >= 224 || a[12] == 0
	}
	return a[0] == 0xff || *a == observe.Addr{}
}

// answer guesses from the ports that a flow answers another one: services have
// low ports and clients high ones (RFC 6335 §6; Linux begins at 32768).
func answer(f *observe.Flow) bool {
	if f.HasFlags && f.Flags&observe.FlagSYN != 0 {
		return f.Flags&observe.FlagACK != 0
	}
	if f.SrcPort == 0 || f.DstPort == 0 {
		return false
	}
	return f.SrcPort < 1024 && f.DstPort >= 1024 || f.SrcPort < 32768 && f.DstPort >= 32768
}

// begins keeps out what failed: an attempt is no conversation.
func begins(f *observe.Flow) bool {
	return f.Proto != observe.ProtoTCP || f.Packets > 2 || f.Bytes > 64*f.Packets
}

// housekeeping are services that every host asks at regular times: name and
// time look-ups, leases, discovery, monitoring of devices, STUN.
func housekeeping(port uint16, proto uint8) bool {
	switch port {
	case 53, 67, 68, 123, 137, 138, 161, 162, 514, 546, 547, 1900, 3478, 3702, 5353, 5355:
		return proto == observe.ProtoUDP
	}
	return false
}

func seed() uint64 {
	var b [8]byte
	randomBytes(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// hash is of an address; the seed is random, so that nobody can choose collisions.
func (d *traffic) hash(a *observe.Addr) uint64 {
	x := binary.LittleEndian.Uint64(a[:8])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(a[8:]) ^ d.seed
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}
