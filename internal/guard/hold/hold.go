// Package hold carries out what the guard says about requests, answers and
// streams: it lets them pass, replaces pieces of them, or stops them. It opens
// no connection and knows no format: package wire finds the texts.
//
// A conversation has one Vault (placeholders) and one guard.Memory (what has
// been shown so far), which the gateway keeps by its key. For each exchange:
//
//	c := hold.Config{Engine: engine, Policy: policy, Vault: vault, Memory: memory}
//	r, err := hold.Request(c, body, message) // r.Body goes to the provider, unless r.Action is Block
//	…
//	r, err := hold.Answer(c, body, message)  // an answer that is not streamed
//
//	s := hold.NewSession(c, stream)          // a streamed one
//	for each piece that is read from the provider {
//		out, err := s.Feed(piece)
//		write out; flush                    // may be empty; also when err is not nil
//		if err != nil { stop reading }       // *Blocked, *Broken: out ends with the format's own end
//	}
//	out, err := s.Close()                    // always, also when the provider broke off
//	write out
//	audit(s.Result())
//
// # What a stream holds back
//
// An event leaves as soon as everything before it has left and none of its text
// may still become part of something the rules find: a canary that has begun,
// four digits of a card, an open "![". Most text is no beginning of anything
// and leaves at once. Events are not cut: one that ends in the beginning of a
// finding waits as a whole. Rules that the policy only reports or flags hold
// nothing back and look at the end. What is found later than its text has left (the
// classifier judges whole texts) can stop the last event only; Policy.Wait
// chooses to wait for sentences or for the whole answer instead.
package hold

