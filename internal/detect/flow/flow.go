// Package flow concludes things from flow records: who tries many hosts, many
// ports or many of both, quickly or over hours.
//
// What counts is not how many partners an address has (a busy workstation, a
// resolver and a proxy have thousands) but how many of its attempts lead
// nowhere: refused, unanswered, or closed without a byte of content. The memory
// per source is bounded: a few hashes while it is unremarkable, a set of
// targets up to a cap when it is not.
package flow

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
	// Window is how long failed attempts of one source are counted together.
	Window time.Duration `yaml:"window"`
	// Hosts is how many distinct hosts on few ports make a horizontal scan.
	Hosts int `yaml:"hosts"`
	// Ports is how many distinct ports of few hosts make a vertical scan.
	Ports int `yaml:"ports"`
	// Targets is how many distinct pairs of host and port make a scan of no particular shape.
	Targets int `yaml:"targets"`
	// FanOut is the number of distinct pairs of host and port beyond which a
	// source is recorded as a fact of severity info, whatever came of its
	// attempts; 0: never.
	FanOut int `yaml:"fan_out"`
	// Slow is the duration from which on a scan counts as slow.
	Slow time.Duration `yaml:"slow"`
	// Sources is how many unremarkable sources are remembered (rounded up to a
	// power of two; 60 bytes each).
	Sources int `yaml:"sources"`
	// Suspects is how many remarkable ones (about 3 KB each).
	Suspects int `yaml:"suspects"`
}

// Default configuration. A client whose server is gone tries one port of a few
// hosts, and a monitoring system asks for a few ports of hosts that answer;
// neither fails on 25 ports of one host or on 30 hosts. Peer-to-peer programs
// fail on hundreds of hosts with a port each, which is no shape; hence the much
// higher number there. A day is the window, because the slowest scans in the
// field take hours per host.
func Default() Config {
	return Config{Window: 24 * time.Hour, Hosts: 30, Ports: 25, Targets: 250, FanOut: 100, Slow: time.Hour, Sources: 1 << 20, Suspects: 16384}
}

const (
	early   = 4   // distinct targets kept of an unremarkable source; with one more it is a suspect
	least   = 6   // smallest threshold
	maxSet  = 512 // slots of a suspect's set of targets, a power of two
	maxKeep = 320 // of them in use
	maxSide = 64  // hosts and ports told apart
	sideLen = 128 // slots for them, a power of two
	// fanSets is how many sources with a wide fan-out are counted per suspect.
	fanSets = 4
)

// New makes the detector.
func New(c Config) (detect.FlowDetector, error) {
	if c.Window <= 0 || c.Slow <= 0 || c.Hosts < least || c.Ports < least || c.Targets < least || c.Targets > maxKeep ||
		c.Sources < 1 || c.Suspects < 1 || c.Hosts > maxSide || c.Ports > maxSide {
		return nil, fmt.Errorf("flow detector: window and slow must be positive, hosts and ports between %d and %d, targets between %d and %d", least, maxSide, least, maxKeep)
	}
	if c.Sources > 1<<26 || c.Suspects > 1<<22 {
		return nil, errors.New("flow detector: more than 2^26 sources or 2^22 suspects")
	}
	if c.FanOut < 0 || c.FanOut > maxFan || c.FanOut > 0 && c.FanOut <= earlyFan {
		return nil, fmt.Errorf("flow detector: fan_out must lie between %d and %d, or be 0", earlyFan+1, maxFan)
	}
	n := 1 << bits.Len(uint(max(c.Sources/ways, 1)-1))
	d := &scans{conf: c, window: int64(c.Window / time.Second), slow: int64(c.Slow / time.Second),
		buckets: make([]bucket, n), mask: uint64(n - 1), suspects: detect.NewTable[uint64, suspect](c.Suspects), seed: newSeed()}
	if c.FanOut > 0 {
		d.fans = newFans(c.FanOut, n, fanSets*c.Suspects, d.window)
	}
	return d, nil
}

// ways is how many sources share a bucket; the one seen longest ago makes room.
const ways = 2

// slot is what is remembered about an unremarkable source.
type slot struct {
	tag   uint32 // of the source; 0: free
	since uint32 // start of the window, Unix seconds
	seen  uint32
	host  uint32 // hash of the first target's host
	port  uint16 // of the first target
	n     uint8  // targets in use
	many  uint8  // manyHosts, manyPorts: they are not all the first's
	early [early]uint16
}

