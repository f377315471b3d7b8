package conf

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// fieldSet is what a struct type accepts.
type fieldSet struct {
	names  []string         // in order of declaration
	byName map[string][]int // key to field index path
	rest   []int            // the ",rest" field, nil when there is none
}

// fieldsOf is computed on each use: configurations are read once, and a
// cache would be a package variable that changes.
func fieldsOf(t reflect.Type) fieldSet {
	fs := fieldSet{byName: map[string][]int{}}
	fs.collect(t, nil)
	return fs
}

func (fs *fieldSet) collect(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if tag == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		index := append(append([]int(nil), prefix...), i)
		inline := options == "inline" || (f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct)
		switch {
		case options == "rest":
			if f.Type != reflect.PointerTo(treeType) || fs.rest != nil {
				panic(fmt.Sprintf("BUG: conf: %s.%s: ,rest needs the type conf.Raw and may appear once", t, f.Name))
			}
			fs.rest = index
			continue
		case inline:
			if f.Type.Kind() != reflect.Struct {
				panic(fmt.Sprintf("BUG: conf: %s.%s: ,inline needs a struct", t, f.Name))
			}
			fs.collect(f.Type, index)
			continue
		case !f.IsExported():
			continue
		}
		if tag == "" {
			tag = snake(f.Name)
		}
		if _, dup := fs.byName[tag]; dup {
			panic(fmt.Sprintf("BUG: conf: %s has two fields for the key %q", t, tag))
		}
		fs.byName[tag] = index
		fs.names = append(fs.names, tag)
	}
}

func fieldByIndex(v reflect.Value, index []int) reflect.Value { return v.FieldByIndex(index) }

// snake turns MaxConns into max_conns and HTTPPort into http_port.
func snake(name string) string {
	rs := []rune(name)
	var b strings.Builder
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(rs[i-1]) || (i+1 < len(rs) && unicode.IsLower(rs[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Nearest returns the known name closest to name, for "did you mean", and
// whether it is close enough to be worth saying.
func Nearest(name string, known []string) (string, bool) {
	if len(name) > 100 { // the comparison is quadratic, and nothing we know is that long
		return "", false
	}
	best, bestDist := "", len(name)/2+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), k); d < bestDist || (d == bestDist && best != "" && k < best) {
			best, bestDist = k, d
		}
	}
	return best, best != ""
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swapped neighbours count one each.
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
