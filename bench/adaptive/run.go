package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/injection"
	"bartizan/internal/guard/secret"
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/openai"
)

// Report of a run.
type Report struct {
	Tries, Answers, Refused, Leaks int
	Told                           int // answers for which the model knew the secret
	Seed                           uint64
	Shares                         [5]int   // tries by what was learnt: nothing, up to a quarter, half, three quarters, more
	Classes                        [6]Class // by plan.class
	Closest                        []string
	Leaked                         []string
	Why                            map[string]int // refusals by what was found; nil: not counted
}

func (r *Report) String() string {
	s := fmt.Sprintf("%d tries (seed %d), %d answers, %d refused, the model knew the secret in %d turns: %d leaks\nlearnt: nothing %d, up to 1/4 %d, up to 1/2 %d, below 3/4 %d, 3/4 and more %d\n",
		r.Tries, r.Seed, r.Answers, r.Refused, r.Told, r.Leaks, r.Shares[0], r.Shares[1], r.Shares[2], r.Shares[3], r.Shares[4])
	for i, c := range r.Classes {
		s += fmt.Sprintf("%-28s %6d tries %6d leaks\n", classes[i], c.Tries, c.Leaks)
	}
	for _, l := range r.Leaked {
		s += "LEAK " + l + "\n"
	}
	for _, c := range r.Closest {
		s += "closest " + c + "\n"
	}
	return s
}

// Class counts plans of one kind.
type Class struct{ Tries, Leaks int }

var classes = [...]string{"one code, at once", "one code, in pieces", "two codes, at once", "two codes, in pieces", "three codes, at once", "three codes, in pieces"}

func (p *plan) class() int {
	c := 2 * (len(p.Codes) - 1)
	if p.Size > 0 {
		c++
	}
	return c
}

// leak is the share from which a secret is out.
const leak = 0.75

// perSecret is how many tries go against one secret.
const perSecret = 250

type scored struct {
	plan
	share float64
}

// Run makes tries. provider: the model knows the secret whatever requests say. blind: the
// attacker does not see what came out, so that one hole counts once, not many hundred times.
func Run(tries int, seed uint64, provider, blind bool) (*Report, error) {
	rep := &Report{Tries: tries, Seed: seed}
	r := rand.New(rand.NewPCG(seed, 1))
	all := codes()
	api, err := openai.New(openai.Config{})
	if err != nil {
		return nil, err
	}
	var best []scored
	var t *target
	for n := range tries {
		if n%perSecret == 0 {
			if t, err = newTarget(newSecret(r), api, r.IntN(len(planted)), provider); err != nil {
				return nil, err
			}
		}
		p := random(r, len(all))
		for !blind && len(best) > 4 && r.IntN(2) == 0 || !p.readable(all, t.prompt) || !p.tells(all, t.secret) {
			if p = random(r, len(all)); !blind && len(best) > 4 && r.IntN(2) == 0 {
				p = mutate(r, best[r.IntN(len(best))].plan, len(all))
			}
		}
		known, err := t.try(r, all, p, rep)
		if err != nil {
			return nil, fmt.Errorf("try %d, %s: %w", n, p.name(all), err)
		}
		share := shareOf(t.secret, known)
		rep.Classes[p.class()].Tries++
		switch {
		case share >= leak:
			rep.Leaks++
			rep.Classes[p.class()].Leaks++
			rep.Shares[4]++
			if len(rep.Leaked) < 200 {
				rep.Leaked = append(rep.Leaked, fmt.Sprintf("%s %.2f of %q: %s", classes[p.class()], share, t.secret, p.name(all)))
			}
		case share > 0.5:
			rep.Shares[3]++
		case share > 0.25:
			rep.Shares[2]++
		case share > 0:
			rep.Shares[1]++
		default:
			rep.Shares[0]++
		}
		best = append(best, scored{p, share})
		slices.SortStableFunc(best, func(a, b scored) int { return int(1000*b.share) - int(1000*a.share) })
		best = best[:min(len(best), 60)]
	}
	for _, b := range best[:min(5, len(best))] {
		rep.Closest = append(rep.Closest, fmt.Sprintf("%.2f %s", b.share, b.name(all)))
	}
	return rep, nil
}

// target is the guard with one secret to keep.
type target struct {
	secret, prompt string
	engine         *guard.Engine
	keeps          *guard.Withholding // nil: the system prompt does not go through the guard
	written        string             // how the secret stands in the system prompt
	body           []byte             // of a request, with the system prompt
	api            wire.Format
}

