package query

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"bartizan/content"
)

// Saved is a statement with a name, kept in content/hunts. Its head is comments of the form "-- key: value"; a line that is
// indented further continues the one before.
type Saved struct {
	Name   string       `json:"name"`
	Title  string       `json:"title"`
	Doc    string       `json:"description"`
	Params []SavedParam `json:"params"`
	SQL    string       `json:"sql"`
	Cases  []SavedCase  `json:"-"`
}

// SavedParam is a parameter of a saved hunt. Without a default it must be given.
type SavedParam struct {
	Name    string  `json:"name"`
	Doc     string  `json:"doc,omitempty"`
	Default *string `json:"default,omitempty"`
}

// SavedCase is the proof that a saved hunt carries: what it answers about a few observations.
type SavedCase struct {
	Params []Param
	Given  []json.RawMessage // observations, in JSON
	Expect []json.RawMessage // rows; columns that are not named are not compared
}

// SavedAll reads every saved hunt that the program ships.
func SavedAll() ([]Saved, error) { return readSaved(content.Hunts()) }

// SavedNamed finds one.
func SavedNamed(name string) (*Saved, error) {
	all, err := SavedAll()
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
		names = append(names, all[i].Name)
	}
	if near := nearest(name, names); near != "" {
		return nil, fmt.Errorf("no saved hunt %s: did you mean %s?", quoteName(name), near)
	}
	return nil, fmt.Errorf("no saved hunt %s: bartizan hunt --list shows them", quoteName(name))
}

// Request fills in the defaults and refuses what the hunt does not know.
func (s *Saved) Request(given []Param) (sql string, params []Param, err error) {
	for _, g := range given {
		if !slices.ContainsFunc(s.Params, func(p SavedParam) bool { return p.Name == g.Name }) {
			return "", nil, fmt.Errorf("saved hunt %s has no parameter %s%s", s.Name, quoteName(g.Name), s.usage())
		}
	}
	for _, p := range s.Params {
		at := slices.IndexFunc(given, func(g Param) bool { return g.Name == p.Name })
		switch {
		case at >= 0:
			params = append(params, given[at])
		case p.Default != nil:
			params = append(params, Param{p.Name, *p.Default})
		default:
			return "", nil, fmt.Errorf("saved hunt %s needs --param %s=…%s", s.Name, p.Name, s.usage())
		}
	}
	return s.SQL, params, nil
}

func (s *Saved) usage() string {
	var b strings.Builder
	for _, p := range s.Params {
		b.WriteString("\n  --param " + p.Name + "=…  " + p.Doc)
	}
	return b.String()
}

func readSaved(from fs.FS) (out []Saved, err error) {
	files, err := fs.Glob(from, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list saved hunts: %w", err)
	}
	for _, f := range files {
		raw, err := fs.ReadFile(from, f)
		if err != nil {
			return nil, fmt.Errorf("read saved hunt: %w", err)
		}
		s, err := parseSaved(string(raw))
		if err == nil && s.Name+".sql" != f {
			err = fmt.Errorf("its name is %s", quoteName(s.Name))
		}
		if err != nil {
			return nil, fmt.Errorf("saved hunt %s: %w", f, err)
		}
		out = append(out, s)
	}
	return out, nil
}

var savedName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func parseSaved(text string) (Saved, error) {
	var s Saved
	var head []string
	rest := text
	for strings.HasPrefix(rest, "--") {
		line, after, _ := strings.Cut(rest, "\n")
		line = strings.TrimPrefix(line, "--")
		switch {
		case strings.HasPrefix(line, "  ") && len(head) > 0:
			head[len(head)-1] += " " + strings.TrimSpace(line)
		default:
			head = append(head, strings.TrimSpace(line))
		}
		rest = after
	}
	s.SQL = strings.TrimSpace(rest)
	for i, line := range head {
		key, value, _ := strings.Cut(line, ":")
		if err := s.set(key, strings.TrimSpace(value)); err != nil {
			return s, fmt.Errorf("head, entry %d: %w", i+1, err)
		}
	}
	switch {
	case !savedName.MatchString(s.Name), s.Title == "", s.Doc == "", s.SQL == "":
		return s, fmt.Errorf("name, title, description or statement missing")
	case len(s.Cases) == 0:
		return s, fmt.Errorf("no case: it must prove what it says")
	}
	return s, nil
}

func (s *Saved) set(key, value string) error {
	last := func() (*SavedCase, error) {
		if len(s.Cases) == 0 {
			return nil, fmt.Errorf("%q before the first case", key)
		}
		return &s.Cases[len(s.Cases)-1], nil
	}
	switch key {
	case "name":
		s.Name = value
	case "title":
		s.Title = value
	case "description":
		s.Doc = value
	case "param":
		s.Params = append(s.Params, parseSavedParam(value))
	case "case":
		var c SavedCase
		for f := range strings.FieldsSeq(value) {
			name, v, ok := strings.Cut(f, "=")
			if !ok {
				return fmt.Errorf("case: %q is not name=value", f)
			}
			c.Params = append(c.Params, Param{name, v})
		}
		s.Cases = append(s.Cases, c)
	case "given":
		c, err := last()
		if err != nil {
			return err
		}
		if !json.Valid([]byte(value)) {
			return fmt.Errorf("given: not JSON")
		}
		c.Given = append(c.Given, json.RawMessage(value))
	case "expect":
		c, err := last()
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(value), &c.Expect); err != nil {
			return fmt.Errorf("expect: %w", err)
		}
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return nil
}

// parseSavedParam reads "name", "name  what it is" or "name = default  what it is".
func parseSavedParam(s string) SavedParam {
	head, doc, _ := strings.Cut(s, "  ")
	p := SavedParam{Name: strings.TrimSpace(head), Doc: strings.TrimSpace(doc)}
	if name, def, ok := strings.Cut(head, "="); ok {
		def = strings.TrimSpace(def)
		p.Name, p.Default = strings.TrimSpace(name), &def
	}
	return p
}
