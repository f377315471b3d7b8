package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// Options of a drill.
type Options struct {
	Node  *api.Client
	Runs  int
	Table string // the nft table of the node's enforcer
	// Pid of a process in the node's network namespace; 0: this one's.
	Pid int
	// Progress is told in a line what happens; may be nil.
	Progress func(string)
	// Warn is told what is not drilled; may be nil.
	Warn func(string)
	// Logs adds attacks that come from logs; RunSelf only, because a node reads
	// them from files of the drill.
	Logs bool

	logDir string // where those files are
}

// blockFor is how long a drill's blocks last: the least a lease allows, so that
// the release can be watched too.
const blockFor = model.Seconds(2)

// maxStrangers bounds the search for an unused address; a cable has 4,090.
const maxStrangers = 4090

// drill is one drill under way.
type drill struct {
	Options
	node, outside *space
	link          *link
	crew          *crew
	ports         map[string]uint16

	// Of a node that runs a gateway; nil without one.
	model *toyModel
	tools *toolServer
	mcp   *toolGateway
	home  *folder // of mcp
	guest *guest  // of the run's route
	next  int     // attackers used so far
}

// Run attacks the node and reports. An error means that the drill could not be
// held; a control that failed is in the report.
func Run(ctx context.Context, o Options) (_ Report, err error) {
	d := &drill{Options: o, next: rand.IntN(maxStrangers)}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.prepare(ctx); err != nil {
		return Report{}, err
	}
	var all [][]outcome
	var longest time.Duration
	for run := range max(1, o.Runs) {
		began := time.Now()
		out, err := d.run(ctx, run)
		if err != nil {
			return Report{}, err
		}
		all = append(all, out)
		longest = max(longest, time.Since(began))
		if o.Progress != nil {
			bad := 0
			for _, c := range out {
				bad += one(!c.ok)
			}
			o.Progress(fmt.Sprintf("run %d of %d: %d of %d controls ok, %.1f s", run+1, max(1, o.Runs), len(out)-bad, len(out), time.Since(began).Seconds()))
		}
	}
	names := d.controls()
	if o.logDir != "" {
		out, err := d.logs(ctx, o.logDir)
		if err != nil {
			return Report{}, err
		}
		all[0], names = append(all[0], out...), append(names, LogControlNames()...)
	}
	return summarise(all, longest, names), nil
}

func (d *drill) prepare(ctx context.Context) error {
	st, err := d.Node.Status(ctx)
	if err != nil {
		return err
	}
	d.ports = map[string]uint16{}
	for _, l := range st.Decoys.Listening {
		at, err := netip.ParseAddrPort(l.Address)
		if err != nil {
			return fmt.Errorf("read where the decoys listen: %w", err)
		}
		if !at.Addr().IsUnspecified() {
			return fmt.Errorf("decoy %s listens on %s only: a drill needs decoys on every address, because it comes in over a cable of its own", l.Instance, at)
		}
		d.ports[l.Instance] = at.Port()
	}
	gateway := slices.ContainsFunc(st.Enforcers, func(e api.Enforcer) bool { return e.Name == gatewayEnforcer })
	if len(d.ports) == 0 && !gateway {
		return errors.New("the node has neither decoys nor a gateway: nobody can attack it; turn one on, or drill with --self")
	}
	if len(d.ports) == 0 && d.Warn != nil {
		d.Warn("the node has no decoys: nothing but its gateway is attacked, and no block is tried")
	}
	if d.Pid != 0 {
		d.node, err = spaceOf(d.Pid)
	} else {
		d.node, err = here()
	}
	if err != nil {
		return fmt.Errorf("find the node's network namespace: %w", err)
	}
	if d.outside, err = newSpace(); err != nil {
		return err
	}
	for lane := uint8(0); ; lane++ {
		if d.link, err = newLink(d.node, d.outside, lane); err == nil {
			break
		}
		if !errors.Is(err, os.ErrExist) || lane == lanes-1 {
			return err
		}
	}
	if err := d.link.settle(ctx); err != nil {
		return err
	}
	if d.crew, err = hire(d.outside); err != nil {
		return err
	}
	if gateway {
		return d.prepareGateway(st.Data)
	}
	return nil
}

// prepareGateway opens what the drill of a gateway needs: a model, an MCP server, and
// an MCP gateway beside the node.
func (d *drill) prepareGateway(data string) (err error) {
	if d.model, err = newToyModel(d.node); err != nil {
		return err
	}
	if d.tools, err = newToolServer(d.node); err != nil {
		return err
	}
	if d.home, err = newFolder(); err != nil {
		return err
	}
	d.mcp, err = startToolGateway(d.node, d.home.path, data, d.tools.url)
	return err
}

func (d *drill) closeGateway() error {
	var errs []error
	if d.mcp != nil {
		errs = append(errs, d.mcp.close())
	}
	if d.tools != nil {
		errs = append(errs, d.tools.close())
	}
	if d.model != nil {
		errs = append(errs, d.model.close())
	}
	if d.home != nil {
		errs = append(errs, d.home.close())
	}
	return errors.Join(errs...)
}

