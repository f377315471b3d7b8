package llm

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

const ollama = "ollama"

type fault struct {
	Error string `json:"error"`
}

func (c *call) alive() error {
	return style.Write(c.s, c.r, httpd.Response{Status: 200, Type: "text/plain; charset=utf-8", Body: []byte("Ollama is running")})
}

func (c *call) version() error {
	if err := c.exchange(ollama, nil, ""); err != nil {
		return err
	}
	return c.reply(200, struct {
		Version string `json:"version"`
	}{c.p.Ollama.Version})
}

type details struct {
	ParentModel       string   `json:"parent_model"`
	Format            string   `json:"format"`
	Family            string   `json:"family"`
	Families          []string `json:"families"`
	ParameterSize     string   `json:"parameter_size"`
	QuantizationLevel string   `json:"quantization_level"`
}

func detailsOf(m persona.Model) details {
	return details{"", "gguf", m.Family, []string{m.Family}, m.ParameterSize, m.Quantization}
}

type listed struct {
	Name       string  `json:"name"`
	Model      string  `json:"model"`
	ModifiedAt string  `json:"modified_at,omitempty"`
	Size       int64   `json:"size"`
	Digest     string  `json:"digest"`
	Details    details `json:"details"`
	ExpiresAt  string  `json:"expires_at,omitempty"`
	SizeVRAM   int64   `json:"size_vram,omitempty"`
}

type listing struct {
	Models []listed `json:"models"`
}

func (c *call) tags() error {
	if err := c.exchange(ollama, nil, ""); err != nil {
		return err
	}
	out := listing{[]listed{}}
	for _, m := range c.ordered() {
		out.Models = append(out.Models, listed{Name: m.Name, Model: m.Name, ModifiedAt: m.ModifiedAt.Format("2006-01-02T15:04:05.999999999Z07:00"), Size: m.Size, Digest: m.Digest, Details: detailsOf(m)})
	}
	return c.reply(200, out)
}

// ordered lists the models, those that talk first.
func (c *call) ordered() []persona.Model {
	var out, last []persona.Model
	for _, m := range c.p.Ollama.Models {
		if embeds(m) {
			last = append(last, m)
		} else {
			out = append(out, m)
		}
	}
	return append(out, last...)
}

// loaded shows the model that is in memory.
func (c *call) loaded() error {
	if err := c.exchange(ollama, nil, ""); err != nil {
		return err
	}
	out := listing{[]listed{}}
	if m := c.ordered(); len(m) > 0 {
		x := listed{Name: m[0].Name, Model: m[0].Name, Size: m[0].Size + m[0].Size/5, Digest: m[0].Digest, Details: detailsOf(m[0]),
			ExpiresAt: c.s.Now().Add(4 * time.Minute).UTC().Format(time.RFC3339Nano)}
		if c.p.Hardware.GPU != "" {
			x.SizeVRAM = x.Size
		}
		out.Models = append(out.Models, x)
	}
	return c.reply(200, out)
}

// named is a request about a model.
type named struct {
	Model    string `json:"model"`
	Name     string `json:"name"`
	Stream   *bool  `json:"stream"`
	Insecure bool   `json:"insecure"`
	From     string `json:"from"`
	System   string `json:"system"`
	File     string `json:"modelfile"`
	Source   string `json:"source"`
	Dest     string `json:"destination"`
}

// about reads a request about a model and reports it; ok is false when it was
// answered with a fault.
func (c *call) about() (n named, ok bool, err error) {
	if bad := c.decode(&n); bad != "" {
		if err := c.exchange(ollama, nil, ""); err != nil {
			return n, false, err
		}
		return n, false, c.reply(400, fault{bad})
	}
	if n.Model == "" {
		n.Model = n.Name
	}
	if n.Model == "" {
		n.Model = n.Source
	}
	q := &question{model: n.Model, system: n.System, stream: n.Stream == nil || *n.Stream}
	for _, f := range [][2]string{{"from", n.From}, {"destination", n.Dest}, {"modelfile", n.File}} {
		if f[1] != "" {
			q.options = strings.TrimSpace(q.options + " " + f[0] + "=" + f[1])
		}
	}
	return n, true, c.exchange(ollama, q, "")
}

