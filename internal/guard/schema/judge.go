package schema

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"
)

// maxSteps bounds what it takes to hold a text against a schema. A library's validator has no
// such bound: with a schema that refers to itself twice, the time doubles with every level.
const maxSteps = 1_000_000

var errSteps = errors.New("it takes too long: the schema has too many ways to read it")

// judge holds one value against a checked schema. It is used once.
type judge struct {
	c     *checked
	steps int
	depth int
	err   error
}

// fits says whether a value is of the schema. The error is errSteps.
func (c *checked) fits(v any) (bool, error) {
	j := judge{c: c, steps: maxSteps}
	ok := j.value(c.root, v)
	return ok && j.err == nil, j.err
}

// pay counts n steps; false: there are none left.
func (j *judge) pay(n int) bool {
	if j.steps -= n; j.steps < 0 {
		j.err = errSteps
	}
	return j.err == nil
}

// maxDepth of references in references: some never end.
const maxDepth = 1000

func (j *judge) value(s *jsonschema.Schema, v any) bool {
	if !j.pay(1) {
		return false
	}
	if j.depth++; j.depth > maxDepth {
		j.err = errSteps
	}
	ok := j.err == nil && j.all(s, v)
	j.depth--
	return ok
}

func (j *judge) all(s *jsonschema.Schema, v any) bool {
	if s.Ref != "" {
		if !j.value(j.c.refs[s], v) {
			return false
		}
		if j.c.old {
			return true
		}
	}
	if !kind(s, v) || !j.fixed(s, v) {
		return false
	}
	switch v := v.(type) {
	case float64:
		if !number(s, v) {
			return false
		}
	case string:
		if !j.text(s, v) {
			return false
		}
	case []any:
		if !j.array(s, v) {
			return false
		}
	case map[string]any:
		if !j.object(s, v) {
			return false
		}
	}
	return j.logic(s, v)
}

// kind compares the type.
func kind(s *jsonschema.Schema, v any) bool {
	if s.Type == "" && s.Types == nil {
		return true
	}
	name := ""
	whole := false
	switch v := v.(type) {
	case nil:
		name = "null"
	case bool:
		name = "boolean"
	case float64:
		name, whole = "number", v == math.Trunc(v)
	case string:
		name = "string"
	case []any:
		name = "array"
	case map[string]any:
		name = "object"
	}
	is := func(t string) bool { return t == name || whole && t == "integer" }
	return s.Type != "" && is(s.Type) || slices.ContainsFunc(s.Types, is)
}

// fixed compares enum and const.
func (j *judge) fixed(s *jsonschema.Schema, v any) bool {
	if s.Const != nil && !j.same(*s.Const, v) {
		return false
	}
	return s.Enum == nil || slices.ContainsFunc(s.Enum, func(e any) bool { return j.same(e, v) })
}

// same compares two values.
func (j *judge) same(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && len(a) == len(b) && j.pay(16*len(a)) && reflect.DeepEqual(a, b)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && len(a) == len(b) && j.pay(16*len(a)) && reflect.DeepEqual(a, b)
	}
	return j.pay(1) && a == b
}

func number(s *jsonschema.Schema, n float64) bool {
	switch {
	case s.Minimum != nil && n < *s.Minimum, s.Maximum != nil && n > *s.Maximum,
		s.ExclusiveMinimum != nil && n <= *s.ExclusiveMinimum, s.ExclusiveMaximum != nil && n >= *s.ExclusiveMaximum:
		return false
	case s.MultipleOf != nil && *s.MultipleOf != 0:
		_, rest := math.Modf(n / *s.MultipleOf)
		return rest == 0
	}
	return true
}

func (j *judge) text(s *jsonschema.Schema, t string) bool {
	if s.MinLength != nil || s.MaxLength != nil {
		n := utf8.RuneCountInString(t)
		if !j.pay(len(t)/16) || s.MinLength != nil && n < *s.MinLength || s.MaxLength != nil && n > *s.MaxLength {
			return false
		}
	}
	if s.Pattern == "" {
		return true
	}
	re := j.c.patterns[s.Pattern]
	return re.re == nil || j.matches(re, t)
}

