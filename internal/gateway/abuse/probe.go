package abuse

import "time"

// probing is a client that finds out what it may use (MITRE ATLAS AML.CS0030: many
// models are asked with a request that costs nothing, such as one for -1 tokens, whose error
// tells whether it would have been answered; the keys that work are then sold).
type probing struct {
	since             time.Time
	refused           set // models
	tried             set // models asked with next to nothing
	listed            bool
	oracle, many, use bool // told
}

const (
	probeWindow = time.Hour
	shortPrompt = 48  // bytes: a test whether somebody answers
	longPrompt  = 160 // bytes: use
	maxModels   = 64
)

func (p *probing) probe(e *Event, model uint64, c *Config, tell func(Kind, string, ...any)) {
	if !window(&p.since, e.Time, probeWindow) {
		*p = probing{since: e.Time}
	}
	p.listed = p.listed || e.Listing
	if e.Model == "" {
		return
	}
	if e.Refused {
		p.refused.add(model, maxModels)
	} else if len(e.Prompt) <= shortPrompt {
		p.tried.add(model, maxModels)
	}
	if e.Limit < 0 && !p.oracle {
		p.oracle = true
		tell(Oracle, "asked a model for %d tokens: the error tells whether it may be used, and costs nothing", e.Limit)
	}
	if len(p.refused) >= c.Refused && !p.many {
		p.many = true
		tell(Probing, "asked for %d models that were refused, within an hour", len(p.refused))
	}
	looked := p.oracle || len(p.refused) >= max(c.Refused*3/5, 2) || p.listed && len(p.refused) >= 2
	if looked && e.Answered && !p.use && len(e.Prompt) >= longPrompt {
		p.use = true
		tell(Jacking, "looked for models that answer (%d refused, %d tried with a short prompt) and uses one", len(p.refused), len(p.tried))
	}
}
