// Package builtin is the registry: one literal per kind, one line per
// implementation. Adding an implementation is its folder and its line here.
package builtin

import (
	"errors"
	"fmt"

	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/docker"
	"bartizan/internal/decoy/llm"
	"bartizan/internal/decoy/redis"
	"bartizan/internal/decoy/ssh"
	"bartizan/internal/decoy/tcp"
	"bartizan/internal/decoy/telnet"
	"bartizan/internal/decoy/web"
	"bartizan/internal/detect"
	"bartizan/internal/detect/auth"
	"bartizan/internal/detect/bedrock"
	"bartizan/internal/detect/cloud"
	"bartizan/internal/detect/command"
	"bartizan/internal/detect/contact"
	"bartizan/internal/detect/dns"
	"bartizan/internal/detect/flow"
	"bartizan/internal/detect/login"
	"bartizan/internal/detect/prompt"
	"bartizan/internal/detect/service"
	"bartizan/internal/detect/traffic"
	detectweb "bartizan/internal/detect/web"
	"bartizan/internal/enforce"
	"bartizan/internal/enforce/exec"
	"bartizan/internal/enforce/nft"
	"bartizan/internal/export"
	"bartizan/internal/export/file"
	"bartizan/internal/export/hec"
	"bartizan/internal/export/stdout"
	"bartizan/internal/export/syslog"
	"bartizan/internal/observe"
	"bartizan/internal/plug"
	"bartizan/internal/source"
	"bartizan/internal/source/access"
	"bartizan/internal/source/alb"
	"bartizan/internal/source/auditd"
	"bartizan/internal/source/cloudfront"
	"bartizan/internal/source/document"
	"bartizan/internal/source/netflow"
	"bartizan/internal/source/pcap"
	sourcesyslog "bartizan/internal/source/syslog"
	"bartizan/internal/source/transport"
	natsfeed "bartizan/internal/source/transport/nats"
	"bartizan/internal/source/transport/push"
	s3feed "bartizan/internal/source/transport/s3"
	"bartizan/internal/source/transport/sqs"
	syslogfeed "bartizan/internal/source/transport/syslog"
	"bartizan/internal/source/transport/tail"
	"bartizan/internal/source/transport/udp"
	"bartizan/internal/source/vpcflow"
)

// Decoys are the services a decoy can play.
func Decoys() plug.Table[decoy.Service] {
	return plug.NewTable[decoy.Service]("decoy",
		plug.Of("ssh", ssh.Default, ssh.New),
		plug.Of("telnet", telnet.Default, telnet.New),
		plug.Of("http", web.Default, web.New),
		plug.Of("https", web.DefaultTLS, web.New),
		plug.Of("redis", redis.Default, redis.New),
		plug.Of("docker", docker.Default, docker.New),
		plug.Of("llm", llm.Default, llm.New),
		plug.Of("tcp", tcp.Default, tcp.New),
	)
}

// Detectors are the detector families, in the order they see an observation.
func Detectors() plug.Table[detect.Detector] {
	return plug.NewTable("detector",
		plug.Of("contact", contact.Default, contact.New),
		plug.Of("auth", auth.Default, auth.New),
		plug.Of("command", command.Default, command.New),
		plug.Of("web", detectweb.Default, detectweb.New),
		plug.Of("service", service.Default, service.New),
		plug.Of("prompt", prompt.Default, prompt.New),
	)
}

// Formats are the ways records of flows and logs are written down, in the order
// in which "auto" tries them: what a format takes must be no other's.
func Formats() plug.Table[source.Format] {
	return plug.NewTable("log format",
		plug.Of("vpcflow", vpcflow.Default, vpcflow.New),
		plug.Of("alb", alb.Default, alb.New),
		plug.Of("cloudfront", cloudfront.Default, cloudfront.New),
		plug.Of("access", access.Default, access.New),
		plug.Of("auth", sourcesyslog.Default, sourcesyslog.New),
		plug.Of("syslog", sourcesyslog.Default, sourcesyslog.New),
		plug.Of("cloudtrail", document.CloudTrail, document.New),
		plug.Of("route53", document.Route53, document.New),
		plug.Of("zeek", document.Zeek, document.New),
		plug.Of("eve", document.EVE, document.New),
		plug.Of("winevent", document.WinEvent, document.New),
		plug.Of("pcap", pcap.Default, pcap.New),
		plug.Of("netflow", netflow.Default, netflow.New),
		plug.Of("auditd", auditd.Default, auditd.New),
		plug.Of("app", sourcesyslog.Default, sourcesyslog.Application),
		plug.Of("json", document.JSON, document.New),
	)
}

