package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app"
	"bartizan/internal/conf"

	"github.com/spf13/cobra"
)

func replayCmd(g *global) *cobra.Command {
	var policy, since string
	cmd := &cobra.Command{
		Use: "replay --policy FILE", Short: "Say what another policy would have decided on the signals of the past", Args: cobra.NoArgs,
		Long: "Runs the stored signals through the policy in force and the new one, and prints the difference.\nNothing is decided and nothing changes. Exit code 1: there is a difference.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if policy == "" {
				return usage(errors.New("replay: name the new policy with --policy FILE (\"bartizan config policy\" prints the one in force)"))
			}
			text, err := readInput(policy, 1<<20)
			if err != nil {
				return usage(err)
			}
			d, err := conf.ParseDuration(since)
			if err != nil {
				return usage(fmt.Errorf("--since: %w", err))
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.Replay(cmd.Context(), api.ReplayRequest{Policy: string(text), Name: filepath.Base(policy), Since: time.Now().Add(-d.D())})
			if err != nil {
				return err
			}
			if err := show(g, r, func(w io.Writer) error { return printReplay(w, r) }); err != nil {
				return err
			}
			if len(r.Added)+len(r.Removed)+len(r.Changed) > 0 {
				return &exitError{code: ExitFinding}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&policy, "policy", "", "policy file to try")
	cmd.Flags().StringVar(&since, "since", "7d", "how far back")
	return cmd
}

func printReplay(w io.Writer, r api.Replay) error {
	_, err := fmt.Fprintf(w, "%d signals: %d decisions more, %d fewer, %d different, %d the same\n", r.Signals, len(r.Added), len(r.Removed), len(r.Changed), r.Unchanged)
	for _, part := range []struct {
		sign string
		list []api.ReplayDecision
	}{{"+", r.Added}, {"-", r.Removed}, {"~", r.Changed}} {
		for _, d := range part.list {
			if _, err := fmt.Fprintf(w, "%s %s  %s  %s → %s\n", part.sign, d.Time.Local().Format(time.DateTime), oneLine(d.Target, 120), orNone(d.Before), orNone(d.After)); err != nil {
				return err
			}
		}
	}
	return err
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func rulesCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "Check detection rules and their cases", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	check := &cobra.Command{
		Use: "check [DIR]", Short: "Load rules (built-in ones, or a folder, also of Sigma rules) and run every case they carry", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := ""
			if len(args) == 1 {
				dir = args[0]
				if st, err := os.Stat(dir); err != nil || !st.IsDir() {
					return usage(fmt.Errorf("rules check: %q is not a folder", dir))
				}
			}
			r, err := app.CheckRules(dir)
			if err != nil {
				return usage(err)
			}
			if err := show(g, r, func(w io.Writer) error { return printRules(w, r) }); err != nil {
				return err
			}
			if len(r.Failures) > 0 {
				return &exitError{code: ExitFinding}
			}
			return nil
		},
	}
	cmd.AddCommand(check)
	return cmd
}

func printRules(w io.Writer, r app.RuleReport) error {
	for _, f := range r.Failures {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	if s := r.Sigma; s != nil {
		_, err := fmt.Fprintf(w, "Sigma: %d files, %d rules, %d correlations, %d skipped (deprecated or unsupported), %d failures\n", s.Files, r.Rules, s.Correlations, s.Skipped, len(r.Failures))
		if err != nil || len(s.Unmet) == 0 {
			return err
		}
		n, names := 0, make([]string, 0, len(s.Unmet))
		for _, u := range s.Unmet {
			n += u.Rules
			names = append(names, fmt.Sprintf("%s (%d)", oneLine(u.Logsource, 60), u.Rules))
		}
		_, err = fmt.Fprintf(w, "%d of the rules ask for log sources that no format has by itself, and only see records whose mapping names them (docs/sigma.md): %s\n", n, strings.Join(names, ", "))
		return err
	}
	_, err := fmt.Fprintf(w, "%d rules, %d cases, %d failures\n", r.Rules, r.Cases, len(r.Failures))
	return err
}
