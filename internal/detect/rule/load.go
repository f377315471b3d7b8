package rule

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Limits on rule files.
const (
	maxFile  = 1 << 20
	maxRules = 4096
	// MaxConfidence keeps one kind of evidence from deciding alone; see
	// content/rules/README.md for the arithmetic.
	MaxConfidence = 0.97
)

// Error is one mistake at one place of a rule file.
type Error struct {
	File string
	Line int // 0 when not known
	Rule string
	Msg  string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Rule != "" {
		fmt.Fprintf(&b, ": rule %.80s", e.Rule)
	}
	return b.String() + ": " + e.Msg
}

type fileYAML struct {
	Group string     `yaml:"group"`
	Rules []ruleYAML `yaml:"rules"`
}

type ruleYAML struct {
	ID         string    `yaml:"id"`
	Title      string    `yaml:"title"`
	Kind       string    `yaml:"kind"`
	Class      string    `yaml:"class"`
	Severity   string    `yaml:"severity"`
	Confidence float64   `yaml:"confidence"`
	Techniques []string  `yaml:"techniques"`
	Match      matchYAML `yaml:"match"`
	Cases      Cases     `yaml:"cases"`
}

type matchYAML struct {
	All []condYAML `yaml:"all"`
	Any []condYAML `yaml:"any"`
	Not []condYAML `yaml:"not"`
}

type condYAML struct {
	Field    oneOrMany `yaml:"field"`
	Contains oneOrMany `yaml:"contains"`
	Equals   oneOrMany `yaml:"equals"`
	Prefix   oneOrMany `yaml:"prefix"`
	Suffix   oneOrMany `yaml:"suffix"`
	Regex    string    `yaml:"regex"`
}

// oneOrMany lets a list of one be written without brackets.
type oneOrMany []string

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (m *oneOrMany) UnmarshalYAML(get func(any) error) error {
	var many []string
	if err := get(&many); err == nil {
		*m = many
		return nil
	}
	var one string
	if err := get(&one); err != nil {
		return err
	}
	*m = oneOrMany{one}
	return nil
}

// LoadRules reads every *.yaml and *.yml file under fsys. The error joins all
// mistakes found (errors.As finds *Error); rules without mistakes are returned
// with it, so that a check can go on.
func LoadRules(fsys fs.FS) ([]Rule, error) {
	rules, err := loadUnder(fsys, ".")
	return rules, errors.Join(append([]error{err}, consistent(rules)...)...)
}

func loadUnder(fsys fs.FS, root string) ([]Rule, error) {
	var rules []Rule
	var errs []error
	walk := func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read rules: %w", err)
		}
		if name != root && strings.HasPrefix(path.Base(name), ".") { // as everything that reads folders
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if ext := path.Ext(name); d.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		got, bad := loadFile(fsys, name)
		rules, errs = append(rules, got...), append(errs, bad...)
		if len(rules) > maxRules {
			return fmt.Errorf("read rules: more than %d", maxRules)
		}
		return nil
	}
	if err := fs.WalkDir(fsys, root, walk); err != nil {
		errs = append(errs, err)
	}
	return rules, errors.Join(errs...)
}

// consistent checks what one file cannot know: ids are unique, and a kind
// always is the same class of evidence.
func consistent(rules []Rule) (errs []error) {
	ids, kinds := map[string]*Rule{}, map[string]*Rule{}
	for i := range rules {
		r := &rules[i]
		if first := ids[r.ID]; first != nil {
			errs = append(errs, &Error{r.File, r.Line, r.ID, fmt.Sprintf("id already used in %s:%d", first.File, first.Line)})
		}
		if first := kinds[r.Kind]; first != nil && first.Class != r.Class {
			errs = append(errs, &Error{r.File, r.Line, r.ID, fmt.Sprintf("kind %s is class %s in %s:%d and %s here", r.Kind, first.Class, first.File, first.Line, r.Class)})
		}
		ids[r.ID], kinds[r.Kind] = r, r
	}
	return errs
}

