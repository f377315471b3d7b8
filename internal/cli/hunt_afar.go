package cli

import (
	"errors"
	"fmt"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/lake/query"

	"github.com/spf13/cobra"
)

// huntAfar lets the node at --server look in its own lake.
func (g *global) huntAfar(cmd *cobra.Command, f *huntFlags, args []string) error {
	for _, only := range []string{"ioc", "lake", "memory", "cache"} {
		if cmd.Flags().Changed(only) {
			return usage(fmt.Errorf("--%s: not with --server; run the hunt on the node's host, or on a copy of its lake", only))
		}
	}
	rng, err := huntRange(f, time.Now())
	if err != nil {
		return usage(err)
	}
	local, err := huntRequest(f, args)
	if err != nil {
		return err
	}
	q := api.HuntRequest{SQL: local.SQL, Since: rng.Since, Until: rng.Until, Params: map[string]string{}}
	for _, p := range local.Params {
		q.Params[p.Name] = p.Value
	}
	if cmd.Flags().Changed("max-rows") {
		q.Rows = f.rows
	}
	if cmd.Flags().Changed("timeout") {
		q.Seconds = max(1, int(f.timeout.Seconds()))
	}
	c, err := g.client()
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.Hunt(cmd.Context(), q)
	switch {
	case errors.Is(err, api.ErrInput), errors.Is(err, api.ErrNotFound):
		return usage(err)
	case err != nil:
		return blind(err)
	}
	res := &query.Result{Rows: a.Rows, Truncated: a.Truncated, Files: a.Files}
	for _, c := range a.Columns {
		res.Columns = append(res.Columns, query.Column(c))
	}
	for _, s := range a.NotLooked {
		res.NotLooked = append(res.NotLooked, query.Skipped(s))
	}
	return g.huntAnswer(res)
}
