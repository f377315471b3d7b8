package decide

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/model"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// view is an indicator as conditions see it. The field names are part of the
// policy language.
type view struct {
	Type       string        `cel:"type"`
	Value      string        `cel:"value"`
	Confidence float64       `cel:"confidence"`
	Classes    []string      `cel:"classes"`
	Behaviours []string      `cel:"behaviours"`
	Techniques []string      `cel:"techniques"`
	Sensors    []string      `cel:"sensors"`
	Severity   int64         `cel:"severity"`
	Count      int64         `cel:"count"`
	Age        time.Duration `cel:"age"`
	FirstSeen  time.Time     `cel:"first_seen"`
	LastSeen   time.Time     `cel:"last_seen"`
}

func viewOf(now time.Time, ind *model.Indicator) *view {
	v := &view{
		Type: string(ind.Entity.Type()), Value: ind.Entity.Value(), Confidence: ind.Confidence,
		Behaviours: ind.Behaviours, Techniques: ind.Techniques, Sensors: ind.Sensors,
		Severity: int64(ind.Severity), Count: int64(ind.Count),
		Age: now.Sub(ind.FirstSeen), FirstSeen: ind.FirstSeen, LastSeen: ind.LastSeen,
	}
	for _, c := range ind.Classes {
		v.Classes = append(v.Classes, string(c))
	}
	return v
}

// Limits of a condition. Indicators are bounded by package intel, so that the
// worst cost of a condition can be estimated when it is loaded.
const (
	maxExpression = 4096    // characters
	maxCost       = 100_000 // CEL cost units; a comparison is about one
	maxListHint   = 48      // intel.MaxTerms
	maxTextHint   = model.MaxEntity
	maxWordHint   = 128 // a class, kind, sensor or technique (model.Signal.Check)
)

// Condition is a compiled CEL expression over `indicator` and `now`.
type Condition struct {
	Source  string
	program cel.Program
}

// language is the environment all conditions share; it never changes after it
// was built.
var language = sync.OnceValues(func() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.Types(cel.NativeTypeFor[view](types.NativeTypeAlias("Indicator"), types.ParseStructTags(true))),
		cel.Variable("indicator", cel.ObjectType("Indicator")),
		cel.Variable("now", cel.TimestampType),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(64),
		cel.RegexProgramSizeLimit(512),
	}
	for s := model.Info; s <= model.Critical; s++ {
		opts = append(opts, cel.Constant(s.String(), cel.IntType, types.Int(s)))
	}
	return cel.NewEnv(opts...)
})

// fields are the names after "indicator.".
func fields() []string {
	t := reflect.TypeFor[view]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("cel")
	}
	return names
}

// celError is one mistake in a condition.
type celError struct {
	line, col int // within the expression: line from 1, column from 0
	msg       string
}

// compile checks and compiles a condition.
func compile(source string) (*Condition, []celError) {
	whole := func(err error) []celError { return []celError{{1, 0, err.Error()}} }
	env, err := language()
	if err != nil {
		return nil, whole(fmt.Errorf("build condition language: %w", err))
	}
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		var out []celError
		for _, e := range issues.Errors() {
			out = append(out, celError{max(e.Location.Line(), 1), max(e.Location.Column(), 0), explain(e.Message)})
		}
		return nil, out
	}
	if ast.OutputType() != cel.BoolType {
		return nil, whole(fmt.Errorf("the condition is a %s, it must be true or false (compare it with something)", ast.OutputType()))
	}
	price, err := env.EstimateCost(ast, sizes{})
	if err != nil {
		return nil, whole(fmt.Errorf("estimate cost: %w", err))
	}
	if price.Max > maxCost {
		return nil, whole(fmt.Errorf("the condition can cost %d steps, at most %d are allowed: nest fewer loops", price.Max, maxCost))
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, whole(err)
	}
	return &Condition{source, program}, nil
}

// sizes tells the cost estimate how large an indicator can be.
type sizes struct{}

// EstimateSize implements the Estimator of cel-go.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	switch n.Type().Kind() {
	case types.ListKind:
		return &cost.SizeEstimate{Max: maxListHint}
	case types.StringKind:
		if p := n.Path(); len(p) > 0 && p[len(p)-1] == "value" {
			return &cost.SizeEstimate{Max: maxTextHint}
		}
		return &cost.SizeEstimate{Max: maxWordHint}
	}
	return nil
}

