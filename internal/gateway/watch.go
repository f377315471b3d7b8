package gateway

import (
	"bytes"
	"net/http"
	"strings"

	"bartizan/internal/gateway/abuse"
	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
)

// watching is what the watch over abuse needs to know of a request and the rest of the
// gateway does not.
type watching struct {
	begun    bool
	at       int // exchanges of the key under way
	limit    int64
	logprobs bool
}

// watch begins to count an exchange of a known client.
func (x *exchange) watch() {
	if x.g.opt.Abuse == nil {
		return
	}
	x.watched.begun, x.watched.at = true, 1
	if x.key != nil {
		x.watched.at = x.g.opt.Abuse.Begin(x.key.ID)
	}
}

// asks reads from a request what no format has as a text: whether it wants
// probabilities of tokens, and a limit below zero.
func (x *exchange) asks(body []byte) {
	if !x.watched.begun {
		return
	}
	var seen [len(wanted)]bool
	for rest, at := body, 0; len(rest) > 0; {
		i := bytes.Index(rest, []byte(`":`))
		if i < 0 {
			return
		}
		at += i + 2
		rest = body[at:]
		for k := range wanted { // the first of each counts
			if !seen[k] && bytes.HasSuffix(body[:at-2], []byte(wanted[k])) {
				seen[k] = true
				x.wants(k, firstByte(rest))
			}
		}
	}
}

// wanted are ends of keys. Inside of a text the quote that follows would be escaped.
var wanted = [...]string{"logprobs", "responseLogprobs", "max_tokens_to_sample"} // the last is of Anthropic's first API, which no client needs any more

// wants takes the first byte of the value of a key of wanted.
func (x *exchange) wants(key int, value byte) {
	switch key {
	case 0: // logprobs, top_logprobs
		x.watched.logprobs = x.watched.logprobs || value != 0 && value != 'f' && value != 'n' && value != '0'
	case 1:
		x.watched.logprobs = x.watched.logprobs || value == 't'
	case 2:
		if value == '-' {
			x.watched.limit = -1
		}
	}
}

// firstByte is the first that is no space; 0 without one.
func firstByte(b []byte) byte {
	if b = bytes.TrimLeft(b, " \t\r\n"); len(b) > 0 {
		return b[0]
	}
	return 0
}

// abused tells what an exchange and those before it say about its client.
func (x *exchange) abused() {
	if !x.watched.begun {
		return
	}
	e := abuse.Event{Time: x.start, Peer: x.peer, Agent: x.r.UserAgent(), Model: x.rec.Model, Answered: x.rec.Upstream >= 200 && x.rec.Upstream < 300, Limit: x.watched.limit,
		Input: -1, Output: -1, Logprobs: x.watched.logprobs, Exchanges: x.watched.at}
	if x.key != nil {
		e.Key = x.key.ID
	}
	path := strings.TrimRight(x.path, "/")
	e.Listing = x.r.Method == http.MethodGet && (strings.HasSuffix(path, "/models") || strings.HasSuffix(path, "/tags"))
	e.Refused = x.rec.Code == "model_not_allowed" || x.rec.Upstream == 400 || x.rec.Upstream == 403 || x.rec.Upstream == 404
	for _, f := range x.rec.Found {
		e.Found = e.Found || f.Category == guard.Injection && f.Direction == "request" && f.Action.rank() >= Flag.rank()
	}
	if u := x.counted(); u != nil {
		e.Input, e.Output = u.Input, u.Output
	}
	if x.msg != nil {
		if x.msg.MaxTokens != 0 && x.route.Format != "ollama" { // there -1 is "without a limit"
			e.Limit = x.msg.MaxTokens
		}
		for i := range x.msg.Parts {
			p := &x.msg.Parts[i]
			e.Bytes += len(p.Text)
			switch p.Kind {
			case wire.Prompt:
				e.Prompt = p.Text
				e.Turns++
			case wire.Answer:
				e.Turns++
			case wire.System, wire.Reasoning, wire.ToolCall, wire.ToolResult, wire.ToolSpec, wire.Document, wire.Media, wire.Address, wire.Label:
			}
		}
	}
	for _, a := range x.g.opt.Abuse.Observe(&e) {
		x.g.opt.Log.Warn("use of a model that is not as usual", "kind", string(a.Kind), "why", a.Note, "key", e.Key, "peer", x.rec.Peer, "exchange", x.rec.ID.String())
		if s, ok := signOfAbuse(a.Kind); ok && x.g.opt.Signal != nil && x.peer.IsValid() {
			x.g.send(x, s, []string{a.Note})
		}
	}
}

// signOfAbuse is what an alarm means. Most are of a kind that honest work can look like:
// none is near certain by itself.
func signOfAbuse(k abuse.Kind) (sign, bool) {
	switch k {
	case abuse.NewPlace:
		return sign{"guard.key-new-place", "used a key from where it was never used", model.ClassAccess, 0.55, model.High, []string{"AML.T0012", "T1078.004"}}, true
	case abuse.Oracle:
		return sign{"guard.model-oracle", "asked a model for less than nothing, to learn whether it may be used", model.ClassModelRecon, 0.60, model.Medium, []string{"AML.T0040", "T1580"}}, true
	case abuse.Probing:
		return sign{"guard.model-probing", "tried which models answer", model.ClassModelRecon, 0.55, model.Medium, []string{"AML.T0040", "T1580"}}, true
	case abuse.Jacking:
		return sign{"guard.llmjacking", "looked for models that answer and used one", model.ClassModelAbuse, 0.70, model.High, []string{"AML.T0040", "AML.T0034", "T1496.004"}}, true
	case abuse.Exhaustion:
		return sign{"guard.exhaustion", "makes models work", model.ClassModelAbuse, 0.40, model.Medium, []string{"AML.T0029", "AML.T0034"}}, true
	case abuse.Extraction:
		return sign{"guard.model-extraction", "asks as somebody does who copies a model", model.ClassModelAbuse, 0.40, model.Medium, []string{"AML.T0024.002", "AML.T0005"}}, true
	case abuse.Attackers:
		return sign{"guard.shared-attack", "sent an attack that others sent too", model.ClassModelAbuse, 0.75, model.High, []string{"AML.T0051.000", "AML.T0054"}}, true
	case abuse.Shared:
		return sign{"guard.shared-prompt", "sent a prompt that many sent at once", model.ClassModelAbuse, 0.20, model.Low, []string{"AML.T0040"}}, true
	}
	return sign{}, false
}
