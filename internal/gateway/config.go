package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway/abuse"
	"bartizan/internal/gateway/budget"
	"bartizan/internal/gateway/price"
	"bartizan/internal/guard"
)

// Config is the gateway of a node. Without a route there is none.
type Config struct {
	Server  `yaml:",inline"`
	Routes  map[string]Route `yaml:"routes"`  // name → what is served and with which policy
	Abuse   abuse.Config     `yaml:"abuse"`   // from when on use of models is a signal
	Budgets []budget.Limit   `yaml:"budgets"` // all of them must have room
	Prices  []price.Price    `yaml:"prices"`  // of models that are not in content/prices, or cost something else
}

// Server is what all routes share.
type Server struct {
	Listen      string         `yaml:"listen"`      // IP address and port
	TLS         string         `yaml:"tls"`         // auto (on beyond the loopback), on, off (for the loopback only)
	Cert        string         `yaml:"cert"`        // PEM file with the certificate and its chain; empty: made by the node
	Key         string         `yaml:"key"`         // PEM file with its key
	Names       []string       `yaml:"names"`       // host names clients use, for the certificate that is made
	Proxies     []netip.Prefix `yaml:"proxies"`     // peers whose X-Forwarded-For is believed
	Keeper      bool           `yaml:"keeper"`      // providers' keys in a process of their own; false: in this one
	Caught      string         `yaml:"caught"`      // prompts that attacked a decoy: refuse, ignore
	Connections int            `yaml:"connections"` // most clients' connections at once
	Lists       []string       `yaml:"lists"`       // files of hostile hosts, addresses and URLs: STIX, MISP, CSV, text; read again when they change
	Audit       string         `yaml:"audit"`       // file of the audit lines; empty: audit.jsonl in the gateway's folder
	AuditBytes  conf.Bytes     `yaml:"audit_bytes"` // size at which the file becomes the old one
	Approval    Approval       `yaml:"approval"`    // what waits for a person (the action hold)
}

// Route is one upstream with its policy.
type Route struct {
	Service `yaml:",inline"`
	Policy  `yaml:",inline"`
	Options map[string]conf.Raw `yaml:"options"` // inspector → its options
}

// Service is what a route leads to.
type Service struct {
	Prefix     string      `yaml:"prefix"`     // path the route is reached at, /openai; it is cut off
	Format     string      `yaml:"format"`     // of the API
	Upstream   string      `yaml:"upstream"`   // URL; its path is put before the rest of the client's
	Credential conf.Sealed `yaml:"credential"` // of the upstream
	Header     string      `yaml:"header"`     // header that carries it; empty: as the format's provider has it
	Region     string      `yaml:"aws_region"` // sign requests (AWS Signature 4) for it; the credential is a profile as in ~/.aws/credentials
	Anonymous  bool        `yaml:"anonymous"`  // serve clients without a key; on the loopback only
	Models     []string    `yaml:"models"`     // that may be asked for, * at the end stands for anything; empty: all
	Stream     string      `yaml:"stream"`     // hold back what rules may need, sentences that every inspector has seen, or buffer the whole answer
	Body       conf.Bytes  `yaml:"body"`       // largest request
	Answer     conf.Bytes  `yaml:"answer"`     // largest answer, streamed ones too
	Record     string      `yaml:"record"`     // what is said: off, masked (kept in the lake, without personal data and secrets)
	Timeouts   Timeouts    `yaml:"timeouts"`
}

// Policy is what is looked at on a route, and what is done about it.
type Policy struct {
	Unknown    string    `yaml:"unknown"`     // shapes the format does not understand: refuse, forward
	Unpriced   string    `yaml:"unpriced"`    // models whose price is not known, when there is a budget of money: refuse, forward
	Media      string    `yaml:"media"`       // images, audio, files, which nobody here looks into: refuse, forward
	System     Direction `yaml:"system"`      // what the application says: system prompts, descriptions of tools
	Request    Direction `yaml:"request"`     // what people say, and the conversation so far
	ToolResult Direction `yaml:"tool_result"` // results of tools and documents
	Response   Direction `yaml:"response"`    // what the model says
	ToolCall   Direction `yaml:"tool_call"`   // calls it wants made
}

// Timeouts of one exchange.
type Timeouts struct {
	Body    conf.Duration `yaml:"body"`    // until the request has come
	Connect conf.Duration `yaml:"connect"` // to the upstream, TLS included
	First   conf.Duration `yaml:"first"`   // until its answer begins
	Idle    conf.Duration `yaml:"idle"`    // between two pieces of it, and for a client that takes nothing
	Total   conf.Duration `yaml:"total"`
}

