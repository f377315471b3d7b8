// Package mcpgate wires the gateway for MCP servers: its configuration, the guard, and
// where it listens. It decides nothing itself.
package mcpgate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"bartizan/internal/api/cert"
	"bartizan/internal/app/gate"
	"bartizan/internal/builtin"
	"bartizan/internal/conf"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/mcp"
	"bartizan/internal/guard"
)

// Load reads a configuration over the defaults.
func Load(file string) (mcp.Config, error) {
	if file == "" {
		return mcp.Config{}, errors.New("--config FILE is needed: without a policy nothing may be called")
	}
	return conf.Load(file, mcp.Default())
}

// Request says which server to stand before.
type Request struct {
	Config  string
	Agent   string
	Server  string   // name in the configuration; with Command the name in trace and pins
	Command []string // a server that is not in the configuration
}

// Stdio stands between the client on the pipes and one server.
func Stdio(ctx context.Context, q Request, log *slog.Logger, p mcp.Pipes) error {
	c, err := Load(q.Config)
	if err != nil {
		return err
	}
	name, server, err := pick(c, q)
	if err != nil {
		return err
	}
	g, end, err := open(c, []string{name}, log)
	if err != nil {
		return err
	}
	return errors.Join(run(ctx, g, q.Agent, name, server, p), end())
}

// Listens says where a configuration wants to be reached over HTTP; "" when it does not.
func Listens(file string) (string, error) {
	c, err := Load(file)
	return c.HTTP.Listen, err
}

// Listen serves every server of the configuration until ctx ends. ready is
// told the URL, and the fingerprint of the certificate, "" without TLS.
func Listen(ctx context.Context, file, addr string, log *slog.Logger, ready func(url, certificate string)) error {
	c, err := Load(file)
	if err != nil {
		return err
	}
	if addr == "" {
		addr = c.HTTP.Listen
	}
	if err := c.CheckListen(addr); err != nil {
		return err
	}
	var names []string
	for name := range c.Servers {
		names = append(names, name)
	}
	sort.Strings(names)
	g, end, err := open(c, names, log)
	if err != nil {
		return err
	}
	own, err := secured(c, addr, log)
	if err != nil {
		return errors.Join(err, end())
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return errors.Join(&RunError{fmt.Errorf("listen: %w", err)}, end())
	}
	url, pin := "http://"+l.Addr().String(), ""
	if own != nil {
		l = tls.NewListener(l, own.TLS())
		url, pin = "https://"+l.Addr().String(), own.Fingerprint()
	}
	ready(url, pin)
	if err := g.NewHTTP().Serve(ctx, l); err != nil {
		return errors.Join(&RunError{err}, end())
	}
	return end()
}

// secured is the certificate for the address; nil: it has none.
func secured(c mcp.Config, addr string, log *slog.Logger) (*cert.Cert, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address: %w", err)
	}
	switch c.HTTP.TLS {
	case "off":
		return nil, nil
	case "", "auto":
		if at.Addr().Unmap().IsLoopback() && c.HTTP.Cert == "" {
			return nil, nil
		}
	case "on":
	default:
		return nil, fmt.Errorf("http.tls: %.40q is none of auto, on, off", c.HTTP.TLS)
	}
	if c.HTTP.Cert != "" {
		return cert.Load(c.HTTP.Cert, c.HTTP.Key, log)
	}
	names := slices.Clone(c.HTTP.Names)
	if !at.Addr().IsUnspecified() {
		names = append(names, at.Addr().String())
	}
	return cert.Own(c.State, names, time.Now(), log)
}

// RunError is a failure while running, in contrast to what the operator wrote.
type RunError struct{ Err error }

func (e *RunError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RunError) Unwrap() error { return e.Err }

func run(ctx context.Context, g *mcp.Gate, agent, name string, server mcp.Server, p mcp.Pipes) error {
	if _, err := g.NewSession(agent, name, ""); err != nil {
		return err
	}
	if err := g.Stdio(ctx, agent, name, server, p); err != nil {
		return &RunError{err}
	}
	return nil
}

// open makes the gate, joined with the node if the configuration names one; end closes both.
func open(c mcp.Config, servers []string, log *slog.Logger) (g *mcp.Gate, end func() error, err error) {
	engine, err := builtin.BuildGuard(c.Guard)
	if err != nil {
		return nil, nil, err
	}
	quiet, err := inform(engine, c.Lists, log)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			quiet()
			return
		}
		last := end
		end = func() error { quiet(); return last() }
	}()
	o := mcp.Options{Engine: engine, Log: log, Client: client()}
	if !c.Node.IsSet() {
		g, err = mcp.New(c, o)
		if err != nil {
			return nil, nil, err
		}
		return g, g.Close, nil
	}
	if err := c.Check(); err != nil {
		return nil, nil, err
	}
	l, err := join(c, servers, log)
	if err != nil {
		return nil, nil, err
	}
	o.Alarms, o.People, o.Orders = l, l, l.orders
	if g, err = mcp.New(c, o); err != nil {
		return nil, nil, errors.Join(err, l.close())
	}
	return g, func() error { return errors.Join(g.Close(), l.close()) }, nil
}

// client is who started this process: what a client calls through its gateways is one conversation.
func client() string {
	pid := os.Getppid()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	began := ""                                                                                      // of the process, because numbers come again
	if f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(f) > startedField { // the name may have spaces and brackets
		began = f[startedField]
	}
	return fmt.Sprintf("process %d of %s", pid, began)
}

const startedField = 19 // of /proc/PID/stat after the name: starttime

// inform tells the engine what lists know, and reads them again when they change until quiet is called.
func inform(e *guard.Engine, lists []string, log *slog.Logger) (quiet func(), err error) {
	if len(lists) == 0 {
		return func() {}, nil
	}
	known, err := gate.NewIntel(nil, lists, log)
	if err != nil {
		return nil, err
	}
	e.Inform(known)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := known.Run(ctx); err != nil {
			log.Error("the lists are not read again", "error", err)
		}
	}()
	return func() { stop(); <-ended }, nil
}

// pick finds the server to stand before.
func pick(c mcp.Config, q Request) (string, mcp.Server, error) {
	if len(q.Command) > 0 {
		name := q.Server
		if name == "" {
			name = "server"
		}
		if s, ok := c.Servers[name]; ok {
			s.Command, s.URL = q.Command, ""
			return name, s, nil
		}
		return name, mcp.Server{Command: q.Command}, nil
	}
	var names []string
	for n := range c.Servers {
		names = append(names, n)
	}
	sort.Strings(names)
	if q.Server == "" && len(names) == 1 {
		q.Server = names[0]
	}
	s, ok := c.Servers[q.Server]
	if !ok {
		return "", s, fmt.Errorf("--server %q: name one of the configuration (%s), or give -- COMMAND", q.Server, strings.Join(names, ", "))
	}
	return q.Server, s, nil
}

// Pins opens the accepted definitions of a configuration.
func Pins(file string) (*mcp.Pins, error) {
	c, err := Load(file)
	if err != nil {
		return nil, err
	}
	return mcp.OpenPins(c.State)
}

// Held opens the calls that wait for a person.
func Held(file string) (*approval.Folder, error) {
	c, err := Load(file)
	if err != nil {
		return nil, err
	}
	return mcp.OpenHeld(c)
}
