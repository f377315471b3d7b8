package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"bartizan/internal/builtin"
	"bartizan/internal/bus"
	"bartizan/internal/decide"
	"bartizan/internal/enforce"
	"bartizan/internal/host"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// enforcing is the enforcers' side of the ledger: a durable consumer that folds
// it into the orders that should be in force, and a reconciler per enforcer.
// It reads the same stream an enforcer elsewhere would, and trusts it as little.
type enforcing struct {
	conf     *Config
	bus      *bus.Bus
	log      *slog.Logger
	health   *obs.Health
	metrics  hubMetrics
	receipts *receiptBook
	ledger   *decide.Ledger // its own fold
	book     *enforce.Book
	latest   enforce.Latest
	devices  []device
	unseen   int // ledger entries that changed nothing

	neverMu sync.Mutex
	never   []netip.Prefix // as given to the devices last
}

type device struct {
	name       string
	enforcer   enforce.Enforcer
	reconciler *enforce.Reconciler
}

func newEnforcing(c *Config, b *bus.Bus, ledger *decide.Ledger, receipts *receiptBook, log *slog.Logger, health *obs.Health, m hubMetrics) (*enforcing, error) {
	e := &enforcing{conf: c, bus: b, log: log, health: health, metrics: m, receipts: receipts, ledger: ledger, book: enforce.NewBook()}
	table := builtin.Enforcers()
	for _, name := range slices.Sorted(maps.Keys(c.Enforce)) {
		impl, err := table.Build(name, c.Enforce[name])
		if err != nil {
			return nil, mistake{fmt.Errorf("enforcer %s: %w", name, err)}
		}
		if cut, ok := impl.(enforce.Cutter); ok {
			cut.SetCut(e.cut)
		}
		e.devices = append(e.devices, device{name: name, enforcer: impl, reconciler: enforce.New(name, impl, enforce.Options{
			Persisted: receipts.from(name), Log: log.With("enforcer", name),
			Changed: func(h enforce.Health) { e.changed(name, h) },
		})})
	}
	return e, nil
}

// begin folds what was written to the ledger from seq on, while the node was
// opened, so that the first state the devices are given is the whole one.
func (e *enforcing) begin(ctx context.Context, seq uint64) error {
	_, err := bus.Read(ctx, e.bus, ledgerTopic(e.conf), bus.From{Seq: seq}, func(m bus.Message[model.Entry]) error {
		e.fold(m.Seq, m.Value)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	e.latest.Set(e.book.Snapshot())
	return nil
}

// follow is the durable consumer: entries are acknowledged when the state the
// reconcilers work from holds them.
func (e *enforcing) follow(ctx context.Context) error {
	return bus.Consume(ctx, e.bus, ledgerTopic(e.conf), "enforcers", bus.ConsumeOptions{}, func(_ context.Context, batch []bus.Message[model.Entry]) error {
		for i := range batch {
			e.fold(batch[i].Seq, batch[i].Value)
		}
		e.latest.Set(e.book.Snapshot())
		return nil
	})
}

func (e *enforcing) fold(seq uint64, entry model.Entry) {
	changed, err := e.ledger.Apply(seq, entry)
	if err != nil {
		e.unseen++ // the hub, which folds the same entries, reports them
	}
	for _, id := range changed {
		d, ok := e.ledger.Get(id)
		if !ok {
			continue // a lease
		}
		prefix, isIP := d.Target.Prefix()
		if !isIP || d.DryRun || d.State != model.StateActive || d.Action < model.Throttle {
			e.book.Delete(id)
			continue
		}
		e.book.Set(enforce.Order{Decision: id, Prefix: prefix, Action: d.Action, Until: d.Until, Manual: d.Policy == "manual"})
	}
}

// deliver stores a receipt; the reconciler calls it again until it succeeds.
func (e *enforcing) deliver(ctx context.Context, r model.Receipt) error {
	if err := e.receipts.add(ctx, r); err != nil {
		e.health.Set("receipts", obs.StateFailed, err.Error())
		return err
	}
	e.health.Set("receipts", obs.StateOK, "written")
	e.metrics.receipts.WithLabelValues(r.Enforcer, string(r.Status)).Inc()
	if r.Status == model.Applied {
		if d, ok := e.ledger.Get(r.Decision); ok && !d.Because.Seen.IsZero() {
			e.metrics.latency.WithLabelValues("enforced").Observe(max(0, r.Time.Sub(d.Because.Seen).Seconds()))
		}
	}
	return nil
}

func (e *enforcing) changed(name string, h enforce.Health) {
	check := "enforcer-" + name
	switch {
	case h.LastError != "" && h.LastErrorAt.After(h.LastOK):
		e.health.Set(check, obs.StateFailed, h.LastError)
	case h.Pending && time.Since(h.Since) > 5*time.Second:
		e.health.Set(check, obs.StateDegraded, fmt.Sprintf("behind since %s", h.Since.Format(time.TimeOnly)))
	default:
		e.health.Set(check, obs.StateOK, fmt.Sprintf("%d orders in force", h.Orders))
	}
}

// cut ends the open connections of a source that was just blocked. Their
// packets are dropped already; this frees what they hold.
func (e *enforcing) cut(ctx context.Context, p netip.Prefix) {
	n, err := host.Cut(ctx, p)
	if err != nil {
		e.health.Set("cut", obs.StateDegraded, "open connections of blocked sources are starved, not closed: "+err.Error())
		return
	}
	if n.Sockets+n.Flows > 0 {
		e.log.Info("cut connections of a blocked source", "prefix", p, "sockets", n.Sockets, "flows", n.Flows)
	}
}

// maxCounted is the most orders whose counters are read for a person: the
// device lists all of them at once.
const maxCounted = 20_000

// counted returns what the devices dropped for each decision in force.
func (e *enforcing) counted(ctx context.Context) map[model.ULID]enforce.Counter {
	sum := map[model.ULID]enforce.Counter{}
	if e.book.Len() == 0 || e.book.Len() > maxCounted {
		return sum
	}
	for _, d := range e.devices {
		c, ok := d.enforcer.(enforce.Counting)
		if !ok {
			continue
		}
		all, err := c.Counters(ctx)
		if err != nil {
			e.log.Warn("cannot read counters", "enforcer", d.name, "error", err)
			continue
		}
		for id, n := range all {
			old := sum[id]
			sum[id] = enforce.Counter{Packets: old.Packets + n.Packets, Bytes: old.Bytes + n.Bytes}
		}
	}
	return sum
}

// protect gives the devices their last line of defence, and has them judge
// what they hold by it: an address may become ours while it is blocked.
func (e *enforcing) protect(never []netip.Prefix) {
	slices.SortFunc(never, netip.Prefix.Compare)
	never = slices.Compact(never)
	e.neverMu.Lock()
	defer e.neverMu.Unlock()
	if e.never != nil && slices.Equal(e.never, never) {
		return
	}
	e.never = never
	for _, d := range e.devices {
		if p, ok := d.enforcer.(enforce.Protected); ok {
			p.Protect(never)
			d.reconciler.Again()
		}
	}
}

// close releases the devices; what is in force stays in force.
func (e *enforcing) close(context.Context) error {
	var first error
	for _, d := range e.devices {
		if c, ok := d.enforcer.(enforce.Closer); ok {
			if err := c.Close(); err != nil && first == nil {
				first = fmt.Errorf("close enforcer %s: %w", d.name, err)
			}
		}
	}
	return first
}
