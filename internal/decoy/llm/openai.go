package llm

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/decoy/persona"
)

const openai = "openai"

// apiError is how the OpenAI-compatible API says no.
type apiError struct {
	Error apiErrorBody `json:"error"`
}

type apiErrorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func (c *call) refuse(status int, message string) error {
	kind := "api_error"
	switch status {
	case 400:
		kind = "invalid_request_error"
	case 404:
		kind = "not_found_error"
	}
	return c.reply(status, apiError{apiErrorBody{Message: message, Type: kind}})
}

type modelEntry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func entry(m persona.Model) modelEntry {
	return modelEntry{m.Name, "model", m.ModifiedAt.Unix(), "library"}
}

func (c *call) models() error {
	if err := c.exchange(openai, nil, ""); err != nil {
		return err
	}
	list := []modelEntry{}
	for _, m := range c.ordered() {
		list = append(list, entry(m))
	}
	return c.reply(200, struct {
		Object string       `json:"object"`
		Data   []modelEntry `json:"data"`
	}{"list", list})
}

func (c *call) oneModel() error {
	name := strings.TrimPrefix(c.r.Path, "/v1/models/")
	if err := c.exchange(openai, &question{model: name}, ""); err != nil {
		return err
	}
	m, ok := c.model(name)
	if !ok {
		return c.refuse(404, notFound(name).Error)
	}
	return c.reply(200, entry(m))
}

