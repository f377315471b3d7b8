// Package cli is the command line: one file per verb, thin over package api
// (for a running node) and package app (for starting one). It parses, asks,
// prints and picks the exit code; it knows nothing else.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"

	"bartizan/internal/api"
	"bartizan/internal/app"
	"bartizan/internal/builtin"
	"bartizan/internal/drill"
	"bartizan/internal/gateway/keeper"
	"bartizan/internal/lake/query"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every verb.
const (
	ExitOK      = 0 // done, nothing to report
	ExitFinding = 1 // looked, and something is wrong
	ExitUsage   = 2 // the command line, a file or the configuration is wrong
	ExitBlind   = 3 // could not look: no node, no privilege, no answer
)

// Env is what a command line runs in.
type Env struct {
	Version        string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// exitError carries an exit code with an error; a nil error prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{ExitUsage, err}
}

func blind(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{ExitBlind, err}
}

// Main runs one command line and returns the exit code.
func Main(ctx context.Context, env Env, args []string) int {
	if len(args) == 1 && args[0] == app.ChildVerb {
		// The decoys' process: nothing may be opened before it is locked in.
		if err := app.RunChild(ctx); err != nil {
			fmt.Fprintln(env.Stderr, "bartizan:", err)
			return ExitBlind
		}
		return ExitOK
	}
	if len(args) == 1 && args[0] == drill.AttackerVerb {
		if err := drill.Attackers(ctx, env.Stdin, env.Stdout); err != nil {
			fmt.Fprintln(env.Stderr, "bartizan: attackers:", err)
			return ExitBlind
		}
		return ExitOK
	}
	if len(args) == 1 && args[0] == query.ChildVerb {
		// The engine of a hunt, likewise.
		if err := query.RunChild(ctx, env.Stdin, env.Stdout); err != nil {
			fmt.Fprintln(env.Stderr, "bartizan: hunt:", err)
			return ExitBlind
		}
		return ExitOK
	}
	if len(args) == 1 && args[0] == keeper.ChildVerb {
		// What has the keys of model providers, likewise.
		if err := keeper.RunChild(ctx); err != nil {
			fmt.Fprintln(env.Stderr, "bartizan: keeper:", err)
			return ExitBlind
		}
		return ExitOK
	}
	if len(args) == 1 && args[0] == builtin.GuardModelVerb {
		// What has a model of the operator's own, likewise.
		if err := builtin.RunGuardModel(ctx, env.Stdin, env.Stdout); err != nil {
			fmt.Fprintln(env.Stderr, "bartizan: guard model:", err)
			return ExitBlind
		}
		return ExitOK
	}
	out := &output{w: env.Stdout}
	env.Stdout = out
	root := newRoot(env)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	code := exitCode(env.Stderr, err)
	if e := out.failed(); e != nil {
		if !errors.Is(err, e) {
			fmt.Fprintln(env.Stderr, "bartizan:", e)
		}
		return ExitBlind
	}
	return code
}

// output is standard output, and remembers that something could not be written:
// whoever reads an answer that is cut must not take it for all there is.
type output struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = fmt.Errorf("print the answer: %w; it is not complete", err)
		}
		err = o.err
	}
	return n, err
}

func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	var e *exitError
	if errors.As(err, &e) {
		if e.err != nil {
			fmt.Fprintln(stderr, "bartizan:", e.err)
		}
		return e.code
	}
	fmt.Fprintln(stderr, "bartizan:", err)
	switch {
	case errors.Is(err, api.ErrNoNode), errors.Is(err, api.ErrDenied), errors.Is(err, api.ErrUnanswered):
		return ExitBlind
	case errors.Is(err, api.ErrNotFound), errors.Is(err, api.ErrInput), errors.Is(err, api.ErrRefused):
		return ExitUsage
	case errors.Is(err, context.Canceled):
		return ExitBlind
	}
	return ExitUsage // cobra's own errors: unknown verbs and flags
}

// global are the flags every verb has.
type global struct {
	env    Env
	data   string
	config string
	format string
	remote remoteFlags
}