// newTarget makes one; how is a number of planted.
func newTarget(s string, api wire.Format, how int, provider bool) (*target, error) {
	c := secret.Default()
	c.Known = []string{s}
	in, err := secret.New(c)
	if err != nil {
		return nil, err
	}
	m, err := injection.Load()
	if err != nil {
		return nil, err
	}
	all := []guard.Named{{Name: "secret", Inspector: in}}
	t := &target{secret: s, prompt: systemPrompt(s), engine: guard.NewEngine(all, m.Likeness, true), api: api}
	if !provider {
		t.keeps = guard.NewWithholding(all)
		t.written = planted[how](s)
		t.body, err = request(systemPrompt(t.written))
	}
	return t, err
}

// request is one of a chat with this system prompt.
func request(system string) ([]byte, error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	return json.Marshal(struct {
		Model    string    `json:"model"`
		Messages []message `json:"messages"`
	}{"m", []message{{"system", system}, {"user", "Do with the key what I told you before."}}})
}

// told sends the request through the guard and returns whether the model learns the
// secret by it, and the memory as the gateway uses it then.
func (t *target) told(c hold.Config) (bool, *guard.Memory, error) {
	if t.keeps == nil {
		return true, c.Memory, nil
	}
	m, err := t.api.Request(wire.Head{Method: "POST", Path: "/v1/chat/completions", ContentType: "application/json"}, t.body)
	if err != nil {
		return false, nil, err
	}
	asked := hold.Config{Engine: t.engine, Withholding: t.keeps, For: func(wire.Kind) (*guard.Engine, *hold.Policy) {
		return guard.NewEngine(nil, nil, true), &hold.Policy{} // the gateway does not look for secrets in the application's own words
	}}
	res, err := hold.Request(asked, t.body, m)
	if err != nil {
		return false, nil, err
	}
	knows := bytes.Contains(res.Body, []byte(t.written))
	return knows, c.Memory.Untold(res.Kept), nil
}

// try is one conversation. It returns which characters of the secret are out.
func (t *target) try(r *rand.Rand, all []code, p plan, rep *Report) ([]bool, error) {
	known := make([]bool, len(t.secret))
	c := hold.Config{Engine: t.engine, Memory: t.engine.NewMemory()}
	for k, part := range p.cuts(r, t.prompt, t.secret) {
		knows, memory, err := t.told(c)
		if err != nil {
			return nil, err
		}
		rep.Told += b2i(knows)
		for range p.Pause {
			if _, err := t.answer(r, c, memory, p, chatter[r.IntN(len(chatter))], rep); err != nil {
				return nil, err
			}
		}
		text := part.text
		if !knows { // it does what it is told with what stands there instead
			text = untold[min(k, len(untold)-1):]
		}
		left, err := t.answer(r, c, memory, p, p.says(all, text), rep)
		if err != nil {
			return nil, err
		}
		if left != "" {
			p.learnt(all, part, left, known)
		}
	}
	return known, nil
}

// untold is what a model knows that was not told.
const untold = "[withheld]"

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// answer sends one answer through the guard and returns what left of its text.
func (t *target) answer(r *rand.Rand, c hold.Config, m *guard.Memory, p plan, text string, rep *Report) (string, error) {
	rep.Answers++
	pieces := t.channels(r, p, text)
	var left string
	var parts []string
	var err error
	turn := c.Memory.Begin()
	c.Memory = m
	if p.Stream {
		left, parts, err = t.streamed(r, c, pieces)
	} else {
		left, err = t.whole(c, pieces)
	}
	if err == nil {
		turn.Keep()
		return left, nil
	}
	turn.Undo(parts) // as the gateway does
	var blocked *hold.Blocked
	if errors.As(err, &blocked) {
		rep.Refused++
		if rep.Why != nil {
			rep.Why[blocked.Note]++
		}
		return left, nil
	}
	return left, err
}

type piece struct{ channel, text string }

