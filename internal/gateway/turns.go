package gateway

import (
	"slices"

	"bartizan/internal/gateway/intent"
	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/wire"
)

// classifier is the inspector that judges turns together.
const classifier = "injection"

// turnEngine is the classifier by itself; nil where it is not asked about what people
// say or what documents have.
func turnEngine(r *route, all []guard.Named, like decode.Likeness) *guard.Engine {
	for _, in := range all {
		if in.Name == classifier && (slices.Contains(r.Request.Inspectors, classifier) || slices.Contains(r.ToolResult.Inspectors, classifier)) {
			return guard.NewEngine([]guard.Named{in}, like, true)
		}
	}
	return nil
}

// together looks at the turns of a conversation as a whole. What single turns hold
// has been found before.
func (x *exchange) together() error {
	e := x.route.turns
	if e == nil || x.msg == nil {
		return nil
	}
	var turns []intent.Turn
	last := -1
	for i := range x.msg.Parts {
		p := &x.msg.Parts[i]
		t := intent.Turn{Text: p.Text, Where: p.Where}
		switch p.Kind {
		case wire.Prompt:
			last = i
		case wire.Answer:
			t.Who = intent.Model
		case wire.ToolResult, wire.Document:
			t.Who = intent.Document
		case wire.System, wire.Reasoning, wire.ToolCall, wire.ToolSpec, wire.Media, wire.Address, wire.Label:
			continue
		}
		turns = append(turns, t)
	}
	found, err := intent.Look(turns, func(text string, document bool) (float64, error) {
		role := guard.User
		if document {
			role = guard.Document
		}
		v, err := e.InspectAsked(text, role)
		return v.Score, err
	})
	if err != nil { // each turn was looked at: only what they are together is not known
		x.rec.Unknown = append(x.rec.Unknown, clean("turns together: "+err.Error(), 200))
	}
	if last >= 0 {
		p := &x.msg.Parts[last]
		if f := x.g.tries.Again(x.client(), p.Text, x.start); f != nil {
			f.Where = p.Where
			found = append(found, *f)
		}
	}
	stop := false
	for _, f := range found {
		kind, side := wire.Prompt, x.route.sides["request"]
		if f.Who == intent.Document {
			kind, side = wire.Document, x.route.sides["tool_result"]
		}
		if slices.Contains(side.off, classifier) {
			continue
		}
		n := hold.Noted{Where: f.Where, Kind: kind, Finding: guard.Finding{Category: guard.Injection, Score: f.Score, Note: f.Note}}
		n.Action = side.policy.Action(n.Finding)
		x.found(n, false, func() string { return x.msg.TextAt(f.Where) })
		stop = stop || n.Action == hold.Block
	}
	if stop {
		return x.blocked()
	}
	return nil
}

// tried remembers the newest prompt of an exchange in which an attack of a person was
// stopped or flagged: it may come again in other words.
func (x *exchange) tried() {
	if x.msg == nil || !slices.ContainsFunc(x.rec.Found, func(f Found) bool { return f.Category == guard.Injection && f.Direction == "request" }) {
		return
	}
	for i := len(x.msg.Parts) - 1; i >= 0; i-- {
		if p := &x.msg.Parts[i]; p.Kind == wire.Prompt {
			x.g.tries.Stopped(x.client(), p.Text, x.start)
			return
		}
	}
}
