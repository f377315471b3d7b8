// Package plug is the registry of one kind of implementation: a literal table
// whose lines are a name, the defaults and the constructor. Each
// implementation decodes its own configuration type, so no central struct
// knows them all. There is no registration at run time and no global table.
package plug

import (
	"fmt"
	"regexp"
	"strings"

	"bartizan/internal/conf"
	"bartizan/internal/safe"
)

// Spec is one line of a table: how to configure and build one implementation
// of the contract T.
type Spec[T any] struct {
	name      string
	def       func() any
	effective func(conf.Raw) (any, error)
	build     func(conf.Raw) (T, error)
}

// Of makes a line: name as users write it, def returning fresh defaults,
// build making the thing from its complete configuration. build must not
// start anything and must not do I/O that outlives it.
func Of[T, C any](name string, def func() C, build func(C) (T, error)) Spec[T] {
	decode := func(raw conf.Raw) (C, error) {
		c := def()
		err := raw.Into(&c)
		return c, err
	}
	return Spec[T]{
		name:      name,
		def:       func() any { return def() },
		effective: func(raw conf.Raw) (any, error) { return decode(raw) },
		build: func(raw conf.Raw) (T, error) {
			c, err := decode(raw)
			if err != nil {
				var none T
				return none, err
			}
			return build(c)
		},
	}
}

// Table is all implementations of one kind, in the order given.
type Table[T any] struct {
	kind  string
	specs []Spec[T]
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// NewTable makes a table; kind ("decoy") appears in errors. Names must match
// ^[a-z][a-z0-9-]*$ and be unique: anything else is a mistake in this
// program, hence a panic.
func NewTable[T any](kind string, specs ...Spec[T]) Table[T] {
	seen := make(map[string]bool, len(specs))
	for _, s := range specs {
		switch {
		case !namePattern.MatchString(s.name):
			panic(fmt.Sprintf("BUG: plug: %s name %q does not match %s", kind, s.name, namePattern))
		case seen[s.name]:
			panic(fmt.Sprintf("BUG: plug: %s %q is in the table twice", kind, s.name))
		}
		seen[s.name] = true
	}
	return Table[T]{kind: kind, specs: append([]Spec[T](nil), specs...)}
}

// Build makes the implementation called name from its defaults and raw (nil
// for the defaults alone). Mistakes in raw are reported with file and line;
// an unknown name is reported with the nearest one and the whole list; a
// panic in the constructor becomes a *safe.PanicError.
func (t Table[T]) Build(name string, raw conf.Raw) (T, error) {
	var out T
	s, err := t.find(name, raw)
	if err != nil {
		return out, err
	}
	err = safe.Recover(t.kind+" "+name, nil, func() (err error) {
		out, err = s.build(raw)
		return err
	})
	if err != nil {
		var none T
		return none, fmt.Errorf("build %s %q: %w", t.kind, name, err)
	}
	return out, nil
}

// Check says what is wrong with a configuration without building anything.
func (t Table[T]) Check(name string, raw conf.Raw) error {
	_, err := t.Effective(name, raw)
	return err
}

// Effective returns the complete configuration value of name: defaults with
// raw laid over. It is what `config dump` prints.
func (t Table[T]) Effective(name string, raw conf.Raw) (any, error) {
	s, err := t.find(name, raw)
	if err != nil {
		return nil, err
	}
	return s.effective(raw)
}

// Default returns fresh defaults of name, or nil when there is no such name.
func (t Table[T]) Default(name string) any {
	for _, s := range t.specs {
		if s.name == name {
			return s.def()
		}
	}
	return nil
}

// Names lists the table in its own order, which is the order of the source.
func (t Table[T]) Names() []string {
	names := make([]string, len(t.specs))
	for i, s := range t.specs {
		names[i] = s.name
	}
	return names
}

// Has says whether the table has the name.
func (t Table[T]) Has(name string) bool {
	for _, s := range t.specs {
		if s.name == name {
			return true
		}
	}
	return false
}

func (t Table[T]) find(name string, raw conf.Raw) (Spec[T], error) {
	for _, s := range t.specs {
		if s.name == name {
			return s, nil
		}
	}
	known := strings.Join(t.Names(), ", ")
	if known == "" {
		known = "none"
	}
	shown := safe.Clean(name, 60)
	if near, ok := conf.Nearest(name, t.Names()); ok {
		return Spec[T]{}, raw.Errorf("unknown %s %q (nearest known: %q; all: %s)", t.kind, shown, near, known)
	}
	return Spec[T]{}, raw.Errorf("unknown %s %q (known: %s)", t.kind, shown, known)
}
