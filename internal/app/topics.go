package app

import (
	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/bus"
	"bartizan/internal/model"
)

// The streams of a node. A version grows when the meaning of a field changes;
// the reader of the old one then goes into Old.

func signalTopic(c *Config) bus.Topic[model.Signal] {
	return bus.Topic[model.Signal]{Stream: "SIGNALS", Subject: "signals", Schema: "signal", Version: 1,
		Limits: bus.Limits{MaxBytes: int64(c.Bus.SignalBytes), MaxAge: c.Bus.SignalAge.D(), DiscardOld: true}}
}

// ledgerTopic never drops an entry for lack of room: a lost block would let an
// attacker in, and a lost removal would keep somebody out.
func ledgerTopic(c *Config) bus.Topic[model.Entry] {
	return bus.Topic[model.Entry]{Stream: "DECISIONS", Subject: "decisions", Schema: "ledger-entry", Version: 1,
		Limits: bus.Limits{MaxBytes: 256 << 20, MaxAge: c.Bus.LedgerAge.D()}}
}

func receiptTopic(c *Config) bus.Topic[model.Receipt] {
	return bus.Topic[model.Receipt]{Stream: "RECEIPTS", Subject: "receipts", Schema: "receipt", Version: 1,
		Limits: bus.Limits{MaxBytes: 128 << 20, MaxAge: c.Bus.LedgerAge.D(), DiscardOld: true}}
}

// trafficTopic is what the gateway recorded, masked, on its way to the lake and to those who watch.
func trafficTopic(c *Config) bus.Topic[model.LLMTraffic] { return gate.Traffic(c.Lake.Traffic.Age.D()) }

// auditTopic never drops a record for lack of room before its age: when it is
// full, changes cannot be written down any more and the node says so.
func auditTopic(c *Config) bus.Topic[api.AuditRecord] {
	return bus.Topic[api.AuditRecord]{Stream: "AUDIT", Subject: "audit", Schema: "audit-record", Version: 1,
		Limits: bus.Limits{MaxBytes: 64 << 20, MaxAge: c.Bus.LedgerAge.D()}}
}
