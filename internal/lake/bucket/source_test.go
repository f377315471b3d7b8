package bucket_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/bucket/buckettest"
	"bartizan/internal/lake/laketest"
	"bartizan/internal/observe"
)

// rowsIn reads files below a folder through.
func rowsIn(t *testing.T, dir string, files []lake.File) (rows int64) {
	t.Helper()
	for _, f := range files {
		n, err := lake.CheckFile(filepath.Join(dir, filepath.FromSlash(f.Path())))
		if err != nil {
			t.Fatal(err)
		}
		rows += n
	}
	return rows
}

func cacheBytes(t *testing.T, dir string) (size int64) {
	t.Helper()
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		size += f.Size
	}
	return size
}

// counting is a store that counts the objects read.
type counting struct {
	bucket.Store
	reads atomic.Int64
}

func (c *counting) Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	c.reads.Add(1)
	return c.Store.Read(ctx, key, offset, length)
}

// TestCache: a question fetches what it needs and no more, the next one finds it; the cache stays within its size, and
// what did not fit is said.
func TestCache(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		filled(t, s, 120)
		l := bucket.NewLake(s)
		all, _, err := l.Select(t.Context(), lake.Filter{Classes: []string{"auth"}})
		if err != nil || len(all) < 3 {
			t.Fatal(len(all), err)
		}
		dir := t.TempDir()
		ask := func(most int64, want lake.Filter) ([]lake.File, []lake.NotLookedAt) {
			t.Helper()
			src := &bucket.Source{Lake: l, Cache: &bucket.Cache{Dir: dir, Most: most}}
			files, bad, err := src.Select(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			rowsIn(t, dir, files)
			if n := cacheBytes(t, dir); n > most {
				t.Fatalf("%d bytes in a cache of %d", n, most)
			}
			return files, bad
		}
		hour := lake.Filter{Classes: []string{"auth"}, Since: start.Truncate(time.Hour), Till: start.Truncate(time.Hour).Add(time.Hour)}
		if files, bad := ask(1<<30, hour); len(files) != 1 || len(bad) > 0 || cacheBytes(t, dir) != files[0].Size {
			t.Fatalf("%d files, %d bytes fetched, %v", len(files), cacheBytes(t, dir), bad)
		}
		if files, bad := ask(1<<30, lake.Filter{Classes: []string{"auth"}}); len(files) != len(all) || len(bad) > 0 {
			t.Fatalf("%d files of %d, %v", len(files), len(all), bad)
		}
		last := all[len(all)-1].Size
		files, bad := ask(last+10, lake.Filter{Classes: []string{"auth"}})
		if len(files) == 0 || len(files)+len(bad) != len(all) || !slices.ContainsFunc(files, func(f lake.File) bool { return f == all[len(all)-1] }) || !strings.Contains(bad[0].Reason, "--cache") {
			t.Fatalf("%v %v", files, bad)
		}
	})
}

// TestCacheAgain: what is in the cache is not fetched again, and something else in its place is.
func TestCacheAgain(t *testing.T) {
	far := bucket.NewFolder(t.TempDir(), "")
	filled(t, far, 60)
	c := &counting{Store: far}
	dir := t.TempDir()
	ask := func() []lake.File {
		t.Helper()
		src := &bucket.Source{Lake: bucket.NewLake(c), Cache: &bucket.Cache{Dir: dir, Most: 1 << 30}}
		files, bad, err := src.Select(t.Context(), lake.Filter{})
		if err != nil || len(bad) > 0 {
			t.Fatal(err, bad)
		}
		return files
	}
	files := ask()
	if n := c.reads.Load(); n != int64(len(files)) {
		t.Fatalf("%d objects read for %d files", n, len(files))
	}
	ask()
	if n := c.reads.Load(); n != int64(len(files)) {
		t.Fatalf("%d objects read again", n-int64(len(files)))
	}
	path := filepath.Join(dir, files[0].Path())
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	rowsIn(t, dir, ask())
	if n := c.reads.Load(); n != int64(len(files))+1 {
		t.Fatalf("%d objects read", n)
	}
}

