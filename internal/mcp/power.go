package mcp

import (
	_ "embed" // the data
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"bartizan/internal/conf"

	"github.com/go-json-experiment/json/jsontext"
)

// Power is what a server or a tool can do that matters for an agent's safety.
type Power uint8

// The powers. Private, Untrusted and Out together let a text that somebody else
// wrote carry private data away.
const (
	Private   Power = 1 << iota // reads what is not public: files, mail, repositories, databases
	Untrusted                   // brings texts that strangers can write
	Out                         // can send something to where others see it
	Exec                        // runs programs
	Write                       // changes or deletes
)

var powerNames = []string{"private data", "untrusted content", "a way out", "runs programs", "changes data"}

// Names of the powers for people.
func (p Power) Names() (out []string) {
	for i, n := range powerNames {
		if p&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

//go:embed servers.yaml
var serversFile []byte

type powerRule struct {
	Name string   `yaml:"name"` // glob over the package or image, or words of a tool
	Has  []string `yaml:"has"`
}

type powerTable struct {
	packages []struct {
		glob  string
		power Power
	}
	tools []struct {
		re    *regexp.Regexp
		power Power
	}
}

var powers = sync.OnceValues(func() (*powerTable, error) {
	file, err := conf.Decode("servers.yaml", serversFile, struct {
		Packages []powerRule `yaml:"packages"`
		Tools    []powerRule `yaml:"tools"`
	}{})
	if err != nil {
		return nil, err
	}
	t := &powerTable{}
	for _, r := range file.Packages {
		p, err := powerOf(r)
		if err != nil {
			return nil, err
		}
		t.packages = append(t.packages, struct {
			glob  string
			power Power
		}{r.Name, p})
	}
	for _, r := range file.Tools {
		p, err := powerOf(r)
		if err != nil {
			return nil, err
		}
		re, err := regexp.Compile(r.Name)
		if err != nil {
			return nil, fmt.Errorf("servers.yaml: %w", err)
		}
		t.tools = append(t.tools, struct {
			re    *regexp.Regexp
			power Power
		}{re, p})
	}
	return t, nil
})

func powerOf(r powerRule) (p Power, err error) {
	for _, h := range r.Has {
		switch h {
		case "private":
			p |= Private
		case "untrusted":
			p |= Untrusted
		case "out":
			p |= Out
		case "exec":
			p |= Exec
		case "write":
			p |= Write
		default:
			return 0, fmt.Errorf("servers.yaml: %s has %q: use private, untrusted, out, exec or write", r.Name, h)
		}
	}
	return p, nil
}

// PackagePower is what the server in a known package or image can do; 0 when it is
// not known.
func PackagePower(name string) (p Power, err error) {
	t, err := powers()
	if err != nil {
		return 0, err
	}
	for _, r := range t.packages {
		if ok, _ := path.Match(r.glob, strings.ToLower(name)); ok {
			p |= r.power
		}
	}
	return p, nil
}

// ToolPower is what a tool seems to do, from its name and what it says of itself
// (annotations readOnlyHint, destructiveHint, openWorldHint). It is a guess.
func ToolPower(tool Tool) (p Power, err error) {
	t, err := powers()
	if err != nil {
		return 0, err
	}
	words := strings.ToLower(camelCase.ReplaceAllString(tool.Name, "${1}_${2}"))
	words = strings.NewReplacer("-", "_", ".", "_", "/", "_", " ", "_").Replace(words)
	for _, r := range t.tools {
		if r.re.MatchString("_" + words + "_") {
			p |= r.power
		}
	}
	_ = Members(tool.Raw, func(name string, v jsontext.Value, _ int) error { // what cannot be read gives no hint
		if name != "annotations" || v.Kind() != '{' {
			return nil
		}
		return Members(v, func(hint string, v jsontext.Value, _ int) error {
			switch {
			case hint == "openWorldHint" && v.Kind() == 't' && p&(Untrusted|Out) == 0:
				p |= Untrusted
			case hint == "destructiveHint" && v.Kind() == 't':
				p |= Write
			}
			return nil
		})
	})
	return p, nil
}

var camelCase = regexp.MustCompile(`([a-z0-9])([A-Z])`)
