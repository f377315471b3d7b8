package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"bartizan/internal/obs"
	"bartizan/internal/observe"
)

var start = time.Date(2026, 11, 20, 9, 40, 0, 0, time.UTC)

// grow writes sessions to a lake, some 30 an hour, in two classes, and compacts them as a node does.
func grow(t *testing.T, dir string, seed uint64, sessions int) int64 {
	t.Helper()
	l, err := lake.Open(dir, lake.Options{Product: "v0-test"})
	if err != nil {
		t.Fatal(err)
	}
	s := laketest.New(seed, start, 2*time.Minute)
	var list []observe.Observation
	for range sessions {
		list = s.Next(list)
	}
	list = slices.DeleteFunc(list, func(o observe.Observation) bool {
		return o.Kind != observe.KindAuth && o.Kind != observe.KindInteraction
	})
	l.Observations(list)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := lake.Compact(t.Context(), dir, lake.Compaction{Product: "v0-test", Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return int64(len(list))
}

// clean checks the bucket: everything whole, so many rows.
func clean(t *testing.T, s bucket.Store, rows int64) lake.Report {
	t.Helper()
	r, err := bucket.NewLake(s).Check(t.Context(), lake.Filter{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Damaged) > 0 || r.Foreign > 0 || r.Rows != rows {
		t.Fatalf("%d rows of %d, damaged %+v, foreign %d", r.Rows, rows, r.Damaged, r.Foreign)
	}
	return r
}

func paths(t *testing.T, list []lake.File, bad []lake.NotLookedAt, err error) (out []string) {
	t.Helper()
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	for _, f := range list {
		out = append(out, fmt.Sprintf("%s %d", f.Path(), f.Size))
	}
	slices.Sort(out)
	return out
}

func folderOf(t *testing.T, dir string) []string {
	t.Helper()
	files, bad, err := lake.Select(t.Context(), dir, lake.Filter{})
	return paths(t, files, bad, err)
}

func bucketOf(t *testing.T, s bucket.Store) []string {
	t.Helper()
	files, bad, err := bucket.NewLake(s).Select(t.Context(), lake.Filter{})
	return paths(t, files, bad, err)
}

// TestMirror: the bucket gets exactly the files of the folder, once; what comes late goes too and is merged in the bucket;
// what is in the bucket leaves the folder when it is old enough.
func TestMirror(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		dir := t.TempDir()
		now := time.Now()
		m := bucket.NewMirror(bucket.Options{Dir: dir, Store: s, Product: "v0-test", Keep: time.Hour, Now: func() time.Time { return now }})
		round := func(all bool) {
			t.Helper()
			if err := m.Round(t.Context(), all); err != nil {
				t.Fatal(err)
			}
		}
		rows := grow(t, dir, 1, 60)
		round(true)
		if f, b := folderOf(t, dir), bucketOf(t, s); !slices.Equal(f, b) || len(b) < 4 {
			t.Fatalf("folder %v\nbucket %v", f, b)
		}
		sent := m.Stats().Files
		round(true)
		if n := m.Stats().Files; n != sent {
			t.Fatalf("%d files were sent again", n-sent)
		}
		clean(t, s, rows)
		before := folderOf(t, dir)
		rows += grow(t, dir, 2, 60)
		after := folderOf(t, dir)
		for _, f := range before {
			if !slices.Contains(after, f) {
				t.Fatalf("%s was sent, and then rewritten in the folder", f)
			}
		}
		round(true)
		r := clean(t, s, rows)
		if n := len(bucketOf(t, s)); n >= len(after) || n != r.Files {
			t.Fatalf("%d objects of %d files: the bucket is not compacted", n, len(after))
		}
		if m.Stats().Dropped != 0 {
			t.Fatal("the folder let go of files before their time")
		}
		now = now.Add(2 * time.Hour)
		round(true)
		if left := folderOf(t, dir); len(left) > 0 {
			t.Fatalf("still in the folder: %v", left)
		}
		if list, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(list, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "class=") }) {
			t.Fatalf("empty folders stay: %v %v", list, err)
		}
		clean(t, s, rows)
	})
}

// TestKeepBytes: of what is in the bucket no more stays in the folder than it may.
func TestKeepBytes(t *testing.T) {
	dir := t.TempDir()
	s := bucket.NewFolder(t.TempDir(), "a/b")
	rows := grow(t, dir, 1, 120) // some four hours
	m := bucket.NewMirror(bucket.Options{Dir: dir, Store: s, Keep: time.Hour, KeepBytes: 60_000})
	if err := m.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, f := range files {
		size += f.Size
		if f.Hour.Before(start.Add(time.Hour).Truncate(time.Hour)) {
			t.Fatalf("%s stays although it is of the oldest hour", f.Path())
		}
	}
	if size > 60_000 || size == 0 {
		t.Fatalf("%d bytes stay", size)
	}
	clean(t, s, rows)
}

