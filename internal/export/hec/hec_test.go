package hec_test

import (
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/export"
	"bartizan/internal/export/exporttest"
	"bartizan/internal/export/hec"
)

const token = "11111111-2222-3333-4444-555555555555"

// collector is an own HTTP server that reads requests as Splunk documents the
// collector to: it is not Splunk.
type collector struct {
	t   *testing.T
	srv *httptest.Server

	mu       sync.Mutex
	down     bool
	most     int // bytes of a body that are taken; 0: any
	requests int
	bodies   []int
	headers  http.Header
	first    map[string]any
	events   [][]byte
}

func start(t *testing.T, change func(*hec.Config)) (export.Sink, *collector) {
	c := &collector{t: t}
	c.srv = httptest.NewTLSServer(c)
	t.Cleanup(c.srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	k := hec.Default()
	k.URL, k.Token, k.CA, k.Host = c.srv.URL, conf.NewSecret(token), ca, "node1"
	if change != nil {
		change(&k)
	}
	s, err := hec.New(k)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.headers = r.Header
	answer := func(status, code int, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"text":%q,"code":%d}`, text, code)
	}
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			answer(400, 6, "Invalid data format")
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	switch {
	case err != nil:
		answer(400, 6, "Invalid data format")
		return
	case r.Method != "POST" || r.URL.Path != "/services/collector/event":
		answer(404, 404, "Not found")
		return
	case r.Header.Get("Authorization") != "Splunk "+token:
		answer(403, 4, "Invalid token")
		return
	case c.down:
		answer(503, 9, "Server is busy")
		return
	case c.most > 0 && len(body) > c.most:
		answer(413, 0, "Content too large")
		return
	}
	c.bodies = append(c.bodies, len(body))
	var batch [][]byte
	for d := json.NewDecoder(strings.NewReader(string(body))); ; {
		var e struct {
			Event json.RawMessage `json:"event"`
		}
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err = errors.Join(err, json.Unmarshal(raw, &e)); err != nil || len(e.Event) == 0 {
			answer(400, 12, "Event field is required")
			return
		}
		if c.first == nil {
			c.t.Logf("first envelope: %.200s", raw)
			if err := json.Unmarshal(raw, &c.first); err != nil {
				c.t.Error(err)
			}
		}
		batch = append(batch, []byte(e.Event))
	}
	c.events = append(c.events, batch...)
	answer(200, 0, "Success")
}

func (c *collector) Events() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.events...)
}

func (c *collector) set(down bool) { c.mu.Lock(); c.down = down; c.mu.Unlock() }
func (c *collector) Down()         { c.set(true) }
func (c *collector) Up()           { c.set(false) }

func TestSink(t *testing.T) {
	for _, zip := range []bool{true, false} {
		t.Run(fmt.Sprintf("gzip %v", zip), func(t *testing.T) {
			exporttest.Run(t, exporttest.Options{}, func(t *testing.T) (export.Sink, exporttest.Receiver) {
				return start(t, func(k *hec.Config) { k.Gzip = zip })
			})
		})
	}
}

func TestEnvelope(t *testing.T) {
	s, c := start(t, func(k *hec.Config) { k.Index = "honey" })
	if _, err := s.Send(t.Context(), exporttest.Events(1)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"time": 1795741323.456, "host": "node1", "source": "bartizan", "sourcetype": "ocsf:signal", "index": "honey"} {
		if c.first[name] != want {
			t.Errorf("%s is %v, want %v", name, c.first[name], want)
		}
	}
}

// TestSizes: requests stay under the batch size, a receiver that takes less gets
// less, and what it can never take is counted.
func TestSizes(t *testing.T) {
	s, c := start(t, func(k *hec.Config) { k.Batch = 20 << 10 })
	if _, err := s.Send(t.Context(), exporttest.Events(100)); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.bodies {
		if n > 20<<10 {
			t.Errorf("a request of %d bytes", n)
		}
	}
	if len(c.events) != 100 || len(c.bodies) < 4 {
		t.Errorf("%d events in %d requests", len(c.events), len(c.bodies))
	}
	s, c = start(t, nil)
	c.most = 5000
	left, err := s.Send(t.Context(), exporttest.Events(20)) // two of them have 9000 bytes
	if err != nil || left != 2 || len(c.events) != 18 {
		t.Errorf("%d left out, %v; %d arrived", left, err, len(c.events))
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{403, `{"text":"Invalid token","code":4}`, "check the token"},
		{200, `{"text":"Server is busy","code":9}`, "code 9"},
		{200, "\n<!DOCTYPE html><title>Log in</title>", "a web page answers, no collector"},
		{302, ``, "302 Found: it names http://127.0.0.1:1/, and redirects are not followed"},
		{500, "\x1b[2Jsecret\n", "secret"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		k := hec.Default()
		k.URL, k.Token = srv.URL, conf.NewSecret(token)
		s, err := hec.New(k)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Send(t.Context(), exporttest.Events(1))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\x1b\n") || strings.Contains(err.Error(), token) {
			t.Errorf("status %d: %v, want %q", c.status, err, c.want)
		}
		srv.Close()
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
	}))
	defer srv.Close()
	k := hec.Default()
	k.URL = srv.URL
	s, err := hec.New(k)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Send(t.Context(), exporttest.Events(1))
	var later *export.LaterError
	if !errors.As(err, &later) || later.After != 7*time.Second {
		t.Errorf("429: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for bad, change := range map[string]func(*hec.Config){
		"http:// or":     func(k *hec.Config) { k.URL = "splunk.example:8088" },
		"user or passw":  func(k *hec.Config) { k.URL = "https://u:p@splunk.example:8088" },
		"timeout":        func(k *hec.Config) { k.Timeout = 0 },
		"batch":          func(k *hec.Config) { k.Batch = 1 },
		"read ca":        func(k *hec.Config) { k.CA = "/nonexistent/ca.pem" },
		"no certificate": func(k *hec.Config) { k.CA = "/dev/null" },
	} {
		k := hec.Default()
		k.URL = "https://splunk.example:8088"
		change(&k)
		if _, err := hec.New(k); err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(bad, "http:// or", "must be http")) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestStranger: a collector whose certificate is not trusted is sent nothing.
func TestStranger(t *testing.T) {
	s, c := start(t, func(k *hec.Config) { k.CA = "" })
	if _, err := s.Send(t.Context(), exporttest.Events(1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	if c.requests != 0 {
		t.Error("it got a request")
	}
}
