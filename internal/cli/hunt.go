package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake"
	"bartizan/internal/lake/query"

	"github.com/spf13/cobra"
)

// huntFlags are what the command line of a hunt says.
type huntFlags struct {
	lake, since, until, day string
	memory, cache           conf.Bytes
	timeout                 time.Duration
	rows                    int
	views, list             bool
	saved, ioc              string
	params                  []string
}

func huntCmd(g *global) *cobra.Command {
	f := huntFlags{}
	cmd := &cobra.Command{
		Use: "hunt ['SQL']", Short: "Ask the evidence lake in SQL, months back",
		Long: "Runs one SELECT (or EXPLAIN of one) over the lake's views. The engine works in a process of its own that can read the\n" +
			"lake and nothing else; nothing is ever changed. --views lists the views and their columns.\n\n" +
			"Exit codes: 0 answered · 1 --ioc found something · 2 the statement is wrong or refused ·\n" +
			"3 could not look, or not at everything: the answer so far is printed, and what was left out is named.",
		Example: "  bartizan hunt \"SELECT src_ip, count(*) AS n FROM http GROUP BY src_ip ORDER BY n DESC LIMIT 20\"\n" +
			"  bartizan hunt --since 7d --format json \"SELECT * FROM logins WHERE username = 'root'\"\n" +
			"  bartizan hunt --saved path-history --param path=/.env\n" +
			"  bartizan hunt --ioc advisory.json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return g.hunt(cmd, &f, args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.lake, "lake", "", "folder of the lake, or s3://bucket/prefix (default: the node's, with its bucket)")
	fl.Var(&bytesFlag{&f.cache}, "cache", "room for what is fetched from a bucket (default 4GiB, or lake.bucket.cache)")
	fl.StringVar(&f.since, "since", "", "only partitions since then: a time (2026-11-20, or RFC 3339) or how far back (24h, 7d)")
	fl.StringVar(&f.until, "until", "", "only partitions before then")
	fl.StringVar(&f.day, "day", "", "only the partitions of this day (2026-11-20, UTC)")
	fl.IntVar(&f.rows, "max-rows", query.DefaultRows, "at most this many rows; more are cut, which is said")
	fl.Var(&bytesFlag{&f.memory}, "memory", "memory of the engine (default 640MiB); nothing is written to disk")
	fl.DurationVar(&f.timeout, "timeout", query.DefaultTime, "give up after this long")
	fl.BoolVar(&f.views, "views", false, "list the views and their columns")
	fl.BoolVar(&f.list, "list", false, "list the saved hunts")
	fl.StringVar(&f.saved, "saved", "", "run this saved hunt")
	fl.StringArrayVar(&f.params, "param", nil, "name=value for $name in the statement; bound, never pasted (repeatable)")
	fl.StringVar(&f.ioc, "ioc", "", "look for all indicators of this list: STIX 2.1, MISP, CSV or plain text (- is standard input)")
	return cmd
}

// bytesFlag lets a flag take sizes as the configuration does.
type bytesFlag struct{ to *conf.Bytes }

func (b *bytesFlag) String() string { return "" }
func (b *bytesFlag) Type() string   { return "size" }
func (b *bytesFlag) Set(s string) error {
	n, err := conf.ParseBytes(s)
	if err == nil {
		*b.to = n
	}
	return err
}

func (g *global) hunt(cmd *cobra.Command, f *huntFlags, args []string) error {
	ways := 0
	for _, used := range []bool{len(args) == 1, f.saved != "", f.ioc != "", f.views, f.list} {
		if used {
			ways++
		}
	}
	if ways != 1 {
		return usage(errors.New("give one of: a statement, --saved NAME, --ioc FILE, --views, --list"))
	}
	if f.views {
		return g.huntViews()
	}
	if f.list {
		return g.huntList()
	}
	if g.remote.server != "" {
		return g.huntAfar(cmd, f, args)
	}
	engine, rng, limits, err := g.huntSetup(cmd.Context(), f)
	if err != nil {
		return err
	}
	if f.ioc != "" {
		return g.huntIOC(cmd, engine, f, rng, limits)
	}
	req, err := huntRequest(f, args)
	if err != nil {
		return err
	}
	req.Range, req.Limits = rng, limits
	res, err := engine.Run(cmd.Context(), req)
	if err != nil {
		return huntError(err)
	}
	return g.huntAnswer(res)
}

// huntRequest is the statement that was given or is saved, with its parameters.
func huntRequest(f *huntFlags, args []string) (req query.Request, err error) {
	if req.Params, err = huntParams(f.params); err != nil {
		return req, usage(err)
	}
	if f.saved == "" {
		req.SQL = args[0]
		if s, err := query.SavedNamed(req.SQL); err == nil {
			return req, usage(fmt.Errorf("%q is a saved hunt and no statement: bartizan hunt --saved %s", s.Name, s.Name))
		}
		return req, nil
	}
	s, err := query.SavedNamed(f.saved)
	if err == nil {
		req.SQL, req.Params, err = s.Request(req.Params)
	}
	if err != nil {
		return req, usage(err)
	}
	return req, nil
}

// huntAnswer prints an answer and says what it does not cover.
func (g *global) huntAnswer(res *query.Result) error {
	if err := printAnswer(g, res); err != nil {
		return err
	}
	return g.huntIncomplete(res.NotLooked, res.Truncated, len(res.Rows))
}

// huntSetup finds the lake, the range and the limits.
func (g *global) huntSetup(ctx context.Context, f *huntFlags) (*query.Engine, query.Range, query.Limits, error) {
	limits := query.Limits{Rows: f.rows, Memory: int64(f.memory), Time: f.timeout}
	rng, err := huntRange(f, time.Now())
	if err != nil {
		return nil, rng, limits, usage(err)
	}
	at, err := g.place(ctx, f.lake)
	if err != nil {
		return nil, rng, limits, err
	}
	if f.cache > 0 {
		at.cache.Most = int64(f.cache)
	}
	engine, err := at.engine(g.env.Stderr)
	return engine, rng, limits, err
}

func huntRange(f *huntFlags, now time.Time) (r query.Range, err error) {
	if f.day != "" {
		if f.since != "" || f.until != "" {
			return r, errors.New("--day: not together with --since or --until")
		}
		if r.Since, err = time.Parse(time.DateOnly, f.day); err != nil {
			return r, fmt.Errorf("--day %q: write it as 2026-11-20", oneLine(f.day, 40))
		}
		r.Until = r.Since.AddDate(0, 0, 1)
		return r, nil
	}
	if r.Since, err = huntTime(f.since, now); err != nil {
		return r, fmt.Errorf("--since: %w", err)
	}
	if r.Until, err = huntTime(f.until, now); err != nil {
		return r, fmt.Errorf("--until: %w", err)
	}
	if !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until) {
		return r, errors.New("--since is not before --until")
	}
	return r, nil
}

