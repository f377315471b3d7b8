package mcp

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"bartizan/internal/gateway/mcp/said"
	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
)

// FromServer decides about one message of the server.
func (s *Session) FromServer(raw []byte) Outcome {
	if mcp.IsBatch(raw) {
		return s.batch(raw, false)
	}
	m, err := mcp.ParseMessage(raw)
	if err != nil && empty(raw) {
		s.note(Line{From: "server", Kind: "malformed", Bytes: len(raw), Done: "dropped", Why: []string{"an empty message"}, Hash: hashOf(raw)})
		return Outcome{}
	}
	if err != nil {
		return s.malformed(raw, err)
	}
	return s.fromServer(m)
}

// empty: an object with nothing in it. Servers made with the protocol's own SDK store one
// for the place at which a stream begins, and send it again with the rest to a client that
// comes back. It is no answer to anybody, so nobody's request fails for it.
func empty(raw []byte) bool {
	inside, ok := bytes.CutPrefix(bytes.TrimSpace(raw), []byte("{"))
	return ok && string(bytes.TrimSpace(inside)) == "}"
}

// TooLong is a message of the server that is longer than the limit; head is how it
// begins.
func (s *Session) TooLong(head []byte) Outcome {
	return s.malformed(head, fmt.Errorf("longer than %s", s.gate.conf.Limits.Message))
}

// malformed: nothing of it passes. Who waits for it is told, so that nobody hangs;
// when it does not say who that is, everybody is.
func (s *Session) malformed(raw []byte, err error) Outcome {
	s.note(Line{From: "server", Kind: "malformed", Bytes: len(raw), Done: "dropped", Why: []string{err.Error()}, Hash: hashOf(raw)})
	s.raise(smuggled, "message of the server", err.Error())
	if raw = bytes.TrimLeft(raw, " \t\r\n"); len(raw) == 0 || raw[0] != '{' {
		return Outcome{} // a word on standard output that should not be there: no answer to anybody
	}
	id := mcp.GuessID(raw)
	why := "the gateway dropped a malformed answer: " + err.Error()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waits := s.pending[id]; waits {
		delete(s.pending, id)
		return Outcome{Forward: mcp.Failure(id, mcp.CodeInternal, why)}
	}
	if id != "" || len(s.pending) == 0 {
		return Outcome{}
	}
	var all [][]byte
	for id := range s.pending {
		all = append(all, mcp.Failure(id, mcp.CodeInternal, why))
	}
	clear(s.pending)
	slices.SortFunc(all, bytes.Compare)
	return Outcome{Forward: all[0], Extra: all[1:]}
}

// Ended answers every request that is under way when the server is gone.
func (s *Session) Ended(why string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for id := range s.pending {
		all = append(all, mcp.Failure(id, mcp.CodeInternal, why))
	}
	clear(s.pending)
	for _, stop := range s.waiting {
		stop()
	}
	slices.SortFunc(all, bytes.Compare)
	return all
}

func (s *Session) fromServer(m mcp.Message) Outcome {
	l := Line{From: "server", Method: safe.Clean(m.Method, 100), ID: safe.Clean(m.ID, 100), Bytes: len(m.Raw), Hash: hashOf(m.Raw)}
	switch m.Kind {
	case mcp.Response:
		return s.answer(m, l)
	case mcp.Notification:
		l.Kind = "notification"
		if m.Method == "notifications/tools/list_changed" {
			s.mu.Lock()
			s.verified = false
			clear(s.tools)
			s.mu.Unlock()
		}
		if !slices.Contains(serverNotes(), m.Method) && s.gate.conf.Methods.Unknown == Refuse {
			return s.drop(l, "an unknown notification")
		}
		out, refused := s.inspect(m.Raw, m.Body(), &l)
		if refused != "" {
			return s.drop(l, refused)
		}
		return s.pass(l, out)
	}
	l.Kind = "request"
	if why := s.serverMay(m.Method); why != "" {
		return s.refuse(l, mcp.CodeMethod, why)
	}
	out, refused := s.inspect(m.Raw, m.Body(), &l)
	if refused != "" {
		return s.refuse(l, mcp.CodeRefused, refused)
	}
	s.mu.Lock()
	_, again := s.asked[m.ID]
	full := len(s.asked) >= s.gate.conf.Limits.Pending
	if !again && !full {
		s.asked[m.ID] = m.Method
	}
	s.mu.Unlock()
	if again || full {
		return s.refuse(l, mcp.CodeRequest, "the id is in use, or too many requests wait")
	}
	return s.pass(l, out)
}

