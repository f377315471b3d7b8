package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/model"
)

// history fills a data folder as a node that has worked for a week leaves it,
// killed before it could write a snapshot: signals of many attackers, and the
// ledger entries of dry-run blocks that have ended.
func history(data string, signals, decisions int) error {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(data, "bus")}, log)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	err = fill(ctx, b, bus.Topic[model.Signal]{Stream: "SIGNALS", Subject: "signals", Schema: "signal", Version: 1,
		Limits: bus.Limits{MaxBytes: 512 << 20, MaxAge: 30 * 24 * time.Hour, DiscardOld: true}}, signals, func(i int) bus.Item[model.Signal] {
		s := oneSignal(rng, i, signals)
		return bus.Item[model.Signal]{Key: s.Actor.Value(), Value: s}
	})
	if err != nil {
		return fmt.Errorf("fill SIGNALS: %w", err)
	}
	err = fill(ctx, b, bus.Topic[model.Entry]{Stream: "DECISIONS", Subject: "decisions", Schema: "ledger-entry", Version: 1,
		Limits: bus.Limits{MaxBytes: 256 << 20, MaxAge: 365 * 24 * time.Hour}}, 2*decisions, func(i int) bus.Item[model.Entry] {
		e := oneEntry(i/2, i%2 == 1)
		return bus.Item[model.Entry]{Key: e.ID.String(), Value: e}
	})
	if err != nil {
		return fmt.Errorf("fill DECISIONS: %w", err)
	}
	return b.Close(ctx)
}

func fill[T any](ctx context.Context, b *bus.Bus, t bus.Topic[T], n int, make func(i int) bus.Item[T]) error {
	p, err := bus.NewPublisher(ctx, b, t)
	if err != nil {
		return err
	}
	var items []bus.Item[T]
	for i := range n {
		if items = append(items, make(i)); len(items) == 1000 || i == n-1 {
			if err := p.PublishBatch(ctx, items); err != nil {
				return err
			}
			items = items[:0]
		}
	}
	return nil
}

// kinds are what decoys see most.
var kinds = [...]struct {
	kind, title, technique string
	class                  model.Class
}{
	{"contact.decoy", "a decoy was contacted", "T1595", model.ClassContact},
	{"auth.brute-force", "many passwords were tried", "T1110.001", model.ClassAuth},
	{"web.path-traversal", "a path traversal was tried", "T1190", model.ClassExploit},
	{"command.download", "a download was ordered", "T1105", model.ClassCommand},
	{"scan.ports", "several ports were tried", "T1046", model.ClassScan},
}

// address gives every tenth signal a new attacker.
func address(i int) netip.Addr {
	n := i / 10
	return netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)})
}

func oneSignal(rng *rand.Rand, i, of int) model.Signal {
	at := time.Now().Add(-time.Duration(float64(7*24*time.Hour) * float64(of-i) / float64(of)))
	k := kinds[rng.IntN(len(kinds))]
	a := address(rng.IntN(max(of, 1)))
	return model.Signal{ID: model.NewULID(at), Time: at, Kind: k.kind, Class: k.class, Rule: k.kind, Title: k.title, Actor: model.AddrEntity(a),
		Address: a.String(), Asset: model.AssetRef{Kind: "decoy", Name: "ssh"}, Sensor: "bench", Confidence: 0.9, Severity: model.Medium, Techniques: []string{k.technique}, Count: 3,
		Evidence: []model.Evidence{{Session: model.NewULID(at), Time: at, What: "transcript", Excerpt: "root:123456 root:admin root:toor root:password"}}}
}

func oneEntry(i int, end bool) model.Entry {
	from := time.Now().Add(-6 * 24 * time.Hour).Add(time.Duration(i) * time.Second)
	var id model.ULID
	copy(id[:], fmt.Sprintf("%016d", i))
	until := from.Add(time.Minute)
	if end {
		return model.Entry{Change: model.ChangeExpire, Time: until, ID: id, By: "clock"}
	}
	return model.Entry{Change: model.ChangeDecide, Time: from, ID: id, By: "policy", Decision: &model.Decision{
		ID: id, Action: model.Block, Target: model.AddrEntity(address(10 * i)), Policy: "block-proven", Reason: "confidence 0.97 from 2 kinds of evidence",
		From: from, Until: until, DryRun: true, State: model.StateActive,
	}}
}
