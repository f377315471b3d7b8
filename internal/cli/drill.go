package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"bartizan/internal/api"
	"bartizan/internal/drill"

	"github.com/spf13/cobra"
)

func drillCmd(g *global) *cobra.Command {
	var self, logs bool
	var runs int
	cmd := &cobra.Command{
		Use: "drill", Short: "Attack the node safely and prove, per control, that it works",
		Long: "Attacks the running node from network namespaces of its own, with addresses that nobody has\n" +
			"(198.18.0.0/15, 2001:db8::/32) and a lease of at most ten minutes over exactly those, and prints what\n" +
			"worked and how long each step took. --self does the same to a throw-away node and leaves yours alone.\n" +
			"Needs root. Exit code 0 only when every control is ok · 1: one is not · 3: the drill could not be held.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runs < 1 || runs > 10000 {
				return usage(errors.New("--runs: between 1 and 10000"))
			}
			if logs && !self {
				return usage(errors.New("--logs is for --self: a node of your own reads its logs, not the drill's"))
			}
			o := drill.Options{Runs: runs, Table: "bartizan", Logs: logs, Warn: func(s string) { fmt.Fprintln(g.env.Stderr, "bartizan:", s) }}
			if terminal(g.env.Stderr) {
				o.Progress = func(s string) { fmt.Fprintln(g.env.Stderr, s) }
			}
			r, err := runDrill(cmd, g, self, o)
			if err != nil {
				return blind(fmt.Errorf("drill: %w", err))
			}
			if err := show(g, r, func(w io.Writer) error { return r.Print(w) }); err != nil {
				return err
			}
			if r.Summary.Runs == 0 {
				return &exitError{code: ExitBlind}
			}
			if r.Summary.OK != r.Summary.Controls {
				return &exitError{code: ExitFinding}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&self, "self", false, "attack a throw-away node instead of the running one")
	cmd.Flags().BoolVar(&logs, "logs", false, "with --self: also a scanner and a beacon in flow logs and a tunnel in DNS logs")
	cmd.Flags().IntVar(&runs, "runs", 1, "play the whole story this many times")
	return cmd
}

// terminal tells whether a person is watching.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func runDrill(cmd *cobra.Command, g *global, self bool, o drill.Options) (drill.Report, error) {
	if os.Geteuid() != 0 {
		return drill.Unproven("without root no network namespace can be made, so no attacker outside the node", self), nil
	}
	if self {
		return drill.RunSelf(cmd.Context(), o)
	}
	c, err := g.settings()
	if err != nil {
		return drill.Report{}, err
	}
	client := api.NewClient(c.Data)
	defer client.Close()
	o.Node = client
	return drill.Run(cmd.Context(), o)
}
