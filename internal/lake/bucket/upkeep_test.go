package bucket_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/bucket/buckettest"
)

// filled is a bucket with a lake of several hours in it.
func filled(t *testing.T, s bucket.Store, sessions int) (rows int64) {
	t.Helper()
	dir := t.TempDir()
	rows = grow(t, dir, 1, sessions)
	if err := bucket.NewLake(s).Fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestCheckDamage: objects that are cut off, changed, empty or foreign are named, and the others are looked at.
func TestCheckDamage(t *testing.T) {
	srv := buckettest.Start(t, "", "")
	s := srv.Store("node1")
	rows := filled(t, s, 90)
	r := clean(t, s, rows)
	files, _, err := bucket.NewLake(s).Select(t.Context(), lake.Filter{})
	if err != nil || len(files) < 5 {
		t.Fatal(len(files), err)
	}
	damage := []func(b []byte) []byte{
		func(b []byte) []byte { return b[:len(b)-100] },
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { b[len(b)/3] ^= 0x10; return b },
		func([]byte) []byte { return nil },
	}
	for i, change := range damage {
		path := srv.File("node1", files[i].Path())
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, "class=http/day=2026-11-20/hour=99/x.parquet", "nowhere")
	got, err := bucket.NewLake(s).Check(t.Context(), lake.Filter{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got.Files != r.Files-len(damage) || len(got.Damaged) != len(damage)+1 {
		t.Fatalf("%d files, %+v", got.Files, got.Damaged)
	}
	for i := range damage {
		if !slices.ContainsFunc(got.Damaged, func(d lake.NotLookedAt) bool { return d.File == files[i].Path() && d.Reason != "" }) {
			t.Errorf("%s is not named: %+v", files[i].Path(), got.Damaged)
		}
	}
	// Compaction leaves them as they are.
	c, err := bucket.NewLake(s).Compact(t.Context(), bucket.Compaction{Now: time.Now(), Temp: t.TempDir(), All: true})
	if err != nil {
		t.Fatal(err)
	}
	again, err := bucket.NewLake(s).Check(t.Context(), lake.Filter{}, t.TempDir())
	if err != nil || again.Rows != got.Rows || len(again.Damaged) != len(got.Damaged) {
		t.Fatalf("%+v after %+v: %v", again, c, err)
	}
}

// TestAge: the oldest hours go, of all classes alike, by age and by size.
func TestAge(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		filled(t, s, 120)
		l := bucket.NewLake(s)
		before, _, err := l.Select(t.Context(), lake.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var size int64
		for _, f := range before {
			size += f.Size
		}
		now := start.Add(50 * time.Hour)
		if a, err := l.Age(t.Context(), lake.Retention{Age: 48 * time.Hour}, now); err != nil || a.Files == 0 {
			t.Fatalf("%+v %v", a, err)
		}
		old := start.Add(2 * time.Hour).Truncate(time.Hour)
		left, _, err := l.Select(t.Context(), lake.Filter{})
		if err != nil || len(left) == 0 || len(left) == len(before) {
			t.Fatal(len(left), err)
		}
		for _, f := range left {
			if f.Hour.Add(time.Hour).Before(old) {
				t.Errorf("%s stays", f.Path())
			}
		}
		if _, err := l.Age(t.Context(), lake.Retention{Bytes: size / 4}, now); err != nil {
			t.Fatal(err)
		}
		left, _, err = l.Select(t.Context(), lake.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var rest int64
		for _, f := range left {
			rest += f.Size
		}
		if rest > size/4 || rest == 0 {
			t.Fatalf("%d bytes of %d are left", rest, size)
		}
	})
}

// TestLease: one compacts or ages at a time; a lease that was not given back ends by itself.
func TestLease(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		filled(t, s, 12)
		l := bucket.NewLake(s)
		end, err := bucket.Lease(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Compact(t.Context(), bucket.Compaction{Now: time.Now(), Temp: t.TempDir(), All: true}); !errors.Is(err, lake.ErrBusy) {
			t.Fatalf("two at once: %v", err)
		}
		if _, err := l.Age(t.Context(), lake.Retention{Bytes: 1}, time.Now()); !errors.Is(err, lake.ErrBusy) {
			t.Fatalf("two at once: %v", err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, err := bucket.LeaseAt(s, time.Now().Add(-time.Hour)); err != nil { // its owner was killed
			t.Fatal(err)
		}
		if _, err := l.Compact(t.Context(), bucket.Compaction{Now: time.Now(), Temp: t.TempDir(), All: true}); err != nil {
			t.Fatal(err)
		}
		if left := keys(t, s, ".maintenance"); len(left) > 0 {
			t.Fatal(left)
		}
	})
}

// TestNothingThere: an empty prefix is no lake, which is not the same as a lake without what was asked for.
func TestNothingThere(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		l := bucket.NewLake(s)
		if _, _, err := l.Select(t.Context(), lake.Filter{}); !errors.Is(err, lake.ErrNoLake) {
			t.Fatal(err)
		}
		filled(t, s, 12)
		files, _, err := l.Select(t.Context(), lake.Filter{Classes: []string{"decision"}, Since: start, Till: start.Add(time.Hour)})
		if err != nil || len(files) != 0 {
			t.Fatal(files, err)
		}
		files, _, err = l.Select(t.Context(), lake.Filter{Classes: []string{"auth", "interaction"}, Since: start, Till: start.Add(time.Hour)})
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
	})
}

// TestFillUndone: when not everything can be sent, nothing stays.
func TestFillUndone(t *testing.T) {
	s := bucket.NewFolder(t.TempDir(), "")
	dir := t.TempDir()
	grow(t, dir, 1, 60)
	b := &breaking{Store: s}
	b.left.Store(3)
	err := bucket.NewLake(b).Fill(t.Context(), dir)
	if !errors.Is(err, errCut) || !strings.Contains(err.Error(), "nothing of it stays") {
		t.Fatal(err)
	}
	if left := keys(t, s, ""); len(left) > 0 {
		t.Fatal(left)
	}
}

// FuzzRecord: a record that somebody else wrote into the bucket names objects of its own partition or is refused.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{`{"new":["01KB2JQ4Q0Z8V4A1B2C3D4E5F6-1.parquet"],"old":["01KB2JQ4Q0Z8V4A1B2C3D4E5F5-0.parquet"]}`, `{}`, `{"new":["../x.parquet"]}`,
		`{"new":["a.parquet"],"old":[".x.parquet"]}`, `{"new":["a/b.parquet"]}`, `[`, "", `{"new":[".."]}`, `{"new":[null]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fresh, old, err := bucket.ParseRecord(b)
		if err != nil {
			return
		}
		if len(fresh) == 0 {
			t.Fatal("nothing new")
		}
		for _, name := range slices.Concat(fresh, old) {
			if strings.ContainsAny(name, "/") || strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".parquet") {
				t.Fatalf("%q", name)
			}
		}
	})
}
