package push

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"bartizan/internal/conf"
	"bartizan/internal/safe/porttest"
	"bartizan/internal/source"
	"bartizan/internal/source/transport/transporttest"
)

const secret = "0123456789abcdef0123"

func start(t *testing.T, change func(*Config)) (*transporttest.Running, string) {
	t.Helper()
	addr := net.JoinHostPort("127.0.0.1", porttest.Free(t, "tcp", 1)[0])
	c := Default()
	c.Listen, c.Token = addr, conf.NewSecret(secret)
	if change != nil {
		change(&c)
	}
	feed, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := transporttest.Start(t, feed, nil)
	r.Ready()
	return r, "http://" + addr + "/"
}

// post gives the status; it goes on until the server listens.
func post(t *testing.T, method, url, token string, body io.Reader) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(text)
}

func pack(t *testing.T, s string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestPosts(t *testing.T) {
	r, url := start(t, nil)
	if code, text := post(t, "POST", url, secret, strings.NewReader("one\na bad one\ntwo")); code != 200 || !strings.Contains(text, `"records":3,"malformed":1`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := post(t, "POST", url, secret, pack(t, "three\nfour\n")); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	r.Want("one", "two", "three", "four")
	r.Await("the counts", func(_ []string, c source.Counts, _ string, _ error) bool { return c.Records == 5 && c.Malformed == 1 })
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	r, url := start(t, func(c *Config) { c.Bytes = 1000 })
	for _, c := range []struct {
		method, token, body string
		packed              bool
		status              int
		says                string
	}{
		{"POST", "", "one\n", false, 401, "token"},
		{"POST", "wrong-wrong-wrong-wrong", "one\n", false, 401, "token"},
		{"GET", secret, "", false, 405, "POST"},
		{"POST", secret, "bad\nbad\n", false, 400, "none of the 2 records could be read as words"},
		{"POST", secret, strings.Repeat("bad bad bad\n", 1000), false, 413, "larger than"},
		{"POST", secret, strings.Repeat("bad bad bad\n", 100000), true, 413, "larger than"},
		{"POST", secret, "\x1f\x8b\x08 cut", false, 400, "to its end"},
	} {
		var body io.Reader = strings.NewReader(c.body)
		if c.packed {
			body = pack(t, c.body)
		}
		if code, text := post(t, c.method, url, c.token, body); code != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s %.20q: %d %s", c.method, c.body, code, text)
		}
	}
	r.Await("nothing", func(got []string, _ source.Counts, _ string, _ error) bool { return len(got) == 0 })
}

func TestFailureToStoreIsSaid(t *testing.T) {
	r, url := start(t, nil)
	broken := errors.New("no room")
	r.Refuse(broken)
	if code, text := post(t, "POST", url, secret, strings.NewReader("one\n")); code != 503 {
		t.Errorf("%d %s", code, text)
	}
	if err := r.Ended(); !errors.Is(err, broken) {
		t.Errorf("ended with %v", err)
	}
}

func TestConfigRefuses(t *testing.T) {
	for i, change := range []func(*Config){
		func(c *Config) { c.Listen = "localhost:80" },
		func(c *Config) { c.Listen = "0.0.0.0:5580" },
		func(c *Config) { c.Token = conf.NewSecret("short") },
		func(c *Config) { c.Cert = "a.pem" },
		func(c *Config) { c.Bytes = 0 },
		func(c *Config) { c.Time = 0 },
		func(c *Config) { c.Conns = 0 },
	} {
		c := Default()
		c.Token = conf.NewSecret(secret)
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("case %d: accepted", i)
		}
	}
}
