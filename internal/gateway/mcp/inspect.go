package mcp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bartizan/internal/credential"
	"bartizan/internal/gateway/mcp/said"
	"bartizan/internal/guard"
	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
)

// inspect lets the guard look at what a server sends. It returns the message to
// forward, or why nothing may be forwarded.
func (s *Session) inspect(raw, body jsontext.Value, l *Line) (out []byte, refused string) {
	conf := s.gate.conf.Results
	if body == nil {
		return raw, ""
	}
	t := said.In(body)
	if t.Media && conf.Media == Refuse {
		return nil, "it has images, audio or other bytes, which are not looked at"
	}
	if t.Unread {
		l.Why = append(l.Why, "bytes in it were not looked at")
	}
	if found := credential.Find(t.Names); len(found) > 0 && (conf.Secrets == Mask || conf.Secrets == Refuse) {
		s.raise(leakedSecret, "names in "+l.Method+" "+l.Tool, found[0].Name)
		return nil, "it has " + found[0].Name + " as a name, which could not be masked"
	}
	if bad := s.named(t.Names, l); bad != "" {
		s.raise(hostileResult, "answer of "+l.Method+" "+l.Tool, bad)
		return nil, "the guard found " + bad
	}
	text := t.Text
	if text == "" {
		return raw, ""
	}
	if len(text) > int(conf.MaxBytes) {
		s.raise(hostileResult, "answer", "too long to be looked at")
		return nil, fmt.Sprintf("its text of %d bytes is longer than what is looked at", len(text))
	}
	v, err := s.gate.engine.InspectAsked(text, guard.Document)
	if err != nil {
		return nil, "it could not be looked at: " + err.Error()
	}
	block, flag, leak := weigh(v)
	switch {
	case block != "" && conf.Block == Refuse:
		s.raise(hostileResult, "answer of "+l.Method+" "+l.Tool, block)
		return nil, "the guard found " + block
	case block != "":
		s.raise(hostileResult, "answer of "+l.Method+" "+l.Tool, block)
		l.Done, l.Why = "flagged", append(l.Why, block)
	case flag != "" && conf.Flag == Refuse:
		s.raise(hostileResult, "answer of "+l.Method+" "+l.Tool, flag)
		return nil, "the guard found " + flag
	case flag != "" && conf.Flag == Flag:
		s.raise(hostileResult, "answer of "+l.Method+" "+l.Tool, flag)
		l.Done, l.Why = "flagged", append(l.Why, flag)
	}
	if leak == "" || conf.Secrets == Pass {
		return raw, ""
	}
	s.raise(leakedSecret, "answer of "+l.Method+" "+l.Tool, leak)
	switch conf.Secrets {
	case Refuse:
		return nil, "it has " + leak
	case Mask:
		return s.maskSecrets(raw, leak, l)
	}
	l.Done, l.Why = "flagged", append(l.Why, leak)
	return raw, ""
}

// named looks at the names of members: no sentences, but what must not leave may stand there as well. It says what is blocked.
func (s *Session) named(names string, l *Line) string {
	if len(names) > int(s.gate.conf.Results.MaxBytes) {
		return "more names than are looked at"
	}
	v, err := s.gate.engine.InspectAsked(names, guard.Unknown)
	if err != nil {
		return "names that could not be looked at: " + err.Error()
	}
	for _, r := range v.Reports {
		for _, f := range r.Findings {
			if f.Category != guard.Secret && f.Category != guard.Policy && f.Category != guard.Link {
				continue // a list of words is no order
			}
			note := r.Name + ": " + safe.Clean(f.Note, 100)
			if f.Score >= guard.BlockScore {
				return note
			}
			if f.Score >= guard.FlagScore {
				s.raise(leakedSecret, "names in "+l.Method+" "+l.Tool, note)
				l.Done, l.Why = "flagged", append(l.Why, note)
			}
		}
	}
	return ""
}

// weigh sums up a verdict. Credentials are apart: they are taken out, not refused,
// unless they are a canary or known.
func weigh(v guard.Verdict) (block, flag, leak string) {
	for _, r := range v.Reports {
		if r.State == guard.Failed {
			flag = r.Name + " could not look"
		}
		for _, f := range r.Findings {
			note := r.Name + ": " + safe.Clean(f.Note, 100)
			switch {
			case f.Score >= guard.BlockScore:
				block = note
			case f.Score < guard.FlagScore:
			case f.Category == guard.Secret:
				leak = note
			default:
				flag = note
			}
		}
	}
	return block, flag, leak
}

// maskSecrets puts the name of a credential in its place. One that is encoded, or
// spread over several texts, is not found in a single one: then nothing passes, and
// neither does it because another one could be masked.
func (s *Session) maskSecrets(raw []byte, leak string, l *Line) ([]byte, string) {
	out, changed, err := mcp.Rewrite(raw, credential.Mask)
	if err != nil || !changed || len(credential.Find(mcp.Strings(out, true, nil))) > 0 {
		return nil, "it has " + leak + ", which could not be masked"
	}
	v, err := s.gate.engine.InspectAsked(said.In(out).Text, guard.Document)
	if err != nil {
		return nil, "it could not be looked at: " + err.Error()
	}
	if _, _, leak := weigh(v); leak != "" {
		return nil, "it has " + leak + ", which could not be masked"
	}
	l.Done, l.Why = "masked", append(l.Why, leak)
	return out, ""
}

