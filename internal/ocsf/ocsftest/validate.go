package ocsftest

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Check fails the test with everything that is wrong with an event.
func (s *Schema) Check(t testing.TB, event []byte) {
	t.Helper()
	if err := s.Validate(event); err != nil {
		t.Errorf("not valid OCSF: %v\n%s", err, event)
	}
}

// Validate returns everything that is wrong with an event, which is one JSON
// object.
func (s *Schema) Validate(event []byte) error {
	if !jsontext.Value(event).IsValid() { // double names and bad UTF-8, too
		return errors.New("event is not valid JSON (RFC 7493)")
	}
	d := stdjson.NewDecoder(bytes.NewReader(event))
	d.UseNumber() // a float cannot hold every long_t
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("event is not JSON: %w", err)
	}
	o, ok := v.(map[string]any)
	if !ok {
		return errors.New("event is not an object")
	}
	uid, ok := integer(o["class_uid"])
	class := s.classes[uid]
	if !ok || class == nil {
		return fmt.Errorf("class_uid %v is no class", o["class_uid"])
	}
	x := &checker{schema: s, profiles: map[string]bool{"": true}}
	meta, _ := o["metadata"].(map[string]any)
	list, _ := meta["profiles"].([]any)
	for _, p := range list {
		name, _ := p.(string)
		x.profiles[name] = true
		if !class.has(name) && name != "datetime" {
			x.fail("metadata.profiles", "%s does not have profile %q", class.name, name)
		}
	}
	x.object("", class, o)
	activity, _ := integer(o["activity_id"])
	if n, _ := integer(o["type_uid"]); n != uid*100+activity {
		x.fail("type_uid", "%d is not class_uid × 100 + activity_id", n)
	}
	if n, _ := integer(o["category_uid"]); n != class.category {
		x.fail("category_uid", "%d, the class is of %d", n, class.category)
	}
	return errors.Join(x.errs...)
}

// has says whether some attribute of the class comes with a profile.
func (c *shape) has(profile string) bool {
	for _, a := range c.attrs {
		if a.profile == profile {
			return true
		}
	}
	return false
}

type checker struct {
	schema   *Schema
	profiles map[string]bool
	errs     []error
}

func (x *checker) fail(at, format string, args ...any) {
	x.errs = append(x.errs, fmt.Errorf("%s: %s", strings.TrimPrefix(at, "."), fmt.Sprintf(format, args...)))
}

func (x *checker) object(at string, s *shape, o map[string]any) {
	for name, a := range s.attrs {
		if _, ok := o[name]; !ok && a.required && x.profiles[a.profile] {
			x.fail(at+"."+name, "required by %s", s.name)
		}
	}
	for name, v := range o {
		x.attribute(at+"."+name, s, name, v, o)
	}
	present := func(list []string) (n int) {
		for _, name := range list {
			if o[name] != nil {
				n++
			}
		}
		return n
	}
	if len(s.atLeast) > 0 && present(s.atLeast) == 0 {
		x.fail(at, "%s needs at least one of %s", s.name, strings.Join(s.atLeast, ", "))
	}
	if len(s.justOne) > 0 && present(s.justOne) != 1 {
		x.fail(at, "%s needs exactly one of %s", s.name, strings.Join(s.justOne, ", "))
	}
}

func (x *checker) attribute(at string, s *shape, name string, v any, o map[string]any) {
	a := s.attrs[name]
	if base, ok := strings.CutSuffix(name, "_dt"); ok && a == nil && s.attrs[base] != nil && s.attrs[base].typ == "timestamp_t" {
		if !x.profiles["datetime"] {
			x.fail(at, "needs profile datetime")
		}
		x.value(at, &attribute{typ: "datetime_t"}, v)
		return
	}
	switch {
	case a == nil:
		x.fail(at, "%s has no such attribute", s.name)
		return
	case !x.profiles[a.profile]:
		x.fail(at, "needs profile %s", a.profile)
	case a.deprecated:
		x.fail(at, "is deprecated")
	}
	list, isList := v.([]any)
	if a.array != isList {
		x.fail(at, "array: %v, should be %v", isList, a.array)
		return
	}
	if !a.array {
		x.value(at, a, v)
		x.caption(at, s, a, v, o)
		return
	}
	for i, e := range list {
		x.value(at+"["+strconv.Itoa(i)+"]", a, e)
	}
}

