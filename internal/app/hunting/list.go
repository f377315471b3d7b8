package hunting

import (
	"context"
	"fmt"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/ioc"
	"bartizan/internal/lake/query"
)

// maxProblems is how many entries that cannot be looked for are named; all are counted.
const maxProblems = 1000

// HuntList looks for the indicators of a list; its errors are as those of Hunt.
func (d *Desk) HuntList(ctx context.Context, q api.HuntListRequest) (api.HuntListAnswer, error) {
	list, err := ioc.Read(strings.NewReader(q.List))
	if err != nil {
		return api.HuntListAnswer{}, fmt.Errorf("%w: the list: %w", api.ErrInput, err)
	}
	a := api.HuntListAnswer{Format: list.Format, Indicators: len(list.Indicators), Found: []api.HuntSighting{}, Unusable: list.Unusable, Problems: []api.HuntProblem{}}
	for _, p := range list.Problems[:min(len(list.Problems), maxProblems)] {
		a.Problems = append(a.Problems, api.HuntProblem(p))
	}
	switch n := len(list.Indicators); {
	case n == 0:
		why := ""
		if len(a.Problems) > 0 {
			why = fmt.Sprintf("; line %d: %.200s", a.Problems[0].Line, a.Problems[0].Reason)
		}
		return a, fmt.Errorf("%w: none of the list's %d entries can be looked for%s", api.ErrInput, list.Unusable, why)
	case n > api.HuntListMost:
		return a, fmt.Errorf("%w: %d indicators, at most %d at a time; look for a part of the list, or on the node's host", api.ErrInput, n, api.HuntListMost)
	}
	leave, err := d.enter(ctx)
	if err != nil {
		return a, err
	}
	defer leave()
	engine, err := d.engine(ctx)
	if err != nil {
		return a, err
	}
	res, err := engine.Match(ctx, list.Indicators, query.Range{Since: q.Since, Until: q.Until}, query.Limits{Time: time.Duration(q.Seconds) * time.Second})
	if err != nil {
		return a, inWords(err)
	}
	a.Files, a.NotLooked = res.Files, skipped(res.NotLooked)
	if len(res.Matches) > api.HuntListFound {
		res.Matches, a.Truncated = res.Matches[:api.HuntListFound], true
	}
	a.Found = sightings(list.Indicators, res.Matches)
	return a, nil
}

// sightings puts matches together by indicator.
func sightings(list []ioc.Indicator, matches []query.Match) []api.HuntSighting {
	out := []api.HuntSighting{}
	at := map[int]int{}
	for _, m := range matches {
		i, ok := at[m.Indicator]
		if !ok {
			i = len(out)
			at[m.Indicator] = i
			n := &list[m.Indicator]
			out = append(out, api.HuntSighting{Type: string(n.Type), Value: n.Value, Line: n.Line, Note: n.Note})
		}
		out[i].Where = append(out[i].Where, api.HuntMatch{View: m.View, Column: m.Column, Value: m.Value, Count: m.Count, First: m.First, Last: m.Last, Sessions: m.Sessions, Evidence: m.Evidence})
	}
	return out
}
