package gate

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/budget"
	"bartizan/internal/gateway/keys"
)

// api is one format with a request that names a schema of its answer and one of a tool, and
// what the upstream says, whole and in pieces. SAID and ARGS stand for JSON strings, OBJ for an object.
type api struct {
	route, path, ask  string
	text, call        string // whole
	streamed, calls   string // in events; "": not tried here
	media, streamedAt string // of the stream, and its path where it is another
}

const (
	askedAnswer = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`
	askedCall   = `{"type":"object","properties":{"days":{"type":"integer"}},"required":["days"]}`
)

func apis() []api {
	capital := strings.NewReplacer(`"object"`, `"OBJECT"`, `"string"`, `"STRING"`, `"integer"`, `"INTEGER"`, `,"additionalProperties":false`, "")
	chunk := func(delta string) string {
		return `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":null}]}` + "\n\n"
	}
	message := `"id":"r","object":"response","created_at":1,"model":"m","status":"completed","output":`
	event := func(name, rest string) string {
		return "event: " + name + "\ndata: {\"type\":\"" + name + "\"," + rest + "}\n\n"
	}
	return []api{
		{route: "openai", path: "/v1/chat/completions",
			ask: `{"model":"m","stream":STREAM,"messages":[{"role":"user","content":"the weather"}],"response_format":{"type":"json_schema","json_schema":{"name":"w","schema":` + askedAnswer + `}},
				"tools":[{"type":"function","function":{"name":"forecast","parameters":` + askedCall + `}}]}`,
			text:  `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":SAID},"finish_reason":"stop"}]}`,
			call:  `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"forecast","arguments":ARGS}}]},"finish_reason":"tool_calls"}]}`,
			media: "text/event-stream", streamed: chunk(`{"role":"assistant","content":""}`) + chunk(`{"content":SAID}`) + "data: [DONE]\n\n",
			calls: chunk(`{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"forecast","arguments":""}}]}`) + chunk(`{"tool_calls":[{"index":0,"function":{"arguments":ARGS}}]}`) + "data: [DONE]\n\n"},
		{route: "responses", path: "/v1/responses",
			ask:   `{"model":"m","stream":STREAM,"input":"the weather","text":{"format":{"type":"json_schema","name":"w","schema":` + askedAnswer + `}},"tools":[{"type":"function","name":"forecast","parameters":` + askedCall + `}]}`,
			text:  `{` + message + `[{"type":"message","id":"1","role":"assistant","status":"completed","content":[{"type":"output_text","text":SAID,"annotations":[]}]}]}`,
			call:  `{` + message + `[{"type":"function_call","id":"1","call_id":"2","status":"completed","name":"forecast","arguments":ARGS}]}`,
			media: "text/event-stream",
			streamed: event("response.output_text.delta", `"sequence_number":1,"item_id":"1","output_index":0,"content_index":0,"delta":SAID`) +
				event("response.completed", `"sequence_number":2,"response":{`+message+`[{"type":"message","id":"1","role":"assistant","status":"completed","content":[{"type":"output_text","text":SAID,"annotations":[]}]}]}`),
			calls: event("response.completed", `"sequence_number":2,"response":{`+message+`[{"type":"function_call","id":"1","call_id":"2","status":"completed","name":"forecast","arguments":ARGS}]}`)},
		{route: "anthropic", path: "/v1/messages",
			ask:      `{"model":"m","stream":STREAM,"max_tokens":9,"messages":[{"role":"user","content":"the weather"}],"output_config":{"format":{"type":"json_schema","schema":` + askedAnswer + `}},"tools":[{"name":"forecast","input_schema":` + askedCall + `}]}`,
			text:     `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":SAID}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`,
			call:     `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"tool_use","id":"1","name":"forecast","input":OBJ}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}`,
			media:    "text/event-stream",
			streamed: event("content_block_start", `"index":0,"content_block":{"type":"text","text":""}`) + event("content_block_delta", `"index":0,"delta":{"type":"text_delta","text":SAID}`) + "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
			calls:    event("content_block_start", `"index":0,"content_block":{"type":"tool_use","id":"1","name":"forecast","input":{}}`) + event("content_block_delta", `"index":0,"delta":{"type":"input_json_delta","partial_json":ARGS}`) + "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
		{route: "gemini", path: "/v1beta/models/g:generateContent", streamedAt: "/v1beta/models/g:streamGenerateContent",
			ask:   `{"contents":[{"role":"user","parts":[{"text":"the weather"}]}],"generationConfig":{"responseMimeType":"application/json","responseSchema":` + capital.Replace(askedAnswer) + `},"tools":[{"functionDeclarations":[{"name":"forecast","parameters":` + capital.Replace(askedCall) + `}]}]}`,
			text:  `{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"thinking","thought":true},{"text":SAID}]},"finishReason":"STOP"}]}`,
			call:  `{"candidates":[{"index":0,"content":{"role":"model","parts":[{"functionCall":{"name":"forecast","args":OBJ}}]},"finishReason":"STOP"}]}`,
			media: "text/event-stream", streamed: `data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":SAID}]},"finishReason":"STOP"}]}` + "\n\n",
			calls: `data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"functionCall":{"name":"forecast","args":OBJ}}]},"finishReason":"STOP"}]}` + "\n\n"},
		{route: "ollama", path: "/api/chat",
			ask:   `{"model":"m","stream":STREAM,"messages":[{"role":"user","content":"the weather"}],"format":` + askedAnswer + `,"tools":[{"type":"function","function":{"name":"forecast","parameters":` + askedCall + `}}]}`,
			text:  `{"model":"m","message":{"role":"assistant","content":SAID},"done":true}`,
			call:  `{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"forecast","arguments":OBJ}}]},"done":true}`,
			media: "application/x-ndjson", streamed: `{"model":"m","message":{"role":"assistant","content":SAID},"done":false}` + "\n" + `{"model":"m","message":{"role":"assistant","content":""},"done":true}` + "\n",
			calls: `{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"forecast","arguments":OBJ}}]},"done":false}` + "\n" + `{"model":"m","message":{"role":"assistant","content":""},"done":true}` + "\n"},
		{route: "bedrock", path: "/model/m/converse",
			ask:  `{"messages":[{"role":"user","content":[{"text":"the weather"}]}],"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":SCHEMA,"name":"w"}}}},"toolConfig":{"tools":[{"toolSpec":{"name":"forecast","inputSchema":{"json":` + askedCall + `}}}]}}`,
			text: `{"output":{"message":{"role":"assistant","content":[{"text":SAID}]}},"stopReason":"end_turn"}`,
			call: `{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"1","name":"forecast","input":OBJ}}]}},"stopReason":"tool_use"}`},
	}
}

