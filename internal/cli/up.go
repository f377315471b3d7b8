package cli

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"bartizan/internal/app"
	"bartizan/internal/safe"

	"github.com/spf13/cobra"
)

func upCmd(g *global) *cobra.Command {
	var listen []string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the node: decoys, detection, decisions, enforcement",
		Long: "Runs every role on this machine until it is told to stop. The default node only observes:\n" +
			"it decides and writes down what it would block, and blocks nothing but drills.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.settings()
			if err != nil {
				return err
			}
			for _, s := range listen {
				a, err := netip.ParseAddr(s)
				if err != nil {
					return usage(fmt.Errorf("--listen %q: not an IP address", s))
				}
				c.Decoys.Addresses = append(c.Decoys.Addresses, a)
			}
			if c.Data, err = filepath.Abs(c.Data); err != nil {
				return usage(err)
			}
			n, err := app.New(cmd.Context(), c, app.Env{Version: g.env.Version, Log: g.env.Stderr, Out: g.env.Stdout})
			switch {
			case errors.Is(err, app.ErrConfig):
				return usage(fmt.Errorf("start node: %w", err))
			case err != nil:
				return blind(fmt.Errorf("start node: %w", err))
			}
			if err := n.Run(cmd.Context()); err != nil {
				return blind(fmt.Errorf("run node: %w", err))
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&listen, "listen", nil, "listen on this address only (repeatable; default: every address)")
	return cmd
}

func versionCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version and what this build can do", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := app.BuildInfo(g.env.Version)
			return show(g, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "bartizan %s (%s, %s)\n", v.Version, v.Go, v.Platform)
				return err
			})
		},
	}
}

func configCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or print the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	check := &cobra.Command{
		Use: "check [FILE]", Short: "Say what is wrong with a configuration and its policy", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				g.config = args[0]
			}
			c, err := g.settings()
			if err != nil {
				return err
			}
			if err := app.Check(c); err != nil {
				return usage(err)
			}
			_, err = fmt.Fprintln(g.env.Stdout, "configuration, policy and rules are valid")
			return err
		},
	}
	dump := &cobra.Command{
		Use: "dump", Short: "Print the complete effective configuration", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := g.settings()
			if err != nil {
				return err
			}
			b, err := app.DumpConfig(c)
			if err != nil {
				return err
			}
			_, err = g.env.Stdout.Write(b)
			return err
		},
	}
	policy := &cobra.Command{
		Use: "policy", Short: "Print the policy in force, to start an own one from", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := g.settings()
			if err != nil {
				return err
			}
			b, err := app.PolicyText(c)
			if err != nil {
				return usage(err)
			}
			_, err = g.env.Stdout.Write(b)
			return err
		},
	}
	cmd.AddCommand(check, dump, policy)
	return cmd
}

// readInput reads a small text file, or pipe, that the user named.
func readInput(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return safe.ReadAll(f, max, name)
}
