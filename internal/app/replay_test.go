package app

import (
	"testing"
	"time"

	"bartizan/internal/decide"
	"bartizan/internal/model"
)

func TestOutcome(t *testing.T) {
	for _, tt := range []struct {
		o    *decide.Outcome
		want string
	}{
		{nil, ""},
		{&decide.Outcome{Action: model.Block, Decisions: 1, For: 10 * time.Minute}, "block ×1, 10m0s in all"},
		{&decide.Outcome{Action: model.Block, Decisions: 2, DryRun: 2, For: 20 * time.Minute}, "block ×2, 20m0s in all, dry run"},
		{&decide.Outcome{Action: model.Block, Decisions: 2, DryRun: 1, For: 20 * time.Minute}, "block ×2, 20m0s in all, 1 of them dry runs"},
		{&decide.Outcome{Action: model.Block, Held: 1, Stopped: "budget"}, "block ×0, 0s in all, 1 held (budget)"},
	} {
		if got := outcome(tt.o); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.o, got, tt.want)
		}
	}
}
