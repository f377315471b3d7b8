package conf

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"

	"bartizan/internal/safe"

	"github.com/goccy/go-yaml/ast"
)

// maxErrors bounds one report; a file with more mistakes is another file.
const maxErrors = 20

// place is where the decoder stands: for messages only.
type place struct {
	path string
	line int
}

type decoder struct {
	file  string
	known []string // see Tree.known; applies to the outermost mapping only
	errs  []error
}

func (d *decoder) err() error { return errors.Join(d.errs...) }

func (d *decoder) fail(at place, cause error, format string, args ...any) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, &Error{File: d.file, Line: at.line, Msg: fmt.Sprintf(format, args...), Err: cause})
	}
}

var (
	treeType     = reflect.TypeFor[Tree]()
	secretType   = reflect.TypeFor[Secret]()
	durationType = reflect.TypeFor[time.Duration]()
)

// value decodes n into v, which is settable and holds the default.
func (d *decoder) value(n ast.Node, v reflect.Value, at place) {
	before := len(d.errs)
	switch {
	case v.Type() == reflect.PointerTo(treeType):
		d.raw(n, v, at)
		return
	case v.Kind() == reflect.Pointer:
		d.pointer(n, v, at)
		return
	case isNull(n): // "key:" with nothing behind it says nothing: the default stays
	case v.Type() == secretType:
		d.secret(n, v, at)
		return
	case v.Type() == durationType:
		d.text(n, (*Duration)(v.Addr().Interface().(*time.Duration)), at)
	case v.CanAddr() && isText(v):
		d.text(n, v.Addr().Interface().(encoding.TextUnmarshaler), at)
	default:
		d.kind(n, v, at)
	}
	if len(d.errs) == before {
		d.validate(v, n, at)
	}
}

func isText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

func (d *decoder) kind(n ast.Node, v reflect.Value, at place) {
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, at)
	case reflect.Map:
		d.mapping(n, v, at)
	case reflect.Slice:
		d.list(n, v, at)
	case reflect.String:
		d.str(n, v, at)
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return
		}
		d.mismatch(n, at, "true or false")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(n, v, at)
	case reflect.Float32, reflect.Float64:
		d.float(n, v, at)
	default:
		panic(fmt.Sprintf("BUG: conf: %q has the type %s, which cannot come from a configuration file", at.path, v.Type()))
	}
}

func (d *decoder) raw(n ast.Node, v reflect.Value, at place) {
	if isNull(n) {
		v.SetZero()
		return
	}
	v.Set(reflect.ValueOf(&Tree{file: d.file, path: at.path, line: at.line, node: n}))
}

func (d *decoder) pointer(n ast.Node, v reflect.Value, at place) {
	if isNull(n) {
		return
	}
	// A fresh target: the default may be shared with whoever made it.
	target := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		target.Elem().Set(v.Elem())
	}
	d.value(n, target.Elem(), at)
	v.Set(target)
}

func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (d *decoder) structure(n ast.Node, v reflect.Value, at place) {
	values, ok := entries(n)
	if !ok {
		d.mismatch(n, at, "a mapping (key: value)")
		return
	}
	extra := d.known
	d.known = nil
	fields := fieldsOf(v.Type())
	var rest []*ast.MappingValueNode
	for _, mv := range values {
		key, _ := keyOf(mv) // Parse has refused all other keys
		f, ok := fields.byName[key]
		if ok {
			d.value(mv.Value, fieldByIndex(v, f), place{join(at.path, key), entryLine(mv)})
			continue
		}
		if fields.rest != nil {
			rest = append(rest, mv)
			continue
		}
		d.unknownKey(key, append(fields.names, extra...), place{at.path, lineOf(mv.Key)})
	}
	if fields.rest != nil && len(rest) > 0 {
		t := &Tree{file: d.file, path: at.path, line: lineOf(rest[0]), known: fields.names,
			node: &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: rest[0].Start, Values: rest}}
		fieldByIndex(v, fields.rest).Set(reflect.ValueOf(t))
	}
}

// entryLine is where a value's owner looks for it: the key's line.
func entryLine(mv *ast.MappingValueNode) int { return lineOf(mv.Key) }

func (d *decoder) unknownKey(key string, known []string, at place) {
	shown := safe.Clean(key, 60)
	where := inPath(at.path)
	if near, ok := Nearest(key, known); ok {
		d.fail(at, nil, "unknown key %q%s (nearest known: %q)", shown, where, near)
		return
	}
	sort.Strings(known)
	d.fail(at, nil, "unknown key %q%s (known: %s)", shown, where, strings.Join(known, ", "))
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, at place) {
	values, ok := entries(n)
	if !ok {
		d.mismatch(n, at, "a mapping (key: value)")
		return
	}
	d.known = nil
	t := v.Type()
	out := reflect.MakeMapWithSize(t, len(values))
	for _, mv := range values {
		name, _ := keyOf(mv)
		pos := place{join(at.path, name), entryLine(mv)}
		key := reflect.New(t.Key()).Elem()
		if isText(key) {
			d.text(mv.Key, key.Addr().Interface().(encoding.TextUnmarshaler), pos)
		} else if key.Kind() == reflect.String {
			key.SetString(name)
		} else {
			panic(fmt.Sprintf("BUG: conf: %q is a map with keys of type %s; only text keys work", at.path, t.Key()))
		}
		elem := reflect.New(t.Elem()).Elem()
		if old := v.MapIndex(key); old.IsValid() {
			elem.Set(old) // an entry of that name starts from its default
		}
		d.value(mv.Value, elem, pos)
		out.SetMapIndex(key, elem)
	}
	v.Set(out)
}

func (d *decoder) list(n ast.Node, v reflect.Value, at place) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.mismatch(n, at, "a list")
		return
	}
	d.known = nil
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		pos := place{fmt.Sprintf("%s[%d]", at.path, i), lineOf(item)}
		if isNull(item) && v.Type().Elem() != reflect.PointerTo(treeType) {
			d.fail(pos, nil, "%q is empty: give a value or remove the entry", pos.path)
			continue
		}
		d.value(item, out.Index(i), pos)
	}
	v.Set(out)
}

// validate asks v, or a pointer to it, whether it makes sense.
func (d *decoder) validate(v reflect.Value, _ ast.Node, at place) {
	type validator interface{ Validate() error }
	var check validator
	if v.CanAddr() {
		check, _ = v.Addr().Interface().(validator)
	}
	if check == nil {
		return
	}
	if err := check.Validate(); err != nil {
		if at.path == "" {
			d.fail(at, err, "%s", err)
			return
		}
		d.fail(at, err, "%q: %s", at.path, err)
	}
}
