package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/gateway/approval"

	"github.com/spf13/cobra"
)

// desk is where things wait for a person: at a node, or in the folder of a gateway
// that runs without one.
type desk struct {
	list   func() ([]approval.Held, error)
	decide func(id string, approve bool, reason string) (approval.Held, error)
}

// folderDesk is that of a gateway without a node.
func folderDesk(f *approval.Folder) desk {
	who := fmt.Sprintf("uid=%d pid=%d", os.Getuid(), os.Getpid())
	return desk{
		func() ([]approval.Held, error) { return f.List(time.Now()) },
		func(id string, approve bool, reason string) (approval.Held, error) {
			return f.Decide(id, approve, who, reason, time.Now())
		}}
}

// openDesk asks the node, and where none runs the folder that "guard serve" uses.
func (g *global) openDesk(cmd *cobra.Command) (desk, func(), error) {
	c, err := g.client()
	if err != nil {
		return desk{}, nil, err
	}
	ctx := cmd.Context()
	d := desk{
		func() ([]approval.Held, error) { return c.Held(ctx) },
		func(id string, approve bool, reason string) (approval.Held, error) {
			return c.DecideHeld(ctx, id, api.HeldDecision{Approve: approve, Reason: reason})
		}}
	if g.remote.server != "" {
		return d, c.Close, nil
	}
	if _, err := c.Held(ctx); !errors.Is(err, api.ErrNoNode) {
		return d, c.Close, nil
	}
	conf, err := g.settings()
	if err != nil {
		return desk{}, nil, err
	}
	dir := gate.Held(conf.Data)
	if _, serr := os.Stat(dir); serr != nil {
		_, err = c.Held(ctx)
		c.Close()
		return desk{}, nil, err
	}
	f, err := approval.Open(dir, approval.Limits{}, nil)
	if err != nil {
		return desk{}, nil, blind(err)
	}
	return folderDesk(f), c.Close, nil
}

func guardHeldCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "held", Short: "List what waits for a person: prompts, answers and calls of tools", Args: cobra.NoArgs,
		Long: "Asks the node (or the one at --server); where none runs, the folder of \"bartizan guard serve\". Secrets are masked.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, done, err := g.openDesk(cmd)
			if err != nil {
				return err
			}
			defer done()
			return printDesk(g, d)
		},
	}
}

func printDesk(g *global, d desk) error {
	list, err := d.list()
	if err != nil {
		return blind(err)
	}
	return showAll(g, list, func(w io.Writer) error { return printHeld(w, list) })
}

func printHeld(out io.Writer, list []approval.Held) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "nothing waits for a person")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tKIND\tUNTIL\tWHO\tWHAT\tWHY")
	for i := range list {
		h := &list[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, h.Kind, h.Until.Local().Format(time.TimeOnly), oneLine(h.Who(), 60), oneLine(h.What(), 100), oneLine(h.Why, 120))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range list {
		if text := list[i].Args + list[i].Text; text != "" {
			if _, err := fmt.Fprintf(out, "\n%s  %s\n", list[i].ID, oneLine(text, 2048)); err != nil {
				return err
			}
		}
	}
	return nil
}

func guardDecideCmd(g *global, approve bool) *cobra.Command {
	word, short := "reject", "Refuse something that waits"
	if approve {
		word, short = "approve", "Let something that waits go on"
	}
	reason := ""
	cmd := &cobra.Command{
		Use: word + " ID", Short: short, Args: cobra.ExactArgs(1),
		Long: "The first answer counts. Exit codes: 0 done · 1 nothing with this id waits any more · 3 no node answers.",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, done, err := g.openDesk(cmd)
			if err != nil {
				return err
			}
			defer done()
			return decideHeld(g, d, args[0], approve, reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; whoever asked is told")
	return cmd
}

func decideHeld(g *global, d desk, id string, approve bool, reason string) error {
	h, err := d.decide(id, approve, reason)
	if errors.Is(err, approval.ErrNothing) || errors.Is(err, api.ErrNotFound) {
		return &exitError{ExitFinding, err}
	}
	if err != nil {
		return err
	}
	done := "refused"
	if approve {
		done = "approved"
	}
	return show(g, h, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s of %s, %s\n", done, h.Kind, oneLine(h.Who(), 60), oneLine(h.What(), 100))
		return err
	})
}
