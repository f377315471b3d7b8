package sigma

import (
	"strings"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// signalMaker remembers what the events have told about time.
type signalMaker struct{ newest time.Time }

// moment is the time of the event; an event without one happens at the newest
// time seen, so that it neither opens nor closes a window by itself.
func (r *Runner) moment() time.Time {
	if p, ok := r.event.(*Pairs); ok && !p.At.IsZero() {
		if p.At.After(r.signal.newest) {
			r.signal.newest = p.At
		}
		return p.At
	}
	for _, p := range r.view.shape.time {
		r.raw = r.event.Field(p, r.raw[:0])
		for _, v := range r.raw {
			if t, ok := parseTime(v.Text); ok {
				if t = t.UTC(); t.After(r.signal.newest) {
					r.signal.newest = t
				}
				return t
			}
		}
	}
	return r.signal.newest
}

// make builds the signal of a rule for the event under way.
func (r *Runner) make(rule *Rule, moment time.Time, count int) model.Signal {
	s := model.Signal{
		ID: model.NewULID(moment), Time: moment,
		Kind: kindOf(rule.Logsource), Class: r.class(rule), Rule: rule.ID, Title: safe.Clean(rule.Title, 200),
		Confidence: confidence(rule), Severity: rule.Severity, Techniques: rule.Techniques, Count: count,
	}
	s.Actor, s.Address = r.actor()
	for _, f := range r.view.shape.asset {
		if v := r.first(f); v != "" {
			s.Asset = model.AssetRef{Kind: "host", Name: safe.Clean(v, 200)}
			if r.view.sources[0].Product != "windows" && r.view.sources[0].Product != "linux" && r.view.sources[0].Product != "" {
				s.Asset.Kind = r.view.sources[0].Product
			}
			break
		}
	}
	return s
}

// first is the first usable value of a field; logs write "-" for none.
func (r *Runner) first(field string) string {
	for _, v := range r.resolve(r.view.shape.paths(field, nil)) {
		if v.Kind != Null && v.Kind != Object && len(v.Text) > 0 && len(v.Text) <= model.MaxEntity && string(v.Text) != "-" {
			return string(v.Text)
		}
	}
	return ""
}

// actor is the first entry of the shape's list that names one; the event's
// text never makes an invalid entity. What cannot be told is "unknown".
func (r *Runner) actor() (model.Entity, string) {
	for _, a := range r.view.shape.actor {
		v := r.first(a.field)
		if v == "" {
			continue
		}
		e, err := model.ParseEntity(a.kind, v)
		if err != nil || a.kind == model.TypeIP && strings.Contains(v, "/") {
			continue
		}
		address := ""
		if a.kind == model.TypeIP {
			address = v
		}
		return e, address
	}
	e, _ := model.ParseEntity(model.TypeHost, "unknown") // a constant that parses
	return e, ""
}

// kindOf names the signal by where the rule looks: "sigma.windows.process_creation".
func kindOf(l Logsource) string {
	if l == (Logsource{}) {
		return "sigma.correlation"
	}
	kind := "sigma"
	for _, p := range []string{l.Product, l.Category, l.Service} {
		p = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
				return r
			}
			return '-'
		}, p)
		if p != "" && len(kind)+1+len(p) <= 64 {
			kind += "." + p
		}
	}
	return kind
}

// class is that of the first tactic among the rule's tags that has one.
func (r *Runner) class(rule *Rule) model.Class {
	for _, tag := range rule.Tags {
		tactic, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "attack.")
		if c := r.engine.taxonomy.tactics[tactic]; ok && c != "" {
			return c
		}
	}
	return model.ClassContact
}

// confidence is what a rule's author claims, and no more: how bad a hit would
// be (level) stands in for how rarely it is innocent, lowered by how well the
// rule is tried (status). docs/sigma.md has the table.
func confidence(rule *Rule) float64 {
	c := [...]float64{model.Info: 0.05, model.Low: 0.2, model.Medium: 0.4, model.High: 0.65, model.Critical: 0.85}[rule.Severity]
	switch rule.Status {
	case "stable":
		return c
	case "test":
		return c * 0.9
	}
	return c * 0.75
}
