package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

const (
	maxAgain = 3 // failed tests of a run above which something is broken, not unlucky
	times    = 5 // how often each must pass alone
)

// gravity tells failures that are never a matter of a busy machine: a data
// race, a crash and a leak are there whether or not they show every time.
var gravity = regexp.MustCompile(`DATA RACE|race detected|^panic:|^fatal error:|^SIG|goleak|found unexpected goroutines`)

// again runs tests that failed once more, each alone, and takes them for
// passed if they pass every time. Several thousand tests that start processes,
// open sockets and wait for each other meet a busy machine in each run; one in
// a million that is late must not make the other results worthless. It is
// named in the last lines of the run as flaky, to be mended; and nothing is
// run again when more than maxAgain failed or when any failure is grave.
func (r *report) again(run []string, command func(io.Writer, []string) error) {
	n := 0
	for _, names := range r.top {
		n += len(names)
	}
	if r.total.Failed == 0 {
		return
	}
	if n > maxAgain || len(r.grave) > 0 {
		for _, why := range r.grave {
			fmt.Fprintln(r.out, "not run again:", why)
		}
		return
	}
	packages := make([]string, 0, len(r.top))
	for p := range r.top {
		packages = append(packages, p)
	}
	slices.Sort(packages)
	for _, p := range packages {
		if !r.alone(run, p, command) {
			continue
		}
		// The parts of a test count as tests; all of the package that failed belong to those run again.
		r.total.Failed -= r.failed[p]
		r.total.Passed += r.failed[p]
		for _, name := range r.top[p] {
			r.total.Flaky = append(r.total.Flaky, p+" "+name)
		}
	}
}

// alone runs the failed tests of a package one by one.
func (r *report) alone(run []string, p string, command func(io.Writer, []string) error) bool {
	for _, name := range r.top[p] {
		fmt.Fprintf(r.out, "once more, %d times alone: %s %s\n", times, p, name)
		args := append(slices.Clone(run), fmt.Sprintf("-count=%d", times), "-run", "^"+regexp.QuoteMeta(name)+"$", p)
		if err := command(r.out, args); err != nil {
			fmt.Fprintf(r.out, "%s %s fails again: %v\n", p, name, err)
			return false
		}
	}
	return true
}

// command runs a program and shows what it says when it fails.
func command(out io.Writer, args []string) error {
	text, err := exec.CommandContext(context.Background(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		fmt.Fprintln(out, strings.TrimSpace(string(text)))
		return err
	}
	if strings.Contains(string(text), "no tests to run") {
		fmt.Fprintln(os.Stderr, "testreport: nothing was run:", strings.Join(args, " "))
		return fmt.Errorf("nothing was run")
	}
	return nil
}