// decode reads the body; bad is what is wrong with it in Ollama's words.
func (c *call) decode(v any) (bad string) {
	if len(c.r.Body) == 0 {
		return "missing request body"
	}
	if c.r.Cut {
		return "unexpected EOF"
	}
	if err := json.Unmarshal(c.r.Body, v); err != nil {
		return cut(err.Error(), 200)
	}
	return ""
}

func notFound(name string) fault { return fault{"model '" + cut(name, 200) + "' not found"} }

type shown struct {
	License      string    `json:"license"`
	Modelfile    string    `json:"modelfile"`
	Parameters   string    `json:"parameters,omitempty"`
	Template     string    `json:"template"`
	Details      details   `json:"details"`
	ModelInfo    modelInfo `json:"model_info"`
	Capabilities []string  `json:"capabilities,omitempty"`
	ModifiedAt   string    `json:"modified_at"`
}

type modelInfo struct {
	Architecture string `json:"general.architecture"`
	Basename     string `json:"general.basename"`
	FileType     int    `json:"general.file_type"`
	Version      int    `json:"general.quantization_version"`
}

func (c *call) show() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	m, ok := c.model(n.Model)
	if !ok {
		return c.reply(404, notFound(n.Model))
	}
	base, _, _ := strings.Cut(m.Name, ":")
	return c.reply(200, shown{License: licenseOf(base), Template: "{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}", Details: detailsOf(m),
		Modelfile:    "# Modelfile generated by \"ollama show\"\n# To build a new Modelfile based on this, replace FROM with:\n# FROM " + m.Name + "\n\nFROM /usr/share/ollama/.ollama/models/blobs/sha256-" + m.Digest + "\n",
		ModelInfo:    modelInfo{m.Family, base, 15, 2},
		Capabilities: map[bool][]string{true: {"embedding"}, false: {"completion", "tools"}}[embeds(m)], ModifiedAt: m.ModifiedAt.Format(time.RFC3339Nano)})
}

func licenseOf(base string) string {
	switch {
	case strings.HasPrefix(base, "llama"):
		return "LLAMA 3 COMMUNITY LICENSE AGREEMENT"
	case strings.HasPrefix(base, "gemma"):
		return "Gemma Terms of Use"
	case strings.HasPrefix(base, "deepseek"), strings.HasPrefix(base, "phi"):
		return "MIT License"
	}
	return "Apache License\nVersion 2.0, January 2004"
}

// asked is a request of Ollama's own API to answer something.
type asked struct {
	Model    string            `json:"model"`
	System   string            `json:"system"`
	Prompt   text              `json:"prompt"`
	Suffix   string            `json:"suffix"`
	Images   []string          `json:"images"`
	Messages []message         `json:"messages"`
	Stream   *bool             `json:"stream"`
	Format   json.RawMessage   `json:"format"`
	Options  wishes            `json:"options"`
	Tools    []json.RawMessage `json:"tools"`
	Input    text              `json:"input"`
}

// ask reads such a request; the model is checked and faults are answered.
func (c *call) ask(embedding bool) (q *question, m persona.Model, err error) {
	var a asked
	bad := c.decode(&a)
	q = &question{model: a.Model, system: a.System, prompt: a.Prompt.all, stream: a.Stream == nil || *a.Stream, json: len(a.Format) > 2 && string(a.Format) != "null"}
	q.talk(a.Messages)
	if embedding {
		q.stream = false
		if a.Input.all != "" {
			q.prompt = a.Input.all
		}
	}
	q.tokens += count(a.System) + count(q.prompt) + 6
	a.Options.Tools = a.Tools
	a.Options.take(q)
	m, ok := c.model(a.Model)
	status, f := 0, fault{}
	switch {
	case bad != "":
		status, f = 400, fault{bad}
	case a.Model == "":
		status, f = 400, fault{"model is required"}
	case !ok:
		status, f = 404, notFound(a.Model)
	case embeds(m) && !embedding:
		verb := "generate"
		if strings.HasSuffix(c.r.Path, "chat") {
			verb = "chat"
		}
		status, f = 400, fault{`"` + m.Name + `" does not support ` + verb}
	}
	if status != 0 {
		if err := c.exchange(ollama, q, ""); err != nil {
			return nil, m, err
		}
		return nil, m, c.reply(status, f)
	}
	return q, m, nil
}

