package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"bartizan/internal/credential"
	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Limits of what a server may say while it is scanned.
const (
	maxMessage = 8 << 20 // bytes of one message
	maxAnswer  = 64 << 20
	maxTools   = 2000
	maxPages   = 100
)

// live asks a server for what it offers and looks at it.
func (r *run) live(ctx context.Context, s *mcp.Server, at place) power {
	p := power{name: s.Name}
	ctx, cancel := context.WithTimeout(ctx, r.conf.Wait.D())
	defer cancel()
	transport, end, err := connect(ctx, s)
	if err == nil {
		err = r.ask(ctx, transport, at, &p)
		if said := end(); err != nil && said != "" {
			err = fmt.Errorf("%w; it said: %s", err, said)
		}
	}
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("no complete answer within %s (%w)", r.conf.Wait, err)
		}
		r.unknown(notReached, at, s.Name, safe.Clean(credential.Mask(err.Error()), 500))
	}
	return p
}

// connect starts or reaches a server; end stops it and returns the end of what it
// said on standard error.
func connect(ctx context.Context, s *mcp.Server) (sdk.Transport, func() string, error) {
	for _, v := range append(append([]string{s.Command, s.URL}, s.Args...), values(s)...) {
		if input.MatchString(v) {
			return nil, nil, errors.New("its configuration asks the client for input (" + safe.Clean(input.FindString(v), 60) + "), which a scan does not have: give COMMAND or URL with the value")
		}
	}
	if s.Remote() {
		headers := http.Header{}
		for _, h := range s.Headers {
			headers.Set(h.Name, expand(h.Value))
		}
		to, err := url.Parse(expand(s.URL))
		if err != nil {
			return nil, nil, errors.New("its address is no URL")
		}
		client := &http.Client{Transport: &carrier{headers, to}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if strings.EqualFold(s.Type, "sse") {
			return &sdk.SSEClientTransport{Endpoint: to.String(), HTTPClient: client}, func() string { return "" }, nil
		}
		return &sdk.StreamableClientTransport{Endpoint: to.String(), HTTPClient: client, MaxRetries: -1,
			DisableStandaloneSSE: true, MaxEventSize: maxMessage}, func() string { return "" }, nil
	}
	return start(ctx, s)
}

var input = regexp.MustCompile(`\$\{input:[^}]*\}`)

func values(s *mcp.Server) (out []string) {
	for _, e := range append(append([]mcp.Pair(nil), s.Env...), s.Headers...) {
		out = append(out, e.Value)
	}
	return out
}

var reference = regexp.MustCompile(`\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}`)

// expand puts in variables of the environment as clients do: ${NAME}, ${env:NAME},
// ${NAME:-default}.
func expand(s string) string {
	return reference.ReplaceAllStringFunc(s, func(m string) string {
		part := reference.FindStringSubmatch(m)
		if v, ok := os.LookupEnv(part[1]); ok {
			return v
		}
		return part[2]
	})
}

// start runs a command with its pipes; it is killed with all its children at the end.
func start(ctx context.Context, s *mcp.Server) (sdk.Transport, func() string, error) {
	args := make([]string, len(s.Args))
	for i, a := range s.Args {
		args[i] = expand(a)
	}
	cmd := exec.CommandContext(ctx, expand(s.Command), args...)
	cmd.Dir = expand(s.Dir)
	cmd.Env = os.Environ()
	for _, e := range s.Env {
		cmd.Env = append(cmd.Env, e.Name+"="+expand(e.Value))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	cmd.WaitDelay = 2 * time.Second
	said := &tail{}
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", safe.Clean(s.Command, 100), errors.Unwrap(err))
	}
	end := func() string {
		_ = in.Close()  // what it is told
		_ = kill()      // it may be gone already
		_ = cmd.Wait()  // it was killed: its status says nothing
		_ = out.Close() // closed by Wait, too
		return said.text()
	}
	type pipe struct {
		io.Reader
		io.Closer
	}
	return &sdk.IOTransport{Reader: pipe{safe.CappedReader(out, maxAnswer, "what the server sent"), out}, Writer: in, MaxLineLength: maxMessage}, end, nil
}

// tail keeps the last bytes of standard error.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf = append(t.buf, p...); len(t.buf) > 2000 {
		t.buf = bytes.Clone(t.buf[len(t.buf)-1000:])
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return safe.Clean(strings.TrimSpace(string(t.buf[max(0, len(t.buf)-300):])), 300)
}

