// Package sigma matches Sigma rules (sigmahq.io, specification 2.1) against
// log events.
//
// Rules are compiled together when they are loaded: per log source an index of
// one necessary text per rule, so that an event is compared with the few rules
// that it can match and never with all. Field names of rules are resolved
// through a taxonomy that is data (content/sigma). Correlation rules and the
// aggregations of version 1 run on the records' own clock in bounded memory.
//
// The package reads no logs and stores nothing; package source brings events.
package sigma

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"bartizan/content"
	"bartizan/internal/model"
)

// MaxRules bounds a rule set.
const MaxRules = 100_000

// Options of loading.
type Options struct {
	// Taxonomy holds the field mappings (taxonomy.yaml); nil: the shipped ones.
	Taxonomy fs.FS
	// Placeholders are the values of %name% in rules with the modifier expand.
	Placeholders map[string][]string
	// Deprecated also loads rules whose status is deprecated or unsupported.
	Deprecated bool
}

func (o Options) taxonomy() fs.FS {
	if o.Taxonomy == nil {
		return content.Sigma()
	}
	return o.Taxonomy
}

// Problem is a rule that could not be loaded, and why.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Rule string `json:"rule,omitempty"` // its id, when it could be read
	Why  string `json:"why"`
}

// Error implements error.
func (p Problem) Error() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Rule != "" {
		s += ": rule " + p.Rule
	}
	return s + ": " + p.Why
}

// Report says what became of a rule folder.
type Report struct {
	Files        int       `json:"files"`
	Rules        int       `json:"rules"`        // loaded, correlations among them
	Correlations int       `json:"correlations"` // loaded, of version 2 and conditions with an aggregation
	Skipped      int       `json:"skipped"`      // status deprecated or unsupported
	Problems     []Problem `json:"problems"`
	Unmet        []Unmet   `json:"unmet"` // what loaded rules ask for and no format gives by itself
}

// Engine is a compiled rule set. It does not change, and any number of Runners
// may use it at once.
type Engine struct {
	fields       []string
	atoms        []atom
	rules        []*Rule
	buckets      []*bucket
	correlations []*correlation
	taxonomy     *taxonomy
}

// Rules lists the loaded rules, correlations included.
func (e *Engine) Rules() (out []*Rule) {
	for _, r := range e.rules {
		if !r.part {
			out = append(out, r)
		}
	}
	for _, c := range e.correlations {
		if c.rule.index < 0 {
			out = append(out, c.rule)
		}
	}
	return out
}

// Load reads every .yml and .yaml file under fsys. A rule that cannot be
// loaded is a Problem of the report and does not stop the others; the error is
// for a folder or a taxonomy that cannot be read at all.
func Load(fsys fs.FS, o Options) (*Engine, Report, error) {
	tax, err := loadTaxonomy(o.taxonomy())
	if err != nil {
		return nil, Report{}, err
	}
	l := &loader{compiler: newCompiler(o), tax: tax, byID: map[string]*document{}, targets: map[string][]*Rule{}}
	walk := func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read rules: %w", err)
		}
		switch {
		case hidden(name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.Type()&fs.ModeSymlink != 0 && leadsToFolder(fsys, name):
			l.report.Problems = append(l.report.Problems, Problem{File: name, Why: "a link to a folder, which is not followed: check that one as well"})
			return nil
		case d.IsDir() || !isRuleFile(name):
			return nil
		}
		l.report.Files++
		return l.file(fsys, name)
	}
	if err := fs.WalkDir(fsys, ".", walk); err != nil {
		return nil, l.report, err
	}
	l.correlate()
	e := &Engine{fields: l.fields, atoms: l.atoms, rules: l.rules, correlations: l.correlations, taxonomy: tax}
	for _, r := range l.rules {
		l.count(r.cond, map[int32]bool{})
	}
	e.buckets = l.compiler.buckets()
	l.report.Unmet = unmet(e.rules, tax)
	return e, l.report, nil
}

func isRuleFile(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yml" || ext == ".yaml"
}

// hidden says whether a file or folder is left out, as by everything else that
// reads folders: what is below .git and .github is no rule, and what a mounted
// folder of Kubernetes has below ..data is there by its name as well.
func hidden(name string) bool { return name != "." && strings.HasPrefix(path.Base(name), ".") }

func leadsToFolder(fsys fs.FS, name string) bool {
	info, err := fs.Stat(fsys, name)
	return err == nil && info.IsDir()
}

// loader is a Load under way.
type loader struct {
	*compiler
	tax          *taxonomy
	report       Report
	byID         map[string]*document
	targets      map[string][]*Rule // id or name → rules that a correlation may name
	pending      []document         // correlations, read when all rules are known
	correlations []*correlation
}

func (l *loader) problem(d *document, err error) {
	line := d.line
	var le *lineError
	if errors.As(err, &le) && le.line > 0 {
		line = le.line
	}
	l.report.Problems = append(l.report.Problems, Problem{File: d.file, Line: line, Rule: d.id, Why: err.Error()})
}

