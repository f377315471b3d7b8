package hold

import (
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// channel is one text of a stream, or one part of a message.
type channel struct {
	name   string
	kind   wire.Kind
	engine *guard.Engine
	policy *Policy
	live   *guard.Live
	edits  []edit
	safe   int // what stands before it may leave
	left   int // what stands before it has left
	marked int // what stands before it was searched for placeholders
	judged int // what stands before it was inspected as sentences
	tool   string
	whole  bool // it came in one piece
	done   bool
}

// roleOf says who wrote a text: who may give orders decides what is an attack.
func roleOf(k wire.Kind) guard.Role {
	switch k {
	case wire.ToolResult, wire.Document, wire.ToolSpec:
		return guard.Document
	}
	return guard.User
}

func (s *Session) channel(name string, p wire.Part) *channel {
	engine, policy, memory := s.c.of(p.Kind)
	return &channel{name: name, kind: p.Kind, tool: p.Name, engine: engine, policy: policy, live: engine.NewLive(memory, roleOf(p.Kind), policy.atOnce)}
}

// write continues a channel and decides how much of it may leave.
func (s *Session) write(ch *channel, text string) error {
	found, err := ch.live.Write(text)
	if err != nil {
		return unseen(err)
	}
	if err := s.act(ch, found); err != nil {
		return err
	}
	ch.safe = ch.live.Safe()
	if v := s.c.Vault; v != nil {
		so := ch.live.Text()
		s.restore(ch, so)
		ch.safe = min(ch.safe, max(ch.left, len(so)-v.holds(so)))
	}
	switch s.c.Policy.Wait {
	case Whole:
		ch.safe = 0
	case Sentences:
		if err := s.sentences(ch); err != nil {
			return err
		}
		ch.safe = min(ch.safe, ch.judged)
	}
	return nil
}

// restore puts values in place of placeholders.
func (s *Session) restore(ch *channel, text string) {
	for _, e := range s.c.Vault.edits(text, ch.marked) {
		ch.edits = addEdit(ch.edits, e)
		s.result.Restored++
	}
	ch.marked = max(ch.marked, len(text)-maxMark, 0)
	for _, e := range ch.edits { // never find one again
		if e.restored {
			ch.marked = max(ch.marked, e.to)
		}
	}
}

// maxSentence is where a text without an end of a sentence is cut.
const maxSentence = 4 << 10

// sentences inspects what has become complete, together with the sentence before.
func (s *Session) sentences(ch *channel) error {
	text := ch.live.Text()
	end := ch.judged
	for i := len(text) - 1; i > ch.judged; i-- {
		if c := text[i]; c == '\n' || c == ' ' && strings.IndexByte(".!?:;", text[i-1]) >= 0 {
			end = i
			break
		}
	}
	if end == ch.judged && len(text)-ch.judged > maxSentence {
		end = len(text)
	}
	if end == ch.judged {
		return nil
	}
	v, err := ch.engine.Inspect(strings.ToValidUTF8(text[max(0, ch.judged-maxSentence/4):end], "\uFFFD"), roleOf(ch.kind))
	if err != nil {
		return unseen(err)
	}
	ch.judged = end
	return s.verdict(ch, v, false)
}

// act carries out what the windows found.
func (s *Session) act(ch *channel, found []guard.Finding) error {
	for _, f := range found {
		a := ch.policy.action(f)
		s.result.note(ch.name, ch.kind, f, a)
		switch a {
		case Block:
			return &Blocked{f.Category, f.Note}
		case Mask, Rewrite:
			if err := s.replace(ch, f, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace edits the spans of a finding.
func (s *Session) replace(ch *channel, f guard.Finding, a Action) error {
	text := ch.live.Text()
	for _, sp := range f.Spans {
		if sp.From < ch.left {
			return &Blocked{f.Category, f.Note + ", found too late to replace it"}
		}
		with, ok := ch.policy.replacement(nil, f, a, text[sp.From:sp.To])
		if !ok {
			return &Blocked{f.Category, f.Note + ", and there are too many to replace"}
		}
		ch.edits = addEdit(ch.edits, edit{from: sp.From, to: sp.To, text: with})
		s.result.Masked++
	}
	return nil
}

// finishChannel judges the whole text, once.
func (s *Session) finishChannel(ch *channel) error {
	if ch.done {
		return nil
	}
	ch.done = true
	found, v, err := ch.live.End()
	if err != nil {
		return unseen(err)
	}
	if err := s.act(ch, found); err != nil {
		return err
	}
	if s.c.Vault != nil {
		s.restore(ch, ch.live.Text())
	}
	if len(s.result.Verdicts) < maxVerdicts {
		s.result.Verdicts = append(s.result.Verdicts, Looked{ch.name, ch.kind, v})
	}
	if err := s.verdict(ch, v, true); err != nil {
		return err
	}
	ch.safe = ch.live.Len()
	return nil
}

// verdict carries out the judgement of inspectors that read more than a window.
// Of what can be replaced only what the windows have not seen is left.
func (s *Session) verdict(ch *channel, v guard.Verdict, whole bool) error {
	for _, r := range v.Reports {
		for _, f := range r.Findings {
			a := ch.policy.action(f)
			if a == Mask || a == Rewrite {
				if !whole || s.replaced(ch, f) {
					continue
				}
				if err := s.replace(ch, f, a); err != nil {
					return err
				}
			}
			s.result.note(ch.name, ch.kind, f, a)
			if a == Block {
				return &Blocked{f.Category, f.Note}
			}
		}
		if r.State == guard.Failed && ch.engine.FailClosed() {
			return &Blocked{guard.Shape, "inspector " + r.Name + " could not look"}
		}
	}
	return nil
}

// replaced says whether every span of a finding is edited already.
func (s *Session) replaced(ch *channel, f guard.Finding) bool {
	for _, sp := range f.Spans {
		if !touched(ch.edits, sp.From, sp.To) {
			return false
		}
	}
	return true
}

// whole takes an event that repeats a whole text.
func (s *Session) whole(ev *event, d wire.Delta) error {
	ch := s.open[string(d.Kind)+"\x00"+d.Channel]
	if ch == nil || ch.live.Text() != d.Text {
		ch = nil
		for _, o := range s.all {
			if o.live.Len() == len(d.Text) && o.live.Text() == d.Text {
				ch = o
			}
		}
	}
	if ch == nil { // not what was streamed: a text of its own
		if s.spoken += len(d.Text); s.spoken > s.c.Policy.MaxStream {
			return &Blocked{guard.Shape, "more text than is inspected"}
		}
		ch = s.channel(d.Channel, d.Part)
		ch.whole = true
		s.expect(ch, d.Part)
		if err := s.write(ch, d.Text); err != nil {
			return err
		}
	}
	if err := s.finishChannel(ch); err != nil {
		return err
	}
	if len(ch.edits) > 0 {
		ev.edits = append(ev.edits, wire.Edit{Span: d.Span, Text: apply(d.Text, 0, len(d.Text), ch.edits, ch.kind == wire.ToolCall)})
	}
	return nil
}

// note keeps a finding for the audit; what nothing was done about is kept too
// when a rule found it.
func (r *Result) note(where string, k wire.Kind, f guard.Finding, a Action) {
	r.Action = stronger(r.Action, a)
	if a == Allow && len(f.Spans) == 0 {
		return
	}
	for i := range r.Notes {
		n := &r.Notes[i]
		if n.Where == where && n.Action == a && n.Finding.Note == f.Note && len(n.Finding.Spans)+len(f.Spans) < maxNotes {
			n.Finding.Spans = append(n.Finding.Spans, f.Spans...)
			return
		}
	}
	if len(r.Notes) < maxNotes {
		r.Notes = append(r.Notes, Noted{where, k, f, a})
	}
}
