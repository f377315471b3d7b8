package sigma

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits on rule files. An alias is followed, and counts as often as it is used.
const (
	maxFile      = 1 << 20
	maxDocuments = 1000
	maxItems     = 20000 // values, fields and searches of one rule
	maxText      = 64 << 10
	maxNodes     = 100000 // YAML nodes of one document with its aliases written out
	maxDepth     = 32
)

// scalar is one value of a rule.
type scalar struct {
	text   string
	null   bool
	number bool
	raw    string // as written, when that differs from text
}

// item is one field of a search with its modifiers.
type item struct {
	field     string // "" searches all values
	modifiers []string
	values    []scalar
	line      int
}

// search is one named part of detection: alternatives of items that all match.
type search struct {
	name string
	alts [][]item
}

// document is one rule or correlation as written.
type document struct {
	file, id, name, title string
	line                  int
	status, level         string
	author                string
	tags                  []string
	logsource             Logsource
	searches              []search
	conditions            []string
	conditionLine         int
	timeframe             string
	correlation           *yaml.Node
}

// lineError is an error with its line.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

func at(n *yaml.Node, format string, args ...any) error {
	return &lineError{n.Line, fmt.Errorf(format, args...)}
}

// parseFile reads the documents of one file. Collections of version 1 (action:
// global, reset, repeat) are merged.
func parseFile(file string, data []byte) (docs []document, problems []Problem) {
	bad := func(line int, id string, err error) {
		var le *lineError
		if errors.As(err, &le) && le.line > 0 {
			line = le.line
		}
		problems = append(problems, Problem{File: file, Line: line, Rule: id, Why: err.Error()})
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var c collection
	for n := 0; ; n++ {
		var root yaml.Node
		err := dec.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			bad(yamlLine(err), "", errors.New("not YAML: "+strings.TrimPrefix(err.Error(), "yaml: ")))
			break
		}
		if n >= maxDocuments {
			bad(root.Line, "", fmt.Errorf("more than %d documents in one file", maxDocuments))
			break
		}
		budget := maxNodes
		if err := expand(&root, 0, &budget); err != nil {
			bad(root.Line, "", err)
			continue
		}
		m := mapping(&root)
		if m == nil {
			if len(root.Content) == 1 && root.Content[0].Tag == "!!null" {
				continue // an empty document
			}
			bad(root.Line, "", errors.New("a rule is a mapping (title:, logsource:, detection:)"))
			continue
		}
		m, err = c.apply(m)
		if err != nil {
			bad(root.Line, "", err)
			continue
		}
		if m == nil {
			continue
		}
		d := document{file: file, line: m.Line}
		if err := d.read(m); err != nil {
			bad(m.Line, d.id, err)
			continue
		}
		docs = append(docs, d)
	}
	return docs, problems
}

func yamlLine(err error) int {
	line := 0
	_, rest, ok := strings.Cut(err.Error(), "line ")
	if ok {
		_, _ = fmt.Sscanf(rest, "%d", &line) // no number: line unknown
	}
	return line
}

// expand writes out aliases in place. The budget stops documents that grow by
// it (and aliases that contain themselves end at the depth).
func expand(n *yaml.Node, depth int, budget *int) error {
	if *budget--; *budget < 0 {
		return at(n, "a document of more than %d values with its aliases", maxNodes)
	}
	if depth > maxDepth {
		return at(n, "nested deeper than %d", maxDepth)
	}
	for i, c := range n.Content {
		if c.Kind == yaml.AliasNode {
			own := *c.Alias
			own.Content = append([]*yaml.Node(nil), own.Content...)
			c = &own
			n.Content[i] = c
		}
		if err := expand(c, depth+1, budget); err != nil {
			return err
		}
	}
	return nil
}

// mapping returns a document's mapping, or nil when it is none.
func mapping(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	return n
}

