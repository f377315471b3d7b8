// Package web concludes things from HTTP requests: exploits by class, hunting
// for secrets, panels and known weak places (rules in content/rules/web),
// sweeps over many such places, and use as a proxy.
//
// A request to a decoy has no legitimate purpose, but crawlers and monitors
// come by; what they ask for must stay silent.
package web

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"time"

	"bartizan/content"
	"bartizan/internal/detect"
	"bartizan/internal/detect/normal"
	"bartizan/internal/detect/rule"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Config of the family.
type Config struct {
	rule.Source
	// Window in which what one actor asks for is a sweep.
	Window time.Duration `yaml:"window"`
	// SweepRules distinct rules, or SweepPaths distinct paths that do not
	// exist, make a sweep.
	SweepRules int `yaml:"sweep_rules"`
	SweepPaths int `yaml:"sweep_paths"`
	MaxActors  int `yaml:"max_actors"`
}

// Default configuration.
func Default() Config {
	return Config{Window: 10 * time.Minute, SweepRules: 3, SweepPaths: 12, MaxActors: 65536}
}

// New makes the detector.
func New(c Config) (detect.Detector, error) {
	set, err := c.Load(content.Rules(), rule.Web)
	if err != nil {
		return nil, err
	}
	return &detector{conf: c, set: set, seed: maphash.MakeSeed(),
		actors: detect.NewTable[who, actor](c.MaxActors),
		clean:  detect.NewTable[uint64, struct{}](maxClean)}, nil
}

const (
	maxClean    = 8192 // requests remembered as harmless
	maxCleanLen = 4096
	maxRules    = 8
	maxPaths    = 24
	maxURLs     = 8
)

type who struct {
	addr      netip.Addr
	spoofable bool
}

// actor is what is remembered about one.
type actor struct {
	since time.Time
	rules [maxRules]uint32
	paths [maxPaths]uint32
	nRule int
	nPath int
}

type detector struct {
	conf   Config
	set    *rule.Set
	seed   maphash.Seed
	actors *detect.Table[who, actor]
	clean  *detect.Table[uint64, struct{}]
	sc     rule.Scratch
	sig    model.Signal
	rel    []model.Entity
	hits   []hit // of one request
}

// hit is a rule that holds.
type hit struct {
	rule    *rule.Rule
	excerpt string
}

var (
	techSweep = []string{"T1595.003"}
	techFetch = []string{"T1105"}
)

// Detect implements detect.Detector.
func (d *detector) Detect(o *observe.Observation, emit detect.Emit) {
	if o.HTTP == nil {
		return
	}
	h := o.HTTP
	matched := false
	sum, cacheable := d.sum(o)
	if !cacheable || d.clean.Peek(sum) == nil {
		matched = d.match(o, emit)
		if cacheable && !matched {
			d.clean.Get(sum)
		}
	}
	if !matched && h.Status != 404 {
		return
	}
	d.sweep(o, emit)
}

// match tries the rules and reports whether any held. Whatever one request matches
// is one kind of evidence, that of an exploit if it is one: it does not become
// independent evidence by being recognised twice. The payload that an exploit
// fetches is another kind.
func (d *detector) match(o *observe.Observation, emit detect.Emit) bool {
	texts := rule.Web.Texts(o, &d.sc)
	d.rel, d.hits = d.rel[:0], d.hits[:0]
	d.set.Match(texts, &d.sc, func(r *rule.Rule, excerpt string) { d.hits = append(d.hits, hit{r, excerpt}) })
	if len(d.hits) == 0 {
		return false
	}
	class := d.hits[0].rule.Class
	for _, h := range d.hits {
		if h.rule.Class == model.ClassExploit {
			class = model.ClassExploit
		}
	}
	d.related(texts)
	d.noteRule(o)
	for _, h := range d.hits {
		h.rule.Signal(&d.sig)
		d.sig.Class = class
		d.sig.Related = append(d.sig.Related, d.rel...)
		d.sig.Evidence = append(d.sig.Evidence, model.Evidence{Excerpt: o.HTTP.Method + " … " + h.excerpt})
		emit(&d.sig)
	}
	if class == model.ClassExploit && len(d.rel) > 0 && d.downloads(texts) {
		d.sig = model.Signal{
			Kind: "file.download-url", Class: model.ClassFile, Rule: "web.payload-url",
			Title: "an exploit that fetches its payload", Confidence: 0.96, Severity: model.High,
			Techniques: techFetch, Count: 1, Related: d.rel,
		}
		emit(&d.sig)
	}
	return true
}

