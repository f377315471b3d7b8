package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"bartizan/internal/lake"
)

// maxFiles is how many files one question reads.
const maxFiles = 200_000

// choose lists the files of the classes behind some views that overlap a range of time, and for a class also the span
// the statement says it needs; and what had to be left out.
func (e *Engine) choose(ctx context.Context, want []*view, r Range, say wanted) (map[string][]string, []Skipped, error) {
	var list []lake.File
	var bad []lake.NotLookedAt
	done := map[string]bool{}
	for _, v := range want {
		if done[v.class] {
			continue
		}
		done[v.class] = true
		filter := lake.Filter{Classes: []string{v.class}, Since: r.Since, Till: r.Until, Any: say.Any[v.class]}
		if s := say.Spans[v.class]; !s.Since.IsZero() && s.Since.After(filter.Since) {
			filter.Since = s.Since
		}
		if s := say.Spans[v.class]; !s.Until.IsZero() && (filter.Till.IsZero() || s.Until.Before(filter.Till)) {
			filter.Till = s.Until
		}
		some, left, err := e.list(ctx, filter)
		if err != nil {
			return nil, nil, fmt.Errorf("hunt: %w", err)
		}
		list = append(list, some...)
		for _, b := range left { // the same of every class when it is above all
			if !slices.Contains(bad, b) {
				bad = append(bad, b)
			}
		}
	}
	if len(list) > maxFiles {
		return nil, nil, fmt.Errorf("hunt: %d files, at most %d: narrow with --since and --until, or run `bartizan lake compact`: %w", len(list), maxFiles, ErrLimit)
	}
	files := map[string][]string{}
	var skipped []Skipped
	for _, f := range list {
		if strings.ContainsAny(f.Path(), "*?[]{}\x00") { // the engine would take the name for a pattern
			skipped = append(skipped, Skipped{f.Path(), "its name is a pattern"})
			continue
		}
		files[f.Class] = append(files[f.Class], f.Path())
	}
	for _, b := range bad {
		skipped = append(skipped, Skipped{b.File, b.Reason})
	}
	return files, skipped, nil
}

func (e *Engine) list(ctx context.Context, want lake.Filter) ([]lake.File, []lake.NotLookedAt, error) {
	if e.Select != nil {
		return e.Select(ctx, want)
	}
	return lake.Select(ctx, e.Lake, want)
}
