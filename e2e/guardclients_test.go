package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/gateway"
	"bartizan/internal/guard/wire"
	"bartizan/internal/safe/porttest"
)

// guardClients are the programs of e2e/npm/guard.mjs.
var guardClients = []string{"openai", "responses", "aiChat", "aiResponses", "aiAnthropic", "anthropic", "bedrock", "bedrockInvoke", "gemini", "ollama"}

// TestGuardClients: the providers' own clients get through the guard what they get
// without it, whole and streamed, as text, tool calls and structured output. What has a
// canary in it never arrives: not in the client's objects and not in the bytes that come
// from the guard, also when the model sends it in pieces. The client raises an
// error that says why, and the audit line says what was done.
func TestGuardClients(t *testing.T) {
	t.Parallel()
	need(t, "node")
	npm := clientsFolder(t)
	model := newModelServer(t)
	g := newGuard(t, model.URL)
	model.arrived = g.tap.arrived
	for _, client := range guardClients {
		t.Run(client, func(t *testing.T) {
			direct := runClient(t, npm, model.URL, "none", client)
			before := len(g.audit(t))
			g.tap.reset()
			guarded := runClient(t, npm, g.url, g.key, client)
			if len(direct) != 12 || len(guarded) != 12 {
				t.Fatalf("%d and %d exchanges, want 12", len(direct), len(guarded))
			}
			bodies := g.tap.bodies()
			lines := g.audit(t)[before:]
			if len(lines) != 12 || len(bodies) != 12 {
				t.Fatalf("%d audit lines and %d answers of the guard, want 12", len(lines), len(bodies))
			}
			for i, d := range direct {
				t.Run(d.name(), func(t *testing.T) { compare(t, d, guarded[i], lines[i], bodies[i]) })
			}
		})
	}
}

// TestGuardEndsStreams: where the guard stops a stream in the middle, every client raises an
// error that says why. The model's server ends streams here with the format's own end.
func TestGuardEndsStreams(t *testing.T) {
	t.Parallel()
	need(t, "node")
	npm := clientsFolder(t)
	model := newModelServer(t)
	model.stop = &wire.Refusal{Message: "this answer was stopped", Code: "blocked_by_guard", ID: "01REC"}
	for _, client := range guardClients {
		t.Run(client, func(t *testing.T) {
			streams := 0
			for _, e := range runClient(t, npm, model.URL, "none", client) {
				if !e.Stream {
					continue
				}
				streams++
				if e.Error == nil || !strings.Contains(e.Error.Message, "this answer was stopped (record 01REC)") {
					t.Errorf("%s: error %+v, result %s", e.name(), e.Error, e.Result)
				}
			}
			if streams != 6 {
				t.Errorf("%d streams, want 6", streams)
			}
		})
	}
}

// clientsFolder is where the clients are installed.
func clientsFolder(t *testing.T) string {
	t.Helper()
	npm, err := filepath.Abs("npm")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"openai", "ai", "@anthropic-ai/sdk", "@aws-sdk/client-bedrock-runtime", "@google/genai", "ollama"} {
		if _, err := os.Stat(filepath.Join(npm, "node_modules", dir)); err != nil {
			lack(t, "the %s client is not there: npm ci --prefix e2e/npm", dir)
		}
	}
	return npm
}

// exchange is one line of the client's report.
type exchange struct {
	Kind   string
	Stream bool
	What   string
	Result json.RawMessage
	Error  *struct {
		Name    string
		Status  int
		Message string
	}
}

func (e exchange) name() string {
	return fmt.Sprintf("%s/%s/%s", e.Kind, map[bool]string{true: "stream", false: "whole"}[e.Stream], e.What)
}

func compare(t *testing.T, direct, guarded exchange, line gateway.Record, body string) {
	if direct.Error != nil {
		t.Fatalf("straight to the model: %+v", *direct.Error)
	}
	if line.Stream != direct.Stream {
		t.Errorf("the audit line says stream %v", line.Stream)
	}
	if direct.What == "plain" {
		if guarded.Error != nil {
			t.Fatalf("through the guard: %+v\naudit: %+v", *guarded.Error, line)
		}
		var a, b any
		if json.Unmarshal(direct.Result, &a) != nil || json.Unmarshal(guarded.Result, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("straight: %s\nguarded:  %s\naudit: %+v\nbody: %s", direct.Result, guarded.Result, line, body)
		}
		if line.Outcome != gateway.Forwarded || line.Action == gateway.Block || line.Usage == nil || len(line.Unknown) > 0 {
			t.Errorf("audit line: %+v", line)
		}
		return
	}
	plain := strings.ReplaceAll(string(direct.Result), `\"`, `"`)
	if !direct.Stream && !strings.Contains(plain, leakCanary) {
		t.Fatalf("the model did not say the canary: %s", direct.Result)
	}
	if guarded.Error == nil {
		t.Fatalf("no error: %s", guarded.Result)
	}
	if !strings.Contains(guarded.Error.Message, "record "+line.ID.String()) && !strings.Contains(guarded.Error.Message, line.ID.String()) {
		t.Errorf("the client's error does not name the record %s: %+v", line.ID, *guarded.Error)
	}
	if !direct.Stream && guarded.Error.Status != 0 && guarded.Error.Status != line.Status {
		t.Errorf("the client saw status %d, the audit line has %d", guarded.Error.Status, line.Status)
	}
	for where, text := range map[string]string{"the client's objects": string(guarded.Result) + guarded.Error.Message, "the bytes of the guard": body} {
		for _, piece := range []string{leakCanary, "canary", "7-ca", "nary-", "4411"} {
			if strings.Contains(text, piece) {
				t.Errorf("%q arrived in %s: %s", piece, where, text)
			}
		}
	}
	if line.Action != gateway.Block || line.Category != "secret" || line.Code != "blocked_by_guard" {
		t.Errorf("audit line: %+v", line)
	}
}