var errCut = errors.New("cut")

// breaking is a store that fails once, at its n-th call, before it has done anything or after it has done everything.
type breaking struct {
	bucket.Store
	left  atomic.Int64
	after bool
}

func (b *breaking) around(call func() error) error {
	hit := b.left.Add(-1) == 0
	if hit && !b.after {
		return errCut
	}
	err := call()
	if hit {
		return errCut
	}
	return err
}

func (b *breaking) List(ctx context.Context, prefix string, each func([]bucket.Object) error) error {
	return b.around(func() error { return b.Store.List(ctx, prefix, each) })
}

func (b *breaking) Read(ctx context.Context, key string, offset, length int64) (r io.ReadCloser, err error) {
	err = b.around(func() (err error) { r, err = b.Store.Read(ctx, key, offset, length); return err })
	return r, err
}

func (b *breaking) Write(ctx context.Context, key string, body io.ReadSeeker, size int64, sum [32]byte) error {
	return b.around(func() error { return b.Store.Write(ctx, key, body, size, sum) })
}

func (b *breaking) Create(ctx context.Context, key string, data []byte) error {
	return b.around(func() error { return b.Store.Create(ctx, key, data) })
}

func (b *breaking) Remove(ctx context.Context, key string) error {
	return b.around(func() error { return b.Store.Remove(ctx, key) })
}

// TestMirrorCrash stops the mirror at each of its calls, before and after it took effect, with files that came late so
// that the bucket is compacted too. At no moment does a reader see a row twice or miss one that it has seen, and the
// next mirror brings it to its end.
func TestMirrorCrash(t *testing.T) {
	dirs, fars := t.TempDir(), t.TempDir()
	begin := bucket.NewFolder(fars, "")
	first := grow(t, dirs, 1, 6)
	if err := bucket.NewMirror(bucket.Options{Dir: dirs, Store: begin, Keep: time.Hour}).Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	rows := first + grow(t, dirs, 2, 6)
	step, least := int64(1), 24
	if raceBuild {
		step, least = 4, 6 // the whole runs without the detector
	}
	cases := 0
	for _, after := range []bool{false, true} {
		for n := int64(1); ; n += step {
			dir, far := t.TempDir(), t.TempDir()
			if err := errors.Join(os.CopyFS(dir, os.DirFS(dirs)), os.CopyFS(far, os.DirFS(fars))); err != nil {
				t.Fatal(err)
			}
			s := bucket.NewFolder(far, "")
			b := &breaking{Store: s, after: after}
			b.left.Store(n)
			now := time.Now()
			err := bucket.NewMirror(bucket.Options{Dir: dir, Store: b, Now: func() time.Time { return now }}).Round(t.Context(), true)
			if b.left.Load() > 0 {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			cases++
			r, err := bucket.NewLake(s).Check(t.Context(), lake.Filter{}, t.TempDir())
			if err != nil || len(r.Damaged) > 0 || r.Rows < first || r.Rows > rows {
				t.Fatalf("call %d, after %v: %d rows, of %d and %d: %v %+v", n, after, r.Rows, first, rows, err, r.Damaged)
			}
			now = now.Add(time.Hour) // a lease that nobody gave back has ended
			if err := bucket.NewMirror(bucket.Options{Dir: dir, Store: s, Now: func() time.Time { return now }}).Round(t.Context(), true); err != nil {
				t.Fatalf("call %d, after %v: %v", n, after, err)
			}
			clean(t, s, rows)
			if left := keys(t, s, "."); len(left) > 0 {
				t.Fatalf("call %d, after %v: left over: %v", n, after, left)
			}
			for _, k := range keys(t, s, "class=") {
				if !strings.HasSuffix(k, ".parquet") {
					t.Fatalf("call %d, after %v: left over: %s", n, after, k)
				}
			}
		}
	}
	if cases < least {
		t.Fatalf("only %d crashes", cases)
	}
}

// TestCompactedBeforeTheNodeIsBack: of a node that dies before it has heard that a file arrived, nobody merges the file, so
// that the node may send it again.
func TestCompactedBeforeTheNodeIsBack(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		dir := t.TempDir()
		now := time.Now()
		first := grow(t, dir, 1, 6)
		if err := bucket.NewMirror(bucket.Options{Dir: dir, Store: s, Keep: time.Hour}).Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		rows := first + grow(t, dir, 2, 6)
		b := &breaking{Store: s, after: true}
		b.left.Store(2) // the mark, and the first file
		if err := bucket.NewMirror(bucket.Options{Dir: dir, Store: b}).Round(t.Context(), true); err == nil {
			t.Fatal("it did not break")
		}
		before := bucketOf(t, s)
		by := bucket.Compaction{Product: "v0-test", Now: now, Temp: t.TempDir(), All: true}
		if _, err := bucket.NewLake(s).Compact(t.Context(), by); !errors.Is(err, lake.ErrBusy) || !strings.Contains(err.Error(), ".sending") {
			t.Fatalf("compacted while a file may be sent again: %v", err)
		}
		if after := bucketOf(t, s); !slices.Equal(before, after) {
			t.Fatalf("before %v, after %v", before, after)
		}
		if err := bucket.NewMirror(bucket.Options{Dir: dir, Store: s}).Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		clean(t, s, rows)
		if _, err := bucket.NewLake(s).Compact(t.Context(), by); err != nil {
			t.Fatal(err)
		}
		clean(t, s, rows)
	})
}

