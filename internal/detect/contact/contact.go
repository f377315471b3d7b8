// Package contact concludes things from being touched at all: contact with a
// decoy, scans over ports, services and hosts, and the probes by which tools
// identify services (rules in content/rules/probe).
//
// Contact is weak evidence and says so; a scan is many contacts by one actor.
// What a visitor does after connecting is the business of the other families.
package contact

import (
	"hash/fnv"
	"hash/maphash"
	"net/netip"
	"time"

	"bartizan/content"
	"bartizan/internal/detect"
	"bartizan/internal/detect/rule"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Config of the family.
type Config struct {
	rule.Source
	// Window in which distinct ports, services and hosts make a scan.
	Window time.Duration `yaml:"window"`
	// SlowWindow is the same for a scan that takes its time.
	SlowWindow time.Duration `yaml:"slow_window"`
	// Ports, Services and Hosts are how many distinct ones make a scan.
	Ports    int `yaml:"ports"`
	Services int `yaml:"services"`
	Hosts    int `yaml:"hosts"`
	// MaxActors bounds the memory; the actor not seen for longest is forgotten.
	MaxActors int `yaml:"max_actors"`
}

// Default configuration. Three is the least number that a person who looks at
// one web site (80, then 443) does not reach.
func Default() Config {
	return Config{Window: 10 * time.Minute, SlowWindow: 24 * time.Hour, Ports: 3, Services: 3, Hosts: 3, MaxActors: 65536}
}

// New makes the detector.
func New(c Config) (detect.Detector, error) {
	set, err := c.Load(content.Rules(), rule.Probe)
	if err != nil {
		return nil, err
	}
	return &detector{
		conf: c, set: set, seed: maphash.MakeSeed(),
		actors: detect.NewTable[who, actor](c.MaxActors),
		known:  detect.NewTable[uint64, []*rule.Rule](maxKnown),
		names:  map[string]service{},
	}, nil
}

const (
	maxPorts    = 16
	maxServices = 8
	maxHosts    = 8
	maxKnown    = 4096 // first messages whose verdict is remembered
	maxNames    = 64
)

// who is an actor; what could have been forged is remembered apart from what
// could not, or forged touches would ripen the judgement of an innocent one.
type who struct {
	addr      netip.Addr
	spoofable bool
}

// actor is what is remembered about one.
type actor struct {
	session  model.ULID
	ports    [maxPorts]touch
	services [maxServices]touch
	hosts    [maxHosts]touch
}

// touch is a thing touched and when, in Unix seconds.
type touch struct {
	what uint32
	at   uint32
}

// service holds what is said about one kind of service, made once.
type service struct {
	id          uint32
	rule, title string
}

type detector struct {
	conf   Config
	set    *rule.Set
	seed   maphash.Seed
	actors *detect.Table[who, actor]
	known  *detect.Table[uint64, []*rule.Rule]
	names  map[string]service
	sc     rule.Scratch
	sig    model.Signal
	rel    []model.Entity
}

// Confidences; content/rules/README.md has the arithmetic behind them.
const (
	confContact  = 0.60
	confServices = 0.90
	confHosts    = 0.90
	confSlow     = 0.80
)

// Detect implements detect.Detector.
func (d *detector) Detect(o *observe.Observation, emit detect.Emit) {
	a, fresh := d.actors.Get(who{detect.Actor(o.Remote), o.Spoofable})
	d.rel = d.rel[:0]
	if o.Interaction != nil {
		d.rel = prints(d.rel, &o.Interaction.Prints)
	}
	// A visit is one contact however many observations it makes; prints come
	// with whichever interaction report knows them.
	if fresh || a.session != o.Session || len(d.rel) > 0 {
		d.contact(o, emit)
	}
	if fresh || a.session != o.Session {
		a.session = o.Session
		d.scan(a, o, emit)
	}
	if o.Interaction != nil || o.HTTP != nil {
		d.probe(o, emit)
	}
}

func (d *detector) contact(o *observe.Observation, emit detect.Emit) {
	s := d.service(o.Service)
	d.sig = model.Signal{
		Kind: "contact.decoy", Class: model.ClassContact, Rule: s.rule, Title: s.title,
		Confidence: confContact, Severity: model.Info, Techniques: techContact, Count: 1, Related: d.rel,
	}
	emit(&d.sig)
}

var (
	techContact = []string{"T1595"}
	techPorts   = []string{"T1046", "T1595.001"}
	techHosts   = []string{"T1595.001"}
)

// service returns the texts for a kind of service. Names come from our own
// configuration, but a taken decoy could invent them, so their number is capped.
func (d *detector) service(name string) service {
	if s, ok := d.names[name]; ok {
		return s
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	clean := detect.Clean(name, 32)
	s := service{h.Sum32(), "contact.decoy." + clean, "connected to a " + clean + " decoy"}
	if len(d.names) >= maxNames {
		return service{h.Sum32(), "contact.decoy.other", "connected to a decoy"}
	}
	d.names[name] = s
	return s
}

func (d *detector) scan(a *actor, o *observe.Observation, emit detect.Emit) {
	now := uint32(o.Time.Unix())
	fast, slow := uint32(d.conf.Window/time.Second), uint32(d.conf.SlowWindow/time.Second)
	port := uint32(o.Local.Port()) | 1<<31
	if o.Local.Port() == 0 {
		port = d.service(o.Decoy).id &^ (1 << 31)
	}
	ports, _ := add(a.ports[:], port, now, fast)
	slowPorts, span := count(a.ports[:], now, slow)
	services, _ := add(a.services[:], d.service(o.Service).id, now, fast)
	hosts, _ := add(a.hosts[:], hostID(o.Local.Addr()), now, fast)
	say := func(kind, title string, confidence float64, sev model.Severity, tech []string) {
		d.sig = model.Signal{Kind: kind, Class: model.ClassScan, Rule: kind, Title: title,
			Confidence: confidence, Severity: sev, Techniques: tech, Count: 1}
		emit(&d.sig)
	}
	switch {
	case ports >= d.conf.Ports:
		say("scan.ports", "scanned several ports of decoys", portConfidence(ports), model.Medium, techPorts)
	case slowPorts >= d.conf.Ports && span > fast:
		say("scan.slow", "touched several decoys over a long time", confSlow, model.Medium, techPorts)
	}
	if services >= d.conf.Services {
		say("scan.services", "went through several kinds of service", confServices, model.Medium, techPorts)
	}
	if hosts >= d.conf.Hosts {
		say("scan.hosts", "touched decoys on several addresses", confHosts, model.Medium, techHosts)
	}
}

// portConfidence grows with the number of distinct ports.
func portConfidence(n int) float64 {
	switch {
	case n >= 10:
		return 0.965
	case n >= 5:
		return 0.96
	}
	return 0.95
}

// add notes that what was touched now, and returns how many distinct things
// were within the window. The oldest makes room.
func add(list []touch, what, now, window uint32) (n int, span uint32) {
	oldest := 0
	for i := range list {
		if list[i].what == what && list[i].at != 0 {
			list[i].at = now
			return count(list, now, window)
		}
		if list[i].at < list[oldest].at {
			oldest = i
		}
	}
	list[oldest] = touch{what, now}
	return count(list, now, window)
}

// count returns how many things were touched within the window before (or,
// after a step of the clock, behind) now, and the time between first and last.
func count(list []touch, now, window uint32) (n int, span uint32) {
	for i := range list {
		if list[i].at == 0 {
			continue
		}
		age := now - list[i].at
		if list[i].at > now {
			age = list[i].at - now
		}
		if age <= window {
			n++
			span = max(span, age)
		}
	}
	return n, span
}

func hostID(a netip.Addr) uint32 {
	b := a.As16()
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// probe tries the rules on a visitor's first message. Tools send the same ones
// all the time, so verdicts are remembered under a keyed hash.
func (d *detector) probe(o *observe.Observation, emit detect.Emit) {
	sum, ok := d.sum(o)
	if !ok {
		return
	}
	hits, fresh := d.known.Get(sum)
	if fresh {
		texts := rule.Probe.Texts(o, &d.sc)
		d.set.Match(texts, &d.sc, func(r *rule.Rule, _ string) { *hits = append(*hits, r) })
	}
	for _, r := range *hits {
		r.Signal(&d.sig)
		d.sig.Related = append(d.sig.Related, d.rel...)
		emit(&d.sig)
	}
}

// sum identifies what the probe rules can see of o; false when that is nothing.
func (d *detector) sum(o *observe.Observation) (uint64, bool) {
	var h maphash.Hash
	h.SetSeed(d.seed)
	put := func(s string) {
		h.WriteString(s)
		h.WriteByte(0xff) // between texts
	}
	put(o.Service)
	if i := o.Interaction; i != nil {
		if len(i.First) == 0 && i.Client == "" && i.Protocol == "" {
			return 0, false
		}
		h.Write(i.First[:min(len(i.First), 2048)])
		h.WriteByte(0xff)
		put(i.Client)
		put(i.Protocol)
		return h.Sum64(), true
	}
	put(o.HTTP.Method)
	put(o.HTTP.Target)
	put(o.HTTP.Proto)
	put(o.HTTP.Host)
	for k := range o.HTTP.Headers {
		put(o.HTTP.Headers[k].Name)
		put(o.HTTP.Headers[k].Value)
	}
	return h.Sum64(), true
}

// prints appends the fingerprints of a client's stack that are well formed.
func prints(dst []model.Entity, p *observe.Fingerprints) []model.Entity {
	for _, f := range [...]struct {
		t model.EntityType
		v string
	}{{model.TypeHASSH, p.HASSH}, {model.TypeJA4, p.JA4}, {model.TypeJA3, p.JA3}} {
		if f.v == "" {
			continue
		}
		if e, err := model.ParseEntity(f.t, f.v); err == nil {
			dst = append(dst, e)
		}
	}
	return dst
}