func serverNotes() []string {
	return []string{"notifications/cancelled", "notifications/progress", "notifications/message", "notifications/resources/list_changed", "notifications/resources/updated",
		"notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/elicitation/complete", "notifications/tasks/status",
		"notifications/subscriptions/acknowledged"}
}

// serverMay says why a server may not ask something, or "".
func (s *Session) serverMay(method string) string {
	do := s.gate.conf.Methods.Unknown
	switch method {
	case "ping":
		do = Pass
	case "sampling/createMessage":
		do = s.gate.conf.Methods.Sampling
	case "elicitation/create":
		do = s.gate.conf.Methods.Elicitation
	case "roots/list":
		do = s.gate.conf.Methods.Roots
	case "tasks/get", "tasks/result", "tasks/list", "tasks/cancel":
		do = Pass // about tasks that the client began
	}
	if do == Refuse {
		return "servers may not ask for " + safe.Clean(method, 60)
	}
	return ""
}

// answer decides about the answer to a request of the client.
func (s *Session) answer(m mcp.Message, l Line) Outcome {
	l.Kind = "answer"
	s.mu.Lock()
	c, known := s.pending[m.ID]
	delete(s.pending, m.ID)
	s.mu.Unlock()
	if !known {
		if m.ID == "" && m.Error != nil { // about a message that it could not read; nobody waits for it
			return s.drop(l, "an error about no request")
		}
		return s.drop(l, "nobody asked, it was cancelled, or it is the second answer")
	}
	l.Method, l.Tool = c.method, safe.Clean(c.tool, 200)
	l.TookMS = float64(time.Since(c.at).Microseconds()) / 1000
	if m.Result != nil && c.method == "tools/list" {
		return s.toolList(m, l)
	}
	if m.Result != nil {
		if why := s.wants(m.Result); why != "" {
			return s.stopped(m.ID, l, why)
		}
	}
	if c.method == "initialize" || c.method == "server/discover" {
		return s.hello(m, l)
	}
	return s.looked(m, l)
}

// stopped gives the client an error in the place of an answer.
func (s *Session) stopped(id string, l Line, why string) Outcome {
	l.Done, l.Why = "refused", append(l.Why, why)
	s.note(l)
	return Outcome{Forward: mcp.Failure(id, mcp.CodeRefused, "the gateway stopped the answer: "+why)}
}

// wants: since 2026-07-28 a result may carry the server's own requests.
func (s *Session) wants(result jsontext.Value) (why string) {
	if result.Kind() != '{' {
		return ""
	}
	err := mcp.Members(result, func(name string, v jsontext.Value, _ int) error {
		if name != "inputRequests" || v.Kind() != '{' {
			return nil
		}
		return mcp.Members(v, func(_ string, v jsontext.Value, _ int) error {
			if v.Kind() != '{' {
				return nil
			}
			return mcp.Members(v, func(name string, v jsontext.Value, _ int) error {
				if name == "method" {
					method, err := mcp.Text(v)
					if err != nil {
						return err
					}
					if w := s.serverMay(method); w != "" {
						why = w
					}
				}
				return nil
			})
		})
	})
	if err != nil {
		return "it cannot be read: " + err.Error()
	}
	return why
}

// hello looks at what a server says of itself: its instructions go to the model. An error
// in its place is inspected like any other answer.
func (s *Session) hello(m mcp.Message, l Line) Outcome {
	if m.Result == nil {
		return s.looked(m, l)
	}
	bad := s.definitionWrong(mcp.Strings(m.Result, true, nil))
	if bad == "" {
		return s.looked(m, l)
	}
	s.raise(poisonedTool, "instructions", bad)
	l.Why = append(l.Why, bad)
	if s.gate.conf.Definitions == Flag {
		l.Done = "flagged"
		return s.looked(m, l)
	}
	return s.stopped(m.ID, l, "what the server says of itself "+bad)
}

// looked passes on an answer that the guard has looked at.
func (s *Session) looked(m mcp.Message, l Line) Outcome {
	out, refused := s.inspect(m.Raw, m.Body(), &l)
	if refused != "" {
		return s.stopped(m.ID, l, refused)
	}
	return s.pass(l, out)
}

// definitionWrong says what is wrong with a text that a server puts before a model.
func (s *Session) definitionWrong(text string) string {
	if n := mcp.Invisible(text); n > 0 {
		return fmt.Sprintf("has %d invisible characters", n)
	}
	found, err := mcp.Orders(text)
	if err != nil {
		return "could not be looked at: " + err.Error()
	}
	if len(found) > 0 {
		return found[0]
	}
	return ""
}

