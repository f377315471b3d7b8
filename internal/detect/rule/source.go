package rule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Source is how a detector family is told which rules to run; families embed
// it in their configuration.
type Source struct {
	// Extra is a folder with more rules, laid out like the shipped ones
	// (<folder>/<group>/*.yaml). Empty: only the shipped rules.
	Extra string `yaml:"extra_rules"`
	// Disable lists ids of rules that are not to run.
	Disable []string `yaml:"disable_rules"`
}

// Load compiles the shipped rules of one group and the extra ones.
func (c Source) Load(shipped fs.FS, g Group) (*Set, error) {
	rules, err := loadUnder(shipped, string(g))
	if err != nil {
		return nil, err
	}
	if c.Extra != "" {
		more, err := loadUnder(os.DirFS(c.Extra), string(g))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("load rules of %s: %w", c.Extra, err)
		}
		rules = append(rules, more...)
	}
	if err := errors.Join(consistent(rules)...); err != nil {
		return nil, err
	}
	off := map[string]bool{}
	for _, id := range c.Disable {
		off[id] = false
	}
	var keep []*Rule
	for i := range rules {
		if _, drop := off[rules[i].ID]; drop {
			off[rules[i].ID] = true
			continue
		}
		keep = append(keep, &rules[i])
	}
	for id, found := range off {
		if !found {
			return nil, fmt.Errorf("disable rule %.80q: there is no %s rule of that id", id, g)
		}
	}
	return NewSet(keep), nil
}
