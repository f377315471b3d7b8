package arch

import (
	"path"
	"slices"
	"strings"
)

// order is the design's list: a package imports only what stands in an
// earlier line, or in its own line for the mechanisms. Sub-folders belong to
// the line of their parent.
var order = [][]string{
	{"internal/model"},
	{"internal/observe"},
	{"internal/ocsf"},
	{"internal/conf", "internal/plug", "internal/life", "internal/obs", "internal/safe", "internal/jail", "internal/host", "internal/ioc", "internal/credential", "internal/mcp"},
	{"content"}, // embedded data, no code
	{"internal/bus"},
	{"internal/lake"},
	{"internal/decoy"},
	{"internal/source"},
	{"internal/detect"},
	{"internal/intel"},
	{"internal/correlate"},
	{"internal/decide"},
	{"internal/enforce"},
	{"internal/export"},
	{"internal/assess"},
	{"internal/guard"},
	{"internal/inventory"},
	{"internal/builtin"},
	{"internal/records"},
	{"internal/gateway"},
	{"web"}, // embedded console, no code
	{"internal/api"},
	{"internal/drill"},
	{"internal/app"},
	{"internal/cli"},
	{"cmd"},
}

// mechanisms is the line of order whose members may use each other.
const mechanisms = 3

// anywhere lists what may import everything: programs that test or measure
// the whole.
var anywhere = []string{"e2e", "bench"}

// kinds have implementations in sub-folders; support lists the sub-folders
// that are shared tools of the kind instead.
var kinds = []string{"decoy", "source", "detect", "intel", "enforce", "export", "assess", "guard"}

// guard/wire reads model API formats (one folder each) and guard/hold their streams, for the gateway.
// guard/decode and guard/classify are readings of a text and the classifier's arithmetic, which
// training and the inspectors share.
// detect/rule is the engine of content/rules, which several families bring rules for;
// detect/sigma takes rule folders at run time and is called by the verbs that read logs.
var support = map[string][]string{
	"decoy":   {"shell", "persona", "login", "httpd", "decoytest"},
	"source":  {"transport", "text", "parquet", "capture", "sourcetest"},
	"detect":  {"normal", "rule", "sigma", "detecttest"},
	"intel":   {"inteltest"},
	"enforce": {"verify", "enforcetest"},
	"export":  {"trust", "exporttest"},
	"assess":  {"assesstest"},
	"guard":   {"decode", "classify", "wire", "hold", "guardtest"},
}

// pkg is what the rules know about a package folder.
type pkg struct {
	dir  string
	rank int    // line in order; -1: not in the design
	free bool   // e2e, bench
	kind string // "decoy" for internal/decoy and below
	sub  string // "ssh" for internal/decoy/ssh and below
}

func classify(dir string) pkg {
	p := pkg{dir: dir, rank: -1}
	for _, top := range anywhere {
		p.free = p.free || within(dir, top)
	}
	for rank, line := range order {
		for _, top := range line {
			if within(dir, top) {
				p.rank = rank
			}
		}
	}
	parts := strings.Split(dir, "/")
	if len(parts) > 1 && parts[0] == "internal" && slices.Contains(kinds, parts[1]) {
		p.kind = parts[1]
		if len(parts) > 2 {
			p.sub = parts[2]
		}
	}
	return p
}

