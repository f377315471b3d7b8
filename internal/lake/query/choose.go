package query

import (
	"context"
	"fmt"
	"strings"

	"bartizan/internal/lake"
)

// maxFiles is how many files one question reads.
const maxFiles = 200_000

// choose lists the files of the classes behind some views that overlap a range of time, and what had to be left out.
func (e *Engine) choose(ctx context.Context, want []*view, r Range) (map[string][]string, []Skipped, error) {
	filter := lake.Filter{Classes: []string{""}, Since: r.Since, Till: r.Until} // no class has that name: none is all
	for _, v := range want {
		filter.Classes = append(filter.Classes, v.class)
	}
	list, bad, err := lake.Select(ctx, e.Lake, filter)
	if err != nil {
		return nil, nil, fmt.Errorf("hunt: %w", err)
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
