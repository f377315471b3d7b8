package cloud

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"

	"github.com/valyala/fastjson"
)

// maxDistinct is how many different things of one kind are told apart.
const maxDistinct = 64

const maxServices = 24

// distinct counts different things since a moment.
type distinct struct {
	since    time.Time
	ids      []uint32
	services []uint32
	told     bool
}

// add takes a thing of a service; what is older than window is forgotten first.
func (s *distinct) add(at time.Time, window time.Duration, thing, service uint32) {
	if !detect.Within(s.since, at, window) {
		*s = distinct{since: at, ids: s.ids[:0], services: s.services[:0]}
	}
	if len(s.ids) < maxDistinct && !slices.Contains(s.ids, thing) {
		s.ids = append(s.ids, thing)
	}
	if len(s.services) < maxServices && !slices.Contains(s.services, service) {
		s.services = append(s.services, service)
	}
}

// reached reports once that there are so many things of so many services.
func (s *distinct) reached(things, services int) bool {
	if s.told || len(s.ids) < things || len(s.services) < services {
		return false
	}
	s.told = true
	return true
}

// What is counted of a principal.
const (
	denied = iota
	looks
	mails
	secrets
	passwords
	scripts
	sessions
	nCounts
)

// maxHabits is how many networks and regions a principal is known by; who has more is at home everywhere.
const maxHabits = 6

// principal is what is remembered of one.
type principal struct {
	first    time.Time
	calls    int
	networks []uint32
	regions  []uint32
	gpu      bool
	counts   [nCounts]*distinct

	burst     time.Time // since when the numbers below are counted
	listed    bool      // asked what a bucket has, in all versions
	deleted   int
	encrypted int
	started   int
	toldBurst [3]bool
}

// place is where the key of a machine, or a person, was seen first.
type place struct {
	network uint32
	at      time.Time
}

func (p *principal) of(kind int) *distinct {
	if p.counts[kind] == nil {
		p.counts[kind] = &distinct{}
	}
	return p.counts[kind]
}

// count follows what the principal does.
func (d *detector) count(c *call, emit detect.Emit) {
	p, fresh := d.principals.Get(d.hash("principal", c.lasting()))
	if fresh {
		p.first = c.at
	}
	p.calls++
	if !detect.Within(p.burst, c.at, d.conf.Burst) {
		p.burst, p.listed, p.deleted, p.encrypted, p.started, p.toldBurst = c.at, false, 0, 0, 0, [3]bool{}
	}
	d.refusals(c, p, emit)
	d.reading(c, p, emit)
	d.collecting(c, p, emit)
	d.bursts(c, p, emit)
	d.elsewhere(c, emit)
	d.habits(c, p, emit)
}

func (d *detector) id(parts ...string) uint32 { return uint32(d.hash(parts...)) }

func refused(code string) bool {
	return strings.Contains(code, "Denied") || strings.Contains(code, "Unauthorized") || code == "NotAuthorized" || code == "OptInRequired"
}

// refusals: one broken program asks for the same thing again, who tries out a key for everything.
func (d *detector) refusals(c *call, p *principal, emit detect.Emit) {
	if !refused(c.f[fError]) {
		return
	}
	s := p.of(denied)
	s.add(c.at, d.conf.Window, d.id(c.service, c.name), d.id(c.service))
	if s.reached(d.conf.Denied, d.conf.DeniedServices) {
		d.say(c, finding{rule: "cloud.permissions-tried", title: "was refused many different things", severity: model.Medium, class: model.ClassScan, count: len(s.ids),
			techniques: []string{"T1580", "T1526", "T1087.004"}}, emit)
	}
}

// looksAround: operations that list what there is, not those that read data.
func looksAround(c *call) bool {
	switch c.service {
	case "s3":
		return c.name == "ListBuckets" || c.name == "ListAllMyBuckets"
	case "sts", "iam", "ec2", "cloudtrail", "guardduty", "organizations", "lambda", "rds", "route53", "ses", "secretsmanager", "ssm", "kms", "logs", "eks", "ecs", "ecr", "dynamodb", "account", "config", "securityhub", "access-analyzer", "sns", "sqs", "cloudformation", "elasticloadbalancing", "apigateway", "cloudfront", "servicequotas", "bedrock":
		return strings.HasPrefix(c.name, "Describe") || strings.HasPrefix(c.name, "List") || strings.HasPrefix(c.name, "GetAccount") || c.name == "GetCallerIdentity" || strings.HasPrefix(c.name, "GetSend") || c.name == "GetUser" || c.name == "GetDetector"
	}
	return false
}

