package app

import (
	"context"
	"maps"
	"slices"
	"strings"

	"bartizan/internal/app/gate"
	"bartizan/internal/app/inventory"
	"bartizan/internal/app/people"
	"bartizan/internal/decide"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/model"
)

// checkGateway checks the gateway and completes what its routes leave out.
func (c *Config) checkGateway() (errs []error) {
	bad := gate.Complete(&c.Gateway)
	for _, key := range slices.Sorted(maps.Keys(bad)) {
		errs = append(errs, c.wrong(bad[key], append([]string{"gateway"}, strings.Split(strings.TrimSuffix(key, "."), ".")...)...))
	}
	return errs
}

// openGateway opens the gateway, if it has routes.
func (n *Node) openGateway(ctx context.Context, policy *decide.Policy) (err error) {
	a := n.conf.Gateway.Approval
	if n.people, err = people.Open(ctx, n.bus, n.conf.Data, approval.Limits{Held: a.Held, Timeout: a.Timeout.D()}, people.Node{
		Health: n.health, Signals: n.sensor.store.publish, Ledger: n.hub.ledger, Receipt: n.enforcing.deliver,
		Said: func(id model.ULID, s model.ReceiptStatus) bool { return n.receipts.has(id, people.Enforcer, s) }}); err != nil {
		return err
	}
	n.around.clients = clients{n}
	if n.inventory, err = inventory.Open(ctx, n.bus, n.health); err != nil {
		return err
	}
	if len(n.conf.Gateway.Routes) == 0 {
		return nil
	}
	ledger := decide.NewLedger(decide.LedgerConfig{Key: n.id.publicKey(), HoldFor: policy.Limits.HoldFor.D()})
	known, err := gate.NewIntel(n.hub.store, n.conf.Gateway.Lists, n.log)
	if err != nil {
		return mistake{err}
	}
	n.hub.told = known.Changed
	n.gateway, err = gate.Join(ctx, gate.Options{Intel: known, Config: n.conf.Gateway, Data: n.conf.Data, Log: n.log, People: n.people.Folder(), Lures: n.sensor.baits},
		gate.Node{Bus: n.bus, Decisions: ledgerTopic(&n.conf), Ledger: ledger, Signals: signalTopic(&n.conf), Publish: n.sensor.store.publish, Health: n.health, Age: n.conf.Lake.Traffic.Age.D(),
			Receipt: n.enforcing.deliver, Said: func(id model.ULID, s model.ReceiptStatus) bool { return n.receipts.has(id, gate.Enforcer, s) }})
	if err == nil {
		n.group.OnStop("gateway", n.gateway.Close)
	}
	return err
}

// clients are all that refuse keys, users and prompts for this node.
type clients struct{ n *Node }

// Refuses implements decide.Clients.
func (c clients) Refuses(e model.Entity) bool {
	return c.n.people.Refuses(e) || c.n.gateway != nil && c.n.gateway.Refuses(e)
}

// Share implements decide.Clients.
func (c clients) Share(e model.Entity) (float64, bool) {
	if c.n.gateway == nil || people.Is(e) {
		return 0, false
	}
	return c.n.gateway.Share(e)
}
