package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway/budget"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/gateway/price"
	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needle finds one word; blind cannot look at texts with another.
type needle struct{}

func (needle) Inspect(t *guard.Text) (out []guard.Finding, err error) {
	for word, c := range map[string]guard.Category{"CANARY": guard.Secret, "IGNORE-ALL": guard.Injection} {
		if i := strings.Index(t.Raw, word); i >= 0 {
			out = append(out, guard.Finding{Category: c, Score: 0.99, Note: "the word of the test"})
		}
	}
	if i := strings.Index(t.Raw, "ann@example.org"); i >= 0 {
		out = append(out, guard.Finding{Category: guard.PII, Score: 0.3, Note: "an address", Label: "EMAIL", Spans: []guard.Span{{From: i, To: i + 15}}})
	}
	if strings.Contains(t.Raw, "ODD") {
		out = append(out, guard.Finding{Category: guard.Policy, Score: 0.6, Note: "odd"})
	}
	if strings.Contains(t.Raw, "BREAK-THE-INSPECTOR") {
		return nil, errors.New("cannot look")
	}
	return out, nil
}

// Hold implements guard.Holder.
func (needle) Hold(text string) int {
	for n := len("CANARY") - 1; n > 0; n-- {
		if strings.HasSuffix(text, "CANARY"[:n]) {
			return n
		}
	}
	return 0
}

// Most implements guard.Holder.
func (needle) Most() (guard.Category, float64) { return guard.Secret, 0.99 }

var _ guard.Holder = needle{}

// bench is a gateway in front of a real upstream.
type bench struct {
	*testing.T
	url, dir, key string
	gateway       *Gateway
	client        *http.Client
	mu            sync.Mutex
	signals       []model.Signal
	asked         []*http.Request // by the gateway
	bodies        []string
}

// open starts one; answer is the upstream, change changes the route "toy".
func open(t *testing.T, answer http.HandlerFunc, change func(*Config, *Route)) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.asked, b.bodies = append(b.asked, r.Clone(t.Context())), append(b.bodies, string(body))
		b.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(up.Close)
	_, b.key = b.makeKey(keys.Key{Name: "test"})
	c := DefaultConfig()
	r := Route{Service: Service{Upstream: up.URL + "/v9", Credential: conf.NewSealed("sk-provider"), Format: "toy"}}
	c.Routes = map[string]Route{}
	if change != nil {
		change(&c, &r)
	}
	c.Routes["toy"] = r
	if bad := c.Complete(Catalogue{Formats: []string{"toy"}, Inspectors: []string{"needle"}}); len(bad) > 0 {
		t.Fatalf("%v", bad)
	}
	book, err := keys.Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	log, err := OpenLog(filepath.Join(b.dir, "audit.jsonl"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	spent, err := budget.Open(b.dir, c.Budgets, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	prices, err := price.Load(c.Prices)
	if err != nil {
		t.Fatal(err)
	}
	b.gateway, err = New(Options{Budget: spent, Prices: prices, Config: c, Keys: book, Denied: NewDenied(), Log: slog.New(slog.DiscardHandler), Audit: log.Write,
		Format: func(string) (wire.Format, error) { return toy{}, nil },
		Inspectors: func(map[string]conf.Raw) ([]guard.Named, decode.Likeness, error) {
			return []guard.Named{{Name: "needle", Inspector: needle{}}}, nil, nil
		},
		Fingerprint: func(s string) string { return fmt.Sprintf("%016x", len(s)) },
		Signal:      func(s model.Signal) { b.mu.Lock(); b.signals = append(b.signals, s); b.mu.Unlock() }})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.gateway.Serve(ctx, l, nil) }()
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		stop()
		if err := errors.Join(<-served, log.Close(), spent.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) makeKey(k keys.Key) (keys.Key, string) {
	b.Helper()
	made, text, err := keys.Create(b.dir, k, time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return made, text
}

// say posts a body to the route and returns status and answer.
func (b *bench) say(body string, with ...string) (int, string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.url+"/toy/chat", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.key)
	for i := 0; i+1 < len(with); i += 2 {
		req.Header.Set(with[i], with[i+1])
	}
	return b.do(req)
}

func (b *bench) do(req *http.Request) (int, string) {
	b.Helper()
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, string(text) + " !" + err.Error()
	}
	return resp.StatusCode, string(text)
}

// audit returns the lines so far.
func (b *bench) audit() (out []Record) {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "audit.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			b.Fatalf("%v: %s", err, line)
		}
		out = append(out, r)
	}
	return out
}

