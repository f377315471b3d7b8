package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/mcp/habit"
	"bartizan/internal/guard"
	"bartizan/internal/mcp"
	"bartizan/internal/model"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
)

// Asker puts a question of the gateway's own to the server and returns the answer.
type Asker func(ctx context.Context, method string, params []byte) (mcp.Message, error)

// Later is the rest of the work on a message that has to wait for the server or for
// a person.
type Later func(ctx context.Context, ask Asker) Outcome

// FromClient decides about one message of the client. When the second result is not
// nil the first is empty, and the function says it, some time later.
func (s *Session) FromClient(raw []byte) (Outcome, Later) {
	if mcp.IsBatch(raw) {
		return s.batch(raw, true), nil
	}
	m, err := mcp.ParseMessage(raw)
	if err != nil {
		s.note(Line{From: "client", Kind: "malformed", Bytes: len(raw), Done: "refused", Why: []string{err.Error()}, Hash: hashOf(raw)})
		s.raise(smuggled, "message of the client", err.Error())
		return Outcome{Answer: mcp.Failure(s.waiter(raw), mcp.CodeParse, "the gateway refused a malformed message: "+err.Error())}, nil
	}
	return s.client(m)
}

// waiter is the id under which the client waits for the answer to a malformed message: one
// about no request leaves it waiting. It is never that of another request.
func (s *Session) waiter(raw []byte) string {
	id := mcp.GuessID(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, under := s.pending[id]; under || s.waiting[id] != nil {
		return ""
	}
	return id
}

func (s *Session) client(m mcp.Message) (Outcome, Later) {
	l := Line{From: "client", Method: safe.Clean(m.Method, 100), ID: safe.Clean(m.ID, 100), Bytes: len(m.Raw), Hash: hashOf(m.Raw)}
	switch m.Kind {
	case mcp.Response:
		l.Kind = "answer"
		s.mu.Lock()
		method, known := s.asked[m.ID]
		delete(s.asked, m.ID)
		s.mu.Unlock()
		if l.Method = method; !known {
			return s.drop(l, "nobody asked"), nil
		}
		return s.pass(l, m.Raw), nil
	case mcp.Notification:
		l.Kind = "notification"
		if m.Method == "notifications/cancelled" {
			return s.cancelled(m, l), nil
		}
		if !slices.Contains(clientNotes(), m.Method) && s.gate.conf.Methods.Unknown == Refuse {
			return s.drop(l, "an unknown notification"), nil
		}
		return s.pass(l, m.Raw), nil
	}
	l.Kind = "request"
	if !slices.Contains(clientMethods(), m.Method) && s.gate.conf.Methods.Unknown == Refuse {
		return s.refuse(l, mcp.CodeMethod, "the gateway does not know this method"), nil
	}
	s.mu.Lock()
	_, waits := s.waiting[m.ID]
	s.mu.Unlock()
	if waits {
		return s.refuse(l, mcp.CodeRequest, "a request with this id waits"), nil
	}
	if o, refused := s.gate.orders.refused(s.agent.name, s.server, time.Now()); refused && m.Method != "initialize" && m.Method != "ping" {
		if s.gate.orders.Seen != nil {
			s.gate.orders.Seen(o.Decision, m.Method)
		}
		return s.refuse(l, mcp.CodeRefused, "requests of "+o.Target+" are refused by decision "+o.Decision), nil
	}
	if m.Method == "tools/call" {
		return s.toolCall(m, l)
	}
	if why := s.register(m.ID, call{method: m.Method}); why != "" {
		return s.refuse(l, mcp.CodeRequest, why), nil
	}
	return s.pass(l, m.Raw), nil
}

// clientMethods are the requests of clients, of the versions 2024-11-05 to 2026-07-28.
func clientMethods() []string {
	return []string{"initialize", "ping", "tools/list", "tools/call", "resources/list", "resources/templates/list", "resources/read", "resources/subscribe",
		"resources/unsubscribe", "prompts/list", "prompts/get", "completion/complete", "logging/setLevel", "server/discover", "subscriptions/listen",
		"tasks/get", "tasks/result", "tasks/list", "tasks/cancel"}
}

func clientNotes() []string {
	return []string{"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed", "notifications/tasks/status"}
}

// register notes a request, or says why it may not be made.
func (s *Session) register(id string, c call) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.pending[id]; again {
		return "a request with this id is under way"
	}
	if len(s.pending) >= s.gate.conf.Limits.Pending {
		return fmt.Sprintf("%d requests wait for an answer already", len(s.pending))
	}
	c.at = time.Now()
	s.pending[id] = c
	return ""
}

