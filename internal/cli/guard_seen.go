package cli

import (
	"context"
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

// asked makes a command that asks the node for a list and prints it.
func asked[T any](g *global, use, short, none string, ask func(context.Context, *api.Client) ([]T, error), line func(*tabwriter.Writer, *T)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := g.client()
		if err != nil {
			return err
		}
		defer c.Close()
		list, err := ask(cmd.Context(), c)
		if err != nil {
			return err
		}
		return showAll(g, list, func(w io.Writer) error {
			if len(list) == 0 {
				_, err := fmt.Fprintln(w, none)
				return err
			}
			t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
			line(t, nil)
			for i := range list {
				line(t, &list[i])
			}
			return t.Flush()
		})
	}}
}

// ago is a flag that says how far back.
func ago(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	d, err := conf.ParseDuration(text)
	if err != nil {
		return time.Time{}, usage(fmt.Errorf("--since: %w", err))
	}
	return time.Now().Add(-d.D()), nil
}

func guardExchangesCmd(g *global) *cobra.Command {
	q, since := api.ExchangeQuery{}, ""
	cmd := asked(g, "exchanges", "List exchanges with language models through the node's gateway, newest first", "no exchanges (bartizan hunt has older ones: llm_calls)",
		func(ctx context.Context, c *api.Client) (_ []model.LLMCall, err error) {
			if q.Since, err = ago(since); err != nil {
				return nil, err
			}
			return c.Exchanges(ctx, q)
		}, func(w *tabwriter.Writer, x *model.LLMCall) {
			if x == nil {
				fmt.Fprintln(w, "TIME\tID\tROUTE\tKEY\tMODEL\tACTION\tOUTCOME\tTOKENS\tUSD\tWHY")
				return
			}
			tokens, dollars := "–", "–"
			if u := x.Usage; u != nil {
				tokens = fmt.Sprint(max(u.Input, 0) + max(u.Output, 0))
			}
			if x.Dollars != nil {
				dollars = fmt.Sprintf("%.4f", *x.Dollars)
			}
			key := x.KeyName
			if key == "" {
				key = x.Peer
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s %d\t%s\t%s\t%s\n", x.Time.Local().Format(time.DateTime), x.ID, x.Route, oneLine(key, 30), oneLine(x.Model, 30), x.Action, x.Outcome, x.Status, tokens, dollars, oneLine(x.Reason, 60))
		})
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "how far back, such as 1h or 7d (default: all that is kept)")
	f.StringVar(&q.Route, "route", "", "only this route")
	f.StringVar(&q.Key, "key", "", "only this key, by id or name")
	f.StringVar(&q.Model, "model", "", "only this model")
	f.StringVar(&q.Action, "action", "", "only: allow, flag, throttle, hold, mask, rewrite, block")
	f.StringVar(&q.Category, "category", "", "only: injection, secret, pii, …")
	f.StringVar(&q.Result, "outcome", "", "only: forwarded, refused, failed, abandoned")
	f.IntVar(&q.Limit, "limit", 100, "at most this many")
	return cmd
}

func guardTrafficCmd(g *global) *cobra.Command {
	q, since := api.TrafficQuery{}, ""
	cmd := asked(g, "traffic", "Show what was said on routes that are recorded, masked, newest first", "nothing is recorded (record: masked in a route turns it on; bartizan hunt has older traffic: llm_traffic)",
		func(ctx context.Context, c *api.Client) (_ []model.LLMTraffic, err error) {
			if q.Since, err = ago(since); err != nil {
				return nil, err
			}
			return c.Traffic(ctx, q)
		}, func(w *tabwriter.Writer, x *model.LLMTraffic) {
			if x == nil {
				return
			}
			fmt.Fprintf(w, "%s %s %s %s (%d masked, %d withheld)\n", x.Time.Local().Format(time.DateTime), x.ID, x.Route, x.Action, x.Masked, x.Withheld)
			for _, m := range x.Messages {
				said := oneLine(m.Text, 300)
				if m.Withheld != "" {
					said = fmt.Sprintf("[%d bytes, not kept: %s]", m.Size, m.Withheld)
				}
				fmt.Fprintf(w, "  %s\t%s\n", m.Kind, said)
			}
		})
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "how far back, such as 1h (default: all of the last day)")
	f.StringVar(&q.Route, "route", "", "only this route")
	f.StringVar(&q.ID, "id", "", "only this exchange")
	f.IntVar(&q.Limit, "limit", 20, "at most this many")
	return cmd
}