const (
	manyHosts = 1 << iota
	manyPorts
)

type bucket [ways]slot

// suspect is what is remembered about a source that fails often. What every
// attempt looks at comes first, in one line of the processor's cache.
type suspect struct {
	owner          uint64 // hash of the source
	since, last    int64
	n              int32
	nEarly         uint8
	nHosts, nPorts uint8
	many           uint8
	told           uint8          // kinds told in this window
	early          [early]uint16  // targets of before it was a suspect that were not seen again
	set            [maxSet]uint32 // 0: free
	hosts, ports   [sideLen]uint32
}

type scans struct {
	conf         Config
	window, slow int64
	buckets      []bucket
	mask         uint64
	suspects     *detect.Table[uint64, suspect] // by hash of the source
	seed         [2]uint64
	fans         *fans            // nil: off
	touch        [touchLen]uint64 // hashes of the sources of a batch
	target       [touchLen]uint64 // and of what they tried
	failed       [touchLen]uint8  // which of the batch failed
	nFailed      int
	who          [touchLen]*suspect // of those; valid while it still has the owner
	sink         uint32
	sig          model.Signal
}

const touchLen = 128

// Detect implements detect.FlowDetector.
func (d *scans) Detect(flows []observe.Flow, emit detect.FlowEmit) {
	for len(flows) > 0 {
		part := flows[:min(len(flows), touchLen)]
		flows = flows[len(part):]
		d.fetch(part)
		n := 0
		for i := range part {
			f := &part[i]
			if d.fans != nil {
				d.fans.count(f, d.touch[i], d.target[i], emit)
			}
			if n < d.nFailed && int(d.failed[n]) == i {
				d.count(f, d.who[n], d.touch[i], d.target[i], emit)
				n++
			}
		}
	}
}

// fetch asks for what a batch will need. The slots are far apart in memory:
// asking for all of them first lets the processor fetch them at the same time.
func (d *scans) fetch(part []observe.Flow) {
	n := 0
	for i := range part {
		f := &part[i]
		d.touch[i], d.target[i] = d.hash(&f.Src), d.mix(&f.Dst, f.DstPort)
		d.failed[n&(touchLen-1)] = uint8(i)
		if failed(f) {
			n++
		}
	}
	d.nFailed = n
	sink := uint32(0)
	if d.fans != nil {
		// Nothing else in this loop: the shorter it is, the more of them are under way.
		for _, h := range d.touch[:len(part)] {
			sink ^= d.fans.buckets[h&d.mask][0].tag
		}
	}
	for k, i := range d.failed[:n] {
		d.who[k] = d.suspects.Peek(d.touch[i])
	}
	for k, i := range d.failed[:n] {
		if p := d.who[k]; p != nil {
			sink ^= p.set[uint32(d.target[i])>>8%maxSet] ^ uint32(p.n)
		} else {
			sink ^= d.buckets[d.touch[i]&d.mask][0].tag
		}
	}
	d.sink = sink
}

// failed reports whether a flow is an attempt by its source that led nowhere.
func failed(f *observe.Flow) bool {
	if f.Action == observe.FlowReject {
		return !answer(f)
	}
	if f.Proto != observe.ProtoTCP {
		return false // an unanswered datagram cannot be told from an answered one here
	}
	if f.HasFlags {
		if f.Flags&observe.FlagSYN == 0 || f.Flags&observe.FlagACK != 0 {
			return false // not the side that began
		}
	} else if answer(f) {
		return false
	}
	// A SYN has up to 60 bytes, so has what ends a connection at once; with
	// content the mean goes beyond (RFC 9293 §3.1: 20 to 60 bytes of header).
	return f.Packets <= 4 && f.Bytes <= 64*f.Packets
}

// answer guesses from the ports that a flow answers another one: services have
// low ports and clients high ones (RFC 6335 §6: 49152 and up; Linux begins at 32768).
func answer(f *observe.Flow) bool {
	if f.SrcPort == 0 || f.DstPort == 0 {
		return false
	}
	return f.SrcPort < 1024 && f.DstPort >= 1024 || f.SrcPort < 32768 && f.DstPort >= 32768
}

