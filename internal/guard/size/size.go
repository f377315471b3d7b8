// Package size reports texts that are larger than an application expects.
package size

import (
	"fmt"

	"bartizan/internal/guard"
)

// Config of the inspector.
type Config struct {
	// Max bytes of a text; 0: no limit of the operator's.
	Max int `yaml:"max"`
}

// Default configuration: no limit beyond the guard's own.
func Default() Config { return Config{} }

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if c.Max < 0 {
		return nil, fmt.Errorf("max %d: use 0 or a number of bytes", c.Max)
	}
	return inspector{c}, nil
}

type inspector struct{ conf Config }

// Inspect implements guard.Inspector.
func (i inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if i.conf.Max == 0 {
		return nil, &guard.NothingToDo{Why: "no limit is configured"}
	}
	if len(t.Raw) > i.conf.Max {
		return []guard.Finding{{Category: guard.Shape, Score: 0.95, Note: fmt.Sprintf("%d bytes, the limit is %d", len(t.Raw), i.conf.Max)}}, nil
	}
	return nil, nil
}
