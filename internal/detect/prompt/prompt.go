// Package prompt concludes things from requests to a language model that is a
// decoy: tests whether it answers, use, the sequence of LLMjacking (look for
// models, test with a short prompt, then use), and attacks on the model by
// prompt (rules in content/rules/prompt).
//
// It judges the sender, not the text: nothing here decides whether a prompt
// may be answered. That is the gateway's work.
package prompt

import (
	"crypto/sha256"
	"encoding/hex"
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
	// Window in which an actor's steps belong together.
	Window time.Duration `yaml:"window"`
	// Use is the number of requests with a prompt after which an actor uses
	// the model, rather than looks at it.
	Use int `yaml:"use"`
	// LongPrompt in bytes is use at once.
	LongPrompt int `yaml:"long_prompt"`
	MaxActors  int `yaml:"max_actors"`
}

// Default configuration.
func Default() Config {
	return Config{Window: time.Hour, Use: 3, LongPrompt: 160, MaxActors: 32768}
}

// New makes the detector.
func New(c Config) (detect.Detector, error) {
	set, err := c.Load(content.Rules(), rule.Prompt)
	if err != nil {
		return nil, err
	}
	return &detector{conf: c, set: set, actors: detect.NewTable[who, actor](c.MaxActors)}, nil
}

type who struct {
	addr      netip.Addr
	spoofable bool
}

// actor is what is remembered about one.
type actor struct {
	since   time.Time
	listed  bool // asked which models there are
	oracles int  // short prompts that test whether it answers
	prompts int
	used    bool
}

type detector struct {
	conf   Config
	set    *rule.Set
	actors *detect.Table[who, actor]
	sc     rule.Scratch
	sig    model.Signal
	rel    []model.Entity
}

var (
	techRecon = []string{"AML.T0006", "AML.T0040"}
	techUse   = []string{"AML.T0040", "T1496.004"}
	techJack  = []string{"AML.T0040", "AML.T0034", "T1496.004"}
	techKeys  = []string{"AML.T0012", "T1078.004"}
)

// maxOracle is the longest prompt taken for a test in bytes.
const maxOracle = 48

// Detect implements detect.Detector.
func (d *detector) Detect(o *observe.Observation, emit detect.Emit) {
	x := o.Exchange
	if x == nil {
		return
	}
	a, _ := d.actors.Get(who{detect.Actor(o.Remote), o.Spoofable})
	if !detect.Within(a.since, o.Time, d.conf.Window) {
		*a = actor{since: o.Time}
	}
	d.related(x)
	if x.Key != "" {
		d.say(emit, "model.key-offered", "offered a key to a model", model.ClassModelAbuse, 0.75, model.Low, techKeys)
	}
	if x.Prompt == "" && x.System == "" {
		if listing(x.Route) {
			a.listed = true
			d.say(emit, "model.list", "asked which models there are", model.ClassModelRecon, 0.90, model.Low, techRecon)
		}
		return
	}
	oracle := len(x.Prompt) <= maxOracle
	if belowZero(x.Options) {
		oracle = true
		d.say(emit, "model.limit-oracle", "asked a model for less than nothing, to learn whether it may be used", model.ClassModelRecon, 0.85, model.Medium, techRecon)
	}
	d.set.Match(rule.Prompt.Texts(o, &d.sc), &d.sc, func(r *rule.Rule, excerpt string) {
		oracle = oracle || r.Class == model.ClassModelRecon
		r.Signal(&d.sig)
		d.sig.Related = append(d.sig.Related, d.rel...)
		d.sig.Evidence = append(d.sig.Evidence, model.Evidence{Excerpt: excerpt})
		emit(&d.sig)
	})
	d.steps(a, x, oracle, emit)
}

// belowZero tells whether a limit of the answer is none: the error of a real API tells
// whether the key could have been used (AML.CS0030). Ollama's num_predict of -1 is ordinary.
func belowZero(options string) bool {
	for f := range strings.FieldsSeq(options) {
		if name, v, _ := strings.Cut(f, "="); strings.HasPrefix(name, "max_") && (strings.HasPrefix(v, "-") || v == "0") {
			return true
		}
	}
	return false
}

// steps follows an actor from looking to using.
func (d *detector) steps(a *actor, x *observe.Exchange, oracle bool, emit detect.Emit) {
	a.prompts++
	if oracle {
		a.oracles++
		d.say(emit, "model.oracle", "tested a model with a short prompt", model.ClassModelRecon, 0.70, model.Low, techRecon)
	}
	long := len(x.Prompt) >= d.conf.LongPrompt || len(x.System) >= d.conf.LongPrompt || x.Turns > 3
	if !a.used && (long || a.prompts >= d.conf.Use || !oracle) {
		a.used = true
	}
	if !a.used {
		return
	}
	d.say(emit, "model.use", "used a model that is not theirs", model.ClassModelAbuse, 0.94, model.Medium, techUse)
	if a.listed && a.prompts > 1 || a.oracles > 0 && (long || a.prompts > a.oracles) {
		d.say(emit, "model.llmjacking", "looked for models, tested them and used them", model.ClassModelAbuse, 0.965, model.High, techJack)
	}
}

// listing reports whether a route lists or describes models.
func listing(route string) bool {
	r := strings.TrimRight(normal.Lower(route), "/")
	for _, end := range [...]string{"/models", "/api/tags", "/api/ps", "/api/show", "/api/version", "/props", "/model/info", "/get_model_info", "/model"} {
		if strings.HasSuffix(r, end) {
			return true
		}
	}
	return strings.Contains(r, "/models/")
}

func (d *detector) related(x *observe.Exchange) {
	d.rel = d.rel[:0]
	if e, err := model.ParseEntity(model.TypePrompt, Fingerprint(x.Prompt)); err == nil && x.Prompt != "" {
		d.rel = append(d.rel, e)
	}
	if e, err := model.ParseEntity(model.TypeAccessKey, x.Key); err == nil {
		d.rel = append(d.rel, e)
	}
}

// Fingerprint identifies a prompt by its words: 16 hex digits of the SHA-256
// of its normalised text, in which case, white space, punctuation, look-alike
// characters and numbers of more than four digits (nonces) do not count.
func Fingerprint(prompt string) string {
	text := normal.Prompt(prompt)
	b := make([]byte, 0, len(text))
	digits := 0
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > 4 {
				continue
			}
			b = append(b, c)
			if digits == 4 && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' {
				b = append(b[:len(b)-4], '#')
			}
			continue
		case c >= 'a' && c <= 'z', c >= 0x80:
			b = append(b, c)
		case c == ' ' && len(b) > 0 && b[len(b)-1] != ' ':
			b = append(b, ' ')
		case strings.IndexByte("+-*/=<>", c) >= 0:
			b = append(b, c) // arithmetic differs by its signs
		}
		digits = 0
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(string(b))))
	return hex.EncodeToString(sum[:8])
}

func (d *detector) say(emit detect.Emit, kind, title string, c model.Class, confidence float64, sev model.Severity, tech []string) {
	d.sig = model.Signal{Kind: kind, Class: c, Rule: kind, Title: title, Confidence: confidence,
		Severity: sev, Techniques: tech, Count: 1, Related: d.rel}
	emit(&d.sig)
}
