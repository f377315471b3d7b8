// Package pattern runs the operator's regular expressions (RE2: their time is
// linear in the text) over every reading.
package pattern

import (
	"fmt"
	"regexp"

	"bartizan/internal/guard"
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
		i.rules = append(i.rules, compiled{r, re})
	}
	return i, nil
}

type compiled struct {
	Rule
	re *regexp.Regexp
}

type inspector struct{ rules []compiled }

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	if len(i.rules) == 0 {
		return nil, &guard.NothingToDo{Why: "no rules are configured"}
	}
	for k := range i.rules {
		for _, v := range t.Views {
			if i.rules[k].re.MatchString(v.Text) {
				out = append(out, guard.Finding{Category: guard.Policy, Score: i.rules[k].Score, Note: "rule " + i.rules[k].Name})
				break
			}
		}
	}
	return out, nil
}
