// Package conf reads configuration: strict YAML laid over defaults that are
// ordinary Go values. A misspelt key, a wrong type or a doubtful construct is
// an error that names file, line and what would be right. The environment is
// never consulted, and nothing here knows what any setting means.
//
// A struct is filled field by field over its defaults; a list or a mapping
// with free keys is replaced as a whole by what the file says. Keys come from
// the `yaml:"name"` tag, else the field name in snake_case. Tag options:
// `-` (not configurable), `,inline` (fields of a nested struct appear one
// level up; embedded structs do so by themselves), `,rest` (a Raw that takes
// the keys no other field knows, for a part decoded later by its owner).
// Types with UnmarshalText take text. A type with Validate() error is asked
// after it was decoded, and its complaint gets the position.
package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"bartizan/internal/safe"
)

// MaxFile is the largest configuration accepted, in bytes.
const MaxFile = 1 << 20

// Load reads file over def. The returned error joins everything that is
// wrong (errors.As finds *Error), not only the first problem.
func Load[T any](file string, def T) (T, error) {
	v, _, err := LoadTree(file, def)
	return v, err
}

// LoadTree is Load for those who go on checking what was decoded: the tree
// knows the lines (At).
func LoadTree[T any](file string, def T) (T, Raw, error) {
	f, err := os.Open(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return def, nil, fmt.Errorf("read configuration: %w (create it, or leave --config out to run with defaults)", err)
		}
		return def, nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := safe.ReadAll(f, MaxFile, "configuration file "+file)
	if err != nil {
		return def, nil, err
	}
	raw, err := Parse(file, data)
	if err != nil {
		return def, nil, err
	}
	out := def
	if err := raw.Into(&out); err != nil {
		return def, nil, err
	}
	return out, raw, nil
}

// Decode reads data over def; name stands for the file in errors. On an
// error the returned value is def as it was given.
func Decode[T any](name string, data []byte, def T) (T, error) {
	raw, err := Parse(name, data)
	if err != nil {
		return def, err
	}
	out := def
	if err := raw.Into(&out); err != nil {
		return def, err
	}
	return out, nil
}

// Error is one problem at one place of one file.
type Error struct {
	File string
	Line int // counted from 1; 0 when the place is not known
	Msg  string
	Err  error // cause, may be nil
}

func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Msg
	case e.Line == 0:
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

func (e *Error) Unwrap() error { return e.Err }