// caption checks that the attribute beside a number says what the number means.
func (x *checker) caption(at string, s *shape, a *attribute, v any, o map[string]any) {
	if a.sibling == "" || s.attrs[a.sibling] == nil || len(a.enum) == 0 {
		return
	}
	value, _ := v.(stdjson.Number)
	beside, there := o[a.sibling]
	switch {
	case value == "99":
		if text, _ := beside.(string); text == "" {
			x.fail(at, "99 needs %s", a.sibling)
		}
	case there && beside != a.enum[string(value)]:
		x.fail(at, "%s is %q, the schema's caption is %q", a.sibling, beside, a.enum[string(value)])
	}
}

func (x *checker) value(at string, a *attribute, v any) {
	if shape, ok := x.schema.objects[a.typ]; ok {
		o, ok := v.(map[string]any)
		switch {
		case !ok:
			x.fail(at, "should be an object of type %s", a.typ)
		case a.typ != "object": // anything goes in an unnamed object
			x.object(at, shape, o)
		}
		return
	}
	t, ok := x.schema.types[a.typ]
	if !ok {
		x.fail(at, "type %s is not in the schema", a.typ)
		return
	}
	enum := ""
	switch t.base {
	case "string_t":
		enum = x.text(at, a.typ, &t, v)
	case "integer_t", "long_t":
		n, ok := integer(v)
		if !ok {
			x.fail(at, "%v is not of type %s", v, a.typ)
			return
		}
		if t.ranged && (n < t.lo || n > t.hi) {
			x.fail(at, "%d is not in %d–%d", n, t.lo, t.hi)
		}
		enum = strconv.FormatInt(n, 10)
	case "float_t":
		if _, ok := v.(stdjson.Number); !ok {
			x.fail(at, "%v is not of type %s", v, a.typ)
		}
	case "boolean_t":
		if _, ok := v.(bool); !ok {
			x.fail(at, "%v is not of type %s", v, a.typ)
		}
	case "json_t":
		if v == nil {
			x.fail(at, "null")
		}
	default:
		x.fail(at, "type %s is made of %s, which the validator does not know", a.typ, t.base)
	}
	if len(a.enum) > 0 {
		if _, ok := a.enum[enum]; !ok {
			x.fail(at, "%q is not one of the schema's values", enum)
		}
	}
}

func (x *checker) text(at, name string, t *dataType, v any) string {
	s, ok := v.(string)
	switch {
	case !ok:
		x.fail(at, "%v is not of type %s", v, name)
	case t.maxLen > 0 && utf8.RuneCountInString(s) > t.maxLen:
		x.fail(at, "%d characters, at most %d", utf8.RuneCountInString(s), t.maxLen)
	case t.regex != nil && !t.regex.MatchString(s):
		x.fail(at, "%q is not of type %s", s, name)
	}
	return s
}

func integer(v any) (int64, bool) {
	n, ok := v.(stdjson.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil
}

// Classes returns the number of classes, so that a test can say that it has a schema.
func (s *Schema) Classes() int { return len(s.classes) }

// HasClass says whether a class_uid exists and what it is called.
func (s *Schema) HasClass(uid int64) (string, bool) {
	c := s.classes[uid]
	if c == nil {
		return "", false
	}
	return c.name, true
}

// Attributes lists the attributes of a class, sorted.
func (s *Schema) Attributes(uid int64) (out []string) {
	if c := s.classes[uid]; c != nil {
		for name := range c.attrs {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
