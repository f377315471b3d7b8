// Package secret finds credentials by their published form, and what the
// operator has marked: canaries, known secrets, passages of the system prompt.
// Known secrets are found in every reading, with any separators in between.
package secret

import (
	"fmt"
	"strings"
	"unicode"

	"bartizan/internal/credential"
	"bartizan/internal/guard"
)

// Config of the inspector.
type Config struct {
	// Canaries are strings that have no business anywhere: one is a certain leak.
	Canaries []string `yaml:"canaries"`
	// Known secrets, at least 8 letters or digits long.
	Known []string `yaml:"known"`
	// SystemPrompt whose passages must not come out.
	SystemPrompt string `yaml:"system_prompt"`
	// Words is how many words of the system prompt in a row are a passage.
	Words int `yaml:"words"`
	// Formats looks for credentials by their form.
	Formats bool `yaml:"formats"`
}

// Default configuration.
func Default() Config { return Config{Words: 8, Formats: true} }

const minKnown = 8

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	i := &inspector{conf: c, passages: map[string]bool{}}
	if c.Words < 4 {
		return nil, fmt.Errorf("words %d: fewer than 4 words in a row occur in ordinary text", c.Words)
	}
	for n, s := range append(append([]string(nil), c.Canaries...), c.Known...) {
		k := squeeze(s)
		if len(k) < minKnown {
			return nil, fmt.Errorf("secret number %d has fewer than %d letters and digits: it would be found everywhere", n+1, minKnown)
		}
		i.known = append(i.known, needle{k, reversed(k), n < len(c.Canaries)})
	}
	words := fields(c.SystemPrompt)
	for k := 0; k+c.Words <= len(words); k++ {
		i.passages[strings.Join(words[k:k+c.Words], " ")] = true
	}
	return i, nil
}

type needle struct {
	plain, reversed string
	canary          bool
}

type inspector struct {
	conf     Config
	known    []needle
	passages map[string]bool
}

// squeeze keeps letters and digits, lower case: separators do not hide.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

func reversed(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

func fields(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if len(i.known) == 0 && len(i.passages) == 0 && !i.conf.Formats {
		return nil, &guard.NothingToDo{Why: "no secrets, no system prompt, formats turned off"}
	}
	seen := map[string]bool{}
	var out []guard.Finding
	say := func(score float64, note string) {
		if !seen[note] {
			seen[note] = true
			out = append(out, guard.Finding{Category: guard.Secret, Score: score, Note: note})
		}
	}
	texts := []string{t.Raw}
	for _, v := range t.Views {
		texts = append(texts, v.Text)
	}
	for _, text := range texts {
		i.marked(text, say)
		if i.conf.Formats {
			formats(text, say)
		}
	}
	return out, nil
}

func (i *inspector) marked(text string, say func(float64, string)) {
	if len(i.known) > 0 {
		flat := squeeze(text)
		for _, k := range i.known {
			if strings.Contains(flat, k.plain) || strings.Contains(flat, k.reversed) {
				if k.canary {
					say(1, "a canary")
				} else {
					say(1, "a known secret")
				}
			}
		}
	}
	if len(i.passages) > 0 {
		words := fields(text)
		for k := 0; k+i.conf.Words <= len(words); k++ {
			if i.passages[strings.Join(words[k:k+i.conf.Words], " ")] {
				say(0.95, "a passage of the system prompt")
				return
			}
		}
	}
}

func formats(text string, say func(float64, string)) {
	for _, m := range credential.Find(text) {
		say(0.8, m.Name)
	}
}
