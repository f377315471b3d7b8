package arch

import (
	"go/ast"
	"strings"
)

const (
	whyEngine = "NATS and DuckDB are behind bus and lake; a type of theirs in another signature would tie callers to the engine"
	whyBags   = "a map[string]any turns a misspelt key into a surprise at run time; use a struct, or a sorted list of name and value for what no type knows"
)

// engines maps the path prefix of an engine's module to the only packages
// that may show its types.
var engines = []struct{ prefix, owner string }{
	{"github.com/nats-io/", "internal/bus"},
	{"github.com/duckdb/", "internal/lake"},
	{"github.com/marcboeker/go-duckdb", "internal/lake"},
}

// Signatures checks what exported declarations mention.
func Signatures(t *Tree) (out []Violation) {
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		known := f.imports()
		exportedTypes(f.AST, func(owner string, e ast.Expr) {
			out = append(out, engineTypes(t, f, known, owner, e)...)
			if bag := findBag(e); bag != nil {
				out = append(out, t.violation(f, bag.Pos(), "untyped-bag", whyBags, "%s has a map[string]any", owner))
			}
		})
	}
	return out
}

func engineTypes(t *Tree, f *File, known map[string]string, owner string, e ast.Expr) (out []Violation) {
	ast.Inspect(e, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		p, name := qualified(sel, known)
		for _, eng := range engines {
			if p != "" && strings.HasPrefix(p, eng.prefix) && !within(f.Dir, eng.owner) {
				out = append(out, t.violation(f, sel.Pos(), "engine-type", whyEngine,
					"%s mentions %s of %s outside %s", owner, name, p, eng.owner))
			}
		}
		return true
	})
	return out
}

func findBag(e ast.Expr) (found ast.Node) {
	ast.Inspect(e, func(n ast.Node) bool {
		if m, ok := n.(*ast.MapType); ok && isIdent(m.Key, "string") && isAny(m.Value) && found == nil {
			found = m
		}
		return found == nil
	})
	return found
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func isAny(e ast.Expr) bool {
	if i, ok := e.(*ast.InterfaceType); ok {
		return len(i.Methods.List) == 0
	}
	return isIdent(e, "any")
}

// exportedTypes visits the type expressions other packages can see: of
// exported functions, methods of exported types, exported fields, interface
// methods, type definitions, constants and variables.
func exportedTypes(f *ast.File, visit func(owner string, e ast.Expr)) {
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				visit(funcName(d), d.Type)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						exportedIn(s.Name.Name, s.Type, visit)
					}
				case *ast.ValueSpec:
					if s.Type != nil && s.Names[0].IsExported() {
						visit(s.Names[0].Name, s.Type)
					}
				}
			}
		}
	}
}

func exportedIn(owner string, e ast.Expr, visit func(string, ast.Expr)) {
	switch x := e.(type) {
	case *ast.StructType:
		for _, field := range x.Fields.List {
			if len(field.Names) == 0 || anyExported(field.Names) {
				exportedIn(fieldOwner(owner, field), field.Type, visit)
			}
		}
	case *ast.InterfaceType:
		for _, m := range x.Methods.List {
			visit(fieldOwner(owner, m), m.Type)
		}
	default:
		visit(owner, e)
	}
}

func fieldOwner(owner string, f *ast.Field) string {
	if len(f.Names) == 0 {
		return owner
	}
	return owner + "." + f.Names[0].Name
}

func anyExported(names []*ast.Ident) bool {
	for _, n := range names {
		if n.IsExported() {
			return true
		}
	}
	return false
}

// receiver is the name of a method's type, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func funcName(d *ast.FuncDecl) string {
	if r := receiver(d); r != "" {
		return r + "." + d.Name.Name
	}
	return d.Name.Name
}
