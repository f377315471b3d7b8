package conf

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Raw is a part of a configuration that is not decoded yet and still knows
// its file and line, so that the one who owns it reports mistakes as well as
// conf itself does. A nil Raw means "nothing said: the defaults". It works
// as a field type and as a map's element.
type Raw = *Tree

// Tree is what a Raw points at. It prints as its position only, because it
// may hold a secret that nothing has recognised yet.
type Tree struct {
	file  string
	path  string // dotted, "" at the top
	line  int
	node  ast.Node // nil: empty
	known []string // keys that another struct took from the same mapping (",rest"), for suggestions
}

// Into decodes the tree over what ptr points at, which holds the defaults.
// A nil tree leaves them; Validate is called in any case. After an error the
// content of ptr is undefined.
func (t *Tree) Into(ptr any) error {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("BUG: conf: Into needs a pointer to the value, got %T", ptr))
	}
	d := &decoder{}
	if t == nil {
		d.validate(v.Elem(), nil, place{})
		return d.err()
	}
	d.file = t.file
	at := place{path: t.path, line: t.line}
	if isNull(t.node) {
		d.validate(v.Elem(), nil, at)
		return d.err()
	}
	d.known = t.known
	d.value(t.node, v.Elem(), at)
	return d.err()
}

// Errorf makes an error at the tree's position; on a nil tree one without.
func (t *Tree) Errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if t == nil {
		return err
	}
	return &Error{File: t.file, Line: t.line, Msg: err.Error(), Err: err}
}

// Path is the dotted name of the place, such as "decoys.ssh".
func (t *Tree) Path() string {
	if t == nil {
		return ""
	}
	return t.path
}

// Pos is the place as "file:line", or "" for a nil tree.
func (t *Tree) Pos() string {
	if t == nil || t.file == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", t.file, t.line)
}

// At finds what is under a path of keys, or the nearest thing around it that
// exists, so that somebody who checks a whole configuration can still say at
// which line a mistake is.
func (t *Tree) At(path ...string) *Tree {
	for _, key := range path {
		if t.Empty() {
			return t
		}
		pairs, ok := entries(t.node)
		i := slices.IndexFunc(pairs, func(mv *ast.MappingValueNode) bool {
			k, problem := keyOf(mv)
			return problem == "" && k == key
		})
		if !ok || i < 0 {
			return t
		}
		t = &Tree{file: t.file, path: join(t.path, key), line: lineOf(pairs[i].Key), node: pairs[i].Value}
	}
	return t
}

// Empty says whether the tree sets nothing at all.
func (t *Tree) Empty() bool { return t == nil || isNull(t.node) }

// String prints the position, never the content.
func (t *Tree) String() string {
	if t == nil {
		return "<defaults>"
	}
	return "<undecoded configuration at " + t.Pos() + ">"
}

// Format keeps every verb of fmt from printing the content.
func (t *Tree) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// GoString keeps %#v from printing the content.
func (t *Tree) GoString() string { return t.String() }

// MarshalText keeps encoders from printing the content.
func (t *Tree) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue keeps slog from printing the content.
func (t *Tree) LogValue() slog.Value { return slog.StringValue(t.String()) }
