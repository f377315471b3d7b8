package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"bartizan/internal/api"

	"github.com/spf13/cobra"
)

func statusCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say what runs, what is in force and what is wrong", Args: cobra.NoArgs,
		Long: "Exit code 0: all is well · 1: something is wrong, the list says what · 3: no node answers.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Status(cmd.Context())
			if err != nil {
				return blind(err)
			}
			if err := show(g, s, func(w io.Writer) error { return printStatus(w, s) }); err != nil {
				return err
			}
			if s.State != "ok" {
				return &exitError{code: ExitFinding}
			}
			return nil
		},
	}
}

func printStatus(out io.Writer, s api.Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is %s · mode %s · version %s · pid %d · up %s · data %s\n", s.Name, s.State, s.Mode, s.Version, s.PID,
		s.Now.Sub(s.Started).Round(time.Second), s.Data)
	if s.API.URL != "" {
		fmt.Fprintf(&b, "API %s · %d tokens · %d event streams", s.API.URL, s.API.Tokens, s.API.Streams)
		if s.API.Fingerprint != "" {
			fmt.Fprintf(&b, "\n    certificate SHA-256 %s", s.API.Fingerprint)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\nDecoys (as %s): %d connections, %d open, %d refused for load; process %d, restarts %d\n",
		s.Decoys.Host, s.Decoys.Accepted, s.Decoys.Active, s.Decoys.Shed, s.Decoys.PID, s.Decoys.Restarts)
	fmt.Fprintf(&b, "  jail: %s\n", s.Decoys.Jail)
	for _, m := range s.Decoys.Missing {
		fmt.Fprintf(&b, "  jail lacks: %s\n", m)
	}
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, l := range s.Decoys.Listening {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", l.Instance, l.Service, l.Address, l.Note)
	}
	_ = w.Flush() // a strings.Builder does not fail
	fmt.Fprintf(&b, "\nKnown: %d indicators · decisions: %d in force (%d on every enforcer), %d dry run, %d held for a person, %d ended\n",
		s.Intel, s.Decisions.Active, s.Decisions.Enforced, s.Decisions.DryRun, s.Decisions.Held, s.Decisions.Ended)
	for _, e := range s.Enforcers {
		fmt.Fprintf(&b, "  enforcer %s: %s, %d orders, %d pending", e.Name, e.State, e.Orders, e.Pending)
		if e.LastError != "" {
			fmt.Fprintf(&b, ", last error: %s", oneLine(e.LastError, 300))
		}
		b.WriteByte('\n')
	}
	for _, l := range s.Leases {
		fmt.Fprintf(&b, "  drill lease %s over %d addresses until %s (%s)\n", l.ID, l.Addresses, l.Until.Format(time.TimeOnly), l.By)
	}
	b.WriteString("\nChecks:\n")
	for _, c := range s.Checks {
		fmt.Fprintf(&b, "  %-9s %s: %s\n", c.State, c.Name, oneLine(c.Detail, 400))
	}
	for _, p := range s.Parts {
		if p.State != "running" {
			fmt.Fprintf(&b, "  part %s is %s: %s\n", p.Name, p.State, oneLine(p.Error, 300))
		}
	}
	b.WriteString("\nStreams:\n")
	for _, st := range s.Streams {
		fmt.Fprintf(&b, "  %-12s %8d messages %10d bytes\n", st.Name, st.Messages, st.Bytes)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
