// Package gate wires the gateway in front of language models: as a role of a
// node, and alone. It has no logic of its own.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/api/cert"
	"bartizan/internal/api/limit"
	"bartizan/internal/builtin"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/abuse"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/budget"
	"bartizan/internal/gateway/keeper"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/gateway/price"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
)

// Dir is the gateway's folder in a data folder.
func Dir(data string) string { return filepath.Join(data, "gateway") }

// Held is where things wait for a person in a data folder.
func Held(data string) string { return filepath.Join(data, "held") }

// Catalogue is what routes may name.
func Catalogue() gateway.Catalogue {
	return gateway.Catalogue{Formats: builtin.Wires().Names(), Inspectors: builtin.Inspectors().Names()}
}

// Complete fills in what a configuration leaves out and says what is wrong with
// it: errors by their keys, separated by dots.
func Complete(c *gateway.Config) map[string]error {
	bad := c.Complete(Catalogue())
	table := builtin.Inspectors()
	for route, r := range c.Routes {
		for _, name := range slices.Sorted(maps.Keys(r.Options)) {
			if err := table.Check(name, r.Options[name]); err != nil {
				bad["routes."+route+".options."+name] = err
			}
		}
	}
	return bad
}

// Options are what a gateway runs with.
type Options struct {
	Config gateway.Config // completed
	Data   string         // data folder
	Log    *slog.Logger
	Signal func(model.Signal)          // nil: nobody wants to know
	Record func(*gateway.Record) error // a second place for audit lines; nil: none
	// Traffic keeps what was said on routes that are recorded, masked; nil: nothing is recorded. It is called by Run.
	Traffic func(context.Context, []model.LLMTraffic) error
	Lost    func(n uint64) // told when exchanges could not be masked in time and are not recorded; nil: the log
	Intel   *Intel         // what is known of hosts and URLs; nil: Open reads the lists of the configuration
	Denied  *gateway.Denied
	Lures   map[string]string // bait of the decoys, which nobody has business using here: text → what it is
	People  *approval.Folder  // where what a person has to approve waits; nil: in the data folder
}

// Gate is an open gateway.
type Gate struct {
	opt      Options
	gateway  *gateway.Gateway
	audit    *gateway.Log
	abuse    *abuse.Watch
	keeper   *keeper.Keeper // nil: no route has a key, or they are in this process
	budget   *budget.Book
	recorder *recorder // nil: nothing is recorded
	listener net.Listener
	secure   *tls.Config // nil: none
	cert     *cert.Cert
}

// Open opens the address and everything the gateway needs. The error is the
// operator's, or the machine's.
func Open(o Options) (_ *Gate, err error) {
	g := &Gate{opt: o}
	c, dir := &o.Config, Dir(o.Data)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the gateway's folder: %w; choose another data folder with --data", err)
	}
	book, err := keys.Open(dir)
	if err != nil {
		return nil, err
	}
	book.Lure(o.Lures)
	at := c.Audit
	if at == "" {
		at = filepath.Join(dir, "audit.jsonl")
	}
	if g.audit, err = gateway.OpenLog(at, int64(c.AuditBytes)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.closeFiles())
		}
	}()
	marks, err := keys.OpenMarks(dir)
	if err != nil {
		return nil, err
	}
	if g.budget, err = budget.Open(dir, marked(c.Budgets, marks), time.Now()); err != nil {
		return nil, err
	}
	people := o.People
	if people == nil {
		if people, err = approval.Open(Held(o.Data), approval.Limits{Held: c.Approval.Held, Timeout: c.Approval.Timeout.D()}, nil); err != nil {
			return nil, err
		}
	}
	prices, err := price.Load(c.Prices)
	if err != nil {
		return nil, err
	}
	if g.abuse, err = abuse.Open(dir, c.Abuse); err != nil {
		return nil, err
	}
	if err = g.keep(); err != nil {
		return nil, err
	}
	options := gateway.Options{Config: *c, Keys: book, Log: o.Log, Signal: o.Signal, Denied: o.Denied, People: people, Budget: g.budget, Prices: prices,
		Format:     func(name string) (wire.Format, error) { return builtin.Wires().Build(name, nil) },
		Inspectors: builtin.BuildInspectors, Fingerprint: builtin.PromptFingerprint, Audit: g.write, Abuse: g.abuse, Mark: marks.Of}
	if g.keeper != nil {
		options.Keeper = g.keeper
	}
	if g.opt.Intel == nil && len(c.Lists) > 0 {
		if g.opt.Intel, err = NewIntel(nil, c.Lists, o.Log); err != nil {
			return nil, err
		}
	}
	if g.opt.Intel != nil {
		options.Known = g.opt.Intel
	}
	if o.Traffic != nil && recorded(c) {
		if o.Lost == nil {
			g.opt.Lost = func(n uint64) {
				o.Log.Warn("exchanges came faster than they could be masked and are not recorded", "exchanges", n)
			}
		}
		g.recorder = newRecorder(g.opt.Lost)
		options.Traffic, options.Secrets = g.recorder.take, builtin.KnownSecrets
	}
	g.gateway, err = gateway.New(options)
	if err != nil {
		return nil, err
	}
	return g, g.listen(dir)
}

