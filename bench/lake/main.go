// Command lake measures what the evidence lake adds to bare parquet-go, and how
// small its files are.
//
//	go run ./bench/lake [-rows 100000] [-runs 3]
//
// The peer is one parquet-go GenericWriter per class, zstd fastest, with the same
// schema and the rows made beforehand. The lake starts from observations: it maps
// them, sorts them into hours, checksums the files and flushes them to the disk.
// Both write the same recorded sessions to the same folder in turn; compared is CPU time.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/lake/laketest"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	seed     = 20261127
	evidence = 64 << 10 // the node's default
	perBatch = 512      // observations handed over at once, as decoys send them
)

func main() {
	rows := flag.Int("rows", 100_000, "observations")
	runs := flag.Int("runs", 3, "how often each side runs, in turn")
	flag.Parse()
	if err := run(*rows, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "bench/lake:", err)
		os.Exit(1)
	}
}

func run(rows, runs int) error {
	dir, err := os.MkdirTemp("", "bartizan-bench-lake-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, size, err := record(rows)
	if err != nil {
		return err
	}
	peer := bareOf(list)
	var ours, bare []float64
	for i := range runs {
		a, err := cpu(func() error { return writeLake(filepath.Join(dir, fmt.Sprint("lake", i)), list) })
		if err != nil {
			return err
		}
		b, err := cpu(func() error { return peer.write(filepath.Join(dir, fmt.Sprint("bare", i))) })
		if err != nil {
			return err
		}
		ours, bare = append(ours, float64(len(list))/a.Seconds()), append(bare, float64(len(list))/b.Seconds())
	}
	o, b := median(ours), median(bare)
	fmt.Printf("lake: %.0f rows per CPU second; bare parquet-go: %.0f; ratio %.2f (goal 0.70, n=%d, medians of %d alternating runs)\n", o, b, o/b, len(list), runs)
	first := filepath.Join(dir, "lake0")
	fresh, err := lake.Check(context.Background(), first, lake.Filter{})
	if err != nil {
		return err
	}
	var c lake.Compacted
	took, err := cpu(func() (err error) {
		c, err = lake.Compact(context.Background(), first, lake.Compaction{All: true})
		return err
	})
	if err != nil {
		return err
	}
	packed, err := lake.Check(context.Background(), first, lake.Filter{})
	if err != nil {
		return err
	}
	if fresh.Rows != int64(len(list)) || packed.Rows != int64(len(list)) || len(packed.Damaged) > 0 {
		return fmt.Errorf("%d rows written, %d found, %d after compaction", len(list), fresh.Rows, packed.Rows)
	}
	fmt.Printf("size ÷ JSON lines of the same observations: %.3f as written, %.3f compacted (goal 0.35; JSON %d bytes)\n", float64(fresh.Bytes)/float64(size), float64(packed.Bytes)/float64(size), size)
	fmt.Printf("compaction: %.0f rows per CPU second, %d files became %d\n", float64(c.Rows)/took.Seconds(), c.Before, c.After)
	return nil
}

// record makes the observations, and says how long they are as JSON lines.
func record(rows int) (list []observe.Observation, size int64, err error) {
	s := laketest.New(seed, time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), 200*time.Millisecond)
	for len(list) < rows {
		list = s.Next(list)
	}
	for i := range list {
		b, err := json.Marshal(&list[i])
		if err != nil {
			return nil, 0, err
		}
		size += int64(len(b)) + 1
	}
	return list, size, nil
}

func writeLake(dir string, list []observe.Observation) error {
	l, err := lake.Open(dir, lake.Options{Product: "bench", MaxEvidence: evidence})
	if err != nil {
		return err
	}
	for i := 0; i < len(list); i += perBatch {
		l.Observations(list[i:min(i+perBatch, len(list))])
	}
	return l.Flush()
}

// writer is the peer for one class.
type writer interface {
	add(*ocsf.Mapper, *observe.Observation)
	write(dir string) error
}

type bare struct{ classes map[observe.Kind]writer }

func bareOf(list []observe.Observation) *bare {
	b := &bare{map[observe.Kind]writer{
		observe.KindInteraction: &rowsOf[ocsf.Interaction, *ocsf.Interaction]{}, observe.KindAuth: &rowsOf[ocsf.Auth, *ocsf.Auth]{},
		observe.KindCommand: &rowsOf[ocsf.Command, *ocsf.Command]{}, observe.KindHTTP: &rowsOf[ocsf.HTTP, *ocsf.HTTP]{},
		observe.KindFile: &rowsOf[ocsf.File, *ocsf.File]{}, observe.KindFetch: &rowsOf[ocsf.Fetch, *ocsf.Fetch]{},
		observe.KindForward: &rowsOf[ocsf.Forward, *ocsf.Forward]{}, observe.KindCall: &rowsOf[ocsf.Call, *ocsf.Call]{},
		observe.KindExchange: &rowsOf[ocsf.Exchange, *ocsf.Exchange]{},
	}}
	m := &ocsf.Mapper{Product: "bench", MaxEvidence: evidence}
	for i := range list {
		b.classes[list[i].Kind].add(m, &list[i])
	}
	return b
}

func (b *bare) write(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for kind, w := range b.classes {
		if err := w.write(filepath.Join(dir, string(kind)+".parquet")); err != nil {
			return err
		}
	}
	return nil
}

type rowsOf[T any, P interface {
	*T
	ocsf.ObservationRow
}] struct{ rows []T }

func (r *rowsOf[T, P]) add(m *ocsf.Mapper, o *observe.Observation) {
	r.rows = append(r.rows, *new(T))
	P(&r.rows[len(r.rows)-1]).FromObservation(m, o)
}

func (r *rowsOf[T, P]) write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := parquet.NewGenericWriter[T](f, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}))
	for rows := range slices.Chunk(r.rows, perBatch) {
		if _, err := w.Write(rows); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

// cpu is the processor time of this process that f takes, its garbage included.
func cpu(f func() error) (time.Duration, error) {
	runtime.GC()
	before, err := used()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := used()
	return after - before, err
}

func used() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