func within(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

func (p pkg) isSupport() bool { return p.sub != "" && slices.Contains(support[p.kind], p.sub) }

func (p pkg) isImplementation() bool { return p.sub != "" && !p.isSupport() }

// isTestTool says whether a package exists for tests only (decoytest).
func (p pkg) isTestTool() bool {
	base := path.Base(p.dir)
	return strings.HasSuffix(base, "test") && base != "test"
}

// Reasons of the import rules, printed with each violation.
const (
	whyOrder     = "packages form a list (docs/ARCHITECTURE.md); importing downwards only keeps every part testable alone and cycles impossible"
	whyUnknown   = "a package that is not in the list escapes every other rule: add it to internal/arch/imports.go where it belongs"
	whyKinds     = "kinds meet as values of model and observe only, so that each can be replaced, split to another process, or left out"
	whySibling   = "an implementation that needs its sibling cannot be removed or copied as a template; shared code goes to a support package of the kind"
	whyImpl      = "an implementation knows its contract, the nouns and the mechanisms, nothing else: that is what makes adding one a single folder"
	whyBuiltin   = "internal/builtin is the one place that names implementations; everything else works through the tables"
	whyModel     = "the nouns are used everywhere, so they must not pull in anything"
	whyTestTool  = "conformance suites are for tests; in the program they would only make it larger"
	whyArch      = "this package only reads source; nothing depends on it"
	whyTestOrder = "a package's test that needs what stands below it tests something else: put it there, or under e2e"
)

// Imports checks the import rules on every file.
func Imports(t *Tree) (out []Violation) {
	for _, f := range t.Files {
		from := classify(f.Dir)
		for _, spec := range f.AST.Imports {
			target := importPath(spec)
			var rule, msg, why string
			if local, ok := strings.CutPrefix(target, Module+"/"); ok {
				rule, msg, why = checkImport(f, from, classify(local))
			} else {
				rule, msg, why = checkForeign(f, from, target)
			}
			if rule != "" {
				out = append(out, t.violation(f, spec.Pos(), rule, why, "%s", msg))
			}
		}
		if from.rank < 0 && !from.free && f.Dir != "internal/arch" && !within(f.Dir, "scripts") {
			out = append(out, t.violation(f, f.AST.Package, "unknown-package", whyUnknown, "package folder %s is not in the design", f.Dir))
		}
	}
	return out
}

// checkForeign: the nouns and the data use the standard library only.
func checkForeign(f *File, from pkg, target string) (rule, msg, why string) {
	first, _, _ := strings.Cut(target, "/")
	standard := !strings.Contains(first, ".")
	if standard || f.Test {
		return "", "", ""
	}
	if within(f.Dir, "internal/model") || within(f.Dir, "content") {
		return "model-std-only", from.dir + " imports " + target, whyModel
	}
	return "", "", ""
}

func checkImport(f *File, from, to pkg) (rule, msg, why string) {
	say := from.dir + " imports " + to.dir
	switch {
	case from.dir == to.dir: // a _test package imports what it tests
		return "", "", ""
	case to.dir == "internal/arch":
		return "order", say, whyArch
	case to.isTestTool() && !f.Test && !from.isTestTool() && !from.free:
		return "test-tool", say + " outside a test", whyTestTool
	case from.free:
		return "", "", ""
	case to.free:
		return "order", say, whyOrder
	}
	if from.kind != "" && from.kind == to.kind {
		return sameKind(from, to, say)
	}
	switch {
	case to.isImplementation() && !within(from.dir, "internal/builtin"):
		return "builtin-only", say, whyBuiltin
	case from.kind != "" && to.kind != "":
		return "kinds", say, whyKinds
	case from.isImplementation() && to.rank > mechanisms+1:
		return "implementation", say, whyImpl
	case from.rank < 0 || to.rank < 0:
		return "", "", "" // reported once, as unknown-package
	case to.rank < from.rank,
		to.rank == from.rank && (from.rank == mechanisms || topOf(from.dir) == topOf(to.dir)):
		return "", "", ""
	case f.Test:
		return "order", say + " in a test", whyTestOrder
	}
	return "order", say, whyOrder
}

// sameKind: inside one kind the contract stands above its support packages'
// users; implementations never see each other.
func sameKind(from, to pkg, say string) (rule, msg, why string) {
	switch {
	case from.sub == to.sub:
		return "", "", ""
	case to.isImplementation() && from.isImplementation():
		return "sibling", say, whySibling
	case to.isImplementation():
		return "builtin-only", say, whyBuiltin
	}
	return "", "", ""
}

// topOf is the first two elements below internal, or the first elsewhere.
func topOf(dir string) string {
	parts := strings.Split(dir, "/")
	if parts[0] == "internal" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}
