// Package ocsftest is a strict validator of OCSF events for tests, compiled from
// the schema's own source: classes and objects with their inheritance
// ("extends"), included files, profiles, dictionary, types and constraints.
//
// It is stricter than a consumer has to be: unknown and deprecated attributes,
// nulls, values outside an enumeration and missing or contradicting captions are
// errors. It does not read the schema's platform extensions; events that use one
// are refused.
package ocsftest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	Version string // of the source

	types   map[string]dataType
	objects map[string]*shape
	classes map[int64]*shape // by class_uid
}

// dataType is one of the schema's data types with the limits of what it is made of.
type dataType struct {
	base   string // string_t, integer_t, long_t, float_t, boolean_t, json_t
	regex  *regexp.Regexp
	maxLen int
	ranged bool
	lo, hi int64
}

// shape is a class or an object.
type shape struct {
	name     string
	uid      int64 // class_uid; 0 for objects
	category int64
	attrs    map[string]*attribute
	atLeast  []string // one of these must be there
	justOne  []string // exactly one of these must be there
}

type attribute struct {
	typ        string
	array      bool
	required   bool
	profile    string // only with this profile; "" always
	deprecated bool
	enum       map[string]string // value → caption
	sibling    string            // attribute that holds the caption
}

// source is a file of the schema.
type source struct {
	Name        string                    `json:"name"`
	Caption     string                    `json:"caption"`
	Extends     string                    `json:"extends"`
	Category    string                    `json:"category"`
	UID         int64                     `json:"uid"`
	Observable  int64                     `json:"observable"`
	Attributes  map[string]jsontext.Value `json:"attributes"`
	Constraints map[string][]string       `json:"constraints"`
}

// sourceAttr is an attribute as a file writes it; what is absent is inherited.
type sourceAttr struct {
	Caption     string             `json:"caption"`
	Type        string             `json:"type"`
	IsArray     *bool              `json:"is_array"`
	Requirement string             `json:"requirement"`
	Profile     jsontext.Value     `json:"profile"` // null takes an included attribute out of its profile
	Deprecated  jsontext.Value     `json:"@deprecated"`
	Sibling     string             `json:"sibling"`
	Enum        map[string]caption `json:"enum"`
	Observable  int64              `json:"observable"`
}

type caption struct {
	Caption string `json:"caption"`
}

type sourceType struct {
	Caption    string  `json:"caption"`
	Type       string  `json:"type"`
	Regex      string  `json:"regex"`
	MaxLen     int     `json:"max_len"`
	Range      []int64 `json:"range"`
	Observable int64   `json:"observable"`
}

