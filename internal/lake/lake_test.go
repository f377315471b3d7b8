package lake_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/lake/laketest"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
)

var start = time.Date(2026, 11, 27, 9, 40, 0, 0, time.UTC)

func record(seed uint64, sessions int, between time.Duration) []observe.Observation {
	s := laketest.New(seed, start, between)
	var out []observe.Observation
	for range sessions {
		out = s.Next(out)
	}
	return out
}

func open(t *testing.T, dir string, opt lake.Options) *lake.Lake {
	t.Helper()
	opt.Product = "v0-test"
	l, err := lake.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func checked(t *testing.T, dir string) lake.Report {
	t.Helper()
	r, err := lake.Check(t.Context(), dir, lake.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// clean fails when anything in the lake is not as it was written.
func clean(t *testing.T, dir string) lake.Report {
	t.Helper()
	r := checked(t, dir)
	if len(r.Damaged) > 0 || r.Foreign > 0 {
		t.Fatalf("damaged: %+v, foreign %d", r.Damaged, r.Foreign)
	}
	return r
}

func readRows[T any](t *testing.T, dir, class string) (out []T) {
	t.Helper()
	files, skipped, err := lake.Select(t.Context(), dir, lake.Filter{Classes: []string{class}})
	if err != nil || len(skipped) > 0 {
		t.Fatal(err, skipped)
	}
	for _, f := range files {
		rows, err := parquet.ReadFile[T](filepath.Join(dir, f.Path()))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rows...)
	}
	return out
}

// TestObservationsComeBack: what goes in comes out, whole, by way of the files.
func TestObservationsComeBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{MaxEvidence: 1 << 20})
	in := record(1, 800, 4*time.Second)
	for i := 0; i < len(in); i += 50 {
		l.Observations(in[i:min(i+50, len(in))])
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if r := clean(t, dir); r.Rows != int64(len(in)) || len(r.Classes) < 9 {
		t.Fatalf("%d rows of %d in %v", r.Rows, len(in), r.Classes)
	}
	var want []observe.HTTPRequest
	for i := range in {
		if in[i].Kind == observe.KindHTTP {
			want = append(want, *in[i].HTTP)
		}
	}
	var got []observe.HTTPRequest
	for _, row := range readRows[ocsf.HTTP](t, dir, "http") {
		o, err := row.Observation()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *o.HTTP)
	}
	less := cmpopts.SortSlices(func(a, b observe.HTTPRequest) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
	if d := cmp.Diff(want, got, less); d != "" {
		t.Fatal(d)
	}
}

// TestPartitions: files lie in the hour of their events, and Select takes the hours that are asked for.
func TestPartitions(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{})
	in := record(2, 3000, 4*time.Second) // more than three hours
	l.Observations(in)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	all, _, err := lake.Select(t.Context(), dir, lake.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	hours := map[time.Time]bool{}
	for _, f := range all {
		hours[f.Hour] = true
		if f.Class != "auth" {
			continue
		}
		rows, err := parquet.ReadFile[ocsf.Auth](filepath.Join(dir, f.Path()))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if at := r.TimeDT.At(); !at.Truncate(time.Hour).Equal(f.Hour) {
				t.Fatalf("%s has a row of %s", f.Path(), at)
			}
		}
	}
	if len(hours) < 3 {
		t.Fatalf("%d hours", len(hours))
	}
	second := start.Truncate(time.Hour).Add(time.Hour)
	some, _, err := lake.Select(t.Context(), dir, lake.Filter{Classes: []string{"auth", "http"}, Since: second, Till: second.Add(time.Minute)})
	if err != nil || len(some) != 2 {
		t.Fatal(err, some)
	}
}

// TestAnyByte: a flipped bit anywhere in a file is found, and the file is named.
func TestAnyByte(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{})
	l.Observations(record(3, 3, time.Second))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{Classes: []string{"interaction"}})
	if err != nil || len(files) != 1 {
		t.Fatal(err, files)
	}
	path := filepath.Join(dir, files[0].Path())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		whole[i] ^= 1 << (i % 8)
		if err := lake.VerifySum(whole); err == nil {
			t.Fatalf("byte %d of %d flipped, and nothing found", i, len(whole))
		}
		if i%997 == 0 {
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := checked(t, dir); len(r.Damaged) != 1 || r.Damaged[0].File != files[0].Path() {
				t.Fatalf("byte %d: %+v", i, r.Damaged)
			}
		}
		whole[i] ^= 1 << (i % 8)
	}
	for _, n := range []int{0, 1, 11, 12, len(whole) / 2, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if r := checked(t, dir); len(r.Damaged) != 1 {
			t.Fatalf("cut to %d bytes: %+v", n, r.Damaged)
		}
	}
}

// TestHostileTimes: whatever times a taken decoy invents, few files are open, and all rows arrive.
func TestHostileTimes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{Open: 8, Waiting: 1 << 30})
	in := record(4, 60, time.Second)
	for i := range in {
		in[i].Time = start.Add(time.Duration(i%500) * time.Hour)
	}
	in[0].Time, in[1].Time, in[2].Time = time.Time{}, time.Unix(-1<<40, 0), time.Unix(1<<40, 0)
	for i := 0; i < len(in); i += 20 {
		l.Observations(in[i:min(i+20, len(in))])
		if n := l.OpenSheets(); n > 8 {
			t.Fatalf("%d files are being encoded", n)
		}
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if r := clean(t, dir); r.Rows != int64(len(in)) {
		t.Fatalf("%d rows of %d", r.Rows, len(in))
	}
}

func TestNoLake(t *testing.T) {
	if _, err := lake.Check(t.Context(), filepath.Join(t.TempDir(), "not"), lake.Filter{}); !errors.Is(err, lake.ErrNoLake) {
		t.Fatal(err)
	}
}

// TestStrangers: what is no part of the lake is said, and never followed.
func TestStrangers(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, lake.Options{})
	l.Observations(record(5, 20, time.Second))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{Classes: []string{"auth"}})
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	leaf := filepath.Join(dir, files[0].Dir())
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Symlink("/etc/passwd", filepath.Join(leaf, "link.parquet")))
	must(os.WriteFile(filepath.Join(leaf, "junk.parquet"), []byte(strings.Repeat("PAR1", 30)), 0o600))
	must(os.WriteFile(filepath.Join(leaf, ".hidden.parquet.tmp"), nil, 0o600))
	must(os.MkdirAll(filepath.Join(dir, "class=auth", "day=soon", "hour=01"), 0o700))
	must(os.Symlink("/etc", filepath.Join(dir, "class=evil")))
	got, skipped, err := lake.Select(context.Background(), dir, lake.Filter{})
	must(err)
	if len(skipped) != 3 {
		t.Fatalf("%+v", skipped)
	}
	r := checked(t, dir)
	if len(r.Damaged) != 4 || r.Files != len(got)-1 {
		t.Fatalf("%+v", r)
	}
}