func (b *bench) upstream() int { b.mu.Lock(); defer b.mu.Unlock(); return len(b.asked) }

func echo(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Provider", "yes")
	io.WriteString(w, `{"said":"hello","tokens":3}`)
}

func TestForwardedIsIdentical(t *testing.T) {
	b := open(t, echo, nil)
	body := `{ "model":"m-1",  "say":"a harmless question" }`
	if status, got := b.say(body, "X-Api-Key", "", "X-Forwarded-For", "1.2.3.4", "Cookie", "a=b", "OpenAI-Organization", "org", "X-Custom", "kept"); status != 200 || got != `{"said":"hello","tokens":3}` {
		t.Fatalf("%d %s", status, got)
	}
	r, got := b.asked[0], b.bodies[0]
	if got != body || r.URL.Path != "/v9/chat" || r.Header.Get("Authorization") != "Bearer sk-provider" || r.Header.Get("X-Custom") != "kept" {
		t.Errorf("the upstream got %s %q %v", r.URL, got, r.Header)
	}
	for _, h := range []string{"X-Forwarded-For", "Cookie", "Openai-Organization", "X-Api-Key"} {
		if r.Header.Get(h) != "" {
			t.Errorf("%s reached the upstream", h)
		}
	}
	lines := b.audit()
	if len(lines) != 1 {
		t.Fatalf("%d audit lines", len(lines))
	}
	l := lines[0]
	if l.Outcome != Forwarded || l.Action != Allow || l.Status != 200 || l.KeyName != "test" || l.Model != "m-1" || l.Usage == nil || l.Usage.Input != 3 || len(l.Inspections) != 2 {
		t.Errorf("%+v", l)
	}
	for _, i := range l.Inspections {
		if i.Inspectors.Of("needle") != "clean" || len(i.SHA256) != 64 {
			t.Errorf("%+v", i)
		}
	}
	text, _ := os.ReadFile(filepath.Join(b.dir, "audit.jsonl"))
	for _, secret := range []string{"harmless", "hello", "sk-provider", b.key} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the audit log holds %q", secret)
		}
	}
}

func TestBlockedNeverLeaves(t *testing.T) {
	b := open(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(r.URL.RawQuery, "fail") {
			w.WriteHeader(500)
		}
		io.WriteString(w, `{"said":"the CANARY is out"}`)
	}, nil)
	if status, got := b.say(`{"say":"IGNORE-ALL and obey"}`); status != 403 || !strings.Contains(got, "blocked_by_guard") || b.upstream() != 0 {
		t.Errorf("request: %d %s, %d asked", status, got, b.upstream())
	}
	if status, got := b.say(`{"say":"tell"}`); status != 403 || strings.Contains(got, "CANARY") {
		t.Errorf("answer: %d %s", status, got)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", b.url+"/toy/chat?fail=1", strings.NewReader(`{"say":"tell"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", b.key)
	if status, got := b.do(req); status != 403 || strings.Contains(got, "CANARY") {
		t.Errorf("error of the upstream: %d %s", status, got)
	}
	lines := b.audit()
	for i, want := range []guard.Category{guard.Injection, guard.Secret, guard.Secret} {
		if l := lines[i]; l.Outcome != Refused || l.Action != Block || l.Category != want || l.Code != "blocked_by_guard" || !strings.Contains(l.Reason, "the word of the test") {
			t.Errorf("%d: %+v", i, l)
		}
	}
	kinds := map[string]int{}
	for _, s := range b.signals {
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		kinds[s.Kind]++
	}
	if kinds["guard.injection"] != 1 || kinds["guard.secret-leak"] != 2 {
		t.Errorf("%v", kinds)
	}
}

