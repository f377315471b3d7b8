// Package mcp scans Model Context Protocol servers and the configurations of their
// clients: what an agent is given there, and what the servers tell it. It judges
// what is written down; with Start it also asks the servers themselves.
package mcp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bartizan/internal/assess"
	"bartizan/internal/conf"
	"bartizan/internal/credential"
	"bartizan/internal/mcp"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Config of the scanner.
type Config struct {
	// Wait is how long one server may take to start and to list its tools.
	Wait conf.Duration `yaml:"wait"`
}

// Default configuration.
func Default() Config { return Config{Wait: conf.Duration(30 * time.Second)} }

// New makes the scanner.
func New(c Config) (assess.Scanner, error) {
	if c.Wait <= 0 || c.Wait.D() > 10*time.Minute {
		return nil, fmt.Errorf("wait %s: more than 0 and at most 10m", c.Wait)
	}
	return &scanner{c}, nil
}

type scanner struct{ conf Config }

// Files are the names under which clients keep their servers, below a folder.
func Files() []string {
	return []string{".mcp.json", "mcp.json", ".cursor/mcp.json", ".vscode/mcp.json", ".vscode/settings.json", ".devcontainer/devcontainer.json",
		".claude.json", ".claude/settings.json", ".claude/settings.local.json", "claude_desktop_config.json", ".gemini/settings.json", ".roo/mcp.json",
		"cline_mcp_settings.json", "mcp_config.json", ".config/zed/settings.json", ".zed/settings.json", ".codex/config.toml"}
}

// optional are files that may well say nothing about servers.
func optional(name string) bool {
	base := filepath.Base(name)
	return base == "settings.json" || base == "settings.local.json" || base == "devcontainer.json" || base == ".claude.json" || base == "config.toml"
}

// run is one look at a target.
type run struct {
	conf  Config
	job   assess.Job
	tools []offered // of all servers, for what concerns several
}

// offered is one tool with the server it comes from.
type offered struct {
	tool  mcp.Tool
	place place
}

// place is where something was found.
type place struct {
	asset model.AssetRef
	where string
}

