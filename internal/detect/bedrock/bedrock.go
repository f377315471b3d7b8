// Package bedrock concludes from CloudTrail records that somebody takes over models
// of Amazon Bedrock with a key that is not theirs (LLMjacking, MITRE ATLAS AML.CS0030): a
// call that cannot succeed but whose error tells whether it would have been allowed (the
// oracle: InvokeModel with max_tokens_to_sample -1), the same in region after region, the
// question whether prompts are logged, access to models asked for or logging switched off,
// and then use.
//
// One of these alone is daily work of somebody: auditors ask for the logging
// configuration in every region, developers try a model they have no access to. It is the
// sequence of one key that tells.
package bedrock

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/observe/jsonview"
	"bartizan/internal/safe"

	"github.com/valyala/fastjson"
)

// Config of the family.
type Config struct {
	// Window in which the steps of a key belong together.
	Window time.Duration `yaml:"window"`
	// Regions and Models are how many different ones are refused until that is trying them out.
	Regions int `yaml:"regions"`
	Models  int `yaml:"models"`
	MaxKeys int `yaml:"max_keys"`
}

// Default configuration. Reported cases try a handful of regions within minutes
// (Sysdig 2024); an application has one or two and a developer tries few models.
func Default() Config { return Config{Window: 6 * time.Hour, Regions: 3, Models: 5, MaxKeys: 8192} }

// New makes the detector.
func New(c Config) (detect.DocumentDetector, error) {
	if c.Window <= 0 || c.Regions < 2 || c.Models < 2 || c.MaxKeys < 1 {
		return nil, fmt.Errorf("window %v, regions %d, models %d, max_keys %d: a window above 0, at least 2 regions and models, at least one key", c.Window, c.Regions, c.Models, c.MaxKeys)
	}
	return &detector{conf: c, source: jsonview.NewPath("eventSource"), keys: detect.NewTable[string, steps](c.MaxKeys)}, nil
}

// steps are what a key did in its window.
type steps struct {
	since                                       time.Time
	looked, logging, oracle, probed, asked, off bool
	regions, models                             []string // refused
	jacked                                      bool     // told
}

type detector struct {
	conf   Config
	source jsonview.Path
	keys   *detect.Table[string, steps]
	sig    model.Signal
}

const (
	maxNames = 16 // of each kind for a key
	maxName  = 200
)

var (
	techRecon  = []string{"AML.T0040", "T1580"}
	techJack   = []string{"AML.T0012", "AML.T0034", "T1078.004", "T1496.004"}
	techBlind  = []string{"T1562.008"}
	inferences = []string{"InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream", "InvokeModelWithBidirectionalStream"}
	listings   = []string{"ListFoundationModels", "GetFoundationModelAvailability", "ListFoundationModelAgreementOffers", "ListInferenceProfiles", "ListProvisionedModelThroughputs"}
	requests   = []string{"PutFoundationModelEntitlement", "PutUseCaseForModelAccess", "CreateFoundationModelAgreement"}
)

// DetectDocument implements detect.DocumentDetector.
func (d *detector) DetectDocument(x *observe.Document, emit detect.Emit) {
	text, found := x.View().Find(&d.source)
	if found != jsonview.String && found != jsonview.Unsure || found == jsonview.String && string(text) != "bedrock.amazonaws.com" {
		return
	}
	v := x.JSON()
	if v == nil || str(v, "eventSource") != "bedrock.amazonaws.com" {
		return
	}
	at, err := time.Parse(time.RFC3339, str(v, "eventTime"))
	if err != nil { // exports of others leave the zone out
		at, err = time.Parse(time.DateTime, str(v, "eventTime"))
	}
	key := str(v, "userIdentity", "accessKeyId")
	who := key
	if who == "" {
		who = str(v, "userIdentity", "arn")
	}
	if err != nil || who == "" {
		return // a service of AWS itself, or no record of CloudTrail
	}
	s, _ := d.keys.Get(who)
	if !detect.Within(s.since, at, d.conf.Window) {
		*s = steps{since: at}
	}
	if !d.about(v, key, at) {
		return
	}
	d.step(s, v, emit)
}

