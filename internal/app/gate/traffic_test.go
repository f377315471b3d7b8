package gate

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/lake"
	"bartizan/internal/model"
	"bartizan/internal/ocsf"

	"github.com/parquet-go/parquet-go"
)

// What must be in no file: personal data, a credential, the known secret of the route, and
// what nobody could recognise without the word in front of it.
var private = []string{"anna.weber@example.org", "4111 1111 1111 1111", "536-22-8726", "212-555-0147", "hunter2Hunter2", "AKIA" + "Q3EGRIT7ZX5KLM2P", "blue-harbour-lantern", "ZXhhbXBsZSBjYXJkIDQxMTEgMTExMSAxMTExIDExMTE="}

// echo is a model that says what it was told.
func echo(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Stream   bool `json:"stream"`
			Messages []struct{ Content string }
		}
		_ = json.NewDecoder(r.Body).Decode(&q)
		last, _, _ := strings.Cut(q.Messages[len(q.Messages)-1].Content, ", key ")
		said, _ := json.Marshal("You said: " + last + " I noted 212-555-0147.")
		if q.Stream {
			w.Header().Set("Content-Type", "text/event-stream")
			half := len(said) / 2
			for _, piece := range []string{string(said[:half]) + `"`, `"` + string(said[half:])} {
				_, _ = io.WriteString(w, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":`+piece+`},"finish_reason":null}]}`+"\n\n")
			}
			_, _ = io.WriteString(w, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":`+string(said)+`},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func recording(t *testing.T, upstream string) gateway.Config {
	t.Helper()
	raw, err := conf.Parse("test", []byte("secret: {known: [blue-harbour-lantern]}\npii: {kinds: [email]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]conf.Raw{}
	if err := raw.Into(&options); err != nil {
		t.Fatal(err)
	}
	c := gateway.DefaultConfig()
	c.Listen = "127.0.0.1:0"
	c.Routes = map[string]gateway.Route{
		"openai": {Service: gateway.Service{Upstream: upstream, Record: gateway.Masked}, Options: options},
		"quiet":  {Service: gateway.Service{Upstream: upstream, Format: "openai"}},
	}
	if bad := Complete(&c); len(bad) > 0 {
		t.Fatal(bad)
	}
	return c
}

// TestRecordedAlone: what a gateway without a node records is in the lake without anything
// that must not be kept, and a route that did not ask for it is not recorded.
func TestRecordedAlone(t *testing.T) {
	dir := t.TempDir()
	_, key, err := keys.Create(Dir(dir), keys.Key{Name: "app"}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	url, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Alone(ctx, Options{Config: recording(t, echo(t)), Data: dir, Log: slog.New(slog.DiscardHandler)},
			LakeConfig{Dir: filepath.Join(dir, "lake"), Product: "test"}, func(g *Gate) { url <- g.URL() })
	}()
	base := <-url
	say := func(route, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/"+route+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		return string(got)
	}
	text := "I am anna.weber@example.org, card 4111 1111 1111 1111, SSN 536-22-8726, phone 212-555-0147, password: hunter2Hunter2, key " + private[5]
	for _, stream := range []string{"false", "true"} {
		if got := say("openai", `{"model":"m","user":"anna.weber@example.org `+stream+`","stream":`+stream+`,"messages":[{"role":"system","content":"The word is blue-harbour-lantern."},{"role":"user","content":"`+text+`"}]}`); !strings.Contains(got, "hunter2") && stream == "false" {
			t.Errorf("the client got %q", got)
		}
	}
	say("openai", `{"model":"m","messages":[{"role":"user","content":"`+private[7]+`"}]}`)
	say("quiet", `{"model":"m","messages":[{"role":"user","content":"nothing of this is kept: quietly"}]}`)
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	said, calls := readLake[ocsf.LLMTraffic](t, dir, lake.Traffic), readLake[ocsf.LLMCall](t, dir, "llmcall")
	if len(said) != 3 || len(calls) != 4 {
		t.Fatalf("%d recorded, %d exchanges", len(said), len(calls))
	}
	if marks, err := keys.OpenMarks(Dir(dir)); err != nil || calls[0].Actor.User.Name != marks.Of("anna.weber@example.org false") || calls[1].Actor.User.Name != marks.Of("anna.weber@example.org true") {
		t.Errorf("the end users of the requests: %+v, %+v, %v", calls[0].Actor.User, calls[1].Actor.User, err)
	}
	for i := range 2 {
		x, err := said[i].LLMTraffic()
		if err != nil {
			t.Fatal(err)
		}
		check(t, &x)
	}
	if x, _ := said[2].LLMTraffic(); x.Withheld != len(x.Messages) || !strings.Contains(x.Messages[0].Withheld, "cannot be replaced") {
		t.Errorf("what is coded: %+v", x)
	}
	nothingPrivate(t, dir)
}

// check looks at one exchange of TestRecordedAlone.
func check(t *testing.T, x *model.LLMTraffic) {
	t.Helper()
	if len(x.Messages) != 3 || x.Withheld != 0 || x.Masked < 8 || x.Key == "" || x.Route != "openai" || x.Model != "m" {
		t.Errorf("%+v", x)
		return
	}
	if m := x.Messages[0]; m.Direction != "system" || m.Text != "The word is <SECRET_1>." {
		t.Errorf("%+v", m)
	}
	for i, want := range []string{"request", "response"} {
		m := x.Messages[1+i]
		if m.Direction != want || !strings.Contains(m.Text, "I am <EMAIL_1>, card <CARD_1>, SSN <SSN_1>, phone <PHONE_1>, password: <CREDENTIAL_") || strings.Contains(m.Text, "0147") {
			t.Errorf("%+v", m)
		}
	}
	if !strings.HasSuffix(x.Messages[2].Text, " I noted <PHONE_1>.") { // what has no word in front of it there
		t.Errorf("%+v", x.Messages[2])
	}
}

func readLake[T any](t *testing.T, dir, class string) (out []T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "lake", "class="+class, "*", "*", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		rows, err := parquet.ReadFile[T](f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rows...)
	}
	return out
}

// nothingPrivate looks through every file, as it stands and, where it is Parquet, what it holds.
func nothingPrivate(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		text := string(b)
		if strings.HasSuffix(path, ".parquet") {
			text += contents(t, path)
		}
		for _, s := range append(private, "quietly") {
			if strings.Contains(text, s) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return nil
	})
	if err != nil || files < 4 {
		t.Errorf("%d files: %v", files, err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	var rows []any
	if strings.Contains(path, lake.Traffic) {
		some, err := parquet.ReadFile[ocsf.LLMTraffic](path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range some {
			rows = append(rows, some[i])
		}
	} else {
		some, err := parquet.ReadFile[ocsf.LLMCall](path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range some {
			rows = append(rows, some[i])
		}
	}
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
