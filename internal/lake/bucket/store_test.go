package bucket_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/bucket/buckettest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// stores are the implementations; each gets an empty one.
func stores(t *testing.T, run func(*testing.T, bucket.Store)) {
	comparing(t, run)
	if buckettest.MotoAsked() {
		t.Run("moto", func(t *testing.T) { run(t, buckettest.Moto(t)) })
	}
}

// comparing are those that compare what arrives with its sum, which moto 5.2.4 does not do.
func comparing(t *testing.T, run func(*testing.T, bucket.Store)) {
	t.Run("folder", func(t *testing.T) {
		c := bucket.Config{Endpoint: "file://" + t.TempDir()}
		s, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
	})
	t.Run("bucket", func(t *testing.T) { run(t, buckettest.Start(t, "", "").Store("node1")) })
}

func write(t *testing.T, s bucket.Store, key, text string) {
	t.Helper()
	if err := s.Write(t.Context(), key, strings.NewReader(text), int64(len(text)), sha256.Sum256([]byte(text))); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s bucket.Store, key string, offset, length int64) string {
	t.Helper()
	r, err := s.Read(t.Context(), key, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func keys(t *testing.T, s bucket.Store, prefix string) (out []string) {
	t.Helper()
	err := s.List(t.Context(), prefix, func(page []bucket.Object) error {
		for _, o := range page {
			if o.Modified.IsZero() || time.Since(o.Modified).Abs() > time.Hour {
				t.Errorf("%s: modified %v", o.Key, o.Modified)
			}
			out = append(out, o.Key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestStore is what every store must do.
func TestStore(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		if got := keys(t, s, ""); len(got) > 0 {
			t.Fatalf("not empty: %v", got)
		}
		write(t, s, "class=http/day=2026-11-27/hour=09/a.parquet", "0123456789")
		write(t, s, "class=http/day=2026-11-27/hour=10/b.parquet", "b")
		write(t, s, "class=auth/day=2026-11-27/hour=09/c.parquet", "")
		if got := keys(t, s, "class=http/"); len(got) != 2 || got[0] != "class=http/day=2026-11-27/hour=09/a.parquet" {
			t.Fatal(got)
		}
		if got := keys(t, s, "class=http/day=2026-11-27/hour=1"); len(got) != 1 {
			t.Fatal(got)
		}
		if got := keys(t, s, "class=nothing/"); len(got) != 0 {
			t.Fatal(got)
		}
		const a = "class=http/day=2026-11-27/hour=09/a.parquet"
		for _, c := range []struct {
			offset, length int64
			want           string
		}{{0, -1, "0123456789"}, {3, 4, "3456"}, {7, -1, "789"}, {8, 100, "89"}} {
			if got := read(t, s, a, c.offset, c.length); got != c.want {
				t.Errorf("%d, %d: %q, want %q", c.offset, c.length, got, c.want)
			}
		}
		write(t, s, a, "again")
		if got := read(t, s, a, 0, -1); got != "again" {
			t.Fatalf("not replaced: %q", got)
		}
		if _, err := s.Read(t.Context(), "class=http/none", 0, -1); !errors.Is(err, bucket.ErrNotFound) {
			t.Fatalf("what is not there: %v", err)
		}
		if err := s.Remove(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(t.Context(), a); err != nil {
			t.Fatalf("removed twice: %v", err)
		}
		if got := keys(t, s, "class="); len(got) != 2 {
			t.Fatal(got)
		}
	})
}

// TestStoreSums: what arrives is compared; a wrong sum or length leaves what was there.
func TestStoreSums(t *testing.T) {
	comparing(t, func(t *testing.T, s bucket.Store) {
		write(t, s, "x.parquet", "before")
		if err := s.Write(t.Context(), "x.parquet", strings.NewReader("changed on the way"), 18, sha256.Sum256([]byte("as it was sent out"))); err == nil {
			t.Fatal("a wrong sum was taken")
		}
		if err := s.Write(t.Context(), "x.parquet", strings.NewReader("short"), 500, sha256.Sum256([]byte("short"))); err == nil {
			t.Fatal("a wrong length was taken")
		}
		if got := read(t, s, "x.parquet", 0, -1); got != "before" {
			t.Fatalf("a failed write left %q", got)
		}
	})
}

// TestStoreCreate: of many that create the same object one succeeds.
func TestStoreCreate(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		done := make(chan error)
		for i := range 8 {
			go func() { done <- s.Create(t.Context(), ".maintenance-1", []byte{byte('a' + i)}) }()
		}
		won := 0
		for range 8 {
			switch err := <-done; {
			case err == nil:
				won++
			case !errors.Is(err, bucket.ErrExists):
				t.Error(err)
			}
		}
		if won != 1 || len(read(t, s, ".maintenance-1", 0, -1)) != 1 {
			t.Fatalf("%d created it", won)
		}
	})
}

// TestStorePages: more objects than one answer holds.
func TestStorePages(t *testing.T) {
	stores(t, func(t *testing.T, s bucket.Store) {
		n := min(5*bucket.SetPage(s, 20)/2, 1030)
		done := make(chan error)
		for w := range 8 {
			go func() {
				var err error
				for i := w; i < n && err == nil; i += 8 {
					err = s.Create(t.Context(), fmt.Sprintf("class=http/day=2026-11-27/hour=09/%04d.parquet", i), []byte("x"))
				}
				done <- err
			}()
		}
		for range 8 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		pages := 0
		if err := s.List(t.Context(), "class=", func([]bucket.Object) error { pages++; return nil }); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, s, "class="); len(got) != n || pages < 2 {
			t.Fatalf("%d of %d objects on %d pages", len(got), n, pages)
		}
	})
}

// TestRefused: what the operator has to change is named.
func TestRefused(t *testing.T) {
	srv := buckettest.Start(t, "", "")
	for name, c := range map[string]struct {
		change func(*bucket.Config)
		want   string
	}{
		"access key": {func(c *bucket.Config) { c.AccessKey = "AKIANOBODYNOBODYNOBO" }, "lake.bucket.access_key"},
		"secret key": {func(c *bucket.Config) { c.SecretKey = conf.NewSecret("not-the-secret") }, "lake.bucket.secret_key"},
		"bucket":     {func(c *bucket.Config) { c.Name = "another-bucket" }, "lake.bucket.name"},
	} {
		conf := srv.Config("p")
		c.change(&conf)
		s, err := conf.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = s.Write(t.Context(), "x.parquet", strings.NewReader("x"), 1, sha256.Sum256([]byte("x")))
		if err == nil || !errors.Is(err, bucket.ErrDenied) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), buckettest.SecretKey) {
			t.Errorf("%s: the secret is in the error", name)
		}
	}
}

// TestTLS: the server's certificate is verified, against the system's authorities or those that are given.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	srv := buckettest.Start(t, cert, key)
	c := srv.Config("")
	s, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Create(ctx, "x", []byte("x")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("a certificate of nobody was believed: %v", err)
	}
	c.CA = cert
	if s, err = c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(srv.File("", "x")); err != nil || !bytes.Equal(b, []byte("x")) {
		t.Fatalf("%q %v", b, err)
	}
}

