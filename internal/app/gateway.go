package app

import (
	"context"
	"maps"
	"slices"
	"strings"

	"bartizan/internal/app/gate"
	"bartizan/internal/decide"
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
	if len(n.conf.Gateway.Routes) == 0 {
		return nil
	}
	ledger := decide.NewLedger(decide.LedgerConfig{Key: n.id.publicKey(), HoldFor: policy.Limits.HoldFor.D()})
	n.gateway, err = gate.Join(ctx, gate.Options{Config: n.conf.Gateway, Data: n.conf.Data, Log: n.log},
		gate.Node{Bus: n.bus, Decisions: ledgerTopic(&n.conf), Ledger: ledger, Signals: signalTopic(&n.conf), Publish: n.sensor.store.publish, Health: n.health, Age: n.conf.Lake.Traffic.Age.D(),
			Receipt: n.enforcing.deliver, Said: func(id model.ULID, s model.ReceiptStatus) bool { return n.receipts.has(id, gate.Enforcer, s) }})
	if err == nil {
		n.around.clients = n.gateway
		n.group.OnStop("gateway", n.gateway.Close)
	}
	return err
}