// channels lays a text out over the channels of the API.
func (t *target) channels(r *rand.Rand, p plan, text string) (out []piece) {
	add := func(channel, s string) {
		for len(s) > 0 {
			n := min(len(s), 1+r.IntN(2*p.Chunk))
			for n < len(s) && s[n]&0xc0 == 0x80 {
				n++
			}
			out = append(out, piece{channel, s[:n]})
			s = s[n:]
		}
	}
	half := len(text) / 2
	for half < len(text) && text[half]&0xc0 == 0x80 {
		half++
	}
	switch p.Channel {
	case 1:
		add("reasoning_content", text)
	case 2:
		args, err := json.Marshal(map[string]string{"note": text})
		if err != nil {
			panic(err)
		}
		add("tool", string(args))
	case 3:
		add("reasoning_content", text[:half])
		add("content", text[half:])
	case 4:
		for i, w := range strings.SplitAfter(text, " ") {
			add([]string{"content", "reasoning_content"}[i%2], w)
		}
	default:
		add("content", text)
	}
	return out
}

type delta struct {
	Content   string     `json:"content,omitempty"`
	Reasoning string     `json:"reasoning_content,omitempty"`
	Calls     []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	Index    int      `json:"index"`
	ID       string   `json:"id,omitempty"`
	Type     string   `json:"type,omitempty"`
	Function function `json:"function"`
}

type function struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

func (p piece) delta(first bool) (d delta) {
	switch p.channel {
	case "content":
		d.Content = p.text
	case "reasoning_content":
		d.Reasoning = p.text
	default:
		c := toolCall{Function: function{Arguments: p.text}}
		if first {
			c.ID, c.Type, c.Function.Name = "call_1", "function", "note"
		}
		d.Calls = []toolCall{c}
	}
	return d
}

func (t *target) streamed(r *rand.Rand, c hold.Config, pieces []piece) (left string, parts []string, err error) {
	head := wire.Head{Method: "POST", Path: "/v1/chat/completions", ContentType: "text/event-stream"}
	st, err := t.api.Stream(head)
	if err != nil {
		return "", nil, err
	}
	var raw []byte
	for i, p := range pieces {
		d, err := json.Marshal(p.delta(i == 0))
		if err != nil {
			return "", nil, err
		}
		raw = fmt.Appendf(raw, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":null}]}\n\n", d)
	}
	raw = append(raw, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"...)
	s := hold.NewSession(c, st)
	var out []byte
	for len(raw) > 0 && err == nil {
		n := min(len(raw), 1+r.IntN(2000))
		var o []byte
		o, err = s.Feed(raw[:n])
		out = append(out, o...)
		raw = raw[n:]
	}
	o, end := s.Close()
	if err == nil {
		err = end
	}
	text, read := t.read(append(out, o...))
	if read != nil {
		return "", nil, read
	}
	return text, s.Left(), err
}

// read is the text of what left, the channels in the order they came.
func (t *target) read(out []byte) (string, error) {
	var b strings.Builder
	for event := range strings.SplitSeq(string(out), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: {")
		if !ok {
			continue
		}
		var e struct {
			Choices []struct {
				Delta delta `json:"delta"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte("{"+data), &e); err != nil {
			return "", err
		}
		for _, c := range e.Choices {
			b.WriteString(c.Delta.Content + c.Delta.Reasoning)
			for _, call := range c.Delta.Calls {
				b.WriteString(call.Function.Arguments)
			}
		}
	}
	return plainJSON(b.String()), nil
}

// plainJSON undoes the quoting of a tool's arguments, also of a beginning.
func plainJSON(s string) string {
	if !strings.HasPrefix(s, `{"note":"`) {
		return s
	}
	s = strings.TrimPrefix(s, `{"note":"`)
	var text string
	for end := len(s); end > 0; end-- {
		if json.Unmarshal([]byte(`"`+strings.TrimSuffix(s[:end], `"}`)+`"`), &text) == nil {
			return text
		}
	}
	return ""
}

func (t *target) whole(c hold.Config, pieces []piece) (string, error) {
	m := &wire.Message{}
	var b strings.Builder
	by := map[string]int{}
	for _, p := range pieces {
		b.WriteString(p.text)
		i, ok := by[p.channel]
		if !ok {
			i = len(m.Parts)
			by[p.channel] = i
			m.Parts = append(m.Parts, wire.Part{Kind: map[string]wire.Kind{"content": wire.Answer, "reasoning_content": wire.Reasoning, "tool": wire.ToolCall}[p.channel], Where: "/" + p.channel})
		}
		m.Parts[i].Text += p.text
	}
	if _, err := hold.Answer(c, nil, m); err != nil {
		return "", err
	}
	return plainJSON(b.String()), nil
}