// reading: the role of a machine looks around, or somebody asks what mail can be sent.
func (d *detector) reading(c *call, p *principal, emit detect.Emit) {
	if c.console() || !looksAround(c) && c.service != "ses" {
		return
	}
	if c.ofMachine() {
		s := p.of(looks)
		s.add(c.at, d.conf.Window, d.id(c.service, c.name), d.id(c.service))
		if s.reached(d.conf.Looks, d.conf.LookServices) {
			d.say(c, finding{rule: "cloud.machine-looks-around", title: "the role of a machine lists what the account has", severity: model.Medium, class: model.ClassScan, count: len(s.ids),
				techniques: []string{"T1580", "T1526", "T1087.004", "T1552.005"}}, emit)
		}
	}
	if c.service == "ses" && (strings.HasPrefix(c.name, "Get") || strings.HasPrefix(c.name, "List")) {
		s := p.of(mails)
		s.add(c.at, d.conf.Window, d.id(c.name), 0)
		if s.reached(3, 1) { // who sends mail asks for its quota, and knows its own names
			d.say(c, finding{rule: "cloud.mail-looked-at", title: "asks in several ways whether mail can be sent", severity: model.Medium, class: model.ClassScan, count: len(s.ids),
				techniques: []string{"T1526", "T1087.004"}}, emit)
		}
	}
}

// collecting: secrets, passwords, start-up scripts, machines and models one after the other.
func (d *detector) collecting(c *call, p *principal, emit detect.Emit) {
	kind, limit := -1, d.conf.Machines
	var things []string
	f := finding{severity: model.Medium, class: model.ClassSecrets}
	switch c.service + ":" + c.name {
	case "secretsmanager:GetSecretValue":
		kind, limit, things = secrets, d.conf.Secrets, []string{c.text("secretId")}
		f.rule, f.title, f.techniques = "cloud.secrets-collected", "read many secrets", []string{"T1555.006"}
	case "ssm:GetParameter", "ssm:GetParameters":
		if !c.is(true, "withDecryption") {
			return
		}
		kind, limit, things = secrets, d.conf.Secrets, append(texts(c.req("names")), c.text("name"))
		f.rule, f.title, f.techniques = "cloud.secrets-collected", "read many secrets", []string{"T1552", "T1555.006"}
	case "ec2:GetPasswordData":
		kind, things = passwords, []string{c.text("instanceId")}
		f.rule, f.title, f.techniques = "cloud.passwords-collected", "asked for the passwords of many machines", []string{"T1552"}
	case "ec2:DescribeInstanceAttribute":
		if c.text("attribute") != "userData" {
			return
		}
		kind, things = scripts, []string{c.text("instanceId")}
		f.rule, f.title, f.techniques = "cloud.scripts-collected", "read the start-up scripts of many machines", []string{"T1552.005", "T1580"}
	case "ssm:StartSession":
		kind, things = sessions, []string{c.text("target")}
		f.rule, f.title, f.class, f.techniques = "cloud.sessions", "opened shells on many machines", model.ClassCommand, []string{"T1021.007", "T1651"}
	}
	if kind < 0 {
		return
	}
	s := p.of(kind)
	for _, t := range things {
		if t != "" {
			s.add(c.at, d.conf.Burst, d.id(t), 0)
		}
	}
	if s.reached(limit, 1) {
		f.count = len(s.ids)
		d.say(c, f, emit)
	}
}

func texts(v *fastjson.Value) (out []string) {
	if v == nil {
		return nil
	}
	for _, e := range v.GetArray()[:min(len(v.GetArray()), maxDistinct)] {
		out = append(out, string(e.GetStringBytes()))
	}
	return out
}

// bursts: many objects deleted or encrypted, many machines started.
func (d *detector) bursts(c *call, p *principal, emit detect.Emit) {
	if c.f[fError] != "" {
		return
	}
	tell := func(n int, f finding) {
		if !p.toldBurst[n] {
			p.toldBurst[n] = true
			f.severity = model.Medium
			d.say(c, f, emit)
		}
	}
	switch c.service + ":" + c.name {
	case "s3:ListObjectVersions", "s3:ListObjects", "s3:ListObjectsV2":
		p.listed = p.listed || c.name == "ListObjectVersions"
	case "s3:DeleteObject", "s3:DeleteObjects":
		p.deleted++
		if p.listed && c.name == "DeleteObjects" || p.deleted >= d.conf.Deletions && p.listed {
			tell(0, finding{rule: "cloud.objects-deleted", title: "deleted objects in all their versions", class: model.ClassCommand, techniques: []string{"T1485"}, count: p.deleted})
		}
	case "s3:CopyObject", "s3:PutObject":
		if c.req("x-amz-server-side-encryption-customer-algorithm") == nil {
			return
		}
		if p.encrypted++; p.encrypted >= d.conf.Secrets {
			tell(1, finding{rule: "cloud.objects-encrypted", title: "encrypted objects with a key that only the caller has", class: model.ClassCommand, techniques: []string{"T1486"}, count: p.encrypted})
		}
	case "ec2:RunInstances":
		p.started += max(1, min(c.req("instancesSet", "items", "0", "maxCount").GetInt(), 10_000))
		fast := accelerated(c)
		known := d.settled(c, p)
		if fast && known && !p.gpu || p.started >= d.conf.Instances && (!known || fast) {
			tell(2, finding{rule: "cloud.instances", title: "started machines unlike before", class: model.ClassControl, techniques: []string{"T1496.001", "T1578.002"}, count: p.started})
		}
		p.gpu = p.gpu || fast
	}
}