// Direction is the policy for one kind of text.
type Direction struct {
	Inspectors []string          `yaml:"inspectors"` // by name; missing: those of the direction's default
	Actions    map[string]string `yaml:"actions"`    // category → allow, flag, throttle, mask, rewrite, hold, block; missing: by score
}

// Settings of a route that nobody chose.
const (
	Refuse    = "refuse"
	Forward   = "forward"
	Hold      = "hold"
	Sentences = "sentences"
	Buffer    = "buffer"
	Off       = "off"
	Masked    = "masked"
)

// DefaultConfig is a gateway without routes.
func DefaultConfig() Config {
	return Config{Server: Server{Listen: "127.0.0.1:9613", TLS: "auto", Keeper: true, Caught: Refuse, Connections: 4096, AuditBytes: 256 << 20,
		Approval: Approval{Timeout: sec(120), Held: 100, Each: 8, Wait: true}}, Abuse: abuse.Default()}
}

// DefaultRoute is what a route does not say.
func DefaultRoute() Route {
	return Route{Policy: Policy{Unknown: Refuse, Unpriced: Refuse, Media: Forward}, Service: Service{Stream: Hold, Record: Off, Body: 8 << 20, Answer: 32 << 20,
		Timeouts: Timeouts{Body: sec(30), Connect: sec(10), First: sec(120), Idle: sec(120), Total: sec(1800)}}}
}

func sec(n int) conf.Duration { return conf.Duration(time.Duration(n) * time.Second) }

// Catalogue is what routes may name.
type Catalogue struct {
	Formats    []string
	Inspectors []string // all, in the order they run
}

// without lists the inspectors of a direction nobody chose: what makes no sense there.
var without = map[string][]string{
	"system":      {"secret", "pii", "link", "exfil", "injection", "language", "schema", "judge", "onnx"},
	"request":     {"schema"},
	"tool_result": {"schema"},
	"response":    {"injection", "judge", "onnx"},
	"tool_call":   {"injection", "language", "schema", "judge", "onnx"},
}

func (r *Policy) directions() map[string]*Direction {
	return map[string]*Direction{"system": &r.System, "request": &r.Request, "tool_result": &r.ToolResult, "response": &r.Response, "tool_call": &r.ToolCall}
}

// Complete fills in what a configuration leaves out and says what is wrong with
// it: errors by their keys, separated by dots.
func (c *Config) Complete(all Catalogue) map[string]error {
	bad := map[string]error{}
	at, err := netip.ParseAddrPort(c.Listen)
	local := err == nil && at.Addr().Unmap().IsLoopback()
	switch {
	case err != nil:
		bad["listen"] = fmt.Errorf("%.60q is not an IP address and port, such as 127.0.0.1:9613", c.Listen)
	case !local && c.TLS == "off":
		bad["tls"] = fmt.Errorf("%s can be reached from other machines: that needs tls: on", at)
	}
	word(bad, "tls", c.TLS, "auto", "on", "off")
	word(bad, "caught", c.Caught, Refuse, "ignore")
	if (c.Cert == "") != (c.Key == "") {
		bad["cert"] = errors.New("a certificate needs its key and the other way round: give cert and key, or neither")
	}
	if c.Connections < 1 {
		bad["connections"] = fmt.Errorf("%d is no limit: above 0", c.Connections)
	}
	c.Approval.check(bad)
	if c.AuditBytes < 1<<20 {
		bad["audit_bytes"] = fmt.Errorf("%s is too little: at least 1MiB", c.AuditBytes)
	}
	if err := c.Abuse.Check(); err != nil {
		bad["abuse"] = err
	}
	for i := range c.Budgets {
		if err := c.Budgets[i].Check(); err != nil {
			bad["budgets"] = fmt.Errorf("number %d: %w", i+1, err)
		}
	}
	if _, err := price.Load(c.Prices); err != nil {
		bad["prices"] = err
	}
	prefixes := map[string]string{}
	for _, name := range sorted(c.Routes) {
		r := c.Routes[name]
		for key, err := range r.complete(name, all) {
			bad["routes."+name+"."+key] = err
		}
		if other, taken := prefixes[r.Prefix]; taken {
			bad["routes."+name+".prefix"] = fmt.Errorf("%q is already that of %s", r.Prefix, other)
		}
		prefixes[r.Prefix] = name
		if r.Anonymous && !local {
			bad["routes."+name+".anonymous"] = errors.New("clients without a key are served on the loopback only: set listen to 127.0.0.1, or make keys with \"bartizan guard key create\"")
		}
		if r.Region != "" && !c.Keeper {
			bad["routes."+name+".aws_region"] = errors.New("requests are signed by the process that keeps the keys: leave out \"keeper: false\"")
		}
		c.Routes[name] = r
	}
	return bad
}