func (l *loader) file(fsys fs.FS, name string) error {
	bad := func(why string) { l.report.Problems = append(l.report.Problems, Problem{File: name, Why: why}) }
	info, err := fs.Stat(fsys, name)
	if err != nil {
		bad("cannot be read: " + err.Error())
		return nil
	}
	if !info.Mode().IsRegular() {
		bad("is no file")
		return nil
	}
	if info.Size() > maxFile {
		bad(fmt.Sprintf("%d bytes, at most %d", info.Size(), maxFile))
		return nil
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		bad("cannot be read: " + err.Error())
		return nil
	}
	docs, problems := parseFile(name, data)
	l.report.Problems = append(l.report.Problems, problems...)
	if len(docs)+len(problems) == 0 {
		bad("there is no rule in it")
	}
	for i := range docs {
		d := &docs[i]
		if first := l.byID[d.id]; first != nil {
			l.problem(d, fmt.Errorf("the id is already used in %s:%d", first.file, first.line))
			continue
		}
		l.byID[d.id] = d
		switch {
		case (d.status == "deprecated" || d.status == "unsupported") && !l.opts.Deprecated:
			l.report.Skipped++
		case len(l.byID) > MaxRules:
			return fmt.Errorf("read rules: more than %d", MaxRules)
		case d.correlation != nil:
			l.pending = append(l.pending, *d)
		default:
			if err := l.rule(d); err != nil {
				l.problem(d, err)
			}
		}
	}
	return nil
}

// identity is the rule of a document without its condition.
func (l *loader) identity(d *document) (*Rule, error) {
	r := &Rule{ID: d.id, Name: d.name, Title: d.title, File: d.file, Line: d.line, Author: d.author, Status: d.status,
		Level: d.level, Tags: d.tags, Logsource: d.logsource, index: -1}
	switch d.level {
	case "", "informational":
		r.Severity = model.Info
	default:
		s, err := model.ParseSeverity(d.level)
		if err != nil || d.level == "info" {
			return nil, fmt.Errorf("unknown level %.40q (informational, low, medium, high, critical)", d.level)
		}
		r.Severity = s
	}
	for _, tag := range d.tags {
		if id, ok := technique(tag); ok && len(r.Techniques) < model.MaxTechniques {
			r.Techniques = append(r.Techniques, id)
		}
	}
	return r, nil
}

// technique reads attack.t1078.004 and atlas.aml.t0040.
func technique(tag string) (string, bool) {
	space, id, _ := strings.Cut(strings.ToUpper(tag), ".")
	switch {
	case space == "ATTACK" && len(id) > 1 && id[0] == 'T' && strings.Trim(id[1:], "0123456789.") == "":
		return id, true
	case space == "ATLAS" && strings.HasPrefix(id, "AML.T"):
		return id, true
	}
	return "", false
}

// rule compiles a detection. Conditions without an aggregation are one rule;
// each with one is a part that only feeds its correlation.
func (l *loader) rule(d *document) error {
	r, err := l.identity(d)
	if err != nil {
		return err
	}
	conditions, err := l.conditions(d)
	if err != nil {
		return err
	}
	var plain []*node
	var made []*correlation
	for _, k := range conditions {
		if k.agg == nil {
			plain = append(plain, k.node)
			continue
		}
		c, err := aggregation(l.compiler, r, d, k)
		if err != nil {
			return &lineError{d.conditionLine, err}
		}
		made = append(made, c)
	}
	if len(plain) > 0 {
		r.cond = join(nodeOr, plain)
		l.add(r)
	}
	for _, c := range made {
		l.attach(c)
	}
	l.report.Rules++
	l.targets[r.ID] = []*Rule{r}
	if r.Name != "" {
		l.targets[r.Name] = append(l.targets[r.Name], r)
	}
	return nil
}

func (l *loader) add(r *Rule) {
	r.index = int32(len(l.rules))
	l.rules = append(l.rules, r)
}

// attach puts a correlation in, and the parts it was made with.
func (l *loader) attach(c *correlation) {
	c.index = int32(len(l.correlations))
	l.correlations = append(l.correlations, c)
	l.report.Correlations++
	for i, p := range c.parts {
		p.feeds = append(p.feeds, feed{c.index, int32(i)})
		l.add(p)
	}
}

// IsRuleFolder says whether the YAML files under fsys are Sigma rules, by the
// keys of the first twenty that can be read and not by their names.
func IsRuleFolder(fsys fs.FS) bool {
	found, looked := false, 0
	// An unreadable folder is no Sigma folder here; Load says what is wrong with it.
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case hidden(name) && d.IsDir():
			return fs.SkipDir
		case hidden(name) || d.IsDir() || !isRuleFile(name):
			return nil
		}
		info, err := fs.Stat(fsys, name)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(data)) {
			found = found || strings.HasPrefix(line, "detection:") || strings.HasPrefix(line, "correlation:")
		}
		if looked++; found || looked == 20 {
			return fs.SkipAll
		}
		return nil
	})
	return found
}