func TestConfig(t *testing.T) {
	secret := conf.NewSecret("s")
	for _, c := range []struct {
		conf bucket.Config
		key  string // "": good
	}{
		{bucket.Config{}, ""},
		{bucket.Config{Name: "evidence", Prefix: "a/b.c-d"}, ""},
		{bucket.Config{Name: "evidence", AccessKey: "a", SecretKey: secret, Endpoint: "https://s3.example.org:9000"}, ""},
		{bucket.Config{Name: "evidence", Endpoint: "http://127.0.0.1:7070"}, ""},
		{bucket.Config{Endpoint: "file:///mnt/archive"}, ""},
		{bucket.Config{Name: "E"}, "name"},
		{bucket.Config{Name: "evidence", Prefix: "/a"}, "prefix"},
		{bucket.Config{Name: "evidence", Prefix: "a/../b"}, "prefix"},
		{bucket.Config{Name: "evidence", AccessKey: "a"}, "access_key"},
		{bucket.Config{Name: "evidence", SecretKey: secret}, "access_key"},
		{bucket.Config{Name: "evidence", Keep: -1}, "keep"},
		{bucket.Config{Name: "evidence", Endpoint: "http://s3.example.org"}, "endpoint"},
		{bucket.Config{Name: "evidence", Endpoint: "https://me:secret@s3.example.org"}, "endpoint"},
		{bucket.Config{Name: "evidence", Endpoint: "ftp://x"}, "endpoint"},
		{bucket.Config{Endpoint: "file://host/x"}, "endpoint"},
	} {
		key, err := c.conf.Check()
		if (err != nil) != (c.key != "") || err != nil && key != c.key {
			t.Errorf("%+v: %q %v", c.conf, key, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("a password is in the error: %v", err)
		}
	}
	for url, good := range map[string]bool{"s3://evidence/a/b": true, "s3://evidence": true, "s3:///x": false, "s3://k:s@evidence": false, "s3://e?x=1": false, "s3://e:99/x": false} {
		if _, _, err := bucket.ParseURL(url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestFolderStays: keys that a listing invents do not lead out of a folder.
func TestFolderStays(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "in")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	s := bucket.NewFolder(inside, "")
	if err := s.Write(t.Context(), "../out", strings.NewReader("x"), 1, sha256.Sum256([]byte("x"))); err == nil {
		t.Fatal("written outside")
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Fatal("written outside")
	}
}