func (s *Session) pass(l Line, raw []byte) Outcome {
	if l.Done == "" {
		l.Done = "passed"
	}
	s.note(l)
	return Outcome{Forward: raw}
}

func (s *Session) drop(l Line, why string) Outcome {
	l.Done, l.Why = "dropped", append(l.Why, why)
	s.note(l)
	return Outcome{}
}

func (s *Session) refuse(l Line, code int, why string) Outcome {
	l.Done, l.Why = "refused", append(l.Why, why)
	s.note(l)
	return Outcome{Answer: mcp.Failure(l.ID, code, "refused by the gateway: "+why)}
}

// cancelled ends a call that waits; one that is with the server is the server's.
func (s *Session) cancelled(m mcp.Message, l Line) Outcome {
	id := ""
	if m.Params != nil {
		_ = mcp.Members(m.Params, func(name string, v jsontext.Value, _ int) error { // without an id it is passed on as it is
			if name == "requestId" {
				id = mcp.GuessID([]byte(`{"id":` + string(v) + `}`))
			}
			return nil
		})
	}
	s.mu.Lock()
	stop := s.waiting[id]
	delete(s.pending, id)
	s.mu.Unlock()
	if stop != nil {
		stop()
		return s.drop(l, "the call waited at the gateway")
	}
	return s.pass(l, m.Raw)
}

func (s *Session) toolCall(m mcp.Message, l Line) (Outcome, Later) {
	c, err := mcp.ParseCall(m.Params)
	if err != nil {
		s.raise(smuggled, "tools/call", err.Error())
		return s.refuse(l, mcp.CodeParams, "the call cannot be read: "+err.Error()), nil
	}
	l.Tool, l.Args = safe.Clean(c.Name, 200), maskedArgs(c.Args)
	if d := s.decoyOf(c.Name); d != nil {
		s.raise(decoyUsed, "tool "+c.Name, l.Args)
		l.Done = "decoyed"
		s.note(l)
		return Outcome{Answer: mcp.Success(m.ID, fmt.Appendf(nil, `{"content":[{"type":"text","text":%s}]}`, mcp.Quote(d.Answer)))}, nil
	}
	if o := s.known(c.Name, s.gate.conf.Limits.Recheck.D()); o != nil {
		return s.offered(m, c, *o, l)
	}
	// Nothing is called that was not looked at: what the tools are now is asked first. A
	// server may say in that moment that they changed again.
	return s.wait(m, l, func(ctx context.Context, ask Asker) Outcome {
		for range maxLooks {
			asked := time.Now()
			if err := s.lookAtTools(ctx, ask, asked, c.Meta); err != nil {
				return s.refuse(l, mcp.CodeRefused, "the server's tools could not be looked at: "+err.Error())
			}
			o := s.known(c.Name, time.Since(asked)+time.Second)
			if o == nil {
				continue
			}
			out, later := s.offered(m, c, *o, l)
			if later != nil {
				return later(ctx, ask)
			}
			return out
		}
		return s.refuse(l, mcp.CodeRefused, "the server's tools change faster than they can be looked at")
	})
}

const maxLooks = 5

// known is what is known of a tool; nil when the tools have to be looked at first,
// because that was never done, they changed, or it is too long ago.
func (s *Session) known(tool string, age time.Duration) *offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.verified || time.Since(s.verifiedAt) >= age {
		return nil
	}
	o, ok := s.tools[tool]
	if !ok {
		o.refused = notOffered
	}
	return &o
}

const notOffered = "the server offers no such tool"

