// Package tokens estimates how many tokens a text is for a model, before the
// provider has counted. It is no tokeniser: it counts what a text is made of in one pass (words,
// digits, marks, letters of scripts) and adds up what each is worth, which was fitted to
// real vocabularies (bench/tokens, content/prices/tokens.yaml). So a vocabulary of eleven
// megabytes and milliseconds for a long prompt are not needed for a number that the
// provider's own replaces.
package tokens

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"bartizan/content"
	"bartizan/internal/conf"
)

// Features of a text, in the order of a fit's weights.
const (
	words    = iota // runs of ASCII letters
	tails           // their letters beyond the sixth
	humps           // changes from small to capital letter, or between letter and digit, within one
	numbers         // runs of digits, three at a time
	marks           // ASCII characters that are neither letter, digit nor blank
	blanks          // runs of white space that are more than one blank
	latin           // other Latin letters
	cyrillic        // Cyrillic and Greek letters
	han
	kana
	hangul
	semitic // Arabic and Hebrew letters, and their marks
	other   // letters of other scripts, and their marks
	symbols // bytes of everything else
	Features
)

// Names of the features, for those who print a fit.
func Names() [Features]string {
	return [Features]string{"words", "tails", "humps", "numbers", "marks", "blanks", "latin", "cyrillic", "han", "kana", "hangul", "semitic", "other", "symbols"}
}

const (
	sixth  = 6 // letters that most words have in one token
	triple = 3 // digits of one token
)

// Count counts the features of a text.
func Count(text string) (f [Features]int) {
	letters, digits, space := 0, 0, 0
	var last byte
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(text[i:])
			f[class(r)] += worth(r, n)
			i, letters, digits, space, last = i+n, 0, 0, 0, 0
			continue
		}
		i++
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			if letters == 0 {
				f[words]++
			}
			if letters++; letters > sixth {
				f[tails]++
			}
			if last >= 'a' && c <= 'Z' || digits > 0 {
				f[humps]++
			}
			digits, space = 0, 0
		case c >= '0' && c <= '9':
			if digits%triple == 0 {
				f[numbers]++
			}
			digits++
			letters, space = 0, 0
		case c <= ' ':
			if space++; space == 2 || space == 1 && c != ' ' {
				f[blanks]++
			}
			letters, digits = 0, 0
		default:
			f[marks]++
			letters, digits, space = 0, 0, 0
		}
		last = c
	}
	return f
}

// worth is what a character adds to its feature.
func worth(r rune, bytes int) int {
	if class(r) == symbols {
		return bytes
	}
	return 1
}

// class is the feature of a character beyond ASCII.
func class(r rune) int {
	switch {
	case r >= 0xc0 && r < 0x250, r >= 0x1e00 && r < 0x1f00, r >= 0x300 && r < 0x370:
		return latin
	case r >= 0x370 && r < 0x530:
		return cyrillic
	case r >= 0x4e00 && r < 0xa000, r >= 0x3400 && r < 0x4dc0:
		return han
	case r >= 0x3040 && r < 0x3100:
		return kana
	case r >= 0xac00 && r < 0xd7b0:
		return hangul
	case r >= 0x590 && r < 0x780, r >= 0xfb1d && r < 0xfe00, r >= 0xfe70 && r < 0xff00:
		return semitic
	case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r):
		return other
	}
	return symbols
}

// Encoding is a fit to one vocabulary.
type Encoding struct {
	Name   string    `yaml:"name"`
	Models []string  `yaml:"models"` // * at the end stands for anything; the first that matches counts
	Fit    []float64 `yaml:"fit"`    // tokens of each feature
	Factor float64   `yaml:"factor"` // on top, so that few texts are taken for shorter than they are
	Error  string    `yaml:"error"`  // as measured
}

// Table of encodings.
type Table struct{ all []Encoding }

type file struct {
	Encodings []Encoding `yaml:"encodings"`
}

// Load reads the shipped table. The last encoding is for models that none names.
func Load() (*Table, error) {
	f, err := conf.Decode("content/prices/tokens.yaml", content.Tokens(), file{})
	if err != nil {
		return nil, err
	}
	for _, e := range f.Encodings {
		if len(e.Fit) != Features || e.Factor < 1 {
			return nil, fmt.Errorf("tokens: %s has %d weights of %d, factor %v of at least 1", e.Name, len(e.Fit), Features, e.Factor)
		}
		if e.Error == "" {
			return nil, fmt.Errorf("tokens: %s does not say how far off it is", e.Name)
		}
		for _, w := range e.Fit {
			if !(w >= 0 && w < 100) {
				return nil, fmt.Errorf("tokens: %s has the weight %v", e.Name, w)
			}
		}
	}
	if len(f.Encodings) == 0 {
		return nil, fmt.Errorf("tokens: the table is empty")
	}
	return &Table{f.Encodings}, nil
}

// Of is the encoding that a model is counted with.
func (t *Table) Of(model string) *Encoding {
	model = model[strings.LastIndexAny(model, "/.")+1:] // of a provider's prefix: openai/gpt-4o
	for i := range t.all {
		for _, m := range t.all[i].Models {
			if start, any := strings.CutSuffix(m, "*"); m == model || any && strings.HasPrefix(model, start) {
				return &t.all[i]
			}
		}
	}
	return &t.all[len(t.all)-1]
}

// Tokens estimates a text, rather too many than too few.
func (e *Encoding) Tokens(text string) int64 {
	f := Count(text)
	sum := 0.0
	for i, n := range f {
		sum += e.Fit[i] * float64(n)
	}
	n := int64(sum * e.Factor)
	if text != "" {
		n++
	}
	return n
}