// marked lets budgets name users as they are written, and as they are kept.
func marked(all []budget.Limit, m keys.Marks) []budget.Limit {
	all = slices.Clone(all)
	for i := range all {
		l := &all[i]
		l.Only = slices.Clone(l.Only)
		for _, name := range l.Only {
			if l.By == "user" && !strings.HasSuffix(name, "*") {
				l.Only = append(l.Only, m.Of(name))
			}
		}
	}
	return all
}

// keep starts the process that has the providers' keys, if there are any.
func (g *Gate) keep() error {
	var routes []keeper.Route
	for _, name := range slices.Sorted(maps.Keys(g.opt.Config.Routes)) {
		r := g.opt.Config.Routes[name]
		if !r.Credential.IsSet() || !g.opt.Config.Keeper {
			continue
		}
		if r.Credential.Path() == "" {
			g.opt.Log.Warn("a provider's key stands in the configuration, which this process reads: put it into a file (credential: file:/path, mode 0600), so that only the process that keeps the keys has it", "route", name)
		}
		u, err := url.Parse(r.Upstream)
		if err != nil {
			return fmt.Errorf("gateway.routes.%s.upstream: %w", name, err)
		}
		routes = append(routes, keeper.Route{Name: name, Upstream: u, Key: r.Credential, Header: r.KeyHeader(), Region: r.Region, Connect: r.Timeouts.Connect.D()})
	}
	if len(routes) == 0 {
		return nil
	}
	var err error
	if g.keeper, err = keeper.Start(context.Background(), routes, g.opt.Log); err != nil {
		return fmt.Errorf("%w; \"gateway.keeper: false\" serves with the keys in this process", err)
	}
	return nil
}

// write stores an audit line in every place it belongs to.
func (g *Gate) write(r *gateway.Record) error {
	if err := g.audit.Write(r); err != nil {
		return err
	}
	if g.opt.Record != nil {
		return g.opt.Record(r)
	}
	return nil
}

// perAddress is the share of connections that one address may have.
const perAddress = 4

func (g *Gate) listen(dir string) (err error) {
	c := &g.opt.Config
	at, err := netip.ParseAddrPort(c.Listen)
	if err != nil {
		return fmt.Errorf("gateway.listen: %w", err)
	}
	if c.TLS == "on" || c.TLS == "auto" && !at.Addr().Unmap().IsLoopback() {
		if c.Cert != "" {
			g.cert, err = cert.Load(c.Cert, c.Key, g.opt.Log)
		} else {
			names := slices.Clone(c.Names)
			if !at.Addr().IsUnspecified() {
				names = append(names, at.Addr().String())
			}
			g.cert, err = cert.Own(dir, names, time.Now(), g.opt.Log)
		}
		if err != nil {
			return err
		}
		g.secure = g.cert.TLS()
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for the gateway's clients: %w; choose another address with \"gateway.listen\"", err)
	}
	g.listener = limit.Listen(l, c.Connections, max(c.Connections/perAddress, 1), func() {})
	return nil
}

// URL is where clients reach the gateway.
func (g *Gate) URL() string {
	if g.secure != nil {
		return "https://" + g.listener.Addr().String()
	}
	return "http://" + g.listener.Addr().String()
}

// Fingerprint of the certificate; "" without one.
func (g *Gate) Fingerprint() string {
	if g.cert == nil {
		return ""
	}
	return g.cert.Fingerprint()
}