func (d *detector) settled(c *call, p *principal) bool {
	return c.at.Sub(p.first) >= d.conf.Settled && p.calls >= d.conf.Calls
}

// network is the neighbourhood of a public address; 0 for none and for those inside.
func (d *detector) network(a netip.Addr) uint32 {
	if !a.IsValid() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return 0
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return 0
	}
	return d.id("network", p.String()) | 1
}

// elsewhere: the key that one machine got is used from two networks, or from where a person works.
func (d *detector) elsewhere(c *call, emit detect.Emit) {
	n := d.network(c.addr)
	if n == 0 {
		return
	}
	f := finding{severity: model.High, class: model.ClassAccess, techniques: []string{"T1552.005", "T1078.004"}, count: 1}
	if !c.ofMachine() {
		if c.console() && c.f[fType] != "Root" {
			pl, _ := d.places.Get(d.hash("person", c.addr.String()))
			pl.at = c.at
		}
		return
	}
	if c.f[fKey] != "" {
		family := "4"
		if c.addr.Is6() {
			family = "6"
		}
		pl, fresh := d.places.Get(d.hash("key", c.f[fKey], family))
		if fresh {
			pl.network = n
		}
		if pl.network != n && d.once(c.at, "elsewhere", c.f[fKey]) {
			f.rule, f.title = "cloud.machine-key-elsewhere", "the key of one machine is used from two networks"
			d.say(c, f, emit)
			return
		}
	}
	if (strings.Contains(c.f[fAgent], "Darwin/") || strings.Contains(c.f[fAgent], "os/macos")) && d.once(c.at, "desktop", c.lasting()) {
		f.rule, f.title, f.severity = "cloud.machine-key-elsewhere", "the key of a machine is used from somebody's computer", model.Medium
		d.say(c, f, emit)
		return
	}
	if pl := d.places.Peek(d.hash("person", c.addr.String())); pl != nil && detect.Within(pl.at, c.at, d.conf.Again) && d.once(c.at, "beside", c.lasting()) {
		f.rule, f.title, f.severity = "cloud.machine-key-of-person", "the key of a machine is used where a person works", model.Medium
		d.say(c, f, emit)
	}
}

// habits: who is known for a while does something of consequence from where it never was.
func (d *detector) habits(c *call, p *principal, emit detect.Emit) {
	known := d.settled(c, p)
	strange := d.note(&p.networks, d.network(c.addr)) && len(p.networks) <= maxHabits
	region := uint32(0)
	if c.f[fRegion] != "" && c.service != "iam" && c.service != "sts" && c.service != "signin" {
		region = d.id("region", c.f[fRegion]) | 1
	}
	far := d.note(&p.regions, region) && len(p.regions) <= maxHabits
	if !known || !strange && !far || c.f[fError] != "" || c.f[fReadOnly] == "true" || len(d.calls[c.service+":"+c.name]) == 0 && c.name != "RunInstances" {
		return
	}
	f := finding{rule: "cloud.new-network", title: "did something of consequence from a network it never came from", severity: model.Medium, class: model.ClassAccess, techniques: []string{"T1078.004"}}
	if !strange {
		f.rule, f.title, f.techniques = "cloud.new-region", "did something of consequence in a region it never used", []string{"T1535", "T1078.004"}
	}
	if d.once(c.at, f.rule, c.lasting()) {
		d.say(c, f, emit)
	}
}

// note remembers a habit, at most one more than counts, and reports a new one.
func (d *detector) note(list *[]uint32, v uint32) bool {
	if v == 0 || slices.Contains(*list, v) {
		return false
	}
	if len(*list) <= maxHabits {
		*list = append(*list, v)
	}
	return true
}
