package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"bartizan/internal/enforce"
	"bartizan/internal/model"
)

// Isolation is what isolated hosts may still do. Only what passes the hooks can
// be stopped: a host is cut off from other networks where its packets are
// forwarded, on its gateway.
type Isolation struct {
	Allow []netip.Prefix `yaml:"allow"` // what it may talk with: who repairs it, the hub; these cannot be isolated themselves
}

// maxAllow is how many ranges of a family a rule can leave out; the kernel takes
// 128 expressions in one (NFT_RULE_MAXEXPRS).
const maxAllow = 64

// canonical is the list as the rules are made from it.
func (i Isolation) canonical() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range i.Allow {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

func (i Isolation) validate() error {
	n := [2]int{}
	for _, p := range i.Allow {
		switch {
		case !p.IsValid() || p.Bits() == 0:
			return errors.New("isolate.allow must list addresses or prefixes, and not everything: who may talk with everybody is not isolated")
		case p.Addr().Is6():
			n[1]++
		default:
			n[0]++
		}
	}
	if max(n[0], n[1]) > maxAllow {
		return fmt.Errorf("isolate.allow can have at most %d prefixes of each family: name wider ones", maxAllow)
	}
	return nil
}

// reachOf tells what of an isolation this device can see to; "" for what is
// dropped wherever it arrives.
func (e *Enforcer) reachOf(o enforce.Order) string {
	switch {
	case o.Action != model.Isolate:
		return ""
	case !slices.Contains(e.conf.Hooks, "forward") && !slices.Contains(e.conf.Hooks, "prerouting"):
		return "cut off from this machine only: nothing that is forwarded is stopped without the hook forward"
	}
	return fmt.Sprintf("cut off from what this machine forwards and receives, but for %d allowed prefixes", len(e.layout.allow))
}
