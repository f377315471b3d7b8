package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"bartizan/internal/builtin"
	"bartizan/internal/guard/wire"
)

// leakCanary must never reach a client.
const leakCanary = "zq7-canary-4411"

// modelServer speaks the model APIs as their providers document them, with answers
// that the prompt asks for: "plain" or "leak", then "text", "tool" or "structured".
type modelServer struct {
	*httptest.Server
	arrived <-chan struct{} // says that a client got something; nil: nobody waits for that
	stop    *wire.Refusal   // ends streams in the middle as the guard does; nil: they are whole
}

func newModelServer(t *testing.T) *modelServer {
	m := &modelServer{}
	mux := http.NewServeMux()
	for path, answer := range map[string]func(ask) reply{
		"/openai/v1/chat/completions":                                                       openaiReply,
		"/openai/v1/responses":                                                              responsesReply,
		"/responses/v1/responses":                                                           responsesReply,
		"/anthropic/v1/messages":                                                            anthropicReply,
		"/bedrock/model/amazon.nova-lite-v1:0/converse":                                     bedrockReply,
		"/bedrock/model/amazon.nova-lite-v1:0/converse-stream":                              bedrockReply,
		"/bedrock/model/anthropic.claude-3-haiku-20240307-v1:0/invoke":                      invokeReply,
		"/bedrock/model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream": invokeReply,
		"/gemini/v1beta/models/gemini-2.5-flash:generateContent":                            geminiReply,
		"/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent":                      geminiReply,
		"/ollama/api/chat":                                                                  ollamaReply,
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, answer) })
	}
	m.Server = httptest.NewServer(mux)
	t.Cleanup(m.Close)
	return m
}

// ask is what a request wants.
type ask struct {
	kind   string // text, tool, structured
	stream bool
	text   string   // what is said, or the arguments of the call
	pieces []string // of text
}

// reply is an answer: one body, or the pieces of a stream.
type reply struct {
	media  string
	pieces [][]byte
}

