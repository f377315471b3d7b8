package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/conf"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/obs"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func guardServeCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the gateway in front of language models, without a node", Args: cobra.NoArgs,
		Long: "Serves the routes of the section \"gateway\" of the configuration until it is told to stop. Every exchange leaves\n" +
			"a line in gateway/audit.jsonl of the data folder. Clients need keys: \"bartizan guard key create NAME\".\n" +
			"\"bartizan up\" serves the same routes and joins them with what the node knows.",
		Example: "  bartizan guard serve --config guard.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runGuardServe(cmd.Context(), g) },
	}
}

func runGuardServe(ctx context.Context, g *global) error {
	c, err := g.settings()
	if err != nil {
		return err
	}
	if len(c.Gateway.Routes) == 0 {
		return usage(errors.New("the configuration has no gateway.routes: docs/guard.md has some to start from, --config names the file"))
	}
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return usage(err)
	}
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return usage(fmt.Errorf("log.level: %w", err))
	}
	log := obs.NewLogger(g.env.Stderr, obs.Format(c.Log.Format), level)
	keep := gate.LakeConfig{Product: g.env.Version, Keep: c.Lake.Retention()}
	if c.Lake.Enabled {
		keep.Dir = c.LakeDir()
	}
	// Garbage is collected when it is half of what lives, not
	// as much, because a thousand streams make much of it; the ballast keeps a gateway with few
	// from collecting all the time.
	ballast := make([]byte, gcBallast)
	defer runtime.KeepAlive(ballast)
	// Where the runtime took it from memory that was used before it has written zeros to it:
	// given back, they are read as zeros again, and take nothing.
	if err := unix.Madvise(ballast, unix.MADV_DONTNEED); err != nil {
		log.Debug("the ballast takes memory", "error", err)
	}
	debug.SetGCPercent(gcPercent)
	return blind(gate.Alone(ctx, gate.Options{Config: c.Gateway, Data: c.Data, Log: log}, keep, func(x *gate.Gate) {
		debug.FreeOSMemory() // what opening took
		x.Greet(g.env.Stdout)
	}))
}

// gcPercent of what lives and of the ballast is how much garbage there may be. Nothing
// touches the ballast, so it takes addresses and no memory.
const (
	gcPercent = 50
	gcBallast = 64 << 20
)

func guardKeyCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make, list and revoke the keys of the gateway's clients", Args: knownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(guardKeyCreateCmd(g), guardKeyListCmd(g), guardKeyRevokeCmd(g))
	return cmd
}

// keyDir is where the gateway's keys are.
func (g *global) keyDir() (string, error) {
	c, err := g.settings()
	return gate.Dir(c.Data), err
}

func guardKeyCreateCmd(g *global) *cobra.Command {
	k, life := keys.Key{}, "90d"
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a key; its text is printed once and kept nowhere", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := conf.ParseDuration(life)
			if err != nil {
				return usage(fmt.Errorf("--for: %w", err))
			}
			k.Name = args[0]
			made, text, err := g.createKey(cmd.Context(), k, d.D())
			if err != nil {
				return err
			}
			g.warnOfRoutes(k.Routes)
			out := struct {
				ID      string    `json:"id"`
				Name    string    `json:"name"`
				Key     string    `json:"key"`
				Expires time.Time `json:"expires"`
			}{made.ID, made.Name, text, made.Expires}
			return show(g, out, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, text)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&life, "for", life, "how long it is valid")
	f.StringVar(&k.User, "user", "", "whom budgets of users count it under")
	f.StringSliceVar(&k.Routes, "route", nil, "routes it may use (default: all)")
	f.StringSliceVar(&k.Models, "model", nil, "models it may ask for, * at the end stands for anything (default: all)")
	f.StringVar(&k.Like, "like", "", "with --canary: bait that looks like a key of "+strings.Join(keys.Likes(), ", "))
	f.BoolVar(&k.Canary, "canary", false, "bait: to be laid out where only a thief finds it; using it is an alarm")
	return cmd
}