// get returns the value of a key of a mapping, or nil.
func get(m *yaml.Node, key string) *yaml.Node {
	for i := 0; m != nil && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func text(m *yaml.Node, key string, limit int) (string, error) {
	n := get(m, key)
	if n == nil || n.Tag == "!!null" {
		return "", nil
	}
	if n.Kind != yaml.ScalarNode {
		return "", at(n, "%s: want one value", key)
	}
	if len(n.Value) > limit {
		return "", at(n, "%s: %d bytes, at most %d", key, len(n.Value), limit)
	}
	return n.Value, nil
}

// texts reads a value or a list of values.
func texts(n *yaml.Node, limit int) (out []string, err error) {
	if n == nil {
		return nil, nil
	}
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	for _, e := range list {
		if e.Kind != yaml.ScalarNode || len(e.Value) > maxText {
			return nil, at(e, "want short text, or a list of it")
		}
		out = append(out, e.Value)
	}
	if len(out) > limit {
		return nil, at(n, "%d entries, at most %d", len(out), limit)
	}
	return out, nil
}

func (d *document) read(m *yaml.Node) (err error) {
	for _, f := range []struct {
		key string
		to  *string
		max int
	}{{"id", &d.id, 128}, {"name", &d.name, 128}, {"title", &d.title, 1024}, {"status", &d.status, 32}, {"level", &d.level, 32}, {"author", &d.author, 4096}} {
		if *f.to, err = text(m, f.key, f.max); err != nil {
			return err
		}
	}
	d.status, d.level = strings.ToLower(d.status), strings.ToLower(d.level)
	if d.tags, err = texts(get(m, "tags"), 256); err != nil {
		return err
	}
	if d.id == "" {
		sum := sha256.Sum256([]byte(d.file + "\x00" + d.title))
		d.id = "sigma-" + hex.EncodeToString(sum[:8])
	}
	if strings.ContainsFunc(d.id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return at(get(m, "id"), "id: want a UUID")
	}
	if d.title == "" {
		return at(m, "title is missing")
	}
	if d.correlation = get(m, "correlation"); d.correlation != nil {
		return nil
	}
	ls := mapping(get(m, "logsource"))
	if ls == nil {
		return at(m, "logsource is missing: product, category or service")
	}
	for _, f := range []struct {
		key string
		to  *string
	}{{"product", &d.logsource.Product}, {"category", &d.logsource.Category}, {"service", &d.logsource.Service}} {
		if *f.to, err = text(ls, f.key, 128); err != nil {
			return err
		}
	}
	d.logsource = d.logsource.lower()
	if d.logsource == (Logsource{}) {
		return at(ls, "logsource names neither product, category nor service")
	}
	det := mapping(get(m, "detection"))
	if det == nil && get(m, "filter") != nil {
		return at(m, "filters (filter: in a file of its own) are not supported: write the exception into the rule")
	}
	if det == nil {
		return at(m, "detection is missing")
	}
	return d.detection(det)
}

func (d *document) detection(det *yaml.Node) (err error) {
	budget := maxItems
	for i := 0; i+1 < len(det.Content); i += 2 {
		key, v := det.Content[i].Value, det.Content[i+1]
		switch key {
		case "condition":
			d.conditionLine = det.Content[i].Line
			if d.conditions, err = texts(v, 64); err != nil {
				return err
			}
		case "timeframe":
			if d.timeframe, err = text(det, key, 32); err != nil {
				return err
			}
		default:
			s := search{name: key}
			if err := s.read(v, &budget); err != nil {
				return err
			}
			d.searches = append(d.searches, s)
		}
	}
	if len(d.conditions) == 0 {
		return at(det, "detection has no condition")
	}
	if len(d.searches) == 0 {
		return at(det, "detection has no search")
	}
	return nil
}

// read takes a mapping (all fields), a list of mappings (any of them), or a
// list of keywords (any of them); lists may mix both.
func (s *search) read(v *yaml.Node, budget *int) error {
	switch v.Kind {
	case yaml.MappingNode:
		return s.alternative(v, budget)
	case yaml.ScalarNode:
		return s.keywords([]*yaml.Node{v}, v, budget)
	case yaml.SequenceNode:
		var words []*yaml.Node
		for _, e := range v.Content {
			switch e.Kind {
			case yaml.MappingNode:
				if err := s.alternative(e, budget); err != nil {
					return err
				}
			case yaml.ScalarNode:
				words = append(words, e)
			default:
				return at(e, "search %.60q: a list holds mappings or keywords", s.name)
			}
		}
		if len(words) > 0 {
			return s.keywords(words, v, budget)
		}
		if len(s.alts) > 0 {
			return nil
		}
	}
	return at(v, "search %.60q is empty", s.name)
}

func (s *search) keywords(words []*yaml.Node, v *yaml.Node, budget *int) error {
	it := item{line: v.Line}
	if err := it.read(words, budget); err != nil {
		return err
	}
	s.alts = append(s.alts, []item{it})
	return nil
}

func (s *search) alternative(m *yaml.Node, budget *int) error {
	var all []item
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, v := m.Content[i], m.Content[i+1]
		parts := strings.Split(key.Value, "|")
		it := item{field: parts[0], modifiers: parts[1:], line: key.Line}
		if len(it.modifiers) > 16 || len(it.field) > 512 {
			return at(key, "field name or its modifiers are too long")
		}
		list := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			list = v.Content
		}
		if err := it.read(list, budget); err != nil {
			return err
		}
		if len(it.values) == 0 {
			return at(key, "field %.60q has no value", it.field)
		}
		all = append(all, it)
	}
	if len(all) == 0 {
		return at(m, "search %.60q is empty", s.name)
	}
	s.alts = append(s.alts, all)
	return nil
}