// count notes a failed attempt.
func (d *scans) count(f *observe.Flow, s *suspect, h, target uint64, emit detect.FlowEmit) {
	if !f.HasFlags && f.Action != observe.FlowReject {
		// What a closed high port answers to a scanner looks like an attempt.
		if to := d.suspects.Peek(d.hash(&f.Dst)); to != nil && to.told != 0 {
			return
		}
	}
	now := f.Time()
	if s == nil || s.owner != h { // it may have made room for another, or be new
		s = d.suspects.Peek(h)
	}
	if s != nil {
		d.suspect(f, s, target, now, emit)
		return
	}
	d.first(f, h, target, now, emit)
}

// first notes an attempt of a source that is no suspect yet.
func (d *scans) first(f *observe.Flow, h, target uint64, now int64, emit detect.FlowEmit) {
	b := &d.buckets[h&d.mask]
	tag := uint32(h>>32) | 1
	s := &b[0]
	for i := range b {
		if b[i].tag == tag {
			s = &b[i]
			break
		}
		if b[i].tag == 0 || b[i].seen < s.seen {
			s = &b[i]
		}
	}
	at := uint32(min(max(now, 0), 1<<32-1))
	if s.tag != tag || int64(at)-int64(s.since) > d.window || int64(s.since)-int64(at) > d.window {
		*s = slot{tag: tag, since: at}
	}
	s.since = min(s.since, at)
	s.seen = max(s.seen, at)
	host := uint32(d.mix(&f.Dst, 0) >> 32)
	if !s.take(uint16(target>>48), host, f.DstPort) {
		return
	}
	p, _ := d.suspects.Get(h)
	*p = suspect{owner: h, since: int64(s.since), last: int64(s.seen), early: s.early, nEarly: early, many: s.many}
	*s = slot{}
	d.suspect(f, p, target, now, emit)
}

// take notes a target; true when there is no room for another.
func (s *slot) take(target uint16, host uint32, port uint16) bool {
	for _, x := range s.early[:s.n] {
		if x == target {
			return false
		}
	}
	if s.n == 0 {
		s.host, s.port = host, port
	}
	if host != s.host {
		s.many |= manyHosts
	}
	if port != s.port {
		s.many |= manyPorts
	}
	if s.n == early {
		return true
	}
	s.early[s.n] = target
	s.n++
	return false
}

// suspect counts the targets of a source that is looked at closely.
func (d *scans) suspect(f *observe.Flow, s *suspect, target uint64, now int64, emit detect.FlowEmit) {
	if now-s.since > d.window || s.since-now > d.window {
		*s = suspect{owner: s.owner, since: now, last: now}
	}
	s.since, s.last = min(s.since, now), max(s.last, now)
	if !s.add(uint32(target) | 1) {
		return
	}
	for i, x := range s.early[:s.nEarly] {
		if x == uint16(target>>48) {
			s.nEarly--
			s.early[i] = s.early[s.nEarly]
			break
		}
	}
	s.nHosts = side(&s.hosts, s.nHosts, uint32(d.mix(&f.Dst, 0)>>32)|1)
	s.nPorts = side(&s.ports, s.nPorts, uint32(f.DstPort)|1<<16)
	d.conclude(f, s, emit)
}

// add puts a target into the set; false when it was there.
func (s *suspect) add(v uint32) bool {
	for i := v >> 8 % maxSet; ; i = (i + 1) % maxSet {
		switch s.set[i%maxSet] {
		case v:
			return false
		case 0:
			if s.n < maxKeep {
				s.set[i%maxSet] = v
			}
			s.n++ // beyond the cap repeats count: it is a scan many times over by then
			return true
		}
	}
}

// side puts v, not 0, into a set of n up to maxSide and returns their new number.
func side(set *[sideLen]uint32, n uint8, v uint32) uint8 {
	if n == maxSide {
		return n
	}
	for i := v * 0x9e3779b1 >> 25; ; i = (i + 1) % sideLen {
		switch set[i] {
		case v:
			return n
		case 0:
			set[i] = v
			return n + 1
		}
	}
}

const (
	toldHorizontal = 1 << iota
	toldVertical
	toldAny
	toldLarge
)

var (
	techNet  = []string{"T1046"}
	techScan = []string{"T1595.001"}
)

