package lake

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"bartizan/internal/ocsf"

	"github.com/parquet-go/parquet-go"
)

// An older and a newer form of the class auth: columns that were not there yet, and one that is not known yet.
type (
	olderAuth struct {
		Time        int64         `parquet:"time,delta"`
		TimeDT      ocsf.Nanos    `parquet:"time_dt,timestamp(nanosecond),delta"`
		SrcEndpoint ocsf.Endpoint `parquet:"src_endpoint"`
		User        ocsf.User     `parquet:"user"`
	}
	newerAuth struct {
		ocsf.Auth
		Mood string `parquet:"mood,optional,dict"`
	}
)

// put writes a file as the writer does.
func put[T any](t *testing.T, dir string, p Partition, rows []T) string {
	t.Helper()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := newSheet[T]("v0", l.freshForm())
	if err := s.write(rows); err != nil {
		t.Fatal(err)
	}
	b, err := s.seal()
	if err != nil {
		t.Fatal(err)
	}
	name := newName(0)
	l.disk.Lock()
	defer l.disk.Unlock()
	if err := l.commit(sealed{p, name, b, len(rows)}); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestOtherVersions: what an older program wrote is read and compacted with its values in
// their places; what a newer one wrote is left as it is, and said.
func TestOtherVersions(t *testing.T) {
	dir := t.TempDir()
	p := Partition{"auth", time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
	put(t, dir, p, []olderAuth{{Time: 7, SrcEndpoint: ocsf.Endpoint{IP: "192.0.2.1", Port: 9}, User: ocsf.User{Name: "root"}}})
	put(t, dir, p, []ocsf.Auth{{User: ocsf.User{Name: "admin"}, Unmapped: ocsf.AuthUnmapped{Password: "x"}}})
	newer := put(t, dir, p, []newerAuth{{Mood: "good"}})
	c, err := Compact(t.Context(), dir, Compaction{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if c.Before != 2 || c.After != 1 || len(c.Left) != 1 || filepath.Base(c.Left[0].File) != newer {
		t.Fatalf("%+v", c)
	}
	r, err := Check(t.Context(), dir, Filter{})
	if err != nil || len(r.Damaged) > 0 || r.Rows != 3 || r.Files != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	files, _, err := Select(t.Context(), dir, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name == newer {
			continue
		}
		rows := readAll[ocsf.Auth](t, filepath.Join(dir, f.Path()))
		if len(rows) != 2 || rows[0].User.Name != "root" || rows[0].SrcEndpoint != (ocsf.Endpoint{IP: "192.0.2.1", Port: 9}) || rows[0].Time != 7 ||
			rows[1].User.Name != "admin" || rows[1].Unmapped.Password != "x" {
			t.Fatalf("%+v", rows)
		}
	}
}

// TestFirstVersion: the lake of the first version, kept as it was written, still opens, and can be compacted.
func TestFirstVersion(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "v1"))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := Check(t.Context(), dir, Filter{})
		if err != nil || len(r.Damaged) > 0 || r.Foreign > 0 || r.Rows != 19 || len(r.Classes) != 19 {
			t.Fatalf("%+v, %v", r, err)
		}
		if c, err := Compact(t.Context(), dir, Compaction{All: true}); err != nil || len(c.Left) > 0 {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	files, _, err := Select(t.Context(), dir, Filter{Classes: []string{"signal"}})
	if err != nil || len(files) != 1 {
		t.Fatal(err, files)
	}
	rows := readAll[ocsf.Signal](t, filepath.Join(dir, files[0].Path()))
	if s, err := rows[0].Signal(); err != nil || s.Kind != "auth.brute-force" || s.Address != "192.0.2.7" || s.Count != 5 {
		t.Fatalf("%+v, %v", s, err)
	}
}

func readAll[T any](t *testing.T, path string) []T {
	t.Helper()
	rows, err := parquet.ReadFile[T](path)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
