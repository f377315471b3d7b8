package mcp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tailscale/hujson"
)

// Limits of a client configuration.
const (
	MaxClientFile = 8 << 20 // bytes; Claude Code keeps its history in the same file
	MaxServers    = 500
	maxEntries    = 1000 // arguments, variables and headers of one server
)

// Pair is a name and a value, in the order of the file.
type Pair struct{ Name, Value string }

// Server is one entry of a client configuration.
type Server struct {
	Name     string
	Scope    string // the project it belongs to; "" for all
	Line     int
	Type     string // as written: stdio, sse, http, streamable-http; ""
	Command  string
	Args     []string
	Env      []Pair
	EnvFile  string
	Dir      string // working folder
	URL      string
	Headers  []Pair
	Disabled bool
	Approved []string // tools that are called without asking; "*" for all
	Bad      string   // why the entry could not be read; the rest is then empty
}

// Remote says whether the server is reached over the network.
func (s *Server) Remote() bool { return s.URL != "" }

// Client is what one file says.
type Client struct {
	Servers    []Server
	TrustAll   bool     // servers of a project are used without asking
	TrustAllAt int      // line
	Allowed    []string // servers all of whose tools are used without asking, as Claude Code's permissions name them
	AllowedAt  int      // line
}

// ErrNoServers says that a file is valid and has no place for servers.
var ErrNoServers = errors.New("it has none of mcpServers, servers, mcp.servers, context_servers or mcp_servers: is it the configuration of an MCP client?")

// ParseClient reads the configuration of an MCP client: Claude Desktop and Code
// (.mcp.json, ~/.claude.json with projects, settings.json), Cursor, Windsurf, Cline,
// Gemini CLI, Zed, VS Code (mcp.json, settings.json, devcontainer.json), Codex (config.toml). Comments and
// trailing commas are taken, as VS Code takes them. A server that cannot be read has
// Bad set; an error is about the whole file.
func ParseClient(text []byte) (*Client, error) {
	if len(text) > MaxClientFile {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(text), MaxClientFile)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if err := shallow(text); err != nil {
		return nil, err
	}
	plain, err := hujson.Standardize(slices.Clone(text))
	if err != nil {
		c, err := parseTOML(text)
		if errors.Is(err, errNoTOML) {
			err = errors.New("neither JSON, JSON with comments nor TOML")
		}
		return c, err
	}
	r := &clientReader{text: plain, client: &Client{}}
	if err := r.top(plain, 0, ""); err != nil {
		return nil, err
	}
	if !r.found {
		return nil, ErrNoServers
	}
	return r.client, nil
}

// shallow refuses nesting that would use up the stack of the reader of comments;
// it counts brackets anywhere, so that no comment can hide one.
func shallow(text []byte) error {
	depth := 0
	for _, c := range text {
		switch c {
		case '{', '[':
			if depth++; depth > 10*MaxDepth {
				return fmt.Errorf("nested deeper than %d levels", 10*MaxDepth)
			}
		case '}', ']':
			depth = max(0, depth-1)
		}
	}
	return nil
}

type clientReader struct {
	text   []byte
	client *Client
	found  bool
}

func (r *clientReader) line(at int) int {
	return 1 + bytes.Count(r.text[:min(max(at, 0), len(r.text))], []byte("\n"))
}

// members is Members with offsets into the whole file.
func (r *clientReader) members(raw []byte, base int, visit func(name string, v jsontext.Value, at int) error) error {
	return Members(raw, func(name string, v jsontext.Value, at int) error { return visit(name, v, base+at) })
}

// place of the value v that follows the name at offset at.
func (r *clientReader) place(v jsontext.Value, at int) int {
	if k := bytes.Index(r.text[at:], v); k >= 0 {
		return at + k
	}
	return at
}

func (r *clientReader) top(raw []byte, base int, scope string) error {
	return r.members(raw, base, func(name string, v jsontext.Value, at int) error {
		switch name {
		case "mcpServers", "context_servers", "servers", "mcp.servers":
			if name == "servers" && v.Kind() != '{' {
				return nil
			}
			return r.servers(v, r.place(v, at), scope)
		case "enableAllProjectMcpServers":
			if v.Kind() == 't' {
				r.client.TrustAll, r.client.TrustAllAt = true, r.line(at)
			}
			r.found = true
		case "permissions":
			if v.Kind() == '{' && scope == "" {
				return r.permissions(v, r.place(v, at))
			}
		case "mcp", "customizations", "vscode", "settings":
			if v.Kind() == '{' {
				return r.top(v, r.place(v, at), scope)
			}
		case "projects":
			if v.Kind() != '{' || scope != "" {
				return nil
			}
			return r.members(v, r.place(v, at), func(project string, v jsontext.Value, at int) error {
				if v.Kind() != '{' {
					return nil
				}
				return r.top(v, r.place(v, at), safe.Clean(project, 200))
			})
		}
		return nil
	})
}

