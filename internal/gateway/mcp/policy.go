package mcp

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"sync"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxLines = 1000 // of one agent
	maxWhen  = 4096
	maxCost  = 2_000_000 // a search through 1 MiB of text costs about 100,000
)

var language = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("args", cel.MapType(cel.StringType, cel.DynType)), cel.Variable("tool", cel.StringType),
		cel.Variable("server", cel.StringType), cel.Variable("agent", cel.StringType),
		cel.Function("under", cel.Overload("under_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(name, folder ref.Val) ref.Val {
				n, ok := name.Value().(string)
				f, both := folder.Value().(string)
				return types.Bool(ok && both && under(n, f))
			}))),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxWhen), cel.ParserRecursionLimit(64), cel.RegexProgramSizeLimit(512))
})

// under tells whether a file is a folder or in it, as the file system reads names: /srv/a/../../etc is not under /srv/a. The
// name may be a URL (file:). What is not absolute, or what some servers read in another way, is under nothing.
func under(name, folder string) bool {
	if rest, ok := strings.CutPrefix(name, "file://"); ok {
		rest = strings.TrimPrefix(rest, "localhost")
		plain, err := url.PathUnescape(rest)
		if err != nil || strings.ContainsAny(rest, "?#") {
			return false
		}
		name = plain
	}
	low := strings.ToLower(name)
	for _, odd := range []string{"\x00", "%2e", "%2f", "%5c", "%25"} {
		if strings.Contains(low, odd) {
			return false
		}
	}
	n, f := path.Clean(strings.ReplaceAll(name, "\\", "/")), path.Clean(strings.ReplaceAll(folder, "\\", "/"))
	if !rooted(n) || !rooted(f) {
		return false
	}
	return n == f || strings.HasPrefix(n, strings.TrimSuffix(f, "/")+"/")
}

// rooted tells whether a name begins at the root, or at a drive's.
func rooted(name string) bool {
	return strings.HasPrefix(name, "/") || len(name) > 2 && name[1:3] == ":/"
}

// policy is what one agent may call.
type policy struct {
	agent string
	lines []policyLine
	rest  Do
}

type policyLine struct {
	Tool
	when cel.Program // nil: always
}

// compile prepares an agent's lines.
func compile(agent string, a Agent) (*policy, error) {
	p := &policy{agent: agent, rest: a.Else}
	if p.rest == "" {
		p.rest = Refuse
	}
	if len(a.Tools) > maxLines {
		return nil, fmt.Errorf("agents.%s: %d lines, the limit is %d", agent, len(a.Tools), maxLines)
	}
	env, err := language()
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	for i, t := range a.Tools {
		if t.Do == "" {
			t.Do = Pass
		}
		line := policyLine{Tool: t}
		if t.When != "" {
			ast, iss := env.Compile(t.When)
			if iss.Err() != nil {
				return nil, fmt.Errorf("agents.%s.tools[%d].when: %w", agent, i, iss.Err())
			}
			if ast.OutputType() != cel.BoolType {
				return nil, fmt.Errorf("agents.%s.tools[%d].when: the expression must be true or false, not %s", agent, i, ast.OutputType())
			}
			if line.when, err = env.Program(ast, cel.CostLimit(maxCost)); err != nil {
				return nil, fmt.Errorf("agents.%s.tools[%d].when: %w", agent, i, err)
			}
		}
		p.lines = append(p.lines, line)
	}
	return p, nil
}

func (l *policyLine) fits(server, tool string) bool {
	return (l.Server == "" || like(l.Server, server)) && like(l.Tool.Tool, tool)
}

// like compares a name with a pattern. A / is a letter like any other: names of tools may have
// it, and a * that stopped there would let "delete_all/now" past a line that refuses "delete_*".
func like(pattern, name string) bool {
	ok, _ := path.Match(strings.ReplaceAll(pattern, "/", "\x1f"), strings.ReplaceAll(name, "/", "\x1f")) // Config.Check has tried the pattern
	return ok
}

// mentioned says whether a tool may be called with any arguments at all: one that may
// not is not shown to the agent.
func (p *policy) mentioned(server, tool string) bool {
	for i := range p.lines {
		if l := &p.lines[i]; l.fits(server, tool) {
			if l.Do != Refuse {
				return true
			}
			if l.when == nil {
				return false
			}
		}
	}
	return p.rest != Refuse
}

// decide says what happens to a call, and which line says so. A condition that
// cannot be evaluated (an argument is missing, too costly) refuses: nothing may
// pass because it could not be looked at.
//
// properties are the arguments that the tool's schema has.
func (p *policy) decide(server, tool string, args jsontext.Value, properties []string) (Do, string) {
	var bag map[string]any
	for i := range p.lines {
		l := &p.lines[i]
		if !l.fits(server, tool) {
			continue
		}
		if l.when != nil {
			if bag == nil {
				var why string
				if bag, why = read(args, properties); why != "" {
					return Refuse, why
				}
			}
			v, _, err := l.when.Eval(map[string]any{"args": bag, "tool": tool, "server": server, "agent": p.agent})
			if err != nil {
				return Refuse, fmt.Sprintf("the condition of line %d cannot be evaluated: %s", i+1, safe.Clean(err.Error(), 100))
			}
			if v.Value() != true {
				continue
			}
		}
		return l.Do, fmt.Sprintf("line %d of the policy of agent %s", i+1, p.agent)
	}
	return p.rest, "no line of the policy of agent " + p.agent + " allows it"
}

// read makes of arguments what a condition looks at, or says why it cannot: readers that
// take Path for path, or 9007199254740993 for the number before it, are given another
// value than the condition saw.
func read(args jsontext.Value, properties []string) (bag map[string]any, why string) {
	bag = map[string]any{}
	if args == nil {
		return bag, ""
	}
	if err := json.Unmarshal(args, &bag); err != nil {
		return nil, "the arguments cannot be read"
	}
	for name := range bag {
		for _, p := range properties {
			if p != name && strings.EqualFold(p, name) {
				return nil, "an argument differs from one that the tool has by case only"
			}
		}
	}
	return bag, mcp.Ambiguous(args)
}
