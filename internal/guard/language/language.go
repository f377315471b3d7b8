// Package language tells the script and the language a text is written in, for
// applications that answer in few. Scripts are certain. Languages are guessed from three
// letters in a row (Cavnar and Trenkle 1994, as whatlanggo has it), passage by passage, and
// only a guess that the library calls reliable counts: a short or mixed text is in no
// language.
package language

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"bartizan/internal/guard"

	"github.com/abadojack/whatlanggo"
)

// Config of the inspector.
type Config struct {
	// Scripts that a text may use, by their Unicode names (Latin, Cyrillic, Han, …).
	Scripts []string `yaml:"scripts"`
	// Languages that a text may use, by their ISO 639-1 codes (en, de, …).
	Languages []string `yaml:"languages"`
	// Share of letters in other scripts, or in passages in other languages, from which a text is flagged.
	Share float64 `yaml:"share"`
}

// Default configuration: every script and language.
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
	codes := map[string]whatlanggo.Lang{}
	for l := range whatlanggo.Langs {
		codes[l.Iso6391()] = l
	}
	for _, s := range c.Languages {
		l, ok := codes[s]
		if !ok || s == "" {
			return nil, fmt.Errorf("language %.20q: use a code of ISO 639-1, such as en, de, fr, zh", s)
		}
		i.languages = append(i.languages, l)
	}
	i.languages = slices.Clip(i.languages)
	return i, nil
}

type inspector struct {
	tables    []*unicode.RangeTable
	languages []whatlanggo.Lang
	share     float64
}

// Inspect implements guard.Inspector.
func (i inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if len(i.tables) == 0 && len(i.languages) == 0 {
		return nil, &guard.NothingToDo{Why: "no scripts or languages are configured"}
	}
	if f := i.foreign(t.Views[0].Text); f != nil {
		return []guard.Finding{*f}, nil
	}
	if len(i.tables) == 0 {
		return nil, nil
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

const (
	passage  = 400 // letters of a passage
	few      = 60  // a shorter passage is in no language
	passages = 32  // of a text that are looked at: the first half of them, and the last
)

// foreign finds passages in languages that are not allowed.
func (i inspector) foreign(text string) *guard.Finding {
	if len(i.languages) == 0 {
		return nil
	}
	all := cut(text)
	if len(all) > passages {
		all = append(all[:passages/2:passages/2], all[len(all)-passages/2:]...)
	}
	letters, other := 0, 0
	names := map[string]int{}
	for _, p := range all {
		n := 0
		for _, r := range p {
			if unicode.IsLetter(r) {
				n++
			}
		}
		letters += n
		if n < few {
			continue
		}
		if in := whatlanggo.Detect(p); in.IsReliable() && !slices.Contains(i.languages, in.Lang) {
			other += n
			names[in.Lang.String()] += n
		}
	}
	if letters == 0 || other == 0 || float64(other) < i.share*float64(letters) {
		return nil
	}
	most := ""
	for name, n := range names {
		if most == "" || n > names[most] || n == names[most] && name < most {
			most = name
		}
	}
	return &guard.Finding{Category: guard.Shape, Score: 0.6, Note: fmt.Sprintf("%d of %d letters in other languages (%s)", other, letters, most)}
}

// cut cuts a text into passages between words.
func cut(text string) (out []string) {
	from, letters := 0, 0
	for at, r := range text {
		if unicode.IsLetter(r) {
			letters++
		}
		if letters >= passage && (unicode.IsSpace(r) || letters >= 2*passage) {
			out = append(out, text[from:at])
			from, letters = at, 0
		}
	}
	if rest := strings.TrimSpace(text[from:]); rest != "" {
		out = append(out, rest)
	}
	return out
}
