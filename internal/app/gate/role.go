package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/decide"
	"bartizan/internal/gateway"
	"bartizan/internal/life"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// Node is what a gateway has of the node it is a role of.
type Node struct {
	Bus       *bus.Bus
	Decisions bus.Topic[model.Entry]
	Ledger    *decide.Ledger // its own fold, empty
	Signals   bus.Topic[model.Signal]
	Publish   func(context.Context, []model.Signal) error
	Receipt   func(context.Context, model.Receipt) error                 // stores what the gateway says of a decision; nil: nobody wants to know
	Said      func(decision model.ULID, status model.ReceiptStatus) bool // whether it was stored before
	Age       time.Duration                                              // how long the lake keeps what was said; 0: for ever
	Health    *obs.Health
}

// Topic is the stream of audit lines, for those who watch. The file is what lasts.
func Topic() bus.Topic[gateway.Record] {
	return bus.Topic[gateway.Record]{Stream: "GUARD", Subject: "guard", Schema: "guard-exchange", Version: 1,
		Limits: bus.Limits{MaxBytes: 128 << 20, MaxAge: 7 * 24 * time.Hour, DiscardOld: true}}
}

// Role is a gateway that is part of a node.
type Role struct {
	*Gate
	node     Node
	last     uint64 // ledger entry that is folded
	caught   uint64 // signal that is folded
	signals  chan model.Signal
	records  chan gateway.Record
	receipts chan model.Receipt
	shares   shares
	lost     atomic.Uint64 // signals and lines that nobody took in time
	lines    *bus.Publisher[gateway.Record]
	traffic  *bus.Publisher[model.LLMTraffic]
}

// queue is how many signals and lines wait for the bus.
const queue = 1024

