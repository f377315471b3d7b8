package dns

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"bartizan/content"
)

// letters are the characters that the table of costs has; the dot stands for
// the beginning and the end.
const letters = ".abcdefghijklmnopqrstuvwxyz0123456789-_"

// foreign is what a character costs that no name has: more than any other.
const foreign = 9

// knowledge is what content/dns says.
type knowledge struct {
	cost   [len(letters)][len(letters)]float32 // bits of the second after the first
	place  [256]int8
	quiet  map[string]bool
	shared map[string]bool
	pools  map[string]bool
	begins []string // labels of miners begin so
	ends   []string
}

func loadKnowledge() (*knowledge, error) {
	k := &knowledge{}
	dir := content.DNS()
	lines := func(name string) ([]string, error) {
		raw, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("read content/dns: %w", err)
		}
		var out []string
		for l := range strings.Lines(string(raw)) {
			if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
				out = append(out, l)
			}
		}
		return out, nil
	}
	rows, err := lines("letters.txt")
	if err != nil {
		return nil, err
	}
	if len(rows) != len(letters) {
		return nil, fmt.Errorf("content/dns/letters.txt: %d rows, want %d", len(rows), len(letters))
	}
	for i, row := range rows {
		cells := strings.Fields(row)
		if len(cells) != len(letters) {
			return nil, fmt.Errorf("content/dns/letters.txt: row %d has %d numbers, want %d", i+1, len(cells), len(letters))
		}
		for j, cell := range cells {
			n, err := strconv.ParseUint(cell, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("content/dns/letters.txt: row %d: %w", i+1, err)
			}
			k.cost[i][j] = float32(n) / 16
		}
	}
	for i := range k.place {
		k.place[i] = int8(strings.IndexByte(letters, byte(i)))
	}
	for name, set := range map[string]*map[string]bool{"quiet.txt": &k.quiet, "shared.txt": &k.shared, "pools.txt": &k.pools} {
		list, err := lines(name)
		if err != nil {
			return nil, err
		}
		*set = make(map[string]bool, len(list))
		for _, l := range list {
			switch {
			case strings.HasSuffix(l, "*"):
				k.begins = append(k.begins, strings.TrimSuffix(l, "*"))
			case strings.HasPrefix(l, "*"):
				k.ends = append(k.ends, strings.TrimPrefix(l, "*"))
			default:
				(*set)[l] = true
			}
		}
	}
	return k, nil
}

// surprise is the mean cost in bits of the characters of a text without dots,
// as far as people choose names: about 4 for words, 5 and more for what a
// program made.
func (k *knowledge) surprise(s string) float64 {
	sum, last := float32(0), 0
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		at := k.place[c]
		if at <= 0 {
			sum, last = sum+foreign, 0
			continue
		}
		sum, last = sum+k.cost[last][at], int(at)
	}
	return float64(sum+k.cost[last][0]) / float64(len(s)+1)
}

// under reports whether a name is in a set, or below one of it.
func under(set map[string]bool, name string) bool {
	for name != "" {
		if set[name] {
			return true
		}
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			return false
		}
		name = parent
	}
	return false
}

func (k *knowledge) quietName(name, zoneName string) bool {
	return k.quiet[zoneName] || name != zoneName && under(k.quiet, name)
}

// pool reports whether a miner asks for such a name.
func (k *knowledge) pool(name string) bool {
	if under(k.pools, name) {
		return true
	}
	label, _, _ := strings.Cut(name, ".")
	for _, p := range k.begins {
		if strings.HasPrefix(label, p) {
			return true
		}
	}
	for _, p := range k.ends {
		if strings.HasSuffix(label, p) {
			return true
		}
	}
	return false
}
