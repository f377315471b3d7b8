// Package cloud concludes things from what AWS CloudTrail records of calls to
// APIs: defences switched off, data shared with strangers, ways back in, keys of
// machines used elsewhere, permissions tried out one after the other.
//
// Two kinds of knowledge are in it. A table of calls whose consequence is worth
// a person's look whoever makes them (consequence.go and the files beside it),
// judged by what they ask for, and only when they succeeded. And counts of what
// one principal does in a time (count.go). What services do for themselves, and
// what is refused, is no consequence.
package cloud

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/observe/jsonview"

	"github.com/valyala/fastjson"
)

// Config of the family.
type Config struct {
	// Denied distinct operations of DeniedServices services that are refused to one principal within Window are a search for what it may do.
	Denied         int `yaml:"denied"`
	DeniedServices int `yaml:"denied_services"`
	// Looks distinct reading operations of LookServices services by the role of one machine within Window are a look around.
	Looks        int `yaml:"looks"`
	LookServices int `yaml:"look_services"`
	// Secrets distinct secrets read by one principal within Burst are a collection of them.
	Secrets int `yaml:"secrets"`
	// Machines distinct machines asked for passwords, start-up scripts or sessions within Burst.
	Machines int `yaml:"machines"`
	// Deletions of objects by one principal within Burst, after it listed them, are destruction.
	Deletions int `yaml:"deletions"`
	// Instances started by one principal within Burst are a burst.
	Instances int           `yaml:"instances"`
	Window    time.Duration `yaml:"window"`
	Burst     time.Duration `yaml:"burst"`
	// Settled is for how long a principal must be known, and Calls how many of its calls,
	// before a network it never came from is remarkable.
	Settled time.Duration `yaml:"settled"`
	Calls   int           `yaml:"calls"`
	// Again is how long the same call of the same principal is not told again.
	Again time.Duration `yaml:"again"`
	// MaxPrincipals is how many are remembered.
	MaxPrincipals int `yaml:"max_principals"`
}

// Default configuration. A page of the console asks four or five services for a
// dozen things that a person may not see, and a broken program asks for the same
// one again and again; who tries out a stolen key asks for dozens of things of
// many services (15 of 6). An application reads a handful of secrets when it
// starts (10). A role's machine reads what it is for; six services in an hour is
// somebody looking around. docs/sources/cloudtrail.md has the reasons of the rest.
func Default() Config {
	return Config{Denied: 15, DeniedServices: 6, Looks: 8, LookServices: 5, Secrets: 10, Machines: 5, Deletions: 50, Instances: 20,
		Window: time.Hour, Burst: 10 * time.Minute, Settled: 24 * time.Hour, Calls: 50, Again: 24 * time.Hour, MaxPrincipals: 16384}
}

// New makes the detector.
func New(c Config) (detect.DocumentDetector, error) {
	if min(c.Denied, c.DeniedServices, c.Looks, c.LookServices, c.Secrets, c.Machines) < 2 || max(c.Denied, c.Looks, c.Secrets, c.Machines) > maxDistinct || c.Deletions < 2 || c.Instances < 2 || c.Calls < 1 {
		return nil, errors.New("cloud detector: denied, looks, secrets, machines and the numbers of services must be from 2 to " + strconv.Itoa(maxDistinct) + ", deletions, instances at least 2, calls at least 1")
	}
	if c.Window <= 0 || c.Burst <= 0 || c.Settled <= 0 || c.Again <= 0 || c.MaxPrincipals < 1 {
		return nil, errors.New("cloud detector: every duration must be positive, max_principals at least 1")
	}
	d := &detector{conf: c, seed: maphash.MakeSeed(), calls: index(), principals: detect.NewTable[uint64, principal](c.MaxPrincipals),
		told: detect.NewTable[uint64, telling](4 * c.MaxPrincipals), places: detect.NewTable[uint64, place](c.MaxPrincipals)}
	for i, name := range fieldNames {
		d.paths[i] = jsonview.NewPath(name)
	}
	return d, nil
}