// Greet prints what a person at the terminal needs to know.
func (g *Gate) Greet(w io.Writer) {
	fmt.Fprintf(w, "gateway on %s, audit log %s\n", g.URL(), g.audit.Path())
	if g.keeper != nil {
		if r, ok := g.keeper.Report(); ok {
			fmt.Fprintf(w, "  providers' keys in process %d: %s\n", r.PID, r)
		}
	}
	if f := g.Fingerprint(); f != "" {
		fmt.Fprintf(w, "  certificate SHA-256 %s\n", f)
	}
	for _, name := range slices.Sorted(maps.Keys(g.opt.Config.Routes)) {
		r := g.opt.Config.Routes[name]
		fmt.Fprintf(w, "  route %-10s %s%s → %s (%s)", name, g.URL(), strings.TrimSuffix(r.Prefix, "/"), r.Upstream, r.Format)
		if r.Anonymous {
			fmt.Fprint(w, "  WARNING: clients need no key")
		}
		if r.Record == gateway.Masked && g.recorder != nil {
			fmt.Fprint(w, "  what is said is recorded, masked")
		}
		fmt.Fprintln(w)
	}
}

// recorded says whether any route keeps what is said.
func recorded(c *gateway.Config) bool {
	for _, r := range c.Routes {
		if r.Record == gateway.Masked {
			return true
		}
	}
	return false
}

// Run serves until ctx ends, and keeps what was said until then.
func (g *Gate) Run(ctx context.Context) error {
	saved, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { g.save(saved) })
	if g.opt.Intel != nil {
		beside.Go(func() { _ = g.opt.Intel.Run(saved) }) // it returns when saved ends, without an error
	}
	if g.recorder == nil {
		return g.gateway.Serve(ctx, g.listener, g.secure)
	}
	after, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan error, 1)
	go func() { kept <- g.recorder.run(after, g.opt.Traffic) }()
	err := g.gateway.Serve(ctx, g.listener, g.secure)
	stop()
	return errors.Join(err, <-kept)
}

// saveEvery is how much of what was learned of keys a kill can lose.
const saveEvery = time.Minute

func (g *Gate) save(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := g.abuse.Save(); err != nil {
			g.opt.Log.Error("what was learned of keys cannot be written; it is tried again in a minute", "error", err)
		}
	}
}

// Close gives back what Open took; it comes after Run.
func (g *Gate) Close(context.Context) error {
	g.listener.Close()
	return g.closeFiles()
}

func (g *Gate) closeFiles() error {
	var err error
	if g.keeper != nil {
		g.keeper.Close()
	}
	if g.abuse != nil {
		err = g.abuse.Save()
	}
	if g.budget != nil {
		err = errors.Join(err, g.budget.Close())
	}
	return errors.Join(err, g.audit.Close())
}

// dumped is a configuration as it is printed: with the options of inspectors
// decoded over their defaults.
type dumped struct {
	gateway.Server `yaml:",inline"`
	Routes         map[string]dumpedRoute `yaml:"routes"`
	Abuse          abuse.Config           `yaml:"abuse"`
	Budgets        []budget.Limit         `yaml:"budgets"`
	Prices         []price.Price          `yaml:"prices"`
}

type dumpedRoute struct {
	gateway.Service `yaml:",inline"`
	gateway.Policy  `yaml:",inline"`
	Options         map[string]any `yaml:"options"`
}

// Effective is the complete configuration, for printing.
func Effective(c gateway.Config) (any, error) {
	out := dumped{Server: c.Server, Abuse: c.Abuse, Budgets: c.Budgets, Prices: c.Prices, Routes: map[string]dumpedRoute{}}
	table := builtin.Inspectors()
	for route, r := range c.Routes {
		d := dumpedRoute{Service: r.Service, Policy: r.Policy, Options: map[string]any{}}
		for name, raw := range r.Options {
			options, err := table.Effective(name, raw)
			if err != nil {
				return nil, fmt.Errorf("gateway.routes.%s.options.%s: %w", route, name, err)
			}
			d.Options[name] = options
		}
		out.Routes[route] = d
	}
	return out, nil
}

// Used is what is used of the budgets.
func (g *Gate) Used(now time.Time) []budget.Used { return g.budget.List(now) }
