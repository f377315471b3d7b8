package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/app/hunting"
	"bartizan/internal/app/intake"
	"bartizan/internal/app/inventory"
	"bartizan/internal/app/people"
	"bartizan/internal/bus"
	"bartizan/internal/decide"
	"bartizan/internal/host"
	"bartizan/internal/intel"
	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/life"
	"bartizan/internal/model"
	"bartizan/internal/obs"

	"github.com/prometheus/client_golang/prometheus"
)

// Env is what a node runs in.
type Env struct {
	Version  string
	Log, Out io.Writer
}

// Node is a complete node, opened and not yet running.
type Node struct {
	conf    Config
	env     Env
	started time.Time
	id      identity
	log     *slog.Logger
	health  *obs.Health
	metrics *obs.Metrics

	bus       *bus.Bus
	evidence  *bus.Blobs
	lake      *lake.Lake     // nil: none is kept
	hunts     *hunting.Desk  // one for the node: it answers one question at a time
	sources   *intake.Intake // nil: none is configured
	mirror    *bucket.Mirror // nil: the lake has no bucket
	sensor    *sensor
	around    *surroundings
	hub       *hub
	enforcing *enforcing
	receipts  *receiptBook
	exporters []*exporter
	exported  *prometheus.CounterVec
	group     *life.Group
	admin     net.Listener
	public    net.Listener
	remote    *remote
	gateway   *gate.Role // nil: it has no routes
	people    *people.Desk
	inventory *inventory.Inventory // of MCP gateways
}

// blobLimits caps the evidence store.
func (c *Config) blobLimits() bus.BlobLimits {
	return bus.BlobLimits{MaxBlob: 16 << 20, MaxTotal: int64(c.Bus.EvidenceBytes), MaxAge: c.Bus.EvidenceAge.D()}
}