import (
	"cmp"
	"fmt"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// Action is what is done about a finding. The strongest one of an exchange wins.
type Action string

// Actions, weakest first.
const (
	Allow Action = "allow"
	Flag  Action = "flag"
	// Mask replaces what was found by a placeholder. In a request it is restored
	// in the answer. What cannot be pointed at (a decoded reading) is blocked.
	Mask Action = "mask"
	// Rewrite replaces what was found by Policy.Rewrite for good.
	Rewrite Action = "rewrite"
	Block   Action = "block"
)

// ParseAction takes the name of an action.
func ParseAction(s string) (Action, error) {
	switch a := Action(s); a {
	case Allow, Flag, Mask, Rewrite, Block:
		return a, nil
	}
	return "", fmt.Errorf("action %q: use allow, flag, mask, rewrite or block", s)
}

func (a Action) rank() int {
	switch a {
	case Flag:
		return 1
	case Mask:
		return 2
	case Rewrite:
		return 3
	case Block:
		return 4
	}
	return 0
}

func stronger(a, b Action) Action {
	if cmp.Compare(a.rank(), b.rank()) >= 0 {
		return a
	}
	return b
}

// Wait says how much of a streamed answer waits for inspectors that judge whole texts.
type Wait string

// Waits.
const (
	// Rules: only what rules need. The others judge at the end.
	Rules Wait = "rules"
	// Sentences: each sentence is inspected by every inspector before it leaves.
	Sentences Wait = "sentences"
	// Whole: nothing leaves before the whole answer was inspected.
	Whole Wait = "whole"
)

// Policy of a route.
type Policy struct {
	// Actions by category. Without one, a finding is blocked from
	// guard.BlockScore on and flagged from guard.FlagScore on. Mask and Rewrite
	// apply to findings below that too: a phone number is no attack and masked.
	Actions map[guard.Category]Action
	// Rewrite is what Rewrite puts in place, by category; "" is "[removed]".
	Rewrite map[guard.Category]string
	// Unknown is what to do about events and parts that the format does not
	// know: Block fails closed, Allow and Flag fail open. "" is Block.
	Unknown Action
	// Wait of streamed answers; "" is Rules.
	Wait Wait
	// MaxStream is how many bytes of text of one stream are inspected at most,
	// MaxEvent how long one event may be. What is longer is stopped. 0: defaults.
	MaxStream, MaxEvent int
}

// Defaults and bounds of a stream.
const (
	DefaultMaxStream = 4 << 20
	DefaultMaxEvent  = 8 << 20
	MaxChannels      = 512
	maxQueued        = 16 << 20 // bytes of events that wait, with Wait rules
)

// Config of one exchange.
type Config struct {
	Engine *guard.Engine
	Policy Policy
	Vault  *Vault        // nil: what is masked is not restored
	Memory *guard.Memory // of Engine; nil: the exchange stands by itself
	// For chooses engine and policy by what a text is. Nil: Engine and Policy, of which
	// Unknown, Wait and the bounds always hold for the whole exchange.
	For func(wire.Kind) (*guard.Engine, *Policy)
	// Withholding takes secrets out of what the application says in a request. Nil: nobody does.
	Withholding *guard.Withholding
	// Judge holds answers and the arguments of calls to the schemas that the request names,
	// for the inspector Judges. Nil: it names none, or nobody looks.
	Judge  guard.Judge
	Judges string
	// Refusal is said in place of what is stopped. An empty message gets one.
	Refusal wire.Refusal
}

// of is the engine and the policy for a kind of text, and the memory if it is the engine's.
func (c *Config) of(k wire.Kind) (*guard.Engine, *Policy, *guard.Memory) {
	if c.For == nil {
		return c.Engine, &c.Policy, c.Memory
	}
	e, p := c.For(k)
	if e != c.Engine {
		return e, p, nil
	}
	return e, p, c.Memory
}

// Noted is a finding with what was done about it, for the audit.
type Noted struct {
	Where   string // channel or pointer
	Kind    wire.Kind
	Finding guard.Finding // its spans are those of the text there
	Action  Action
}

// Result of an exchange.
type Result struct {
	Action   Action
	Notes    []Noted
	Body     []byte // of Request and Answer: what may go on; nil when blocked
	Verdicts []Looked
	Unknown  []string // pointers of what the format did not understand; at most 32
	Restored int      // placeholders that became values again
	Masked   int
	Withheld int        // places of a request where a secret stood
	Kept     guard.Kept // secrets that the model does not learn of by the request
	Events   int        // of a stream
	Held     int        // events that had to wait for later ones
	MaxHeld  int        // bytes of events that waited at most
	Usage    *wire.Usage
}

// Looked is what every inspector did with one text.
type Looked struct {
	Where   string
	Kind    wire.Kind
	Verdict guard.Verdict
}

const (
	maxNotes    = 256
	maxVerdicts = 256
	maxUnknown  = 32
)

// Blocked says that the guard stopped an exchange.
type Blocked struct {
	Category guard.Category
	Note     string // in our words, without what was found
}

func (e *Blocked) Error() string {
	return fmt.Sprintf("stopped by the guard: %s: %s", e.Category, e.Note)
}

// Broken says that a stream could not be read to its end.
type Broken struct{ Err error }

func (e *Broken) Error() string { return fmt.Sprintf("the answer broke off: %v", e.Err) }

// Unwrap returns why.
func (e *Broken) Unwrap() error { return e.Err }

// Action is what the policy does about a finding that was made elsewhere.
func (p *Policy) Action(f guard.Finding) Action { return p.action(f) }

// action decides about one finding.
func (p *Policy) action(f guard.Finding) Action {
	a, set := p.Actions[f.Category]
	switch {
	case !set && f.Score >= guard.BlockScore:
		return Block
	case !set && f.Score >= guard.FlagScore:
		return Flag
	case !set:
		return Allow
	case a == Mask || a == Rewrite:
		switch {
		case len(f.Spans) > 0 && !f.Deep:
			return a
		case f.Score >= guard.FlagScore || f.Deep:
			return Block // it cannot be pointed at
		}
		return Allow
	case f.Score < guard.FlagScore:
		return Allow
	}
	return a
}

// atOnce says whether something is done about a category that cannot be done
// when the text has left.
func (p *Policy) atOnce(c guard.Category, most float64) bool {
	a, set := p.Actions[c]
	if !set {
		return most >= guard.BlockScore
	}
	return a.rank() >= Mask.rank()
}

func (p *Policy) replacement(v *Vault, f guard.Finding, a Action, value string) (string, bool) {
	if a == Rewrite {
		return cmp.Or(p.Rewrite[f.Category], "[removed]"), true
	}
	label := cmp.Or(f.Label, "HIDDEN")
	if v == nil {
		return "<" + label + ">", true
	}
	return v.Hide(label, value)
}

func (c *Config) refusal(code string) wire.Refusal {
	r := c.Refusal
	r.Message = cmp.Or(r.Message, "The answer was stopped by a policy of this service.")
	r.Code = cmp.Or(code, r.Code, "blocked_by_guard")
	return r
}
