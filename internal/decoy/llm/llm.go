// Package llm is a decoy that looks like an Ollama server somebody left open:
// Ollama's own API and the OpenAI-compatible one, on one port. What models it
// has comes from the persona.
//
// There is no model. Answers come from a small deterministic responder that
// is good enough for the questions with which a stranger tests whether a
// model answers, and plausible after that. Nothing that is asked for is
// fetched, run or stored.
package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/httpd"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// Config of the decoy.
type Config struct {
	MaxBody   conf.Bytes    `yaml:"max_body"`   // bytes of a request body that are kept
	Pace      time.Duration `yaml:"pace"`       // time between two tokens of a streamed answer
	MaxTokens int           `yaml:"max_tokens"` // longest answer
}

// Default talks about as fast as a small model on a graphics card.
func Default() Config {
	return Config{MaxBody: 2 << 20, Pace: 6 * time.Millisecond, MaxTokens: 600}
}

// Validate says what cannot work.
func (c Config) Validate() error {
	switch {
	case c.MaxBody < 4<<10 || c.MaxBody > 10<<20:
		return errors.New("check llm decoy: max_body must be between 4KiB and 10MiB")
	case c.Pace < 0 || c.Pace > time.Second:
		return errors.New("check llm decoy: pace must be between 0 and 1s")
	case c.MaxTokens < 16 || c.MaxTokens > 4096:
		return errors.New("check llm decoy: max_tokens must be 16 to 4096")
	}
	return nil
}

// New makes the decoy.
func New(c Config) (decoy.Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &service{conf: c}, nil
}

type service struct{ conf Config }

// Serve implements decoy.Service.
func (v *service) Serve(ctx context.Context, s *decoy.Session) error {
	return httpd.Serve(s, int(v.conf.MaxBody), func(r *httpd.Request) (bool, error) {
		c := &call{service: v, ctx: ctx, s: s, r: r, p: s.Persona(), began: time.Now()}
		return c.serve()
	}, func(m *httpd.Malformed) { refuse(s, m) })
}

// refuse reports what was understood of a malformed request and answers it.
func refuse(s *decoy.Session, m *httpd.Malformed) {
	if m.Request.Method != "" && m.Request.Target != "" {
		if err := s.HTTP(redacted(m.Request, m.Status), nil); err != nil {
			return
		}
	}
	_ = httpd.GoRefusal(s, m) // the visitor may have gone
}

// call is one request.
type call struct {
	*service
	ctx   context.Context
	s     *decoy.Session
	r     *httpd.Request
	p     *persona.Persona
	began time.Time
	key   string // identifier of the key offered
}

// style is that of Go's net/http, which says no Server.
var style = httpd.Style{Go: true}

// serve reports a request and answers it.
func (c *call) serve() (more bool, err error) {
	c.s.Identify(c.r.Header("User-Agent"), observe.Fingerprints{})
	do, status := find(c.r.Method, c.r.Path)
	c.key = observe.KeyID(offered(c.r))
	if err := c.s.HTTP(redacted(c.r, status), nil); err != nil {
		return false, err
	}
	if do == nil {
		return true, c.missing(status)
	}
	if err := do(c); err != nil {
		return false, nil // the visitor left, or has had enough
	}
	return true, nil
}

// redacted is the request as an observation, without its body (the exchange
// has that) and with keys by their identifiers.
func redacted(r *httpd.Request, status int) observe.HTTPRequest {
	h := r.Observation(status, "", false)
	if status == 200 {
		h.Body = nil
	}
	h.Headers = append([]observe.Field(nil), h.Headers...)
	for i := range h.Headers {
		if f := &h.Headers[i]; isKey(f.Name) {
			f.Value = observe.KeyID(f.Value)
		}
	}
	return h
}

func isKey(header string) bool {
	return strings.EqualFold(header, "Authorization") || strings.EqualFold(header, "X-Api-Key") || strings.EqualFold(header, "Api-Key")
}

// offered is the key a request brings, without its scheme.
func offered(r *httpd.Request) string {
	for _, h := range r.Headers {
		if isKey(h.Name) {
			if scheme, key, ok := strings.Cut(h.Value, " "); ok && strings.EqualFold(scheme, "Bearer") {
				return strings.TrimSpace(key)
			}
			return h.Value
		}
	}
	return ""
}