// New opens everything a node needs: it finds out here, and not half-way
// through running, what is missing. Run must follow, also to close again.
func New(ctx context.Context, c Config, env Env) (_ *Node, err error) {
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return nil, mistake{fmt.Errorf("log.level: %w", err)}
	}
	n := &Node{conf: c, env: env, started: time.Now(), health: obs.NewHealth(), metrics: obs.NewMetrics()}
	n.log = obs.NewLogger(env.Log, obs.Format(c.Log.Format), level)
	n.group = life.New(n.log)
	n.hunts = hunting.New(c.LakeDir(), c.Lake.Bucket, childLog{n.log})
	defer func() {
		if err != nil { // close what is open, in reverse
			n.group.Fail(err)
			_ = n.group.Wait(context.WithoutCancel(ctx), 10*time.Second)
		}
	}()
	policy, err := c.loadPolicy()
	if err != nil {
		return nil, err
	}
	if err := api.CheckSocketPath(c.Data); err != nil { // before anything is made there
		return nil, mistake{err}
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w; choose another with --data", err)
	}
	if n.bus, err = bus.Open(ctx, bus.Config{Dir: filepath.Join(c.Data, "bus")}, n.log); err != nil {
		return nil, err
	}
	n.group.OnStop("bus", n.bus.Close)
	if n.id, err = loadIdentity(c.Data, n.started); err != nil {
		return nil, err
	}
	if err := n.openStores(ctx, policy); err != nil {
		return nil, err
	}
	if n.admin, err = api.ListenAdmin(c.Data); err != nil {
		return nil, err
	}
	n.group.OnStop("administration socket", func(context.Context) error { n.admin.Close(); return nil })
	n.exported = n.metrics.Counter("export_events_total", "events given to a sink: sent, or left out because too large for its receiver", "sink", "class", "outcome")
	if err := n.openExporters(); err != nil {
		return nil, err
	}
	if err := n.openGateway(ctx, policy); err != nil {
		return nil, err
	}
	n.openPublic()
	if n.remote, err = n.openRemote(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// openStores opens the parts between the bus and the devices, and folds what
// the streams remember.
func (n *Node) openStores(ctx context.Context, policy *decide.Policy) (err error) {
	if n.sensor, err = newSensor(&n.conf, n.id, n.log, n.health, n.metrics); err != nil {
		return err
	}
	n.group.OnStop("decoy ports", n.sensor.close)
	if n.sensor.evidence, err = bus.OpenBlobs(ctx, n.bus, "EVIDENCE", n.conf.blobLimits()); err != nil {
		return err
	}
	n.evidence = n.sensor.evidence
	if err := n.openLake(); err != nil {
		return err
	}
	store := &signalStore{made: n.sensor.metrics.signals, health: n.health}
	if store.signals, err = bus.NewPublisher(ctx, n.bus, signalTopic(&n.conf)); err != nil {
		return err
	}
	n.sensor.store = store
	if err := n.openSources(ctx); err != nil {
		return err
	}
	if n.receipts, err = openReceipts(ctx, n.bus, &n.conf); err != nil {
		return err
	}
	ports := map[uint16]bool{}
	for _, l := range n.sensor.listeners {
		ports[l.addr.Port()] = true
	}
	if n.around, err = newSurroundings(ctx, &n.conf, ports, n.log, n.health); err != nil {
		return err
	}
	m := newHubMetrics(n.metrics)
	pub := n.id.publicKey()
	n.hub = &hub{conf: &n.conf, bus: n.bus, log: n.log, health: n.health, metrics: m, around: n.around, key: n.id.key,
		store: intel.New(intel.Default()), receipts: n.receipts, policy: policy,
		ledger: decide.NewLedger(decide.LedgerConfig{Key: pub, HoldFor: policy.Limits.HoldFor.D()}), watch: decide.NewWatch(policy.Rollback), todo: map[model.Entity]time.Time{}, drilled: map[model.Entity]time.Time{}}
	if n.hub.entries, err = bus.NewPublisher(ctx, n.bus, ledgerTopic(&n.conf)); err != nil {
		return err
	}
	n.enforcing, err = newEnforcing(&n.conf, n.bus, decide.NewLedger(decide.LedgerConfig{Key: pub, HoldFor: policy.Limits.HoldFor.D()}), n.receipts, n.log, n.health, m)
	if err != nil {
		return err
	}
	n.group.OnStop("enforcers", n.enforcing.close)
	last, err := n.hub.rebuild(ctx, n.started, n.enforcing.fold)
	if err != nil {
		return err
	}
	n.group.OnStop("snapshot", func(context.Context) error { n.hub.saveSnapshot(1); return nil })
	n.hub.endLeases(n.started)
	return n.enforcing.begin(ctx, last+1)
}

// openPublic opens the address of /metrics. Without it the node works, so a
// taken port is reported and not fatal.
func (n *Node) openPublic() {
	if n.conf.Metrics == "" {
		return
	}
	l, err := net.Listen("tcp", n.conf.Metrics)
	if err != nil {
		n.health.Set("metrics", obs.StateDegraded, fmt.Sprintf("no /metrics on %s: %v; choose another address with \"metrics:\"", n.conf.Metrics, err))
		return
	}
	n.public = l
	n.health.Set("metrics", obs.StateOK, "http://"+l.Addr().String())
	n.group.OnStop("metrics address", func(context.Context) error { l.Close(); return nil })
}

// Run starts the parts in the order data flows backwards (devices, decisions,
// sensors), so that nothing is made before somebody takes it, and waits.
func (n *Node) Run(ctx context.Context) error {
	node := n.remote.node
	g := n.group
	n.around.onLook(n.protect)
	for _, d := range n.enforcing.devices {
		g.Go("enforcer "+d.name, func(ctx context.Context) error {
			return d.reconciler.Run(ctx, &n.enforcing.latest, n.enforcing.deliver)
		})
	}
	g.Go("enforcers", n.enforcing.follow)
	g.Go("surroundings", n.around.run)
	g.Go("address watch", n.around.watch)
	n.runLake(g)
	g.Go("clock", n.hub.clock)
	g.Go("snapshots", n.hub.keepSnapshots)
	g.Go("hub", func(ctx context.Context) error {
		if err := n.hub.reconsider(ctx, time.Now()); err != nil {
			return err
		}
		return bus.Consume(ctx, n.bus, signalTopic(&n.conf), "hub", bus.ConsumeOptions{New: true}, n.hub.onSignals)
	})
	for _, x := range n.exporters {
		for _, class := range x.classes {
			g.Go("export "+x.name+" "+class, func(ctx context.Context) error { return x.run(ctx, class) })
		}
	}
	if n.sources != nil {
		n.sources.Start(g)
	}
	n.people.Start(g)
	g.Go("mcp gateways", n.inventory.Run)
	if n.gateway != nil {
		n.gateway.Start(g)
	}
	g.Go("detectors", n.sensor.tick)
	g.Go("decoys", n.sensor.run)
	g.Go("api tokens", n.remote.tokens.Run)
	g.Go("administration", func(ctx context.Context) error { return n.remote.server.ServeAdmin(ctx, n.admin) })
	if n.remote.listener != nil {
		g.Go("api", n.remote.serve)
	}
	if n.public != nil {
		g.Go("metrics", func(ctx context.Context) error { return api.ServePublic(ctx, n.public, node) })
	}
	n.greet()
	larger := func(err error) { n.log.Debug("the node takes more memory than it needs", "error", err) }
	pages, err := host.FindProgramPages()
	if err != nil {
		larger(err)
	}
	g.Go("memory", func(ctx context.Context) error { return pages.GiveBack(ctx, larger) })
	return g.Wait(ctx, 20*time.Second)
}

// protect gives enforcers the addresses that must never be hit, whatever a
// decision says.
func (n *Node) protect() { n.enforcing.protect(neverHit(n.around.snapshot(), n.hub.policy)) }

// neverHit is everything that the machine, its configuration and the policy
// name as never to be blocked.
func neverHit(f decide.Facts, policy *decide.Policy) []netip.Prefix {
	never := slices.Concat(f.Own, f.Never, f.Balancers)
	for _, x := range policy.Never {
		if x.Prefix.IsValid() {
			never = append(never, x.Exact)
		}
	}
	for _, a := range slices.Concat(f.Addresses, f.Gateways, f.Resolvers) {
		if p, err := a.Unmap().WithZone("").Prefix(a.Unmap().BitLen()); err == nil {
			never = append(never, p)
		}
	}
	return never
}

// greet prints what a person at the terminal needs to know.
func (n *Node) greet() {
	var b strings.Builder
	fmt.Fprintf(&b, "bartizan %s: node %s, mode %s, data %s\n", n.env.Version, n.conf.Name, n.hub.policy.Mode, n.conf.Data)
	if len(n.conf.Decoys.Addresses) == 0 {
		b.WriteString("WARNING: decoys listen on every address of this machine; \"--listen ADDRESS\" narrows it\n")
	}
	if n.conf.Metrics != "" && n.public == nil {
		fmt.Fprintf(&b, "WARNING: no /metrics and /health: %s is taken or not of this machine (\"bartizan status\" says which); choose another address with \"metrics:\"\n", n.conf.Metrics)
	}
	for _, l := range n.sensor.lines {
		fmt.Fprintf(&b, "  decoy %-10s %-8s %s", l.Instance, l.Service, l.Address)
		if l.Note != "" {
			fmt.Fprintf(&b, "  (%s)", l.Note)
		}
		b.WriteByte('\n')
	}
	if i := n.remote.info(); i.URL != "" {
		fmt.Fprintf(&b, "  api   %s", i.URL)
		if i.Fingerprint != "" {
			fmt.Fprintf(&b, "  certificate SHA-256 %s", i.Fingerprint)
		}
		b.WriteByte('\n')
	}
	if n.gateway != nil {
		n.gateway.Greet(&b)
	}
	if n.hub.policy.Mode == decide.ModeObserve {
		b.WriteString("observing only: decisions are written down and not enforced (policy mode: observe)\n")
	}
	b.WriteString("next: bartizan status · bartizan drill · bartizan decisions list\n")
	_, _ = io.WriteString(n.env.Out, b.String()) // a closed terminal does not stop the node
}

// receiptsOf pairs a decision with its receipts.
func (n *Node) receiptsOf(d model.Decision) api.Decision {
	return api.Decision{Decision: d, Receipts: n.receipts.of(d.ID)}
}
