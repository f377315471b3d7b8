// Package arch reads the repository's own source and reports where it leaves
// the design: who may import whom, how large things may get, what must not
// exist. Its tests run the rules on the repository and, first, on a small
// tree in testdata that breaks each of them, so that no rule can pass because
// it looks at nothing. It sees syntax only, no types; nothing imports it.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// Module is the module path of the trees that Load reads.
const Module = "bartizan"

// File is one parsed source file.
type File struct {
	Path  string // slash-separated, from the root of the tree
	Dir   string // the package's folder, "." at the root
	Test  bool   // name ends in _test.go
	Lines int
	AST   *ast.File
}

// Tree is all Go source under one root.
type Tree struct {
	Root  string
	Fset  *token.FileSet
	Files []*File // sorted by path; generated ones are left out
}

// Violation is one place where a rule is broken, with the rule's reason.
type Violation struct {
	Rule   string
	File   string
	Line   int
	Msg    string
	Reason string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: [%s] %s\n\twhy: %s", v.File, v.Line, v.Rule, v.Msg, v.Reason)
}

// Load parses every Go file under root except in testdata, vendor,
// node_modules, folders whose name begins with "." or "_", and modules of their own.
func Load(root string) (*Tree, error) {
	t := &Tree{Root: root, Fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && (skipDir(d.Name()) || ownModule(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		return t.add(p)
	})
	if err != nil {
		return nil, fmt.Errorf("load source tree: %w", err)
	}
	sort.Slice(t.Files, func(i, j int) bool { return t.Files[i].Path < t.Files[j].Path })
	return t, nil
}

// ownModule says whether a folder is a module of its own, as the go tool sees it:
// a tool of the tests with dependencies that the program does not have.
func ownModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func skipDir(name string) bool {
	return name == "testdata" || name == "vendor" || name == "node_modules" ||
		strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func (t *Tree) add(p string) error {
	src, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(t.Root, p)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	f, err := parser.ParseFile(t.Fset, rel, src, parser.ParseComments)
	if err != nil {
		return fmt.Errorf("parse %s: %w", rel, err)
	}
	if ast.IsGenerated(f) {
		return nil
	}
	t.Files = append(t.Files, &File{
		Path: rel, Dir: path.Dir(rel), Test: strings.HasSuffix(rel, "_test.go"),
		Lines: strings.Count(string(src), "\n"), AST: f,
	})
	return nil
}

// Count says how many files are there, tests and others.
func (t *Tree) Count() (code, tests int) {
	for _, f := range t.Files {
		if f.Test {
			tests++
		} else {
			code++
		}
	}
	return code, tests
}

func (t *Tree) line(pos token.Pos) int { return t.Fset.Position(pos).Line }

func (t *Tree) violation(f *File, pos token.Pos, rule, reason, format string, args ...any) Violation {
	return Violation{Rule: rule, File: f.Path, Line: t.line(pos), Msg: fmt.Sprintf(format, args...), Reason: reason}
}

// imports maps the names by which a file knows other packages to their
// paths. The default name is guessed from the path, minus a version suffix.
func (f *File) imports() map[string]string {
	out := make(map[string]string, len(f.AST.Imports))
	for _, spec := range f.AST.Imports {
		p := importPath(spec)
		name := path.Base(p)
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		name = strings.TrimSuffix(strings.TrimPrefix(name, "go-"), ".go") // go-yaml, nats.go
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = p
	}
	return out
}

func importPath(spec *ast.ImportSpec) string { return strings.Trim(spec.Path.Value, "`\"") }

// calls walks the file for calls of pkg.name functions of imported packages.
func (f *File) calls(visit func(call *ast.CallExpr, pkgPath, name string)) {
	known := f.imports()
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if p, name := qualified(call.Fun, known); p != "" {
				visit(call, p, name)
			}
		}
		return true
	})
}

// qualified resolves pkg.Name; p is "" when e is something else.
func qualified(e ast.Expr, known map[string]string) (p, name string) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil { // Obj: a local variable that has the package's name
		return "", ""
	}
	return known[id.Name], sel.Sel.Name
}
