// Package people is where a node's operators decide about what waits for a person:
// prompts and answers of its gateway, and calls of tools at MCP gateways beside it.
// It also takes what those gateways have found, and makes signals of it.
package people

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/bus"
	"bartizan/internal/credential"
	"bartizan/internal/decide"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/life"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/safe"
)

// Desk is a node's. Open makes it, Start runs it.
type Desk struct {
	node    Node
	folder  *approval.Folder
	changes chan approval.Change
	pub     *bus.Publisher[approval.Change]

	mu      sync.Mutex
	here    map[string]time.Time // agent/NAME or mcp-server/NAME → when its gateway was heard last
	applied map[model.ULID]bool  // decisions that a gateway has carried out
}

// Node is what the desk has of its node.
type Node struct {
	Health  *obs.Health
	Signals func(context.Context, []model.Signal) error // stores them
	Ledger  *decide.Ledger                              // to look at
	Receipt func(context.Context, model.Receipt) error
	Said    func(decision model.ULID, status model.ReceiptStatus) bool
}

// Topic is the stream of what waited and what became of it.
func Topic() bus.Topic[approval.Change] {
	return bus.Topic[approval.Change]{Stream: "HELD", Subject: "held", Schema: "held-change", Version: 1,
		Limits: bus.Limits{MaxBytes: 32 << 20, MaxAge: 30 * 24 * time.Hour, DiscardOld: true}}
}

// queue is how many changes wait for the bus.
const queue = 1024

// Open opens the desk in a data folder. limits are those of the node's gateway.
func Open(ctx context.Context, b *bus.Bus, data string, limits approval.Limits, n Node) (*Desk, error) {
	d := &Desk{node: n, changes: make(chan approval.Change, queue), here: map[string]time.Time{}, applied: map[model.ULID]bool{}}
	var err error
	if d.pub, err = bus.NewPublisher(ctx, b, Topic()); err != nil {
		return nil, fmt.Errorf("open the stream of what waits for a person: %w", err)
	}
	if d.folder, err = approval.Open(gate.Held(data), limits, d.changed); err != nil {
		return nil, err
	}
	return d, nil
}

// Folder is where the gateway's things wait.
func (d *Desk) Folder() *approval.Folder { return d.folder }

// changed never waits: who asks is not slowed down by who watches.
func (d *Desk) changed(c approval.Change) {
	select {
	case d.changes <- c:
	default:
		d.node.Health.Set("held", obs.StateDegraded, "changes of what waits for a person were not taken by the bus in time; the list is right")
	}
}

// Start hands changes to the bus.
func (d *Desk) Start(g *life.Group) {
	g.Go("held", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case c := <-d.changes:
				if _, err := d.pub.Publish(ctx, c.Held.ID, c.Held.ID+"-"+c.Change, c); err != nil && ctx.Err() == nil {
					d.node.Health.Set("held", obs.StateDegraded, "changes of what waits for a person cannot be stored: "+err.Error())
				}
			}
		}
	})
}

// Held lists what waits, the oldest first.
func (d *Desk) Held(context.Context) ([]approval.Held, error) { return d.folder.List(time.Now()) }

// Decide gives a person's answer.
func (d *Desk) Decide(_ context.Context, id string, say api.HeldDecision, who string) (approval.Held, error) {
	h, err := d.folder.Decide(id, say.Approve, who, say.Reason, time.Now())
	if errors.Is(err, approval.ErrNothing) {
		return h, fmt.Errorf("%w: %w", api.ErrNotFound, err)
	}
	return h, err
}

// lookFor is how long a gateway that asks waits before it asks again.
const lookFor = 20 * time.Second

// Ask lets a gateway beside the node put something on the desk, and tells it the
// answer, or after a while that there is none yet. The same id again is the same thing.
func (d *Desk) Ask(ctx context.Context, q api.HeldQuestion, who string) (api.HeldState, error) {
	h, err := tidy(q.Held, who)
	if err != nil {
		return api.HeldState{}, err
	}
	if q.Withdraw {
		d.folder.Withdraw(h.ID, approval.Call)
		return api.HeldState{State: api.HeldLapsed}, nil
	}
	waiting, err := d.folder.List(time.Now())
	if err != nil {
		return api.HeldState{}, err
	}
	calls, mine := 0, false
	for i := range waiting {
		mine = mine || waiting[i].ID == h.ID
		if waiting[i].Kind == approval.Call {
			calls++
		}
	}
	if !mine && calls >= maxCalls {
		return api.HeldState{}, fmt.Errorf("%w: %w", api.ErrRefused, approval.ErrFull)
	}
	if h, err = d.folder.Put(h); err != nil {
		return api.HeldState{}, fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	short, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	a, err := d.folder.Await(short, h)
	var no *approval.NotApproved
	switch {
	case err == nil:
		return api.HeldState{State: api.HeldApproved, Answer: &a}, nil
	case errors.Is(err, approval.ErrCancelled):
		return api.HeldState{State: api.HeldWaiting}, nil
	case errors.As(err, &no) && no.Answer != nil:
		return api.HeldState{State: api.HeldRefused, Answer: no.Answer}, nil
	case errors.As(err, &no):
		return api.HeldState{State: api.HeldLapsed}, nil
	}
	return api.HeldState{}, err
}

// maxCalls is how many calls of other gateways may wait, so that they leave room for
// the node's own.
const maxCalls = 50

const maxTime = 24 * time.Hour

// tidy takes a gateway's word for what waits, and no more than that.
func tidy(h approval.Held, who string) (approval.Held, error) {
	if h.Kind != approval.Call || h.Tool == "" {
		return h, fmt.Errorf("%w: only calls of tools are put on the desk from outside", api.ErrInput)
	}
	line := func(s string, n int) string { return safe.Clean(credential.Mask(s), n) }
	length := h.Until.Sub(h.Since)
	if length <= 0 || length > maxTime {
		return h, fmt.Errorf("%w: until: after since, by at most %s", api.ErrInput, maxTime)
	}
	return approval.Held{ID: h.ID, Kind: approval.Call, Agent: line(h.Agent, 60), Server: line(h.Server, 60), Tool: line(h.Tool, 200), Address: line(h.Address, 60),
		Args: line(h.Args, 2048), Why: line(h.Why, 300) + " (" + line(who, 100) + ")", Since: h.Since, Until: h.Until}, nil
}