func (it *item) read(list []*yaml.Node, budget *int) error {
	for _, n := range list {
		if n.Kind != yaml.ScalarNode {
			return at(n, "field %.60q: want values, not a mapping or a list in a list", it.field)
		}
		if *budget--; *budget < 0 || len(n.Value) > maxText {
			return at(n, "a rule of more than %d values, or a value of more than %d bytes", maxItems, maxText)
		}
		it.values = append(it.values, scalarOf(n))
	}
	return nil
}

func scalarOf(n *yaml.Node) scalar {
	s := scalar{text: n.Value, raw: n.Value}
	switch n.Tag {
	case "!!null":
		s.null = true
	case "!!int", "!!float":
		s.number = true
		var i int64
		if n.Tag == "!!int" && n.Decode(&i) == nil {
			s.text = fmt.Sprint(i)
		} else {
			s.text = canonicalNumber(n.Value)
		}
	case "!!bool":
		s.text = strings.ToLower(n.Value)
	}
	return s
}

// collection merges the documents of a version 1 rule collection.
type collection struct {
	global, last *yaml.Node
}

// apply returns the document to read, or nil for one that only sets a base.
func (c *collection) apply(m *yaml.Node) (*yaml.Node, error) {
	action := get(m, "action")
	switch {
	case action == nil:
		m = merge(c.global, m)
	case action.Value == "global":
		c.global = merge(c.global, m)
		return nil, nil
	case action.Value == "reset":
		c.global = nil
		return nil, nil
	case action.Value == "repeat":
		if c.last == nil {
			return nil, at(action, "action repeat: nothing to repeat before it")
		}
		m = merge(c.last, m)
	default:
		return nil, at(action, "unknown action %.40q (global, reset, repeat)", action.Value)
	}
	c.last = m
	return m, nil
}

// merge lays over on base, mappings key by key, without changing either.
func merge(base, over *yaml.Node) *yaml.Node {
	if base == nil || base.Kind != yaml.MappingNode || over.Kind != yaml.MappingNode {
		return over
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: over.Tag, Line: over.Line}
	for i := 0; i+1 < len(base.Content); i += 2 {
		k := base.Content[i]
		if k.Value == "action" {
			continue
		}
		v := base.Content[i+1]
		if o := get(over, k.Value); o != nil {
			v = merge(v, o)
		}
		out.Content = append(out.Content, k, v)
	}
	for i := 0; i+1 < len(over.Content); i += 2 {
		if k := over.Content[i]; k.Value != "action" && get(base, k.Value) == nil {
			out.Content = append(out.Content, k, over.Content[i+1])
		}
	}
	return out
}
