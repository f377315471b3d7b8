// Package condition evaluates the operator's CEL expressions over what is known
// of a text: its size, role, readings, hidden characters. CEL always ends, and
// its cost is limited.
package condition

import (
	"fmt"
	"sync"

	"bartizan/internal/guard"

	"cel.dev/cel-go/cel"
)

// Config of the inspector.
type Config struct {
	Rules []Rule `yaml:"rules"`
}

// Rule is one expression with the variables text, role ("user", "document",
// "unknown"), size, readings (a list of decodings), hidden (a count).
type Rule struct {
	Name  string  `yaml:"name"`
	When  string  `yaml:"when"`
	Score float64 `yaml:"score"`
}

// Default configuration: no rules.
func Default() Config { return Config{} }

const (
	maxRules = 200
	maxWhen  = 4096
	maxCost  = 2_000_000 // a search through 1 MiB of text costs about 100,000
)

var language = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("text", cel.StringType), cel.Variable("role", cel.StringType), cel.Variable("size", cel.IntType),
		cel.Variable("readings", cel.ListType(cel.StringType)), cel.Variable("hidden", cel.IntType),
		cel.ParserExpressionSizeLimit(maxWhen), cel.ParserRecursionLimit(64), cel.RegexProgramSizeLimit(512))
})

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if len(c.Rules) > maxRules {
		return nil, fmt.Errorf("%d rules, the limit is %d", len(c.Rules), maxRules)
	}
	env, err := language()
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	i := &inspector{}
	for n, r := range c.Rules {
		if r.Name == "" || r.Score <= 0 || r.Score > 1 {
			return nil, fmt.Errorf("rule %d: it needs a name and a score above 0 and up to 1", n+1)
		}
		ast, iss := env.Compile(r.When)
		if iss.Err() != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, iss.Err())
		}
		if ast.OutputType() != cel.BoolType {
			return nil, fmt.Errorf("rule %q: the expression must be true or false, not %s", r.Name, ast.OutputType())
		}
		p, err := env.Program(ast, cel.CostLimit(maxCost))
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		i.rules = append(i.rules, compiled{r, p})
	}
	return i, nil
}

type compiled struct {
	Rule
	program cel.Program
}

type inspector struct{ rules []compiled }

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	if len(i.rules) == 0 {
		return nil, &guard.NothingToDo{Why: "no rules are configured"}
	}
	readings := []string{}
	for _, v := range t.Views[1:] {
		readings = append(readings, v.How...)
	}
	role := [...]string{"unknown", "user", "document"}[t.Role]
	vars := map[string]any{"text": t.Views[0].Text, "role": role, "size": len(t.Raw), "readings": readings, "hidden": t.Hidden.Total()}
	for k := range i.rules {
		v, _, err := i.rules[k].program.Eval(vars)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", i.rules[k].Name, err)
		}
		if v.Value() == true {
			out = append(out, guard.Finding{Category: guard.Policy, Score: i.rules[k].Score, Note: "rule " + i.rules[k].Name})
		}
	}
	return out, nil
}
