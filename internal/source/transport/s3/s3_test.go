package s3

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/bucket/buckettest"
	"bartizan/internal/source"
	"bartizan/internal/source/transport/transporttest"
)

func serve(t *testing.T) *buckettest.Server {
	t.Helper()
	if !buckettest.Available() {
		if os.Getenv("BARTIZAN_REQUIRE_TOOLS") == "1" {
			t.Fatal("versitygw is not installed: scripts/install-test-tools.sh")
		}
		t.Skip("versitygw is not installed: scripts/install-test-tools.sh")
	}
	return buckettest.Start(t, "", "")
}

func put(t *testing.T, s bucket.Store, key, text string) {
	t.Helper()
	if err := s.Write(t.Context(), key, strings.NewReader(text), int64(len(text)), sha256.Sum256([]byte(text))); err != nil {
		t.Fatal(err)
	}
}

func pack(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func config(s *buckettest.Server) Config {
	c := Default()
	b := s.Config("")
	c.Bucket, c.Region, c.Endpoint, c.PathStyle, c.AccessKey, c.SecretKey = b.Name, b.Region, b.Endpoint, b.PathStyle, b.AccessKey, b.SecretKey
	c.Every = conf.Duration(100 * time.Millisecond)
	return c
}

func TestReadsEachObjectOnce(t *testing.T) {
	s := serve(t)
	store := s.Store("")
	put(t, store, "logs/a.log", "one\ntwo\n")
	put(t, store, "logs/b.log.gz", pack(t, "three\na bad one\nfour"))
	put(t, store, "other/c.log", "not read\n")
	put(t, store, "logs/wrong.log", "bad\nbad\n")
	c := config(s)
	c.Prefix = "logs/"
	feed, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := transporttest.Start(t, feed, nil)
	r.Want("one", "two", "three", "four")
	r.Await("the report", func(_ []string, c source.Counts, _ string, wrong error) bool {
		return c.Malformed == 3 && wrong != nil && strings.Contains(wrong.Error(), "wrong.log") && strings.Contains(wrong.Error(), "none of its 2 records")
	})
	put(t, store, "logs/d.log", "five\n") // appears while it runs
	r.Want("one", "two", "three", "four", "five")
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	put(t, store, "logs/e.log", "six\n") // and while nobody reads
	again := transporttest.Start(t, feed, r.Places)
	again.Want("six")
	put(t, store, "logs/e.log", "six\nand more\n") // replaced
	again.Want("six", "six", "and more")
}

func TestDates(t *testing.T) {
	r := run{Prefix: &Prefix{Config{Prefix: "AWSLogs/1/%Y/%m/%d/", Since: conf.Duration(48 * time.Hour)}}}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if got, want := r.prefixes(now), []string{"AWSLogs/1/2026/02/27/", "AWSLogs/1/2026/02/28/", "AWSLogs/1/2026/03/01/"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	r.conf.Prefix = "all/"
	if got := r.prefixes(now); !slices.Equal(got, []string{"all/"}) {
		t.Errorf("%v", got)
	}
}

func TestObjects(t *testing.T) {
	s := serve(t)
	put(t, s.Store(""), "logs/a.log", "one\n")
	put(t, s.Store(""), "logs/b.log", "two\n")
	c := s.Config("")
	t.Setenv("AWS_ENDPOINT_URL", c.Endpoint)
	t.Setenv("AWS_REGION", c.Region)
	t.Setenv("AWS_ACCESS_KEY_ID", buckettest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", buckettest.SecretKey)
	root := "s3://" + c.Name + "/logs/"
	names, open, err := Objects(t.Context(), root)
	if err != nil || !slices.Equal(names, []string{root + "a.log", root + "b.log"}) {
		t.Fatalf("%v, %v", names, err)
	}
	body, err := open(t.Context(), names[1])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || string(b) != "two\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, _, err := Objects(t.Context(), "s3://"+c.Name+"/nothing/"); err == nil || !strings.Contains(err.Error(), "no object") {
		t.Errorf("%v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if _, _, err := Objects(t.Context(), root); err == nil {
		t.Error("a wrong secret was no error")
	}
}

func TestConfigRefuses(t *testing.T) {
	for i, change := range []func(*Config){
		func(c *Config) { c.Bucket = "" },
		func(c *Config) { c.Bucket = "No Bucket" },
		func(c *Config) { c.Prefix = "logs/%H/" },
		func(c *Config) { c.Since = conf.Duration(time.Minute) },
		func(c *Config) { c.Every = 0 },
		func(c *Config) { c.Endpoint = "http://192.0.2.1" },
		func(c *Config) { c.AccessKey = "a" },
	} {
		c := Default()
		c.Bucket = "logs"
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("case %d: accepted", i)
		}
	}
}