type detector struct {
	conf       Config
	seed       maphash.Seed
	calls      map[string][]*consequence
	paths      [nFields]jsonview.Path
	principals *detect.Table[uint64, principal]
	told       *detect.Table[uint64, telling]
	places     *detect.Table[uint64, place] // where keys of machines and persons were seen
	c          call
	policies   fastjson.Parser
	sig        model.Signal
}

// The fields of every record that is looked at.
const (
	fSource = iota
	fName
	fTime
	fError
	fType
	fARN
	fUser
	fAccount
	fOwner
	fKey
	fIssuer
	fInvoked
	fIP
	fAgent
	fRegion
	fEventType
	fReadOnly
	nFields
)

var fieldNames = [nFields]string{"eventSource", "eventName", "eventTime", "errorCode", "userIdentity.type", "userIdentity.arn", "userIdentity.userName",
	"userIdentity.accountId", "recipientAccountId", "userIdentity.accessKeyId", "userIdentity.sessionContext.sessionIssuer.arn", "userIdentity.invokedBy",
	"sourceIPAddress", "userAgent", "awsRegion", "eventType", "readOnly"}

// call is one record.
type call struct {
	f       [nFields]string
	at      time.Time
	service string     // without .amazonaws.com
	name    string     // without the version of its API
	addr    netip.Addr // of who calls; zero for services
	session string     // of an assumed role
	doc     *observe.Document
	d       *detector
}

// DetectDocument implements detect.DocumentDetector.
func (d *detector) DetectDocument(x *observe.Document, emit detect.Emit) {
	if x.Service != "cloudtrail" {
		return
	}
	c := &d.c
	c.doc, c.d = x, d
	for i := range d.paths {
		c.f[i] = c.field(&d.paths[i])
	}
	if c.f[fName] == "" || c.service4() == "" || byService(c) {
		return
	}
	if c.f[fTime] == "" { // an export that kept only its own
		c.f[fTime] = string(c.doc.JSON().GetStringBytes("@timestamp"))
	}
	c.at = moment(c.f[fTime])
	c.addr = netip.Addr{}
	if a, err := netip.ParseAddr(c.f[fIP]); err == nil {
		c.addr = a.Unmap()
	}
	c.session = ""
	if _, rest, ok := strings.Cut(c.f[fARN], ":assumed-role/"); ok {
		_, c.session, _ = strings.Cut(rest, "/")
	}
	d.consequences(c, emit)
	d.count(c, emit)
	c.doc = nil
}

// field is the text of a field; "" when there is none.
func (c *call) field(p *jsonview.Path) string {
	b, found := c.doc.View().Find(p)
	if found == jsonview.Unsure {
		v := c.doc.JSON().Get(p.Parts...)
		switch {
		case v == nil:
			return ""
		case v.Type() == fastjson.TypeString:
			return string(v.GetStringBytes())
		case v.Type() == fastjson.TypeTrue:
			return "true"
		}
		return ""
	}
	return string(b)
}

// service4 sets the names of service and operation as the tables have them.
func (c *call) service4() string {
	c.service = strings.TrimSuffix(c.f[fSource], ".amazonaws.com")
	c.name = c.f[fName]
	// Lambda and CloudFront add the version of their API: UpdateFunctionCode20150331v2, CreateDistribution2020_05_31.
	if i := strings.IndexAny(c.name, "0123456789"); i > 0 && len(c.name)-i >= 8 {
		c.name = strings.TrimSuffix(c.name[:i], "_")
	}
	return c.service
}

// byService reports what AWS does for itself or for a template.
func byService(c *call) bool {
	by := c.f[fInvoked]
	return c.f[fType] == "AWSService" || c.f[fEventType] == "AwsServiceEvent" && c.service != "signin" ||
		by != "" && by != "signin.amazonaws.com" && by != "AWS Internal" || strings.Contains(c.f[fIssuer], ":role/aws-service-role/")
}

