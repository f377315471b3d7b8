package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/enforce"
	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/enforce/nft"
	"bartizan/internal/model"
)

// BenchmarkNFT reports every figure as its share of the time it may take:
// below 1 it is within the limit.
func BenchmarkNFT(b *testing.B) {
	ns := enforcetest.NewNet(b)
	steps := newSteps()
	seed := uint64(0)
	for b.Loop() {
		for range 3 { // the medians of which are reported
			if err := measure(steps, ns.Path, 100_000, seed); err != nil {
				b.Fatal(err)
			}
			seed++
		}
	}
	for _, s := range steps {
		name := strings.ReplaceAll(strings.ReplaceAll(s.name, ",", ""), " ", "-")
		b.ReportMetric(float64(s.median())/float64(s.limit), name+"/limit")
		b.ReportMetric(float64(s.median().Microseconds())/1000, name+"-ms")
	}
}

// The benchmark itself works; its figures are another matter.
func TestMeasureSmall(t *testing.T) {
	ns := enforcetest.NewNet(t)
	steps := newSteps()
	if err := measure(steps, ns.Path, 2_000, 1); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if len(s.took) != 1 || s.median() <= 0 {
			t.Errorf("%s was not measured", s.name)
		}
	}
}

// step is one measured thing and the most it may take.
type step struct {
	name  string
	limit time.Duration
	took  []time.Duration
}

func newSteps() []*step {
	return []*step{
		{name: "load", limit: time.Second},
		{name: "replace all", limit: time.Second},
		{name: "read back and compare", limit: 6 * time.Second},
		{name: "one new block", limit: 100 * time.Millisecond},
		{name: "one block ends", limit: 100 * time.Millisecond},
		{name: "restart, nothing to do", limit: 6 * time.Second},
	}
}

func (s *step) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s.took))
	return sorted[len(sorted)/2]
}

// fill puts n disjoint prefixes of each family into the book: addresses and
// networks of IPv4, /64s and wider of IPv6.
func fill(b *enforce.Book, rng *rand.Rand, n int) []model.ULID {
	ids := make([]model.ULID, 0, 2*n)
	until := time.Now().Add(time.Hour)
	seen := make(map[netip.Prefix]bool, 2*n)
	add := func(p netip.Prefix) {
		if seen[p] {
			return
		}
		seen[p] = true
		var id model.ULID
		binary.BigEndian.PutUint64(id[:], rng.Uint64())
		binary.BigEndian.PutUint64(id[8:], rng.Uint64())
		ids = append(ids, id)
		b.Set(enforce.Order{Decision: id, Prefix: p, Action: model.Block, Until: until.Add(time.Duration(rng.Int64N(int64(time.Hour))))})
	}
	for len(ids) < n {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], rng.Uint32())
		add(netip.PrefixFrom(netip.AddrFrom4(a), []int{32, 32, 32, 28, 24}[rng.IntN(5)]).Masked())
	}
	for len(ids) < 2*n {
		var a [16]byte
		binary.BigEndian.PutUint64(a[:], rng.Uint64()>>3|1<<61)
		add(netip.PrefixFrom(netip.AddrFrom16(a), []int{64, 64, 56}[rng.IntN(3)]).Masked())
	}
	return ids
}

// measure makes one run in the namespace at netns, with a table of its own.
func measure(steps []*step, netns string, n int, seed uint64) error {
	ctx := context.Background()
	conf := nft.Default()
	conf.Table, conf.Netns = fmt.Sprintf("bench%d", seed), netns
	e, err := nft.Open(conf)
	if err != nil {
		return err
	}
	defer e.Close()
	receipts := 0
	count := func(model.Receipt) { receipts++ }
	timed := func(i int, f func() error) error {
		runtime.GC()
		start := time.Now()
		err := f()
		steps[i].took = append(steps[i].took, time.Since(start))
		if err != nil {
			return fmt.Errorf("%s: %w", steps[i].name, err)
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	book := enforce.NewBook()
	old := fill(book, rng, n)
	state := book.Snapshot()
	if err := timed(0, func() error { return e.Apply(ctx, state, count) }); err != nil {
		return err
	}
	for _, id := range old {
		book.Delete(id)
	}
	fill(book, rng, n)
	state = book.Snapshot()
	if err := timed(1, func() error { return e.Apply(ctx, state, count) }); err != nil {
		return err
	}
	if receipts != 6*n {
		return fmt.Errorf("%d receipts for %d changes", receipts, 6*n)
	}
	err = timed(2, func() error {
		drift, err := e.Audit(ctx)
		if err == nil && drift {
			err = errors.New("the kernel differs from what was applied")
		}
		return err
	})
	if err != nil {
		return err
	}
	one := enforce.Order{Decision: model.NewULID(time.Now()), Prefix: netip.MustParsePrefix("192.0.2.77/32"),
		Action: model.Block, Until: time.Now().Add(time.Hour)}
	if err := timed(3, func() error { book.Set(one); return e.Apply(ctx, book.Snapshot(), count) }); err != nil {
		return err
	}
	if err := timed(4, func() error { book.Delete(one.Decision); return e.Apply(ctx, book.Snapshot(), count) }); err != nil {
		return err
	}
	again, err := nft.Open(conf)
	if err != nil {
		return err
	}
	defer again.Close()
	return timed(5, func() error { return again.Apply(ctx, book.Snapshot(), count) })
}
