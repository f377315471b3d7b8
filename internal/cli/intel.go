package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/conf"
	"bartizan/internal/model"

	"github.com/spf13/cobra"
)

func intelCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "intel", Short: "List what is known about addresses, URLs, files and fingerprints", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var q api.IntelQuery
	var kind string
	list := &cobra.Command{
		Use: "list [VALUE]", Short: "List indicators, the surest first", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if len(args) == 1 {
				q.Value = args[0]
			}
			q.Type = model.EntityType(kind)
			limit := q.Limit
			q.Limit = more(limit)
			all, err := c.Intel(cmd.Context(), q)
			if err != nil {
				return err
			}
			all = atMost(g, all, limit, false)
			return showAll(g, all, func(w io.Writer) error { return printIntel(w, all) })
		},
	}
	f := list.Flags()
	f.StringVar(&kind, "type", "", "only this type: ip, domain, url, sha256, ja3, ja4, hassh, access-key, prompt")
	f.Float64Var(&q.MinConfidence, "min", 0, "only with at least this confidence (0–1)")
	f.IntVar(&q.Limit, "limit", 1000, "at most this many")
	cmd.AddCommand(list)
	return cmd
}

func printIntel(out io.Writer, all []model.Indicator) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "nothing is known yet")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CONFIDENCE\tTYPE\tVALUE\tSEVERITY\tLAST SEEN\tEXPIRES\tBEHAVIOURS")
	for i := range all {
		n := &all[i]
		fmt.Fprintf(w, "%.3f\t%s\t%s\t%s\t%s\t%s\t%s\n", n.Confidence, n.Entity.Type(), oneLine(n.Entity.Value(), 60), n.Severity,
			n.LastSeen.Local().Format(time.DateTime), n.Expires.Local().Format(time.DateTime), oneLine(strings.Join(n.Behaviours, " "), 90))
	}
	return w.Flush()
}

func signalsCmd(g *global) *cobra.Command {
	var q api.SignalQuery
	var since string
	cmd := &cobra.Command{
		Use: "signals", Short: "List what detectors concluded, newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			d, err := conf.ParseDuration(since)
			if err != nil {
				return usage(fmt.Errorf("--since: %w", err))
			}
			q.Since = time.Now().Add(-d.D())
			limit := q.Limit
			q.Limit = more(limit)
			all, err := c.Signals(cmd.Context(), q)
			if err != nil {
				return err
			}
			all = atMost(g, all, limit, true)
			return showAll(g, all, func(w io.Writer) error {
				if len(all) == 0 {
					_, err := fmt.Fprintf(w, "no signals in the last %s (--since looks further back)\n", since)
					return err
				}
				for i := range all {
					if err := printSignal(w, &all[i]); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&since, "since", "1h", "how far back")
	f.StringVar(&q.Actor, "actor", "", "only of this address")
	f.StringVar(&q.Kind, "kind", "", "only this kind, such as auth.brute-force")
	f.IntVar(&q.Limit, "limit", 1000, "at most this many, the newest")
	return cmd
}

func printSignal(w io.Writer, s *model.Signal) error {
	more := ""
	if s.Count > 1 {
		more = fmt.Sprintf(" ×%d", s.Count)
	}
	if s.Spoofable {
		more += " (spoofable: counts nothing)"
	}
	_, err := fmt.Fprintf(w, "%s  %s  %-8s %-28s %s → %s%s\n    %s  [%s]  confidence %.2f  %s\n", s.Time.Local().Format(clock), s.ID, s.Severity, s.Kind,
		s.Address, s.Asset.Name, more, oneLine(s.Title, 120), strings.Join(s.Techniques, " "), s.Confidence, s.Rule)
	if err != nil {
		return err
	}
	for _, e := range s.Evidence {
		kept := ""
		if e.Blob != "" {
			kept = "  bytes: bartizan evidence " + e.Blob
		}
		if _, err := fmt.Fprintf(w, "    %s %s: %s%s\n", e.Time.Local().Format(clock), e.What, oneLine(e.Excerpt, 140), kept); err != nil {
			return err
		}
	}
	return nil
}

func evidenceCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "evidence SHA256", Short: "Write stored evidence to standard output, byte for byte",
		Long: "Evidence is what attackers sent, exactly. Send it to a file or a tool; a terminal would interpret it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			b, err := c.Evidence(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = g.env.Stdout.Write(b)
			return err
		},
	}
}