// Join opens a gateway as a role of a node: who has been decided about is known
// before the first client comes.
func Join(ctx context.Context, o Options, n Node) (_ *Role, err error) {
	r := &Role{node: n, signals: make(chan model.Signal, queue), records: make(chan gateway.Record, queue), receipts: make(chan model.Receipt, queue)}
	o.Denied = gateway.NewDenied()
	o.Signal = func(s model.Signal) { offer(r, r.signals, s) }
	o.Record = func(x *gateway.Record) error {
		offer(r, r.records, *x)
		r.shares.count(x)
		r.seen(x)
		return nil
	}
	if r.lines, err = bus.NewPublisher(ctx, n.Bus, Topic()); err != nil {
		return nil, fmt.Errorf("open the stream of the gateway: %w", err)
	}
	if r.traffic, err = bus.NewPublisher(ctx, n.Bus, Traffic(n.Age)); err != nil {
		return nil, fmt.Errorf("open the stream of recorded traffic: %w", err)
	}
	o.Traffic = r.keepTraffic
	o.Lost = func(k uint64) {
		n.Health.Set("gateway-traffic", obs.StateDegraded, fmt.Sprintf("%d exchanges came faster than they could be masked and are not recorded", k))
	}
	if r.last, err = bus.Read(ctx, n.Bus, n.Decisions, bus.From{}, func(m bus.Message[model.Entry]) error {
		r.fold(o.Denied, m, nil)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read ledger for the gateway: %w", err)
	}
	if r.caught, err = bus.Read(ctx, n.Bus, n.Signals, bus.From{Time: time.Now().Add(-remember)}, func(m bus.Message[model.Signal]) error {
		r.catch(o, &m.Value)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read signals for the gateway: %w", err)
	}
	if r.Gate, err = Open(o); err != nil {
		return nil, err
	}
	n.Health.Set("gateway", obs.StateOK, r.URL())
	return r, nil
}

// offer never waits: an exchange is not slowed down by who watches it.
func offer[T any](r *Role, c chan T, v T) {
	select {
	case c <- v:
	default:
		if n := r.lost.Add(1); n%queue == 1 {
			r.node.Health.Set("gateway", obs.StateDegraded, fmt.Sprintf("%d signals or lines were not taken by the bus in time; the audit file has all lines", n))
		}
	}
}

// fold applies one ledger entry to who is refused. What the ledger does not
// accept is reported by the hub, which folds the same entries.
func (r *Role) fold(d *gateway.Denied, m bus.Message[model.Entry], say func(*model.Decision)) {
	changed, err := r.node.Ledger.Apply(m.Seq, m.Value)
	if err != nil {
		return
	}
	for _, id := range changed {
		x, ok := r.node.Ledger.Get(id)
		if ok && inForce(&x) && why(x.Target) == "" {
			d.Set(id, x.Target, x.Until)
		} else {
			d.Delete(id)
		}
		if ok && say != nil {
			say(&x)
		}
	}
}

func inForce(x *model.Decision) bool {
	return x.State == model.StateActive && !x.DryRun && x.Action >= model.Throttle
}

// say writes the receipt that a decision's present state asks for.
func (r *Role) say(ctx context.Context, x *model.Decision) {
	no := why(x.Target)
	switch {
	case others(x.Target):
	case inForce(x) && no == "":
		r.acknowledge(ctx, x.ID, model.Applied, "requests are refused")
	case inForce(x):
		r.acknowledge(ctx, x.ID, model.Refused, no)
	case r.node.Said != nil && r.node.Said(x.ID, model.Applied):
		r.acknowledge(ctx, x.ID, model.Expired, "requests are answered again")
	}
}

// remember is how long a prompt that attacked a decoy is refused.
const remember = 7 * 24 * time.Hour

// attacks are the kinds of signals whose prompts attack a model, whoever sends them.
// What is only used at a decoy, a greeting or a sum, is nobody's alone.
var attacks = []string{"model.prompt-injection", "model.jailbreak", "model.prompt-extraction", "model.tool-abuse", "model.resale"}

// catch takes the prompts of what a decoy has seen.
func (r *Role) catch(o Options, s *model.Signal) {
	if o.Config.Caught != gateway.Refuse || s.Spoofable || strings.HasPrefix(s.Sensor, "gateway") || !slices.Contains(attacks, s.Kind) {
		return
	}
	for _, e := range s.Related {
		if e.Type() == model.TypePrompt {
			o.Denied.Catch(s.ID, e, time.Now(), s.Time.Add(remember))
		}
	}
}

// Start runs the parts of the gateway in a group.
func (r *Role) Start(g *life.Group) {
	g.Go("gateway decisions", func(ctx context.Context) error {
		for _, d := range r.node.Ledger.Active() { // what was decided while nobody was here
			r.say(ctx, &d)
		}
		for _, d := range r.node.Ledger.List(decide.Filter{States: []model.State{model.StateExpired, model.StateRemoved}, Limit: 10_000}) {
			r.say(ctx, &d)
		}
		return bus.Follow(ctx, r.node.Bus, r.node.Decisions, bus.From{Seq: r.last + 1}, func(m bus.Message[model.Entry]) error {
			r.fold(r.opt.Denied, m, func(d *model.Decision) { r.say(ctx, d) })
			return nil
		})
	})
	if r.node.Receipt != nil {
		g.Go("gateway receipts", func(ctx context.Context) error { return drain(ctx, r.receipts, r.tell) })
	}
	g.Go("gateway caught", func(ctx context.Context) error {
		return bus.Follow(ctx, r.node.Bus, r.node.Signals, bus.From{Seq: r.caught + 1}, func(m bus.Message[model.Signal]) error {
			r.catch(r.opt, &m.Value)
			return nil
		})
	})
	g.Go("gateway signals", func(ctx context.Context) error { return drain(ctx, r.signals, r.node.Publish) })
	g.Go("gateway lines", func(ctx context.Context) error {
		return drain(ctx, r.records, func(ctx context.Context, some []gateway.Record) error {
			items := make([]bus.Item[gateway.Record], len(some))
			for i := range some {
				items[i] = bus.Item[gateway.Record]{Key: some[i].Route, ID: some[i].ID.String(), Value: some[i]}
			}
			if err := r.lines.PublishBatch(ctx, items); err != nil && ctx.Err() == nil {
				r.node.Health.Set("gateway", obs.StateDegraded, "lines cannot be stored in the stream: "+err.Error())
			}
			return nil
		})
	})
	g.Go("gateway", r.Run)
}

// keepTraffic stores what was said, masked, in the stream.
func (r *Role) keepTraffic(ctx context.Context, some []model.LLMTraffic) error {
	items := make([]bus.Item[model.LLMTraffic], len(some))
	for i := range some {
		items[i] = bus.Item[model.LLMTraffic]{Key: some[i].Route, ID: some[i].ID.String(), Value: some[i]}
	}
	if err := r.traffic.PublishBatch(ctx, items); err != nil && ctx.Err() == nil {
		r.node.Health.Set("gateway-traffic", obs.StateDegraded, "what was said cannot be stored in the stream: "+err.Error())
	}
	return nil
}

// tell stores receipts; one that cannot be stored now is tried again until it can.
func (r *Role) tell(ctx context.Context, some []model.Receipt) error {
	for _, x := range some {
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			if r.node.Said(x.Decision, x.Status) || r.node.Receipt(ctx, x) == nil { // the bus says in the node's health what is wrong
				break
			}
			select {
			case <-ctx.Done():
				return nil // said again at the next start
			case <-time.After(pause):
			}
		}
	}
	return nil
}

// drain hands on what waits, together, until ctx ends and nothing is left.
func drain[T any](ctx context.Context, c chan T, hand func(context.Context, []T) error) error {
	for {
		var some []T
		select {
		case v := <-c:
			some = append(some, v)
		case <-ctx.Done():
		}
		for len(some) < 256 {
			select {
			case v := <-c:
				some = append(some, v)
				continue
			default:
			}
			break
		}
		ended := ctx.Err() != nil
		if len(some) > 0 {
			last, cancel := ctx, context.CancelFunc(func() {})
			if ended {
				last, cancel = context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			}
			err := hand(last, some)
			cancel()
			if err != nil && !ended {
				return err
			}
		}
		if ended && len(some) == 0 {
			return nil
		}
	}
}
