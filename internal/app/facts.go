package app

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/decide"
	"bartizan/internal/host"
	"bartizan/internal/model"
	"bartizan/internal/obs"

	"github.com/gaissmai/bart"
)

// How often the machine is looked at. A change of addresses or routes is seen
// at once; who is connected is polled.
const (
	factsEvery   = 30 * time.Second
	trafficEvery = time.Second
)

// surroundings keeps what the guardrails know about the machine up to date.
type surroundings struct {
	conf    *Config
	log     *slog.Logger
	health  *obs.Health
	decoys  map[uint16]bool     // ports whose visitors are not good traffic
	seen    func()              // told after every look; may be nil
	clients decide.Clients      // who refuses keys, users and prompts; nil: nobody. Set before anything runs
	api     func() []netip.Addr // live sessions of the HTTP API; nil without one

	mu       sync.Mutex
	baseline *host.Baseline
	facts    host.Facts
	admin    host.Admin
	sessions []netip.Addr
	benign   []decide.BenignList
	traffic  string // why the baseline is not fed; empty when it is
	good     int    // peers of real services seen at the last look
}

func newSurroundings(ctx context.Context, c *Config, decoyPorts map[uint16]bool, log *slog.Logger, health *obs.Health) (*surroundings, error) {
	s := &surroundings{conf: c, log: log, health: health, decoys: decoyPorts, baseline: host.NewBaseline(host.BaselineConfig{})}
	var err error
	if s.benign, err = c.loadBenign(); err != nil {
		return nil, mistake{err}
	}
	s.look(ctx)
	s.listen(ctx, time.Now())
	return s, nil
}

// onLook calls fn now and after every look at the machine.
func (s *surroundings) onLook(fn func()) {
	s.mu.Lock()
	s.seen = fn
	s.mu.Unlock()
	fn()
}

// run keeps looking until ctx ends.
func (s *surroundings) run(ctx context.Context) error {
	facts, traffic := time.NewTicker(factsEvery), time.NewTicker(trafficEvery)
	defer facts.Stop()
	defer traffic.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-facts.C:
			s.look(ctx)
		case now := <-traffic.C:
			s.listen(ctx, now)
		}
	}
}

// watch looks again whenever the kernel reports a change of addresses or routes.
func (s *surroundings) watch(ctx context.Context) error {
	err := host.Watch(ctx, func() { s.look(ctx) })
	if err != nil && ctx.Err() == nil {
		// Polling goes on; a change is then seen late.
		s.health.Set("address-watch", obs.StateDegraded, fmt.Sprintf("changes of addresses are seen only every %v: %v", factsEvery, err))
		<-ctx.Done()
	}
	return nil
}

func (s *surroundings) look(ctx context.Context) {
	f, err := host.Look(ctx)
	if err != nil {
		return // only when ctx has ended
	}
	admin, aerr := host.Administration(ctx, s.conf.Protect.AdminPort...)
	if aerr != nil {
		admin.Unknown = append(admin.Unknown, aerr.Error())
	}
	s.mu.Lock()
	s.facts, s.admin = f, admin
	seen := s.seen
	s.mu.Unlock()
	if seen != nil {
		seen()
	}
	if missing := append(slices.Clone(f.Unknown), admin.Unknown...); len(missing) > 0 {
		s.health.Set("surroundings", obs.StateDegraded, "could not look: "+strings.Join(missing, "; ")+"; decisions that need it are held")
	} else {
		s.health.Set("surroundings", obs.StateOK, fmt.Sprintf("%d addresses, %d gateways, %d resolvers", len(f.Addresses), len(f.Gateways), len(f.Resolvers)))
	}
}

