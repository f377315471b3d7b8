package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"bartizan/internal/guard/wire/tape"

	"github.com/google/jsonschema-go/jsonschema"
)

// Bounds of a schema that a request names.
const (
	maxAsked   = 256 << 10 // bytes
	maxNodes   = 10_000    // schemas in it
	maxPlace   = 2 << 10   // bytes of a pointer to one
	maxPattern = 1 << 10   // bytes of a regular expression
	maxProgram = 4 << 10   // instructions of all of them
)

// types are those of JSON Schema.
const types = " null boolean object array number string integer "

// checked is a schema that was read: what it refers to is known, its regular expressions are made.
type checked struct {
	root     *jsonschema.Schema
	old      bool // draft-07: beside a $ref nothing counts
	refs     map[*jsonschema.Schema]*jsonschema.Schema
	patterns map[string]pattern
	ignored  []string                      // keywords that are not enforced, each once
	places   map[string]*jsonschema.Schema // by pointer; while it is read
	nodes    int
	program  int
}

// pattern is a regular expression; nil when Go's have no word for it, and then it is not enforced.
type pattern struct {
	re   *regexp.Regexp
	cost int
}

// read reads a schema that somebody else wrote. Errors name the place and do not quote more than a name.
func read(text string, asOpenAPI bool) (*checked, error) {
	if len(text) > maxAsked {
		return nil, fmt.Errorf("it is longer than %d bytes", maxAsked)
	}
	var t tape.Tape
	if err := t.Read([]byte(text)); err != nil {
		return nil, err
	}
	c := &checked{refs: map[*jsonschema.Schema]*jsonschema.Schema{}, patterns: map[string]pattern{}, places: map[string]*jsonschema.Schema{}}
	if asOpenAPI {
		var o openAPI
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			return nil, errors.New("it is no schema as OpenAPI has them")
		}
		c.root = o.schema()
	} else {
		c.root = new(jsonschema.Schema)
		if err := json.Unmarshal([]byte(text), c.root); err != nil {
			return nil, errors.New("it is no JSON Schema: a keyword has a value of another type")
		}
	}
	c.old = strings.Contains(c.root.Schema, "draft-07") || strings.Contains(c.root.Schema, "draft-06")
	if err := c.check(c.root, ""); err != nil {
		return nil, err
	}
	err := c.follow()
	c.places = nil
	return c, err
}

// kinds says whether the types of a schema exist.
func kinds(s *jsonschema.Schema, at string) error {
	for _, name := range append([]string{s.Type}, s.Types...) {
		if name != "" && (strings.Contains(name, " ") || !strings.Contains(types, " "+name+" ")) {
			return fmt.Errorf("type at %s: %.40q is none of%s", place(at), name, strings.TrimRight(types, " "))
		}
	}
	return nil
}

func place(at string) string {
	if at == "" {
		return "the top"
	}
	return fmt.Sprintf("%.200s", at)
}

// check looks at a schema and all below it.
func (c *checked) check(s *jsonschema.Schema, at string) error {
	if c.nodes++; c.nodes > maxNodes {
		return fmt.Errorf("it has more than %d schemas", maxNodes)
	}
	if s == nil {
		return fmt.Errorf("%s is no schema", place(at))
	}
	if err := kinds(s, at); err != nil {
		return err
	}
	switch {
	case s.DynamicRef != "" || s.DynamicAnchor != "":
		return fmt.Errorf("$dynamicRef at %s: not supported", place(at))
	case s.ID != "" && at != "":
		return fmt.Errorf("$id at %s: a schema inside of a schema is not supported", place(at))
	case len(at) > maxPlace:
		return fmt.Errorf("the names at %s are together longer than %d bytes", place(at), maxPlace)
	}
	c.places[at] = s
	if s.UnevaluatedItems != nil {
		c.ignore("unevaluatedItems")
	}
	if s.UnevaluatedProperties != nil {
		c.ignore("unevaluatedProperties")
	}
	switch { // words of the other draft
	case c.old && (s.DependentRequired != nil || s.DependentSchemas != nil):
		c.ignore("dependentRequired and dependentSchemas, which draft-07 does not have")
	case !c.old && (s.DependencyStrings != nil || s.DependencySchemas != nil):
		c.ignore("dependencies, which draft 2020-12 does not have")
	}
	if s.Ref != "" {
		c.refs[s] = nil
	}
	patterns := slices.Sorted(maps.Keys(s.PatternProperties))
	if s.Pattern != "" {
		patterns = append(patterns, s.Pattern)
	}
	for _, p := range patterns {
		if err := c.compile(p, at); err != nil {
			return err
		}
	}
	return below(s, func(step string, sub *jsonschema.Schema) error { return c.check(sub, at+step) })
}