// requested is a request of any of the OpenAI routes.
type requested struct {
	wishes
	Model         string          `json:"model"`
	Messages      []message       `json:"messages"`
	Prompt        text            `json:"prompt"`
	Input         json.RawMessage `json:"input"`
	Instructions  string          `json:"instructions"`
	Stream        bool            `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	ResponseFormat struct {
		Type string `json:"type"`
	} `json:"response_format"`
	EncodingFormat string `json:"encoding_format"`
}

// request reads such a request; q is nil when it was answered with an error.
func (c *call) ask1(need string) (a requested, q *question, m persona.Model, err error) {
	bad := c.decode(&a)
	q = &question{model: a.Model, system: a.Instructions, prompt: a.Prompt.all, stream: a.Stream, usage: a.StreamOptions.IncludeUsage, json: strings.HasPrefix(a.ResponseFormat.Type, "json")}
	q.talk(a.Messages)
	q.input(a.Input)
	if len(a.Messages) == 0 {
		q.tokens += count(q.prompt)
	}
	q.tokens += count(a.Instructions)
	a.take(q)
	m, ok := c.model(a.Model)
	status, message := 0, ""
	switch {
	case bad != "":
		status, message = 400, bad
	case a.Model == "":
		status, message = 400, "model is required"
	case need == "messages" && len(a.Messages) == 0:
		status, message = 400, "[] is too short - 'messages'"
	case need == "input" && len(a.Input) == 0:
		status, message = 400, "invalid input"
	case !ok:
		status, message = 404, notFound(a.Model).Error
	case embeds(m) && !strings.HasSuffix(c.r.Path, "embeddings"):
		status, message = 400, `"`+m.Name+`" does not support chat`
	}
	if status != 0 {
		if err := c.exchange(openai, q, ""); err != nil {
			return a, nil, m, err
		}
		return a, nil, m, c.refuse(status, message)
	}
	return a, q, m, nil
}

// input takes what responses and embeddings call their input: a text, texts,
// or the turns of a conversation.
func (q *question) input(raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	var turns []message
	if json.Unmarshal(raw, &turns) == nil && len(turns) > 0 && turns[0].Role != "" {
		q.talk(turns)
		return
	}
	var t text
	_ = t.UnmarshalJSON(raw) // has no errors
	if t.all != "" {
		q.prompt = t.all
		q.turns++
	}
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type choice struct {
	Index   int     `json:"index"`
	Message *turn   `json:"message,omitempty"`
	Delta   *delta  `json:"delta,omitempty"`
	Text    *string `json:"text,omitempty"`
	Finish  *string `json:"finish_reason"`
}

type delta struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

type completion struct {
	ID          string   `json:"id"`
	Object      string   `json:"object"`
	Created     int64    `json:"created"`
	Model       string   `json:"model"`
	Fingerprint string   `json:"system_fingerprint"`
	Choices     []choice `json:"choices"`
	Usage       *usage   `json:"usage,omitempty"`
}

// id is the identifier of an answer, the same for all of its pieces.
func (c *call) id(prefix string) string {
	id := c.s.ID()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(c.began.UnixNano()))
	sum := sha256.Sum256(append(id[:], b[:]...))
	return prefix + hex.EncodeToString(sum[:12])
}

func (c *call) completeChat() error { return c.completions(true) }
func (c *call) complete() error     { return c.completions(false) }

// completions answers /v1/chat/completions and /v1/completions.
func (c *call) completions(chat bool) error {
	need, object, prefix := "", "text_completion", "cmpl-"
	if chat {
		need, object, prefix = "messages", "chat.completion", "chatcmpl-"
	}
	_, q, m, err := c.ask1(need)
	if q == nil || err != nil {
		return err
	}
	words, reason := c.answer(m, q)
	all := strings.Join(words, "")
	if err := c.exchange(openai, q, all); err != nil {
		return err
	}
	base := completion{ID: c.id(prefix), Object: object, Created: c.s.Now().Unix(), Model: q.model, Fingerprint: "fp_ollama"}
	cost := &usage{q.tokens, len(words), q.tokens + len(words)}
	if !q.stream {
		if !c.think(len(words)) {
			return c.ctx.Err()
		}
		base.Usage = cost
		base.Choices = []choice{{Finish: &reason}}
		if chat {
			base.Choices[0].Message = &turn{"assistant", all}
		} else {
			base.Choices[0].Text = &all
		}
		return c.reply(200, base)
	}
	if chat {
		base.Object += ".chunk"
	}
	return c.events(func(say func(event string, v any) error) error {
		piece := func(text string, finish *string) error {
			v := base
			v.Choices = []choice{{Finish: finish}}
			if chat {
				v.Choices[0].Delta = &delta{"assistant", text}
			} else {
				v.Choices[0].Text = &text
			}
			return say("", v)
		}
		for _, w := range words {
			if err := piece(w, nil); err != nil {
				return err
			}
		}
		if err := piece("", &reason); err != nil {
			return err
		}
		if q.usage {
			v := base
			v.Choices, v.Usage = []choice{}, cost
			if err := say("", v); err != nil {
				return err
			}
		}
		return say("", done{})
	})
}

// done ends a stream of completions.
type done struct{}

// events streams server-sent events, one per pace.
func (c *call) events(do func(say func(event string, v any) error) error) error {
	out, err := style.Start(c.s, c.r, httpd.Response{Status: 200, Type: "text/event-stream"})
	if err != nil {
		return err
	}
	err = do(func(event string, v any) error {
		data := []byte("[DONE]")
		if v != (done{}) {
			var err error
			if data, err = json.Marshal(v); err != nil {
				return err
			}
			if !c.rest(c.conf.Pace) {
				return c.ctx.Err()
			}
		}
		head := "data: "
		if event != "" {
			head = "event: " + event + "\ndata: "
		}
		_, err := out.Write(append(append([]byte(head), data...), "\n\n"...))
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}

type vectorEntry struct {
	Object    string `json:"object"`
	Embedding any    `json:"embedding"`
	Index     int    `json:"index"`
}

func (c *call) embeddings() error {
	a, q, m, err := c.ask1("input")
	if q == nil || err != nil {
		return err
	}
	if err := c.exchange(openai, q, ""); err != nil {
		return err
	}
	var list []vectorEntry
	for i, t := range c.inputs() {
		v := c.vector(m, t)
		e := vectorEntry{"embedding", v, i}
		if a.EncodingFormat == "base64" { // the clients' default
			b := make([]byte, 0, 4*len(v))
			for _, x := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
			e.Embedding = base64.StdEncoding.EncodeToString(b)
		}
		list = append(list, e)
	}
	n := max(q.tokens, 1)
	return c.reply(200, struct {
		Object string        `json:"object"`
		Data   []vectorEntry `json:"data"`
		Model  string        `json:"model"`
		Usage  struct {
			Prompt int `json:"prompt_tokens"`
			Total  int `json:"total_tokens"`
		} `json:"usage"`
	}{"list", list, q.model, struct {
		Prompt int `json:"prompt_tokens"`
		Total  int `json:"total_tokens"`
	}{n, n}})
}

// vector is an embedding: of unit length, near for texts with the same words.
func (c *call) vector(m persona.Model, text string) []float32 {
	size := 4096
	if embeds(m) {
		size = 768
	}
	v := make([]float32, size)
	words := strings.Fields(strings.ToLower(cut(text, 8<<10)))
	for _, w := range append(words[:min(len(words), 256)], m.Name) {
		sum := sha256.Sum256([]byte(w))
		x := binary.LittleEndian.Uint64(sum[:])
		for i := range v {
			x = x*6364136223846793005 + 1442695040888963407
			v[i] += float32(int32(x>>32)) / (1 << 31)
		}
	}
	var n float64
	for _, x := range v {
		n += float64(x) * float64(x)
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(n))
	}
	return v
}
