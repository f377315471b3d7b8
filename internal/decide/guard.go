package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bartizan/internal/model"
)

// proposal is a decision on its way through the guardrails.
type proposal struct {
	now      time.Time
	target   model.Entity
	prefix   netip.Prefix   // of an ip target, else the zero prefix
	reach    []netip.Prefix // the prefix, and the IPv4 one it carries
	action   model.Action
	duration time.Duration
	dry      bool
	ind      *model.Indicator // nil when a person decides
	rule     *Rule            // nil when a person decides
	lease    *model.Lease     // the drill lease that names the actor, or nil
	standing standing
	led      *Ledger
	pol      *Policy
	facts    *Facts
}

func (p *proposal) manual() bool { return p.rule == nil }

// answer is a guardrail's verdict and, for "lower", the action that is left.
type answer struct {
	verdict model.Verdict
	detail  string
	lower   model.Action
}

func pass(format string, args ...any) answer {
	return answer{verdict: model.GuardPass, detail: fmt.Sprintf(format, args...)}
}

func hold(format string, args ...any) answer {
	return answer{verdict: model.GuardHold, detail: fmt.Sprintf(format, args...)}
}

func never(format string, args ...any) answer {
	return answer{verdict: model.GuardNever, detail: fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) answer {
	return answer{verdict: model.GuardUnknown, detail: fmt.Sprintf(format, args...)}
}

// guardrails are all of them, in the order in which they are shown. Every one
// runs on every decision, also after another has said no, so that a person
// sees everything that stands in the way.
var guardrails = []struct {
	name string
	ask  func(*proposal) answer
}{
	{"reserved", guardReserved},
	{"never-list", guardNeverList},
	{"own", guardOwn},
	{"infrastructure", guardInfrastructure},
	{"session", guardSession},
	{"benign", guardBenign},
	{"width", guardWidth},
	{"blast-radius", guardBlastRadius},
	{"shared-address", guardSharedAddress},
	{"budget", guardBudget},
	{"time-limit", guardTimeLimit},
	{"evidence", guardEvidence},
	{"facts", guardFacts},
}

// judge runs all guardrails: their results, the worst verdict of those that
// can stop something, and the action that is left after lowering.
func judge(p *proposal) (results []model.Guarded, worst model.Verdict, action model.Action) {
	worst, action = model.GuardPass, p.action
	for _, g := range guardrails {
		a := g.ask(p)
		results = append(results, model.Guarded{Guardrail: g.name, Verdict: a.verdict, Detail: clip(a.detail, MaxReason)})
		if !forcible(p.action) {
			continue
		}
		if a.verdict == model.GuardLower {
			action = min(action, a.lower)
		}
		if weigh(a.verdict) > weigh(worst) {
			worst = a.verdict
		}
	}
	return results, worst, action
}

// weigh orders verdicts by how much they stop: unknown holds like hold.
func weigh(v model.Verdict) int {
	return slices.Index([]model.Verdict{model.GuardPass, model.GuardLower, model.GuardUnknown, model.GuardHold, model.GuardNever}, v)
}

// missing says whether a fact could not be read, and why.
func (p *proposal) missing(facts ...string) (string, bool) {
	for _, u := range p.facts.Unknown {
		name, _, _ := strings.Cut(u, ":")
		if slices.Contains(facts, name) {
			return u, true
		}
	}
	return "", false
}

// touches finds the first protected address that the target reaches, in
// either direction.
func (p *proposal) touches(protected ...netip.Prefix) (netip.Prefix, bool) {
	for _, x := range protected {
		if !x.IsValid() {
			continue
		}
		x = unmapped(x)
		for _, r := range p.reach {
			if r.Overlaps(x) {
				return x, true
			}
		}
	}
	return netip.Prefix{}, false
}

func (p *proposal) touchesAddr(protected []netip.Addr) (netip.Addr, bool) {
	for _, a := range protected {
		if !a.IsValid() {
			continue
		}
		a = a.Unmap().WithZone("")
		for _, r := range p.reach {
			if r.Contains(a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// guardReserved keeps off special ranges. It is the only guardrail that a
// drill lease lifts, and only for the exact actors it names. Hosts of one's own
// have such addresses; one of them is isolated when a person says so.
func guardReserved(p *proposal) answer {
	for i, r := range p.reach {
		what, bad := reserved(r)
		switch {
		case !bad:
		case i > 0:
			return never("%s carries %s, which is %s", p.prefix, r, what)
		case p.lease != nil && leaseCovers(p.lease, p.prefix):
			return pass("%s; lifted by drill lease %s until %s", what, p.lease.ID, p.lease.Until.Format(time.RFC3339))
		case ownHost(p.action, r) && p.manual():
			return pass("%s; a person wants one host isolated", what)
		case ownHost(p.action, r):
			return hold("%s is a host of one's own (%s): a person must say that it is to be isolated", p.prefix, what)
		default:
			return never("%s lies in or contains %s", p.prefix, what)
		}
	}
	return pass("")
}

func guardNeverList(p *proposal) answer {
	if client(p.target) {
		for _, n := range p.pol.Never {
			if n.Entity == p.target {
				return never("%s is on the never-list: take it off `never` in %s to allow this", p.target, p.pol.Name)
			}
		}
		return pass("")
	}
	if x, hit := p.touches(p.facts.Never...); hit {
		return never("%s is on the never-list: take it off `protect.never` in the configuration to allow this", x)
	}
	for _, n := range p.pol.Never {
		if n.Prefix.IsValid() {
			if _, hit := p.touches(n.Exact); hit {
				return never("%s is on the never-list: take it off `never` in %s to allow this", n.Exact, p.pol.Name)
			}
			continue
		}
		v, d := p.target.Value(), n.Entity.Value()
		if p.target.Type() == model.TypeDomain && (v == d || strings.HasSuffix(v, "."+d)) {
			return never("%s is on the never-list: take it off `never` in %s to allow this", d, p.pol.Name)
		}
	}
	return pass("")
}

func guardOwn(p *proposal) answer {
	if client(p.target) {
		return pass("no address")
	}
	if a, hit := p.touchesAddr(p.facts.Addresses); hit {
		return never("%s is an address of this machine", a)
	}
	if x, hit := p.touches(p.facts.Own...); hit {
		return never("%s is a network of this machine", x)
	}
	if u, bad := p.missing(FactOwn); bad {
		return unknown("could not read the own addresses: %s", u)
	}
	return pass("")
}

func guardInfrastructure(p *proposal) answer {
	if client(p.target) {
		return pass("no address")
	}
	if a, hit := p.touchesAddr(p.facts.Gateways); hit {
		return never("%s is a gateway of this machine", a)
	}
	if a, hit := p.touchesAddr(p.facts.Resolvers); hit {
		return never("%s is a DNS resolver of this machine", a)
	}
	if x, hit := p.touches(p.facts.Balancers...); hit {
		return never("%s is a load balancer: what attacks through it has another address", x)
	}
	if u, bad := p.missing(FactGateways, FactResolvers, FactBalancers); bad {
		return unknown("could not read gateways, resolvers or balancers: %s", u)
	}
	return pass("")
}

func guardSession(p *proposal) answer {
	if client(p.target) {
		return pass("no address")
	}
	if a, hit := p.touchesAddr(p.facts.Sessions); hit {
		return never("somebody administers this machine from %s right now: end that session first", a)
	}
	if u, bad := p.missing(FactSessions); bad {
		return unknown("could not see who administers this machine: %s", u)
	}
	return pass("")
}

// guardBenign asks the lists of benign services. The worst answer counts.
func guardBenign(p *proposal) answer {
	if client(p.target) {
		return pass("no address")
	}
	worst := pass("")
	for _, b := range p.facts.Benign {
		for _, r := range p.reach {
			if b.List == nil || !b.List.OverlapsPrefix(r) {
				continue
			}
			a := hold("%s serves many people (list %s)", r, b.Name)
			if b.Verdict == model.GuardNever {
				a = never("%s serves many people (list %s, set to never)", r, b.Name)
			}
			if weigh(a.verdict) > weigh(worst.verdict) {
				worst = a
			}
		}
	}
	if worst.verdict != model.GuardPass {
		return worst
	}
	if u, bad := p.missing(FactBenign); bad {
		return unknown("could not read the benign lists: %s", u)
	}
	return worst
}

// guardWidth keeps decisions narrow: one actor by itself, more by a person,
// and never more than the policy and the ledger allow.
func guardWidth(p *proposal) answer {
	if !p.prefix.IsValid() {
		if no := actable(p.target, p.action); no != "" {
			return never("%s", no)
		}
		return pass("")
	}
	widest, key := max(p.pol.Limits.WidestV6, widest6), "guardrails.widest_v6"
	if p.prefix.Addr().Is4() {
		widest, key = max(p.pol.Limits.WidestV4, widest4), "guardrails.widest_v4"
	}
	switch {
	case p.prefix.Bits() < widest:
		return never("%s is wider than /%d (%s in %s)", p.prefix, widest, key, p.pol.Name)
	case actor(p.prefix):
		return pass("")
	case p.manual():
		return pass("a person asked for /%d", p.prefix.Bits())
	}
	return hold("%s is wider than one actor", p.prefix)
}

func guardFacts(p *proposal) answer {
	known := []string{FactOwn, FactResolvers, FactGateways, FactBalancers, FactSessions, FactBenign}
	for _, u := range p.facts.Unknown {
		name, _, _ := strings.Cut(u, ":")
		if !slices.Contains(known, name) {
			return unknown("could not look at something: %s", u)
		}
	}
	return pass("")
}
