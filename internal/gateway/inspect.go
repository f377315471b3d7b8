package gateway

import (
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/wire"
)

// Action is what is done about a text.
type Action string

// Actions, the mildest first.
const (
	Allow    Action = "allow"
	Flag     Action = "flag"     // forwarded, written down, signalled
	Throttle Action = "throttle" // requests only: forwarded a few times a minute for each client
	Mask     Action = "mask"     // what was found is replaced; in a request until the answer comes back
	Rewrite  Action = "rewrite"  // what was found is removed
	Block    Action = "block"    // Ask, which hands it to a person, stands between
)

var actions = []Action{Allow, Flag, Throttle, Mask, Rewrite, Ask, Block}

func (a Action) rank() int { return slices.Index(actions, a) }

// side is one direction of a route.
type side struct {
	name   string
	engine *guard.Engine
	off    []string // inspectors that are not asked
	policy hold.Policy
	where  hold.Policy             // about addresses of media: the numbers and names in them are not what somebody says
	slow   map[guard.Category]bool // throttled
	ask    map[guard.Category]bool // handed to a person
}

func newSide(name string, d Direction, all []guard.Named, like decode.Likeness) *side {
	s := &side{name: name, policy: hold.Policy{Actions: map[guard.Category]hold.Action{}}, slow: map[guard.Category]bool{}, ask: map[guard.Category]bool{}}
	var on []guard.Named
	for _, in := range all {
		if slices.Contains(d.Inspectors, in.Name) {
			on = append(on, in)
		} else {
			s.off = append(s.off, in.Name)
		}
	}
	for c, a := range d.Actions {
		if a == string(Throttle) {
			s.slow[guard.Category(c)], a = true, string(Flag)
		}
		if a == string(Ask) {
			s.ask[guard.Category(c)], a = true, string(Flag)
		}
		s.policy.Actions[guard.Category(c)] = hold.Action(a)
	}
	s.engine = guard.NewEngine(on, like, true)
	s.where = s.policy
	s.where.Actions = maps.Clone(s.policy.Actions)
	s.where.Actions[guard.PII], s.where.Actions[guard.Injection] = hold.Allow, hold.Allow
	return s
}

// direction of a text. answer: of the model's answer and not of the conversation
// that is sent to it.
func direction(k wire.Kind, answer bool) string {
	switch k {
	case wire.System, wire.ToolSpec:
		return "system"
	case wire.ToolResult, wire.Document:
		return "tool_result"
	case wire.ToolCall:
		return "tool_call"
	case wire.Prompt, wire.Answer, wire.Reasoning, wire.Media, wire.Address, wire.Label:
	}
	if answer {
		return "response"
	}
	return "request"
}

// config is what package hold needs to carry out the route's policy.
func (x *exchange) config(answer bool) hold.Config {
	r := x.route
	first := r.sides["request"]
	if answer {
		first = r.sides["response"]
	}
	c := hold.Config{Engine: first.engine, Policy: first.policy, Vault: x.vault, For: func(k wire.Kind) (*guard.Engine, *hold.Policy) {
		s := r.sides[direction(k, answer)]
		if k == wire.Address {
			return s.engine, &s.where
		}
		return s.engine, &s.policy
	}}
	c.Policy.Unknown = hold.Block
	if r.Unknown == Forward {
		c.Policy.Unknown = hold.Flag
	}
	c.Policy.Wait = hold.Rules
	switch r.Stream {
	case Sentences:
		c.Policy.Wait = hold.Sentences
	case Buffer:
		c.Policy.Wait = hold.Whole
	}
	if r.asks {
		c.Policy.Wait = hold.Whole // what a person may refuse has not left
	}
	c.Policy.MaxStream, c.Policy.MaxEvent = min(int(r.Answer), guard.MaxText), maxEvent
	c.Refusal = wire.Refusal{Code: "blocked_by_guard", ID: x.id, Message: "stopped by the policy of this gateway"}
	if answer {
		c.Memory, c.Judge, c.Judges = x.memory.Untold(x.kept), x.judge, schemas
	} else {
		c.Withholding = r.keeps
	}
	return c
}

// Inspection is the audit's word about one text: never the text itself.
type Inspection struct {
	Direction  string         `json:"direction"`
	Kind       wire.Kind      `json:"kind"`
	Where      string         `json:"where"`
	Size       int            `json:"size"`
	SHA256     string         `json:"sha256"`
	Again      bool           `json:"again,omitempty"` // the same text was looked at before
	Verdict    guard.Action   `json:"verdict"`         // of the inspectors; what was done is in the record's findings
	Score      float64        `json:"score,omitempty"`
	Category   guard.Category `json:"category,omitempty"`
	Readings   []string       `json:"readings,omitempty"`
	Inspectors States         `json:"inspectors"`
}

