package hold

import (
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// expects says whether a text is one that a schema of the request may be about.
func (c *Config) expects(p wire.Part) bool {
	return c.Judge != nil && p.Formed && (p.Kind == wire.Answer || p.Kind == wire.ToolCall)
}

// judge holds a text to the schemas of the request.
func (r *Result) judge(c *Config, where string, k wire.Kind, tool, text string) []guard.Finding {
	engine, _, _ := c.of(k)
	if k != wire.ToolCall {
		tool = ""
	} else if tool == "" {
		return nil // a call of nobody's
	}
	v := &guard.Verdict{}
	for i := range r.Verdicts {
		if l := &r.Verdicts[i]; l.Where == where && l.Kind == k {
			v = &l.Verdict
		}
	}
	return engine.Judged(v, c.Judges, func() ([]guard.Finding, error) { return c.Judge(tool, text) })
}

// refuse acts on what is found about a whole text.
func (r *Result) refuse(c *Config, where string, k wire.Kind, found []guard.Finding) error {
	_, policy, _ := c.of(k)
	for _, f := range found {
		a := policy.action(f)
		r.note(where, k, f, a)
		if a == Block {
			return &Blocked{f.Category, f.Note}
		}
	}
	return nil
}

// formed judges an answer that is not streamed. What a candidate says in several parts
// may be one text in pieces.
func (r *Result) formed(c *Config, parts []wire.Part) error {
	whole := map[string]string{}
	for i := range parts {
		if p := &parts[i]; c.expects(*p) && p.Kind == wire.Answer {
			whole[candidate(p.Where)] += p.Text
		}
	}
	for i := range parts {
		p := &parts[i]
		if !c.expects(*p) {
			continue
		}
		found := r.judge(c, p.Where, p.Kind, p.Name, p.Text)
		if all := whole[candidate(p.Where)]; len(found) > 0 && p.Kind == wire.Answer && all != p.Text {
			if again, err := c.Judge("", all); err == nil && len(again) == 0 {
				continue
			}
		}
		if err := r.refuse(c, p.Where, p.Kind, found); err != nil {
			return err
		}
	}
	return nil
}

// candidate is the beginning of a pointer: /candidates/0.
func candidate(where string) string {
	for i, n := 0, 0; i < len(where); i++ {
		if where[i] == '/' {
			if n++; n == 3 {
				return where[:i]
			}
		}
	}
	return where
}

// expect notes a channel that is judged at the end.
func (s *Session) expect(ch *channel, p wire.Part) {
	if s.c.expects(p) && len(s.formed) < 2*MaxChannels {
		s.formed = append(s.formed, ch)
	}
}

// judgeFormed judges what was streamed, when it is complete.
func (s *Session) judgeFormed() error {
	list := s.formed
	s.formed = nil
	for _, ch := range list {
		text := ch.live.Text()
		if ch.whole && text == "{}" && s.streamed(ch) {
			continue // Anthropic's calls begin with empty arguments, and pieces follow
		}
		if err := s.result.refuse(&s.c, ch.name, ch.kind, s.result.judge(&s.c, ch.name, ch.kind, ch.tool, text)); err != nil {
			return err
		}
	}
	return nil
}

// streamed says whether pieces of what a channel has came beside it.
func (s *Session) streamed(ch *channel) bool {
	under := ch.name[:strings.LastIndexByte(ch.name, '/')+1]
	for _, o := range s.all {
		if o.kind == ch.kind && o.name[:strings.LastIndexByte(o.name, '/')+1] == under {
			return true
		}
	}
	return false
}