// TestServerKilled kills the server in the middle of an upload. Nothing of it is in the bucket; when the server is back
// the mirror goes on by itself, and says both.
func TestServerKilled(t *testing.T) {
	srv := buckettest.Start(t, "", "")
	p := srv.Through()
	conf := srv.Config("node1")
	conf.Endpoint = "http://" + p.Addr
	s, err := conf.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rows := grow(t, dir, 1, 60)
	health := obs.NewHealth()
	failed := make(chan error, 100)
	m := bucket.NewMirror(bucket.Options{Dir: dir, Store: s, Keep: time.Hour, Health: health, Every: 20 * time.Millisecond, Retry: 20 * time.Millisecond,
		Warned: func(err error) {
			select {
			case failed <- err:
			default:
			}
		}})
	killed := make(chan struct{})
	p.Cut(50_000, func() { srv.Down(); close(killed) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	<-killed
	<-failed
	if text, state := said(health); state != obs.StateDegraded || !strings.Contains(text, "not usable since") || !strings.Contains(text, "wait") {
		t.Errorf("%v %q", state, text)
	}
	p.Cut(-1, func() {})
	srv.Up()
	waitFor(t, func() bool { _, state := said(health); return state == obs.StateOK })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	clean(t, srv.Store("node1"), rows)
	if st := m.Stats(); st.Failures == 0 || st.Waiting != 0 || st.Files != int64(len(folderOf(t, dir))) {
		t.Fatalf("%+v", st)
	}
}

func said(h *obs.Health) (string, obs.State) {
	checks, _ := h.Checks()
	for _, c := range checks {
		if c.Name == "lake-bucket" {
			return c.Detail, c.State
		}
	}
	return "", obs.StateFailed
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute")
		}
		<-tick.C
	}
}

// TestSlowServer: a server that stops reading costs the time of one call, not the node.
func TestSlowServer(t *testing.T) {
	srv := buckettest.Start(t, "", "")
	p := srv.Through()
	conf := srv.Config("node1")
	conf.Endpoint = "http://" + p.Addr
	s, err := conf.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bucket.SetCallTime(s, 300*time.Millisecond)
	dir := t.TempDir()
	rows := grow(t, dir, 1, 60)
	p.Cut(20_000, func() {})
	began := time.Now()
	m := bucket.NewMirror(bucket.Options{Dir: dir, Store: s, Keep: time.Hour})
	if err := m.Round(t.Context(), true); err == nil || time.Since(began) > 20*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	p.Cut(-1, func() {})
	bucket.SetCallTime(s, time.Minute)
	if err := m.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	clean(t, s, rows)
}

// TestDamagedStays: a file that is not as it was written is not sent, and said; the others are.
func TestDamagedStays(t *testing.T) {
	dir := t.TempDir()
	s := bucket.NewFolder(t.TempDir(), "a/b")
	grow(t, dir, 1, 60)
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, files[0].Path())
	b, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(bad, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m := bucket.NewMirror(bucket.Options{Dir: dir, Store: s})
	if err := m.Round(t.Context(), true); err == nil || !strings.Contains(err.Error(), files[0].Name) {
		t.Fatalf("not said: %v", err)
	}
	if n := len(bucketOf(t, s)); n != len(files)-1 {
		t.Fatalf("%d of %d files sent", n, len(files))
	}
	if _, err := os.Stat(bad); err != nil {
		t.Fatal("the damaged file has gone")
	}
}

// TestLost: files that the folder had to let go of before they were sent are counted and said.
func TestLost(t *testing.T) {
	dir := t.TempDir()
	far := t.TempDir()
	s := bucket.NewFolder(far, "")
	grow(t, dir, 1, 60)
	b := &breaking{Store: s}
	b.left.Store(1)
	m := bucket.NewMirror(bucket.Options{Dir: dir, Store: b})
	if err := m.Round(t.Context(), true); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files[1:] {
		if err := os.Remove(filepath.Join(dir, f.Path())); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if st := m.Stats(); st.Files != 1 || st.Lost == 0 {
		t.Fatalf("%+v", st)
	}
}