// Found is something that was found, and what was done about it.
type Found struct {
	Where     string         `json:"where"`
	Direction string         `json:"direction"`
	Category  guard.Category `json:"category"`
	Score     float64        `json:"score"`
	Note      string         `json:"note"` // in our words
	Action    Action         `json:"action"`
}

const (
	maxInspections = 200 // in one audit line; all are made
	maxFound       = 50
)

// took writes down what package hold did. blocked is its error.
func (x *exchange) took(r *hold.Result, parts func(where string) string, answer bool, blocked error) {
	x.rec.Inspections = slices.Grow(x.rec.Inspections, min(len(r.Verdicts), maxInspections))
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		if len(x.rec.Inspections) >= maxInspections && v.Verdict.Action == guard.Allow {
			x.rec.More++
			continue
		}
		s := x.route.sides[direction(v.Kind, answer)]
		in := Inspection{Direction: s.name, Kind: v.Kind, Where: clean(v.Where, 200), Size: v.Verdict.Size, SHA256: hex.EncodeToString(v.Verdict.Sum[:]), Again: v.Verdict.Again, Verdict: v.Verdict.Action, Score: v.Verdict.Score,
			Category: v.Verdict.Category, Readings: v.Verdict.Readings, Inspectors: States{v.Verdict.Reports, unasked(s.off, v.Verdict.Reports)}}
		x.rec.Inspections = append(x.rec.Inspections, in)
	}
	for _, n := range r.Notes {
		x.found(n, answer, func() string { return shown(parts(n.Where), r.Notes, n.Where) })
	}
	for _, u := range r.Unknown {
		if len(x.rec.Unknown) < 20 {
			if u = clean(u, 200); answer {
				u = x.repeatable(u)
			}
			x.rec.Unknown = append(x.rec.Unknown, u)
		}
	}
	if len(r.Unknown) > 0 && x.rec.Action == Allow {
		x.rec.Action, x.rec.Category, x.rec.Reason = Flag, guard.Shape, "a part that the format does not know"
	}
	x.rec.Masked += r.Masked
	x.rec.Untold += r.Withheld
	x.rec.Restored += r.Restored
	if b, ok := errors.AsType[*hold.Blocked](blocked); ok {
		x.rec.Action, x.rec.Category, x.rec.Reason = Block, b.Category, clean(b.Note, 300)
	}
}

// unasked is who is off and did not look all the same.
func unasked(off []string, reports []guard.Report) []string {
	for i := range reports {
		if k := slices.Index(off, reports[i].Name); k >= 0 {
			return slices.Delete(slices.Clone(off), k, k+1)
		}
	}
	return off
}

// found notes one finding.
func (x *exchange) found(n hold.Noted, answer bool, text func() string) {
	f := Found{Where: clean(n.Where, 200), Direction: direction(n.Kind, answer), Category: n.Finding.Category, Score: n.Finding.Score, Note: clean(n.Finding.Note, 300), Action: Action(n.Action)}
	if f.Action == Flag && !answer && x.route.sides[f.Direction].slow[f.Category] {
		f.Action = Throttle
	}
	if f.Action == Flag && x.route.sides[f.Direction].ask[f.Category] {
		f.Action = Ask
		x.doubt.wonder(f, text())
	}
	if f.Action == Allow {
		return
	}
	if f.Action.rank() > x.rec.Action.rank() || x.rec.Reason == "" {
		x.rec.Action, x.rec.Category, x.rec.Reason = f.Action, f.Category, f.Note
	}
	if len(x.rec.Found) < maxFound && !slices.Contains(x.rec.Found, f) {
		x.rec.Found = append(x.rec.Found, f)
	}
}

// media counts what nobody looks into.
func (x *exchange) media(parts []wire.Part) {
	for i := range parts {
		if parts[i].Kind == wire.Media {
			x.rec.Media++
		}
	}
}

// raw looks at a text that is of no known shape.
func (x *exchange) raw(text string, answer bool) error {
	k := wire.Prompt
	if answer {
		k = wire.Answer
	}
	m := &wire.Message{Parts: []wire.Part{{Kind: k, Text: strings.ToValidUTF8(text, "\uFFFD")}}}
	x.heard(m.Parts, answer)
	c := x.config(answer)
	c.Vault = nil
	r, err := hold.Request(c, nil, m)
	if answer {
		r, err = hold.Answer(c, nil, m)
	}
	x.took(r, m.TextAt, answer, err)
	if err != nil {
		return x.blocked()
	}
	return nil
}

// runners are the inspectors of a route's directions that have something to run beside them.
func runners(directions map[string]*Direction, all []guard.Named) (out []guard.Runner) {
	for _, in := range all {
		r, ok := in.Inspector.(guard.Runner)
		if !ok {
			continue
		}
		for _, d := range directions {
			if slices.Contains(d.Inspectors, in.Name) {
				out = append(out, r)
				break
			}
		}
	}
	return out
}