// about fills what all signals about a record have; false when nobody can be named.
func (d *detector) about(v *fastjson.Value, key string, at time.Time) bool {
	d.sig = model.Signal{Time: at, Address: safe.Clean(str(v, "sourceIPAddress"), 64), Count: 1, Class: model.ClassModelAbuse}
	access, err := model.ParseEntity(model.TypeAccessKey, key)
	if addr, aerr := netip.ParseAddr(str(v, "sourceIPAddress")); aerr == nil {
		d.sig.Actor = model.AddrEntity(addr)
		if err == nil {
			d.sig.Related = []model.Entity{access}
		}
		return true
	}
	if err != nil {
		return false
	}
	d.sig.Actor, d.sig.Address = access, ""
	return true
}

func (d *detector) step(s *steps, v *fastjson.Value, emit detect.Emit) {
	name, code, message := str(v, "eventName"), str(v, "errorCode"), str(v, "errorMessage")
	switch {
	case slices.Contains(inferences, name):
		d.inference(s, v, code, message, emit)
	case slices.Contains(listings, name):
		s.looked = true
	case name == "GetModelInvocationLoggingConfiguration":
		s.logging = true
	case slices.Contains(requests, name):
		s.asked = true
	case name == "DeleteModelInvocationLoggingConfiguration" && code == "" && !s.off:
		s.off = true
		d.say(emit, "bedrock.logging-off", "switched off the log of what models are asked", 0.50, model.High, techBlind, name)
	}
	d.sequence(s, name, code, emit)
}

// inference is a request to a model.
func (d *detector) inference(s *steps, v *fastjson.Value, code, message string, emit detect.Emit) {
	if code == "" {
		return
	}
	add(&s.regions, str(v, "awsRegion"))
	add(&s.models, str(v, "requestParameters", "modelId"))
	if strings.HasSuffix(code, "ValidationException") && limit(message) && !s.oracle {
		s.oracle = true
		d.say(emit, "bedrock.oracle", "asked a model for less than nothing, to learn whether it may be used", 0.70, model.Medium, techRecon, message)
	}
	if (len(s.regions) >= d.conf.Regions || len(s.models) >= d.conf.Models) && !s.probed {
		s.probed = true
		d.say(emit, "bedrock.probing", "tried models or regions one after the other and was refused", 0.60, model.Medium, techRecon,
			fmt.Sprintf("%d regions, %d models", len(s.regions), len(s.models)))
	}
}

// sequence tells when the steps of a key make the whole.
func (d *detector) sequence(s *steps, name, code string, emit detect.Emit) {
	tested, prepared := s.oracle || s.probed, s.logging || s.asked || s.off
	used := slices.Contains(inferences, name) && code == ""
	if s.jacked || !tested || !(prepared || s.looked && used) {
		return
	}
	s.jacked = true
	confidence := 0.80
	if prepared && used {
		confidence = 0.90
	}
	d.say(emit, "bedrock.llmjacking", "tested models, looked whether that is logged, and takes them over", confidence, model.High, techJack, name)
}

// limit tells whether an error is about a number of tokens that no honest request has.
func limit(message string) bool {
	m := strings.ToLower(strings.ReplaceAll(message, "_", ""))
	return strings.Contains(m, "maxtoken") || strings.Contains(m, "maxnewtokens") || strings.Contains(m, "maxgenlen")
}

func (d *detector) say(emit detect.Emit, kind, title string, confidence float64, sev model.Severity, tech []string, excerpt string) {
	s := d.sig
	s.Kind, s.Rule, s.Title, s.Confidence, s.Severity, s.Techniques = kind, kind, title, confidence, sev, tech
	if kind != "bedrock.llmjacking" && kind != "bedrock.logging-off" {
		s.Class = model.ClassModelRecon
	}
	s.Evidence = []model.Evidence{{Time: s.Time, What: "record", Excerpt: safe.Clean(excerpt, model.MaxExcerpt)}}
	emit(&s)
}

func add(list *[]string, s string) {
	if s != "" && len(*list) < maxNames && !slices.Contains(*list, s) {
		*list = append(*list, strings.Clone(s[:min(len(s), maxName)]))
	}
}

func str(v *fastjson.Value, path ...string) string { return string(v.GetStringBytes(path...)) }
