package nft

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"bartizan/internal/enforce"
	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/model"
)

func id(n int) model.ULID {
	var u model.ULID
	binary.BigEndian.PutUint64(u[8:], uint64(n))
	return u
}

func order(n int, prefix string, action model.Action, d time.Duration) enforce.Order {
	return enforce.Order{Decision: id(n), Prefix: netip.MustParsePrefix(prefix), Action: action, Until: time.Now().Add(d)}
}

func TestSmoke(t *testing.T) {
	ns := enforcetest.NewNet(t)
	c := Default()
	c.Netns = ns.Path
	e, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b := enforce.NewBook()
	b.Set(order(1, "203.0.113.0/24", model.Block, time.Minute))
	b.Set(order(2, "203.0.113.7/32", model.Block, time.Hour))
	b.Set(order(3, "2001:db8:1::/64", model.Block, time.Hour))
	b.Set(order(4, "198.51.100.0/24", model.Throttle, time.Hour))
	b.Set(order(5, "255.255.255.0/24", model.Block, time.Hour))
	if err := e.Apply(context.Background(), b.Snapshot(), func(r model.Receipt) { t.Log(r) }); err != nil {
		t.Fatal(err)
	}
	t.Log(ns.Run(t, "nft", "list", "ruleset"))
	b.Delete(id(1))
	if err := e.Apply(context.Background(), b.Snapshot(), func(r model.Receipt) { t.Log(r) }); err != nil {
		t.Fatal(err)
	}
	t.Log(ns.Run(t, "nft", "list", "ruleset"))
	t.Log(e.Read(context.Background()))
	t.Log(e.Audit(context.Background()))
	t.Log(e.Audit(context.Background()))
	ns.Run(t, "nft", "flush", "set", "inet", "bartizan", "block6")
	t.Log(e.Audit(context.Background()))
	if err := e.Apply(context.Background(), b.Snapshot(), func(r model.Receipt) { t.Log(r) }); err != nil {
		t.Fatal(err)
	}
	t.Log(e.Read(context.Background()))
}
