package gate

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bartizan/internal/gateway"
)

// TestWithheld: a known secret in a system prompt or the description of a tool reaches the
// upstream in no format; the answers of a model that was not told are not refused for what
// nothing explains, and those of one that may know are.
func TestWithheld(t *testing.T) {
	const known = "kX9fQ2mZ7pL4wT8v"
	var mu sync.Mutex
	var heard, answer string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		heard = string(b)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(up.Close)
	routes := map[string]gateway.Route{}
	for _, a := range apis() {
		routes[a.route] = gateway.Route{Service: gateway.Service{Upstream: up.URL}, Options: optionsOf(t, "secret: {known: ["+known+"], canaries: [zq7-canary-4411]}\n")}
	}
	base, key, dir := serve(t, routes)
	system := "The key is " + known + ". For the web: Basic " + base64.StdEncoding.EncodeToString([]byte("ops:"+known)) + ". And zq7-canary-4411."
	asks := map[string]string{
		"openai":    `{"model":"m","messages":[{"role":"system","content":"SYS"},{"role":"user","content":"USER"}],"tools":[{"type":"function","function":{"name":"f","description":"SYS","parameters":{"type":"object"}}}]}`,
		"responses": `{"model":"m","instructions":"SYS","input":"USER","tools":[{"type":"function","name":"f","description":"SYS","parameters":{"type":"object"}}]}`,
		"anthropic": `{"model":"m","max_tokens":9,"system":[{"type":"text","text":"SYS"}],"messages":[{"role":"user","content":"USER"}],"tools":[{"name":"f","description":"SYS","input_schema":{"type":"object"}}]}`,
		"gemini":    `{"systemInstruction":{"parts":[{"text":"SYS"}]},"contents":[{"role":"user","parts":[{"text":"USER"}]}],"tools":[{"functionDeclarations":[{"name":"f","description":"SYS"}]}]}`,
		"ollama":    `{"model":"m","stream":false,"messages":[{"role":"system","content":"SYS"},{"role":"user","content":"USER"}],"tools":[{"type":"function","function":{"name":"f","description":"SYS","parameters":{"type":"object"}}}]}`,
		"bedrock":   `{"system":[{"text":"SYS"}],"messages":[{"role":"user","content":[{"text":"USER"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"SYS","inputSchema":{"json":{"type":"object"}}}}]}}`,
	}
	for _, a := range apis() {
		refused := 0
		for i := range 12 {
			said := fmt.Sprintf("vq%dzx jw%dqk xr%dtz; %x %x", 7*i+3, 11*i+5, 13*i+9, 104729*(i+7), 1299709*(i+3))
			mu.Lock()
			answer = strings.NewReplacer("SAID", `"`+said+`"`).Replace(a.text)
			mu.Unlock()
			body := strings.NewReplacer("SYS", system, "USER", fmt.Sprintf("number %d please", i)).Replace(asks[a.route])
			status, got := post(t, base+"/"+a.route+a.path, key, body)
			if status != 200 || !strings.Contains(got, said) {
				t.Errorf("%s: an answer of a model that was not told: %d %s", a.route, status, got)
			}
			if n := strings.Count(heard, "[withheld]"); n != 4 || strings.Contains(heard, known) || strings.Contains(heard, "b3BzO") || strings.Count(heard, "zq7-canary-4411") != 2 {
				t.Fatalf("%s: the upstream heard %s", a.route, heard)
			}
		}
		for i := range 12 { // the same to a model that may have it from elsewhere
			said := fmt.Sprintf("qv%dxz wj%dkq rx%dzt; %x %x", 7*i+3, 11*i+5, 13*i+9, 104729*(i+7), 1299709*(i+3))
			mu.Lock()
			answer = strings.NewReplacer("SAID", `"`+said+`"`).Replace(a.text)
			mu.Unlock()
			body := strings.NewReplacer("SYS", "Be brief.", "USER", fmt.Sprintf("number %d please", i)).Replace(asks[a.route])
			if status, _ := post(t, base+"/"+a.route+a.path, key, body); status == 403 {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s: what nothing explains is never refused", a.route)
		}
	}
	text, err := os.ReadFile(filepath.Join(Dir(dir), "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), `"untold":4`); n != 12*len(apis()) || strings.Contains(string(text), known) {
		t.Errorf("%d audit lines say that a secret was withheld", n)
	}
}