// Scan implements assess.Scanner.
func (s *scanner) Scan(ctx context.Context, job assess.Job) error {
	r := &run{conf: s.conf, job: job}
	t := job.Target
	switch {
	case t.URL != "":
		server := mcp.Server{Name: bare(t.URL), URL: t.URL}
		at := place{model.AssetRef{Kind: "mcp-server", Name: server.Name}, server.Name}
		r.static(&server, at)
		return r.finish([]power{r.live(ctx, &server, at)})
	case len(t.Command) > 0:
		server := mcp.Server{Name: filepath.Base(t.Command[0]), Command: t.Command[0], Args: t.Command[1:]}
		at := place{model.AssetRef{Kind: "mcp-server", Name: server.Name}, mcp.Words(t.Command[0], masked(t.Command[1:]))}
		p := r.static(&server, at)
		live := r.live(ctx, &server, at)
		live.has |= p.has
		return r.finish([]power{live})
	case len(t.Paths) == 0:
		return assess.ErrNothing
	}
	for _, p := range t.Paths {
		if err := r.path(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func masked(args []string) (out []string) {
	for i, a := range args {
		if name, value, ok := strings.Cut(a, "="); ok && credential.Named(name, value) {
			a = name + "=[secret]"
		} else if i > 0 && strings.HasPrefix(args[i-1], "-") && credential.Named(args[i-1], a) {
			a = "[secret]"
		}
		out = append(out, credential.Mask(a))
	}
	return out
}

func (r *run) path(ctx context.Context, name string) error {
	st, err := os.Stat(name)
	if err != nil {
		r.unknown(unreadable, place{model.AssetRef{Kind: "mcp-client", Name: name}, name}, name, plain(err))
		return nil
	}
	if !st.IsDir() {
		return r.file(ctx, name, false)
	}
	looked := 0
	for _, f := range Files() {
		full := filepath.Join(name, f)
		if _, err := os.Stat(full); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		looked++
		if err := r.file(ctx, full, optional(full)); err != nil {
			return err
		}
	}
	if looked == 0 {
		r.unknown(unreadable, place{model.AssetRef{Kind: "mcp-client", Name: name}, name}, name, "the folder has no configuration of an MCP client that is known: "+strings.Join(Files(), ", "))
	}
	return nil
}

// plain is the cause without the path, which the finding names anyway.
func plain(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// file looks at one configuration; with maybe it need not have servers.
func (r *run) file(ctx context.Context, name string, maybe bool) error {
	client := model.AssetRef{Kind: "mcp-client", Name: name}
	at := place{client, name}
	// A project can bring a link to a terminal or a pipe: opening it would wait for ever.
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() && !strings.HasPrefix(name, "/dev/fd/") {
		r.unknown(unreadable, at, name, "it is no regular file")
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		r.unknown(unreadable, at, name, plain(err))
		return nil
	}
	defer f.Close()
	text, err := safe.ReadAll(f, mcp.MaxClientFile, "configuration")
	if err != nil {
		r.unknown(unreadable, at, name, plain(err))
		return nil
	}
	c, err := mcp.ParseClient(text)
	if err != nil {
		if !maybe || !errors.Is(err, mcp.ErrNoServers) {
			r.unknown(unreadable, at, name, err.Error())
		}
		return nil
	}
	if c.TrustAll {
		r.fail(autoApprove, place{client, fmt.Sprintf("%s:%d", name, c.TrustAllAt)}, "enableAllProjectMcpServers", "whatever servers a project brings are used without asking")
	}
	if len(c.Allowed) > 0 {
		r.fail(autoApprove, place{client, fmt.Sprintf("%s:%d", name, c.AllowedAt)}, "permissions", "without asking: "+strings.Join(c.Allowed, ", "))
	}
	byScope := map[string][]power{}
	var scopes []string
	r.tools = nil
	for i := range c.Servers {
		s := &c.Servers[i]
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p := r.server(ctx, s, name)
		if _, known := byScope[s.Scope]; !known {
			scopes = append(scopes, s.Scope)
		}
		byScope[s.Scope] = append(byScope[s.Scope], p)
	}
	for _, scope := range scopes {
		all := byScope[scope]
		where := place{client, name}
		if scope != "" {
			all = append(all, byScope[""]...)
			where.asset.Name += " (" + scope + ")"
		}
		r.together(all, where)
	}
	r.across(at)
	return nil
}

func (r *run) server(ctx context.Context, s *mcp.Server, file string) power {
	at := place{model.AssetRef{Kind: "mcp-server", Name: s.Name}, fmt.Sprintf("%s:%d", file, s.Line)}
	if s.Scope != "" {
		at.asset.Name = s.Scope + " " + s.Name
	}
	if s.Bad != "" {
		r.unknown(unreadable, at, s.Name, s.Bad)
		return power{name: s.Name}
	}
	p := r.static(s, at)
	if s.Disabled {
		r.unknown(turnedOff, at, s.Name, "")
		return power{name: s.Name}
	}
	if !r.job.Target.Start {
		r.unknown(notStarted, at, s.Name, "")
		return p
	}
	live := r.live(ctx, s, at)
	live.has |= p.has
	return live
}

// finish is what is said about a single server in the end.
func (r *run) finish(all []power) error {
	for _, p := range all {
		r.together([]power{p}, place{model.AssetRef{Kind: "mcp-server", Name: p.name}, p.name})
	}
	r.across(place{})
	return nil
}

func (r *run) fail(id ruleID, at place, subject, detail string) {
	r.say(id, at, subject, detail, model.FindingFail)
}

func (r *run) unknown(id ruleID, at place, subject, detail string) {
	r.say(id, at, subject, detail, model.FindingUnknown)
}

func (r *run) say(id ruleID, at place, subject, detail string, state model.FindingState) {
	u := id.get()
	r.job.Found(model.Finding{Rule: u.id, Asset: at.asset, Subject: subject, Severity: u.severity, State: state, Title: u.title, Where: at.where,
		Detail: credential.Mask(detail), Fix: u.fix, Controls: u.controls})
}