// TestDemanded: an answer, whole or streamed, that is not of the schema its request names is
// stopped in every format, and one that is passes; so with the arguments of a call.
func TestDemanded(t *testing.T) {
	var media, answer string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(up.Close)
	options := optionsOf(t, "schema: {requested: true}\n")
	routes := map[string]gateway.Route{}
	for _, a := range apis() {
		routes[a.route] = gateway.Route{Service: gateway.Service{Upstream: up.URL}, Options: options}
	}
	base, key, _ := serve(t, routes)
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	n := 0
	try := func(a api, body, said, kind string, stream, good bool) {
		t.Helper()
		if body == "" {
			return
		}
		n++
		media, answer = "application/json", strings.NewReplacer("SAID", quoted(said), "ARGS", quoted(said), "OBJ", said).Replace(body)
		path := a.path
		if stream {
			media = a.media
			if a.streamedAt != "" {
				path = a.streamedAt + "?alt=sse"
			}
		}
		ask := strings.NewReplacer("STREAM", map[bool]string{true: "true", false: "false"}[stream], "SCHEMA", quoted(askedAnswer)).Replace(a.ask)
		status, got := post(t, base+"/"+a.route+path, key, ask)
		switch {
		case good && (status != 200 || got != answer):
			t.Errorf("%s %s, stream %v: a right one: %d %s", a.route, kind, stream, status, got)
		case !good && status != 403 && got == answer, !good && !strings.Contains(got, "stopped by the policy"):
			t.Errorf("%s %s, stream %v: a wrong one: %d %s", a.route, kind, stream, status, got)
		}
	}
	for _, a := range apis() {
		for _, stream := range []bool{false, true} {
			text, call := a.text, a.call
			if stream {
				text, call = a.streamed, a.calls
			}
			try(a, text, `{"city":"Rome"}`, "answer", stream, true)
			try(a, text, `{"town":"Rome"}`, "answer", stream, false)
			try(a, text, `I would rather not say.`, "answer", stream, false)
			try(a, call, `{"days":3}`, "call", stream, true)
			try(a, call, `{"days":"three"}`, "call", stream, false)
			try(a, call, `{}`, "call", stream, false)
		}
	}
	if n != 66 {
		t.Errorf("%d exchanges were tried", n)
	}
	a := apis()[0]
	a.ask = strings.Replace(a.ask, `{"type":"object"`, `{"$ref":"https://schemas.example/x.json","type":"object"`, 1)
	try(a, a.text, `{"city":"Rome"}`, "a schema elsewhere", false, false)
}

// serve runs a gateway without a node and returns its address, a key for it and its data folder.
func serve(t *testing.T, routes map[string]gateway.Route, budgets ...budget.Limit) (base, key, dir string) {
	t.Helper()
	c := gateway.DefaultConfig()
	c.Listen, c.Keeper, c.Routes, c.Budgets = "127.0.0.1:0", false, routes, budgets
	if bad := Complete(&c); len(bad) > 0 {
		t.Fatal(bad)
	}
	dir = t.TempDir()
	_, key, err := keys.Create(Dir(dir), keys.Key{Name: "app"}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	at, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Alone(ctx, Options{Config: c, Data: dir, Log: slog.New(slog.DiscardHandler)}, LakeConfig{}, func(g *Gate) { at <- g.URL() })
	}()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case base = <-at:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return base, key, dir
}

// optionsOf are those of a route, as they stand in a configuration.
func optionsOf(t *testing.T, text string) map[string]conf.Raw {
	t.Helper()
	options := map[string]conf.Raw{}
	raw, err := conf.Parse("test", []byte(text))
	if err == nil {
		err = raw.Into(&options)
	}
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// post sends a request to a gateway.
func post(t *testing.T, url, key, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
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
	return resp.StatusCode, string(got)
}
