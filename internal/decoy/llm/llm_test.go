package llm

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// post sends JSON and returns the answer.
func (r *rig) post(t *testing.T, path, body string) (status int, answer string) {
	t.Helper()
	client := &http.Client{Timeout: decoytest.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+r.Addr+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestConfig(t *testing.T) {
	for _, edit := range []func(*Config){func(c *Config) { c.MaxBody = 1 }, func(c *Config) { c.Pace = -1 }, func(c *Config) { c.MaxTokens = 0 }, func(c *Config) { c.Pace = time.Hour }} {
		c := Default()
		edit(&c)
		if _, err := New(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

func TestOllamaStreams(t *testing.T) {
	r := start(t, nil)
	for path, body := range map[string]string{
		"/api/generate": `{"model":"` + r.model + `","system":"You are a calculator","prompt":"What is 17*23?","options":{"temperature":0.5,"num_predict":50}}`,
		"/api/chat":     `{"model":"` + r.model + `","messages":[{"role":"system","content":"You are a calculator"},{"role":"user","content":"hi"},{"role":"assistant","content":"hi"},{"role":"user","content":"What is 17*23?"}],"options":{"temperature":0.5,"num_predict":50}}`,
	} {
		status, got := r.post(t, path, body)
		lines := strings.Split(strings.TrimSpace(got), "\n")
		if status != 200 || len(lines) < 4 {
			t.Fatalf("%s: %d %q", path, status, got)
		}
		all := ""
		for i, l := range lines {
			var s said
			if err := json.Unmarshal([]byte(l), &s); err != nil {
				t.Fatal(err)
			}
			if s.Done != (i == len(lines)-1) || s.Model != r.model {
				t.Errorf("%s line %d: %s", path, i, l)
			}
			if s.Response != nil {
				all += *s.Response
			}
			if s.Message != nil {
				all += s.Message.Content
			}
			if s.Done && (s.Reason != "stop" || s.Evaluated != len(lines)-1 || s.Total <= 0 || s.Prompted == 0) {
				t.Errorf("%s last line: %s", path, l)
			}
		}
		if all != "17*23 = 391" {
			t.Errorf("%s says %q", path, all)
		}
		o := r.exchanged(path, func(x *observe.Exchange) bool { return x.Route == path })
		x := *o.Exchange
		turns := map[string]int{"/api/generate": 0, "/api/chat": 4}[path]
		want := observe.Exchange{API: "ollama", Route: path, Model: r.model, System: "You are a calculator", Prompt: "What is 17*23?", Turns: turns, Stream: true, Answer: "17*23 = 391", Options: "num_predict=50 temperature=0.5"}
		if x != want {
			t.Errorf("exchange %+v\nwant %+v", x, want)
		}
		if len(o.Evidence) != 1 || string(o.Evidence[0].Data) != body {
			t.Errorf("evidence of %s: %+v", path, o.Evidence)
		}
	}
}

func TestOllamaAtOnce(t *testing.T) {
	r := start(t, nil)
	var s said
	_, got := r.post(t, "/api/chat", `{"model":"`+strings.ToUpper(r.model)+`","stream":false,"messages":[{"role":"user","content":"Reply with only the word PONG"}]}`)
	if err := json.Unmarshal([]byte(got), &s); err != nil || s.Message == nil || s.Message.Content != "PONG" || !s.Done {
		t.Errorf("chat: %s", got)
	}
	_, got = r.post(t, "/api/generate", `{"model":"`+r.model+`","stream":false,"prompt":"Count to 100","options":{"num_predict":5}}`)
	s = said{}
	if err := json.Unmarshal([]byte(got), &s); err != nil || s.Reason != "length" || s.Evaluated != 5 {
		t.Errorf("a short answer: %s", got)
	}
	_, got = r.post(t, "/api/generate", `{"model":"`+r.model+`"}`)
	if !strings.Contains(got, `"done_reason":"load"`) {
		t.Errorf("loading: %s", got)
	}
	_, got = r.post(t, "/api/generate", `{"model":"`+r.model+`","stream":false,"format":"json","prompt":"hi"}`)
	s = said{}
	if err := json.Unmarshal([]byte(got), &s); err != nil || !json.Valid([]byte(*s.Response)) {
		t.Errorf("json: %s", got)
	}
}

func TestOllamaDescribes(t *testing.T) {
	r := start(t, nil)
	for _, path := range []string{"/api/tags", "/v1/models"} {
		resp, err := http.Get("http://" + r.Addr + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		for _, m := range r.host.Ollama.Models {
			if !strings.Contains(string(b), `"`+m.Name+`"`) {
				t.Errorf("%s lacks %s: %s", path, m.Name, b)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	r.exchanged("listing", func(x *observe.Exchange) bool { return x.API == "openai" && x.Route == "/v1/models" && x.Prompt == "" })
	if status, got := r.post(t, "/api/show", `{"name":"`+r.model+`"}`); status != 200 || !strings.Contains(got, `"modelfile"`) {
		t.Errorf("show: %d %s", status, got)
	}
	var e struct{ Embeddings [][]float32 }
	_, got := r.post(t, "/api/embed", `{"model":"`+r.model+`","input":["one two","one two","three"]}`)
	if err := json.Unmarshal([]byte(got), &e); err != nil || len(e.Embeddings) != 3 || !slices.Equal(e.Embeddings[0], e.Embeddings[1]) || slices.Equal(e.Embeddings[0], e.Embeddings[2]) {
		t.Errorf("embed: %.200s", got)
	}
	if status, got := r.post(t, "/api/embeddings", `{"model":"`+r.model+`","prompt":"x"}`); status != 200 || !strings.Contains(got, `"embedding":[`) {
		t.Errorf("embeddings: %d %.200s", status, got)
	}
	for _, m := range r.host.Ollama.Models {
		if embeds(m) {
			if status, got := r.post(t, "/api/chat", `{"model":"`+m.Name+`","messages":[{"role":"user","content":"x"}]}`); status != 400 || !strings.Contains(got, "does not support chat") {
				t.Errorf("chat with %s: %d %s", m.Name, status, got)
			}
		}
	}
}

func TestServerSentEvents(t *testing.T) {
	r := start(t, nil)
	_, got := r.post(t, "/v1/chat/completions", `{"model":"`+r.model+`","stream":true,"messages":[{"role":"user","content":"hello"}]}`)
	events := strings.Split(strings.TrimSuffix(got, "\n\n"), "\n\n")
	if events[len(events)-1] != "data: [DONE]" || len(events) < 5 {
		t.Fatalf("events: %q", got)
	}
	for _, e := range events[:len(events)-1] {
		data, ok := strings.CutPrefix(e, "data: ")
		if !ok || !json.Valid([]byte(data)) || !strings.Contains(data, `"object":"chat.completion.chunk"`) {
			t.Errorf("event %q", e)
		}
	}
	_, got = r.post(t, "/v1/responses", `{"model":"`+r.model+`","stream":true,"input":"hello"}`)
	var kinds []string
	for sc := bufio.NewScanner(strings.NewReader(got)); sc.Scan(); {
		if k, ok := strings.CutPrefix(sc.Text(), "event: "); ok && (len(kinds) == 0 || kinds[len(kinds)-1] != k) {
			kinds = append(kinds, k)
		}
	}
	want := "response.created response.in_progress response.output_item.added response.content_part.added response.output_text.delta response.output_text.done response.content_part.done response.output_item.done response.completed"
	if strings.Join(kinds, " ") != want {
		t.Errorf("events %v", kinds)
	}
}

// A visitor that reads slowly or leaves must not keep anything.
func TestLeavingInTheMiddle(t *testing.T) {
	r := start(t, func(c *Config) { c.Pace = 20 * time.Millisecond })
	c := r.Dial()
	body := `{"model":"` + r.model + `","prompt":"Tell me a story"}`
	if _, err := io.WriteString(c, "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetLinger(0)
	c.Close()
	r.Quiet(1)
	if st := r.Runner.Stats(); st.Panics+st.Errors > 0 {
		t.Errorf("%+v", st)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestStopsWithTheSensor(t *testing.T) {
	r := start(t, func(c *Config) { c.Pace = time.Second })
	c := r.Dial()
	defer c.Close()
	body := `{"model":"` + r.model + `","prompt":"Tell me a story"}`
	if _, err := io.WriteString(c, "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	r.exchanged("the request", func(x *observe.Exchange) bool { return x.Prompt != "" })
	at := time.Now()
	r.Stop()
	if d := time.Since(at); d > decoytest.Patience/2 { // the whole answer would take longer
		t.Errorf("stopping took %v", d)
	}
}

func TestOpenAIPackage(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	module, err := filepath.Abs("../../../e2e/npm/node_modules/openai/index.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(module); err != nil {
		t.Skip("the openai package is not installed: run npm ci in e2e/npm")
	}
	r := start(t, nil)
	cmd := exec.Command(node, "testdata/openai.mjs")
	cmd.Env = append(os.Environ(), "OPENAI_BASE_URL=http://"+r.Addr+"/v1", "OPENAI_API_KEY=sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD", "OPENAI_MODULE="+(&url.URL{Scheme: "file", Path: module}).String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var got struct {
		Models, Errors                                                        []string
		Chat, Finish, Streamed, Helper, Text, Response, Status, Deltas, Final string
		Tokens, Chunks, Usage, Vectors, Size                                  int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	const sum = "17*23 = 391"
	if len(got.Models) != len(r.host.Ollama.Models) || got.Chat != sum || got.Finish != "stop" || got.Tokens == 0 || got.Usage != got.Tokens {
		t.Errorf("chat: %s", out)
	}
	if got.Streamed != sum || got.Helper != sum || got.Chunks < 3 || got.Text == "" {
		t.Errorf("stream: %s", out)
	}
	if got.Response != "12*12 = 144" || got.Status != "completed" || got.Deltas != "1, 2, 3, 4, 5" || got.Final != got.Deltas || got.Vectors != 2 || got.Size < 100 {
		t.Errorf("responses and embeddings: %s", out)
	}
	if want := []string{"404 NotFoundError not_found_error", "400 BadRequestError invalid_request_error", "404 NotFoundError not_found_error"}; !slices.Equal(got.Errors, want) {
		t.Errorf("errors %q", got.Errors)
	}
	x := r.exchanged("key", func(x *observe.Exchange) bool { return x.System == "be brief" && x.Turns == 2 && !x.Stream }).Exchange
	if x.Key != "sk-proj-0123...ABCD" || x.API != "openai" || x.Prompt != "What is 17*23?" {
		t.Errorf("exchange %+v", x)
	}
}
