// Package pattern runs the operator's regular expressions (RE2: their time is
// linear in the text) over every reading.
package pattern

import (
	"fmt"
	"regexp"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// Config of the inspector.
type Config struct {
	Rules []Rule `yaml:"rules"`
}

// Rule is one expression.
type Rule struct {
	Name  string  `yaml:"name"`
	Regex string  `yaml:"regex"`
	Score float64 `yaml:"score"` // from 0.5 flagged, from 0.9 blocked
}

// Default configuration: no rules.
func Default() Config { return Config{} }

const maxRules, maxRegex = 500, 4096

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if len(c.Rules) > maxRules {
		return nil, fmt.Errorf("%d rules, the limit is %d", len(c.Rules), maxRules)
	}
	i := &inspector{}
	for n, r := range c.Rules {
		if r.Name == "" || len(r.Regex) > maxRegex || r.Score <= 0 || r.Score > 1 {
			return nil, fmt.Errorf("rule %d: it needs a name, a regex of at most %d bytes and a score above 0 and up to 1", n+1, maxRegex)
		}
		re, err := regexp.Compile(r.Regex)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("rule %q matches every text", r.Name)
		}
		begun, err := decode.NewPartial(r.Regex, MaxHold)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		i.rules = append(i.rules, compiled{r, re, begun})
	}
	return i, nil
}

type compiled struct {
	Rule
	re    *regexp.Regexp
	begun *decode.Partial
}

type inspector struct{ rules []compiled }

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	if len(i.rules) == 0 {
		return nil, &guard.NothingToDo{Why: "no rules are configured"}
	}
	for k := range i.rules {
		r := &i.rules[k]
		f := guard.Finding{Category: guard.Policy, Score: r.Score, Note: "rule " + r.Name, Label: "REMOVED"}
		for _, m := range r.re.FindAllStringIndex(t.Raw, maxSpans) {
			if m[1] > m[0] {
				f.Spans = append(f.Spans, guard.Span{From: m[0], To: m[1]})
			}
		}
		for _, v := range t.Views {
			f.Deep = f.Deep || v.Text != t.Raw && len(r.re.FindAllStringIndex(v.Text, maxSpans)) > len(f.Spans)
		}
		if len(f.Spans) > 0 || f.Deep || r.re.MatchString(t.Raw) { // the last: it matches between characters
			out = append(out, f)
		}
	}
	return out, nil
}

const maxSpans = 1000

// MaxHold is how many bytes of the beginning of a match are waited for: a rule
// without an upper bound ("a.*b") is found in a stream up to that length, and
// at any length at the end.
const MaxHold = 2 << 10

// Hold implements guard.Holder.
func (i *inspector) Hold(text string) (n int) {
	for k := range i.rules {
		n = max(n, i.rules[k].begun.Tail(text))
	}
	return n
}

// Most implements guard.Holder.
func (i *inspector) Most() (guard.Category, float64) {
	most := 0.0
	for k := range i.rules {
		most = max(most, i.rules[k].Score)
	}
	return guard.Policy, most
}
