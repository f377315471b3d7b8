package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"bartizan/internal/app"
	"bartizan/internal/guard"

	"github.com/spf13/cobra"
)

func guardCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "guard", Short: "Inspect what is said to and by language models, and stand between", Args: knownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(guardServeCmd(g), guardScoreCmd(g), guardKeyCmd(g), guardMCPCmd(g), guardExchangesCmd(g), guardTrafficCmd(g), guardVerdictsCmd(g),
		guardBudgetsCmd(g), guardRoutesCmd(g), guardAgentsCmd(g), guardToolsCmd(g), guardHeldCmd(g), guardUserCmd(g), guardDecideCmd(g, true), guardDecideCmd(g, false))
	return cmd
}

func guardScoreCmd(g *global) *cobra.Command {
	q := app.ScoreRequest{}
	cmd := &cobra.Command{
		Use: "score FILE…|-", Short: "Score texts for injections, secrets and hidden orders", Args: cobra.MinimumNArgs(1),
		Long: "Reads lines {\"id\",\"text\"}; \"role\" may be user, system, assistant, document or tool: in a document an order to the\n" +
			"model is an attack, from a user it is a request. Prints one line for each, in order, with the verdict allow, flag\n" +
			"or block and what each inspector did, or why it did not look. Nothing is stored or sent.\n\n" +
			"Exit codes: 0 all allowed · 1 at least one flagged or blocked · 2 wrong usage · 3 a whole input could not be read.\n" +
			"Malformed lines are counted on standard error; one with an id is blocked, one without is skipped.",
		Example: "  bartizan guard score --format jsonl prompts.jsonl",
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Inputs, q.Stdin = args, g.env.Stdin
			if g.config != "" { // of a gateway: the same lists
				c, err := g.settings()
				if err != nil {
					return err
				}
				q.Lists = c.Gateway.Lists
			}
			return runScore(cmd, g, q)
		},
	}
	cmd.Flags().StringVar(&q.Policy, "policy", "", "file with options of inspectors, by name (YAML)")
	return cmd
}

func runScore(cmd *cobra.Command, g *global, q app.ScoreRequest) error {
	out := bufio.NewWriter(g.env.Stdout)
	p := scorePrinter{format: g.format, out: out}
	start := time.Now()
	rep, err := app.Score(cmd.Context(), q, p.print)
	if e := errors.Join(p.end(err), out.Flush()); e != nil && err == nil {
		err = fmt.Errorf("write results: %w", e)
	}
	var unread *app.UnreadError
	if err != nil && !errors.As(err, &unread) {
		if cmd.Context().Err() != nil {
			return blind(err)
		}
		return usage(err)
	}
	note := fmt.Sprintf("bartizan: %d texts of %d inputs, %d malformed; %d flagged or blocked; %s", rep.Lines, rep.Inputs, rep.Malformed,
		rep.Flagged, time.Since(start).Round(time.Millisecond))
	if rep.Failed > 0 {
		note += fmt.Sprintf("; %d texts broke an inspector (please report it)", rep.Failed)
	}
	fmt.Fprintln(g.env.Stderr, note)
	for _, e := range rep.Examples {
		fmt.Fprintln(g.env.Stderr, "bartizan: malformed:", e)
	}
	switch {
	case err != nil:
		return blind(err)
	case rep.Flagged > 0:
		return &exitError{code: ExitFinding}
	}
	return nil
}

type scoreOut struct {
	ID         json.RawMessage  `json:"id"`
	Score      float64          `json:"score"`
	Verdict    guard.Action     `json:"verdict"`
	Category   guard.Category   `json:"category"`
	Inspectors []scoreInspector `json:"inspectors"`
	Readings   []string         `json:"readings,omitempty"`
	Refused    string           `json:"refused,omitempty"`
}

type scoreInspector struct {
	Name     string         `json:"name"`
	State    guard.State    `json:"state"`
	Why      string         `json:"why,omitempty"`
	Findings []scoreFinding `json:"findings,omitempty"`
}

type scoreFinding struct {
	Category guard.Category `json:"category"`
	Score    float64        `json:"score"`
	Note     string         `json:"note"`
}

func scoreOf(s app.Scored) scoreOut {
	o := scoreOut{ID: s.ID, Score: s.Verdict.Score, Verdict: s.Verdict.Action, Category: s.Verdict.Category,
		Inspectors: []scoreInspector{}, Readings: s.Verdict.Readings, Refused: s.Refused}
	for _, r := range s.Verdict.Reports {
		i := scoreInspector{Name: r.Name, State: r.State, Why: r.Why}
		for _, f := range r.Findings {
			if r.State != guard.Clean {
				i.Findings = append(i.Findings, scoreFinding{f.Category, f.Score, f.Note})
			}
		}
		o.Inspectors = append(o.Inspectors, i)
	}
	return o
}

// scorePrinter prints verdicts as they come; json is one array.
type scorePrinter struct {
	format string
	out    io.Writer
	n      int
}

func (p *scorePrinter) print(s app.Scored) error {
	o := scoreOf(s)
	p.n++
	switch p.format {
	case "jsonl":
		enc := json.NewEncoder(p.out)
		enc.SetEscapeHTML(false) // an id as it was given
		return enc.Encode(o)
	case "json":
		sep := ",\n "
		if p.n == 1 {
			sep = "[\n "
		}
		text, err := json.Marshal(o)
		if err == nil {
			_, err = fmt.Fprint(p.out, sep, string(text))
		}
		return err
	}
	var notes []string
	for _, r := range s.Verdict.Reports {
		for _, f := range r.Findings {
			if f.Score >= guard.FlagScore {
				notes = append(notes, r.Name+": "+f.Note)
			}
		}
	}
	if s.Refused != "" {
		notes = append(notes, s.Refused)
	}
	_, err := fmt.Fprintf(p.out, "%-5s  %.2f  %s  %s\n", o.Verdict, o.Score, oneLine(string(o.ID), 60), oneLine(strings.Join(notes, "; "), 200))
	return err
}

func (p *scorePrinter) end(failed error) error {
	if p.format != "json" || failed != nil && p.n == 0 {
		return nil
	}
	text := "\n]\n"
	if p.n == 0 {
		text = "[]\n"
	}
	_, err := io.WriteString(p.out, text)
	return err
}