// keptTools are the definitions that the client gets.
type keptTools struct {
	tools   [][]byte
	of      int // how many there were
	changed bool
	why     []string
}

// listed looks at one page of a server's tools and notes what may be called.
func (s *Session) listed(result jsontext.Value) (*keptTools, jsontext.Value, error) {
	var list, next jsontext.Value
	if result.Kind() != '{' {
		return nil, nil, errors.New("its list of tools cannot be read: not an object")
	}
	err := mcp.Members(result, func(name string, v jsontext.Value, _ int) error {
		switch name {
		case "tools":
			list = v
		case "nextCursor":
			if v.Kind() == '"' && len(v) > 2 {
				next = v
			}
		}
		return nil
	})
	if err != nil || list == nil || list.Kind() != '[' {
		return nil, nil, errors.New("its list of tools cannot be read")
	}
	var tools []mcp.Tool
	k := &keptTools{}
	seen := map[string]bool{}
	if err := mcp.Elements(list, func(v jsontext.Value) error {
		if k.of++; k.of > maxPinned {
			return fmt.Errorf("more than %d tools", maxPinned)
		}
		t, err := mcp.ParseTool(v)
		if err == nil && seen[t.Name] {
			err = errors.New("a name twice")
		}
		if err != nil {
			s.raise(poisonedTool, "a definition", err.Error())
			k.out(safe.Clean(t.Name, 100) + ": " + err.Error())
			return nil
		}
		seen[t.Name] = true
		tools = append(tools, t)
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("its list of tools: %w", err)
	}
	wrong, err := s.judge(tools)
	if err != nil {
		return nil, nil, err
	}
	power := map[string]mcp.Power{}
	for _, t := range tools {
		if power[t.Name], err = mcp.ToolPower(t); err != nil {
			return nil, nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tools {
		why := wrong[t.Name]
		if len(s.tools) < maxPinned {
			s.tools[t.Name] = offer{why, power[t.Name], t.Properties()}
		}
		if why != "" {
			k.out(safe.Clean(t.Name, 100) + ": " + why)
			continue
		}
		k.tools = append(k.tools, t.Raw)
	}
	s.verified, s.verifiedAt = next == nil, time.Now()
	return k, next, nil
}

func (k *keptTools) out(why string) {
	k.changed = true
	if len(k.why) < 20 {
		k.why = append(k.why, why)
	}
}

// judge says which tools may not be used, and why.
func (s *Session) judge(tools []mcp.Tool) (map[string]string, error) {
	wrong := map[string]string{}
	others, err := s.gate.pins.others(s.server)
	if err != nil {
		return nil, err
	}
	var pinnable []mcp.Tool
	for _, t := range tools {
		if s.decoyOf(t.Name) != nil {
			wrong[t.Name] = "a decoy has its name"
			continue
		}
		if !s.agent.policy.mentioned(s.server, t.Name) {
			wrong[t.Name] = "the policy of agent " + s.agent.name + " does not allow it"
			continue
		}
		if bad := s.definitionWrong(t.Texts()); bad != "" {
			s.raise(poisonedTool, "tool "+t.Name, bad)
			if s.gate.conf.Definitions == Refuse {
				wrong[t.Name] = "its definition: " + bad
				continue // and it is not accepted by being seen
			}
		}
		if bad := shadows(t, others); bad != "" {
			s.raise(shadowTool, "tool "+t.Name, bad)
			if s.gate.conf.Shadowing == Refuse {
				wrong[t.Name] = bad
				continue
			}
		}
		pinnable = append(pinnable, t)
	}
	if s.gate.conf.Pins == "off" {
		return wrong, nil
	}
	verdicts, err := s.gate.pins.compare(s.server, pinnable, s.gate.conf.Pins == "first-use", time.Now().UTC())
	if err != nil {
		return nil, fmt.Errorf("compare with the accepted definitions: %w", err)
	}
	for _, t := range pinnable {
		v := verdicts[t.Name]
		if v.ok {
			continue
		}
		if !v.known {
			wrong[t.Name] = "nobody has accepted its definition (bartizan guard mcp pin " + s.server + ")"
			continue
		}
		s.raise(rugPull, "tool "+t.Name, strings.ReplaceAll(v.diff, "\n", " "))
		wrong[t.Name] = "its definition changed after it was accepted (bartizan guard mcp pins shows how)"
	}
	return wrong, nil
}

// shadows says whether a tool imitates or speaks of a tool of another server.
func shadows(t mcp.Tool, others map[string][]string) string {
	var names []string
	look := mcp.Plain(t.Name)
	for name := range others {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		servers := others[name]
		if mcp.Plain(name) == look {
			slices.Sort(servers)
			return fmt.Sprintf("server %s has a tool of this name, or one that looks like it", servers[0])
		}
	}
	if said := mcp.Mentions(t.Texts(), names); len(said) > 0 {
		return fmt.Sprintf("it speaks of %s, a tool of server %s", safe.Clean(said[0], 60), others[said[0]][0])
	}
	return ""
}
