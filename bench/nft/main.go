// Command nft measures the nf_tables enforcer against the kernel of this
// machine, in a network namespace it makes and leaves: loading, replacing,
// reading back, and one new block among many. It needs root.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"bartizan/internal/enforce"
	"bartizan/internal/enforce/nft"
	"bartizan/internal/model"
)

// step is one measured thing and the most it may take.
type step struct {
	name  string
	limit time.Duration
	took  []time.Duration
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench nft:", err)
		os.Exit(1)
	}
}

func run() error {
	size := flag.Int("n", 100_000, "prefixes of each family")
	runs := flag.Int("runs", 5, "runs; the median is printed")
	inside := flag.Bool("inside", false, "already in the namespace (set by the program itself)")
	flag.Parse()
	if os.Geteuid() != 0 {
		return errors.New("needs root, to make a network namespace")
	}
	if !*inside {
		return reexec()
	}
	steps := newSteps()
	for i := range *runs {
		if err := measure(steps, "", *size, uint64(i)); err != nil {
			return err
		}
	}
	fmt.Printf("%d prefixes of each family, %d runs, %s\n", *size, *runs, runtime.Version())
	fmt.Printf("%-24s %12s %12s %12s %8s\n", "", "median", "worst", "limit", "ratio")
	bad := false
	for _, s := range steps {
		median := s.median()
		bad = bad || median > s.limit
		fmt.Printf("%-24s %12s %12s %12s %8.3f\n", s.name, median.Round(10*time.Microsecond),
			slices.Max(s.took).Round(10*time.Microsecond), s.limit, float64(median)/float64(s.limit))
	}
	if bad {
		return errors.New("a median is over its limit")
	}
	return nil
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

// reexec starts this program again in a new network namespace, so that every
// thread of it is inside.
func reexec() error {
	cmd := exec.Command("/proc/self/exe", append([]string{"-inside"}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return cmd.Run()
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