func guardVerdictsCmd(g *global) *cobra.Command {
	since := "24h"
	cmd := &cobra.Command{Use: "verdicts", Short: "Sum up what each inspector of the node's gateway did", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := g.client()
		if err != nil {
			return err
		}
		defer c.Close()
		from, err := ago(since)
		if err != nil {
			return err
		}
		v, err := c.Verdicts(cmd.Context(), from)
		if err != nil {
			return err
		}
		return show(g, v, func(w io.Writer) error {
			fmt.Fprintf(w, "%d exchanges since %s", v.Exchanges, v.Since.Local().Format(time.DateTime))
			if !v.Complete {
				fmt.Fprint(w, " (the newest that are counted)")
			}
			for _, n := range v.Actions {
				fmt.Fprintf(w, " · %s %d", n.Name, n.Count)
			}
			fmt.Fprintln(w)
			t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(t, "INSPECTOR\tFOUND\tCLEAN\tNOTHING TO LOOK FOR\tNOT ASKED\tFAILED\t")
			for _, i := range v.Inspectors {
				fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t\n", i.Name, i.Found, i.Clean, i.Skipped, i.Off, i.Failed)
			}
			return t.Flush()
		})
	}}
	cmd.Flags().StringVar(&since, "since", since, "how far back")
	return cmd
}

func guardBudgetsCmd(g *global) *cobra.Command {
	of := func(used, limit any) string {
		if s := fmt.Sprint(limit); s != "0" {
			return fmt.Sprintf("%v of %v", used, limit)
		}
		return fmt.Sprint(used)
	}
	return asked(g, "budgets", "Show what is used of each budget of the node's gateway in its present window", "nothing was spent in a window that is not over, or there are no budgets",
		func(ctx context.Context, c *api.Client) ([]api.GuardBudget, error) { return c.Budgets(ctx) },
		func(w *tabwriter.Writer, b *api.GuardBudget) {
			if b == nil {
				fmt.Fprintln(w, "BY\tNAME\tWINDOW\tREQUESTS\tTOKENS\tUSD\tAT ONCE")
				return
			}
			fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\t%s\t%s\n", b.By, oneLine(b.Name, 40), time.Duration(b.Seconds*float64(time.Second)), of(b.Requests, b.Limit.Requests), of(b.Tokens, b.Limit.Tokens),
				of(fmt.Sprintf("%.4f", b.Dollars), b.Limit.Dollars), of(b.Running, b.Limit.Concurrency))
		})
}

func guardRoutesCmd(g *global) *cobra.Command {
	return asked(g, "routes", "List the routes of the node's gateway with their policies", "the node's gateway has no routes (docs/guard.md has some to start from)",
		func(ctx context.Context, c *api.Client) ([]api.GuardRoute, error) { return c.Routes(ctx) },
		func(w *tabwriter.Writer, r *api.GuardRoute) {
			if r == nil {
				fmt.Fprintln(w, "NAME\tURL\tFORMAT\tUPSTREAM\tSTREAM\tRECORD\tACTIONS")
				return
			}
			var actions []string
			for _, d := range r.Directions {
				for _, a := range d.Actions {
					actions = append(actions, d.Name+" "+a.Category+": "+a.Action)
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.URL, r.Format, oneLine(r.Upstream, 60), r.Stream, r.Record, strings.Join(actions, ", "))
		})
}

func guardAgentsCmd(g *global) *cobra.Command {
	return asked(g, "agents", "List the agents of MCP gateways beside the node, with their policies", "no MCP gateway has told the node of any (node: in its configuration; docs/mcp.md)",
		func(ctx context.Context, c *api.Client) ([]api.MCPAgent, error) { return c.Agents(ctx) },
		func(w *tabwriter.Writer, a *api.MCPAgent) {
			if a == nil {
				fmt.Fprintln(w, "AGENT\tGATEWAY\tTOOL\tSERVER\tWHEN\tDO")
				return
			}
			for _, r := range a.Rules {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(a.Name, 40), oneLine(a.Gateway, 60), oneLine(r.Tool, 40), oneLine(r.Server, 40), oneLine(r.When, 80), r.Do)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t\t\t%s\n", oneLine(a.Name, 40), oneLine(a.Gateway, 60), "(any other)", a.Else)
		})
}

func guardToolsCmd(g *global) *cobra.Command {
	return asked(g, "tools", "List the tools of MCP servers beside the node, with their pinned definitions", "no MCP gateway has told the node of any (node: in its configuration; docs/mcp.md)",
		func(ctx context.Context, c *api.Client) ([]api.MCPTool, error) { return c.Tools(ctx) },
		func(w *tabwriter.Writer, x *api.MCPTool) {
			if x == nil {
				fmt.Fprintln(w, "SERVER\tTOOL\tSTATE\tSINCE\tBY\tSHA-256")
				return
			}
			state := "pinned"
			switch {
			case x.Changed:
				state = "CHANGED, stopped since " + x.OfferedAt.Local().Format(time.DateTime)
			case x.Hash == "":
				state = "not accepted"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.12s\n", oneLine(x.Server, 40), oneLine(x.Name, 40), state, x.Since.Local().Format(time.DateTime), oneLine(x.By, 30), x.Hash)
		})
}
