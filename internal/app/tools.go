package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"bartizan/content"
	"bartizan/content/policies"
	"bartizan/internal/builtin"
	"bartizan/internal/decide"
	"bartizan/internal/detect/rule"
	"bartizan/internal/detect/sigma"
	"bartizan/internal/safe"
)

// Build is what this program is.
type Build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// BuildInfo describes the running program.
func BuildInfo(version string) Build {
	return Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

// policyText is the policy file the configuration names, or the built-in one.
func (c *Config) policyText() (name string, text []byte, err error) {
	if c.Policy == "" {
		return "built-in policy", []byte(policies.Default), nil
	}
	f, err := os.Open(c.Policy)
	if err != nil {
		return c.Policy, nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	text, err = safe.ReadAll(f, 1<<20, c.Policy)
	return c.Policy, text, err
}

func (c *Config) loadPolicy() (*decide.Policy, error) {
	name, text, err := c.policyText()
	if err != nil {
		return nil, mistake{c.wrong(err, "policy")}
	}
	p, err := decide.LoadPolicy(name, text)
	if err != nil {
		return nil, mistake{err}
	}
	return p, nil
}

// ErrConfig is what New's error is when what the operator wrote is wrong: the
// configuration, or a file that it names. Anything else is the machine's.
var ErrConfig = errors.New("wrong configuration")

// mistake makes an error an ErrConfig without changing its text.
type mistake struct{ error }

func (m mistake) Unwrap() []error { return []error{m.error, ErrConfig} }

// Check says what is wrong with the files a configuration names: its policy,
// its lists of benign services, and its detection rules.
func Check(c Config) error {
	if _, err := c.loadPolicy(); err != nil {
		return err
	}
	if _, err := c.loadBenign(); err != nil {
		return err
	}
	_, err := builtin.BuildDetectors(c.detectors(nil))
	return err
}

// PolicyText returns the policy a configuration uses.
func PolicyText(c Config) ([]byte, error) {
	_, text, err := c.policyText()
	return text, err
}

// RuleReport is the outcome of checking detection rules.
type RuleReport struct {
	Rules    int      `json:"rules"`
	Cases    int      `json:"cases"`
	Failures []string `json:"failures"`
	// Sigma is what was loaded of a folder of Sigma rules; nil for our own.
	Sigma *sigma.Report `json:"sigma,omitempty"`
}

// CheckRules loads the rules of a folder, or the built-in ones, and runs the
// cases they carry. Mistakes in files are failures; the error means that the
// folder could not be looked at.
func CheckRules(dir string) (RuleReport, error) {
	var fsys fs.FS = content.Rules()
	if dir != "" {
		fsys = os.DirFS(dir)
	}
	r := RuleReport{Failures: []string{}}
	if dir != "" && sigma.IsRuleFolder(fsys) {
		return checkSigma(fsys)
	}
	results, err := rule.Check(fsys)
	if err != nil {
		var mistake *rule.Error
		if !errors.As(err, &mistake) {
			return r, err
		}
		r.Failures = append(r.Failures, err.Error())
	}
	for _, x := range results {
		r.Rules++
		r.Cases += x.Cases
		r.Failures = append(r.Failures, x.Failures...)
	}
	if r.Rules == 0 && len(r.Failures) == 0 {
		return r, fmt.Errorf("check rules: no rule files (*.yaml) in %s", dir)
	}
	return r, nil
}

// checkSigma loads a folder of Sigma rules; they carry no cases.
func checkSigma(fsys fs.FS) (RuleReport, error) {
	_, loaded, err := sigma.Load(fsys, sigma.Options{})
	if err != nil {
		return RuleReport{}, err
	}
	r := RuleReport{Rules: loaded.Rules, Failures: []string{}, Sigma: &loaded}
	for _, p := range loaded.Problems {
		r.Failures = append(r.Failures, p.Error())
	}
	return r, nil
}
