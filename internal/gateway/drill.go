package gateway

import (
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// DrillPrefix begins the names of routes that exist for a drill only.
const DrillPrefix = "drill-"

// Drill is a route with a key of its own, for as long as a drill's lease lives. It
// leads to the drill itself, and its clients come from this machine and say which of
// the leased addresses they play, as a load balancer would: everything else about it
// is what every route has.
type Drill struct {
	Name      string // DrillPrefix…
	Route     Route  // completed
	Key       string
	Addresses []netip.Addr
	Until     time.Time
}

// Drill adds a drill's route; end takes it away.
func (g *Gateway) Drill(d Drill) (end func(), err error) {
	if !strings.HasPrefix(d.Name, DrillPrefix) || d.Key == "" || !d.Until.After(time.Now()) {
		return nil, fmt.Errorf("add the route of a drill: %q has no key, or is over", d.Name)
	}
	r, err := newRoute(d.Name, d.Route, g.opt)
	if err != nil {
		return nil, fmt.Errorf("add the route of a drill: %w", err)
	}
	r.drill = &d
	g.drillMu.Lock()
	defer g.drillMu.Unlock()
	g.setDrills(append(slices.Clone(g.drillRoutes()), r))
	return func() {
		g.drillMu.Lock()
		defer g.drillMu.Unlock()
		g.setDrills(slices.DeleteFunc(slices.Clone(g.drillRoutes()), func(x *route) bool { return x == r }))
		r.closeIdle()
	}, nil
}

func (g *Gateway) drillRoutes() []*route {
	if p := g.drills.Load(); p != nil {
		return *p
	}
	return nil
}

func (g *Gateway) setDrills(all []*route) { g.drills.Store(&all) }

// played is the leased address that a drill's client says it has; false for everybody
// who is no drill.
func (d *Drill) played(r *http.Request) (netip.Addr, bool) {
	a, err := netip.ParseAddr(r.Header.Get("X-Forwarded-For"))
	if err != nil || !fromHere(r) || !time.Now().Before(d.Until) || !slices.Contains(d.Addresses, a) {
		return netip.Addr{}, false
	}
	return a, true
}

// fromHere tells whether a connection comes from this machine itself.
func fromHere(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if peer.Addr().Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	own, err := netip.ParseAddrPort(local.String())
	return err == nil && own.Addr().Unmap() == peer.Addr().Unmap()
}

// admitDrill finds out whom a drill's client plays. Who is no drill finds no route there.
func (x *exchange) admitDrill() error {
	r, _ := x.g.find(x.r.URL.Path)
	if r == nil || r.drill == nil {
		return nil
	}
	a, ok := r.drill.played(x.r)
	if !ok || subtle.ConstantTimeCompare([]byte(clientKey(x.r)), []byte(r.drill.Key)) != 1 {
		return &refusal{status: 404, code: "no_route", message: "no route of the gateway has this path", reason: "a drill's route, and not the drill", outcome: Refused}
	}
	x.peer, x.rec.Peer = a, a.String()
	return nil
}
