package gate

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"bartizan/internal/conf"
	"bartizan/internal/credential"
	"bartizan/internal/gateway"
	"bartizan/internal/model"
)

// Drill gives a drill a route of its own to its upstream on this machine, with a
// canary that must not get out: as long as its lease lives. It returns the route's
// address and key.
func (g *Gate) Drill(l model.Lease, upstream, canary string) (at, key string, end func(), err error) {
	u, err := url.Parse(upstream)
	if err != nil || u.Scheme != "http" {
		return "", "", nil, fmt.Errorf("%.100q is no http address", upstream)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err != nil || !a.IsLoopback() {
		return "", "", nil, fmt.Errorf("%.100q is not on the loopback: a drill talks to itself and to nobody else", upstream)
	}
	if len(canary) < 8 || len(canary) > 64 || strings.Trim(canary, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", "", nil, fmt.Errorf("%.70q: a drill's canary has 8 to 64 lower-case letters, digits and dashes", canary)
	}
	d := gateway.Drill{Name: gateway.DrillPrefix + strings.ToLower(l.ID.String()), Until: l.Until}
	for _, s := range l.Addresses {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return "", "", nil, err
		}
		d.Addresses = append(d.Addresses, a)
	}
	secrets, err := conf.Parse("drill", fmt.Appendf(nil, "canaries: [%s]\n", canary))
	if err != nil {
		return "", "", nil, err
	}
	c := gateway.DefaultConfig()
	c.Routes = map[string]gateway.Route{d.Name: {Service: gateway.Service{Format: "openai", Upstream: upstream}, Policy: gateway.Policy{Unpriced: gateway.Forward},
		Options: map[string]conf.Raw{"secret": secrets}}}
	bad := Complete(&c)
	for _, k := range slices.Sorted(maps.Keys(bad)) {
		return "", "", nil, fmt.Errorf("%s: %w", k, bad[k])
	}
	d.Route = c.Routes[d.Name]
	_, d.Key = credential.Own("bzd_").Mint()
	if end, err = g.gateway.Drill(d); err != nil {
		return "", "", nil, err
	}
	return g.URL() + d.Route.Prefix, d.Key, end, nil
}
