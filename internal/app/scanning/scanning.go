// Package scanning wires the scanners: it builds one, gives it the guard's eyes, and
// runs it once. It judges nothing itself.
package scanning

import (
	"context"
	"fmt"
	"slices"
	"time"

	"bartizan/internal/assess"
	"bartizan/internal/builtin"
	"bartizan/internal/conf"
	"bartizan/internal/guard"
	"bartizan/internal/safe"
)

// Request says what to scan and with which scanner.
type Request struct {
	Scanner string
	Target  assess.Target
	Policy  string // file with options of scanners, by name; empty: the defaults
}

// Run scans once. The error is about the request; what could not be looked at is
// in the report.
func Run(ctx context.Context, q Request, now time.Time) (assess.Report, error) {
	options := map[string]conf.Raw{}
	if q.Policy != "" {
		var err error
		if options, err = conf.Load(q.Policy, options); err != nil {
			return assess.Report{}, err
		}
	}
	table := builtin.Scanners()
	for name, raw := range options {
		if err := table.Check(name, raw); err != nil {
			return assess.Report{}, err
		}
	}
	s, err := table.Build(q.Scanner, options[q.Scanner])
	if err != nil {
		return assess.Report{}, err
	}
	engine, err := builtin.BuildGuard(nil)
	if err != nil {
		return assess.Report{}, fmt.Errorf("prepare the guard: %w", err)
	}
	return assess.Run(ctx, q.Scanner, s, assess.Job{Target: q.Target, Judge: judge{engine}}, now), nil
}

// judge lets the guard look at what a server says to a model. A definition may tell
// a model what to do, that is its purpose: only what would be blocked as a user's
// words is wrong, and what carries data out.
type judge struct{ engine *guard.Engine }

// Judge implements assess.Judge.
func (j judge) Judge(text string) ([]string, error) {
	v, err := j.engine.Inspect(text, guard.User)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range v.Reports {
		if r.State == guard.Failed {
			return nil, fmt.Errorf("%s: %s", r.Name, r.Why)
		}
		for _, f := range r.Findings {
			if wrong(f) {
				out = append(out, safe.Clean(f.Note, 200))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func wrong(f guard.Finding) bool {
	switch f.Category {
	case guard.Injection, guard.Hidden:
		return f.Score >= guard.BlockScore
	case guard.Secret, guard.Exfil:
		return f.Score >= guard.FlagScore
	}
	return false
}
