package hold

import (
	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// Request inspects a request: what is masked is kept in the vault, and of what is withheld
// the parts of m have no more than the model will. The error is a *Blocked; the result is
// there in any case.
func Request(c Config, body []byte, m *wire.Message) (*Result, error) {
	return message(c, body, m, true)
}

// Answer inspects an answer that is not streamed, restores placeholders and
// masks for good. The error is a *Blocked; the result is there in any case.
func Answer(c Config, body []byte, m *wire.Message) (*Result, error) {
	return message(c, body, m, false)
}

func message(c Config, body []byte, m *wire.Message, request bool) (*Result, error) {
	r := &Result{Action: Allow, Usage: m.Usage, Verdicts: make([]Looked, 0, min(len(m.Parts), maxVerdicts))}
	err := r.unknown(&c.Policy, m.Unknown)
	var all []wire.Edit
	var told []bool
	if request {
		told = r.withhold(&c, m.Parts)
	}
	for i, p := range m.Parts {
		if err != nil {
			break
		}
		if p.Kind == wire.Media || p.Text == "" {
			continue
		}
		var edits []edit
		edits, err = r.part(&c, p, request)
		if err == nil && (len(edits) > 0 || told != nil && told[i]) {
			all = append(all, wire.Edit{Span: p.Span, Text: apply(p.Text, 0, len(p.Text), edits, p.Kind == wire.ToolCall)})
		}
	}
	if err == nil && !request {
		err = r.formed(&c, m.Parts)
	}
	if err == nil && !request {
		err = r.together(&c, m.Parts)
	}
	if err == nil && len(all) > 0 {
		var e error
		if body, e = wire.Rewrite(body, all); e != nil {
			err = &Blocked{guard.Policy, e.Error()}
		}
	}
	if err != nil {
		r.Action = Block
		return r, err
	}
	r.Body = body
	return r, nil
}

// withheld is said in place of a secret that the model is not told.
const withheld = "[withheld]"

// withhold takes secrets out of the application's words, and says of which parts. The
// inspectors see what the model will: what one of them masks is put back later, and must
// not have a secret in it.
func (r *Result) withhold(c *Config, parts []wire.Part) (changed []bool) {
	if c.Withholding == nil {
		return nil
	}
	var texts []string
	var of []int
	for i, p := range parts {
		if (p.Kind == wire.System || p.Kind == wire.ToolSpec) && p.Text != "" {
			texts, of = append(texts, p.Text), append(of, i)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	spans, kept := c.Withholding.Look(texts)
	r.Kept = kept
	for k, list := range spans {
		if len(list) == 0 {
			continue
		}
		if changed == nil {
			changed = make([]bool, len(parts))
		}
		edits := make([]edit, len(list))
		for n, s := range list {
			edits[n] = edit{from: s.From, to: s.To, text: withheld}
		}
		p := &parts[of[k]]
		p.Text, changed[of[k]] = apply(p.Text, 0, len(p.Text), edits, false), true
		r.Withheld += len(list)
	}
	return changed
}

// part inspects one text of a message.
func (r *Result) part(c *Config, p wire.Part, request bool) (edits []edit, err error) {
	engine, policy, memory := c.of(p.Kind)
	var v guard.Verdict
	if request { // outside of the memory: the caller may say what it knows
		v, err = engine.InspectAsked(p.Text, roleOf(p.Kind))
	} else {
		v, err = engine.InspectIn(memory, p.Text, roleOf(p.Kind))
	}
	if err != nil {
		return nil, unseen(err)
	}
	if len(r.Verdicts) < maxVerdicts {
		r.Verdicts = append(r.Verdicts, Looked{p.Where, p.Kind, v})
	}
	if !request {
		edits = c.Vault.edits(p.Text, 0)
		r.Restored += len(edits)
	}
	for _, rep := range v.Reports {
		if rep.State == guard.Failed && engine.FailClosed() {
			return nil, &Blocked{guard.Shape, "inspector " + rep.Name + " could not look"}
		}
		for _, f := range rep.Findings {
			a := policy.action(f)
			r.note(p.Where, p.Kind, f, a)
			if f.Category == guard.Secret && a.rank() < Mask.rank() {
				r.Kept = guard.Kept{} // the policy lets the model know it after all
			}
			switch a {
			case Block:
				return nil, &Blocked{f.Category, f.Note}
			case Mask, Rewrite:
				vault := c.Vault
				if !request {
					vault = nil
				}
				for _, sp := range f.Spans {
					with, ok := policy.replacement(vault, f, a, p.Text[sp.From:sp.To])
					if !ok {
						return nil, &Blocked{f.Category, f.Note + ", and there are too many to replace"}
					}
					edits = addEdit(edits, edit{from: sp.From, to: sp.To, text: with})
					r.Masked++
				}
			}
		}
	}
	return edits, nil
}

// together looks for what is spread over the parts of an answer.
func (r *Result) together(c *Config, parts []wire.Part) error {
	n := 0
	for _, p := range parts {
		if p.Text != "" {
			n++
		}
	}
	if n < 2 { // most answers have one text
		return nil
	}
	joined := c.Engine.NewJoined(c.Memory)
	if joined == nil {
		return nil
	}
	s := &Session{c: *c}
	var err error
	for _, p := range parts {
		found, e := joined.Write(p.Text)
		if e != nil {
			return unseen(e)
		}
		if err = s.across(found); err != nil {
			break
		}
	}
	if err == nil {
		found, e := joined.EndJoined()
		if e != nil {
			return unseen(e)
		}
		err = s.across(found)
	}
	r.Notes = append(r.Notes, s.result.Notes...)
	return err
}
