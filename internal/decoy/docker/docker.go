// Package docker is a decoy that looks like a Docker engine whose API somebody
// left open to the network without TLS. The docker command line works with
// it: images are pulled, containers are created, started, entered and logged.
//
// Nothing is pulled and nothing runs: commands go to the shell emulator, and
// what a visitor makes is kept for that visitor alone, within bounds.
package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
)

// Config of the decoy.
type Config struct {
	MaxBody  conf.Bytes    `yaml:"max_body"` // bytes of a request body that are kept
	Visitors int           `yaml:"visitors"` // addresses whose containers are remembered
	Hold     time.Duration `yaml:"hold"`     // longest time a request may wait for something to happen
}

// Default suits a sensor of any size.
func Default() Config {
	return Config{MaxBody: 1 << 20, Visitors: 1024, Hold: 5 * time.Minute}
}

// Validate says what cannot work.
func (c Config) Validate() error {
	switch {
	case c.MaxBody < 4<<10 || c.MaxBody > 10<<20:
		return errors.New("check docker decoy: max_body must be between 4KiB and 10MiB")
	case c.Visitors < 1 || c.Visitors > 65536:
		return errors.New("check docker decoy: visitors must be 1 to 65536")
	case c.Hold < 100*time.Millisecond || c.Hold > time.Hour:
		return errors.New("check docker decoy: hold must be between 100ms and 1h")
	}
	return nil
}

// New makes the decoy.
func New(c Config) (decoy.Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &service{conf: c, store: newStore(c.Visitors)}, nil
}

type service struct {
	conf  Config
	store *store
}

// Serve implements decoy.Service.
func (v *service) Serve(ctx context.Context, s *decoy.Session) error {
	st := httpd.Style{Server: "Docker/" + s.Persona().Docker.Version + " (linux)", Go: true}
	return httpd.Serve(s, int(v.conf.MaxBody), func(r *httpd.Request) (bool, error) {
		c := &call{service: v, ctx: ctx, s: s, r: r, st: st, engine: v.store.engine(s), began: time.Now()}
		return c.serve()
	}, func(m *httpd.Malformed) { refuse(s, m) })
}

// refuse reports what was understood of a malformed request and answers it.
func refuse(s *decoy.Session, m *httpd.Malformed) {
	if m.Request.Method != "" && m.Request.Target != "" {
		if err := s.HTTP(m.Request.Observation(m.Status, "", false), nil); err != nil {
			return
		}
	}
	_ = httpd.GoRefusal(s, m) // the visitor may have gone
}

// call is one request.
type call struct {
	*service
	ctx    context.Context
	s      *decoy.Session
	r      *httpd.Request
	st     httpd.Style
	engine *engine
	began  time.Time

	query url.Values
	parts []string // of the path, without the version
	minor int      // of the API version asked for
	args  []string // of the observation

	hijacked bool // the connection belongs to a stream now
	deaf     bool // and the visitor sends no more
}

// serve finds the operation, reports it and answers it.
func (c *call) serve() (more bool, err error) {
	c.s.Identify(c.r.Header("User-Agent"), observe.Fingerprints{})
	c.query, _ = url.ParseQuery(cut(c.r.Query, 8<<10)) // keeps what it could decode
	path, problem := c.version(c.r.Path)
	c.parts = strings.Split(strings.Trim(path, "/"), "/")
	op := find(c.r.Method, c.parts)
	if op == nil {
		return true, c.elsewhere()
	}
	if err := c.report(op); err != nil {
		return false, err
	}
	if problem != "" {
		return true, c.fail(400, problem)
	}
	if err := op.do(c); err != nil {
		return false, nil // the visitor left, or has had enough
	}
	return true, nil
}

// elsewhere answers what is no operation.
func (c *call) elsewhere() error {
	status := 404
	if c.r.Method == "OPTIONS" {
		status = 200 // the engine allows them everywhere
	}
	if err := c.s.HTTP(c.r.Observation(status, "", false), bodyOf(c.r)); err != nil {
		return err
	}
	if status == 200 {
		return c.empty(200)
	}
	// This one answer comes from before the engine adds its own headers.
	return httpd.Style{Go: true}.Write(c.s, c.r, httpd.Response{Status: status, Type: "application/json", Body: []byte("{\"message\":\"page not found\"}\n")})
}