// huntTime reads a time, or how far back from now; "" is the zero time.
func huntTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	d, err := conf.ParseDuration(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time (2026-11-20, 2026-11-20T07:00:00Z) nor how far back (24h, 7d)", oneLine(s, 40))
	}
	return now.Add(-d.D()), nil
}

func huntParams(list []string) (out []query.Param, err error) {
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--param %q: write name=value", oneLine(p, 60))
		}
		out = append(out, query.Param{Name: name, Value: value})
	}
	return out, nil
}

// huntError picks the exit code of a question that was not answered.
func huntError(err error) error {
	var wrong *query.StatementError
	switch {
	case errors.As(err, &wrong):
		return usage(err)
	case errors.Is(err, lake.ErrNoLake):
		return usage(fmt.Errorf("%w (--lake DIR names another; bartizan lake import makes one)", err))
	}
	return blind(err)
}

// huntIncomplete says what an answer does not cover, and makes the exit code say so too.
func (g *global) huntIncomplete(skipped []query.Skipped, cut bool, rows int) error {
	if len(skipped) == 0 && !cut {
		return nil
	}
	if g.format != "text" {
		said := struct {
			NotLooked []query.Skipped `json:"not_looked_at"`
			Truncated bool            `json:"truncated"`
		}{skipped, cut}
		if said.NotLooked == nil {
			said.NotLooked = []query.Skipped{}
		}
		if err := json.NewEncoder(g.env.Stderr).Encode(said); err != nil {
			return err
		}
		return &exitError{code: ExitBlind}
	}
	for _, s := range skipped {
		fmt.Fprintf(g.env.Stderr, "not looked at: %s: %s\n", oneLine(s.File, 300), oneLine(s.Reason, 300))
	}
	if cut {
		fmt.Fprintf(g.env.Stderr, "cut after %d rows: there are more (--max-rows)\n", rows)
	}
	return &exitError{code: ExitBlind}
}

func (g *global) huntViews() error {
	all := query.Views()
	return showAll(g, all, func(w io.Writer) error {
		for _, v := range all {
			fmt.Fprintf(w, "%s  %s (as stored, with OCSF names: ocsf_%s)\n", v.Name, v.Doc, v.Class)
			for _, c := range v.Columns {
				fmt.Fprintf(w, "    %-12s %-12s %s\n", c.Name, c.Type, c.Doc)
			}
			fmt.Fprintln(w)
		}
		return nil
	})
}
