// Package language tells the script a text is written in, for applications
// that answer in few. It knows scripts, not languages: Latin covers most of
// Europe.
package language

import (
	"fmt"
	"slices"
	"unicode"

	"bartizan/internal/guard"
)

// Config of the inspector.
type Config struct {
	// Scripts that a text may use, by their Unicode names (Latin, Cyrillic, Han, …).
	Scripts []string `yaml:"scripts"`
	// Share of letters in other scripts from which a text is flagged.
	Share float64 `yaml:"share"`
}

// Default configuration: every script.
func Default() Config { return Config{Share: 0.3} }

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if !(c.Share > 0 && c.Share <= 1) {
		return nil, fmt.Errorf("share %v: use a number above 0 and up to 1", c.Share)
	}
	i := inspector{share: c.Share}
	for _, s := range c.Scripts {
		t := unicode.Scripts[s]
		if t == nil {
			return nil, fmt.Errorf("script %q: use the Unicode name, such as Latin, Cyrillic, Han, Arabic", s)
		}
		i.tables = append(i.tables, t)
	}
	i.tables = slices.Clip(i.tables)
	return i, nil
}

type inspector struct {
	tables []*unicode.RangeTable
	share  float64
}

// Inspect implements guard.Inspector.
func (i inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if len(i.tables) == 0 {
		return nil, &guard.NothingToDo{Why: "no scripts are configured"}
	}
	letters, other := 0, 0
	for _, r := range t.Views[0].Text {
		if !unicode.IsLetter(r) {
			continue
		}
		letters++
		if !unicode.In(r, i.tables...) {
			other++
		}
	}
	if letters > 0 && float64(other) >= i.share*float64(letters) {
		return []guard.Finding{{Category: guard.Shape, Score: 0.6, Note: fmt.Sprintf("%d of %d letters in other scripts", other, letters)}}, nil
	}
	return nil, nil
}
