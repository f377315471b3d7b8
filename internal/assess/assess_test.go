package assess_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/internal/assess"
	"bartizan/internal/model"
)

type scan func(assess.Job) error

func (s scan) Scan(_ context.Context, job assess.Job) error { return s(job) }

func TestRun(t *testing.T) {
	at := model.AssetRef{Kind: "file", Name: "x"}
	now := time.Unix(1, 0)
	r := assess.Run(t.Context(), "t", scan(func(j assess.Job) error {
		j.Found(model.Finding{Rule: "t.low", Asset: at, Subject: "a", Severity: model.Low, State: model.FindingFail, Detail: "one"})
		j.Found(model.Finding{Rule: "t.low", Asset: at, Subject: "a", Severity: model.Low, State: model.FindingFail, Detail: "two"})
		j.Found(model.Finding{Rule: "t.off", Asset: at, Subject: "b", Title: "a\x1b[31m\u202eb"})
		j.Found(model.Finding{Rule: "t.high", Asset: at, Subject: "c", Severity: model.High, State: model.FindingFail})
		return nil
	}), assess.Job{}, now)
	if len(r.Findings) != 3 || r.Failed != 2 || r.NotAsked != 1 || r.Blind != 0 || r.Findings[0].Rule != "t.high" {
		t.Errorf("%+v", r)
	}
	if f := r.Findings[1]; f.Detail != "one; two" || f.Key != model.FindingKey("t.low", at, "a") || !f.Time.Equal(now) {
		t.Errorf("%+v", f)
	}
	if s := r.Findings[2].Title; strings.ContainsAny(s, "\x1b\u202e") {
		t.Errorf("%q", s)
	}
}

func TestCouldNotLook(t *testing.T) {
	for name, s := range map[string]scan{
		"error": func(assess.Job) error { return errors.New("gone") },
		"panic": func(assess.Job) error { panic("bug") },
	} {
		r := assess.Run(t.Context(), "t", s, assess.Job{}, time.Now())
		if r.Blind != 1 || len(r.Findings) != 1 || r.Findings[0].State != model.FindingUnknown {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestTooMany(t *testing.T) {
	r := assess.Run(t.Context(), "t", scan(func(j assess.Job) error {
		for i := range assess.MaxFindings + 5 {
			j.Found(model.Finding{Rule: "t.x", Subject: strconv.Itoa(i), State: model.FindingFail})
		}
		return nil
	}), assess.Job{}, time.Now())
	if len(r.Findings) != assess.MaxFindings || r.Cut == 0 || r.Failed != len(r.Findings)+r.Cut {
		t.Errorf("%d findings, %d cut, %d failed", len(r.Findings), r.Cut, r.Failed)
	}
}
