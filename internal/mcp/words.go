package mcp

import (
	_ "embed" // the data
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"bartizan/internal/conf"
)

//go:embed phrases.yaml
var phrasesFile []byte

type phrase struct {
	Name  string   `yaml:"name"`
	Regex string   `yaml:"regex"`
	Match []string `yaml:"match"`
	Not   []string `yaml:"not"`
}

type compiledPhrase struct {
	name string
	re   *regexp.Regexp
}

func readPhrases() ([]phrase, error) {
	file, err := conf.Decode("phrases.yaml", phrasesFile, struct {
		Phrases []phrase `yaml:"phrases"`
	}{})
	return file.Phrases, err
}

var phrases = sync.OnceValues(func() ([]compiledPhrase, error) {
	all, err := readPhrases()
	if err != nil {
		return nil, err
	}
	var out []compiledPhrase
	for _, p := range all {
		re, err := regexp.Compile("(?i)" + p.Regex)
		if err != nil {
			return nil, fmt.Errorf("phrases.yaml: %s: %w", p.Name, err)
		}
		for _, text := range p.Match {
			if !re.MatchString(text) {
				return nil, fmt.Errorf("phrases.yaml: %s does not match its own %q", p.Name, text)
			}
		}
		for _, text := range p.Not {
			if re.MatchString(text) {
				return nil, fmt.Errorf("phrases.yaml: %s matches its own %q", p.Name, text)
			}
		}
		out = append(out, compiledPhrase{p.Name, re})
	}
	return out, nil
})

// Orders says which things a definition's text says that none should, by name.
func Orders(text string) ([]string, error) {
	all, err := phrases()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range all {
		if p.re.MatchString(text) {
			out = append(out, p.name)
		}
	}
	return out, nil
}

// Invisible counts characters that a person does not see and a model reads: tags,
// zero-width and direction controls, variation selectors beyond the two for emoji,
// and other format characters; escape sequences of terminals too.
func Invisible(text string) (n int) {
	emoji := false
	for _, r := range text {
		switch {
		case r == 0xfe0e || r == 0xfe0f || r == 0x200d && emoji:
		case r >= 0xe0000 && r <= 0xe007f, r >= 0xfe00 && r <= 0xfe0d, r >= 0xe0100 && r <= 0xe01ef,
			unicode.Is(unicode.Cf, r) && r != 0x00ad, r == 0x1b, r == 0x08, r == 0x3164, r == 0x115f, r == 0x1160:
			n++
		}
		emoji = unicode.Is(unicode.So, r) || r == 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff
	}
	return n
}

// Plain folds a tool's name so that names that a person or a model takes for the
// same are the same: case, separators, digits that look like letters, and look-alike
// letters of other alphabets.
func Plain(name string) string {
	return strings.Map(func(r rune) rune {
		if to := strings.IndexRune("аеорсухіјѕԁһԛԝαοινρκτ01", r); to >= 0 {
			i := len([]rune("аеорсухіјѕԁһԛԝαοινρκτ01"[:to]))
			return []rune("aeopcyxijsdhqwaoivpktol")[i]
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// Mentions says which of the names stand in a text as words of their own. Names of
// one ordinary word are left out: "search" occurs in honest descriptions.
func Mentions(text string, names []string) (out []string) {
	for _, n := range names {
		if !strings.ContainsAny(n, "_-.") && strings.ToLower(n) == n || len(n) < 4 {
			continue
		}
		for from := 0; ; {
			k := strings.Index(text[from:], n)
			if k < 0 {
				break
			}
			k += from
			if !wordAt(text, k-1) && !wordAt(text, k+len(n)) {
				out = append(out, n)
				break
			}
			from = k + len(n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func wordAt(s string, i int) bool {
	return i >= 0 && i < len(s) && (s[i] == '_' || s[i] == '-' || s[i] >= 0x80 || unicode.IsLetter(rune(s[i])) || unicode.IsDigit(rune(s[i])))
}
