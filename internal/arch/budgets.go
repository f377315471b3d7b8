package arch

import (
	"fmt"
	"go/ast"
	"strings"
)

// The budgets. Tests get half as much again, because tables of cases are
// data; a package's budget counts no tests.
const (
	MaxFuncLines     = 80
	MaxFileLines     = 500
	MaxPackageLines  = 5000
	MaxConfigFields  = 20
	MaxContractSize  = 3
	testExtraPercent = 50
)

const (
	whySize     = "what does not fit on a few screens is not read as a whole; split it where a name can be given to the part"
	whyConfig   = "nobody can hold more than twenty settings in mind: group them in structs of their own"
	whyContract = "every implementation pays for each method of its contract; small ones can be wrapped, faked and combined"
)

func budget(n int, test bool) int {
	if test {
		return n + n*testExtraPercent/100
	}
	return n
}

// Budgets checks sizes of functions, files, packages, configurations and contracts.
func Budgets(t *Tree) (out []Violation) {
	lines := map[string]int{}
	first := map[string]*File{}
	for _, f := range t.Files {
		if limit := budget(MaxFileLines, f.Test); f.Lines > limit {
			out = append(out, t.violation(f, f.AST.Package, "file-size", whySize, "%d lines, budget %d", f.Lines, limit))
		}
		if !f.Test {
			lines[f.Dir] += f.Lines
			if first[f.Dir] == nil {
				first[f.Dir] = f
			}
		}
		out = append(out, funcSizes(t, f)...)
		out = append(out, typeSizes(t, f)...)
	}
	for dir, n := range lines {
		if n > MaxPackageLines {
			f := first[dir]
			out = append(out, t.violation(f, f.AST.Package, "package-size", whySize, "package %s has %d lines, budget %d", dir, n, MaxPackageLines))
		}
	}
	return out
}

func funcSizes(t *Tree, f *File) (out []Violation) {
	limit := budget(MaxFuncLines, f.Test)
	for _, decl := range f.AST.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := t.line(d.End()) - t.line(d.Pos()) + 1; n > limit {
			out = append(out, t.violation(f, d.Pos(), "func-size", whySize, "%s has %d lines, budget %d", funcName(d), n, limit))
		}
	}
	return out
}

func typeSizes(t *Tree, f *File) (out []Violation) {
	p := classify(f.Dir)
	eachType(f.AST, func(s *ast.TypeSpec) {
		if f.Test || !s.Name.IsExported() {
			return
		}
		switch x := s.Type.(type) {
		case *ast.StructType:
			if n := x.Fields.NumFields(); n > MaxConfigFields && isConfig(s.Name.Name, x) {
				out = append(out, t.violation(f, s.Pos(), "config-size", whyConfig, "%s has %d fields, budget %d", s.Name.Name, n, MaxConfigFields))
			}
		case *ast.InterfaceType:
			if n := x.Methods.NumFields(); n > MaxContractSize && p.kind != "" {
				out = append(out, t.violation(f, s.Pos(), "contract-size", whyContract, "%s has %d methods, budget %d", s.Name.Name, n, MaxContractSize))
			}
		}
	})
	return out
}

func eachType(f *ast.File, visit func(*ast.TypeSpec)) {
	for _, decl := range f.Decls {
		if d, ok := decl.(*ast.GenDecl); ok {
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok {
					visit(s)
				}
			}
		}
	}
}

// isConfig: by its name, or because a field has a key in the file.
func isConfig(name string, s *ast.StructType) bool {
	for _, end := range []string{"Config", "Configuration", "Options", "Settings"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	for _, field := range s.Fields.List {
		if field.Tag != nil && strings.Contains(field.Tag.Value, `yaml:"`) {
			return true
		}
	}
	return false
}

// Exception allows one violation, with a reason. Where is "file" or
// "file:function"; it must still be needed.
type Exception struct{ Rule, File, Contains, Reason string }

// Apply removes the excepted violations and reports exceptions that match
// nothing, so that the list can only shrink.
func Apply(all []Violation, exceptions []Exception) (left []Violation) {
	used := make([]bool, len(exceptions))
	for _, v := range all {
		excepted := false
		for i, e := range exceptions {
			if e.Rule == v.Rule && e.File == v.File && strings.Contains(v.Msg, e.Contains) {
				used[i], excepted = true, true
			}
		}
		if !excepted {
			left = append(left, v)
		}
	}
	for i, e := range exceptions {
		switch {
		case e.Reason == "":
			left = append(left, Violation{Rule: "exception", File: e.File, Msg: fmt.Sprintf("the exception from %s has no reason", e.Rule)})
		case !used[i]:
			left = append(left, Violation{Rule: "exception", File: e.File, Msg: fmt.Sprintf("the exception from %s (%s) is no longer needed: remove it", e.Rule, e.Contains)})
		}
	}
	return left
}