// moment reads the record's time; 1970 when it has none.
func moment(s string) time.Time {
	for _, layout := range [...]string{time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Unix(0, 0).UTC()
}

// who names the principal: the user, the role's session, else the account.
func (c *call) who() string {
	for _, s := range [...]string{c.f[fARN], c.f[fUser], c.f[fKey], c.f[fAccount], c.f[fIP]} {
		if s != "" {
			return s
		}
	}
	return "somebody"
}

// lasting names the principal over sessions; each machine is one.
func (c *call) lasting() string {
	if c.f[fIssuer] != "" && !c.ofMachine() {
		return c.f[fIssuer]
	}
	return c.who()
}

// ofMachine reports the role of an EC2 instance: its sessions have the id as their name.
func (c *call) ofMachine() bool {
	id, ok := strings.CutPrefix(c.session, "i-")
	return ok && len(id) >= 8 && len(id) <= 17 && strings.Trim(id, "0123456789abcdef") == ""
}

// account is whose resources are meant.
func (c *call) account() string {
	if c.f[fOwner] != "" {
		return c.f[fOwner]
	}
	return c.f[fAccount]
}

func (d *detector) hash(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seed)
	for _, p := range parts {
		_, _ = h.WriteString(p)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// telling is how often something was told since a moment.
type telling struct {
	since time.Time
	times int
}

// once reports whether something was not told within a time, and notes that it is.
func (d *detector) once(at time.Time, parts ...string) bool { return d.atMost(1, at, parts...) }

func (d *detector) atMost(n int, at time.Time, parts ...string) bool {
	t, fresh := d.told.Get(d.hash(parts...))
	if fresh || !detect.Within(t.since, at, d.conf.Again) {
		*t = telling{since: at}
	}
	t.times++
	return t.times <= n
}

// finding is what say tells.
type finding struct {
	rule, title string
	severity    model.Severity
	class       model.Class
	techniques  []string
	excerpt     string
	count       int
}

// say hands out a conclusion about the call under way.
func (d *detector) say(c *call, f finding, emit detect.Emit) {
	conf := [...]float64{model.Info: 0.05, model.Low: 0.15, model.Medium: 0.4, model.High: 0.6, model.Critical: 0.8}[f.severity]
	d.sig = model.Signal{Kind: f.rule, Class: f.class, Rule: f.rule, Title: detect.Clean(f.title+": "+c.name+" by "+c.who(), 200), Time: c.at,
		Confidence: conf, Severity: f.severity, Techniques: f.techniques, Count: max(f.count, 1),
		Asset:    model.AssetRef{Kind: "aws", Name: detect.Clean(c.account(), 64)},
		Evidence: []model.Evidence{{Time: c.at, What: "call", Excerpt: detect.Clean(c.service+" "+c.name+" "+c.f[fRegion]+" "+f.excerpt, model.MaxExcerpt)}}}
	d.sig.Actor, d.sig.Address = c.actor()
	for _, e := range [...]struct {
		kind  model.EntityType
		value string
	}{{model.TypeUser, c.f[fARN]}, {model.TypeAccessKey, c.f[fKey]}} {
		if x, err := model.ParseEntity(e.kind, e.value); err == nil && x != d.sig.Actor {
			d.sig.Related = append(d.sig.Related, x)
		}
	}
	emit(&d.sig)
}

// actor is the address that calls, else the key, else the name, as for rules.
func (c *call) actor() (model.Entity, string) {
	if c.addr.IsValid() {
		return model.AddrEntity(c.addr), c.addr.String()
	}
	for _, e := range [...]struct {
		kind  model.EntityType
		value string
	}{{model.TypeAccessKey, c.f[fKey]}, {model.TypeUser, c.f[fARN]}, {model.TypeUser, c.f[fUser]}, {model.TypeHost, c.f[fIP]}, {model.TypeHost, "unknown"}} {
		if x, err := model.ParseEntity(e.kind, e.value); err == nil {
			return x, ""
		}
	}
	return model.Entity{}, ""
}