func bodyOf(r *httpd.Request) []byte {
	if len(r.Body) == 0 {
		return nil
	}
	return r.Raw()
}

// version takes the API version off a path.
func (c *call) version(path string) (rest, problem string) {
	d := c.s.Persona().Docker
	c.minor = minor(d.APIVersion)
	head, tail, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !strings.HasPrefix(head, "v1.") {
		return path, ""
	}
	n, err := strconv.Atoi(head[3:])
	if err != nil || n < 0 || n > 9999 {
		return path, ""
	}
	asked := "1." + strconv.Itoa(n)
	switch {
	case n > c.minor:
		problem = "client version " + asked + " is too new. Maximum supported API version is " + d.APIVersion
	case n < minor(d.MinAPIVersion):
		problem = "client version " + asked + " is too old. Minimum supported API version is " + d.MinAPIVersion + ", please upgrade your client to a newer version"
	}
	c.minor = n
	return "/" + tail, problem
}

func minor(version string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(version, "1.")) // the persona's own
	return n
}

// report tells the node of an operation: its name without identifiers, what
// it names, and of a body what matters, so that padding cannot hide it.
func (c *call) report(op *operation) error {
	args := c.args
	for i, p := range op.path {
		if strings.HasPrefix(p, "{") {
			rest := c.parts[i : i+1]
			if strings.HasSuffix(p, "...}") {
				rest = c.parts[i : len(c.parts)-(len(op.path)-1-i)]
			}
			args = append(args, strings.Trim(p, "{}.")+"="+cut(strings.Join(rest, "/"), 512))
		}
	}
	for _, k := range sortedKeys(c.query) {
		for _, v := range c.query[k] {
			if len(args) < 32 {
				args = append(args, cut(k, 64)+"="+cut(v, 1024))
			}
		}
	}
	detail := ""
	if op.body != nil && len(c.r.Body) > 0 {
		args = append(args, op.body(c.r.Body)...)
	}
	if looksText(c.r.Body) {
		detail = string(c.r.Body)
	}
	if auth := c.r.Header("X-Registry-Auth"); auth != "" {
		if err := c.registryAuth(auth); err != nil {
			return err
		}
	}
	return c.s.Call(observe.APICall{Operation: op.name, Args: args, Detail: detail}, bodyOf(c.r))
}

func looksText(b []byte) bool {
	for _, x := range b[:min(len(b), 512)] {
		if x < ' ' && x != '\n' && x != '\r' && x != '\t' {
			return false
		}
	}
	return len(b) > 0
}

func (c *call) headers() []observe.Field {
	return []observe.Field{{Name: "Api-Version", Value: c.s.Persona().Docker.APIVersion}, {Name: "Docker-Experimental", Value: "false"}, {Name: "Ostype", Value: "linux"}}
}

func (c *call) write(w httpd.Response) error {
	w.Headers = append(w.Headers, c.headers()...)
	return c.st.Write(c.s, c.r, w)
}

// ok answers 200 with a value as JSON.
func (c *call) ok(v any) error { return c.reply(200, v) }

func (c *call) reply(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer of docker decoy: %w", err)
	}
	return c.write(httpd.Response{Status: status, Type: "application/json", Body: append(b, '\n')})
}

func (c *call) empty(status int) error { return c.write(httpd.Response{Status: status}) }

func (c *call) fail(status int, message string) error {
	return c.reply(status, problem{message})
}

type problem struct {
	Message string `json:"message"`
}

// stream begins an answer of unknown length.
func (c *call) stream(contentType string) (*httpd.Stream, error) {
	return c.st.Start(c.s, c.r, httpd.Response{Status: 200, Type: contentType, Headers: c.headers()})
}

// flag reads a boolean of the query as the engine does.
func (c *call) flag(name string) bool {
	switch strings.ToLower(strings.TrimSpace(c.query.Get(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

func cut(s string, max int) string {
	if len(s) > max {
		return s[:max]
	}
	return s
}
