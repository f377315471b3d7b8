package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/api/token"
	"bartizan/internal/conf"

	"github.com/spf13/cobra"
)

func tokenCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, list and revoke keys of the HTTP API", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(tokenCreate(g), tokenList(g), tokenRevoke(g))
	return cmd
}

func tokenCreate(g *global) *cobra.Command {
	var scope, life string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, once", Args: cobra.ExactArgs(1),
		Long: "Prints the token on standard output and what it is on standard error, so that it can go to a file:\n" +
			"  (umask 077; bartizan token create laptop --scope operate > laptop.token)\n" +
			"The node keeps only its SHA-256.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := token.ParseScope(scope)
			if err != nil {
				return usage(fmt.Errorf("--scope: %w", err))
			}
			d, err := conf.ParseDuration(life)
			if err != nil {
				return usage(fmt.Errorf("--for: %w", err))
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			t, err := c.CreateToken(cmd.Context(), api.TokenRequest{Name: args[0], Scope: s, Seconds: d.D().Seconds()})
			if err != nil {
				return err
			}
			return show(g, t, func(w io.Writer) error {
				if _, err := fmt.Fprintf(g.env.Stderr, "token %s (%s): scope %s, until %s\n", t.Name, t.ID, t.Scope, t.Expires.Local().Format(time.DateTime)); err != nil {
					return err
				}
				_, err := fmt.Fprintln(w, t.Token)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&scope, "scope", "read", "report (for gateways beside the node: tell, see nothing), read (see everything), operate (also change decisions), admin (also tokens and the audit log)")
	f.StringVar(&life, "for", "30d", "how long, at most 366d")
	return cmd
}

func tokenList(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tokens, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			return showAll(g, all, func(w io.Writer) error { return printTokens(w, all) })
		},
	}
}

func tokenRevoke(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID|NAME", Short: "Refuse a token from now on; its event streams end", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			t, err := c.RevokeToken(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(g, t, func(w io.Writer) error { return printTokens(w, []api.TokenInfo{t}) })
		},
	}
}

func printTokens(out io.Writer, all []api.TokenInfo) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no tokens: only the administration socket of this machine is answered (bartizan token create NAME)")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSCOPE\tSTATE\tEXPIRES\tLAST USED\tMADE BY")
	for _, t := range all {
		used := "–"
		if !t.LastUsed.IsZero() {
			used = t.LastUsed.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Scope, t.State, t.Expires.Local().Format(time.DateTime), used, t.By)
	}
	return w.Flush()
}

func auditCmd(g *global) *cobra.Command {
	var q api.AuditQuery
	var since string
	cmd := &cobra.Command{
		Use: "audit", Short: "List who changed what, or tried to, newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := conf.ParseDuration(since)
			if err != nil {
				return usage(fmt.Errorf("--since: %w", err))
			}
			q.Since = time.Now().Add(-d.D())
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			limit := q.Limit
			q.Limit = more(limit)
			all, err := c.Audit(cmd.Context(), q)
			if err != nil {
				return err
			}
			all = atMost(g, all, limit, true)
			return showAll(g, all, func(w io.Writer) error { return printAudit(w, all) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&since, "since", "7d", "how far back")
	f.StringVar(&q.Actor, "actor", "", "only of actors whose name contains this")
	f.StringVar(&q.Operation, "operation", "", "only this operation, such as changeDecision")
	f.StringVar(&q.Result, "result", "", "only this result: begun, done, denied, refused, invalid, failed")
	f.IntVar(&q.Limit, "limit", 1000, "at most this many, the newest")
	return cmd
}

func printAudit(out io.Writer, all []api.AuditRecord) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "nothing was changed, and nobody tried")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tRESULT\tOPERATION\tWHO\tFROM\tWHAT")
	for _, a := range all {
		from := a.Address
		if from == "" {
			from = "socket"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Time.Local().Format(time.DateTime), a.Result, a.Operation, oneLine(a.Actor, 60), from, oneLine(a.What, 120))
	}
	return w.Flush()
}