func (j *judge) matches(p pattern, t string) bool {
	return j.pay(1+p.cost/4*(len(t)+1)/2) && p.re.MatchString(t)
}

func (j *judge) array(s *jsonschema.Schema, list []any) bool {
	if s.MinItems != nil && len(list) < *s.MinItems || s.MaxItems != nil && len(list) > *s.MaxItems {
		return false
	}
	first, rest := s.PrefixItems, s.Items
	if s.ItemsArray != nil { // draft-07
		first, rest = s.ItemsArray, s.AdditionalItems
	}
	for i, v := range list {
		switch {
		case i < len(first):
			if !j.value(first[i], v) {
				return false
			}
		case rest != nil && !j.value(rest, v):
			return false
		}
	}
	return j.contains(s, list) && (!s.UniqueItems || j.unique(list))
}

func (j *judge) contains(s *jsonschema.Schema, list []any) bool {
	if s.Contains == nil {
		return true
	}
	n := 0
	for _, v := range list {
		if j.value(s.Contains, v) {
			n++
		}
	}
	least := 1
	if s.MinContains != nil {
		least = *s.MinContains
	}
	return j.err == nil && n >= least && (s.MaxContains == nil || n <= *s.MaxContains)
}

// unique compares items as they are written with sorted keys.
func (j *judge) unique(list []any) bool {
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		b, err := json.Marshal(v)
		if err != nil || !j.pay(1+len(b)/8) || seen[string(b)] {
			return false
		}
		seen[string(b)] = true
	}
	return true
}

func (j *judge) object(s *jsonschema.Schema, o map[string]any) bool {
	if s.MinProperties != nil && len(o) < *s.MinProperties || s.MaxProperties != nil && len(o) > *s.MaxProperties || !j.needed(s.Required, o) {
		return false
	}
	needed := s.DependentRequired
	if j.c.old { // each draft has a word of its own and ignores the other's
		needed = s.DependencyStrings
	}
	for name, needs := range needed {
		if _, is := o[name]; is && !j.needed(needs, o) {
			return false
		}
	}
	for name, v := range o {
		if !j.property(s, name, v) {
			return false
		}
	}
	return true
}

func (j *judge) needed(names []string, o map[string]any) bool {
	for _, name := range names {
		if _, is := o[name]; !is || !j.pay(1) {
			return false
		}
	}
	return true
}

func (j *judge) property(s *jsonschema.Schema, name string, v any) bool {
	if s.PropertyNames != nil && !j.value(s.PropertyNames, name) {
		return false
	}
	known := false
	if sub := s.Properties[name]; sub != nil {
		if known = true; !j.value(sub, v) {
			return false
		}
	}
	for text, sub := range s.PatternProperties {
		switch p := j.c.patterns[text]; {
		case p.re == nil:
			known = true // nobody knows; what is not enforced forbids nothing
		case j.matches(p, name):
			if known = true; !j.value(sub, v) {
				return false
			}
		}
	}
	return j.err == nil && (known || s.AdditionalProperties == nil || j.value(s.AdditionalProperties, v))
}

func (j *judge) logic(s *jsonschema.Schema, v any) bool {
	for _, sub := range s.AllOf {
		if !j.value(sub, v) {
			return false
		}
	}
	if s.AnyOf != nil && !slices.ContainsFunc(s.AnyOf, func(sub *jsonschema.Schema) bool { return j.value(sub, v) }) {
		return false
	}
	if s.OneOf != nil {
		n := 0
		for _, sub := range s.OneOf {
			if j.value(sub, v) {
				n++
			}
		}
		if n != 1 {
			return false
		}
	}
	if s.Not != nil && j.value(s.Not, v) {
		return false
	}
	if s.If != nil {
		next := s.Else
		if j.value(s.If, v) {
			next = s.Then
		}
		if next != nil && !j.value(next, v) {
			return false
		}
	}
	o, is := v.(map[string]any)
	if !is {
		return j.err == nil
	}
	needed := s.DependentSchemas
	if j.c.old {
		needed = s.DependencySchemas
	}
	for name, sub := range needed {
		if _, is := o[name]; is && !j.value(sub, v) {
			return false
		}
	}
	return j.err == nil
}
