package gateway

import (
	"errors"
	"fmt"
	"time"

	"bartizan/internal/gateway/budget"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
)

// assumedOutput is how long an answer is taken to be when the request sets no limit, in tokens.
const assumedOutput = 1000

// mediaBytes of images, audio and files are taken for a token: what providers count is far less.
const mediaBytes = 12

// reserve takes what the exchange may cost from its budgets.
func (x *exchange) reserve() error {
	b := x.g.opt.Budget
	if b.Empty() || !x.costs() {
		return nil
	}
	input, output := int64(0), x.msg.MaxTokens
	encoding := x.g.opt.Prices.Encoding(x.msg.Model)
	for i := range x.msg.Parts {
		input += encoding.Tokens(x.msg.Parts[i].Text) + int64(x.msg.Parts[i].Size/mediaBytes)
	}
	input += encoding.Tokens(x.strange)
	if output <= 0 {
		output = assumedOutput
	}
	s := budget.Spend{Tokens: input + output}
	if p, ok := x.g.opt.Prices.Of(x.msg.Model); ok && len(x.msg.Others) == 0 { // which one answers is not known
		s.Micros, s.Priced = p.Estimate(input, output), true
	} else if x.route.Unpriced == Forward {
		s.Priced = true // what it costs is written down as unknown, and no budget of money is charged
	}
	hold, err := b.Reserve(x.start, budget.Who{Key: x.rec.Key, KeyName: x.rec.KeyName, User: x.rec.User, Model: x.rec.Model, Route: x.route.name, Address: x.rec.Peer}, s)
	if err != nil {
		return x.overspent(err)
	}
	x.hold = hold
	return nil
}

// costs tells whether a request makes a model work: lists of models and the like do not.
func (x *exchange) costs() bool { return x.msg.Model != "" || len(x.msg.Parts) > 0 || x.strange != "" }

// overspent is the refusal of what no budget has room for.
func (x *exchange) overspent(err error) error {
	var e *budget.Exceeded
	if !errors.As(err, &e) {
		x.g.opt.Log.Error("cannot write down what is spent; nothing that costs is served until it can be written", "error", err)
		return &refusal{status: 503, code: "budget_unavailable", message: "the gateway cannot write down what is spent and serves nothing that costs until it can", outcome: Refused, retry: 5}
	}
	r := &refusal{status: 429, code: "budget_exceeded", message: e.Error(), reason: fmt.Sprintf("%s (%s %.60q)", e.Error(), e.By, e.Name), outcome: Refused, retry: 1}
	switch {
	case e.Unpriced:
		r.status, r.code, r.retry = 403, "price_unknown", 0
	case e.Wait > 0:
		r.retry = int(e.Wait/time.Second) + 1
	}
	return r
}

// call takes one call of a tool from its budget.
func (x *exchange) call(tool string) error {
	b := x.g.opt.Budget
	if b.Empty() || tool == "" {
		return nil
	}
	if err := b.Tool(time.Now(), budget.Who{Tool: clean(tool, 100)}); err != nil {
		return x.overspent(err)
	}
	return nil
}

// callAll takes the calls of a whole answer.
func (x *exchange) callAll(parts []wire.Part) error {
	for i := range parts {
		if parts[i].Kind == wire.ToolCall {
			if err := x.call(parts[i].Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// counted is the provider's usage, with what it read from its cache and wrote to it in
// the input: Anthropic and Bedrock count those apart.
func (x *exchange) counted() *wire.Usage {
	if x.rec.Usage == nil || x.route.Format != "anthropic" && x.route.Format != "bedrock" {
		return x.rec.Usage
	}
	u := *x.rec.Usage
	if u.Input >= 0 {
		u.Input += max(u.CacheRead, 0) + max(u.CacheWrite, 0)
	}
	return &u
}

// price writes down what the exchange cost, before its audit line is written.
func (x *exchange) price() {
	u := x.counted()
	asked := x.rec.Upstream >= 200 && x.rec.Upstream < 300
	var s *budget.Spend
	switch {
	case !asked: // nobody has worked for it, as far as is known
		if x.rec.Upstream != 0 || x.rec.Outcome == Refused {
			s = &budget.Spend{Priced: true}
		}
	case u != nil && u.Input >= 0 && u.Output >= 0:
		s = &budget.Spend{Tokens: u.Input + u.Output}
		if p, ok := x.g.opt.Prices.Of(x.rec.Model); ok && len(x.msg.Others) == 0 {
			if micros, ok := p.Cost(u); ok {
				s.Micros, s.Priced = micros, true
				dollars := float64(micros) / 1e6
				x.rec.Dollars = &dollars
			}
		}
	}
	if asked && x.msg != nil && x.costs() && x.rec.Dollars == nil {
		x.rec.Unpriced = true
	}
	if x.hold != nil {
		if err := x.hold.Settle(time.Now(), s); err != nil {
			x.g.opt.Log.Error("cannot write down what was spent; it stays as it was reserved", "error", err)
		}
	}
	if s == nil || s.Tokens == 0 || x.rec.Key == "" || x.g.opt.Budget == nil {
		return
	}
	if spike := x.g.opt.Budget.Observe(x.start, x.rec.Key, s.Tokens); spike != nil && x.g.opt.Signal != nil && x.peer.IsValid() {
		x.g.send(x, sign{"guard.cost-spike", "a key spends many times what it usually does", model.ClassModelAbuse, 0.45, model.High, []string{"AML.T0034", "T1496.004"}},
			[]string{fmt.Sprintf("%d tokens in this hour, %.0f on average", spike.Tokens, spike.Mean)})
	}
}
