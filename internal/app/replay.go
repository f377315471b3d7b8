package app

import (
	"context"
	"errors"
	"fmt"

	"bartizan/internal/api"
	"bartizan/internal/bus"
	"bartizan/internal/decide"
	"bartizan/internal/intel"
	"bartizan/internal/model"
)

// errFound ends a read that has found what it looked for.
var errFound = errors.New("found")

// replay runs the stored signals through the policy in force and another one.
func (n *Node) replay(ctx context.Context, q api.ReplayRequest) (api.Replay, error) {
	var out api.Replay
	other, err := decide.LoadPolicy(q.Name, []byte(q.Policy))
	if err != nil {
		return out, fmt.Errorf("%w: %w", api.ErrInput, err)
	}
	signals := func(yield func(*model.Signal, error) bool) {
		_, err := bus.Read(ctx, n.bus, signalTopic(&n.conf), bus.From{Time: q.Since}, func(m bus.Message[model.Signal]) error {
			if !yield(&m.Value, nil) {
				return errFound
			}
			return nil
		})
		if err != nil && !errors.Is(err, errFound) {
			yield(nil, err)
		}
	}
	r, err := decide.Replay(signals, intel.New(intel.Default()), n.hub.policy, other, n.around.snapshot())
	if err != nil {
		return out, err
	}
	out.Signals, out.Unchanged, out.Errors = r.Signals, r.Same, append([]string{}, r.Errors...)
	out.Added, out.Removed, out.Changed = differences(r.OnlyNew), differences(r.OnlyOld), differences(r.Changed)
	return out, nil
}

func differences(list []decide.Difference) []api.ReplayDecision {
	out := []api.ReplayDecision{}
	for _, d := range list {
		r := api.ReplayDecision{Target: d.Target.String(), Before: outcome(d.Old), After: outcome(d.New)}
		for _, o := range []*decide.Outcome{d.New, d.Old} {
			if o != nil {
				r.Time = o.First
			}
		}
		out = append(out, r)
	}
	return out
}

// outcome is what a policy did about a target, in a few words.
func outcome(o *decide.Outcome) string {
	if o == nil {
		return ""
	}
	text := fmt.Sprintf("%s ×%d, %v in all", o.Action, o.Decisions, o.For)
	switch o.DryRun {
	case 0:
	case o.Decisions:
		text += ", dry run"
	default:
		text += fmt.Sprintf(", %d of them dry runs", o.DryRun)
	}
	if o.Held > 0 {
		text += fmt.Sprintf(", %d held (%s)", o.Held, o.Stopped)
	}
	return text
}
