package conf

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
)

// Dump prints a configuration value as YAML that Load reads back, except
// that secrets show as "<secret>" and parts nobody has decoded show as their
// position. Fields keep their order, free keys are sorted.
func Dump(v any) ([]byte, error) {
	out, err := yaml.MarshalWithOptions(plain(reflect.ValueOf(v)), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("dump configuration: %w", err)
	}
	return out, nil
}

// plain turns v into values whose YAML form does not depend on types.
func plain(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		if v.IsNil() {
			return nil // reads back as "nothing said"
		}
	}
	if v.Type() == durationType {
		return Duration(v.Interface().(time.Duration)).String()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return "<" + err.Error() + ">"
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return plain(v.Elem())
	case reflect.Struct:
		return plainStruct(v)
	case reflect.Map:
		return plainMap(v)
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	case reflect.String:
		return v.String() // drops the named type and with it any marshaller
	}
	return v.Interface()
}

func plainStruct(v reflect.Value) any {
	fields := fieldsOf(v.Type())
	out := make(yaml.MapSlice, 0, len(fields.names))
	for _, name := range fields.names {
		out = append(out, yaml.MapItem{Key: name, Value: plain(fieldByIndex(v, fields.byName[name]))})
	}
	return out
}

func plainMap(v reflect.Value) any {
	out := make(yaml.MapSlice, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		out = append(out, yaml.MapItem{Key: fmt.Sprint(plain(it.Key())), Value: plain(it.Value())})
	}
	slices.SortFunc(out, func(a, b yaml.MapItem) int {
		if a.Key.(string) < b.Key.(string) {
			return -1
		}
		return 1
	})
	return out
}
