// Package schema reports structured texts that are not what an application
// expects (JSON Schema, draft 2020-12 or draft-07).
package schema

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire/tape"
	"bartizan/internal/safe"

	"github.com/google/jsonschema-go/jsonschema"
)

// Config of the inspector.
type Config struct {
	// File with the schema, as JSON. References to other files are not followed.
	File string `yaml:"file"`
	// Always judges every text. Otherwise only what begins like an object or an
	// array is, because an answer also has tools' names, reasoning and words.
	Always bool `yaml:"always"`
	// Requested holds answers and the arguments of calls to the schemas that the
	// request itself names.
	Requested bool `yaml:"requested"`
}

// maxSchema is how long a schema may be, in bytes.
const maxSchema = 1 << 20

// Default configuration: no schema.
func Default() Config { return Config{} }

// New makes the inspector. It reads the schema.
func New(c Config) (guard.Inspector, error) {
	if c.File == "" {
		if c.Always {
			return nil, fmt.Errorf("always: there is no file with a schema")
		}
		return inspector{requested: c.Requested, cache: new(cache)}, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(safe.CappedReader(f, maxSchema, "schema"))
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", c.File, err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("file %s: %w", c.File, err)
	}
	if err := known(&s, ""); err != nil {
		return nil, fmt.Errorf("file %s: %w", c.File, err)
	}
	r, err := s.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", c.File, err)
	}
	return inspector{schema: r, always: c.Always, requested: c.Requested, cache: new(cache)}, nil
}

type inspector struct {
	schema    *jsonschema.Resolved
	always    bool
	requested bool
	cache     *cache // of requested schemas
}

// Inspect implements guard.Inspector. A note does not say which value is wrong,
// because what the schema's errors say holds values.
func (i inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if i.schema == nil {
		return nil, &guard.NothingToDo{Why: "no schema is configured"}
	}
	text := strings.TrimSpace(t.Raw)
	if !i.always && !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return nil, nil
	}
	var read tape.Tape // two parsers could read doubled keys differently
	if err := read.Read([]byte(text)); err != nil {
		return found("no JSON that everybody reads alike"), nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return found("no JSON"), nil
	}
	if err := i.schema.Validate(v); err != nil {
		return found("JSON, but not of the schema"), nil
	}
	return nil, nil
}

// known says whether every type that a schema names exists.
func known(s *jsonschema.Schema, at string) error {
	if s == nil {
		return fmt.Errorf("%s is no schema", place(at))
	}
	if err := kinds(s, at); err != nil {
		return err
	}
	return below(s, func(step string, sub *jsonschema.Schema) error { return known(sub, at+step) })
}

func found(note string) []guard.Finding {
	if note == "" {
		return nil
	}
	return []guard.Finding{{Category: guard.Shape, Score: scoreShape, Note: note}}
}
