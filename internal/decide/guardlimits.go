package decide

import (
	"fmt"
	"slices"
	"time"

	"bartizan/internal/model"
)

// guardBlastRadius asks what part of the recent good traffic would be hit.
func guardBlastRadius(p *proposal) answer {
	if client(p.target) {
		return guardClientShare(p)
	}
	if !p.prefix.IsValid() {
		return pass("")
	}
	limit := p.pol.Limits.BlastRadius
	total, known := 0.0, p.facts.Baseline != nil
	if known {
		for _, r := range p.reach {
			s, ok := p.facts.Baseline.Share(r)
			known = known && ok
			total += max(s, 0)
		}
	}
	switch {
	case total > limit.MaxShare:
		return hold("%s carries %.2g %% of the good traffic, more than %.2g %%", p.prefix, total*100, limit.MaxShare*100)
	case known:
		return pass("%.2g %% of the good traffic", total*100)
	case limit.Unknown == UnsurePass:
		return pass("no baseline of good traffic yet; guardrails.blast_radius.unknown is pass")
	case limit.Unknown == UnsureSingle && actor(p.prefix):
		return pass("no baseline of good traffic yet; a single actor")
	}
	return unknown("no baseline of good traffic yet")
}

// guardSharedAddress lowers the action when many good clients sit behind the
// target, as behind the NAT of a provider.
func guardSharedAddress(p *proposal) answer {
	if !p.prefix.IsValid() || p.facts.Baseline == nil {
		return pass("")
	}
	n := 0
	for _, r := range p.reach {
		n += p.facts.Baseline.Clients(r)
	}
	s := p.pol.Limits.SharedAddress
	to := model.Throttle
	switch {
	case n > s.AlertAbove:
		to = model.Alert
	case n > s.ThrottleAbove:
	default:
		return pass("")
	}
	if p.action <= to {
		return pass("%d good clients behind it", n)
	}
	return answer{verdict: model.GuardLower, lower: to, detail: fmt.Sprintf("%d good clients behind it: %s instead of %s", n, to, p.action)}
}

// guardBudget bounds how much can happen before a person looks, whatever the
// reason: a mistaken rule, a lying sensor, an attacker with many addresses.
func guardBudget(p *proposal) answer {
	b := p.pol.Limits.Budget
	p.led.mu.RLock()
	defer p.led.mu.RUnlock()
	t := p.led.tallyOf(p.action, p.dry)
	minute := p.now.Add(-time.Minute)
	if n := t.since(minute, ""); n >= b.NewPerMinute {
		return hold("%d decisions within a minute (guardrails.budget.new_per_minute is %d)", n, b.NewPerMinute)
	}
	if t.active >= b.Active {
		return hold("%d decisions in force (guardrails.budget.active is %d)", t.active, b.Active)
	}
	if p.prefix.IsValid() {
		hood := neighbourhood(p.prefix)
		if n := t.per[hood]; n >= b.PerPrefix {
			return hold("%d decisions in force within %s (guardrails.budget.per_prefix is %d): the prefix may be one actor, or one mistake", n, hood, b.PerPrefix)
		}
	}
	if sensors := counted(p.ind); len(sensors) == 1 {
		if n := t.since(minute, sensors[0]); n >= b.PerSensorPerMinute {
			return hold("%d decisions within a minute on this one sensor's word (guardrails.budget.per_sensor_per_minute is %d)", n, b.PerSensorPerMinute)
		}
	}
	return pass("")
}

func guardTimeLimit(p *proposal) answer {
	limit := p.pol.Limits.MaxDuration.D()
	if p.duration > limit {
		return never("%s is longer than %s (guardrails.max_duration in %s)", p.duration, limit, p.pol.Name)
	}
	return pass("")
}

// guardEvidence asks for enough independent, fresh, unspoofable evidence. It
// reads the terms rather than the summary, so that both would have to be wrong.
func guardEvidence(p *proposal) answer {
	if p.manual() {
		return pass("a person decided")
	}
	classes := proven(p.ind)
	if len(classes) < p.rule.MinClasses {
		return hold("%d independent kinds of evidence, %d needed", len(classes), p.rule.MinClasses)
	}
	if !forcible(p.action) {
		return pass("")
	}
	at := p.ind.LastProof
	switch {
	case at.IsZero():
		return hold("no evidence that proves the address")
	case at.After(p.now.Add(maxSkew)):
		return hold("the evidence is dated %s ahead of this clock", at.Sub(p.now).Round(time.Second))
	case !at.After(p.standing.ended):
		return hold("nothing new since the last decision ended")
	}
	return pass("%d independent kinds of evidence", len(classes))
}

// maxSkew is how far ahead of our clock evidence may be dated.
const maxSkew = 5 * time.Minute

// proven lists the independent classes that the summary names and that a term
// which counts stands for, sorted.
func proven(ind *model.Indicator) []model.Class {
	var out []model.Class
	for _, t := range ind.Terms {
		if t.LogLR > 0 && t.Class.Independent() && slices.Contains(ind.Classes, t.Class) && !slices.Contains(out, t.Class) {
			out = append(out, t.Class)
		}
	}
	slices.Sort(out)
	return out
}

// counted lists the sensors whose word counts, sorted.
func counted(ind *model.Indicator) []string {
	if ind == nil {
		return nil
	}
	var out []string
	for _, t := range ind.Terms {
		if t.LogLR > 0 && t.Sensor != "" && !slices.Contains(out, t.Sensor) {
			out = append(out, t.Sensor)
		}
	}
	slices.Sort(out)
	return out
}
