package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
)

// exceptions from the rules. Each must still be needed, and say why.
var exceptions = []Exception{}

// The least a look at the repository must see; below it the tests look at
// the wrong folder and would pass for nothing.
const (
	minCodeFiles = 60
	minTestFiles = 12
	minImports   = 60
	minModules   = 10
)

// loaded reads the repository once for all tests.
var loaded = sync.OnceValues(func() (*Tree, error) { return Load("../..") })

func repository(t *testing.T) *Tree {
	t.Helper()
	tree, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	code, tests := tree.Count()
	imports := 0
	for _, f := range tree.Files {
		for _, spec := range f.AST.Imports {
			if strings.HasPrefix(importPath(spec), Module+"/") {
				imports++
			}
		}
	}
	if code < minCodeFiles || tests < minTestFiles || imports < minImports {
		t.Fatalf("looked at %d files, %d tests, %d own imports: too few, is this the repository?", code, tests, imports)
	}
	return tree
}

// check proves the rule on the bad tree first, then runs it on the repository.
func check(t *testing.T, rule func(*Tree) []Violation, names ...string) {
	t.Helper()
	bad, err := Load("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	prove(t, bad, rule(bad), names)
	if t.Failed() {
		return
	}
	var mine []Exception
	for _, e := range exceptions {
		if slices.Contains(names, e.Rule) {
			mine = append(mine, e)
		}
	}
	for _, v := range Apply(rule(repository(t)), mine) {
		t.Error(v)
	}
}

var wantPattern = regexp.MustCompile(`// want ([a-z-]+)$`)

// prove compares what a rule found with the "// want rule" comments of the
// bad tree: everything marked must be found, and nothing else.
func prove(t *testing.T, bad *Tree, found []Violation, names []string) {
	t.Helper()
	var want, got []string
	seen := map[string]bool{}
	for _, f := range bad.Files {
		src, err := os.ReadFile(filepath.Join(bad.Root, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			if m := wantPattern.FindStringSubmatch(line); m != nil && slices.Contains(names, m[1]) {
				want = append(want, fmt.Sprintf("%s:%d %s", f.Path, i+1, m[1]))
				seen[m[1]] = true
			}
		}
	}
	for _, v := range found {
		got = append(got, fmt.Sprintf("%s:%d %s", v.File, v.Line, v.Rule))
		if v.Reason == "" {
			t.Errorf("no reason: %s", v)
		}
	}
	sort.Strings(want)
	sort.Strings(got)
	if !slices.Equal(want, got) {
		t.Errorf("on the bad tree\nwant %s\ngot  %s", strings.Join(want, "\n     "), strings.Join(got, "\n     "))
	}
	for _, n := range names {
		if !seen[n] {
			t.Errorf("the bad tree has no case for the rule %q", n)
		}
	}
}

func TestImports(t *testing.T) {
	check(t, Imports, "order", "unknown-package", "kinds", "sibling", "implementation", "builtin-only", "model-std-only", "test-tool")
}

func TestSignatures(t *testing.T) {
	check(t, func(tree *Tree) []Violation { return only(Signatures(tree), "engine-type") }, "engine-type")
}

func TestNoUntypedBags(t *testing.T) {
	check(t, func(tree *Tree) []Violation { return only(Signatures(tree), "untyped-bag") }, "untyped-bag")
}

func only(all []Violation, rule string) (out []Violation) {
	for _, v := range all {
		if v.Rule == rule {
			out = append(out, v)
		}
	}
	return out
}

func TestNoInit(t *testing.T) { check(t, NoInit, "init") }

func TestNoExit(t *testing.T) { check(t, NoExit, "exit") }

func TestNoSleepInTests(t *testing.T) { check(t, NoSleepInTests, "sleep") }

func TestNoMutableGlobals(t *testing.T) { check(t, NoMutableGlobals, "mutable-global") }

func TestBudgets(t *testing.T) {
	proveSizes(t)
	rules := []string{"config-size", "contract-size"}
	bad, err := Load("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	prove(t, bad, Budgets(bad), rules)
	var mine []Exception
	for _, e := range exceptions {
		if strings.HasSuffix(e.Rule, "-size") {
			mine = append(mine, e)
		}
	}
	for _, v := range Apply(Budgets(repository(t)), mine) {
		t.Error(v)
	}
}

// proveSizes writes files one line under and one line over each budget.
func proveSizes(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, lines int, body string) {
		t.Helper()
		text := "package x\n\n" + body
		text += strings.Repeat("// filler\n", lines-strings.Count(text, "\n"))
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	function := func(name string, lines int) string {
		return "func " + name + "() {\n" + strings.Repeat("\n", lines-2) + "}\n\n"
	}
	write("a/fits.go", MaxFileLines, function("Fits", MaxFuncLines))
	write("a/long.go", MaxFileLines+1, function("Long", MaxFuncLines+1))
	write("a/fits_test.go", MaxFileLines*3/2, function("Fits", MaxFuncLines*3/2))
	write("a/long_test.go", MaxFileLines*3/2+1, function("Long", MaxFuncLines*3/2+1))
	for i := range MaxPackageLines / MaxFileLines {
		write(fmt.Sprintf("fits/f%02d.go", i), MaxFileLines, "")
		write(fmt.Sprintf("large/f%02d.go", i), MaxFileLines, "")
	}
	write("large/g.go", 3, "")
	write("fits/f_test.go", 100, "")
	write("a/made.go", MaxFileLines*2, "")
	generated := filepath.Join(dir, "a/made.go")
	src, err := os.ReadFile(generated)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(generated, append([]byte("// Code generated by x. DO NOT EDIT.\n\n"), src...), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range Budgets(tree) {
		got = append(got, v.File+" "+v.Rule)
	}
	sort.Strings(got)
	want := []string{"a/long.go file-size", "a/long.go func-size", "a/long_test.go file-size", "a/long_test.go func-size", "large/f00.go package-size"}
	if !slices.Equal(got, want) {
		t.Errorf("sizes: got %q, want %q", got, want)
	}
}

func TestDependenciesDocumented(t *testing.T) {
	bad, err := Load("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := Dependencies(bad)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range found {
		got = append(got, v.Msg)
	}
	want := []string{
		"github.com/goccy/go-yaml is listed as v1.0.0, go.mod has v1.19.2",
		"github.com/nats-io/nats.go lacks a licence or a reason",
		"github.com/gone/gone is not in go.mod: remove the row",
		"github.com/unused/indirect is only needed by other modules: remove the row",
		"github.com/single/line has two rows",
		"row missing: | github.com/spf13/cobra | v1.10.2 | LICENCE | what it is used for and why not by ourselves |",
	}
	if !slices.Equal(got, want) {
		t.Errorf("on the bad tree\nwant %s\ngot  %s", strings.Join(want, "\n     "), strings.Join(got, "\n     "))
	}
	found, compared, err := Dependencies(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	if compared < minModules {
		t.Errorf("only %d modules compared", compared)
	}
	for _, v := range found {
		t.Error(v)
	}
}

func TestExceptionsMustBeNeeded(t *testing.T) {
	all := []Violation{{Rule: "a", File: "f.go", Msg: "one thing"}, {Rule: "a", File: "f.go", Msg: "two things"}}
	left := Apply(all, []Exception{
		{"a", "f.go", "one", "because"},
		{"a", "f.go", "three", "because"},
		{"a", "f.go", "two", ""},
	})
	if len(left) != 2 || !strings.Contains(left[0].Msg, "no longer needed") || !strings.Contains(left[1].Msg, "no reason") {
		t.Errorf("%v", left)
	}
}
