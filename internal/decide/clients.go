package decide

import (
	"fmt"
	"slices"

	"bartizan/internal/model"
)

// Clients knows who is refused by something that reads requests, a gateway in
// front of models or tools: keys, users and prompts. A nil Clients knows of none.
type Clients interface {
	// Refuses tells whether something that runs here can refuse the target.
	Refuses(e model.Entity) bool
	// Share is the part, 0 to 1, of the recent good exchanges that are the
	// target's; known is false while too few were seen to tell.
	Share(e model.Entity) (share float64, known bool)
}

// clientTypes are what can be acted against besides addresses, by whoever reads
// requests.
func clientTypes() []model.EntityType {
	return []model.EntityType{model.TypeAccessKey, model.TypeUser, model.TypePrompt}
}

// client reports whether an entity is a key, a user or a prompt.
func client(e model.Entity) bool { return slices.Contains(clientTypes(), e.Type()) }

// actable says why nothing can be done about a target; "" when something can.
func actable(e model.Entity, a model.Action) string {
	switch {
	case !forcible(a) || e.Type() == model.TypeIP || client(e) && a == model.Block:
		return ""
	case client(e):
		return fmt.Sprintf("a %s can be blocked or alerted about, no more and no less: a gateway refuses it or does not", e.Type())
	}
	return fmt.Sprintf("only addresses, prefixes, keys, users and prompts can be acted against, not a %s", e.Type())
}

// refusable reports whether somebody here acts on decisions about the target.
func (f *Facts) refusable(e model.Entity) bool {
	return e.Type() == model.TypeIP || f.Clients != nil && f.Clients.Refuses(e)
}

// guardClientShare asks what part of the recent good exchanges would be refused.
func guardClientShare(p *proposal) answer {
	limit := p.pol.Limits.BlastRadius
	share, known := 0.0, false
	if p.facts.Clients != nil {
		share, known = p.facts.Clients.Share(p.target)
	}
	switch {
	case known && share > limit.MaxShare:
		return hold("%.2g %% of the good exchanges are its, more than %.2g %%", share*100, limit.MaxShare*100)
	case known:
		return pass("%.2g %% of the good exchanges", share*100)
	case p.manual():
		return pass("a person decided; how many of the good exchanges are its is not known")
	case limit.Unknown == UnsurePass:
		return pass("how many of the good exchanges are its is not known; guardrails.blast_radius.unknown is pass")
	case limit.Unknown == UnsureSingle && p.target.Type() != model.TypePrompt:
		return pass("how many of the good exchanges are its is not known; a single client")
	}
	return unknown("how many of the good exchanges are its is not known")
}
