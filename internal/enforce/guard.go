package enforce

import (
	"errors"
	"fmt"
	"net/netip"

	"bartizan/internal/model"
)

// Limits is what an enforcer refuses whoever orders it. It is the last line of
// defence behind the guardrails of the decision, so it depends on nothing but
// the order: a mistake elsewhere must not cut off the host.
type Limits struct {
	Never         []netip.Prefix `yaml:"never"`           // refused if an order touches one of them
	Widest4       int            `yaml:"widest_v4"`       // shortest IPv4 prefix length accepted
	Widest6       int            `yaml:"widest_v6"`       // shortest IPv6 prefix length accepted from the policy
	WidestManual6 int            `yaml:"widest_manual_6"` // shortest IPv6 prefix length accepted from a person
}

// DefaultLimits refuses everything wider than an IPv4 /8 or an IPv6 /56 (/32
// when a person ordered it).
func DefaultLimits() Limits { return Limits{Widest4: 8, Widest6: 56, WidestManual6: 32} }

// Validate refuses limits that would let a default route through.
func (l Limits) Validate() error {
	switch {
	case l.Widest4 < 1 || l.Widest4 > 32:
		return errors.New("widest_v4 must be between 1 and 32")
	case l.Widest6 < 1 || l.Widest6 > 128 || l.WidestManual6 < 1 || l.WidestManual6 > 128:
		return errors.New("widest_v6 and widest_manual_6 must be between 1 and 128")
	}
	return nil
}

// Refuse says why an order must not be enforced, or "" when nothing speaks
// against it. never is checked besides l.Never.
func (l Limits) Refuse(o Order, never []netip.Prefix) string {
	p := o.Prefix
	switch {
	case !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "":
		return "the prefix is not in its canonical form"
	case o.Action < model.Throttle || o.Action > model.Isolate:
		return fmt.Sprintf("action %s is nothing a device can enforce", o.Action)
	case o.Until.IsZero():
		return "the order has no end"
	}
	widest, setting := l.Widest4, "widest_v4"
	if p.Addr().Is6() {
		widest, setting = l.Widest6, "widest_v6"
		if o.Manual {
			widest, setting = l.WidestManual6, "widest_manual_6"
		}
	}
	if p.Bits() < widest {
		return fmt.Sprintf("a /%d is wider than the /%d that %s allows", p.Bits(), widest, setting)
	}
	for _, list := range [2][]netip.Prefix{l.Never, never} {
		for _, n := range list {
			if n.Overlaps(p) {
				return fmt.Sprintf("touches %s, which is never to be blocked", n)
			}
		}
	}
	return ""
}