// permissions of Claude Code: mcp__SERVER and mcp__SERVER__* stand for every tool that the server has, or will have.
func (r *clientReader) permissions(raw jsontext.Value, base int) error {
	return r.members(raw, base, func(name string, v jsontext.Value, at int) error {
		if name != "allow" || v.Kind() != '[' {
			return nil
		}
		return Elements(v, func(v jsontext.Value) error {
			if v.Kind() != '"' {
				return nil
			}
			rule, err := Text(v)
			if err != nil {
				return err
			}
			rest, ok := strings.CutPrefix(rule, "mcp__")
			if !ok || strings.Contains(rest, "__") && !strings.HasSuffix(rest, "*") {
				return nil
			}
			r.found = true
			if len(r.client.Allowed) < MaxServers {
				r.client.Allowed, r.client.AllowedAt = append(r.client.Allowed, safe.Clean(rule, 200)), r.line(at)
			}
			return nil
		})
	})
}

func (r *clientReader) servers(raw jsontext.Value, base int, scope string) error {
	if raw.Kind() != '{' {
		return fmt.Errorf("line %d: the list of servers is no object", r.line(base))
	}
	r.found = true
	return r.members(raw, base, func(name string, v jsontext.Value, at int) error {
		if len(r.client.Servers) >= MaxServers {
			return fmt.Errorf("more than %d servers", MaxServers)
		}
		s := Server{Name: safe.Clean(name, 200), Scope: scope, Line: r.line(at)}
		if err := s.read(v); err != nil {
			s = Server{Name: s.Name, Scope: scope, Line: s.Line, Bad: err.Error()}
		}
		r.client.Servers = append(r.client.Servers, s)
		return nil
	})
}

func (s *Server) read(raw jsontext.Value) error {
	if raw.Kind() != '{' {
		return errors.New("the entry is no object")
	}
	err := Members(raw, func(name string, v jsontext.Value, _ int) (err error) {
		switch name {
		case "type", "transport":
			s.Type, err = scalar(v)
		case "command":
			err = s.command(v)
		case "args":
			s.Args, err = list(v)
		case "env":
			s.Env, err = pairs(v)
		case "envFile":
			s.EnvFile, err = scalar(v)
		case "cwd":
			s.Dir, err = scalar(v)
		case "url", "serverUrl", "httpUrl":
			s.URL, err = scalar(v)
		case "headers":
			s.Headers, err = pairs(v)
		case "disabled":
			s.Disabled = v.Kind() == 't'
		case "enabled":
			s.Disabled = v.Kind() == 'f'
		case "alwaysAllow", "autoApprove":
			if v.Kind() == 't' {
				s.Approved = append(s.Approved, "*")
			} else if v.Kind() == '[' {
				var more []string
				more, err = list(v)
				s.Approved = append(s.Approved, more...)
			}
		case "trust":
			if v.Kind() == 't' {
				s.Approved = append(s.Approved, "*")
			}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	})
	if err == nil && s.Command == "" && s.URL == "" {
		err = errors.New("neither command nor url")
	}
	return err
}

// command is a string, or an object {path, args, env} (Zed).
func (s *Server) command(v jsontext.Value) (err error) {
	if v.Kind() != '{' {
		s.Command, err = scalar(v)
		return err
	}
	return Members(v, func(name string, v jsontext.Value, _ int) (err error) {
		switch name {
		case "path":
			s.Command, err = scalar(v)
		case "args":
			s.Args, err = list(v)
		case "env":
			s.Env, err = pairs(v)
		}
		return err
	})
}

// scalar takes strings, numbers and booleans: clients hand all of them on as text.
func scalar(v jsontext.Value) (string, error) {
	switch v.Kind() {
	case '"':
		return Text(v)
	case '0', 't', 'f':
		return string(v), nil
	case 'n':
		return "", nil
	}
	return "", errors.New("not a text")
}

func list(v jsontext.Value) (out []string, err error) {
	if v.Kind() == 'n' {
		return nil, nil
	}
	err = Elements(v, func(v jsontext.Value) error {
		s, err := scalar(v)
		if err == nil && len(out) >= maxEntries {
			err = fmt.Errorf("more than %d entries", maxEntries)
		}
		out = append(out, s)
		return err
	})
	return out, err
}

func pairs(v jsontext.Value) (out []Pair, err error) {
	if v.Kind() == 'n' {
		return nil, nil
	}
	err = Members(v, func(name string, v jsontext.Value, _ int) error {
		s, err := scalar(v)
		if err == nil && len(out) >= maxEntries {
			err = fmt.Errorf("more than %d entries", maxEntries)
		}
		out = append(out, Pair{name, s})
		return err
	})
	return out, err
}

// Words of a command line for people: quoted where needed, cut.
func Words(command string, args []string) string {
	parts := []string{command}
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\"'") {
			a = fmt.Sprintf("%q", a)
		}
		parts = append(parts, a)
	}
	return safe.Clean(strings.Join(parts, " "), 300)
}
