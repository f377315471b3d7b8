package gateway

import (
	"maps"
	"slices"

	"bartizan/internal/conf"
	"bartizan/internal/gateway/traffic"
	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
)

// Said is what was said in an exchange of a route that is recorded. Its texts are as they
// came: they must not be written anywhere before Keep has masked them.
type Said struct {
	masker *traffic.Masker
	draft  *traffic.Draft
	head   model.LLMTraffic
}

// Size in bytes, for the accounts of whoever keeps it waiting.
func (s *Said) Size() int { return s.draft.Size() }

// Keep masks the texts: a few inspections of each.
func (s *Said) Keep() model.LLMTraffic {
	s.masker.Mask(s.draft, &s.head)
	return s.head
}

// newMasker makes the masker of a route. It looks for more than the route's policy may: for every
// kind of personal data and every form of a credential, and for the route's own secrets.
func newMasker(c Route, all []guard.Named, like decode.Likeness, o Options) (*traffic.Masker, error) {
	options := maps.Clone(c.Options)
	delete(options, "pii")
	usual, _, err := o.Inspectors(options)
	if err != nil {
		return nil, err
	}
	var in []guard.Named
	for _, list := range [][]guard.Named{usual, all} {
		for _, n := range list {
			if n.Name == "pii" || n.Name == "secret" && !slices.ContainsFunc(in, func(x guard.Named) bool { return x.Name == "secret" }) {
				in = append(in, n)
			}
		}
	}
	known, err := secretsOf(o, c.Options)
	if err != nil {
		return nil, err
	}
	return traffic.New(in, like, known), nil
}

func secretsOf(o Options, options map[string]conf.Raw) ([]string, error) {
	if o.Secrets == nil {
		return nil, nil
	}
	return o.Secrets(options)
}

// draft is where the texts of an exchange are collected; nil: nowhere.
func (x *exchange) drafted() *traffic.Draft {
	if x.draft == nil && x.route != nil && x.route.masker != nil {
		x.draft = &traffic.Draft{}
	}
	return x.draft
}

// heard collects the texts of a request or of a whole answer.
func (x *exchange) heard(parts []wire.Part, answer bool) {
	d := x.drafted()
	if d == nil {
		return
	}
	for i := range parts {
		switch p := &parts[i]; p.Kind {
		case wire.Media, wire.Address, wire.Label, wire.ToolSpec: // not said by anybody in this exchange
		case wire.System, wire.Prompt, wire.Answer, wire.Reasoning, wire.ToolCall, wire.ToolResult, wire.Document:
			d.Add(direction(p.Kind, answer), string(p.Kind), p.Name, p.Text)
		}
	}
}

// heardMore collects a piece of a stream.
func (x *exchange) heardMore(p *wire.Delta) {
	switch p.Kind {
	case wire.Media, wire.Address, wire.Label, wire.ToolSpec:
	case wire.System, wire.Prompt, wire.Answer, wire.Reasoning, wire.ToolCall, wire.ToolResult, wire.Document:
		x.drafted().Continue(p.Channel, direction(p.Kind, true), string(p.Kind), p.Name, p.Text, p.Whole)
	}
}

// keep hands on what was said, to be masked and kept.
func (x *exchange) keep() {
	if x.draft == nil {
		return
	}
	r := &x.rec
	if r.Action == Block && r.Category == guard.Secret {
		// What was stopped may be a secret only together with what was said before.
		x.draft.Withhold("stopped as a secret", "response", "tool_call")
	}
	x.g.opt.Traffic(Said{x.route.masker, x.draft, model.LLMTraffic{ID: r.ID, Time: r.Time, Route: r.Route, Peer: r.Peer, Key: r.Key, Model: r.Model, Action: string(r.Action), Category: string(r.Category)}})
	x.draft = nil
}

// Call is the record without what belongs to single texts, as it is shown, filed and exported.
func (r *Record) Call() model.LLMCall {
	c := model.LLMCall{ID: r.ID, Time: r.Time, Took: r.Took, Route: r.Route, Peer: r.Peer, Key: r.Key, KeyName: r.KeyName, User: r.User, Method: r.Method, Path: r.Path, Model: r.Model, Stream: r.Stream,
		Outcome: string(r.Outcome), Status: r.Status, Code: r.Code, Action: string(r.Action), Category: string(r.Category), Reason: r.Reason, Decision: r.Decision, Upstream: r.Upstream,
		Request: int64(r.Request), Answer: r.Answer, Dollars: r.Dollars, Unpriced: r.Unpriced, Masked: r.Masked, Restored: r.Restored, Media: r.Media, Unknown: r.Unknown}
	if u := r.Usage; u != nil {
		c.Usage = &model.LLMUsage{Input: u.Input, Output: u.Output, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Reasoning: u.Reasoning}
	}
	for _, f := range r.Found {
		c.Found = append(c.Found, model.LLMFinding{Where: f.Where, Direction: f.Direction, Category: string(f.Category), Score: f.Score, Note: f.Note, Action: string(f.Action)})
	}
	by := map[string]*model.LLMInspector{}
	of := func(name string) *model.LLMInspector {
		if by[name] == nil {
			by[name] = &model.LLMInspector{Name: name}
		}
		return by[name]
	}
	for i := range r.Inspections {
		s := &r.Inspections[i].Inspectors
		for k := range s.reports {
			n := of(s.reports[k].Name)
			switch s.reports[k].State {
			case guard.Clean:
				n.Clean++
			case guard.Found:
				n.Found++
			case guard.Skip:
				n.Skipped++
			case guard.Failed:
				n.Failed++
			}
		}
		for _, name := range s.off {
			of(name).Off++
		}
	}
	for _, name := range sorted(by) {
		c.Inspectors = append(c.Inspectors, *by[name])
	}
	return c
}
