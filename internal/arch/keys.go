package arch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
)

// typed is one package with the types of its expressions.
type typed struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// typecheck gives the types of a package's files.
func typecheck(path string, fset *token.FileSet, files []*ast.File, imports types.Importer) (*typed, error) {
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Defs: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: imports}
	if _, err := conf.Check(path, fset, files, info); err != nil {
		return nil, fmt.Errorf("types of %s: %w", path, err)
	}
	return &typed{path: path, fset: fset, files: files, info: info}, nil
}

// typecheckAll gives the types of the packages that match, from the files and the build
// cache's export data that `go list` names for them.
func typecheckAll(dir string, patterns ...string) ([]*typed, error) {
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race") // what the run of the other tests has compiled already
	}
	cmd := exec.Command("go", append(args, patterns...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.Bytes())
	}
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
		DepOnly                 bool
	}
	exports := map[string]string{}
	var mine []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			mine = append(mine, p)
		}
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var all []*typed
	for _, p := range mine {
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
		t, err := typecheck(p.ImportPath, fset, files, imports)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// UnreadKeys finds configuration keys (struct fields with a yaml tag) that nothing
// reads: an operator sets them and they change nothing. Looking at a value only to
// see whether it is allowed (functions named check… that give back errors), or setting it, is not reading.
func UnreadKeys(pkgs []*typed) []Violation {
	type key struct{ typ, field string }
	declared := map[key]token.Position{}
	read := map[key]bool{}
	for _, p := range pkgs {
		for _, obj := range p.info.Defs {
			name, ok := obj.(*types.TypeName)
			if !ok || name.Parent() != name.Pkg().Scope() || strings.HasPrefix(name.Name(), "dumped") {
				continue // what is dumped is only written
			}
			st, ok := name.Type().Underlying().(*types.Struct)
			if !ok {
				continue
			}
			for i := range st.NumFields() {
				tag, ok := reflect.StructTag(st.Tag(i)).Lookup("yaml")
				if ok && tag != "-" && !strings.Contains(tag, ",inline") {
					declared[key{typeName(name.Type()), st.Field(i).Name()}] = p.fset.Position(st.Field(i).Pos())
				}
			}
		}
		for _, f := range p.files {
			readIn(p, f, func(typ, field string) { read[key{typ, field}] = true })
		}
	}
	var found []Violation
	for k, at := range declared {
		if !read[k] {
			found = append(found, Violation{Rule: "unread-key", File: at.Filename, Line: at.Line,
				Msg: fmt.Sprintf("%s.%s is a configuration key that nothing reads", k.typ, k.field)})
		}
	}
	slices.SortFunc(found, func(a, b Violation) int { return strings.Compare(a.Msg, b.Msg) })
	return found
}

func typeName(t types.Type) string {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil {
		return n.Obj().Pkg().Path() + "." + n.Obj().Name()
	}
	return ""
}

// onlyErrors says whether a function gives back nothing but errors.
func onlyErrors(fn *ast.FuncDecl) bool {
	if fn.Type.Results == nil {
		return true
	}
	for _, r := range fn.Type.Results.List {
		if s := types.ExprString(r.Type); s != "error" && s != "[]error" {
			return false
		}
	}
	return true
}

// readIn calls found for each field of a named struct that the file reads.
func readIn(p *typed, f *ast.File, found func(typ, field string)) {
	for _, decl := range f.Decls {
		fn, isFunc := decl.(*ast.FuncDecl)
		if isFunc && strings.HasPrefix(strings.ToLower(fn.Name.Name), "check") && onlyErrors(fn) {
			continue
		}
		set := map[ast.Expr]bool{}
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					set[left] = true
				}
			case *ast.CallExpr: // a conversion to another struct takes all fields along
				if tv, ok := p.info.Types[n.Fun]; ok && tv.IsType() && len(n.Args) == 1 {
					from := p.info.Types[n.Args[0]].Type
					if st, ok := from.Underlying().(*types.Struct); ok {
						for i := range st.NumFields() {
							found(typeName(from), st.Field(i).Name())
						}
					}
				}
			case *ast.SelectorExpr:
				sel := p.info.Selections[n]
				if sel == nil || sel.Kind() != types.FieldVal || set[n] {
					return true
				}
				t := sel.Recv()
				for _, i := range sel.Index() {
					if ptr, ok := t.Underlying().(*types.Pointer); ok {
						t = ptr.Elem()
					}
					field := t.Underlying().(*types.Struct).Field(i)
					found(typeName(t), field.Name())
					t = field.Type()
				}
			}
			return true
		})
	}
}