// warnOfRoutes tells of routes of a new key that the configuration does not have: a misspelt one makes a key of no use.
func (g *global) warnOfRoutes(names []string) {
	if g.remote.server != "" || len(names) == 0 {
		return
	}
	c, err := g.settings()
	if err != nil || len(c.Gateway.Routes) == 0 {
		return // keys may be made before the configuration is
	}
	for _, name := range names {
		start, any := strings.CutSuffix(name, "*")
		known := false
		for route := range c.Gateway.Routes {
			known = known || route == name || any && strings.HasPrefix(route, start)
		}
		if !known {
			fmt.Fprintf(g.env.Stderr, "bartizan: the configuration has no route %q: the key can be used there when it does\n", oneLine(name, 100))
		}
	}
}

// createKey makes a key in the data folder, or at the node that --server names.
func (g *global) createKey(ctx context.Context, k keys.Key, life time.Duration) (keys.Key, string, error) {
	if g.remote.server == "" {
		dir, err := g.keyDir()
		if err != nil {
			return k, "", err
		}
		k, text, err := keys.Create(dir, k, life, time.Now())
		if err != nil {
			err = keyError(err)
		}
		return k, text, err
	}
	c, err := g.client()
	if err != nil {
		return k, "", err
	}
	defer c.Close()
	made, err := c.CreateGuardKey(ctx, api.GuardKeyRequest{Name: k.Name, User: k.User, Routes: k.Routes, Models: k.Models, Canary: k.Canary, Seconds: life.Seconds()})
	return keyOf(made.GuardKey), made.Key, err
}

// listKeys lists those of the data folder, or of the node that --server names.
func (g *global) listKeys(ctx context.Context) ([]keys.Key, error) {
	if g.remote.server == "" {
		dir, err := g.keyDir()
		if err != nil {
			return nil, err
		}
		all, err := keys.List(dir)
		if err != nil {
			err = blind(err)
		}
		return all, err
	}
	c, err := g.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := c.GuardKeys(ctx)
	var out []keys.Key
	for _, k := range list {
		out = append(out, keyOf(k))
	}
	return out, err
}

// revokeKey ends one of the data folder, or of the node that --server names.
func (g *global) revokeKey(ctx context.Context, idOrName string) (keys.Key, error) {
	if g.remote.server == "" {
		dir, err := g.keyDir()
		if err != nil {
			return keys.Key{}, err
		}
		k, err := keys.Revoke(dir, idOrName, time.Now())
		if err != nil {
			err = keyError(err)
		}
		k.Hash = ""
		return k, err
	}
	c, err := g.client()
	if err != nil {
		return keys.Key{}, err
	}
	defer c.Close()
	k, err := c.RevokeGuardKey(ctx, idOrName)
	return keyOf(k), err
}

func keyOf(k api.GuardKey) keys.Key {
	return keys.Key{ID: k.ID, Name: k.Name, User: k.User, Routes: k.Routes, Models: k.Models, Canary: k.Canary, Created: k.Created, Expires: k.Expires, Revoked: k.Revoked}
}

// keyError tells what the caller did wrong from what the machine did.
func keyError(err error) error {
	if errors.Is(err, keys.ErrInput) {
		return usage(err)
	}
	return blind(err)
}

func guardKeyListCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := g.listKeys(cmd.Context())
			if err != nil {
				return err
			}
			now := time.Now()
			return showAll(g, all, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "ID\tNAME\tUSER\tSTATE\tEXPIRES\tROUTES")
				for i := range all {
					k := &all[i]
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.User, k.State(now), k.Expires.Format(time.DateOnly), strings.Join(k.Routes, ","))
				}
				return t.Flush()
			})
		},
	}
}

func guardKeyRevokeCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID|NAME", Short: "End a key: it is refused within a second", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := g.revokeKey(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(g, k, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "revoked %s (%s)\n", k.ID, k.Name)
				return err
			})
		},
	}
}

func guardUserCmd(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "user NAME", Short: "Print what is kept of a user's name when it is personal data: budgets, hunts and decisions know it as that", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := g.keyDir()
			if err != nil {
				return err
			}
			marks, err := keys.OpenMarks(dir)
			if err == nil {
				_, err = fmt.Fprintln(g.env.Stdout, marks.Of(args[0]))
			}
			return err
		},
	}
}