func (m *modelServer) serve(w http.ResponseWriter, r *http.Request, answer func(ask) reply) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := ask{kind: "text", text: "The harbour opens at six, \"sharp\".\nThen ships come: ü 😀."}
	secret := strings.Contains(string(body), "leak ")
	if secret {
		a.text = "The code of the day is " + leakCanary + ", keep it."
	}
	for kind, key := range map[string]string{"tool": "city", "structured": "answer"} {
		if strings.Contains(string(body), kind+", please") {
			value := map[bool]string{false: "Rome of old", true: leakCanary + " it is"}[secret]
			a.kind, a.text = kind, `{"`+key+`":`+quote(value)+`}`
		}
	}
	var want struct {
		Stream *bool `json:"stream"`
	}
	if err := json.Unmarshal(body, &want); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.stream = want.Stream != nil && *want.Stream || strings.Contains(strings.ToLower(r.URL.Path), "stream") || strings.Contains(r.URL.Path, "/ollama/") && want.Stream == nil
	for rest := []rune(a.text); len(rest) > 0; {
		n := min(5, len(rest))
		a.pieces, rest = append(a.pieces, string(rest[:n])), rest[n:]
	}
	rep := answer(a)
	if a.stream && m.stop != nil {
		rep.pieces = rep.pieces[:len(rep.pieces)/2]
		end, err := m.end(r, rep)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		rep.pieces = append(rep.pieces, end)
	}
	w.Header().Set("Content-Type", rep.media)
	for _, p := range rep.pieces {
		if _, err := w.Write(p); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		if m.arrived != nil {
			// Pieces that come at once are looked at at once: a guard that lets too much go would not be seen.
			select {
			case <-m.arrived:
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// end is what the guard's format closes the stream with after these pieces.
func (m *modelServer) end(r *http.Request, rep reply) ([]byte, error) {
	name, path, _ := strings.Cut(r.URL.Path[1:], "/")
	f, err := builtin.Wires().Build(name, nil)
	if err != nil {
		return nil, err
	}
	st, err := f.Stream(wire.Head{Method: r.Method, Path: "/" + path, ContentType: rep.media})
	if err != nil {
		return nil, err
	}
	for _, p := range rep.pieces {
		if n, err := st.Split(p); err != nil || n != len(p) {
			return nil, fmt.Errorf("%d of %d bytes are an event: %w", n, len(p), err)
		}
		if _, err := st.Event(p); err != nil {
			return nil, err
		}
	}
	return st.End(*m.stop), nil
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func one(format string, args ...any) reply {
	return reply{"application/json", [][]byte{fmt.Appendf(nil, format, args...)}}
}

// sse makes events; a line that begins with { has no name of its own but the type in it, when named.
func sse(named bool, data ...string) reply {
	r := reply{media: "text/event-stream"}
	for _, d := range data {
		name := ""
		if _, rest, ok := strings.Cut(d, `{"type":"`); ok && named {
			name = "event: " + rest[:strings.IndexByte(rest, '"')] + "\n"
		}
		r.pieces = append(r.pieces, []byte(name+"data: "+d+"\n\n"))
	}
	return r
}

func openaiReply(a ask) reply {
	finish := map[bool]string{false: "stop", true: "tool_calls"}[a.kind == "tool"]
	const usage = `{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}`
	head := `"id":"chatcmpl-1","created":1741569952,"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_1","service_tier":"default",`
	if !a.stream {
		message := `"content":` + quote(a.text) + `,"refusal":null,"annotations":[]`
		if a.kind == "tool" {
			message = `"content":null,"refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":` + quote(a.text) + `}}]`
		}
		return one(`{%s"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",%s},"logprobs":null,"finish_reason":%q}],"usage":%s}`, head, message, finish, usage)
	}
	chunk := func(delta, finish string) string {
		return `{` + head + `"object":"chat.completion.chunk","choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}],"usage":null}`
	}
	first := `{"role":"assistant","content":"","refusal":null}`
	if a.kind == "tool" {
		first = `{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get_weather","arguments":""}}]}`
	}
	events := []string{chunk(first, "null")}
	for _, p := range a.pieces {
		delta := `{"content":` + quote(p) + `}`
		if a.kind == "tool" {
			delta = `{"tool_calls":[{"index":0,"function":{"arguments":` + quote(p) + `}}]}`
		}
		events = append(events, chunk(delta, "null"))
	}
	events = append(events, chunk(`{}`, quote(finish)), `{`+head+`"object":"chat.completion.chunk","choices":[],"usage":`+usage+`}`, "[DONE]")
	return sse(false, events...)
}

func responsesReply(a ask) reply {
	item := func(text, status string) string {
		if a.kind == "tool" {
			return `{"id":"fc_1","type":"function_call","status":"` + status + `","arguments":` + quote(text) + `,"call_id":"call_1","name":"get_weather"}`
		}
		content := `[]`
		if text != "" {
			content = `[{"type":"output_text","annotations":[],"logprobs":[],"text":` + quote(text) + `}]`
		}
		return `{"id":"msg_1","type":"message","status":"` + status + `","content":` + content + `,"role":"assistant"}`
	}
	response := func(output, status, usage string) string {
		return `{"id":"resp_1","object":"response","created_at":1741476542,"status":"` + status + `","background":false,"error":null,"incomplete_details":null,"instructions":"You answer briefly.",` +
			`"max_output_tokens":null,"max_tool_calls":null,"model":"gpt-4o-mini-2024-07-18","output":` + output + `,"parallel_tool_calls":true,"previous_response_id":null,` +
			`"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":true,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],` +
			`"top_logprobs":0,"top_p":1.0,"truncation":"disabled","usage":` + usage + `,"user":null,"metadata":{}}`
	}
	const usage = `{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":123}`
	if !a.stream {
		return one("%s", response("["+item(a.text, "completed")+"]", "completed", usage))
	}
	var events []string
	add := func(kind, rest string) {
		events = append(events, fmt.Sprintf(`{"type":"response.%s","sequence_number":%d,%s}`, kind, len(events), rest))
	}
	add("created", `"response":`+response("[]", "in_progress", "null"))
	add("in_progress", `"response":`+response("[]", "in_progress", "null"))
	add("output_item.added", `"output_index":0,"item":`+item("", "in_progress"))
	at, delta, done := `"item_id":"msg_1","output_index":0,"content_index":0`, "output_text", `"logprobs":[],"text":`
	if a.kind == "tool" {
		at, delta, done = `"item_id":"fc_1","output_index":0`, "function_call_arguments", `"name":"get_weather","arguments":`
	} else {
		add("content_part.added", at+`,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}`)
	}
	for _, p := range a.pieces {
		add(delta+".delta", at+`,"obfuscation":"aZ09","delta":`+quote(p)+map[bool]string{true: "", false: `,"logprobs":[]`}[a.kind == "tool"])
	}
	add(delta+".done", at+`,`+done+quote(a.text))
	if a.kind != "tool" {
		add("content_part.done", at+`,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":`+quote(a.text)+`}`)
	}
	add("output_item.done", `"output_index":0,"item":`+item(a.text, "completed"))
	add("completed", `"response":`+response("["+item(a.text, "completed")+"]", "completed", usage))
	return sse(true, events...)
}

func claudeBody(a ask) string {
	block, stop := `{"type":"text","text":`+quote(a.text)+`}`, "end_turn"
	if a.kind == "tool" {
		block, stop = `{"type":"tool_use","id":"toolu_1","name":"get_weather","input":`+a.text+`}`, "tool_use"
	}
	return `{"model":"claude-sonnet-4-5","id":"msg_1","type":"message","role":"assistant","content":[` + block + `],"stop_reason":"` + stop + `","stop_sequence":null,` +
		`"usage":{"input_tokens":12,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":6,"service_tier":"standard"}}`
}

func claudeEvents(a ask) []string {
	block, delta, stop := `{"type":"text","text":""}`, `{"type":"text_delta","text":%s}`, "end_turn"
	if a.kind == "tool" {
		block, delta, stop = `{"type":"tool_use","id":"toolu_1","name":"get_weather","input":{}}`, `{"type":"input_json_delta","partial_json":%s}`, "tool_use"
	}
	events := []string{
		`{"type":"message_start","message":{"model":"claude-sonnet-4-5","id":"msg_1","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":` + block + `}`,
		`{"type":"ping"}`,
	}
	for _, p := range a.pieces {
		events = append(events, `{"type":"content_block_delta","index":0,"delta":`+fmt.Sprintf(delta, quote(p))+`}`)
	}
	return append(events, `{"type":"content_block_stop","index":0}`,
		`{"type":"message_delta","delta":{"stop_reason":"`+stop+`","stop_sequence":null},"usage":{"output_tokens":6}}`, `{"type":"message_stop"}`)
}

func anthropicReply(a ask) reply {
	if !a.stream {
		return one("%s", claudeBody(a))
	}
	return sse(true, claudeEvents(a)...)
}

// frames are AWS events: name and payload in turn.
func frames(pairs ...string) reply {
	r := reply{media: "application/vnd.amazon.eventstream"}
	for i := 0; i < len(pairs); i += 2 {
		var b bytes.Buffer
		err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Payload: []byte(pairs[i+1]), Headers: eventstream.Headers{
			{Name: ":event-type", Value: eventstream.StringValue(pairs[i])},
			{Name: ":content-type", Value: eventstream.StringValue("application/json")},
			{Name: ":message-type", Value: eventstream.StringValue("event")},
		}})
		if err != nil {
			panic(err)
		}
		r.pieces = append(r.pieces, b.Bytes())
	}
	return r
}

func invokeReply(a ask) reply {
	if !a.stream {
		return one("%s", claudeBody(a))
	}
	var pairs []string
	for _, e := range claudeEvents(a) {
		pairs = append(pairs, "chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(e))+`","p":"abcdefgh"}`)
	}
	return frames(pairs...)
}

func bedrockReply(a ask) reply {
	stop, usage := "end_turn", `{"inputTokens":10,"outputTokens":12,"totalTokens":22}`
	block := `{"text":` + quote(a.text) + `}`
	if a.kind == "tool" {
		stop, block = "tool_use", `{"toolUse":{"toolUseId":"tooluse_1","name":"get_weather","input":`+a.text+`}}`
	}
	if !a.stream {
		return one(`{"output":{"message":{"role":"assistant","content":[%s]}},"stopReason":%q,"usage":%s,"metrics":{"latencyMs":551}}`, block, stop, usage)
	}
	pairs := []string{"messageStart", `{"p":"abcd","role":"assistant"}`}
	delta := `{"text":%s}`
	if a.kind == "tool" {
		delta = `{"toolUse":{"input":%s}}`
		pairs = append(pairs, "contentBlockStart", `{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"tooluse_1","name":"get_weather"}},"p":"ab"}`)
	}
	for _, p := range a.pieces {
		pairs = append(pairs, "contentBlockDelta", `{"contentBlockIndex":0,"delta":`+fmt.Sprintf(delta, quote(p))+`,"p":"abc"}`)
	}
	return frames(append(pairs, "contentBlockStop", `{"contentBlockIndex":0,"p":"a"}`, "messageStop", `{"p":"ab","stopReason":"`+stop+`"}`,
		"metadata", `{"metrics":{"latencyMs":551},"p":"a","usage":`+usage+`}`)...)
}

func geminiReply(a ask) reply {
	answer := func(part, more string) string {
		return `{"candidates":[{"content":{"parts":[` + part + `],"role":"model"}` + more + `,"index":0}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":9,"totalTokenCount":17,` +
			`"promptTokensDetails":[{"modality":"TEXT","tokenCount":8}]},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`
	}
	part := func(s string) string { return `{"text":` + quote(s) + `}` }
	const stop = `,"finishReason":"STOP"`
	call := `{"functionCall":{"name":"get_weather","args":` + a.text + `}}`
	switch {
	case !a.stream && a.kind == "tool":
		return one("%s", answer(call, stop))
	case !a.stream:
		return one("%s", answer(part(a.text), stop))
	case a.kind == "tool":
		return sse(false, answer(call, ""), answer(part(""), stop))
	}
	var events []string
	for i, p := range a.pieces {
		events = append(events, answer(part(p), map[bool]string{true: stop}[i == len(a.pieces)-1]))
	}
	return sse(false, events...)
}

func ollamaReply(a ask) reply {
	line := func(message, more string) []byte {
		return []byte(`{"model":"llama3.2","created_at":"2024-07-22T20:33:28.123648Z","message":{"role":"assistant",` + message + `},` + more + "}\n")
	}
	const end = `"done":true,"done_reason":"stop","total_duration":885095291,"load_duration":3753500,"prompt_eval_count":122,"prompt_eval_duration":328493000,"eval_count":33,"eval_duration":552222000`
	message := `"content":` + quote(a.text)
	if a.kind == "tool" {
		message = `"content":"","tool_calls":[{"function":{"name":"get_weather","arguments":` + a.text + `}}]`
	}
	if !a.stream {
		return reply{"application/json; charset=utf-8", [][]byte{line(message, end)}}
	}
	r := reply{media: "application/x-ndjson"}
	if a.kind == "tool" {
		r.pieces = append(r.pieces, line(message, `"done":false`))
	} else {
		for _, p := range a.pieces {
			r.pieces = append(r.pieces, line(`"content":`+quote(p), `"done":false`))
		}
	}
	r.pieces = append(r.pieces, line(`"content":""`, end))
	return r
}
