package arch

import (
	"go/ast"
	"go/token"
	"strings"
)

const (
	whyInit    = "an init runs because of an import; what happens at start is said in internal/app, where it can be ordered and tested"
	whyGlobals = "package state is shared by every test and every node in the process and cannot be stopped; make it a field of something built in app"
	whyExit    = "only main knows whether everything was closed; elsewhere return an error"
	whySleep   = "a sleep is either too short on a busy machine or too long everywhere else; use testing/synctest, a channel, or poll to a deadline"
)

// NoInit reports init functions.
func NoInit(t *Tree) (out []Violation) {
	for _, f := range t.Files {
		for _, decl := range f.AST.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				out = append(out, t.violation(f, d.Pos(), "init", whyInit, "func init"))
			}
		}
	}
	return out
}

// NoExit reports ways of ending the process outside cmd. The main function of
// a program under bench or scripts may exit, and a TestMain with the functions
// it calls: the helper processes of tests begin there.
func NoExit(t *Tree) (out []Violation) {
	helpers := testMains(t)
	for _, f := range t.Files {
		if within(f.Dir, "cmd") {
			continue
		}
		f.calls(func(call *ast.CallExpr, p, name string) {
			exits := p == "os" && name == "Exit" || p == "syscall" && name == "Exit" ||
				p == "golang.org/x/sys/unix" && name == "Exit" || p == "runtime" && name == "Goexit" ||
				p == "log" && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic"))
			if !exits {
				return
			}
			in := enclosingFunc(f.AST, call.Pos())
			if f.Test && (p == "runtime" || helpers[f.Dir+"."+in]) || isTool(f) && in == "main" {
				return
			}
			out = append(out, t.violation(f, call.Pos(), "exit", whyExit, "%s.%s", p, name))
		})
	}
	return out
}

// isTool says whether the file belongs to a program for developers.
func isTool(f *File) bool {
	return !f.Test && f.AST.Name.Name == "main" && (within(f.Dir, "bench") || within(f.Dir, "scripts"))
}

// testMains lists "folder.function" of every TestMain and what it calls by
// plain name.
func testMains(t *Tree) map[string]bool {
	out := map[string]bool{}
	for _, f := range t.Files {
		for _, decl := range f.AST.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !f.Test || !ok || d.Name.Name != "TestMain" {
				continue
			}
			out[f.Dir+".TestMain"] = true
			ast.Inspect(d, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if id, ok := call.Fun.(*ast.Ident); ok {
						out[f.Dir+"."+id.Name] = true
					}
				}
				return true
			})
		}
	}
	return out
}

func enclosingFunc(f *ast.File, pos token.Pos) string {
	for _, decl := range f.Decls {
		if d, ok := decl.(*ast.FuncDecl); ok && d.Pos() <= pos && pos < d.End() {
			return d.Name.Name
		}
	}
	return ""
}

// NoSleepInTests reports time.Sleep in tests, test tools and the folders
// e2e and bench, unless it stands inside a synctest.Test call, where time
// is not real. A measuring program may let the measured thing rest.
func NoSleepInTests(t *Tree) (out []Violation) {
	for _, f := range t.Files {
		p := classify(f.Dir)
		if isTool(f) || !f.Test && !p.isTestTool() && !p.free {
			continue
		}
		var bubbles []ast.Node
		f.calls(func(call *ast.CallExpr, p, name string) {
			if p == "testing/synctest" && name == "Test" {
				bubbles = append(bubbles, call)
			}
		})
		f.calls(func(call *ast.CallExpr, p, name string) {
			if p != "time" || name != "Sleep" {
				return
			}
			for _, b := range bubbles {
				if b.Pos() <= call.Pos() && call.Pos() < b.End() {
					return
				}
			}
			out = append(out, t.violation(f, call.Pos(), "sleep", whySleep, "time.Sleep in a test"))
		})
	}
	return out
}

// NoMutableGlobals reports package variables that functions change, and those
// whose type only makes sense when it changes (locks, atomics, channels).
func NoMutableGlobals(t *Tree) (out []Violation) {
	type key struct{ dir, name string }
	globals := map[key]bool{}
	specs := map[*ast.ValueSpec]bool{}
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		eachGlobal(f.AST, func(spec *ast.ValueSpec) {
			specs[spec] = true
			for _, n := range spec.Names {
				globals[key{f.Dir, n.Name}] = true
			}
			if kind := changingType(spec, f.imports()); kind != "" {
				out = append(out, t.violation(f, spec.Pos(), "mutable-global", whyGlobals, "package variable %s is a %s", spec.Names[0].Name, kind))
			}
		})
	}
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		writes(f.AST, func(target ast.Expr) {
			id := root(target)
			if id == nil || id.Name == "_" || !globals[key{f.Dir, id.Name}] { // _ = f() beside var _ T = x{}
				return
			}
			// The parser resolves names inside one file. One that it could not
			// resolve is declared in another file of the package.
			if id.Obj != nil {
				if spec, ok := id.Obj.Decl.(*ast.ValueSpec); !ok || !specs[spec] {
					return
				}
			}
			out = append(out, t.violation(f, target.Pos(), "mutable-global", whyGlobals, "package variable %s is changed after its declaration", id.Name))
		})
	}
	return out
}

func eachGlobal(f *ast.File, visit func(*ast.ValueSpec)) {
	for _, decl := range f.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
			for _, spec := range d.Specs {
				visit(spec.(*ast.ValueSpec))
			}
		}
	}
}

// changingType names a type that is there to be changed, or "".
func changingType(spec *ast.ValueSpec, known map[string]string) string {
	exprs := append([]ast.Expr{spec.Type}, spec.Values...)
	for _, e := range exprs {
		if u, ok := e.(*ast.UnaryExpr); ok {
			e = u.X
		}
		if c, ok := e.(*ast.CompositeLit); ok {
			e = c.Type
		}
		if c, ok := e.(*ast.CallExpr); ok && isIdent(c.Fun, "make") {
			e = c.Args[0]
			if _, isMap := e.(*ast.MapType); isMap {
				return "map that starts empty"
			}
		}
		if ix, ok := e.(*ast.IndexExpr); ok {
			e = ix.X // atomic.Pointer[T]
		}
		if _, ok := e.(*ast.ChanType); ok {
			return "channel"
		}
		if p, name := qualified(e, known); p == "sync" || p == "sync/atomic" {
			return p + "." + name
		}
	}
	return ""
}

// writes visits everything that is assigned to, counted up or down, or
// emptied by delete and clear, inside functions.
func writes(f *ast.File, visit func(ast.Expr)) {
	for _, decl := range f.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok || d.Body == nil {
			continue
		}
		ast.Inspect(d.Body, func(n ast.Node) bool {
			switch s := n.(type) {
			case *ast.AssignStmt:
				if s.Tok != token.DEFINE {
					for _, e := range s.Lhs {
						visit(e)
					}
				}
			case *ast.IncDecStmt:
				visit(s.X)
			case *ast.RangeStmt:
				if s.Tok == token.ASSIGN {
					visit(s.Key)
					visit(s.Value)
				}
			case *ast.CallExpr:
				if (isIdent(s.Fun, "delete") || isIdent(s.Fun, "clear")) && len(s.Args) > 0 {
					visit(s.Args[0])
				}
			}
			return true
		})
	}
}

// root is the variable at the bottom of a.b[c].d, or nil.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}