func loadFile(fsys fs.FS, name string) (rules []Rule, errs []error) {
	bad := func(line int, id, msg string) { errs = append(errs, &Error{name, line, id, msg}) }
	if info, err := fs.Stat(fsys, name); err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		bad(0, "", fmt.Sprintf("cannot be read, is no file, or is larger than %d bytes", maxFile))
		return nil, errs
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		bad(0, "", err.Error())
		return nil, errs
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		line, msg := yamlError(err)
		bad(line, "", msg)
		return nil, errs
	}
	if hasAlias(tree) {
		bad(0, "", "anchors and aliases are not used in rules: write the text out")
		return nil, errs
	}
	var f fileYAML
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		line, msg := yamlError(err)
		bad(line, "", msg)
		return nil, errs
	}
	g := Group(f.Group)
	if g == "" {
		g = Group(strings.SplitN(name, "/", 2)[0])
	}
	if groupFields[g] == 0 {
		bad(1, "", fmt.Sprintf("unknown group %.32q: put the file in a folder command, web, service, prompt or probe, or say `group:`", string(g)))
		return nil, errs
	}
	if len(f.Rules) == 0 {
		bad(1, "", "no rules")
	}
	for i := range f.Rules {
		line := lineOf(tree, i)
		r, problems := compile(&f.Rules[i], g)
		r.File, r.Line = name, line
		for _, p := range problems {
			bad(line, f.Rules[i].ID, p)
		}
		if len(problems) == 0 {
			rules = append(rules, r)
		}
	}
	return rules, errs
}

var yamlPosition = regexp.MustCompile(`(?s)^\[(\d+):\d+\] (.*?)(\n|$)`)

// yamlError takes line and message out of a parser's many-line error.
func yamlError(err error) (int, string) {
	if m := yamlPosition.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		return line, m[2]
	}
	msg, _, _ := strings.Cut(err.Error(), "\n")
	return 0, msg
}