// EstimateCallCost implements the Estimator of cel-go.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

var (
	undefinedField = regexp.MustCompile(`^undefined field '([^']*)'`)
	unknownName    = regexp.MustCompile(`^undeclared reference to '([^']*)'(?: \(did you mean '([^']*)'\?\))?`)
	noOverload     = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '([^']*)'`)
	syntaxNoise    = regexp.MustCompile(` expecting \{.*\}$`)
)

// explain puts a message of the CEL library into the words of all other
// mistakes in configuration, with the nearest right name.
func explain(msg string) string {
	if m := undefinedField.FindStringSubmatch(msg); m != nil {
		if near, ok := conf.Nearest(m[1], fields()); ok {
			return fmt.Sprintf("indicator has no %q (nearest known: %q)", m[1], near)
		}
		return fmt.Sprintf("indicator has no %q (known: %s)", m[1], strings.Join(fields(), ", "))
	}
	if m := unknownName.FindStringSubmatch(msg); m != nil {
		known := []string{"indicator", "now", "info", "low", "medium", "high", "critical"}
		if near, ok := conf.Nearest(m[1], known); ok {
			return fmt.Sprintf("unknown name %q (nearest known: %q)", m[1], near)
		}
		if m[2] != "" {
			return fmt.Sprintf("unknown name %q (nearest known: %q)", m[1], m[2])
		}
		return fmt.Sprintf("unknown name %q (known: %s, and the functions of CEL)", m[1], strings.Join(known, ", "))
	}
	if m := noOverload.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("%s does not take %s: check the types on both sides", strings.Trim(m[1], "_"), m[2])
	}
	msg = strings.TrimPrefix(syntaxNoise.ReplaceAllString(msg, ""), "Syntax error: ")
	return strings.ReplaceAll(msg, "'<EOF>'", "the end of the condition")
}

// Match evaluates the condition. An error (a division by zero, an index out
// of range, too many steps) means that it cannot be told.
func (c *Condition) Match(now time.Time, ind *model.Indicator) (bool, error) {
	out, _, err := c.program.Eval(map[string]any{"indicator": viewOf(now, ind), "now": now})
	if err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, errors.New("the condition gave no answer")
	}
	return b, nil
}

// condition compiles the `when` of a rule and reports mistakes at their place
// in the file.
func (l *loader) condition(rule, when conf.Raw, name string) *Condition {
	if when.Empty() {
		l.fail(rule, "rule %q has no condition: add when, such as \"when: indicator.confidence >= 0.95\"", name)
		return nil
	}
	var source string
	if err := when.Into(&source); err != nil {
		l.errs = append(l.errs, err)
		return nil
	}
	c, mistakes := compile(source)
	line := l.line(when)
	for _, m := range mistakes {
		row, col := l.place(source, line, m)
		l.errs = append(l.errs, &ConditionError{File: l.name, Line: row, Col: col, Rule: name, Msg: m.msg})
	}
	return c
}

// ConditionError is a mistake in the condition of a rule.
type ConditionError struct {
	File      string
	Line, Col int // counted from 1
	Rule      string
	Msg       string
}

func (e *ConditionError) Error() string {
	return fmt.Sprintf("%s:%d:%d: rule %q, when: %s", e.File, e.Line, e.Col, e.Rule, e.Msg)
}

func (l *loader) line(at conf.Raw) int {
	_, n, _ := strings.Cut(strings.TrimPrefix(at.Pos(), l.name), ":")
	line, err := strconv.Atoi(n)
	if err != nil {
		return 0
	}
	return line
}

// place turns a place in the expression into one in the file, by finding the
// expression's line in the text at or below the key. Where YAML has folded
// the text, the best that can be said is the key's line and the column within
// the expression.
func (l *loader) place(source string, keyLine int, m celError) (line, col int) {
	wanted := strings.Split(source, "\n")
	if m.line > len(wanted) {
		return keyLine, m.col + 1
	}
	text := wanted[m.line-1]
	lines := strings.Split(string(l.data), "\n")
	for i := max(keyLine-1, 0); text != "" && i < len(lines) && i < keyLine+len(wanted)+2; i++ {
		if at := strings.Index(lines[i], text); at >= 0 {
			return i + 1, at + m.col + 1
		}
	}
	return keyLine, m.col + 1
}