// said is one line of an answer of Ollama's own API.
type said struct {
	Model     string  `json:"model"`
	CreatedAt string  `json:"created_at"`
	Response  *string `json:"response,omitempty"`
	Message   *turn   `json:"message,omitempty"`
	Done      bool    `json:"done"`
	Reason    string  `json:"done_reason,omitempty"`
	Context   []int   `json:"context,omitempty"`
	Total     int64   `json:"total_duration,omitempty"`
	Load      int64   `json:"load_duration,omitempty"`
	Prompted  int     `json:"prompt_eval_count,omitempty"`
	Prompting int64   `json:"prompt_eval_duration,omitempty"`
	Evaluated int     `json:"eval_count,omitempty"`
	Evaluting int64   `json:"eval_duration,omitempty"`
}

type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (c *call) generate() error { return c.speak(false) }
func (c *call) chat() error     { return c.speak(true) }

// speak answers /api/generate and /api/chat.
func (c *call) speak(chat bool) error {
	q, m, err := c.ask(false)
	if q == nil || err != nil {
		return err
	}
	line := func(text string) said {
		l := said{Model: q.model, CreatedAt: c.s.Now().UTC().Format(time.RFC3339Nano)}
		if chat {
			l.Message = &turn{"assistant", text}
		} else {
			l.Response = &text
		}
		return l
	}
	if q.prompt == "" { // loads the model
		if err := c.exchange(ollama, q, ""); err != nil {
			return err
		}
		l := line("")
		l.Done, l.Reason = true, "load"
		return c.reply(200, l)
	}
	words, reason := c.answer(m, q)
	if err := c.exchange(ollama, q, strings.Join(words, "")); err != nil {
		return err
	}
	last := func(l said) said {
		l.Done, l.Reason, l.Prompted, l.Evaluated = true, reason, q.tokens, len(words)
		l.Total = int64(max(time.Since(c.began), time.Duration(len(words))*c.conf.Pace) + 40*time.Millisecond)
		l.Load, l.Prompting = 18_000_000+int64(q.tokens), 20_000_000
		l.Evaluting = l.Total - l.Load/2 - l.Prompting
		if !chat {
			l.Context = contextOf(words)
		}
		return l
	}
	if !q.stream {
		if !c.think(len(words)) {
			return c.ctx.Err()
		}
		return c.reply(200, last(line(strings.Join(words, ""))))
	}
	return c.lines(func(say func(any) error) error {
		for _, w := range words {
			if err := say(line(w)); err != nil {
				return err
			}
		}
		return say(last(line("")))
	})
}

