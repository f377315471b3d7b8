package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"bartizan/internal/app/scanning"
	"bartizan/internal/assess"
	"bartizan/internal/model"

	"github.com/spf13/cobra"
)

// withSARIF marks verbs that also print SARIF.
const withSARIF = "sarif"

func scanCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "scan", Short: "Look for what is wrong with what you protect", Args: knownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(scanMCPCmd(g))
	return cmd
}

func scanMCPCmd(g *global) *cobra.Command {
	q := scanning.Request{Scanner: "mcp"}
	failOn := ""
	cmd := &cobra.Command{
		Use: "mcp PATH…|URL|-- COMMAND…", Short: "Scan MCP servers and the configurations of their clients", Args: cobra.MinimumNArgs(1),
		Annotations: map[string]string{withSARIF: ""},
		Long: "Reads configurations of MCP clients (.mcp.json, Claude, Cursor, VS Code and others; a folder is searched for them) or\n" +
			"asks a server: one at a URL, or one that COMMAND starts. Reports too much authority, secrets, packages without a version,\n" +
			"dangerous combinations, hidden orders in definitions, tools that shadow others, schemas that take anything. The\n" +
			"servers of a configuration are only started with --start: that runs their commands.\n\n" +
			"Exit codes: 0 nothing at or above --fail-on · 1 at least one finding · 2 wrong usage · 3 something could not be looked at\n" +
			"(a file that cannot be read, a server that does not start); the findings are printed all the same.",
		Example: "  bartizan scan mcp .\n  bartizan scan mcp --start ~/.cursor/mcp.json --format sarif\n  bartizan scan mcp -- npx -y some-server@1.2.3",
		RunE: func(cmd *cobra.Command, args []string) error {
			least, err := model.ParseSeverity(failOn)
			if err != nil {
				return usage(fmt.Errorf("--fail-on: %w", err))
			}
			if err := scanTarget(&q.Target, args, cmd.ArgsLenAtDash()); err != nil {
				return usage(err)
			}
			start := time.Now()
			r, err := scanning.Run(cmd.Context(), q, start.UTC())
			if err != nil {
				return usage(err)
			}
			return g.printScan(r, least, time.Since(start))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&q.Target.Start, "start", false, "start, or connect to, the servers that a configuration names: this runs their commands")
	f.StringVar(&failOn, "fail-on", "medium", "severity from which on a finding makes the exit code 1: info, low, medium, high, critical")
	f.StringVar(&q.Policy, "policy", "", "file with options of scanners, by name (YAML)")
	return cmd
}

// scanTarget tells files, an address and a command apart.
func scanTarget(t *assess.Target, args []string, dash int) error {
	switch {
	case dash == 0:
		t.Command = args
	case dash > 0:
		return errors.New("give files, an address or -- COMMAND, not two of them")
	case strings.HasPrefix(args[0], "http://") || strings.HasPrefix(args[0], "https://"):
		if len(args) > 1 {
			return errors.New("one address at a time")
		}
		t.URL = args[0]
	default:
		t.Paths = args
	}
	return nil
}

func (g *global) printScan(r assess.Report, least model.Severity, took time.Duration) error {
	out := bufio.NewWriter(g.env.Stdout)
	var err error
	if g.format == "sarif" {
		err = assess.WriteSARIF(out, g.env.Version, r)
	} else {
		err = showAll(&global{env: Env{Stdout: out}, format: g.format}, r.Findings, func(w io.Writer) error { return scanText(w, r.Findings) })
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	note := fmt.Sprintf("bartizan: %d findings", r.Failed)
	if r.NotAsked > 0 {
		note += fmt.Sprintf("; the tools of %d servers were not looked at (--start starts them)", r.NotAsked)
	}
	if r.Blind > 0 {
		note += fmt.Sprintf("; %d things could not be looked at", r.Blind)
	}
	if r.Cut > 0 {
		note += fmt.Sprintf("; %d more are not shown", r.Cut)
	}
	fmt.Fprintf(g.env.Stderr, "%s; %s\n", note, took.Round(time.Millisecond))
	if r.Blind > 0 {
		return &exitError{code: ExitBlind}
	}
	for _, f := range r.Findings {
		if f.State == model.FindingFail && f.Severity >= least {
			return &exitError{code: ExitFinding}
		}
	}
	return nil
}

func scanText(w io.Writer, all []model.Finding) error {
	for _, f := range all {
		word := f.Severity.String()
		if f.State != model.FindingFail {
			word = f.State.String()
		}
		line := fmt.Sprintf("%-8s  %-24s  %s  %s: %s", word, f.Rule, oneLine(f.Where, 120), f.Title, oneLine(f.Subject, 120))
		if f.Detail != "" {
			line += " (" + oneLine(f.Detail, 300) + ")"
		}
		if f.State == model.FindingFail {
			line += "\n          " + f.Fix
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
