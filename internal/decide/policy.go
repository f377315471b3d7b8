package decide

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"bartizan/content/policies"
	"bartizan/internal/conf"
	"bartizan/internal/model"
)

// Mode says whether decisions are carried out.
type Mode string

// The modes.
const (
	ModeObserve Mode = "observe" // decisions are recorded as dry run
	ModeEnforce Mode = "enforce"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(b []byte) error {
	return choose(m, "mode", string(b), ModeObserve, ModeEnforce)
}

// Unsure says what blast-radius does without a baseline.
type Unsure string

// What to do without a baseline of good traffic.
const (
	UnsureSingle Unsure = "single" // pass one address or one /64, hold what is wider
	UnsurePass   Unsure = "pass"
	UnsureHold   Unsure = "hold"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *Unsure) UnmarshalText(b []byte) error {
	return choose(u, "answer without a baseline", string(b), UnsureSingle, UnsurePass, UnsureHold)
}

// Order is an action as written in a policy.
type Order model.Action

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Order) UnmarshalText(b []byte) error {
	var w word
	if err := choose(&w, "action", string(b), "alert", "throttle", "block", "isolate"); err != nil {
		return err
	}
	a, err := model.ParseAction(string(w))
	*o = Order(a)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (o Order) MarshalText() ([]byte, error) { return model.Action(o).MarshalText() }

type word string

// choose accepts one of a few words and names the nearest to anything else.
func choose[T ~string](to *T, what, s string, words ...T) error {
	known := make([]string, len(words))
	for i, w := range words {
		known[i] = string(w)
		if s == known[i] {
			*to = w
			return nil
		}
	}
	if near, ok := conf.Nearest(s, known); ok {
		return fmt.Errorf("unknown %s %.40q (nearest known: %q)", what, s, near)
	}
	return fmt.Errorf("unknown %s %.40q (known: %s)", what, s, strings.Join(known, ", "))
}

// ruleFile is a rule as written.
type ruleFile struct {
	Name          string        `yaml:"name"`
	When          conf.Raw      `yaml:"when"`
	Action        Order         `yaml:"action"`
	For           conf.Duration `yaml:"for"`
	Grow          float64       `yaml:"grow"`
	Max           conf.Duration `yaml:"max"`
	MinClasses    *int          `yaml:"min_classes"`
	MinSensors    int           `yaml:"min_sensors"`
	MinConfidence float64       `yaml:"min_confidence"`
}

// Rule is one line of the policy.
type Rule struct {
	Name          string
	When          *Condition
	Action        model.Action
	For           time.Duration
	Grow          float64 // factor per recurrence, at least 1
	Max           time.Duration
	MinClasses    int // independent kinds of evidence
	MinSensors    int // sensors whose word counts
	MinConfidence float64
}

// BlastRadius are the settings of the guardrail of that name.
type BlastRadius struct {
	MaxShare float64 `yaml:"max_share"`
	Unknown  Unsure  `yaml:"unknown"`
}

// Budget are the settings of the guardrail of that name.
type Budget struct {
	NewPerMinute       int `yaml:"new_per_minute"`
	PerSensorPerMinute int `yaml:"per_sensor_per_minute"`
	Active             int `yaml:"active"`
	PerPrefix          int `yaml:"per_prefix"`
}

// SharedAddress are the settings of the guardrail of that name.
type SharedAddress struct {
	ThrottleAbove int `yaml:"throttle_above"`
	AlertAbove    int `yaml:"alert_above"`
}

// Limits are the settings of all guardrails.
type Limits struct {
	MaxDuration   conf.Duration `yaml:"max_duration"`
	WidestV4      int           `yaml:"widest_v4"`
	WidestV6      int           `yaml:"widest_v6"`
	HoldFor       conf.Duration `yaml:"hold_for"`
	MaxHeld       int           `yaml:"max_held"`
	Quiet         conf.Duration `yaml:"quiet"`
	BlastRadius   BlastRadius   `yaml:"blast_radius"`
	Budget        Budget        `yaml:"budget"`
	SharedAddress SharedAddress `yaml:"shared_address"`
}

// Rollback are the settings of Watch.
type Rollback struct {
	Drop    float64       `yaml:"drop"`
	Within  conf.Duration `yaml:"within"`
	Before  conf.Duration `yaml:"before"`
	MinGood int           `yaml:"min_good"`
}

type policyFile struct {
	Mode       Mode       `yaml:"mode"`
	Rules      []conf.Raw `yaml:"rules"`
	Never      []conf.Raw `yaml:"never"`
	Guardrails Limits     `yaml:"guardrails"`
	Rollback   Rollback   `yaml:"rollback"`
}

// Policy is a compiled policy. It is immutable and safe for concurrent use.
type Policy struct {
	Name     string // the file it came from
	Mode     Mode
	Rules    []Rule
	Never    []Never
	Limits   Limits
	Rollback Rollback
}

// Never is one entry of the never-list.
type Never struct {
	Entity model.Entity // address, domain, key, user or prompt
	Prefix netip.Prefix // of an ip entry
	Exact  netip.Prefix // as written: an IPv6 entry narrower than /64 is not widened
}

// DefaultLimits are the guardrail settings of a policy that says nothing.
func DefaultLimits() Limits {
	const day = 24 * time.Hour
	return Limits{
		MaxDuration: conf.Duration(30 * day), WidestV4: 24, WidestV6: 56,
		HoldFor: conf.Duration(day), MaxHeld: 1000, Quiet: conf.Duration(time.Hour),
		BlastRadius:   BlastRadius{MaxShare: 0.01, Unknown: UnsureSingle},
		Budget:        Budget{NewPerMinute: 300, PerSensorPerMinute: 240, Active: 50_000, PerPrefix: 64},
		SharedAddress: SharedAddress{ThrottleAbove: 10, AlertAbove: 100},
	}
}

// DefaultPolicy is the shipped policy.
func DefaultPolicy() *Policy {
	p, err := LoadPolicy("default policy", []byte(policies.Default))
	if err != nil {
		panic("BUG: decide: " + err.Error()) // the file is part of the program
	}
	return p
}

// MaxRules bounds a policy; every rule is tried on every indicator that changes.
const MaxRules = 256

// LoadPolicy reads a policy. name stands for the file in errors, which name
// the line, what is wrong and what would be right; all mistakes are reported,
// not only the first. What the file does not say has the default, except that
// no rules means no decisions.
func LoadPolicy(name string, data []byte) (*Policy, error) {
	f, err := conf.Decode(name, data, policyFile{
		Mode: ModeObserve, Guardrails: DefaultLimits(),
		Rollback: Rollback{Drop: 0.3, Within: conf.Duration(5 * time.Minute), Before: conf.Duration(10 * time.Minute), MinGood: 50},
	})
	if err != nil {
		return nil, err
	}
	p := &Policy{Name: name, Mode: f.Mode, Limits: f.Guardrails, Rollback: f.Rollback}
	l := loader{name: name, data: data, seen: map[string]string{}, limit: f.Guardrails.MaxDuration.D()}
	l.check(f)
	if len(f.Rules) > MaxRules {
		return nil, fmt.Errorf("%s: %d rules, at most %d", name, len(f.Rules), MaxRules)
	}
	for _, raw := range f.Rules {
		if r, ok := l.rule(raw); ok {
			p.Rules = append(p.Rules, r)
		}
	}
	for _, raw := range f.Never {
		if n, ok := l.never(raw); ok {
			p.Never = append(p.Never, n)
		}
	}
	return p, errors.Join(l.errs...)
}

type loader struct {
	name  string
	data  []byte
	seen  map[string]string // rule name → place
	limit time.Duration     // guardrails.max_duration
	errs  []error
}

func (l *loader) fail(at conf.Raw, format string, args ...any) {
	l.errs = append(l.errs, at.Errorf(format, args...))
}

func (l *loader) rule(raw conf.Raw) (Rule, bool) {
	before := len(l.errs)
	f := ruleFile{Grow: 1, MinSensors: 1}
	if err := raw.Into(&f); err != nil {
		l.errs = append(l.errs, err)
		return Rule{}, false
	}
	r := Rule{Name: f.Name, Action: model.Action(f.Action), For: f.For.D(), Grow: f.Grow, Max: f.Max.D(),
		MinClasses: 2, MinSensors: f.MinSensors, MinConfidence: f.MinConfidence}
	if f.MinClasses != nil {
		r.MinClasses = *f.MinClasses
	}
	if r.Max == 0 {
		r.Max = max(r.For, 24*time.Hour)
	}
	switch at, again := l.seen[r.Name]; {
	case !ruleName(r.Name):
		l.fail(raw, "rule name %.40q: give a name of lower-case letters, digits and dashes, such as \"block-proven\"", r.Name)
	case again:
		l.fail(raw, "rule %q is already defined at %s: choose another name", r.Name, at)
	}
	l.seen[r.Name] = raw.Pos()
	if r.Action == model.Observe {
		l.fail(raw, "rule %q has no action: add one of alert, throttle, block, isolate", r.Name)
	}
	if r.For <= 0 {
		l.fail(raw, "rule %q has no duration: add for, such as \"for: 10m\"", r.Name)
	}
	if !(r.Grow >= 1 && r.Grow <= 100) {
		l.fail(raw, "rule %q: grow is a factor from 1 (always the same time) to 100", r.Name)
	}
	if r.Max < r.For {
		l.fail(raw, "rule %q: max (%s) is shorter than for (%s)", r.Name, f.Max, f.For)
	}
	if limit := l.limit; r.For > limit || f.Max.D() > limit {
		l.fail(raw, "rule %q: for and max must not exceed guardrails.max_duration (%s)", r.Name, conf.Duration(limit))
	}
	r.Max = min(r.Max, l.limit)
	if !(r.MinConfidence >= 0 && r.MinConfidence <= 1) {
		l.fail(raw, "rule %q: min_confidence lies between 0 and 1", r.Name)
	}
	least := 0
	if forcible(r.Action) {
		least = 1
	}
	if r.MinClasses < least || r.MinClasses > 12 {
		l.fail(raw, "rule %q: min_classes lies between %d and 12 for the action %s", r.Name, least, r.Action)
	}
	if r.MinSensors < 1 || r.MinSensors > 100 {
		l.fail(raw, "rule %q: min_sensors lies between 1 and 100", r.Name)
	}
	r.When = l.condition(raw, f.When, r.Name)
	return r, len(l.errs) == before
}

func ruleName(s string) bool {
	if s == "" || len(s) > 64 || s == "manual" {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-'
}

func (l *loader) never(raw conf.Raw) (Never, bool) {
	var s string
	if err := raw.Into(&s); err != nil {
		l.errs = append(l.errs, err)
		return Never{}, false
	}
	e, err := model.ParseIP(s)
	if err == nil {
		n := Never{Entity: e}
		n.Prefix, _ = e.Prefix()
		if n.Exact, err = netip.ParsePrefix(s); err != nil {
			a := netip.MustParseAddr(s) // ParseIP accepted it
			n.Exact = netip.PrefixFrom(a, a.BitLen())
		}
		n.Exact = unmapped(n.Exact)
		return n, true
	}
	if e, err = model.ParseEntity(model.TypeDomain, s); err == nil && strings.Contains(s, ".") && !digitsAndDots(s) {
		return Never{Entity: e}, true
	}
	if e, err := model.ParseNamed(s); err == nil && client(e) {
		return Never{Entity: e}, true
	}
	l.fail(raw, "never: %.64q is neither an address, a prefix, a domain, a key, a user nor a prompt (write 192.0.2.7, 192.0.2.0/24, 2001:db8::/32, example.org, key:…, user:… or prompt:…)", s)
	return Never{}, false
}

// digitsAndDots finds what was meant as an address, and would pass as a domain.
func digitsAndDots(s string) bool { return strings.Trim(s, "0123456789./") == "" }

// check looks at the settings that have bounds.
func (l *loader) check(f policyFile) {
	g, r := f.Guardrails, f.Rollback
	for _, c := range []struct {
		ok   bool
		key  string
		must string
	}{
		{g.MaxDuration > 0, "guardrails.max_duration", "must be longer than nothing"},
		{g.WidestV4 >= 8 && g.WidestV4 <= 32, "guardrails.widest_v4", "lies between 8 and 32"},
		{g.WidestV6 >= 56 && g.WidestV6 <= 64, "guardrails.widest_v6", "lies between 56 and 64"},
		{g.HoldFor > 0, "guardrails.hold_for", "must be longer than nothing"},
		{g.MaxHeld >= 1 && g.MaxHeld <= 100_000, "guardrails.max_held", "lies between 1 and 100000"},
		{g.BlastRadius.MaxShare >= 0 && g.BlastRadius.MaxShare <= 1, "guardrails.blast_radius.max_share", "lies between 0 and 1"},
		{g.Budget.NewPerMinute >= 0, "guardrails.budget.new_per_minute", "is not negative"},
		{g.Budget.PerSensorPerMinute >= 0, "guardrails.budget.per_sensor_per_minute", "is not negative"},
		{g.Budget.Active >= 0 && g.Budget.Active <= 1_000_000, "guardrails.budget.active", "lies between 0 and 1000000"},
		{g.Budget.PerPrefix >= 1 && g.Budget.PerPrefix <= 65536, "guardrails.budget.per_prefix", "lies between 1 and 65536"},
		{g.SharedAddress.ThrottleAbove >= 1, "guardrails.shared_address.throttle_above", "is at least 1"},
		{g.SharedAddress.AlertAbove >= g.SharedAddress.ThrottleAbove, "guardrails.shared_address.alert_above", "is at least throttle_above"},
		{r.Drop > 0 && r.Drop <= 1, "rollback.drop", "is a fraction above 0, at most 1"},
		{r.Within > 0 && r.Within <= conf.Duration(maxWatch), "rollback.within", "lies between 1s and 1h"},
		{r.Before > 0 && r.Before <= conf.Duration(maxWatch), "rollback.before", "lies between 1s and 1h"},
		{r.MinGood >= 1, "rollback.min_good", "is at least 1"},
	} {
		if !c.ok {
			l.errs = append(l.errs, &conf.Error{File: l.name, Line: l.lineOf(c.key), Msg: c.key + " " + c.must})
		}
	}
}

// lineOf finds the line of a dotted key by following the keys down the file;
// 0 when the file does not name it.
func (l *loader) lineOf(key string) int {
	lines := strings.Split(string(l.data), "\n")
	at := -1
	for part := range strings.SplitSeq(key, ".") {
		found := false
		for i := at + 1; i < len(lines); i++ {
			if strings.HasPrefix(strings.TrimSpace(lines[i]), part+":") {
				at, found = i, true
				break
			}
		}
		if !found {
			return at + 1
		}
	}
	return at + 1
}