// lines streams values as lines of JSON, one per pace.
func (c *call) lines(do func(say func(any) error) error) error {
	out, err := style.Start(c.s, c.r, httpd.Response{Status: 200, Type: "application/x-ndjson"})
	if err != nil {
		return err
	}
	err = do(func(v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if !c.rest(c.conf.Pace) {
			return c.ctx.Err()
		}
		_, err = out.Write(append(b, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// contextOf is the conversation as token numbers, which clients send back.
func contextOf(words []string) []int {
	out := make([]int, 0, min(len(words), 64))
	for _, w := range words[:min(len(words), 64)] {
		n := 0
		for _, b := range []byte(w) {
			n = (n*131 + int(b)) % 128000
		}
		out = append(out, n)
	}
	return out
}

// Texts of one request for embeddings that are answered.
const maxInputs = 32

func (c *call) embed() error {
	q, m, err := c.ask(true)
	if q == nil || err != nil {
		return err
	}
	if err := c.exchange(ollama, q, ""); err != nil {
		return err
	}
	var out struct {
		Model      string      `json:"model"`
		Embeddings [][]float32 `json:"embeddings"`
		Total      int64       `json:"total_duration"`
		Load       int64       `json:"load_duration"`
		Count      int         `json:"prompt_eval_count"`
	}
	out.Model, out.Total, out.Load, out.Count = q.model, 31_000_000, 1_200_000, q.tokens
	for _, t := range c.inputs() {
		out.Embeddings = append(out.Embeddings, c.vector(m, t))
	}
	return c.reply(200, out)
}

func (c *call) embedOne() error {
	q, m, err := c.ask(true)
	if q == nil || err != nil {
		return err
	}
	if err := c.exchange(ollama, q, ""); err != nil {
		return err
	}
	return c.reply(200, struct {
		Embedding []float32 `json:"embedding"`
	}{c.vector(m, q.prompt)})
}

// inputs are the texts to embed: one or a list.
func (c *call) inputs() []string {
	var in struct {
		Input json.RawMessage `json:"input"`
	}
	_ = json.Unmarshal(c.r.Body, &in) // was read before
	var list []string
	if json.Unmarshal(in.Input, &list) == nil {
		return list[:min(len(list), maxInputs)]
	}
	var one string
	_ = json.Unmarshal(in.Input, &one) // neither: the empty text
	return []string{one}
}

type status struct {
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// progress answers with lines of progress, the last of which may be an error.
func (c *call) progress(n named, lines ...status) error {
	if n.Stream != nil && !*n.Stream {
		last := lines[len(lines)-1]
		if last.Error != "" {
			return c.reply(500, last)
		}
		return c.reply(200, last)
	}
	return c.lines(func(say func(any) error) error {
		for _, l := range lines {
			if err := say(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// pull has what the persona has; everything else cannot be reached. A name
// with a host in it is a server the visitor wants us to talk to.
func (c *call) pull() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	host, rest := "registry.ollama.ai", "library/"+n.Model
	name := strings.TrimPrefix(strings.TrimPrefix(n.Model, "https://"), "http://")
	if h, r, ok := strings.Cut(name, "/"); ok && strings.ContainsAny(h, ".:") {
		host, rest = h, r
		scheme := "https://"
		if n.Insecure || strings.HasPrefix(n.Model, "http://") {
			scheme = "http://"
		}
		if err := c.s.Fetch(scheme+cut(name, 2000), "ollama"); err != nil {
			return err
		}
	}
	if m, ok := c.model(n.Model); ok {
		return c.progress(n, status{Status: "pulling manifest"}, status{Status: "pulling " + m.Digest[:12]}, status{Status: "verifying sha256 digest"}, status{Status: "writing manifest"}, status{Status: "success"})
	}
	repo, tag, ok := strings.Cut(rest, ":")
	if !ok {
		tag = "latest"
	}
	return c.progress(n, status{Status: "pulling manifest"},
		status{Error: "pull model manifest: Get \"https://" + cut(host, 200) + "/v2/" + cut(repo, 200) + "/manifests/" + cut(tag, 100) + "\": net/http: TLS handshake timeout"})
}

func (c *call) push() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	return c.progress(n, status{Status: "retrieving manifest"}, status{Error: "open /usr/share/ollama/.ollama/id_ed25519: permission denied"})
}

func (c *call) create() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	return c.progress(n, status{Status: "reading model metadata"}, status{Error: "mkdir /usr/share/ollama/.ollama/models/manifests: no space left on device"})
}

func (c *call) copy() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	if _, ok := c.model(n.Model); !ok {
		return c.reply(404, notFound(n.Model))
	}
	return c.reply(500, fault{"open /usr/share/ollama/.ollama/models/manifests: permission denied"})
}

func (c *call) remove() error {
	n, ok, err := c.about()
	if !ok || err != nil {
		return err
	}
	m, ok := c.model(n.Model)
	if !ok {
		return c.reply(404, notFound(n.Model))
	}
	base, tag, _ := strings.Cut(m.Name, ":")
	return c.reply(500, fault{"remove /usr/share/ollama/.ollama/models/manifests/registry.ollama.ai/library/" + base + "/" + tag + ": permission denied"})
}

// blob takes a file that is to become a model.
func (c *call) blob() error {
	name := strings.TrimPrefix(c.r.Path, "/api/blobs/")
	if err := c.s.File(observe.FileEvent{Path: "/usr/share/ollama/.ollama/models/blobs/" + cut(name, 512), How: "http-upload", Size: c.r.BodyLen, Capped: c.r.Cut}, c.r.Body); err != nil {
		return err
	}
	if sum, ok := strings.CutPrefix(name, "sha256:"); !ok || len(sum) != 64 || !isHex(sum) {
		return c.reply(400, fault{"invalid digest format"})
	}
	return style.Write(c.s, c.r, httpd.Response{Status: 201})
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

func (c *call) noBlob() error { return style.Write(c.s, c.r, httpd.Response{Status: 404}) }

func cut(s string, max int) string {
	if len(s) > max {
		return s[:max]
	}
	return s
}
