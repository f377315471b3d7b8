package sigma

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"

	"bartizan/internal/model"

	"go.yaml.in/yaml/v3"
)

// taxonomyFile is the name of the field mappings in their folder.
const taxonomyFile = "taxonomy.yaml"

// taxonomyYAML says how log shapes name what rules ask for; content/sigma has
// the format's description and the shipped one.
type taxonomyYAML struct {
	Shapes  []shapeYAML       `yaml:"shapes"`
	Sources []sourceYAML      `yaml:"sources"`
	Tactics map[string]string `yaml:"tactics"`
}

type shapeYAML struct {
	Name      string              `yaml:"name"`
	Has       []string            `yaml:"has"`
	Is        map[string]string   `yaml:"is"`
	Logsource logsourceYAML       `yaml:"logsource"`
	Roots     []string            `yaml:"roots"`
	Fields    map[string][]string `yaml:"fields"`
	Time      []string            `yaml:"time"`
	Asset     []string            `yaml:"asset"`
	Actor     []actorYAML         `yaml:"actor"`
}

type logsourceYAML struct {
	Product  string `yaml:"product"`
	Category string `yaml:"category"`
	Service  string `yaml:"service"`
}

type actorYAML struct {
	Type  string `yaml:"type"`
	Field string `yaml:"field"`
}

type sourceYAML struct {
	Logsource logsourceYAML       `yaml:"logsource"`
	When      map[string][]string `yaml:"when"`
	Fields    map[string][]string `yaml:"fields"`
}

// shape is one way events are written down.
type shape struct {
	name   string
	has    []Path // all present
	is     []isValue
	source Logsource
	roots  []string
	fields map[string][]string
	time   []Path
	asset  []string // field names
	actor  []actorField
	// deciding are the fields that the sources of the shape's product ask for.
	deciding [][]Path
	names    []string
}

type isValue struct {
	path  Path
	value string
}

type actorField struct {
	kind  model.EntityType
	field string
}

// source is a log source that events are sorted into by what they hold.
type source struct {
	logsource Logsource
	when      map[string][]string // field → folded values, any of them
	fields    map[string][]string
}

type taxonomy struct {
	shapes  []*shape
	sources []source
	tactics map[string]model.Class
}

func loadTaxonomy(fsys fs.FS) (*taxonomy, error) {
	data, err := fs.ReadFile(fsys, taxonomyFile)
	if err != nil {
		return nil, fmt.Errorf("read field mappings: %w", err)
	}
	var y taxonomyYAML
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&y); err != nil {
		return nil, fmt.Errorf("read field mappings: %s: %w", taxonomyFile, err)
	}
	t := &taxonomy{tactics: map[string]model.Class{}}
	for tactic, class := range y.Tactics {
		t.tactics[tactic] = model.Class(class)
	}
	for _, s := range y.Sources {
		src := source{logsource: Logsource(s.Logsource).lower(), when: map[string][]string{}, fields: s.Fields}
		for f, values := range s.When {
			for _, v := range values {
				src.when[f] = append(src.when[f], fold(v))
			}
		}
		t.sources = append(t.sources, src)
	}
	for _, s := range y.Shapes {
		sh, err := t.shape(s)
		if err != nil {
			return nil, fmt.Errorf("read field mappings: shape %s: %w", s.Name, err)
		}
		t.shapes = append(t.shapes, sh)
	}
	if len(t.shapes) == 0 || len(t.shapes[len(t.shapes)-1].has) > 0 {
		return nil, fmt.Errorf("read field mappings: the last shape has to fit every event")
	}
	return t, nil
}

func (t *taxonomy) shape(y shapeYAML) (*shape, error) {
	s := &shape{name: y.Name, source: Logsource(y.Logsource).lower(), roots: y.Roots, fields: y.Fields, asset: y.Asset}
	for _, p := range y.Has {
		s.has = append(s.has, NewPath(p))
	}
	for p, v := range y.Is {
		s.is = append(s.is, isValue{NewPath(p), v})
	}
	for _, p := range y.Time {
		s.time = append(s.time, NewPath(p))
	}
	for _, a := range y.Actor {
		kind := model.EntityType(a.Type)
		switch kind {
		case model.TypeIP, model.TypeAccessKey, model.TypeUser, model.TypeHost, model.TypeDomain:
		default:
			return nil, fmt.Errorf("actor type %q", a.Type)
		}
		s.actor = append(s.actor, actorField{kind, a.Field})
	}
	seen := map[string]bool{}
	for _, src := range t.sources {
		if s.source.Product != "" && src.logsource.Product != "" && src.logsource.Product != s.source.Product {
			continue
		}
		for f := range src.when {
			if !seen[f] {
				seen[f] = true
				s.names = append(s.names, f)
				s.deciding = append(s.deciding, s.paths(f, nil))
			}
		}
	}
	return s, nil
}

// paths is where the shape keeps a field: under its own names, then under the
// roots, then under the names that the sources give it.
func (s *shape) paths(field string, sources []source) (out []Path) {
	add := func(name string) {
		if own, ok := s.fields[name]; ok {
			for _, p := range own {
				out = append(out, NewPath(p))
			}
			return
		}
		for _, root := range s.roots {
			if root == "" {
				out = append(out, NewPath(name))
			} else {
				out = append(out, NewPath(root+"."+name))
			}
		}
	}
	add(field)
	for _, src := range sources {
		for _, other := range src.fields[field] {
			add(other)
		}
	}
	return out
}

// from are the shapes that events of an origin can have; the last one always.
func (t *taxonomy) from(l Logsource) (out []*shape) {
	for i, s := range t.shapes {
		if i == len(t.shapes)-1 || s.comesFrom(l) {
			out = append(out, s)
		}
	}
	return out
}

// comesFrom says whether events of the shape can have an origin.
func (s *shape) comesFrom(from Logsource) bool {
	if from.Product != "" && s.source.Product != "" && !strings.EqualFold(from.Product, s.source.Product) {
		return false
	}
	if from.Service != "" && s.source.Service != "" && !strings.EqualFold(from.Service, s.source.Service) {
		return false
	}
	if from.Category != "" && s.source.Category != "" && !strings.EqualFold(from.Category, s.source.Category) {
		return false
	}
	return true
}

// fits says whether an event of a possible origin has the shape.
func (s *shape) fits(e Event, scratch []Value) bool {
	for _, p := range s.has {
		if len(e.Field(p, scratch[:0])) == 0 {
			return false
		}
	}
	for _, is := range s.is {
		v := e.Field(is.path, scratch[:0])
		if len(v) == 0 || string(v[0].Text) != is.value {
			return false
		}
	}
	return true
}