// Transports are the ways records come to a node while it runs.
func Transports() plug.Table[transport.Feed] {
	return plug.NewTable("transport",
		plug.Of("tail", tail.Default, tail.New),
		plug.Of("syslog", syslogfeed.Default, syslogfeed.New),
		plug.Of("http", push.Default, push.New),
		plug.Of("nats", natsfeed.Default, natsfeed.New),
		plug.Of("udp", udp.Default, udp.New),
		plug.Of("s3", s3feed.Default, s3feed.New),
		plug.Of("sqs", sqs.Default, sqs.New),
	)
}

// RecordDetectors are the families for what real services log, in the order
// they see an observation.
func RecordDetectors() plug.Table[detect.Detector] {
	return plug.NewTable("detector",
		plug.Of("login", login.Default, login.New),
		plug.Of("web", detectweb.Default, detectweb.New),
	)
}

// FlowDetectors are the families for flow records.
func FlowDetectors() plug.Table[detect.FlowDetector] {
	return plug.NewTable("flow detector",
		plug.Of("flow", flow.Default, flow.New),
		plug.Of("traffic", traffic.Default, traffic.New),
	)
}

// QueryDetectors are the families for questions to name servers.
func QueryDetectors() plug.Table[detect.QueryDetector] {
	return plug.NewTable("query detector",
		plug.Of("dns", dns.Default, dns.New),
	)
}

// DocumentDetectors are the families for records that are JSON objects.
func DocumentDetectors() plug.Table[detect.DocumentDetector] {
	return plug.NewTable("document detector",
		plug.Of("bedrock", bedrock.Default, bedrock.New),
		plug.Of("cloud", cloud.Default, cloud.New),
	)
}

// Enforcers are the devices that can act on a decision.
func Enforcers() plug.Table[enforce.Enforcer] {
	return plug.NewTable("enforcer",
		plug.Of("nft", nft.Default, nft.New),
		plug.Of("exec", exec.Default, exec.New),
	)
}

// Sinks are where events can be sent to.
func Sinks() plug.Table[export.Sink] {
	return plug.NewTable("sink",
		plug.Of("file", file.Default, file.New),
		plug.Of("stdout", stdout.Default, stdout.New),
		plug.Of("hec", hec.Default, hec.New),
		plug.Of("syslog", syslog.Default, syslog.New),
	)
}

// DetectorOptions is what the detector families are told besides their defaults.
type DetectorOptions struct {
	Families map[string]conf.Raw // options by family; a family named here gets nothing else
	Rules    string              // folder with more rules for the families that have rules
	Lures    []string            // identifiers of keys that exist nowhere but in this install's lures
	Own      []string            // prefixes of the internal networks; empty: the private ranges
	// Late builds a family for events that has its defaults when the first event
	// comes: its rules take 30 MB and a fifth of a second, and flows need none.
	Late bool
}

// BuildDetectors builds every detector family.
func BuildDetectors(o DetectorOptions) ([]detect.Named, error) {
	table := Detectors()
	var out []detect.Named
	for name := range o.Families {
		if !table.Has(name) {
			return nil, table.Check(name, nil)
		}
	}
	for _, name := range table.Names() {
		raw, given := o.Families[name]
		if !given {
			var err error
			if raw, err = o.shared(name); err != nil {
				return nil, fmt.Errorf("detector %s: %w", name, err)
			}
		}
		d, err := table.Build(name, raw)
		var placed *conf.Error
		if err != nil && given && !errors.As(err, &placed) {
			return nil, raw.Errorf("detect.%s: %w", name, err)
		}
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", name, err)
		}
		out = append(out, detect.Named{Name: name, Detector: d})
	}
	return out, nil
}

// IsRecordFamily says whether flows, queries or logs are looked at by a family of
// that name.
func IsRecordFamily(name string) bool {
	return RecordDetectors().Has(name) || FlowDetectors().Has(name) || QueryDetectors().Has(name) || DocumentDetectors().Has(name)
}