// related collects what a hostile request names.
func (d *detector) related(texts []rule.Text) {
	for i := range texts {
		// Where a decoded reading follows, the form as sent would name it twice.
		if i+1 < len(texts) && texts[i+1].Field == texts[i].Field && strings.Contains(texts[i].S, "%") {
			continue
		}
		if texts[i].Field&(rule.FieldHost|rule.FieldMethod|rule.FieldReferer|rule.FieldService) == 0 {
			d.rel = detect.AppendURLs(d.rel, texts[i].S, maxURLs-min(maxURLs, len(d.rel)))
		}
	}
}

// downloads reports whether a request contains a command that fetches a file.
func (d *detector) downloads(texts []rule.Text) bool {
	for i := range texts {
		for _, tool := range [...]string{"wget ", "curl ", "tftp ", "wget$", "curl$", "wget%", "curl%", "wget+"} {
			if strings.Contains(texts[i].S, tool) && texts[i].Field&rule.FieldUA == 0 {
				return true
			}
		}
	}
	return false
}

func (d *detector) actor(o *observe.Observation) *actor {
	a, _ := d.actors.Get(who{detect.Actor(o.Remote), o.Spoofable})
	if !detect.Within(a.since, o.Time, d.conf.Window) {
		*a = actor{since: o.Time}
	}
	return a
}

// noteRule counts a request as at most one more weak place: one that has not been
// asked for before, if there is one.
func (d *detector) noteRule(o *observe.Observation) {
	a := d.actor(o)
	for before, i := a.nRule, 0; a.nRule == before && i < len(d.hits); i++ {
		a.nRule = note(a.rules[:], a.nRule, d.hash(d.hits[i].rule.ID))
	}
}

// sweep counts the distinct weak places and missing paths one actor asks for.
func (d *detector) sweep(o *observe.Observation, emit detect.Emit) {
	a := d.actor(o)
	path, _, _ := strings.Cut(o.HTTP.Target, "?")
	if o.HTTP.Status == 404 {
		a.nPath = note(a.paths[:], a.nPath, d.hash(path))
	}
	if a.nRule < d.conf.SweepRules && a.nPath < d.conf.SweepPaths {
		return
	}
	confidence := 0.95
	if a.nRule >= 2*d.conf.SweepRules || a.nPath >= 2*d.conf.SweepPaths {
		confidence = 0.965
	}
	d.sig = model.Signal{
		Kind: "scan.web-sweep", Class: model.ClassScan, Rule: "scan.web-sweep",
		Title: "went through many weak places of a web server", Confidence: confidence, Severity: model.Medium,
		Techniques: techSweep, Count: 1,
	}
	emit(&d.sig)
}

// sum identifies everything about a request that the rules can see; false for
// requests too long to be worth remembering. The hash is keyed, so nobody can
// make a hostile request look like a harmless one.
func (d *detector) sum(o *observe.Observation) (uint64, bool) {
	q := o.HTTP
	size := len(q.Target) + len(q.Body)
	var h maphash.Hash
	h.SetSeed(d.seed)
	put := func(s string) {
		h.WriteString(s)
		h.WriteByte(0xff)
		size += len(s)
	}
	put(o.Service)
	put(q.Method)
	put(q.Target)
	put(q.Proto)
	put(q.Host)
	for i := range q.Headers {
		put(q.Headers[i].Name)
		put(q.Headers[i].Value)
	}
	h.Write(q.Body)
	return h.Sum64(), size <= maxCleanLen
}

func (d *detector) hash(s string) uint32 {
	return uint32(maphash.String(d.seed, normal.Lower(s[:min(len(s), 512)]))) | 1 // 0 means empty
}

// note adds v to the n values of list and returns the new number; a full list
// takes no more, which is enough for thresholds up to its length.
func note(list []uint32, n int, v uint32) int {
	for _, x := range list[:n] {
		if x == v {
			return n
		}
	}
	if n < len(list) {
		list[n] = v
		n++
	}
	return n
}