// carrier adds the headers of a configuration and bounds the answers. It goes to
// the server that was named and nowhere else: one that redirects, or names another
// address for messages, would get the credentials in the headers sent there, or a
// look at what only this machine can reach.
type carrier struct {
	headers http.Header
	to      *url.URL
}

func (c *carrier) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != c.to.Scheme || req.URL.Host != c.to.Host {
		return nil, fmt.Errorf("it sends its clients to another server, %s, where a scan does not go: name that one instead", safe.Clean(req.URL.Host, 100))
	}
	req = req.Clone(req.Context())
	for name, v := range c.headers {
		req.Header[name] = v
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{safe.CappedReader(resp.Body, maxAnswer, "what the server sent"), resp.Body}
	}
	return resp, err
}

// ask goes through everything that a server puts before a model.
func (r *run) ask(ctx context.Context, transport sdk.Transport, at place, p *power) error {
	client := sdk.NewClient(&sdk.Implementation{Name: "bartizan-scan", Version: "1"}, &sdk.ClientOptions{Capabilities: &sdk.ClientCapabilities{}})
	session, err := client.Connect(ctx, transport, nil)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	closed := make(chan struct{})
	defer func() { // a server that does not end is ended by the context
		go func() { _ = session.Close(); close(closed) }()
		select {
		case <-closed:
		case <-ctx.Done():
		}
	}()
	hello := session.InitializeResult()
	r.text("instructions", hello.Instructions, at)
	if hello.Capabilities.Tools != nil {
		if err := r.listTools(ctx, session, at, p); err != nil {
			return fmt.Errorf("list tools: %w", err)
		}
	}
	if hello.Capabilities.Prompts != nil {
		n := 0
		for prompt, err := range session.Prompts(ctx, nil) {
			if n++; err != nil || n > maxTools {
				return fmt.Errorf("list prompts, %d read: %w", n-1, cause(err))
			}
			r.text("prompt "+prompt.Name, texts(prompt), at)
		}
	}
	if hello.Capabilities.Resources != nil {
		n := 0
		for res, err := range session.Resources(ctx, nil) {
			if n++; err != nil || n > maxTools {
				return fmt.Errorf("list resources, %d read: %w", n-1, cause(err))
			}
			r.text("resource "+res.Name, res.Title+"\n"+res.Description, at)
		}
	}
	return nil
}

func cause(err error) error {
	if err == nil {
		return errors.New("too many")
	}
	return err
}

func texts(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return mcp.Strings(raw, true, nil)
}

func (r *run) listTools(ctx context.Context, session *sdk.ClientSession, at place, p *power) error {
	cursor, n := "", 0
	for range maxPages {
		page, err := session.ListTools(ctx, &sdk.ListToolsParams{Cursor: cursor})
		if err != nil {
			return err
		}
		for _, t := range page.Tools {
			if n++; n > maxTools {
				return fmt.Errorf("more than %d tools", maxTools)
			}
			raw, err := json.Marshal(t)
			if err == nil {
				var tool mcp.Tool
				if tool, err = mcp.ParseTool(raw); err == nil {
					p.has |= r.definition(tool, at)
					continue
				}
			}
			r.unknown(badTool, at, "tool "+safe.Clean(t.Name, 100), err.Error())
		}
		if cursor = page.NextCursor; cursor == "" {
			return nil
		}
	}
	return fmt.Errorf("more than %d pages", maxPages)
}
