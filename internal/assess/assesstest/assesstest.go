// Package assesstest is the conformance suite of scanners: what every one of them
// must do, whatever it looks at.
package assesstest

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/assess"
	"bartizan/internal/model"
)

// Case is one target and what must be found there.
type Case struct {
	Name   string
	Target assess.Target
	Want   []string // rules that must fail; empty: no finding of state fail
	Blind  bool     // the target cannot be looked at, and the report must say so
	Hidden []string // texts that must stand nowhere in the report: secrets
}

// Words is a judge for tests: a text with the word "poison" is wrong.
type Words struct{}

// Judge implements assess.Judge.
func (Words) Judge(text string) ([]string, error) {
	if strings.Contains(text, "poison") {
		return []string{"the word poison"}, nil
	}
	return nil, nil
}

// Run checks the cases and what all scanners share.
func Run(t *testing.T, name string, s assess.Scanner, cases []Case) {
	t.Helper()
	bad, clean, blind := 0, 0, 0
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
			r := assess.Run(t.Context(), name, s, assess.Job{Target: c.Target, Judge: Words{}}, now)
			again := assess.Run(t.Context(), name, s, assess.Job{Target: c.Target, Judge: Words{}}, now)
			if !reflect.DeepEqual(same(r), same(again)) {
				t.Errorf("looked twice, found\n%+v\nthen\n%+v", r.Findings, again.Findings)
			}
			check(t, name, r, c)
		})
		switch {
		case c.Blind:
			blind++
		case len(c.Want) == 0:
			clean++
		default:
			bad++
		}
	}
	if bad < 1 || clean < 1 || blind < 1 {
		t.Fatalf("%d cases that find, %d clean, %d that cannot be looked at: give at least one of each", bad, clean, blind)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range cases { // only that it ends, and that an ended scan that found nothing is not called clean
		if r := assess.Run(ended, name, s, assess.Job{Target: c.Target}, time.Now()); r.Blind == 0 && r.Failed == 0 && len(c.Want) > 0 {
			t.Errorf("%s: cancelled and clean", c.Name)
		}
	}
}

// same is a report without the words of systems that failed, which may differ.
func same(r assess.Report) assess.Report {
	r.Findings = slices.Clone(r.Findings)
	for i := range r.Findings {
		if r.Findings[i].State == model.FindingUnknown {
			r.Findings[i].Detail = ""
		}
	}
	return r
}

func check(t *testing.T, name string, r assess.Report, c Case) {
	t.Helper()
	if (r.Blind > 0) != c.Blind {
		t.Errorf("blind %d, want %v", r.Blind, c.Blind)
	}
	var failed []string
	for _, f := range r.Findings {
		if f.State == model.FindingFail {
			failed = append(failed, f.Rule)
		}
		if f.Key == "" || f.Title == "" || f.Fix == "" || f.Asset.Kind == "" || f.Subject == "" || f.Time.IsZero() || !strings.HasPrefix(f.Rule, name+".") {
			t.Errorf("incomplete: %+v", f)
		}
	}
	for _, w := range c.Want {
		if !slices.Contains(failed, w) {
			t.Errorf("%s is missing among %v", w, failed)
		}
	}
	if len(c.Want) == 0 && len(failed) > 0 {
		t.Errorf("found %v, want nothing: %+v", failed, r.Findings)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range c.Hidden {
		if strings.Contains(string(text), h) {
			t.Errorf("the report has %q", h)
		}
	}
}
