package conf

import (
	"errors"
	"fmt"

	"bartizan/internal/safe"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds nesting. The parser recurses, and a stack overflow cannot
// be recovered from.
const maxDepth = 64

// Parse checks that data is one YAML document of the plain kind (no anchors,
// aliases, merge keys, tags, duplicate keys) and returns it undecoded. An
// empty document gives an empty tree. name stands for the file in errors.
func Parse(name string, data []byte) (Raw, error) {
	if len(data) > MaxFile {
		return nil, &Error{File: name, Msg: "file is too large",
			Err: &safe.TooLargeError{What: name, Max: MaxFile}}
	}
	var file *ast.File
	err := safe.Recover("yaml parser", nil, func() (err error) {
		tokens := lexer.Tokenize(string(data))
		if err := checkDepth(name, tokens); err != nil {
			return err
		}
		// Duplicates are looked for below, with a better message.
		file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
		return err
	})
	if err != nil {
		return nil, syntaxError(name, err)
	}
	if len(file.Docs) > 1 {
		return nil, &Error{File: name, Line: lineOf(file.Docs[1]),
			Msg: "more than one document: remove the `---` line and what follows, or split the file"}
	}
	t := &Tree{file: name, line: 1}
	if len(file.Docs) == 1 && file.Docs[0].Body != nil {
		t.node = file.Docs[0].Body
		t.line = max(lineOf(t.node), 1)
		c := &checker{file: name}
		c.node(t.node, "")
		if err := errors.Join(c.errs...); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func syntaxError(name string, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var syn yaml.Error
	if errors.As(err, &syn) {
		e := &Error{File: name, Msg: "not valid YAML: " + safe.Clean(syn.GetMessage(), 200), Err: err}
		if tk := syn.GetToken(); tk != nil && tk.Position != nil {
			e.Line = tk.Position.Line
		}
		return e
	}
	return &Error{File: name, Msg: "not valid YAML: " + safe.Clean(err.Error(), 200), Err: err}
}

// checkDepth bounds what makes the parser recurse: open brackets, and block
// entries stacked on one line ("- - - -"). Nesting by indentation is bounded
// by the file size and checked on the tree.
func checkDepth(name string, tokens token.Tokens) error {
	flow, stacked, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			line, stacked = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			if flow == 0 {
				stacked++
			}
		}
		if flow > maxDepth || stacked > maxDepth {
			return &Error{File: name, Line: line, Msg: fmt.Sprintf("nested deeper than %d levels", maxDepth)}
		}
	}
	return nil
}

// checker refuses the parts of YAML that surprise people or blow up.
type checker struct {
	file  string
	errs  []error
	depth int
}

func (c *checker) fail(n ast.Node, format string, args ...any) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, &Error{File: c.file, Line: lineOf(n), Msg: fmt.Sprintf(format, args...)})
	}
}

func (c *checker) node(n ast.Node, path string) {
	c.depth++
	defer func() { c.depth-- }()
	if c.depth > maxDepth {
		c.fail(n, "nested deeper than %d levels", maxDepth)
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		c.mapping(n.Values, path)
	case *ast.MappingValueNode:
		c.mapping([]*ast.MappingValueNode{n}, path)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			c.node(v, fmt.Sprintf("%s[%d]", path, i))
		}
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		c.fail(n, "anchors, aliases and merge keys are not supported: write the value out%s", inPath(path))
	case *ast.TagNode:
		c.fail(n, "the tag %s is not supported: remove it%s", safe.Clean(n.Start.Value, 40), inPath(path))
	case *ast.DirectiveNode:
		c.fail(n, "YAML directives are not supported: remove the line")
	}
}

func (c *checker) mapping(values []*ast.MappingValueNode, path string) {
	seen := make(map[string]int, len(values))
	for _, mv := range values {
		key, err := keyOf(mv)
		if err != "" {
			c.fail(mv.Key, "%s%s", err, inPath(path))
			continue
		}
		if first, dup := seen[key]; dup {
			c.fail(mv.Key, "duplicate key %q%s: it is already set in line %d", key, inPath(path), first)
			continue
		}
		seen[key] = lineOf(mv.Key)
		c.node(mv.Value, join(path, key))
	}
}

// keyOf returns a mapping key as text, or what is wrong with it.
func keyOf(mv *ast.MappingValueNode) (key, problem string) {
	switch k := mv.Key.(type) {
	case *ast.MergeKeyNode:
		return "", "anchors, aliases and merge keys are not supported: write the value out"
	case *ast.StringNode:
		return k.Value, ""
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return k.GetToken().Value, ""
	}
	return "", "a key must be plain text"
}

func isNull(n ast.Node) bool {
	if n == nil {
		return true
	}
	_, null := n.(*ast.NullNode)
	return null
}

// lineOf finds the line where a node begins for a reader: a mapping begins
// at its first key, not at its first colon.
func lineOf(n ast.Node) int {
	switch v := n.(type) {
	case nil:
		return 0
	case *ast.DocumentNode:
		if v.Start != nil {
			return v.Start.Position.Line
		}
		return lineOf(v.Body)
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return lineOf(v.Values[0])
		}
	case *ast.MappingValueNode:
		return lineOf(v.Key)
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line
	}
	return 0
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func inPath(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf(" in %q", path)
}
