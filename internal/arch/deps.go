package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

const whyDeps = "every dependency is code that we answer for: docs/dependencies.md says why it is there and under which licence"

// Dependency is one row of docs/dependencies.md.
type Dependency struct {
	Module, Version, Licence, Reason string
	Line                             int
}

// Requirement is one line of go.mod.
type Requirement struct {
	Version  string
	Indirect bool
}

// Dependencies compares go.mod and what the source imports with the table in
// docs/dependencies.md, and returns how many modules it compared.
func Dependencies(t *Tree) (out []Violation, compared int, err error) {
	required, err := readGoMod(filepath.Join(t.Root, "go.mod"))
	if err != nil {
		return nil, 0, err
	}
	const doc = "docs/dependencies.md"
	rows, err := readTable(filepath.Join(t.Root, doc))
	if err != nil {
		return nil, 0, err
	}
	fail := func(line int, format string, args ...any) {
		out = append(out, Violation{Rule: "dependency", File: doc, Line: line, Msg: fmt.Sprintf(format, args...), Reason: whyDeps})
	}
	direct := t.directModules(required, func(f *File, path string) {
		out = append(out, Violation{Rule: "dependency", File: f.Path, Msg: "imports " + path + ", which no module of go.mod holds", Reason: whyDeps})
	})
	listed := map[string]bool{}
	for _, r := range rows {
		req, known := required[r.Module]
		switch {
		case listed[r.Module]:
			fail(r.Line, "%s has two rows", r.Module)
		case !known:
			fail(r.Line, "%s is not in go.mod: remove the row", r.Module)
		case !slices.Contains(direct, r.Module):
			fail(r.Line, "%s is only needed by other modules: remove the row", r.Module)
		case req.Version != r.Version:
			fail(r.Line, "%s is listed as %s, go.mod has %s", r.Module, r.Version, req.Version)
		case r.Licence == "" || len(r.Reason) < 15:
			fail(r.Line, "%s lacks a licence or a reason", r.Module)
		}
		listed[r.Module] = true
	}
	for _, m := range direct {
		if !listed[m] {
			fail(0, "row missing: | %s | %s | LICENCE | what it is used for and why not by ourselves |", m, required[m].Version)
		}
	}
	return out, len(direct), nil
}

// directModules lists the modules that go.mod calls direct or that a file
// imports, whatever go.mod says.
func (t *Tree) directModules(required map[string]Requirement, unknown func(*File, string)) []string {
	direct := map[string]bool{}
	for m, r := range required {
		if !r.Indirect {
			direct[m] = true
		}
	}
	for _, f := range t.Files {
		for _, spec := range f.AST.Imports {
			p := importPath(spec)
			first, _, _ := strings.Cut(p, "/")
			if !strings.Contains(first, ".") {
				continue // standard library or our own
			}
			m := moduleOf(p, required)
			if m == "" {
				unknown(f, p)
				continue
			}
			direct[m] = true
		}
	}
	var out []string
	for m := range direct {
		out = append(out, m)
	}
	sort.Strings(out)
	return out
}

// moduleOf is the longest module path that holds the package.
func moduleOf(p string, required map[string]Requirement) string {
	for m := p; m != "." && m != "/"; m = filepath.ToSlash(filepath.Dir(m)) {
		if _, ok := required[m]; ok {
			return m
		}
	}
	return ""
}

// readGoMod reads the require lines; other directives are not needed here.
func readGoMod(file string) (map[string]Requirement, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	out := map[string]Requirement{}
	block := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			block = true
			continue
		case line == ")":
			block = false
			continue
		case strings.HasPrefix(line, "require "):
			line = strings.TrimPrefix(line, "require ")
		case !block:
			continue
		}
		code, comment, _ := strings.Cut(line, "//")
		if parts := strings.Fields(code); len(parts) == 2 {
			out[parts[0]] = Requirement{Version: parts[1], Indirect: strings.TrimSpace(comment) == "indirect"}
		}
	}
	return out, nil
}

// readTable reads the rows "| module | version | licence | reason |" of all
// tables in a Markdown file. A module has a dot in its first element.
func readTable(file string) (rows []Dependency, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read dependency table: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.HasPrefix(strings.TrimSpace(line), "|") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		first, _, _ := strings.Cut(cells[0], "/")
		if strings.Contains(first, ".") {
			rows = append(rows, Dependency{cells[0], cells[1], cells[2], cells[3], n})
		}
	}
	return rows, nil
}
