package lake_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/obs"
	"bartizan/internal/ocsf"

	"github.com/parquet-go/parquet-go"
)

// pieces writes a recording in many small files.
func pieces(t *testing.T, dir string, seed uint64, sessions, flushes int) int {
	t.Helper()
	l := open(t, dir, lake.Options{MaxEvidence: 1 << 10})
	in := record(seed, sessions, time.Millisecond)
	step := len(in)/flushes + 1
	for i := 0; i < len(in); i += step {
		l.Observations(in[i:min(i+step, len(in))])
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return len(in)
}

func addresses(t *testing.T, dir string) (out []string) {
	for _, r := range readRows[ocsf.Interaction](t, dir, "interaction") {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

// TestCompact: fewer, smaller files with the same rows, and filters on the columns that are searched.
func TestCompact(t *testing.T) {
	dir := t.TempDir()
	n := pieces(t, dir, 7, 400, 8)
	before, rows := clean(t, dir), addresses(t, dir)
	c, err := lake.Compact(t.Context(), dir, lake.Compaction{Product: "v1", All: true})
	if err != nil || len(c.Left) > 0 {
		t.Fatal(err, c.Left)
	}
	after := clean(t, dir)
	if after.Rows != int64(n) || after.Files >= before.Files/4 || after.Bytes >= before.Bytes || c.Rows != int64(n) {
		t.Fatalf("before %+v, after %+v, %+v", before, after, c)
	}
	if !slices.Equal(rows, addresses(t, dir)) {
		t.Fatal("rows have changed")
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{Classes: []string{"interaction"}})
	if err != nil || len(files) != 1 || !strings.HasSuffix(files[0].Name, "-1.parquet") {
		t.Fatal(err, files)
	}
	f, err := os.Open(filepath.Join(dir, files[0].Path()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := parquet.OpenFile(f, files[0].Size)
	if err != nil {
		t.Fatal(err)
	}
	leaf, ok := p.Schema().Lookup("src_endpoint", "ip")
	if !ok || p.RowGroups()[0].ColumnChunks()[leaf.ColumnIndex].BloomFilter() == nil {
		t.Fatal("no filter on the visitor's address")
	}
	if again, err := lake.Compact(t.Context(), dir, lake.Compaction{All: true}); err != nil || again.Before != 0 {
		t.Fatalf("compacted twice: %+v, %v", again, err)
	}
}

// TestCompactTiers: while an hour goes on only many files of one generation are merged.
func TestCompactTiers(t *testing.T) {
	dir := t.TempDir()
	pieces(t, dir, 8, 100, 15)
	c, err := lake.Compact(t.Context(), dir, lake.Compaction{Now: start})
	if err != nil || c.Before != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	pieces(t, dir, 9, 100, 15)
	if c, err = lake.Compact(t.Context(), dir, lake.Compaction{Now: start}); err != nil || c.Before < 30 {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err = lake.Compact(t.Context(), dir, lake.Compaction{Now: start.Add(3 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{Classes: []string{"interaction"}})
	if err != nil || len(files) != 1 {
		t.Fatal(err, files)
	}
}

// TestCompactCrash: at every step between writing the new file and removing the
// last old one, a reader sees each row once, and the next run finishes.
func TestCompactCrash(t *testing.T) {
	whole := t.TempDir()
	pieces(t, whole, 10, 60, 3)
	want := addresses(t, whole)
	p := lake.Partition{Class: "interaction", Hour: start.Truncate(time.Hour)}
	old := read(t, filepath.Join(whole, p.Dir()))
	if _, err := lake.Compact(t.Context(), whole, lake.Compaction{All: true, Where: []lake.Partition{p}}); err != nil {
		t.Fatal(err)
	}
	merged := read(t, filepath.Join(whole, p.Dir()))
	if len(old) != 3 || len(merged) != 1 {
		t.Fatalf("%d files became %d", len(old), len(merged))
	}
	var name string
	for name = range merged {
	}
	record, err := json.Marshal(map[string]any{"new": name, "old": slices.Collect(keys(old))})
	if err != nil {
		t.Fatal(err)
	}
	for step := range 7 {
		dir := t.TempDir()
		leaf := filepath.Join(dir, p.Dir())
		left := slices.Sorted(keys(old))
		put := func(name string, b []byte) {
			if err := os.MkdirAll(leaf, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(leaf, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		switch step {
		case 0, 1: // the new file is whole under its temporary name, then the record is there
			put("."+name+".tmp", merged[name])
		default: // it has its name; then the old ones go, one by one
			put(name, merged[name])
			left = left[min(step-2, 3):]
		}
		if step > 0 && step < 6 {
			put(".replace-01KB2JQ4Q0Z8V4A1B2C3D4E5F6.json", record)
		}
		for _, n := range left {
			put(n, old[n])
		}
		if got := addresses(t, dir); !slices.Equal(got, want) {
			t.Fatalf("step %d: %d rows, want %d", step, len(got), len(want))
		}
		if _, err := lake.Compact(t.Context(), dir, lake.Compaction{All: true}); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if got := addresses(t, dir); !slices.Equal(got, want) {
			t.Fatalf("step %d, finished: %d rows, want %d", step, len(got), len(want))
		}
		if names := read(t, leaf); len(names) != 1 && step > 0 {
			t.Fatalf("step %d: %v is left", step, slices.Collect(keys(names)))
		}
		clean(t, dir)
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = b
	}
	return out
}

// TestAge: the oldest goes, by age and by size, and what a crash has left.
func TestAge(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{})
	in := record(11, 700, 20*time.Second) // some four hours
	l.Observations(in)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	before := clean(t, dir)
	a, err := lake.Age(t.Context(), dir, lake.Retention{Age: 24 * time.Hour}, start.Truncate(time.Hour).Add(26*time.Hour))
	if err != nil || a.Files == 0 || a.Files > before.Files/2 {
		t.Fatal(err, a)
	}
	temp := filepath.Join(dir, "class=auth", "day=2026-11-27", "hour=11", ".x.parquet.tmp")
	if err := os.WriteFile(temp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err = lake.Age(t.Context(), dir, lake.Retention{Bytes: before.Bytes / 3}, time.Now().Add(2*time.Hour)); err != nil || a.Temps != 1 {
		t.Fatal(err, a)
	}
	after := clean(t, dir)
	if after.Bytes > before.Bytes/3 || after.Bytes == 0 {
		t.Fatalf("%d bytes of %d", after.Bytes, before.Bytes)
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{Till: start})
	if err != nil || len(files) > 0 {
		t.Fatal(err, files)
	}
	if _, err := os.Stat(filepath.Join(dir, "class=auth", "day=2026-11-27", "hour=09")); err == nil {
		t.Fatal("an empty folder is left")
	}
}

// TestDiskFull: nothing is written, memory stays bounded, what is dropped is counted and said, and it goes on alone.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	h := obs.NewHealth()
	l := open(t, dir, lake.Options{MinFree: 1 << 62, Waiting: 150_000, Health: h})
	in := record(12, 600, time.Second)
	for i := 0; i < len(in); i += 100 {
		l.Observations(in[i:min(i+100, len(in))])
		if err := l.Flush(); err == nil {
			t.Fatal("written to a full disk")
		}
	}
	st := l.Stats()
	if st.Dropped == 0 || st.Waiting > 150_000 || st.Rows != 0 {
		t.Fatalf("%+v", st)
	}
	if checks, worst := h.Checks(); worst != obs.StateFailed || !strings.Contains(checks[0].Detail, "no space left for the lake") {
		t.Fatalf("%+v", checks)
	}
	l.SetMinFree(1)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if r := clean(t, dir); r.Rows != int64(len(in))-st.Dropped {
		t.Fatalf("%d rows, %d dropped, of %d", r.Rows, st.Dropped, len(in))
	}
	if checks, worst := h.Checks(); worst != obs.StateDegraded || !strings.Contains(checks[0].Detail, "are lost") {
		t.Fatalf("%+v", checks)
	}
}