func newRoot(env Env) *cobra.Command {
	g := &global{env: env}
	root := &cobra.Command{
		Use:   "bartizan",
		Short: "Active defense and AI security for people who run their own",
		Long: "Bartizan sees what attackers do (decoys), knows who they are (evidence), decides what is\n" +
			"safe to do about it (policy and guardrails), acts (firewall) and proves it (receipts).\n\n" +
			"Exit codes: 0 clean · 1 something is wrong · 2 wrong usage or configuration · 3 could not look.\n" +
			"Times in text are those of this machine's time zone (TZ=UTC bartizan … for UTC); in JSON they are UTC.",
		SilenceUsage: true, SilenceErrors: true,
		Args: knownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	f := root.PersistentFlags()
	f.StringVar(&g.data, "data", "", "data folder of the node (default: "+app.DefaultConfig().Data+")")
	f.StringVarP(&g.config, "config", "c", "", "configuration file (default: built-in values)")
	g.remote.register(root)
	f.StringVar(&g.format, "format", "text", "output: text, json or jsonl")
	_ = root.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json", "jsonl"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown flag
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if _, sarif := cmd.Annotations[withSARIF]; sarif && g.format == "sarif" {
			return nil
		}
		if !slices.Contains([]string{"text", "json", "jsonl"}, g.format) {
			return usage(fmt.Errorf("--format %q: use text, json or jsonl (scans also sarif)", oneLine(g.format, 30)))
		}
		return nil
	}
	root.AddCommand(upCmd(g), statusCmd(g), drillCmd(g), detectCmd(g), scanCmd(g), guardCmd(g), huntCmd(g), whyCmd(g), decisionsCmd(g), intelCmd(g), signalsCmd(g),
		evidenceCmd(g), lakeCmd(g), exportCmd(g), replayCmd(g), tokenCmd(g), auditCmd(g), rulesCmd(g), configCmd(g), versionCmd(g))
	sayArguments(root)
	return root
}

// sayArguments makes every verb say which arguments it takes when their number is wrong.
func sayArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		sayArguments(sub)
	}
	takes := c.Args
	if takes == nil {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		err := takes(cmd, args)
		if e := (*exitError)(nil); err == nil || errors.As(err, &e) {
			return err
		}
		return usage(fmt.Errorf("%s: %d arguments, and it is \"%s\"; \"%s --help\" explains them", cmd.CommandPath(), len(args), cmd.UseLine(), cmd.CommandPath()))
	}
}

// knownVerb refuses words that are no verb and names the nearest that is.
func knownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := "\"bartizan help\" lists them"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(fmt.Errorf("unknown command %q: %s", oneLine(args[0], 60), hint))
}

// settings reads the configuration and applies the global flags.
func (g *global) settings() (app.Config, error) {
	c, err := app.LoadConfig(g.config)
	if err != nil {
		return c, usage(err)
	}
	if g.data != "" {
		c.Data = g.data
	}
	return c, nil
}

// client talks to the running node.
func (g *global) client() (*api.Client, error) {
	c, err := g.settings()
	if err != nil {
		return nil, err
	}
	if g.remote.server != "" {
		return g.remote.client()
	}
	return api.NewClient(c.Data), nil
}

// show prints a list or a value in the chosen format; text is called for text.
func show[T any](g *global, v T, text func(io.Writer) error) error {
	switch g.format {
	case "json":
		e := json.NewEncoder(g.env.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(v)
	case "jsonl":
		return json.NewEncoder(g.env.Stdout).Encode(v)
	}
	return text(g.env.Stdout)
}

// showAll is show for a list: jsonl prints a line per element, and an empty
// list is [] and never null.
func showAll[T any](g *global, list []T, text func(io.Writer) error) error {
	if g.format == "jsonl" {
		e := json.NewEncoder(g.env.Stdout)
		for i := range list {
			if err := e.Encode(list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if list == nil {
		list = []T{}
	}
	return show(g, list, text)
}

// more is a limit that finds out whether there is more than the limit.
func more(limit int) int {
	if limit <= 0 {
		return limit
	}
	return limit + 1
}

// atMost cuts a list that was asked for with more, at its beginning when the
// newest stand last, and says so: a list that ends somewhere is not all there is.
func atMost[T any](g *global, list []T, limit int, newestLast bool) []T {
	if limit <= 0 || len(list) <= limit {
		return list
	}
	fmt.Fprintf(g.env.Stderr, "bartizan: cut after %d: there are more, and --limit takes more\n", limit)
	if newestLast {
		return list[len(list)-limit:]
	}
	return list[:limit]
}

// oneLine makes text of unknown origin fit for a terminal: printable, on one
// line, cut.
func oneLine(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || unicode.Is(unicode.Cf, r) {
			return '·'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > max {
		return string(r[:max-1]) + "…"
	}
	return s
}