// toolList looks at the tools and takes out those that may not be used.
func (s *Session) toolList(m mcp.Message, l Line) Outcome {
	kept, next, err := s.listed(m.Result)
	if err != nil {
		return s.stopped(m.ID, l, err.Error())
	}
	if why := s.around(m, &l); why != "" {
		return s.stopped(m.ID, l, why)
	}
	if kept == nil {
		return s.pass(l, m.Raw)
	}
	if next == nil {
		for i := range s.gate.decoys {
			if d := &s.gate.decoys[i]; d.Server == "" || d.Server == s.server {
				kept.tools = append(kept.tools, d.definition)
			}
		}
	}
	if !kept.changed && (next != nil || len(kept.tools) == kept.of) {
		return s.pass(l, m.Raw)
	}
	list := append(append([]byte("["), bytes.Join(kept.tools, []byte(","))...), ']')
	result, err := mcp.With(m.Result, "tools", list)
	if err != nil {
		return s.stopped(m.ID, l, err.Error())
	}
	raw, err := mcp.With(m.Raw, "result", result)
	if err != nil {
		return s.stopped(m.ID, l, err.Error())
	}
	l.Done, l.Why = "masked", append(l.Why, kept.why...)
	return s.pass(l, raw)
}

// around looks at what a list of tools says besides the tools, which is usually nothing.
func (s *Session) around(m mcp.Message, l *Line) (why string) {
	rest, err := mcp.With(m.Result, "tools", []byte("[]"))
	if err == nil && m.More {
		rest, err = mcp.With(m.Raw, "result", rest)
	}
	if err != nil {
		return err.Error()
	}
	text := said.In(rest).Text
	if text == "" {
		return ""
	}
	if bad := s.definitionWrong(text); bad != "" {
		s.raise(poisonedTool, "list of tools", bad)
		if s.gate.conf.Definitions == Refuse {
			return "beside the tools it " + bad
		}
	}
	out, why := s.inspect(rest, rest, l)
	if why == "" && !bytes.Equal(out, rest) {
		return "beside the tools it has a credential"
	}
	return why
}

// batch decides about an array of messages: all of it passes as it is, or nothing.
func (s *Session) batch(raw []byte, client bool) Outcome {
	l := Line{From: map[bool]string{true: "client", false: "server"}[client], Kind: "batch", Bytes: len(raw), Hash: hashOf(raw), Done: "refused"}
	all, err := mcp.ParseBatch(raw)
	if err != nil {
		l.Why = []string{err.Error()}
		s.note(l)
		s.raise(smuggled, "batch", err.Error())
		if client {
			return Outcome{Answer: mcp.Failure("", mcp.CodeParse, "the gateway refused a malformed batch: "+err.Error())}
		}
		return s.malformed([]byte("{"), err)
	}
	why := ""
	if s.gate.conf.Methods.Batches == Refuse {
		why = "batches are not allowed"
	}
	var answers [][]byte
	for _, m := range all {
		if why != "" {
			break
		}
		var o Outcome
		if client {
			var later Later
			if o, later = s.client(m); later != nil {
				s.forget(m.ID)
				why = "a call in it has to wait, which a batch cannot"
			}
		} else {
			o = s.fromServer(m)
		}
		if why == "" && !bytes.Equal(o.Forward, m.Raw) {
			why = "a message in it does not pass as it is"
		}
	}
	if why == "" {
		return Outcome{Forward: raw}
	}
	l.Why = []string{why}
	s.note(l)
	for _, m := range all {
		switch {
		case client && m.Kind == mcp.Request:
			s.forget(m.ID)
			answers = append(answers, mcp.Failure(m.ID, mcp.CodeRefused, "refused by the gateway: "+why))
		case !client && m.Kind == mcp.Response:
			answers = append(answers, mcp.Failure(m.ID, mcp.CodeRefused, "the gateway stopped the answer: "+why))
		case !client && m.Kind == mcp.Request:
			s.mu.Lock()
			delete(s.asked, m.ID)
			s.mu.Unlock()
		}
	}
	if len(answers) == 0 {
		return Outcome{}
	}
	list := append(append([]byte("["), bytes.Join(answers, []byte(","))...), ']')
	if client {
		return Outcome{Answer: list}
	}
	return Outcome{Forward: list}
}

// waits tells whether a request of the client has no answer yet.
func (s *Session) waits(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.pending[id]
	return ok
}

// forget takes back what was noted of a request that does not go out.
func (s *Session) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
	delete(s.waiting, id)
}
