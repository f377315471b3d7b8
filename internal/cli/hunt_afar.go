package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/ioc"
	"bartizan/internal/lake/query"
	"bartizan/internal/model"

	"github.com/spf13/cobra"
)

// huntAfar lets the node at --server look in its own lake.
func (g *global) huntAfar(cmd *cobra.Command, f *huntFlags, args []string) error {
	for _, only := range []string{"lake", "memory", "cache"} {
		if cmd.Flags().Changed(only) {
			return usage(fmt.Errorf("--%s: not with --server; run the hunt on the node's host, or on a copy of its lake", only))
		}
	}
	rng, err := huntRange(f, time.Now())
	if err != nil {
		return usage(err)
	}
	if f.ioc != "" {
		return g.huntListAfar(cmd, f, rng)
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
	if err != nil {
		return huntFailed(err)
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

// huntListAfar lets the node look for a list.
func (g *global) huntListAfar(cmd *cobra.Command, f *huntFlags, rng query.Range) error {
	in, done, err := g.openIOC(f.ioc)
	if err != nil {
		return usage(err)
	}
	defer done()
	text, err := io.ReadAll(io.LimitReader(in, api.HuntListBytes+1))
	if err == nil && len(text) > api.HuntListBytes {
		err = fmt.Errorf("longer than %d MiB: split it, or run the hunt on the node's host", api.HuntListBytes>>20)
	}
	if err != nil {
		return usage(fmt.Errorf("%s: %w", oneLine(f.ioc, 200), err))
	}
	q := api.HuntListRequest{List: strings.ToValidUTF8(string(text), "\uFFFD"), Since: rng.Since, Until: rng.Until}
	if cmd.Flags().Changed("timeout") {
		q.Seconds = max(1, int(f.timeout.Seconds()))
	}
	c, err := g.client()
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.HuntList(cmd.Context(), q)
	if err != nil {
		return huntFailed(err)
	}
	r := iocReport{Format: a.Format, Indicators: a.Indicators, Found: []sighting{}, Unusable: a.Unusable, Problems: []ioc.Problem{}, NotLooked: []query.Skipped{}, Files: a.Files, Truncated: a.Truncated}
	for _, p := range a.Problems {
		r.Problems = append(r.Problems, ioc.Problem(p))
	}
	for _, s := range a.NotLooked {
		r.NotLooked = append(r.NotLooked, query.Skipped(s))
	}
	for i, s := range a.Found {
		found := sighting{Indicator: ioc.Indicator{Type: model.EntityType(s.Type), Value: s.Value, Line: s.Line, Note: s.Note}}
		for _, m := range s.Where {
			found.Where = append(found.Where, query.Match{Indicator: i, View: m.View, Column: m.Column, Value: m.Value, Count: m.Count, First: m.First, Last: m.Last, Sessions: m.Sessions, Evidence: m.Evidence})
		}
		r.Found = append(r.Found, found)
	}
	return g.iocAnswer(f.ioc, &r)
}

// huntFailed tells a question that was wrong from a node that could not look.
func huntFailed(err error) error {
	if errors.Is(err, api.ErrInput) || errors.Is(err, api.ErrNotFound) {
		return usage(err)
	}
	return blind(err)
}
