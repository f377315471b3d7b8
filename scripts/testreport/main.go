// Command testreport turns `go test -json` on its standard input into go
// test's usual lines, adds up what passed and failed, and names every test
// that did not run: a test that is skipped because a program is missing looks
// exactly like one that passes. It is for scripts/test.sh only.
//
//	go test -json ./... | go run ./scripts/testreport [-strict] [-total FILE] [-again 'go test FLAGS']
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// excused are the reasons for which a test may be left out where everything
// else must run: none of them is a missing program or privilege.
var excused = []*regexp.Regexp{
	regexp.MustCompile(`run with -update`), // writes golden files
	regexp.MustCompile(`race detector`),    // runs again without it (norace_test.go)
	regexp.MustCompile(`test data not found beside the repository|is not here: |\(set BARTIZAN_SHARED\)`), // third-party data are not part of the repository
	regexp.MustCompile(`nothing older to compare with`),                                                   // a shallow clone
	regexp.MustCompile(`only in the long form`),                                                           // make soak, make accuracy
}

// maxLines is how much of one test's output is kept; a dump of all goroutines
// fits, an endless loop of messages does not.
const maxLines = 3000

type line struct{ test, text string }

type counts struct {
	Passed, Failed, Skipped int
	Flaky                   []string `json:",omitempty"` // failed once, then passed alone (see again)
}

type report struct {
	out    io.Writer
	strict bool
	total  counts
	lines  map[string][]line   // package → what was said by tests that have not passed
	kept   map[string]int      // package/test → lines kept
	done   map[string]bool     // package/test
	failed map[string]int      // package → failed tests
	top    map[string][]string // package → failed tests that are no part of another
	grave  []string            // failures that a second run must not undo
	skips  []string            // not excused
}

func newReport(out io.Writer, strict bool) *report {
	return &report{out: out, strict: strict, lines: map[string][]line{}, kept: map[string]int{}, done: map[string]bool{}, failed: map[string]int{}, top: map[string][]string{}}
}

// read consumes the stream to its end. What is not JSON is passed on.
func (r *report) read(in io.Reader) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 1<<20), 16<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			fmt.Fprintln(r.out, sc.Text())
			continue
		}
		r.take(e)
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read test events: %w", err)
	}
	return nil
}

func (r *report) take(e event) {
	id := e.Package + "." + e.Test
	switch {
	case e.Action == "build-output":
		fmt.Fprint(r.out, e.Output)
	case e.Action == "output":
		if gravity.MatchString(e.Output) {
			r.grave = append(r.grave, e.Package+": "+strings.TrimSpace(e.Output))
		}
		if r.kept[id]++; r.kept[id] <= maxLines {
			r.lines[e.Package] = append(r.lines[e.Package], line{e.Test, e.Output})
		}
	case e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
		r.endPackage(e)
	case e.Action == "pass":
		r.total.Passed++
		r.drop(e)
	case e.Action == "fail":
		r.failed[e.Package]++
		if !strings.Contains(e.Test, "/") {
			r.top[e.Package] = append(r.top[e.Package], e.Test)
		}
		r.done[id] = true
	case e.Action == "skip":
		r.total.Skipped++
		r.noteSkip(e)
		r.drop(e)
	case e.Action == "run":
		r.done[id] = false
	}
}

// drop forgets what a test said.
func (r *report) drop(e event) {
	r.done[e.Package+"."+e.Test] = true
	kept := r.lines[e.Package][:0]
	for _, l := range r.lines[e.Package] {
		if l.test != e.Test {
			kept = append(kept, l)
		}
	}
	r.lines[e.Package] = kept
}

func (r *report) noteSkip(e event) {
	reason := ""
	for _, l := range r.lines[e.Package] {
		text := strings.TrimSpace(l.text)
		if l.test == e.Test && !strings.HasPrefix(text, "===") && !strings.HasPrefix(text, "--- ") {
			reason += " " + text
		}
	}
	for _, re := range excused {
		if re.MatchString(reason) {
			return
		}
	}
	r.skips = append(r.skips, fmt.Sprintf("%s %s:%s", e.Package, e.Test, reason))
}

// endPackage prints go test's own line, and before it all that the tests said
// that did not pass. A test without an end died with its process.
func (r *report) endPackage(e event) {
	for _, l := range r.lines[e.Package] {
		switch {
		case strings.HasPrefix(l.text, "=== "), l.text == "PASS\n":
		case e.Action == "fail", strings.HasPrefix(l.text, "ok  \t"):
			fmt.Fprint(r.out, l.text)
		}
	}
	for id, ended := range r.done {
		if !ended && strings.HasPrefix(id, e.Package+".") {
			if e.Action == "fail" {
				r.failed[e.Package]++
				r.grave = append(r.grave, id+" has no end")
			} else {
				r.total.Passed++ // its end was swallowed by something printed without a line break
			}
			r.done[id] = true
		}
	}
	if e.Action == "fail" {
		if r.failed[e.Package] == 0 { // it did not build, or TestMain failed
			r.failed[e.Package] = 1
			r.grave = append(r.grave, e.Package+" failed outside its tests")
		}
	}
	r.total.Failed += r.failed[e.Package]
	delete(r.lines, e.Package)
}

// finish prints the sums and says whether all is well.
func (r *report) finish() bool {
	for _, s := range r.skips {
		word := "skipped"
		if r.strict {
			word = "FAIL: skipped, although everything must run here:"
		}
		fmt.Fprintln(r.out, word, s)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.total.Passed, r.total.Failed, r.total.Skipped)
	return r.total.Failed == 0 && (!r.strict || len(r.skips) == 0)
}

// readCounts reads what addTo wrote; a missing file is nothing counted yet.
func readCounts(file string) (sum counts, err error) {
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return sum, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &sum)
	}
	if err != nil {
		return sum, fmt.Errorf("read sums: %w", err)
	}
	return sum, nil
}

// addTo adds the sums to those in the file, for the last line of a run of several steps.
func (c counts) addTo(file string) error {
	sum, err := readCounts(file)
	if err != nil {
		return err
	}
	sum.Passed, sum.Failed, sum.Skipped = sum.Passed+c.Passed, sum.Failed+c.Failed, sum.Skipped+c.Skipped
	sum.Flaky = append(sum.Flaky, c.Flaky...)
	b, err := json.Marshal(sum)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

func main() {
	strict := flag.Bool("strict", os.Getenv("BARTIZAN_REQUIRE_TOOLS") == "1", "a test that is skipped for want of something is a failure")
	total := flag.String("total", "", "file in which the sums of several runs are added up")
	sum := flag.String("sum", "", "print the sums in this file and end")
	second := flag.String("again", "", "command that runs tests, to which flags and packages are added: see again.go")
	steps := flag.Int("steps", 0, "with -sum: how many steps of the run failed")
	flag.Parse()
	if *sum != "" {
		c, err := readCounts(*sum)
		if err != nil {
			fmt.Fprintln(os.Stderr, "testreport:", err)
			os.Exit(1)
		}
		for _, name := range c.Flaky {
			fmt.Println("FLAKY, failed once and passed", times, "times alone:", name)
		}
		// A step can fail without a test: a linter, a fuzz target.
		fmt.Printf("%d passed, %d failed\n", c.Passed, max(c.Failed, *steps))
		return
	}
	r := newReport(os.Stdout, *strict)
	err := r.read(os.Stdin)
	if err == nil && *second != "" {
		r.again(strings.Fields(*second), command)
	}
	if err == nil && *total != "" {
		err = r.total.addTo(*total)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if ok := r.finish(); !ok || err != nil {
		os.Exit(1)
	}
}