// exchange reports a request to a model.
func (c *call) exchange(api string, q *question, answer string) error {
	x := observe.Exchange{API: api, Route: c.r.Path, Key: c.key, Answer: answer}
	if q != nil {
		x.Model, x.System, x.Prompt, x.Turns, x.Stream, x.Options = q.model, q.system, q.prompt, q.turns, q.stream, q.options
	}
	return c.s.Exchange(x, c.r.Body)
}

func (c *call) missing(status int) error {
	text := "404 page not found"
	if status == 405 {
		text = "405 method not allowed"
	}
	return style.Write(c.s, c.r, httpd.Response{Status: status, Type: "text/plain", Body: []byte(text)})
}

// reply answers with a value as JSON.
func (c *call) reply(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer of llm decoy: %w", err)
	}
	return style.Write(c.s, c.r, httpd.Response{Status: status, Type: "application/json; charset=utf-8", Body: b})
}

// model finds one of the persona's models as Ollama does: without a tag it is "latest".
func (c *call) model(name string) (persona.Model, bool) {
	full := name
	if strings.LastIndexByte(full, ':') <= strings.LastIndexByte(full, '/') {
		full += ":latest"
	}
	for _, m := range c.p.Ollama.Models {
		if strings.EqualFold(m.Name, full) {
			return m, true
		}
	}
	return persona.Model{}, false
}

// embeds reports whether a model only makes embeddings.
func embeds(m persona.Model) bool { return strings.Contains(m.Family, "bert") }

// rest waits for a moment, false when the sensor stops.
func (c *call) rest(d time.Duration) bool {
	if d <= 0 {
		return c.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// think takes the time that an answer of n tokens takes when it is not streamed.
func (c *call) think(n int) bool {
	return c.rest(min(time.Duration(n)*c.conf.Pace, 700*time.Millisecond))
}

// route is one path of the server.
type route struct {
	method string
	path   string // a trailing "/" means everything below
	do     func(*call) error
}

var routes = [...]route{
	{"GET", "/", (*call).alive},
	{"HEAD", "/", (*call).alive},
	{"GET", "/api/version", (*call).version},
	{"HEAD", "/api/version", (*call).version},
	{"GET", "/api/tags", (*call).tags},
	{"HEAD", "/api/tags", (*call).tags},
	{"GET", "/api/ps", (*call).loaded},
	{"POST", "/api/show", (*call).show},
	{"POST", "/api/generate", (*call).generate},
	{"POST", "/api/chat", (*call).chat},
	{"POST", "/api/embed", (*call).embed},
	{"POST", "/api/embeddings", (*call).embedOne},
	{"POST", "/api/pull", (*call).pull},
	{"POST", "/api/push", (*call).push},
	{"POST", "/api/create", (*call).create},
	{"POST", "/api/copy", (*call).copy},
	{"DELETE", "/api/delete", (*call).remove},
	{"POST", "/api/blobs/", (*call).blob},
	{"HEAD", "/api/blobs/", (*call).noBlob},
	{"GET", "/v1/models", (*call).models},
	{"GET", "/v1/models/", (*call).oneModel},
	{"POST", "/v1/chat/completions", (*call).completeChat},
	{"POST", "/v1/completions", (*call).complete},
	{"POST", "/v1/embeddings", (*call).embeddings},
	{"POST", "/v1/responses", (*call).responses},
}

// find returns what answers a request; status is that of the answer when
// nothing does.
func find(method, path string) (do func(*call) error, status int) {
	status = 404
	if len(path) > 1 {
		if t := strings.TrimSuffix(path, "/"); t != "" {
			path = t
		}
	}
	for _, r := range routes {
		below := len(r.path) > 1 && strings.HasSuffix(r.path, "/")
		if path != r.path && !(below && strings.HasPrefix(path, r.path) && len(path) > len(r.path)) {
			continue
		}
		if r.method == method {
			return r.do, 200
		}
		status = 405
	}
	return nil, status
}
