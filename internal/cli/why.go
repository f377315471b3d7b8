package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"

	"github.com/spf13/cobra"
)

func whyCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "why ID|ADDRESS|TYPE:VALUE", Short: "Show the chain from the packet to the firewall rule",
		Long: "Takes the id of a decision, a signal or a lease, an address, or an indicator as type:value\n(url:http://…, sha256:…), and shows what it rests on and what came of it, with times.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			defer c.Close()
			y, err := c.Why(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(g, y, func(w io.Writer) error { return printWhy(w, y) })
		},
	}
}

const clock = "2006-01-02 15:04:05.000"

func printWhy(out io.Writer, y api.Why) error {
	var b strings.Builder
	if l := y.Lease; l != nil {
		fmt.Fprintf(&b, "drill lease %s by %s\n  from %s until %s, blocks of %gs, signed\n  addresses: %s\n", l.ID, l.By, l.From.Local().Format(clock),
			l.Until.Local().Format(clock), float64(l.BlockFor), strings.Join(l.Addresses, " "))
	}
	if y.Decision != nil {
		whyDecision(&b, y.Decision, y.Ledger)
	}
	if y.Indicator != nil {
		whyIndicator(&b, y.Indicator)
	}
	if len(y.Signals) > 0 {
		fmt.Fprintf(&b, "\nsignals (%d):\n", len(y.Signals))
		for i := range y.Signals {
			_ = printSignal(&b, &y.Signals[i]) // a strings.Builder does not fail
		}
	}
	for _, gone := range y.Gone {
		fmt.Fprintf(&b, "\nno longer kept: %s\n", gone)
	}
	if y.Decision == nil && len(y.Decisions) > 0 {
		b.WriteString("\ndecisions that rest on it:\n")
		for i := range y.Decisions {
			whyDecision(&b, &y.Decisions[i], nil)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func whyDecision(b *strings.Builder, d *api.Decision, ledger []api.LedgerLine) {
	mode := ""
	if d.DryRun {
		mode = ", dry run: written down, not enforced"
	}
	fmt.Fprintf(b, "decision %s: %s %s, %s%s\n", d.ID, d.Action, oneLine(d.Target.String(), 200), d.State, mode)
	fmt.Fprintf(b, "  policy     %s: %s\n", d.Policy, oneLine(d.Reason, 160))
	fmt.Fprintf(b, "  in force   %s until %s (%s), recurrence %d\n", d.From.Local().Format(clock), d.Until.Local().Format(clock), d.Until.Sub(d.From).Round(time.Millisecond), d.Recurrence)
	if d.Because.Confidence > 0 {
		var kinds []string
		for _, c := range d.Because.Classes {
			kinds = append(kinds, string(c))
		}
		fmt.Fprintf(b, "  because    confidence %.4f from %d independent kinds of evidence: %s\n", d.Because.Confidence, len(kinds), strings.Join(kinds, ", "))
	}
	if !d.Lease.IsZero() {
		fmt.Fprintf(b, "  lease      %s: a drill; the reserved-range check and observe mode were lifted for it\n", d.Lease)
	}
	for _, r := range d.Guardrails {
		fmt.Fprintf(b, "  guardrail  %-16s %-7s %s\n", r.Guardrail, r.Verdict, oneLine(r.Detail, 140))
	}
	for _, l := range ledger {
		fmt.Fprintf(b, "  ledger     %s  #%d %s by %s %s\n", l.Time.Local().Format(clock), l.Seq, l.Change, l.By, oneLine(l.Reason, 120))
	}
	if d.Dropped != nil {
		fmt.Fprintf(b, "  dropped    %d packets, %d bytes\n", d.Dropped.Packets, d.Dropped.Bytes)
	}
	for _, r := range d.Receipts {
		fmt.Fprintf(b, "  receipt    %s  %s %s %s\n", r.Time.Local().Format(clock), r.Enforcer, r.Status, oneLine(r.Detail, 140))
	}
}

func whyIndicator(b *strings.Builder, n *model.Indicator) {
	fmt.Fprintf(b, "\nindicator %s: confidence %.4f at %s\n", oneLine(n.Entity.String(), 120), n.Confidence, n.AsOf.Local().Format(clock))
	fmt.Fprintf(b, "  seen       %s to %s, %d observations, by %s\n", n.FirstSeen.Local().Format(clock), n.LastSeen.Local().Format(clock), n.Count, strings.Join(n.Sensors, ", "))
	fmt.Fprintf(b, "  removes itself %s\n", n.Expires.Local().Format(clock))
	sum := 0.0
	for _, t := range n.Terms {
		sum += t.LogLR
		fmt.Fprintf(b, "  term       %+7.3f  %-28s %-12s ×%-4d %s\n", t.LogLR, t.What, t.Class, t.Count, t.Note)
	}
	fmt.Fprintf(b, "  sum        %+7.3f  log-odds\n", sum)
}