// conclude tells what a suspect has become, each thing once per window, and
// once more when it has grown to ten times the threshold.
func (d *scans) conclude(f *observe.Flow, s *suspect, emit detect.FlowEmit) {
	n, nHosts, nPorts := int(s.n)+int(s.nEarly), int(s.nHosts), int(s.nPorts)
	if s.many&manyHosts != 0 {
		nHosts += int(s.nEarly)
	}
	if s.many&manyPorts != 0 {
		nPorts += int(s.nEarly)
	}
	switch {
	case nPorts >= d.conf.Ports && nHosts <= nPorts/5 && s.told&toldVertical == 0:
		s.told |= toldVertical
		d.say(f, s, n, "scan.vertical", fmt.Sprintf("tried %d ports of %s", nPorts, hosts(nHosts)), emit)
	case nHosts >= d.conf.Hosts && nPorts <= nHosts/5 && s.told&toldHorizontal == 0:
		s.told |= toldHorizontal
		d.say(f, s, n, "scan.horizontal", fmt.Sprintf("tried %s on %d ports", hosts(nHosts), nPorts), emit)
	case n >= d.conf.Targets && s.told == 0:
		s.told |= toldAny
		d.say(f, s, n, "scan.network", fmt.Sprintf("tried %d services of %s or more", n, hosts(nHosts)), emit)
	case n >= 10*d.conf.Hosts && s.told != 0 && s.told&toldLarge == 0:
		s.told |= toldLarge
		d.say(f, s, n, "scan.large", fmt.Sprintf("tried at least %d services", n), emit)
	}
}

func hosts(n int) string {
	if n == 1 {
		return "one host"
	}
	return fmt.Sprintf("%d hosts", n)
}

func (d *scans) say(f *observe.Flow, s *suspect, n int, kind, title string, emit detect.FlowEmit) {
	src := f.Src.Netip()
	took := time.Duration(s.last-s.since) * time.Second
	rule, tech := kind, techScan
	if took >= d.conf.Slow {
		rule, title = kind+".slow", title+" slowly"
	}
	if internal(src) {
		tech = techNet
	}
	d.sig = model.Signal{
		Kind: kind, Class: model.ClassScan, Rule: rule, Title: title + " without success",
		Time: time.Unix(max(f.Time(), s.last), 0).UTC(), Actor: model.AddrEntity(src), Address: src.String(),
		Asset:      model.AssetRef{Kind: "host", Name: f.Dst.Netip().String()},
		Confidence: 0.95, Severity: model.Medium, Techniques: tech, Count: n,
		// A record of a flow does not prove who sent its packets; of a host of
		// one's own network, the network itself vouches for the address.
		Spoofable: !internal(src),
		Evidence: []model.Evidence{{Time: time.Unix(f.Time(), 0).UTC(), What: "flow",
			Excerpt: fmt.Sprintf("%s -> %s protocol %d, %d packets, %d bytes; %d targets in %s", netip.AddrPortFrom(src, f.SrcPort),
				netip.AddrPortFrom(f.Dst.Netip(), f.DstPort), f.Proto, f.Packets, f.Bytes, n, took)}},
	}
	if internal(src) {
		d.sig.Severity = model.High // a host of one's own that scans is infected, or a tool somebody should know of
	}
	emit(&d.sig, f)
}

// internal reports whether an address is one of a private network.
func internal(a netip.Addr) bool { return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() }

func (d *scans) hash(a *observe.Addr) uint64 {
	return mum(binary.LittleEndian.Uint64(a[:8])^d.seed[0], binary.LittleEndian.Uint64(a[8:])^d.seed[1])
}

func (d *scans) mix(a *observe.Addr, port uint16) uint64 {
	return mum(binary.LittleEndian.Uint64(a[:8])^d.seed[1]^uint64(port)<<40, binary.LittleEndian.Uint64(a[8:])^d.seed[0]^uint64(port)*0x9e3779b97f4a7c15)
}

// mum multiplies to 128 bits, folds (the round of wyhash) and mixes on
// (MurmurHash3's finaliser): without that, neighbouring addresses give hashes
// with a constant difference, of which 16 bits can be few. The seeds are random,
// so that nobody can choose addresses that collide.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	h := hi ^ lo
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
