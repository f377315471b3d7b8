// Command lookup measures look-ups in the index of indicators next to the
// structures they are judged by: a bare binary fuse filter, and single
// look-ups in a bart table of the same prefixes.
//
//	go run ./bench/lookup
//
// The sides take turns; what is compared is CPU time per look-up, the median
// of the rounds, on random keys of which nine in ten are not there (for the
// miss figures none is). It exits with 1 when a goal is missed.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"bartizan/internal/intel"
	"bartizan/internal/model"

	"github.com/FastFilter/xorfilter"
	"github.com/gaissmai/bart"
)

// Goals of the design.
const (
	goalMiss  = 1.5 // times a bare filter probe, for what is not there
	goalBatch = 0.3 // of bart's single look-up, per address of a batch of 128
	goalBytes = 100 << 20
	batch     = 128
)

func main() {
	n := flag.Int("n", 1_000_000, "prefixes, and digests")
	rounds := flag.Int("rounds", 5, "rounds, at least 3")
	seed := flag.Uint64("seed", 1, "of the keys")
	flag.Parse()
	if err := run(*n, max(*rounds, 3), *seed); err != nil {
		fmt.Fprintln(os.Stderr, "bench/lookup:", err)
		os.Exit(1)
	}
}

// keys are the entries and what is asked.
type keys struct {
	prefixes  []netip.Prefix
	digests   [][32]byte
	addrs     []uint32     // one in ten inside a prefix
	netips    []netip.Addr // the same
	absent    [][32]byte
	outside   []uint32 // inside no prefix
	outsideIP []netip.Addr
}

const probes = 1 << 20

func draw(n int, seed uint64) *keys {
	r := rand.New(rand.NewPCG(seed, 3))
	k := &keys{}
	seen := make(map[netip.Prefix]bool, n)
	for len(k.prefixes) < n {
		bits := 24 // as feeds have them: half networks of 256, a quarter single addresses, few large ones
		switch r.IntN(4) {
		case 2:
			bits = 32
		case 3:
			for bits = 31; bits > 18 && r.IntN(5) < 3; bits-- {
			}
		}
		if p := netip.PrefixFrom(addr4(r.Uint32()), bits).Masked(); !seen[p] {
			seen[p] = true
			k.prefixes = append(k.prefixes, p)
		}
	}
	digest := func() (d [32]byte) {
		for i := 0; i < 32; i += 8 {
			binary.LittleEndian.PutUint64(d[i:], r.Uint64())
		}
		return d
	}
	for range n {
		k.digests = append(k.digests, digest())
	}
	var table bart.Lite
	for _, p := range k.prefixes {
		table.Insert(p)
	}
	for range probes {
		k.absent = append(k.absent, digest())
		a := r.Uint32()
		if in := r.IntN(10) == 0; in {
			p := k.prefixes[r.IntN(n)]
			b := p.Addr().As4()
			a = binary.BigEndian.Uint32(b[:]) | a&uint32(uint64(0xffffffff)>>p.Bits())
		} else {
			for table.Contains(addr4(a)) {
				a = r.Uint32()
			}
			k.outside, k.outsideIP = append(k.outside, a), append(k.outsideIP, addr4(a))
		}
		k.addrs = append(k.addrs, a)
		k.netips = append(k.netips, addr4(a))
	}
	return k
}

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

type step struct {
	name string
	n    int
	do   func() int // how many were found, which is checked
	want int
	took []float64
}

func run(n, rounds int, seed uint64) error {
	k := draw(n, seed)
	index, size, err := memory(k)
	if err != nil {
		return err
	}
	var table bart.Table[uint32]
	for i, p := range k.prefixes {
		table.Insert(p, uint32(i))
	}
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint64(k.digests[i][:])
	}
	filter, err := xorfilter.PopulateBinaryFuse8(ids)
	if err != nil {
		return err
	}
	steps := compare(k, index, &table, filter)
	for range rounds {
		for i := range steps {
			before := cpu()
			got := steps[i].do()
			took := float64((cpu() - before).Nanoseconds()) / float64(steps[i].n)
			if want := steps[i].want; want >= 0 && got != want {
				return fmt.Errorf("%s: %d found, want %d", steps[i].name, got, want)
			}
			steps[i].took = append(steps[i].took, took)
		}
	}
	var m []float64
	for _, s := range steps {
		slices.Sort(s.took)
		m = append(m, s.took[len(s.took)/2])
		fmt.Printf("%-44s %6.1f ns CPU per look-up (median of %d; %.1f to %.1f)\n", s.name, m[len(m)-1], rounds, s.took[0], s.took[len(s.took)-1])
	}
	return judge([]figure{
		{"digest not there, to a bare filter probe", m[1] / m[0], goalMiss},
		{"address of a batch not there, to the same", m[2] / m[0], goalMiss},
		{"address of a batch, to bart's single look-up", m[5] / m[4], goalBatch},
		{fmt.Sprintf("memory of 1.3 million indicators, of %d MiB", goalBytes>>20), float64(size) / goalBytes, 1},
	})
}