func lineOf(tree *ast.File, i int) int {
	p, err := yaml.PathString(fmt.Sprintf("$.rules[%d].id", i))
	if err != nil {
		return 0
	}
	n, err := p.FilterFile(tree)
	if err != nil || n.GetToken() == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

type aliasFinder struct{ found bool }

// Visit implements ast.Visitor.
func (v *aliasFinder) Visit(n ast.Node) ast.Visitor {
	if t := n.Type(); t == ast.AliasType || t == ast.AnchorType || t == ast.MergeKeyType {
		v.found = true
	}
	return v
}

func hasAlias(tree *ast.File) bool {
	v := &aliasFinder{}
	for _, d := range tree.Docs {
		if d.Body != nil {
			ast.Walk(v, d.Body)
		}
	}
	return v.found
}

var (
	idPattern        = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$`)
	techniquePattern = regexp.MustCompile(`^(T\d{4}(\.\d{3})?|AML\.T\d{4}(\.\d{3})?)$`)
	classes          = []model.Class{model.ClassScan, model.ClassProbe, model.ClassAuth, model.ClassAccess, model.ClassCommand,
		model.ClassPersistence, model.ClassFile, model.ClassExploit, model.ClassSecrets, model.ClassProxy,
		model.ClassModelRecon, model.ClassModelAbuse}
)

// compile checks and compiles one rule; problems are complete sentences for its author.
func compile(y *ruleYAML, g Group) (r Rule, problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	r = Rule{ID: y.ID, Title: y.Title, Kind: y.Kind, Class: model.Class(y.Class), Confidence: y.Confidence,
		Techniques: y.Techniques, Group: g, Cases: y.Cases}
	if !idPattern.MatchString(y.ID) || len(y.ID) > 100 {
		bad("id %.64q: small letters, digits and dashes in parts joined by dots", y.ID)
	}
	if !idPattern.MatchString(y.Kind) || len(y.Kind) > 64 {
		bad("kind %.64q: small letters, digits and dashes in parts joined by dots", y.Kind)
	}
	if y.Title == "" || len(y.Title) > 200 {
		bad("title: missing or longer than 200 bytes")
	}
	if !slices.Contains(classes, r.Class) {
		bad("class %.32q: one of %v", y.Class, classes)
	}
	sev, err := model.ParseSeverity(y.Severity)
	if r.Severity = sev; err != nil {
		bad("%v", err)
	}
	if !(y.Confidence >= 0.5 && y.Confidence <= MaxConfidence) {
		bad("confidence %v: between 0.5 (says nothing) and %v", y.Confidence, MaxConfidence)
	}
	if len(y.Techniques) == 0 || len(y.Techniques) > model.MaxTechniques {
		bad("techniques: 1 to %d", model.MaxTechniques)
	}
	for _, t := range y.Techniques {
		if !techniquePattern.MatchString(t) {
			bad("technique %.32q: written as T1110, T1110.001 or AML.T0040", t)
		}
	}
	for _, part := range []struct {
		from []condYAML
		to   *[]condition
	}{{y.Match.All, &r.all}, {y.Match.Any, &r.any}, {y.Match.Not, &r.not}} {
		for i := range part.from {
			cs, err := part.from[i].compile(g)
			if err != nil {
				bad("%v", err)
			}
			if part.to == &r.all && len(cs) > 1 {
				cs = cs[len(cs)-1:] // the whole; its branches are alternatives
			} else if len(cs) > 1 {
				cs = cs[:len(cs)-1]
			}
			*part.to = append(*part.to, cs...)
		}
	}
	if len(r.all)+len(r.any) == 0 {
		bad("match: needs all or any")
	}
	if len(y.Cases.Must) == 0 || len(y.Cases.MustNot) == 0 {
		bad("cases: at least one must and one mustnot")
	}
	for _, c := range slices.Concat(y.Cases.Must, y.Cases.MustNot) {
		if err := c.belongs(g); err != nil {
			bad("%v", err)
		}
	}
	return r, problems
}

// compile returns the condition; an expression with outermost alternatives is
// preceded by one condition for each of them.
func (y *condYAML) compile(g Group) ([]condition, error) {
	var c condition
	if len(y.Field) == 0 {
		return nil, errors.New("condition without field")
	}
	for _, name := range y.Field {
		f, err := g.field(name)
		if err != nil {
			return nil, err
		}
		c.fields |= f
	}
	given := 0
	for op, values := range []oneOrMany{y.Contains, y.Equals, y.Prefix, y.Suffix} {
		if len(values) > 0 {
			given++
			c.op, c.values = operator(op), values
		}
	}
	if y.Regex != "" {
		given++
		c.op = opRegex
	}
	if given != 1 {
		return nil, errors.New("a condition has exactly one of contains, equals, prefix, suffix, regex")
	}
	for _, v := range c.values {
		if v == "" || strings.ToLower(v) != v {
			return nil, fmt.Errorf("value %.64q: not empty and in lower case, because texts are compared in lower case", v)
		}
	}
	if c.op == opRegex {
		return c.regex(y.Regex)
	}
	return []condition{c}, nil
}

func (c condition) regex(pattern string) ([]condition, error) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("regex %.64q: %w (the syntax is RE2: no look-around, no back-references)", pattern, err)
	}
	if caseful(tree) {
		return nil, fmt.Errorf("regex %.64q: write it in lower case and without (?i), because texts are compared in lower case", pattern)
	}
	all := branches(pattern)
	if len(all) > 1 {
		all = append(all, pattern)
	}
	var out []condition
	for _, text := range all {
		tree, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			return nil, fmt.Errorf("regex %.64q: alternative %.64q: %w", pattern, text, err)
		}
		c.need, c.also = necessary(tree.Simplify())
		if c.re, err = regexp.Compile(text); err != nil {
			return nil, fmt.Errorf("regex %.64q: %w", pattern, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// caseful reports whether a pattern asks for capital letters or folds case.
func caseful(re *syntax.Regexp) bool {
	if re.Op == syntax.OpLiteral {
		if re.Flags&syntax.FoldCase != 0 {
			return true
		}
		for _, r := range re.Rune {
			if r >= 'A' && r <= 'Z' {
				return true
			}
		}
	}
	return slices.ContainsFunc(re.Sub, caseful)
}

// belongs refuses a case that sets nothing, or fields of another group.
func (c *Case) belongs(g Group) error {
	allowed := map[Group][]string{
		Command: {"line"},
		Web:     {"method", "target", "headers", "body", "service"},
		Service: {"service", "op", "args", "detail"},
		Prompt:  {"prompt", "system", "model", "route", "key"},
		Probe:   {"first", "client", "protocol", "service", "method", "target", "headers"},
	}[g]
	v := reflect.ValueOf(*c)
	set := 0
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		set++
		if name := v.Type().Field(i).Tag.Get("yaml"); !slices.Contains(allowed, name) {
			return fmt.Errorf("case with %q in a %s rule: one of %s", name, g, strings.Join(allowed, ", "))
		}
	}
	if set == 0 {
		return errors.New("empty case")
	}
	return nil
}

func (c *Case) interaction(o *observe.Observation) (*observe.Observation, error) {
	first, err := strconv.Unquote(`"` + strings.ReplaceAll(c.First, `"`, `\"`) + `"`)
	if err != nil {
		return nil, fmt.Errorf("first %.64q: bytes are written as in Go (\\r\\n \\x16)", c.First)
	}
	o.Kind = observe.KindInteraction
	o.Interaction = &observe.Interaction{First: []byte(first), Client: c.Client, Protocol: c.Protocol, Ended: true}
	return o, nil
}