// wait makes a Later that a cancellation ends.
func (s *Session) wait(m mcp.Message, l Line, work Later) (Outcome, Later) {
	s.mu.Lock()
	_, again := s.waiting[m.ID]
	_, under := s.pending[m.ID]
	full := len(s.waiting) >= s.gate.conf.Limits.Pending
	if !again && !under && !full {
		s.waiting[m.ID] = func() {}
	}
	s.mu.Unlock()
	if again || under {
		return s.refuse(l, mcp.CodeRequest, "a request with this id is under way"), nil
	}
	if full {
		return s.refuse(l, mcp.CodeRefused, "too many calls wait"), nil
	}
	return Outcome{}, func(ctx context.Context, ask Asker) Outcome {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s.mu.Lock()
		s.waiting[m.ID] = cancel
		s.mu.Unlock()
		out := work(ctx, ask)
		s.mu.Lock()
		delete(s.waiting, m.ID)
		s.mu.Unlock()
		return out
	}
}

// offered decides about a call whose tool has been looked at.
func (s *Session) offered(m mcp.Message, c mcp.Call, o offer, l Line) (Outcome, Later) {
	if o.refused != "" {
		s.raise(refusedCall, "tool "+c.Name, o.refused)
		return s.refuse(l, mcp.CodeRefused, o.refused), nil
	}
	do, why := s.agent.policy.decide(s.server, c.Name, c.Args, o.args)
	if do == Refuse {
		s.raise(refusedCall, "tool "+c.Name, why)
		return s.refuse(l, mcp.CodeRefused, why), nil
	}
	if do == Flag {
		l.Done, l.Why = "flagged", append(l.Why, why)
		s.raise(refusedCall, "tool "+c.Name, why)
	}
	if refused := s.arguments(c, &l); refused != "" {
		return s.refuse(l, mcp.CodeRefused, refused), nil
	}
	rogue, err := s.agent.habit.Step(habit.Call{Talk: s.talk(), Server: s.server, Tool: c.Name, Power: o.power, Args: c.Args, Time: time.Now()})
	if err != nil {
		s.gate.log.Error("baseline", "agent", s.agent.name, "error", err)
	}
	if len(rogue.Unusual) > 0 {
		text := strings.Join(rogue.Unusual, "; ")
		s.raise(rogueAgent, "call of "+c.Name, text)
		l.Why = append(l.Why, safe.Clean(text, 300))
		switch s.gate.conf.Baseline.Do {
		case Refuse:
			return s.refuse(l, mcp.CodeRefused, "an unusual call"), nil
		case Hold:
			do, why = Hold, text
		default:
			l.Done = "flagged"
		}
	}
	if do == Hold {
		return s.hold(m, c, l, why, rogue.Marks)
	}
	if why := s.register(m.ID, call{method: m.Method, tool: c.Name}); why != "" {
		return s.refuse(l, mcp.CodeRequest, why), nil
	}
	return s.pass(l, m.Raw), nil
}

// arguments looks for what must not go to a server: canaries and known secrets are
// refused, other credentials are said.
func (s *Session) arguments(c mcp.Call, l *Line) string {
	text := mcp.Strings(c.Args, true, nil)
	if text == "" {
		return ""
	}
	v, err := s.gate.engine.Inspect(text, guard.Unknown)
	if err != nil {
		return "the arguments could not be looked at: " + err.Error()
	}
	for _, r := range v.Reports {
		for _, f := range r.Findings {
			if f.Category != guard.Secret && f.Category != guard.Policy && f.Category != guard.Link {
				continue // what an agent says to a tool is no order to a model
			}
			if f.Score >= guard.BlockScore {
				s.raise(leakedSecret, "arguments of "+c.Name, f.Note)
				return "the arguments hold " + f.Note
			}
			if f.Score >= guard.FlagScore {
				s.raise(leakedSecret, "arguments of "+c.Name, f.Note)
				l.Done, l.Why = "flagged", append(l.Why, r.Name+": "+safe.Clean(f.Note, 100))
			}
		}
	}
	return ""
}