// TestCacheDamage: an object that is not as it was written does not get into the cache and is said.
func TestCacheDamage(t *testing.T) {
	srv := buckettest.Start(t, "", "")
	s := srv.Store("")
	filled(t, s, 60)
	files, _, err := bucket.NewLake(s).Select(t.Context(), lake.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	path := srv.File("", files[1].Path())
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	src := &bucket.Source{Lake: bucket.NewLake(s), Cache: &bucket.Cache{Dir: t.TempDir(), Most: 1 << 30}}
	got, bad, err := src.Select(t.Context(), lake.Filter{})
	if err != nil || len(got) != len(files)-1 || len(bad) != 1 || bad[0].File != files[1].Path() {
		t.Fatalf("%d of %d, %v, %v", len(got), len(files), bad, err)
	}
}

// TestBoth: a hunt on a node sees what is in the bucket and what is not there yet, each row once, at every stage; and
// when the bucket is away it says that the answer is not whole.
func TestBoth(t *testing.T) {
	dir := t.TempDir()
	far := bucket.NewFolder(t.TempDir(), "")
	now := time.Now()
	m := bucket.NewMirror(bucket.Options{Dir: dir, Store: far, Product: "v0-test", Keep: time.Hour, Now: func() time.Time { return now }})
	var rows int64
	ask := func(what string) {
		t.Helper()
		src := &bucket.Source{Lake: bucket.NewLake(far), Folder: dir, Cache: &bucket.Cache{Dir: filepath.Join(dir, bucket.CacheDir), Most: 1 << 30}}
		files, bad, err := src.Select(t.Context(), lake.Filter{})
		if err != nil || len(bad) > 0 {
			t.Fatal(what, err, bad)
		}
		if n := rowsIn(t, filepath.Join(dir, bucket.CacheDir), files); n != rows {
			t.Fatalf("%s: %d rows of %d", what, n, rows)
		}
	}
	rows += grow(t, dir, 1, 20)
	ask("nothing sent")
	if err := m.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	ask("all sent, and still here")
	rows += grow(t, dir, 2, 20)
	ask("something late, not sent")
	if err := m.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	ask("the bucket compacted, the folder not")
	now = now.Add(2 * time.Hour)
	if err := m.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	ask("nothing here")
	rows += grow(t, dir, 3, 20)
	away := bucket.NewFolder(filepath.Join(t.TempDir(), "not-mounted"), "")
	src := &bucket.Source{Lake: bucket.NewLake(away), Folder: dir, Cache: &bucket.Cache{Dir: filepath.Join(dir, bucket.CacheDir), Most: 1 << 30}}
	files, bad, err := src.Select(t.Context(), lake.Filter{})
	if err != nil || len(files) == 0 || len(bad) != 1 || !strings.Contains(bad[0].File, "not-mounted") {
		t.Fatalf("%d files, %v, %v", len(files), bad, err)
	}
	alone := &bucket.Source{Lake: bucket.NewLake(away), Cache: &bucket.Cache{Dir: t.TempDir(), Most: 1 << 30}}
	if _, _, err := alone.Select(t.Context(), lake.Filter{}); err == nil || errors.Is(err, lake.ErrNoLake) {
		t.Fatalf("a bucket that is away is no empty lake: %v", err)
	}
}

// TestPrune: statistics inside the objects choose what is fetched, and never leave out a row that counts: against reading all.
func TestPrune(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		dir := t.TempDir()
		l, err := lake.Open(dir, lake.Options{MaxEvidence: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		var list []observe.Observation
		sessions := laketest.New(1, start, time.Second)
		for hour := range 6 {
			for range 60 {
				list = sessions.Next(list)
			}
			for i := range list {
				list[i].Time = start.Add(time.Duration(hour) * time.Hour)
				list[i].Evidence = []observe.Blob{{What: "transcript", SHA256: strings.Repeat("0", 64), Size: 4000, Data: noise(hour*1000+i, 4000)}}
			}
			list = slices.DeleteFunc(list, func(o observe.Observation) bool { return o.Kind != observe.KindInteraction })
			l.Observations(list)
			if hour == 3 {
				list[0].Remote = netip.MustParseAddrPort("198.51.100.77:4242")
				l.Observations(list[:1])
			}
			list = list[:0]
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := lake.Compact(t.Context(), dir, lake.Compaction{All: true, Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if err := bucket.NewLake(s).Fill(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		ask := func(any ...lake.Need) []lake.File {
			t.Helper()
			src := &bucket.Source{Lake: bucket.NewLake(s), Cache: &bucket.Cache{Dir: t.TempDir(), Most: 1 << 30}}
			files, bad, err := src.Select(t.Context(), lake.Filter{Classes: []string{"interaction"}, Any: any})
			if err != nil || len(bad) > 0 {
				t.Fatal(err, bad)
			}
			return files
		}
		ip := func(v ...string) lake.Need { return lake.Need{{Column: []string{"src_endpoint", "ip"}, Values: v}} }
		if files := ask(); len(files) != 6 || files[0].Size < 128<<10 {
			t.Fatalf("%v", files)
		}
		if files := ask(ip("198.51.100.77")); len(files) != 1 || files[0].Hour.Hour() != start.Hour()+3 {
			t.Fatalf("%v", files)
		}
		if files := ask(ip("198.51.100.77", "198.51.100.78"), ip("198.51.100.79")); len(files) != 1 {
			t.Fatalf("%v", files)
		}
		if files := ask(ip("198.51.100.78")); len(files) != 0 {
			t.Fatalf("%v", files)
		}
		for _, any := range [][]lake.Need{{ip("198.51.100.78"), {}}, {{{Column: []string{"no", "such"}, Values: []string{"x"}}}}, {{{Column: []string{"time"}, Values: []string{"x"}}}}} {
			if files := ask(any...); len(files) != 6 {
				t.Fatalf("%v: %d files", any, len(files))
			}
		}
	})
}

// noise does not become smaller.
func noise(seed, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