// listen looks at who is connected: administrators, and the peers of services
// that are not decoys, which are the good traffic.
func (s *surroundings) listen(ctx context.Context, now time.Time) {
	s.mu.Lock()
	admin := s.admin
	s.mu.Unlock()
	ports := map[uint16]bool{}
	for _, p := range admin.Ports {
		ports[p] = !s.decoys[p]
	}
	var good []host.Conn
	sessions := slices.Clone(admin.Remotes)
	why := ""
	for c, err := range host.Connections(ctx) {
		if err != nil {
			why = err.Error()
			break
		}
		if s.decoys[c.Local.Port()] || c.Remote.Addr().IsLoopback() {
			continue
		}
		good = append(good, c)
		if ports[c.Local.Port()] {
			sessions = append(sessions, c.Remote.Addr())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions, s.traffic, s.good = sessions, why, len(good)
	if why == "" {
		s.baseline.Observe(now, good)
	}
}

// snapshot is what a decision made now may rest on.
func (s *surroundings) snapshot() decide.Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := decide.Facts{
		Never:     slices.Clone(s.conf.Protect.Never),
		Own:       slices.Concat(s.conf.Protect.Own, s.facts.Local),
		Addresses: s.facts.Addresses, Resolvers: s.facts.Resolvers, Gateways: s.facts.Gateways,
		Balancers: slices.Clone(s.conf.Protect.Balancers), Sessions: s.sessions, Baseline: baselineNow{s}, Benign: s.benign, Clients: s.clients,
	}
	for _, in := range s.conf.Decoys.Instances {
		f.Balancers = append(f.Balancers, in.ProxyFrom...)
	}
	if s.api != nil {
		f.Sessions = slices.Concat(f.Sessions, s.api())
	}
	f.Unknown = append(f.Unknown, unknownFacts(s.facts.Unknown)...)
	for _, u := range s.admin.Unknown {
		f.Unknown = append(f.Unknown, decide.FactSessions+": "+u)
	}
	if s.traffic != "" {
		f.Unknown = append(f.Unknown, decide.FactSessions+": "+s.traffic)
	}
	return f
}

// unknownFacts translates what the machine would not tell into the fact that a
// guardrail misses. The host name is nobody's guardrail.
func unknownFacts(unknown []string) (out []string) {
	for _, u := range unknown {
		switch what, _, _ := strings.Cut(u, ":"); what {
		case "host name":
		case "addresses":
			out = append(out, decide.FactOwn+": "+u)
		case "routes":
			out = append(out, decide.FactGateways+": "+u, decide.FactOwn+": "+u)
		case "resolvers":
			out = append(out, decide.FactResolvers+": "+u)
		default:
			out = append(out, u) // holds everything
		}
	}
	return out
}

// baselineNow answers for the present moment; the baseline itself has no clock.
type baselineNow struct{ s *surroundings }

func (b baselineNow) Share(p netip.Prefix) (float64, bool) {
	return b.s.baseline.Share(time.Now(), p)
}

func (b baselineNow) Clients(p netip.Prefix) int { return b.s.baseline.Clients(time.Now(), p) }

// prefixSet adapts the prefix table to the guardrails.
type prefixSet struct{ table *bart.Lite }

func (p prefixSet) OverlapsPrefix(x netip.Prefix) bool { return p.table.OverlapsPrefix(x) }

// loadBenign reads the lists of benign services that the configuration names.
func (c *Config) loadBenign() (all []decide.BenignList, err error) {
	for _, file := range c.Protect.Benign {
		l, err := loadPrefixes(file)
		if err != nil {
			return nil, c.wrong(err, "protect", "benign")
		}
		all = append(all, l)
	}
	return all, nil
}

// loadPrefixes reads a file with an address or prefix per line; '#' starts a comment.
func loadPrefixes(file string) (decide.BenignList, error) {
	f, err := os.Open(file)
	if err != nil {
		return decide.BenignList{}, err
	}
	defer f.Close()
	set := prefixSet{table: new(bart.Lite)}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		e, err := model.ParseIP(text)
		if err != nil {
			return decide.BenignList{}, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		p, _ := e.Prefix()
		set.table.Insert(p)
	}
	if err := lines.Err(); err != nil {
		return decide.BenignList{}, fmt.Errorf("%s: %w", file, err)
	}
	return decide.BenignList{Name: file, Verdict: model.GuardHold, List: set}, nil
}