func compare(k *keys, index *intel.Index, table *bart.Table[uint32], filter *xorfilter.BinaryFuse8) []step {
	inside := len(k.addrs) - len(k.outside)
	return []step{
		{"bare binary fuse filter, misses", probes, func() (n int) {
			for i := range k.absent {
				if filter.Contains(binary.LittleEndian.Uint64(k.absent[i][:])) {
					n++
				}
			}
			return n
		}, -1, nil},
		{"index, SHA-256, misses", probes, func() (n int) {
			for i := range k.absent {
				if index.FindSHA256(&k.absent[i]) != 0 {
					n++
				}
			}
			return n
		}, 0, nil},
		{"index, batches of 128 addresses, misses", len(k.outside) / batch * batch, func() int { return batches(index, k.outside) }, 0, nil},
		{"index, one address at a time, misses", len(k.outsideIP), func() (n int) {
			for _, a := range k.outsideIP {
				if _, ok := index.LookupAddr(a); ok {
					n++
				}
			}
			return n
		}, 0, nil},
		{"bart, one address at a time, 10 % hits", probes, func() (n int) {
			for _, a := range k.netips {
				if _, ok := table.Lookup(a); ok {
					n++
				}
			}
			return n
		}, inside, nil},
		{"index, batches of 128 addresses, 10 % hits", probes, func() int { return batches(index, k.addrs) }, inside, nil},
	}
}

func batches(index *intel.Index, addrs []uint32) (found int) {
	var refs [batch]intel.Ref
	for ; len(addrs) >= batch; addrs = addrs[batch:] {
		index.Find4(addrs[:batch], refs[:])
		for _, r := range refs {
			if r != 0 {
				found++
			}
		}
	}
	return found
}

// memory builds the index of the prefixes, the digests and then a
// mixed one of 1.3 million entries, and says how much of the heap it takes.
func memory(k *keys) (*intel.Index, uint64, error) {
	var b intel.Builder
	for i, p := range k.prefixes {
		b.AddPrefix(p, uint64(i)+1, 0.9)
	}
	for i := range k.digests {
		e, err := model.ParseEntity(model.TypeSHA256, hex.EncodeToString(k.digests[i][:]))
		if err != nil {
			return nil, 0, err
		}
		b.Add(intel.IndexEntry{Entity: e, ID: uint64(i), Confidence: 0.9})
	}
	x, err := b.Build()
	if err != nil {
		return nil, 0, err
	}
	// A feed's mix: prefixes and addresses, digests, domains.
	const total = 1_500_000 // some are there twice
	before := heap()
	var mixed intel.Builder
	for i := range total {
		switch {
		case i%13 < 5:
			mixed.AddPrefix(k.prefixes[i%len(k.prefixes)], uint64(i), 0.9)
		case i%13 < 7:
			e, err := model.ParseEntity(model.TypeSHA256, hex.EncodeToString(k.digests[i%len(k.digests)][:]))
			if err != nil {
				return nil, 0, err
			}
			mixed.Add(intel.IndexEntry{Entity: e, ID: uint64(i), Confidence: 0.9})
		default:
			e, err := model.ParseEntity(model.TypeDomain, fmt.Sprintf("host-%d.some-campaign.example", i))
			if err != nil {
				return nil, 0, err
			}
			mixed.Add(intel.IndexEntry{Entity: e, ID: uint64(i), Confidence: 0.9})
		}
	}
	y, err := mixed.Build()
	if err != nil {
		return nil, 0, err
	}
	size := heap() - before
	if y.Len() < 1_300_000 {
		return nil, 0, fmt.Errorf("only %d distinct indicators", y.Len())
	}
	fmt.Printf("%d indicators (5 of 13 prefixes, 2 SHA-256, 6 domains of 32 letters): %.1f MiB, %.1f bytes each\n", y.Len(), float64(size)/(1<<20), float64(size)/float64(y.Len()))
	runtime.KeepAlive(y)
	return x, size, nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpu is the CPU time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type figure struct {
	name  string
	ratio float64
	goal  float64
}

func judge(figures []figure) error {
	missed := 0
	for _, f := range figures {
		verdict := "reached"
		if f.ratio > f.goal {
			verdict = "MISSED"
			missed++
		}
		fmt.Printf("%-48s %5.2f, at most %.2f: %s\n", f.name, f.ratio, f.goal, verdict)
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d goals missed", missed, len(figures))
	}
	return nil
}
