package rule

import (
	"fmt"
	"io/fs"
)

// Result is the outcome of one rule's cases.
type Result struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Rule     string   `json:"rule"`
	Cases    int      `json:"cases"`
	Failures []string `json:"failures,omitempty"`
}

// Check loads the rules under fsys and runs the cases of each. The error is
// LoadRules's; results cover the rules that could be loaded.
func Check(fsys fs.FS) ([]Result, error) {
	rules, err := LoadRules(fsys)
	results := make([]Result, 0, len(rules))
	var sc Scratch
	for i := range rules {
		results = append(results, rules[i].check(&sc))
	}
	return results, err
}

func (r *Rule) check(sc *Scratch) Result {
	res := Result{File: r.File, Line: r.Line, Rule: r.ID}
	one := NewSet([]*Rule{r})
	run := func(what string, cases []Case, want bool) {
		for i := range cases {
			res.Cases++
			o, err := cases[i].observation(r.Group)
			if err != nil {
				res.Failures = append(res.Failures, fmt.Sprintf("%s case %d: %v", what, i+1, err))
				continue
			}
			got := false
			one.Match(r.Group.Texts(o, sc), sc, func(*Rule, string) { got = true })
			if got != want {
				res.Failures = append(res.Failures, fmt.Sprintf("%s case %d: matches is %v", what, i+1, got))
			}
		}
	}
	run("must", r.Cases.Must, true)
	run("mustnot", r.Cases.MustNot, false)
	return res
}
