package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// What stands in a configuration file has to change something: each key is read by
// more than the check of its value.
func TestConfigurationKeysAreRead(t *testing.T) {
	pkgs, err := typecheckAll("../..", "./internal/...", "./content/...")
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 40 {
		t.Fatalf("looked at %d packages: too few, is this the repository?", len(pkgs))
	}
	for _, v := range UnreadKeys(pkgs) {
		t.Error(v)
	}
}

func TestUnreadKeysRefuses(t *testing.T) {
	const source = `package p
type Sub struct { X int ` + "`yaml:\"x\"`" + `; Y int ` + "`yaml:\"y\"`" + ` }
type Config struct {
	Used    int ` + "`yaml:\"used\"`" + `
	Checked int ` + "`yaml:\"checked\"`" + `
	Acted   int ` + "`yaml:\"acted\"`" + `
	Set     int ` + "`yaml:\"set\"`" + `
	Never   int ` + "`yaml:\"never\"`" + `
	Plain   int
	Skipped int ` + "`yaml:\"-\"`" + `
	Sub     Sub ` + "`yaml:\"sub\"`" + `
}
type other struct{ X, Y int }
func (c *Config) check() error { if c.Checked > 0 { return nil }; return nil }
func (c *Config) Check() int { return c.Acted }
func use(c *Config) int { c.Set = 1; return c.Used + c.Sub.X }
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	p, err := typecheck("p", fset, []*ast.File{f}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range UnreadKeys([]*typed{p}) {
		got = append(got, strings.Fields(v.Msg)[0])
	}
	if want := "p.Config.Checked p.Config.Never p.Config.Set p.Sub.Y"; strings.Join(got, " ") != want {
		t.Fatalf("found %v, want %s", got, want)
	}
}