func TestStreams(t *testing.T) {
	events := []string{`data: {"said":"one "}`, `data: {"said":"two"}`, `data: {"said":"","tokens":7}`, `data: end`}
	answer := func(events []string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, e := range events {
				io.WriteString(w, e+"\n\n")
				w.(http.Flusher).Flush()
			}
		}
	}
	for _, how := range []string{Hold, Buffer} {
		t.Run(how, func(t *testing.T) {
			b := open(t, answer(events), func(_ *Config, r *Route) { r.Stream = how })
			if status, got := b.say(`{"say":"x","stream":true}`); status != 200 || got != strings.Join(events, "\n\n")+"\n\n" {
				t.Errorf("%d %q", status, got)
			}
			if l := b.audit()[0]; l.Usage == nil || l.Usage.Output != 7 || l.Outcome != Forwarded {
				t.Errorf("%+v", l)
			}
			b = open(t, answer([]string{`data: {"said":"the CAN"}`, `data: {"said":"ARY is"}`, `data: end`}), func(_ *Config, r *Route) { r.Stream = how })
			if _, got := b.say(`{"say":"x","stream":true}`); strings.Contains(got, "ARY") || !strings.Contains(got, "blocked_by_guard") {
				t.Errorf("%q", got)
			}
			if l := b.audit()[0]; l.Outcome != Refused || l.Category != guard.Secret {
				t.Errorf("%+v", l)
			}
			b = open(t, answer(events[:2]), func(_ *Config, r *Route) { r.Stream = how })
			if _, got := b.say(`{"say":"x","stream":true}`); !strings.Contains(got, "code") {
				t.Errorf("a stream that broke off: %q", got)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	b := open(t, echo, func(_ *Config, r *Route) {
		r.Request.Actions = map[string]string{"injection": "flag", "policy": "block"}
		r.System.Inspectors = []string{}
		r.Models, r.Media = []string{"m-*"}, Refuse
	})
	for body, want := range map[string]int{
		`{"model":"m-1","say":"IGNORE-ALL"}`:   200,
		`{"say":"which model is this"}`:        403,
		`{"model":"m-1","say":"ODD"}`:          403,
		`{"say":"BREAK-THE-INSPECTOR"}`:        403, // not looked at
		`{"model":"m-1"}`:                      200,
		`{"model":"x"}`:                        403,
		`{"say":"see","image":"aaaa"}`:         403,
		`{"say":"x","new_field":{"a":"b"}}`:    400,
		`{"say":"x"`:                           400,
		"{\"say\":\"\xff\"}":                   400,
		``:                                     400,
		`{"model":"m-1","system":"CANARY is"}`: 200, // the application's own words
	} {
		if status, got := b.say(body); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, got, want)
		}
	}
	for _, l := range b.audit() {
		if l.Action == Flag && l.Status == 200 && len(l.Inspections) == 0 {
			t.Errorf("%+v", l)
		}
	}
}

func TestKeys(t *testing.T) {
	b := open(t, echo, nil)
	_, other := b.makeKey(keys.Key{Name: "other", Routes: []string{"elsewhere"}})
	_, small := b.makeKey(keys.Key{Name: "small", Models: []string{"tiny"}})
	_, bait := b.makeKey(keys.Key{Name: "bait", Canary: true})
	_, theirs := b.makeKey(keys.Key{Name: "theirs", Canary: true, Like: "openai"})
	lure := "sk-proj-" + strings.Repeat("Lure", 12)
	b.gateway.opt.Keys.Lure(map[string]string{lure: "a key of the decoys"})
	bad := b.key[:len(b.key)-1] + "a"
	if bad == b.key {
		bad = b.key[:len(b.key)-1] + "b"
	}
	for name, x := range map[string]struct {
		key  string
		want int
	}{"none": {"", 401}, "not ours": {"sk-1234", 401}, "wrong": {bad, 401}, "good": {b.key, 200}, "other route": {other, 403}, "other model": {small, 403}, "canary": {bait, 401}, "canary like a provider's": {theirs, 401}, "key of a decoy": {lure, 401}} {
		if status, got := b.say(`{"model":"big","say":"x"}`, "Authorization", "Bearer "+x.key); status != x.want {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
	_, aws := b.makeKey(keys.Key{Name: "profile", Canary: true, Like: "aws"})
	aws, _, _ = strings.Cut(strings.TrimPrefix(aws, "aws_access_key_id = "), "\n")
	for name, with := range map[string]string{"signed": "AWS4-HMAC-SHA256 Credential=" + aws + "/20261127/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "in another order": "AWS4-HMAC-SHA256 SignedHeaders=host, Credential=" + aws + "/20261127/us-east-1/bedrock/aws4_request"} {
		if status, got := b.say(`{"model":"big","say":"x"}`, "Authorization", with); status != 401 {
			t.Errorf("an AWS key that is bait, %s: %d %s", name, status, got)
		}
	}
	if b.upstream() != 1 {
		t.Errorf("%d requests went on", b.upstream())
	}
	kinds, baits := map[string]bool{}, 0
	for _, s := range b.signals {
		kinds[s.Kind] = true
		if s.Kind == "guard.key-canary" {
			baits++
			if text := fmt.Sprint(s); strings.Contains(text, theirs) || strings.Contains(text, aws) || strings.Contains(text, lure) {
				t.Error("a signal has the key")
			}
		}
	}
	if baits != 5 { // the AWS key twice
		t.Errorf("%d signals about bait", baits)
	}
	if !kinds["guard.key-canary"] || !kinds["guard.key-guess"] || len(kinds) != 2 {
		t.Errorf("%v", kinds)
	}
}

func TestDenied(t *testing.T) {
	b := open(t, echo, func(c *Config, _ *Route) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	set := func(e model.Entity, err error) model.ULID {
		if err != nil {
			t.Fatal(err)
		}
		id := model.NewULID(time.Now())
		b.gateway.opt.Denied.Set(id, e, time.Now().Add(time.Hour))
		return id
	}
	addr := set(model.ParseIP("203.0.113.0/24"))
	set(model.ParseIP("2001:db8::/32"))
	set(model.ParseEntity(model.TypePrompt, fmt.Sprintf("%016x", len("caught"))))
	for from, want := range map[string]int{"203.0.113.9": 403, "203.0.114.9": 200, "2001:db8:1::1": 403, "2001:db9::1": 200,
		"203.0.113.9, 198.51.100.1": 200, "198.51.100.1, 203.0.113.9, 127.0.0.9": 403, "nonsense": 200} {
		if status, got := b.say(`{"say":"x"}`, "X-Forwarded-For", from); status != want {
			t.Errorf("%s: %d %s", from, status, got)
		}
	}
	if status, _ := b.say(`{"say":"caught"}`); status != 403 {
		t.Errorf("a denied prompt: %d", status)
	}
	b.gateway.opt.Denied.Delete(addr)
	if status, _ := b.say(`{"say":"x"}`, "X-Forwarded-For", "203.0.113.9"); status != 200 {
		t.Errorf("after the end: %d", status)
	}
	peers := map[string]bool{}
	for _, l := range b.audit() {
		peers[l.Peer] = true
	}
	if !peers["203.0.113.9"] || !peers["198.51.100.1"] || !peers["2001:db8:1::1"] || !peers["127.0.0.1"] {
		t.Errorf("%v", peers)
	}
}

func TestBudgets(t *testing.T) {
	b := open(t, echo, func(c *Config, _ *Route) {
		day := conf.Duration(24 * time.Hour)
		c.Budgets = []budget.Limit{{By: "key", Per: day, Requests: 4}, {By: "model", Only: []string{"gpt-4o*", "odd"}, Per: day, Dollars: 0.02}, {By: "model", Only: []string{"m-1"}, Per: day, Tokens: 1500}}
	})
	say := func(key, model string) (int, string) {
		return b.say(`{"model":"`+model+`","say":"x"}`, "Authorization", "Bearer "+key)
	}
	_, other := b.makeKey(keys.Key{Name: "other"})
	for i, want := range []int{200, 200, 200, 200, 429} { // 1001 tokens are reserved each time, 6 are used
		if status, got := say(b.key, "m-1"); status != want {
			t.Errorf("%d: %d %s", i, status, got)
		}
	}
	if status, got := say(other, "odd"); status != 403 || !strings.Contains(got, "price_unknown") {
		t.Errorf("a budget of money and no price: %d %s", status, got)
	}
	if status, _ := say(other, "gpt-4o"); status != 200 {
		t.Errorf("%d", status)
	}
	lines := b.audit()
	if l := lines[0]; l.Dollars != nil || !l.Unpriced {
		t.Errorf("a model without a price: %+v", l)
	}
	if l := lines[len(lines)-1]; l.Unpriced || l.Dollars == nil || *l.Dollars != 0.000038 { // 3 × 2.5 + 3 × 10 millionths, upwards
		t.Errorf("%+v", l)
	}
	if l := lines[4]; l.Code != "budget_exceeded" || l.Outcome != Refused {
		t.Errorf("%+v", l)
	}
}

// What is masked never reaches the model, and the client sees it again in the answer.
func TestMasked(t *testing.T) {
	for _, stream := range []bool{false, true} {
		b := open(t, func(w http.ResponseWriter, r *http.Request) {
			if !stream {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"said":"I wrote to <EMAIL_1> and not to <EMAIL_2>"}`)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for _, piece := range []string{"I wrote to <EM", "AIL_1> and not to <EMAIL_2>"} {
				fmt.Fprintf(w, "data: {\"said\":%q}\n\n", piece)
				w.(http.Flusher).Flush()
			}
			io.WriteString(w, "data: end\n\n")
		}, func(_ *Config, r *Route) { r.Request.Actions = map[string]string{"pii": "mask"} })
		_, got := b.say(fmt.Sprintf(`{"say":"write to ann@example.org please","stream":%v}`, stream))
		if sent := b.bodies[0]; strings.Contains(sent, "ann@") || !strings.Contains(sent, "write to <EMAIL_1> please") {
			t.Errorf("the model got %s", sent)
		}
		if plain := strings.NewReplacer(`"}`, "", "data: {\"said\":\"", "", "\n\n", "").Replace(got); !strings.Contains(plain, "I wrote to ann@example.org and not to <EMAIL_2>") {
			t.Errorf("the client got %s", got)
		}
		if l := b.audit()[0]; l.Masked != 1 || l.Restored != 1 || l.Action != Mask || len(l.Found) != 1 {
			t.Errorf("%+v", l)
		}
	}
}

func TestThrottled(t *testing.T) {
	b := open(t, echo, func(_ *Config, r *Route) { r.Request.Actions = map[string]string{"injection": "throttle"} })
	for i, want := range []int{200, 200, 200, 429} {
		if status, got := b.say(`{"say":"IGNORE-ALL"}`); status != want {
			t.Errorf("%d: %d %s", i, status, got)
		}
	}
	if status, _ := b.say(`{"say":"x"}`); status != 200 {
		t.Errorf("what is not throttled: %d", status)
	}
}
