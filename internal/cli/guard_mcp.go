package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"bartizan/internal/app/mcpgate"
	"bartizan/internal/gateway/mcp"

	"github.com/spf13/cobra"
)

func guardMCPCmd(g *global) *cobra.Command {
	q := mcpgate.Request{}
	listen := ""
	cmd := &cobra.Command{
		Use: "mcp [-- SERVER…]", Short: "Stand between an agent and its MCP servers", Args: cobra.ArbitraryArgs,
		Long: "Starts an MCP server, or connects with one that is reached over HTTP, and stands between it and the client on standard\n" +
			"input and output, or with --listen clients over HTTP: put it in the place of the\n" +
			"server's command in the client's configuration. Only calls that the policy of the agent allows pass; definitions of\n" +
			"tools are pinned, results inspected, everything is traced. docs/mcp.md explains the configuration.\n\n" +
			"Exit codes: 0 the client hung up · 2 wrong usage or configuration · 3 the server did not start, or ended by itself.",
		Example: "  bartizan guard mcp --config mcp.yaml --server files\n  bartizan guard mcp --config mcp.yaml -- npx -y some-server@1.2.3\n  bartizan guard mcp --config mcp.yaml --listen 127.0.0.1:9620",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return usage(fmt.Errorf("unknown word %q: a server's command stands after --", oneLine(args[0], 60)))
			}
			q.Config, q.Command = g.config, args
			log := slog.New(slog.NewTextHandler(g.env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			if listen == "" && len(args) == 0 && q.Server == "" {
				var err error
				if listen, err = mcpgate.Listens(g.config); err != nil {
					return usage(err)
				}
			}
			if listen != "" {
				if len(args) > 0 || q.Server != "" || q.Agent != "" {
					return usage(errors.New("--listen serves every server of the configuration; agents are told apart by their keys"))
				}
				return mcpResult(mcpgate.Listen(cmd.Context(), g.config, listen, log, func(url, pin string) {
					fmt.Fprintf(g.env.Stderr, "bartizan: MCP servers are at %s/NAME\n", url)
					if pin != "" {
						fmt.Fprintln(g.env.Stderr, "bartizan: certificate", pin)
					}
				}))
			}
			in, ok := g.env.Stdin.(io.ReadCloser)
			if !ok {
				in = io.NopCloser(g.env.Stdin)
			}
			return mcpResult(mcpgate.Stdio(cmd.Context(), q, log, mcp.Pipes{In: in, Out: g.env.Stdout, Errors: g.env.Stderr}))
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Agent, "agent", "", "whose policy counts (default: the only one of the configuration)")
	f.StringVar(&listen, "listen", "", "IP address and port: serve the servers of the configuration over HTTP, each at /NAME, and for old clients at /NAME/sse")
	f.StringVar(&q.Server, "server", "", "which server of the configuration; with -- COMMAND the name it is pinned and traced under (server)")
	cmd.AddCommand(mcpPinsCmd(g), mcpPinCmd(g), mcpHeldCmd(g), mcpAnswerCmd(g, true), mcpAnswerCmd(g, false))
	return cmd
}

func mcpResult(err error) error {
	if _, running := errors.AsType[*mcpgate.RunError](err); running {
		return blind(err)
	}
	return usage(err)
}

func mcpPinsCmd(g *global) *cobra.Command {
	changed := false
	cmd := &cobra.Command{
		Use: "pins", Short: "List the accepted definitions of tools, and how those that are offered differ", Args: cobra.NoArgs,
		Long: "Exit codes: 0 nothing differs · 1 something is offered that was not accepted · 2 wrong usage or configuration.",
		RunE: func(*cobra.Command, []string) error {
			pins, err := mcpgate.Pins(g.config)
			if err != nil {
				return usage(err)
			}
			all, err := pins.List()
			if err != nil {
				return blind(err)
			}
			var list []mcp.Listed
			differs := false
			for _, l := range all {
				differs = differs || l.Changed()
				if l.Changed() || !changed {
					list = append(list, l)
				}
			}
			if err := showAll(g, list, func(w io.Writer) error { return pinsText(w, list) }); err != nil {
				return err
			}
			if differs {
				return &exitError{code: ExitFinding}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&changed, "changed", false, "only those that differ")
	return cmd
}

func pinsText(w io.Writer, list []mcp.Listed) error {
	for _, l := range list {
		state, hash := "accepted by "+l.By, l.Hash
		if l.Changed() {
			state = "CHANGED " + l.OfferedAt.Format(time.RFC3339)
			if l.Hash == "" {
				state, hash = "not accepted", strings.Repeat("-", 12)
			}
		}
		if _, err := fmt.Fprintf(w, "%s  %s  %.12s  %s\n", oneLine(l.Server, 60), oneLine(l.Tool, 100), hash, state); err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSuffix(l.Diff, "\n"), "\n") {
			if line == "" {
				continue
			}
			if _, err := fmt.Fprintln(w, "    "+oneLine(line, 400)); err != nil {
				return err
			}
		}
	}
	return nil
}

func mcpPinCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "pin SERVER [TOOL…]", Short: "Accept the definitions that a server offers now", Args: cobra.MinimumNArgs(1),
		Long: "Without TOOL, of all its tools. Look at `bartizan guard mcp pins --changed` first: what is accepted is shown to the model.",
		RunE: func(_ *cobra.Command, args []string) error {
			pins, err := mcpgate.Pins(g.config)
			if err != nil {
				return usage(err)
			}
			accepted, err := pins.Accept(args[0], args[1:], time.Now().UTC())
			if err != nil {
				return usage(err)
			}
			return showAll(g, accepted, func(w io.Writer) error {
				if len(accepted) == 0 {
					_, err := fmt.Fprintln(w, "nothing differs from what is accepted")
					return err
				}
				_, err := fmt.Fprintln(w, "accepted: "+oneLine(strings.Join(accepted, ", "), 2000))
				return err
			})
		},
	}
}

func mcpHeldCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "held", Short: "List the calls that wait for a person", Args: cobra.NoArgs,
		Long: "Those of the state folder of --config. \"bartizan guard held\" lists what waits at a node, calls of gateways that have one included.",
		RunE: func(*cobra.Command, []string) error {
			folder, err := mcpgate.Held(g.config)
			if err != nil {
				return usage(err)
			}
			return printDesk(g, folderDesk(folder))
		},
	}
}

func mcpAnswerCmd(g *global, release bool) *cobra.Command {
	word, alias, short := "reject", "refuse", "Refuse a call that waits"
	if release {
		word, alias, short = "approve", "release", "Let a call that waits go on"
	}
	reason := ""
	cmd := &cobra.Command{
		Use: word + " ID", Aliases: []string{alias}, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			folder, err := mcpgate.Held(g.config)
			if err != nil {
				return usage(err)
			}
			return decideHeld(g, folderDesk(folder), args[0], release, reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; the agent is told")
	return cmd
}