// Shared is the folder of test data beside the repository: $BARTIZAN_SHARED, or
// ../shared from the repository's root.
func Shared() string {
	if dir := os.Getenv("BARTIZAN_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return "shared"
}

// Load reads the schema among the test data and skips the test, saying what
// was not checked, when it is not there.
func Load(t testing.TB) *Schema {
	t.Helper()
	file := filepath.Join(Shared(), "data", "standards", "ocsf-schema.tar.gz")
	s, err := Open(file)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("NOT CHECKED against the OCSF schema: no %s (set BARTIZAN_SHARED)", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Open reads and compiles a schema from a gzipped tar of its source.
func Open(file string) (*Schema, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open schema: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("open schema %s: %w", file, err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read schema %s: %w", file, err)
		}
		if strings.HasSuffix(h.Name, ".json") {
			if files[path.Clean(h.Name)], err = io.ReadAll(io.LimitReader(r, 4<<20)); err != nil {
				return nil, fmt.Errorf("read schema %s: %s: %w", file, h.Name, err)
			}
		}
	}
	s, err := compile(files)
	if err != nil {
		return nil, fmt.Errorf("compile schema %s: %w", file, err)
	}
	return s, nil
}

type compiler struct {
	files      map[string][]byte
	dict       map[string]sourceAttr
	events     map[string]source
	objects    map[string]source
	categories map[string]int64
	observable map[string]string // numbers of observables and their captions
	done       map[string]*shape
}

func compile(files map[string][]byte) (*Schema, error) {
	c := &compiler{files: files, dict: map[string]sourceAttr{}, events: map[string]source{}, objects: map[string]source{},
		categories: map[string]int64{}, observable: map[string]string{}, done: map[string]*shape{}}
	s := &Schema{types: map[string]dataType{}, objects: map[string]*shape{}, classes: map[int64]*shape{}}
	var version struct {
		Version string `json:"version"`
	}
	if err := c.read("version.json", &version); err != nil {
		return nil, err
	}
	s.Version = version.Version
	if err := c.readDictionary(s); err != nil {
		return nil, err
	}
	for name := range files {
		var into map[string]source
		switch strings.SplitN(name, "/", 2)[0] {
		case "events":
			into = c.events
		case "objects":
			into = c.objects
		default:
			continue
		}
		var f source
		if err := c.read(name, &f); err != nil {
			return nil, err
		}
		into[f.Name] = f
		if f.Observable > 0 {
			c.observable[strconv.FormatInt(f.Observable, 10)] = f.Caption
		}
	}
	for name := range c.objects {
		o, err := c.shape(name, c.objects)
		if err != nil {
			return nil, err
		}
		s.objects[name] = o
	}
	maps.Copy(attrEnum(s.objects["observable"], "type_id"), c.observable)
	return s, c.classes(s)
}

func attrEnum(o *shape, name string) map[string]string { return o.attrs[name].enum }

// generic is the one class whose number is 0.
const generic = "base_event"

// classes compiles those that events can have: with a number of their own.
func (c *compiler) classes(s *Schema) error {
	for name, f := range c.events {
		if f.UID == 0 && name != generic {
			continue
		}
		e, err := c.shape("event "+name, c.events)
		if err != nil {
			return err
		}
		category := ""
		for n := name; n != "" && category == ""; n = c.events[n].Extends {
			category = c.events[n].Category
		}
		e.category = c.categories[category]
		e.uid = e.category*1000 + f.UID
		attrEnum(e, "class_uid")[strconv.FormatInt(e.uid, 10)] = f.Caption
		attrEnum(e, "category_uid")[strconv.FormatInt(e.category, 10)] = category
		s.classes[e.uid] = e
	}
	return nil
}

func (c *compiler) read(name string, v any) error {
	if err := json.Unmarshal(c.files[name], v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (c *compiler) readDictionary(s *Schema) error {
	var dict struct {
		Attributes map[string]sourceAttr `json:"attributes"`
		Types      struct {
			Attributes map[string]sourceType `json:"attributes"`
		} `json:"types"`
	}
	if err := c.read("dictionary.json", &dict); err != nil {
		return err
	}
	c.dict = dict.Attributes
	for name, a := range c.dict {
		if a.Observable > 0 {
			c.observable[strconv.FormatInt(a.Observable, 10)] = name
		}
	}
	for name, t := range dict.Types.Attributes {
		d := dataType{base: name, maxLen: t.MaxLen}
		if t.Type != "" {
			d.base = t.Type
		}
		if t.Regex != "" {
			re, err := regexp.Compile(t.Regex)
			if err != nil {
				return fmt.Errorf("type %s: %w", name, err)
			}
			d.regex = re
		}
		if len(t.Range) == 2 {
			d.ranged, d.lo, d.hi = true, t.Range[0], t.Range[1]
		}
		if t.Observable > 0 {
			c.observable[strconv.FormatInt(t.Observable, 10)] = t.Caption
		}
		s.types[name] = d
	}
	var cats struct {
		Attributes map[string]source `json:"attributes"`
	}
	if err := c.read("categories.json", &cats); err != nil {
		return err
	}
	for name, v := range cats.Attributes {
		c.categories[name] = v.UID
	}
	return nil
}

// shape compiles a class or an object with what it extends and includes.
func (c *compiler) shape(key string, from map[string]source) (*shape, error) {
	if s := c.done[key]; s != nil {
		return s, nil
	}
	name := strings.TrimPrefix(key, "event ")
	f, ok := from[name]
	if !ok {
		return nil, fmt.Errorf("%s is extended and does not exist", key)
	}
	s := &shape{name: name, attrs: map[string]*attribute{}}
	if f.Extends != "" {
		base, err := c.shape(strings.TrimSuffix(key, name)+f.Extends, from)
		if err != nil {
			return nil, err
		}
		s.atLeast, s.justOne = base.atLeast, base.justOne
		for n, a := range base.attrs {
			b := *a
			b.enum = maps.Clone(a.enum)
			s.attrs[n] = &b
		}
	}
	if err := c.include(s, f.Attributes["$include"]); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if err := c.merge(s, f.Attributes, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if list := f.Constraints["at_least_one"]; list != nil {
		s.atLeast = list
	}
	if list := f.Constraints["just_one"]; list != nil {
		s.justOne = list
	}
	c.done[key] = s
	return s, nil
}

// include adds the attributes of profiles, marked as theirs.
func (c *compiler) include(s *shape, raw jsontext.Value) error {
	var list []string
	switch {
	case raw == nil:
		return nil
	case raw.Kind() == '"':
		list = []string{""}
		if err := json.Unmarshal(raw, &list[0]); err != nil {
			return err
		}
	default:
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
	}
	for _, name := range list {
		var p source
		if err := c.read(name, &p); err != nil {
			return fmt.Errorf("include: %w", err)
		}
		if err := c.merge(s, p.Attributes, p.Name); err != nil {
			return fmt.Errorf("include %s: %w", name, err)
		}
	}
	return nil
}

func (c *compiler) merge(s *shape, attrs map[string]jsontext.Value, profile string) error {
	for name, raw := range attrs {
		if name == "$include" {
			continue
		}
		var in sourceAttr
		if err := json.Unmarshal(raw, &in); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
		a := s.attrs[name]
		if a == nil {
			d, ok := c.dict[name]
			if !ok && in.Type == "" {
				return fmt.Errorf("attribute %s is not in the dictionary", name)
			}
			a = &attribute{enum: map[string]string{}, profile: profile}
			a.apply(&d)
			s.attrs[name] = a
		}
		if in.Profile.Kind() == 'n' {
			a.profile = ""
		}
		a.apply(&in)
	}
	return nil
}

func (a *attribute) apply(in *sourceAttr) {
	if in.Type != "" {
		a.typ = in.Type
	}
	if in.IsArray != nil {
		a.array = *in.IsArray
	}
	if in.Requirement != "" {
		a.required = in.Requirement == "required"
	}
	if in.Sibling != "" {
		a.sibling = in.Sibling
	}
	a.deprecated = a.deprecated || in.Deprecated != nil
	for v, c := range in.Enum {
		a.enum[v] = c.Caption
	}
}
