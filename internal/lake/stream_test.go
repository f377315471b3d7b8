package lake_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/lake"
	"bartizan/internal/model"
	"bartizan/internal/ocsf"

	"pgregory.net/rapid"
)

// ended is a context that is over, so that nothing waits for the next batch.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// stream makes messages as a stream hands them over; some of each hour.
func stream(from, n int, made time.Time) (out []bus.Message[model.Receipt]) {
	for i := from; i < from+n; i++ {
		out = append(out, bus.Message[model.Receipt]{Seq: uint64(i), Time: made.Add(time.Duration(i) * time.Millisecond),
			Value: model.Receipt{ID: model.ULID{15: byte(i), 14: byte(i >> 8), 0: 1}, Decision: model.ULID{1}, Enforcer: "nft", Status: model.Applied, Time: start.Add(time.Duration(i%3) * time.Hour)}})
	}
	return out
}

// once fails when a row is there twice, and returns how many there are.
func once(t interface{ Fatalf(string, ...any) }, dir string, rows []ocsf.Receipt) int {
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.Metadata.UID] {
			t.Fatalf("%s is in %s twice", r.Metadata.UID, dir)
		}
		seen[r.Metadata.UID] = true
	}
	return len(seen)
}

// TestStreamOnce: whatever comes again, and at whatever step a crash came, each message is one row.
func TestStreamOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(l.Receipts(ended(), stream(1, 10, start)))
	must(l.Receipts(ended(), stream(1, 10, start))) // the acknowledgement was lost
	must(l.Receipts(ended(), stream(5, 10, start))) // a part of it
	l = open(t, dir, lake.Options{})
	must(l.Receipts(ended(), stream(5, 10, start)))
	must(l.Receipts(ended(), stream(15, 5, start)))
	if n := once(t, dir, readRows[ocsf.Receipt](t, dir, "receipt")); n != 19 {
		t.Fatalf("%d rows, want 19", n)
	}

	// A crash between the record and the names: the files are there under their temporary ones.
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{})
	must(err)
	last := files[len(files)-1]
	hide := filepath.Join(dir, last.Dir(), "."+last.Name+".tmp")
	must(os.Rename(filepath.Join(dir, last.Path()), hide))
	l = open(t, dir, lake.Options{})
	must(l.Receipts(ended(), stream(15, 5, start)))
	if n := once(t, dir, readRows[ocsf.Receipt](t, dir, "receipt")); n != 19 {
		t.Fatalf("%d rows after a crash before the names, want 19", n)
	}

	// A new bus counts from one again: that is no repeat.
	fresh := stream(1, 4, start.Add(time.Hour))
	for i := range fresh {
		fresh[i].Value.ID[1] = 9
	}
	must(l.Receipts(ended(), fresh))
	if n := once(t, dir, readRows[ocsf.Receipt](t, dir, "receipt")); n != 23 {
		t.Fatalf("%d rows, want 23", n)
	}
	clean(t, dir)
}

// TestStreamModel compares the lake with a set, over any order of batches, repeats and restarts.
func TestStreamModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "lake")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		l := open(t, dir, lake.Options{})
		next := 1
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			again := rapid.IntRange(0, next-1).Draw(rt, "again")
			n := rapid.IntRange(1, 5).Draw(rt, "n")
			if err := l.Receipts(ended(), stream(next-again, n+again, start)); err != nil {
				rt.Fatal(err)
			}
			next += n
			if rapid.Bool().Draw(rt, "restart") {
				l = open(t, dir, lake.Options{})
			}
			if rapid.IntRange(0, 7).Draw(rt, "compact") == 0 {
				if _, err := lake.Compact(t.Context(), dir, lake.Compaction{All: true}); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if got := once(rt, dir, readRows[ocsf.Receipt](t, dir, "receipt")); got != next-1 {
			rt.Fatalf("%d rows of %d messages", got, next-1)
		}
	})
}

// TestStreamCannotBeWritten: the batch fails, and is filed whole once there is room.
func TestStreamCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{MinFree: 1 << 62})
	if err := l.Receipts(ended(), stream(1, 6, start)); !errors.Is(err, lake.ErrNoSpace) {
		t.Fatal(err)
	}
	l.SetMinFree(1)
	if err := l.Receipts(ended(), stream(1, 6, start)); err != nil {
		t.Fatal(err)
	}
	if n := once(t, dir, readRows[ocsf.Receipt](t, dir, "receipt")); n != 6 {
		t.Fatal(fmt.Sprint(n, " rows"))
	}
}