func runClient(t *testing.T, npm, base, key, client string) []exchange {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join(npm, "guard.mjs"), base, key, client)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AI_SDK_LOG_WARNINGS=false"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", client, err, stderr.String())
	}
	var got []exchange
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v\n%.500s", client, err, out)
	}
	return got
}

// guardUnderTest is "bartizan guard serve" with a route for every format.
type guardUnderTest struct {
	url, key, file string
	tap            *tap
}

func newGuard(t *testing.T, upstream string) *guardUnderTest {
	t.Helper()
	dir := t.TempDir()
	listen := "127.0.0.1:" + porttest.Free(t, "tcp", 1)[0]
	var config strings.Builder
	fmt.Fprintf(&config, "gateway:\n  listen: %s\n  routes:\n", listen)
	for _, format := range []string{"openai", "responses", "anthropic", "bedrock", "gemini", "ollama"} {
		fmt.Fprintf(&config, "    %s:\n      upstream: %s/%s\n      options: {secret: {canaries: [%s]}}\n", format, upstream, format, leakCanary)
	}
	file := filepath.Join(dir, "guard.yaml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(words ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), program(), append(words, "--config", file, "--data", filepath.Join(dir, "data"))...)
	}
	out, err := run("guard", "key", "create", "e2e").CombinedOutput()
	if err != nil {
		t.Fatalf("make a key: %v\n%s", err, out)
	}
	key := regexp.MustCompile(`(?m)^bzg_\S+$`).FindString(string(out))
	serve := run("guard", "serve")
	serve.Cancel = func() error { return serve.Process.Signal(os.Interrupt) }
	serve.WaitDelay = 20 * time.Second
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	serve.Stderr = &stderr
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serve.Wait() })
	for lines := bufio.NewScanner(stdout); ; {
		if !lines.Scan() {
			t.Fatalf("the guard did not start: %v\n%s", lines.Err(), stderr.String())
		}
		if strings.Contains(lines.Text(), listen) {
			break
		}
	}
	to, err := url.Parse("http://" + listen)
	if err != nil {
		t.Fatal(err)
	}
	g := &guardUnderTest{key: key, file: filepath.Join(dir, "data", "gateway", "audit.jsonl"), tap: newTap(t, to)}
	g.url = g.tap.URL
	return g
}

// audit is the lines so far.
func (g *guardUnderTest) audit(t *testing.T) (out []gateway.Record) {
	t.Helper()
	data, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var r gateway.Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// tap stands between client and guard and keeps what the guard sends.
type tap struct {
	*httptest.Server
	arrived chan struct{}
	mu      sync.Mutex
	seen    []*bytes.Buffer
}

func newTap(t *testing.T, to *url.URL) *tap {
	p := &tap{arrived: make(chan struct{}, 1)}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	proxy.ModifyResponse = func(r *http.Response) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		b := &bytes.Buffer{}
		p.seen = append(p.seen, b)
		r.Body = &tapped{r.Body, b, p}
		return nil
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Go's server closes a request's body with the first byte of the answer, which may come before the body's end was read.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

type tapped struct {
	from interface {
		Read([]byte) (int, error)
		Close() error
	}
	to  *bytes.Buffer
	tap *tap
}

func (b *tapped) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.tap.mu.Lock()
	defer b.tap.mu.Unlock()
	b.to.Write(p[:n])
	select {
	case b.tap.arrived <- struct{}{}:
	default:
	}
	return n, err
}

func (b *tapped) Close() error { return b.from.Close() }

func (p *tap) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}

// bodies are the answers since the reset, with what is base64 in them decoded behind.
func (p *tap) bodies() (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	inside := regexp.MustCompile(`"bytes":"([A-Za-z0-9+/=]+)"`)
	for _, b := range p.seen {
		text := b.String()
		for _, m := range inside.FindAllStringSubmatch(text, -1) {
			if raw, err := base64.StdEncoding.DecodeString(m[1]); err == nil {
				text += string(raw)
			}
		}
		out = append(out, text)
	}
	return out
}
