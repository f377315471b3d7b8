package main

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

//go:embed grammar/*.txt
var grammarFiles embed.FS

// grammar is a file of templates: "[a|b]" chooses, "{slot}" expands,
// "@slot = a | b" defines, "## name" begins a family.
type grammar struct {
	slots    map[string][]string
	families []family
}

type family struct {
	name      string
	templates []string
}

func loadGrammar(name string) (*grammar, error) {
	data, err := grammarFiles.ReadFile("grammar/" + name + ".txt")
	if err != nil {
		return nil, err
	}
	g := &grammar{slots: map[string][]string{}}
	for n, line := range strings.Split(string(data), "\n") {
		switch {
		case strings.HasPrefix(line, "## "):
			g.families = append(g.families, family{name: line[3:]})
		case strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "##") && n == 0, line == "":
		case strings.HasPrefix(line, "@"):
			slot, body, ok := strings.Cut(line[1:], " = ")
			if !ok {
				return nil, fmt.Errorf("grammar %s, line %d: no \" = \"", name, n+1)
			}
			g.slots[slot] = choices(body, " | ")
		default:
			if len(g.families) == 0 {
				g.families = []family{{name: "all"}}
			}
			f := &g.families[len(g.families)-1]
			f.templates = append(f.templates, line)
		}
	}
	return g, nil
}

// choices splits at separators outside of brackets.
func choices(s, sep string) (out []string) {
	depth, from := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[':
			depth++
		case ']':
			depth--
		}
		if depth == 0 && strings.HasPrefix(s[i:], sep) {
			out = append(out, s[from:i])
			from = i + len(sep)
			i = from - 1
		}
	}
	return append(out, s[from:])
}

// expand draws one text of a template. A bracket without a "|" is literal.
func (g *grammar) expand(t string, r *rand.Rand, depth int) string {
	if depth > 8 {
		return t
	}
	var b strings.Builder
	for i := 0; i < len(t); {
		switch t[i] {
		case '[':
			end := closing(t, i)
			if end < 0 || !hasChoice(t[i+1:end]) {
				b.WriteByte(t[i])
				i++
				continue
			}
			c := choices(t[i+1:end], "|")
			b.WriteString(g.expand(c[r.IntN(len(c))], r, depth+1))
			i = end + 1
		case '{':
			end := strings.IndexByte(t[i:], '}')
			if end < 0 {
				b.WriteByte(t[i])
				i++
				continue
			}
			values, ok := g.slots[t[i+1:i+end]]
			if !ok {
				b.WriteByte(t[i])
				i++
				continue
			}
			b.WriteString(g.expand(values[r.IntN(len(values))], r, depth+1))
			i += end + 1
		default:
			b.WriteByte(t[i])
			i++
		}
	}
	return b.String()
}

func hasChoice(s string) bool { return len(choices(s, "|")) > 1 }

func closing(t string, i int) int {
	depth := 0
	for j := i; j < len(t); j++ {
		switch t[j] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return -1
}

// draw makes n texts per template of a family, without repeats.
func (g *grammar) draw(f family, n int, r *rand.Rand) (out []string) {
	seen := map[string]bool{}
	for _, t := range f.templates {
		for range n {
			s := g.expand(t, r, 0)
			if strings.TrimSpace(s) != "" && !seen[s] {
				seen[s] = true
				s = strings.ReplaceAll(strings.ReplaceAll(s, "  ", " "), `\n`, "\n")
				if t[0] != ' ' {
					_, n := utf8.DecodeRuneInString(s)
					s = strings.ToUpper(s[:n]) + s[n:]
				}
				out = append(out, s)
			}
		}
	}
	return out
}

func (g *grammar) family(name string) family {
	for _, f := range g.families {
		if f.name == name {
			return f
		}
	}
	return family{name: name}
}