func (c *checked) ignore(word string) {
	if !slices.Contains(c.ignored, word) {
		c.ignored = append(c.ignored, word)
	}
}

// compile makes a regular expression, unless it has what Go's do not have, such as a look ahead.
func (c *checked) compile(text, at string) error {
	if _, ok := c.patterns[text]; ok {
		return nil
	}
	if len(text) > maxPattern {
		return fmt.Errorf("pattern at %s: longer than %d bytes", place(at), maxPattern)
	}
	p := pattern{}
	if parsed, err := syntax.Parse(text, syntax.Perl); err == nil {
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			return fmt.Errorf("pattern at %s: cannot be compiled", place(at))
		}
		p.cost = len(program.Inst)
		if c.program += p.cost; c.program > maxProgram {
			return fmt.Errorf("patterns: together they are more than %d steps long", maxProgram)
		}
		p.re = regexp.MustCompile(text) // it was parsed above
	} else {
		c.ignore("pattern")
	}
	c.patterns[text] = p
	return nil
}

// follow finds what the references refer to: places of the same schema, and nothing else.
func (c *checked) follow() error {
	for s := range c.refs {
		to, err := c.find(s.Ref)
		if err != nil {
			return fmt.Errorf("$ref %.100q: %w", s.Ref, err)
		}
		c.refs[s] = to
	}
	return nil
}

func (c *checked) find(ref string) (*jsonschema.Schema, error) {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, errors.New("it is not in this schema, and nothing is fetched")
	}
	path, err := url.PathUnescape(path)
	if err != nil || path != "" && path[0] != '/' {
		return nil, errors.New("only places such as #/$defs/name are supported")
	}
	s := c.places[path]
	if s == nil {
		return nil, errors.New("there is no such place in it")
	}
	return s, nil
}

// below visits the schemas directly in a schema, with their places.
func below(s *jsonschema.Schema, visit func(step string, sub *jsonschema.Schema) error) error {
	for _, one := range []struct {
		step string
		sub  *jsonschema.Schema
	}{{"/items", s.Items}, {"/additionalItems", s.AdditionalItems}, {"/contains", s.Contains}, {"/unevaluatedItems", s.UnevaluatedItems},
		{"/additionalProperties", s.AdditionalProperties}, {"/propertyNames", s.PropertyNames}, {"/unevaluatedProperties", s.UnevaluatedProperties},
		{"/not", s.Not}, {"/if", s.If}, {"/then", s.Then}, {"/else", s.Else}, {"/contentSchema", s.ContentSchema}} {
		if one.sub == nil {
			continue
		}
		if err := visit(one.step, one.sub); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		step string
		subs []*jsonschema.Schema
	}{{"/items", s.ItemsArray}, {"/prefixItems", s.PrefixItems}, {"/allOf", s.AllOf}, {"/anyOf", s.AnyOf}, {"/oneOf", s.OneOf}} {
		for i, sub := range list.subs {
			if err := visit(list.step+"/"+strconv.Itoa(i), sub); err != nil {
				return err
			}
		}
	}
	for _, named := range []struct {
		step string
		subs map[string]*jsonschema.Schema
	}{{"/$defs", s.Defs}, {"/definitions", s.Definitions}, {"/properties", s.Properties}, {"/patternProperties", s.PatternProperties},
		{"/dependentSchemas", s.DependentSchemas}, {"/dependencies", s.DependencySchemas}} {
		for _, name := range slices.Sorted(maps.Keys(named.subs)) {
			step := named.step + "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
			if err := visit(step, named.subs[name]); err != nil {
				return err
			}
		}
	}
	return nil
}
