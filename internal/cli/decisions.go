package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/conf"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/model"

	"github.com/spf13/cobra"
)

func decisionsCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "decisions", Short: "List decisions, release held ones, add and remove", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(decisionsList(g), decisionsShow(g), decisionsAdd(g), decisionsRemove(g),
		decisionsJudge(g, "approve", "Release a held decision"), decisionsJudge(g, "reject", "Refuse a held decision"))
	return cmd
}

func decisionsList(g *global) *cobra.Command {
	var q api.DecisionQuery
	var state string
	cmd := &cobra.Command{
		Use: "list", Short: "List decisions in force and held (--all: also ended ones)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			q.State, q.Target = model.State(state), publicTarget(q.Target)
			limit := q.Limit
			q.Limit = more(limit)
			list, err := c.Decisions(cmd.Context(), q)
			if err != nil {
				return err
			}
			list = atMost(g, list, limit, false)
			return showAll(g, list, func(w io.Writer) error { return printDecisions(w, list) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&q.All, "all", false, "also those that have ended")
	f.StringVar(&state, "state", "", "only this state: held, active, rejected, expired, removed")
	f.StringVar(&q.Target, "target", "", "only this address or prefix, or key:…, user:…, prompt:…")
	f.IntVar(&q.Limit, "limit", 1000, "at most this many, newest first")
	return cmd
}

func decisionsShow(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one decision and what the enforcers say about it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := model.ParseULID(args[0]); err != nil {
				return usage(fmt.Errorf("%q is no decision id", oneLine(args[0], 60)))
			}
			d, err := c.Decision(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(g, d, func(w io.Writer) error { return printDecisions(w, []api.Decision{d}) })
		},
	}
}

func printDecisions(out io.Writer, list []api.Decision) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no decisions (bartizan intel list shows what is known)")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tACTION\tTARGET\tUNTIL\tENFORCED BY\tDROPPED\tWHY")
	for i := range list {
		d := &list[i]
		state := string(d.State)
		if d.DryRun {
			state += " (dry run)"
		}
		dropped := "–"
		if d.Dropped != nil {
			dropped = fmt.Sprint(d.Dropped.Packets)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, state, d.Action, oneLine(targetText(d.Target), 80), d.Until.Local().Format(time.DateTime),
			enforcedBy(d), dropped, oneLine(whyShort(d), 90))
	}
	return w.Flush()
}

// publicTarget takes the secret out of a key that was given as a whole, before it
// is sent or written down anywhere.
func publicTarget(s string) string {
	for _, kind := range []string{"key:", "access-key:"} {
		if text, ok := strings.CutPrefix(s, kind); ok {
			return kind + keys.Public(text)
		}
	}
	return s
}

// targetText is an address as it is, and anything else with its type.
func targetText(e model.Entity) string {
	if e.Type() == model.TypeIP {
		return e.Value()
	}
	return e.String()
}

func whyShort(d *api.Decision) string {
	if d.State != model.StateHeld {
		return d.Reason
	}
	var stops []string
	for _, r := range d.Guardrails {
		if r.Verdict != model.GuardPass {
			stops = append(stops, r.Guardrail+": "+r.Detail)
		}
	}
	return strings.Join(stops, "; ") + " — " + d.Reason
}

func enforcedBy(d *api.Decision) string {
	last := map[string]model.ReceiptStatus{}
	var order []string
	for _, r := range d.Receipts {
		if _, seen := last[r.Enforcer]; !seen {
			order = append(order, r.Enforcer)
		}
		last[r.Enforcer] = r.Status
	}
	var out []string
	for _, e := range order {
		out = append(out, e+" "+string(last[e]))
	}
	if len(out) == 0 {
		return "–"
	}
	return strings.Join(out, ", ")
}

func decisionsAdd(g *global) *cobra.Command {
	var action, length, reason string
	cmd := &cobra.Command{
		Use: "add ADDRESS|PREFIX|TYPE:VALUE", Short: "Block (or throttle) by hand; the guardrails apply", Args: cobra.ExactArgs(1),
		Long: "Addresses are blocked by the enforcers and refused by the gateway. key:bzg_ID, user:NAME and prompt:FINGERPRINT are refused by\n" +
			"the gateway (bartizan guard key list has the ids of keys, signals have the fingerprints of prompts), user:agent/NAME and\n" +
			"user:mcp-server/NAME by \"bartizan guard mcp\" with this node.",
		Example: "  bartizan decisions add 203.0.113.7 --for 2h\n  bartizan decisions add key:bzg_k3v7q2m5xa --reason \"leaked in a repository\"\n  bartizan decisions add user:alice --for 1d",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := model.ParseAction(action)
			if err != nil {
				return usage(fmt.Errorf("--action: %w", err))
			}
			d, err := conf.ParseDuration(length)
			if err != nil {
				return usage(fmt.Errorf("--for: %w", err))
			}
			return g.change(cmd, api.DecisionChange{Op: "add", Target: publicTarget(args[0]), Action: a, Seconds: d.D().Seconds(), Reason: reason})
		},
	}
	f := cmd.Flags()
	f.StringVar(&action, "action", "block", "block, throttle or alert")
	f.StringVar(&length, "for", "1h", "how long")
	f.StringVar(&reason, "reason", "", "why, for whoever asks later")
	return cmd
}

func decisionsRemove(g *global) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "remove ID|ADDRESS|PREFIX|TYPE:VALUE", Short: "End a decision early", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ch := api.DecisionChange{Op: "remove", Reason: reason}
			if _, err := model.ParseULID(args[0]); err == nil {
				ch.ID = args[0]
			} else if _, err := model.ParseNamed(args[0]); err == nil {
				ch.Target = publicTarget(args[0])
			} else {
				return usage(fmt.Errorf("%q is neither a decision id nor an address nor type:value", oneLine(args[0], 60)))
			}
			return g.change(cmd, ch)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

func decisionsJudge(g *global, op, short string) *cobra.Command {
	var reason, length string
	cmd := &cobra.Command{
		Use: op + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ch := api.DecisionChange{Op: op, ID: args[0], Reason: reason}
			if length != "" {
				d, err := conf.ParseDuration(length)
				if err != nil {
					return usage(fmt.Errorf("--for: %w", err))
				}
				ch.Seconds = d.D().Seconds()
			}
			return g.change(cmd, ch)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	if op == "approve" {
		cmd.Flags().StringVar(&length, "for", "", "how long (default: as the policy said, from now)")
	}
	return cmd
}

func (g *global) change(cmd *cobra.Command, ch api.DecisionChange) error {
	c, err := g.client()
	if err != nil {
		return err
	}
	defer c.Close()
	d, err := c.Change(cmd.Context(), ch)
	if errors.Is(err, api.ErrRefused) {
		return &exitError{ExitFinding, err}
	}
	if err != nil {
		return err
	}
	if err := show(g, d, func(w io.Writer) error { return printDecisions(w, []api.Decision{d}) }); err != nil {
		return err
	}
	if ch.Op == "add" && d.State == model.StateHeld {
		for _, r := range d.Guardrails {
			if r.Verdict == model.GuardNever {
				return &exitError{ExitFinding, fmt.Errorf("held, not in force, and nobody can approve it: guardrail %s says never (\"bartizan why %s\" has all of them)", r.Guardrail, d.ID)}
			}
		}
		return &exitError{ExitFinding, fmt.Errorf("held, not in force: release it with \"bartizan decisions approve %s\" if its guardrails allow", d.ID)}
	}
	return nil
}