func (d *drill) close() error {
	errs := []error{d.closeGateway()}
	if d.crew != nil {
		errs = append(errs, d.crew.dismiss())
	}
	if d.link != nil {
		errs = append(errs, d.link.close())
	}
	for _, s := range []*space{d.outside, d.node} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	return errors.Join(errs...)
}

// part is one control to be played.
type part struct {
	name string
	src  netip.Addr
	play func(ctx context.Context, p part) []outcome
}

// run plays every control once, all at the same time: real attackers do not
// queue either.
func (d *drill) run(ctx context.Context, n int) ([]outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var strange error
	attacker := func(six bool) netip.Addr {
		a, err := d.stranger(ctx, six)
		strange = errors.Join(strange, err)
		return a
	}
	var parts []part
	for _, name := range d.controls() {
		switch name {
		case "gateway-caught":
			parts = append(parts, part{name, attacker(false), d.caught})
		case "gateway-canary":
			parts = append(parts, part{name, attacker(false), d.leak})
		case "mcp-rug-pull":
			parts = append(parts, part{name, attacker(false), d.rugPull})
		case "nft-v4":
			parts = append(parts, part{name, attacker(false), d.setV4})
		case "nft-v6":
			parts = append(parts, part{name, attacker(true), d.setV6})
		case "guardrail-refuses":
			parts = append(parts, part{name, attacker(false), d.refused})
		case "never-list":
			parts = append(parts, part{name, attacker(false), d.never})
		case "release": // read off all the others
		default:
			parts = append(parts, part{name, attacker(false), d.story})
		}
	}
	if strange != nil {
		return nil, fmt.Errorf("choose attackers: %w", strange)
	}
	var leased []string
	for _, p := range parts {
		if p.name != "guardrail-refuses" {
			leased = append(leased, p.src.String())
		}
	}
	q := api.LeaseRequest{Addresses: leased, For: 60, BlockFor: blockFor}
	if d.model != nil {
		q.Gateway = &api.DrillGateway{Upstream: d.model.url, Canary: d.model.canary}
	}
	lease, end, err := d.Node.Lease(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("get a drill lease: %w", err)
	}
	defer end()
	if d.model != nil {
		if lease.Gateway == nil {
			return nil, errors.New("the node's gateway gave the drill no route")
		}
		d.guest = newGuest(d.node, lease.Gateway)
		defer d.guest.close()
	}
	results := make([][]outcome, len(parts))
	var all sync.WaitGroup
	for i, p := range parts {
		all.Go(func() { results[i] = p.play(ctx, p) })
	}
	all.Wait()
	var out []outcome
	for _, r := range results {
		out = append(out, r...)
	}
	if len(d.ports) > 0 {
		out = append(out, released(out))
	}
	return out, nil
}

// controls are those that the node can be put to: without a decoy nobody attacks one.
func (d *drill) controls() (names []string) {
	if len(d.ports) > 0 {
		names = ControlNames()
	}
	if d.model == nil {
		return names
	}
	for _, name := range GatewayControlNames() {
		if name != "gateway-caught" || len(d.ports) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// stranger is an address that the node knows nothing about: one of an earlier
// drill would be judged by what it did then.
func (d *drill) stranger(ctx context.Context, six bool) (netip.Addr, error) {
	for range maxStrangers {
		d.next++
		a := d.link.attacker(d.next, six)
		who := model.AddrEntity(a).Value()
		known, err := d.Node.Intel(ctx, api.IntelQuery{Value: who})
		if err != nil {
			return a, err
		}
		decided, err := d.Node.Decisions(ctx, api.DecisionQuery{Target: who, All: true, Limit: 1})
		if err != nil || len(known)+len(decided) == 0 {
			return a, err
		}
	}
	return netip.Addr{}, fmt.Errorf("the node knows all %d addresses that were tried from earlier drills: wait an hour, or drill with --self", maxStrangers)
}

// released is the control about all the blocks of a run: each ended in time,
// as seen by who was blocked.
func released(all []outcome) outcome {
	o := outcome{name: "release", ok: true, verified: true}
	var worst time.Duration
	n := 0
	for _, c := range all {
		if c.steps.Dropped == nil {
			continue
		}
		if c.steps.Released == nil {
			o.ok, o.verified, o.detail = false, false, c.name+" was not let in again"
			return o
		}
		n++
		worst = max(worst, time.Duration(*c.steps.Released*float64(time.Millisecond)))
	}
	if n == 0 {
		return fail("release", "nothing was blocked, so nothing could be released")
	}
	o.steps.Released = ms(worst)
	o.detail = fmt.Sprintf("%d blocks ended, the slowest %v after its time", n, worst.Round(time.Millisecond))
	if worst > 2*time.Second {
		o.ok = false
	}
	return o
}