// talk is the conversation that a call belongs to: what one client does with all servers.
func (s *Session) talk() string {
	if s.address != "" {
		return "address " + s.address
	}
	return s.gate.client
}

// hold lets a person decide about a call; marks are what is new in it, and is not when it
// was let pass.
func (s *Session) hold(m mcp.Message, c mcp.Call, l Line, why string, marks []string) (Outcome, Later) {
	work := func(ctx context.Context, _ Asker) Outcome {
		began := time.Now()
		held := l
		held.Done, held.Why = "held", append(slices.Clone(l.Why), why)
		s.note(held)
		answer, err := s.gate.people.Wait(ctx, approval.Held{ID: model.NewULID(began).String(), Kind: approval.Call, Agent: s.agent.name, Server: s.server, Address: s.address,
			Tool: safe.Clean(c.Name, 200), Args: maskedArgs(c.Args), Why: safe.Clean(why, 300)})
		if answer.By != "" {
			l.Why = append(l.Why, "decided by "+answer.By)
		}
		l.TookMS = float64(time.Since(began).Microseconds()) / 1000
		if err != nil {
			return s.refuse(l, mcp.CodeRefused, err.Error())
		}
		if why := s.register(m.ID, call{method: m.Method, tool: c.Name}); why != "" {
			return s.refuse(l, mcp.CodeRequest, why)
		}
		if err := s.agent.habit.Accept(s.talk(), time.Now(), marks); err != nil {
			s.gate.log.Error("baseline", "agent", s.agent.name, "error", err)
		}
		l.Done = "released"
		return s.pass(l, m.Raw)
	}
	s.mu.Lock()
	_, inside := s.waiting[m.ID] // it waited for the tools, and goes on waiting
	s.mu.Unlock()
	if inside {
		return Outcome{}, work
	}
	return s.wait(m, l, work)
}

func (s *Session) decoyOf(name string) *decoy {
	for i := range s.gate.decoys {
		if d := &s.gate.decoys[i]; d.Name == name && (d.Server == "" || d.Server == s.server) {
			return d
		}
	}
	return nil
}

// errPages says that a list of tools does not end.
var errPages = errors.New("its list of tools does not end")

const maxPages = 100

// lookAtTools asks the server for all its tools, unless somebody did after a moment.
func (s *Session) lookAtTools(ctx context.Context, ask Asker, after time.Time, meta jsontext.Value) error {
	ctx, cancel := context.WithTimeout(ctx, s.gate.conf.Limits.Answer.D())
	defer cancel()
	select { // the time of those who wait behind a server that is silent runs, too
	case s.verify <- struct{}{}:
		defer func() { <-s.verify }()
	case <-ctx.Done():
		return errors.New("no answer in time")
	}
	s.mu.Lock()
	done := s.verified && s.verifiedAt.After(after)
	s.mu.Unlock()
	if done {
		return nil
	}
	var cursor jsontext.Value
	for range maxPages {
		params, err := listParams(meta, cursor)
		if err != nil {
			return err
		}
		m, err := ask(ctx, "tools/list", params)
		if err != nil {
			return err
		}
		if m.Error != nil {
			return errors.New("it answered with an error")
		}
		_, next, err := s.listed(m.Result)
		if err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		cursor = next
	}
	return errPages
}

// listParams are the params of the gateway's own tools/list: said to come from whom the
// call came from, without the call's progress token.
func listParams(meta, cursor jsontext.Value) (jsontext.Value, error) {
	params := jsontext.Value("{}")
	var err error
	if cursor != nil {
		if params, err = mcp.With(params, "cursor", cursor); err != nil {
			return nil, err
		}
	}
	if meta == nil || meta.Kind() != '{' {
		return params, nil
	}
	kept := jsontext.Value("{}")
	if err := mcp.Members(meta, func(name string, v jsontext.Value, _ int) (err error) {
		if name != "progressToken" {
			kept, err = mcp.With(kept, name, v)
		}
		return err
	}); err != nil {
		return nil, err
	}
	if string(kept) == "{}" {
		return params, nil
	}
	return mcp.With(params, "_meta", kept)
}
