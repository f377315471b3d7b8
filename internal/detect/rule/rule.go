// Package rule reads detection rules from YAML and matches them against
// observations.
//
// A rule is data with its proof beside it: the texts it must match and those it
// must not. Files are read strictly; every regular expression is RE2, so no
// input can make one slow. The folder a file is in (or its `group:`) says which
// observations its rules see. Detectors that need memory are not rules: they
// live in the families next to this package.
package rule

import (
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Rule is one compiled rule.
type Rule struct {
	ID         string
	Title      string
	Kind       string
	Class      model.Class
	Severity   model.Severity
	Confidence float64
	Techniques []string
	Group      Group
	File       string
	Line       int
	Cases      Cases

	all, any, not []condition
}

// Cases is a rule's proof.
type Cases struct {
	Must    []Case `yaml:"must"`
	MustNot []Case `yaml:"mustnot"`
}

// Case is a piece of an observation, written as its group needs it. Fields that
// do not belong to the group are refused.
type Case struct {
	Line string `yaml:"line"` // command

	Method  string            `yaml:"method"` // web, probe
	Target  string            `yaml:"target"`
	Headers map[string]string `yaml:"headers"`
	Body    string            `yaml:"body"`

	Service string   `yaml:"service"` // service, probe
	Op      string   `yaml:"op"`
	Args    []string `yaml:"args"`
	Detail  string   `yaml:"detail"`

	Prompt string `yaml:"prompt"` // prompt
	System string `yaml:"system"`
	Model  string `yaml:"model"`
	Route  string `yaml:"route"`
	Key    string `yaml:"key"`

	First    string `yaml:"first"` // probe: bytes with Go escapes
	Client   string `yaml:"client"`
	Protocol string `yaml:"protocol"`
}

// Signal fills s with what the rule says; everything about the actor stays empty.
func (r *Rule) Signal(s *model.Signal) {
	*s = model.Signal{
		Kind: r.Kind, Class: r.Class, Rule: r.ID, Title: r.Title, Confidence: r.Confidence,
		Severity: r.Severity, Techniques: r.Techniques, Count: 1,
		Evidence: s.Evidence[:0], Related: s.Related[:0],
	}
}

// Of returns the rules of one group, in order.
func Of(g Group, rules []Rule) []*Rule {
	var out []*Rule
	for i := range rules {
		if rules[i].Group == g {
			out = append(out, &rules[i])
		}
	}
	return out
}

// observation builds what a case stands for.
func (c *Case) observation(g Group) (*observe.Observation, error) {
	o := &observe.Observation{Service: c.Service, Decoy: "case"}
	switch g {
	case Command:
		o.Kind, o.Command = observe.KindCommand, &observe.Command{Line: c.Line}
	case Service:
		o.Kind, o.Call = observe.KindCall, &observe.APICall{Operation: c.Op, Args: c.Args, Detail: c.Detail}
	case Prompt:
		o.Kind = observe.KindExchange
		o.Exchange = &observe.Exchange{Prompt: c.Prompt, System: c.System, Model: c.Model, Route: c.Route, Key: c.Key}
	case Web, Probe:
		if g == Probe && c.Target == "" {
			return c.interaction(o)
		}
		o.Kind = observe.KindHTTP
		h := &observe.HTTPRequest{Method: c.Method, Target: c.Target, Proto: "HTTP/1.1", Body: []byte(c.Body), BodyLen: int64(len(c.Body))}
		if h.Method == "" {
			h.Method = "GET"
		}
		for name, value := range c.Headers {
			h.Headers = append(h.Headers, observe.Field{Name: name, Value: value})
		}
		o.HTTP = h
		h.Host = h.Header("Host")
	}
	return o, nil
}
