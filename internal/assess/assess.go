// Package assess looks at what is protected and says what is wrong with it: the
// contract of a scanner, and the runner that completes and bounds what it finds.
// It changes nothing. A scanner that could not look says so: "unknown" is never
// "clean".
package assess

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Target is what to look at; exactly one of Paths, Command and URL is set.
type Target struct {
	Paths   []string // files and folders
	Command []string // a program to start, as its operator wrote it
	URL     string
	Start   bool // start, or connect to, what Paths name
}

// Judge inspects a text that will be put before a model and says in our words
// what is wrong with it. An error means that it could not look.
type Judge interface {
	Judge(text string) ([]string, error)
}

// Job is one run of a scanner. Found may be called from one goroutine at a time.
type Job struct {
	Target Target
	Judge  Judge // nil: texts are not judged
	Found  func(model.Finding)
}

// Scanner looks at one kind of thing. What it could not look at is a finding of
// state unknown, and it goes on; an error means that it could not look at all. An
// unknown finding of severity info is what nobody asked it to look at.
// A scanner sets rule, asset, subject, severity, state, title and fix; text of
// others goes to subject, where and detail only, and no secret to any of them.
type Scanner interface {
	Scan(ctx context.Context, job Job) error
}

// MaxFindings is how many findings one run keeps.
const MaxFindings = 10000

// Report is what a run found, worst first.
type Report struct {
	Findings []model.Finding
	Failed   int // findings of state fail
	Blind    int // unknown although asked for
	NotAsked int // unknown because nobody asked
	Cut      int // findings beyond MaxFindings
}

// ErrNothing says that a target has nothing a scanner knows.
var ErrNothing = errors.New("nothing to look at")

// Run lets a scanner look and makes a report of it. What ended the scanner is a
// finding, too. It never fails: a report that is not Blind is complete.
func Run(ctx context.Context, name string, s Scanner, job Job, now time.Time) Report {
	r := &Report{}
	seen := map[string]int{}
	job.Found = func(f model.Finding) { r.add(clean(f, now), seen) }
	if err := safe.Recover("scanner "+name, nil, func() error { return s.Scan(ctx, job) }); err != nil {
		r.add(clean(model.Finding{Rule: name + ".not-looked-at", Asset: model.AssetRef{Kind: "scan", Name: name}, Subject: target(job.Target),
			Severity: model.High, Title: "could not look", Detail: err.Error(), Fix: "see the detail; a scan that ends early says nothing about the rest"}, now), seen)
	}
	slices.SortStableFunc(r.Findings, func(a, b model.Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Asset.Name, b.Asset.Name), cmp.Compare(a.Subject, b.Subject))
	})
	return *r
}

func (r *Report) add(f model.Finding, seen map[string]int) {
	if k, again := seen[f.Key]; again {
		if f.Detail != "" && f.Detail != r.Findings[k].Detail && len(r.Findings[k].Detail)+len(f.Detail) < maxDetail {
			r.Findings[k].Detail += "; " + f.Detail
		}
		return
	}
	switch {
	case f.State == model.FindingFail:
		r.Failed++
	case f.State == model.FindingUnknown && f.Severity == model.Info:
		r.NotAsked++
	case f.State == model.FindingUnknown:
		r.Blind++
	}
	if len(r.Findings) >= MaxFindings {
		r.Cut++
		return
	}
	seen[f.Key] = len(r.Findings)
	r.Findings = append(r.Findings, f)
}

const maxDetail = 600

// clean bounds every text and completes the finding.
func clean(f model.Finding, now time.Time) model.Finding {
	f.Rule, f.Title, f.Fix = safe.Clean(f.Rule, 100), safe.Clean(f.Title, 200), safe.Clean(f.Fix, 300)
	f.Asset = model.AssetRef{Kind: safe.Clean(f.Asset.Kind, 60), Name: safe.Clean(f.Asset.Name, 300)}
	f.Subject, f.Where, f.Detail = safe.Clean(f.Subject, 300), safe.Clean(f.Where, 400), safe.Clean(f.Detail, maxDetail)
	f.Key, f.Time = model.FindingKey(f.Rule, f.Asset, f.Subject), now
	return f
}

func target(t Target) string {
	switch {
	case t.URL != "":
		return t.URL
	case len(t.Command) > 0:
		return t.Command[0]
	case len(t.Paths) > 0:
		return fmt.Sprint(t.Paths)
	}
	return "nothing"
}