func (r *Route) complete(name string, all Catalogue) map[string]error {
	bad := map[string]error{}
	if len(name) > 40 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		bad[""] = errors.New("the name may have up to 40 lower-case letters, digits and dashes")
	}
	d := DefaultRoute()
	def(&r.Prefix, "/"+name)
	def(&r.Format, name)
	def(&r.Unknown, d.Unknown)
	def(&r.Media, d.Media)
	def(&r.Unpriced, d.Unpriced)
	def(&r.Stream, d.Stream)
	def(&r.Record, d.Record)
	def(&r.Body, d.Body)
	def(&r.Answer, d.Answer)
	t, dt := &r.Timeouts, d.Timeouts
	def(&t.Body, dt.Body)
	def(&t.Connect, dt.Connect)
	def(&t.First, dt.First)
	def(&t.Idle, dt.Idle)
	def(&t.Total, dt.Total)
	word(bad, "unknown", r.Unknown, Refuse, Forward)
	word(bad, "media", r.Media, Refuse, Forward)
	word(bad, "unpriced", r.Unpriced, Refuse, Forward)
	word(bad, "stream", r.Stream, Hold, Sentences, Buffer)
	word(bad, "record", r.Record, Off, Masked)
	word(bad, "format", r.Format, all.Formats...)
	if r.Prefix != "/" && (path.Clean(r.Prefix) != r.Prefix || r.Prefix[0] != '/' || strings.ContainsAny(r.Prefix, "%?#\\ ")) {
		bad["prefix"] = fmt.Errorf("%.60q is no path such as /openai", r.Prefix)
	}
	u, err := url.Parse(r.Upstream)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		bad["upstream"] = fmt.Errorf("%.80q is no URL such as https://api.openai.com", r.Upstream)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		bad["upstream"] = errors.New("user, query and fragment have no place in it; the credential goes into \"credential\"")
	case u.Scheme == "http" && r.Credential.IsSet() && !loopback(u.Hostname()):
		bad["upstream"] = errors.New("the credential would go over the network in the clear: use https")
	}
	if r.Region != "" && (len(r.Region) > 40 || strings.Trim(r.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || !r.Credential.IsSet()) {
		bad["aws_region"] = fmt.Errorf("%.60q: a region such as us-east-1, and a credential to sign with", r.Region)
	}
	if r.Header != "" && (len(r.Header) > 64 || strings.Trim(strings.ToLower(r.Header), "abcdefghijklmnopqrstuvwxyz0123456789-") != "") {
		bad["header"] = fmt.Errorf("%.60q is no name of a header", r.Header)
	}
	if r.Body < 1<<10 || r.Body > 256<<20 {
		bad["body"] = fmt.Errorf("%s: between 1KiB and 256MiB", r.Body)
	}
	if r.Answer < 1<<10 || r.Answer > 1<<30 {
		bad["answer"] = fmt.Errorf("%s: between 1KiB and 1GiB", r.Answer)
	}
	for key, direction := range r.directions() {
		direction.complete(bad, key, all.Inspectors)
	}
	return bad
}

func (d *Direction) complete(bad map[string]error, key string, all []string) {
	if d.Inspectors == nil {
		d.Inspectors = slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(without[key], s) })
	}
	for _, name := range d.Inspectors {
		word(bad, key+".inspectors", name, all...)
	}
	for category, action := range d.Actions {
		word(bad, key+".actions", category, categories...)
		word(bad, key+".actions."+category, action, string(Allow), string(Flag), string(Throttle), string(Mask), string(Rewrite), string(Ask), string(Block))
	}
}

var categories = []string{string(guard.Injection), string(guard.Secret), string(guard.PII), string(guard.Exfil), string(guard.Hidden),
	string(guard.Link), string(guard.Policy), string(guard.Shape)}

func def[T comparable](to *T, v T) {
	var zero T
	if *to == zero {
		*to = v
	}
}

func word(bad map[string]error, key, got string, allowed ...string) {
	if slices.Contains(allowed, got) {
		return
	}
	hint := ""
	if near, ok := conf.Nearest(got, allowed); ok {
		hint = fmt.Sprintf(" (nearest: %q)", near)
	}
	bad[key] = fmt.Errorf("%.60q is none of %s%s", got, strings.Join(allowed, ", "), hint)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback() || net.ParseIP(host).IsLoopback()
}
