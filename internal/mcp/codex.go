package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"bartizan/internal/safe"

	"github.com/pelletier/go-toml/v2"
)

// Bounds of a configuration in TOML; a history or the like is in no such file.
const (
	maxTOML = 1 << 20
	maxDots = 200 // in one line: each of a dotted key is a level
)

// codex is what Codex's config.toml says of MCP servers.
type codex struct {
	Servers map[string]any `toml:"mcp_servers"`
}

var errNoTOML = errors.New("no TOML")

// parseTOML reads Codex's configuration. Its servers have the keys of the others, but for
// headers and where their values come from.
func parseTOML(text []byte) (*Client, error) {
	if len(text) > maxTOML || len(bytes.TrimSpace(text)) == 0 {
		return nil, errNoTOML
	}
	for line := range bytes.Lines(text) {
		if bytes.Count(line, []byte(".")) > maxDots {
			return nil, errNoTOML
		}
	}
	var c codex
	if err := toml.Unmarshal(text, &c); err != nil {
		return nil, errNoTOML
	}
	if c.Servers == nil {
		return nil, ErrNoServers
	}
	if len(c.Servers) > MaxServers {
		return nil, fmt.Errorf("more than %d servers", MaxServers)
	}
	out := &Client{}
	for _, name := range slices.Sorted(maps.Keys(c.Servers)) {
		s := Server{Name: safe.Clean(name, 200), Line: lineOf(text, name)}
		if err := s.readTOML(c.Servers[name]); err != nil {
			s = Server{Name: s.Name, Line: s.Line, Bad: err.Error()}
		}
		out.Servers = append(out.Servers, s)
	}
	slices.SortStableFunc(out.Servers, func(a, b Server) int { return a.Line - b.Line })
	return out, nil
}

func (s *Server) readTOML(v any) error {
	table, ok := v.(map[string]any)
	if !ok {
		return errors.New("the entry is no table")
	}
	headers := map[string]any{}
	for key, form := range map[string]string{"http_headers": "%v", "env_http_headers": "${env:%v}"} {
		more, _ := table[key].(map[string]any)
		for name, value := range more {
			headers[name] = fmt.Sprintf(form, value)
		}
	}
	if name, ok := table["bearer_token_env_var"].(string); ok {
		headers["Authorization"] = "Bearer ${env:" + name + "}"
	}
	if len(headers) > 0 {
		table["headers"] = headers
	}
	raw, err := json.Marshal(table)
	if err != nil {
		return errors.New("a value that is no text, number or list")
	}
	return s.read(raw)
}

// lineOf is where the table of a server begins.
func lineOf(text []byte, name string) int {
	at := regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*mcp_servers[ \t]*\.[ \t]*["']?` + regexp.QuoteMeta(name) + `["']?[ \t]*[\].]`).FindIndex(text)
	if at == nil {
		return 1
	}
	return 1 + bytes.Count(text[:at[0]], []byte("\n"))
}