// RecordFamilyOptions are the options of such a family over its defaults.
func RecordFamilyOptions(name string, raw conf.Raw) (any, error) {
	switch {
	case FlowDetectors().Has(name):
		return FlowDetectors().Effective(name, raw)
	case QueryDetectors().Has(name):
		return QueryDetectors().Effective(name, raw)
	case DocumentDetectors().Has(name):
		return DocumentDetectors().Effective(name, raw)
	}
	return RecordDetectors().Effective(name, raw)
}

// BuildRecordDetectors builds the families for flows, queries and logs.
func BuildRecordDetectors(o DetectorOptions) (out detect.RecordDetectors, err error) {
	records, flows, queries, documents := RecordDetectors(), FlowDetectors(), QueryDetectors(), DocumentDetectors()
	for name := range o.Families {
		if !records.Has(name) && !flows.Has(name) && !queries.Has(name) && !documents.Has(name) {
			return out, records.Check(name, nil)
		}
	}
	if out.Events, err = o.events(records); err != nil {
		return out, err
	}
	if out.Flows, err = build(flows, o, func(name string, d detect.FlowDetector) detect.NamedFlow {
		return detect.NamedFlow{Name: name, Detector: d}
	}); err != nil {
		return out, err
	}
	if out.Queries, err = build(queries, o, func(name string, d detect.QueryDetector) detect.NamedQuery {
		return detect.NamedQuery{Name: name, Detector: d}
	}); err != nil {
		return out, err
	}
	out.Documents, err = build(documents, o, func(name string, d detect.DocumentDetector) detect.NamedDocument {
		return detect.NamedDocument{Name: name, Detector: d}
	})
	return out, err
}

// events builds the families for events, those with their defaults late when asked to.
func (o DetectorOptions) events(table plug.Table[detect.Detector]) ([]detect.Named, error) {
	if !o.Late {
		return build(table, o, func(name string, d detect.Detector) detect.Named { return detect.Named{Name: name, Detector: d} })
	}
	var out []detect.Named
	for _, name := range table.Names() {
		raw, given := o.Families[name]
		if !given {
			var err error
			if raw, err = o.shared(name); err != nil {
				return nil, fmt.Errorf("detector %s: %w", name, err)
			}
		}
		if raw == nil {
			out = append(out, detect.Named{Name: name, Detector: &late{build: func() (detect.Detector, error) { return table.Build(name, nil) }}})
			continue
		}
		d, err := table.Build(name, raw)
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", name, err)
		}
		out = append(out, detect.Named{Name: name, Detector: d})
	}
	return out, nil
}

// late is a detector that is built when it is first asked.
type late struct {
	build func() (detect.Detector, error)
	built detect.Detector
}

// Detect implements detect.Detector.
func (l *late) Detect(o *observe.Observation, emit detect.Emit) {
	if l.built == nil {
		d, err := l.build()
		if err != nil {
			panic("BUG: the defaults of a detector do not build: " + err.Error()) // a test builds them all
		}
		l.built = d
	}
	l.built.Detect(o, emit)
}

// build makes every family of a table.
func build[T, N any](table plug.Table[T], o DetectorOptions, named func(string, T) N) (out []N, err error) {
	for _, name := range table.Names() {
		raw, given := o.Families[name]
		if !given {
			if raw, err = o.shared(name); err != nil {
				return nil, fmt.Errorf("detector %s: %w", name, err)
			}
		}
		d, err := table.Build(name, raw)
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", name, err)
		}
		out = append(out, named(name, d))
	}
	return out, nil
}

// shared is the part of the options that concerns a family.
func (o DetectorOptions) shared(name string) (conf.Raw, error) {
	if name == "auth" {
		return tree(struct {
			Lures []string `yaml:"lures"`
		}{o.Lures})
	}
	if name == "traffic" && len(o.Own) > 0 {
		return tree(struct {
			Own []string `yaml:"own"`
		}{o.Own})
	}
	if o.Rules == "" || !ruled(name) {
		return nil, nil
	}
	return tree(struct {
		Extra string `yaml:"extra_rules"`
	}{o.Rules})
}

// ruled reports whether a family takes rules of one's own.
func ruled(name string) bool {
	switch name {
	case "login", "flow", "traffic", "dns":
		return false
	}
	return true
}

func tree(v any) (conf.Raw, error) {
	text, err := conf.Dump(v)
	if err != nil {
		return nil, err
	}
	return conf.Parse("built-in options", text)
}
