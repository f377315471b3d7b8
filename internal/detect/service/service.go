// Package service concludes things from the use of open services: operations
// of a data store or a container engine (rules in content/rules/service), and
// wishes to be relayed somewhere else.
package service

import (
	"net"
	"strings"

	"bartizan/content"
	"bartizan/internal/detect"
	"bartizan/internal/detect/rule"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Config of the family.
type Config struct {
	rule.Source
}

// Default configuration.
func Default() Config { return Config{} }

// New makes the detector.
func New(c Config) (detect.Detector, error) {
	set, err := c.Load(content.Rules(), rule.Service)
	if err != nil {
		return nil, err
	}
	return &detector{set: set}, nil
}

type detector struct {
	set *rule.Set
	sc  rule.Scratch
	sig model.Signal
	rel []model.Entity
}

const maxURLs = 8

var (
	techProxy  = []string{"T1090.002"}
	techTunnel = []string{"T1572", "T1090"}
	techFetch  = []string{"T1105"}
)

// Detect implements detect.Detector.
func (d *detector) Detect(o *observe.Observation, emit detect.Emit) {
	switch {
	case o.Call != nil:
		d.call(o, emit)
	case o.Forward != nil:
		d.forward(o.Forward, emit)
	}
}

func (d *detector) call(o *observe.Observation, emit detect.Emit) {
	texts := rule.Service.Texts(o, &d.sc)
	collected, attack := false, false
	d.rel = d.rel[:0]
	d.set.Match(texts, &d.sc, func(r *rule.Rule, excerpt string) {
		if !collected {
			collected = true
			d.related(o.Call)
		}
		attack = attack || r.Class != model.ClassAccess && r.Class != model.ClassProbe
		r.Signal(&d.sig)
		d.sig.Related = append(d.sig.Related, d.rel...)
		if o.Call.Detail != "" {
			d.sig.Evidence = append(d.sig.Evidence, model.Evidence{Excerpt: o.Call.Operation + " … " + excerpt})
		}
		emit(&d.sig)
	})
	if attack && d.hasURL() {
		d.sig = model.Signal{
			Kind: "file.download-url", Class: model.ClassFile, Rule: "service.payload-url",
			Title: "a service attack that fetches its payload", Confidence: 0.96, Severity: model.High,
			Techniques: techFetch, Count: 1, Related: d.rel,
		}
		emit(&d.sig)
	}
}

func (d *detector) related(c *observe.APICall) {
	for _, a := range c.Args {
		d.rel = detect.AppendURLs(d.rel, a, maxURLs)
		d.rel = detect.KeyIDs(d.rel, a)
	}
	d.rel = detect.AppendURLs(d.rel, c.Detail, maxURLs)
	// SLAVEOF and REPLICAOF name the master as host and port.
	op := strings.ToUpper(c.Operation)
	if (op == "SLAVEOF" || op == "REPLICAOF") && len(c.Args) == 2 {
		d.rel = detect.AppendHost(d.rel, c.Args[0])
	}
}

func (d *detector) hasURL() bool {
	for _, e := range d.rel {
		if e.Type() == model.TypeURL {
			return true
		}
	}
	return false
}

// forward concludes from a wish to be relayed. That somebody tests an address
// that tells him his own (a "judge") and that he sends mail are the usual cases.
func (d *detector) forward(f *observe.Forward, emit detect.Emit) {
	host, port, err := net.SplitHostPort(f.Target)
	if err != nil {
		host, port = f.Target, ""
	}
	d.rel = detect.AppendHost(d.rel[:0], strings.Trim(host, "[]"))
	kind, title, tech := "proxy.abuse", "tried to use the host as a proxy", techProxy
	switch f.Kind {
	case "direct-tcpip", "tcpip-forward", "direct-streamlocal", "streamlocal-forward":
		kind, title, tech = "proxy.ssh-tunnel", "tried to tunnel through SSH", techTunnel
	case "socks4", "socks5":
		kind, title = "proxy.socks", "tried to use the host as a SOCKS proxy"
	}
	d.say(emit, kind, title, 0.96, model.Medium, tech)
	switch port {
	case "25", "465", "587", "2525":
		d.say(emit, "proxy.mail", "tried to send mail through the host", 0.965, model.High, techProxy)
	}
}

func (d *detector) say(emit detect.Emit, kind, title string, confidence float64, sev model.Severity, tech []string) {
	d.sig = model.Signal{Kind: kind, Class: model.ClassProxy, Rule: kind, Title: title,
		Confidence: confidence, Severity: sev, Techniques: tech, Count: 1, Related: d.rel}
	emit(&d.sig)
}
