package sigma

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fataler is what a testing.T and a rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// naive is the evaluator of the specification as one would write it first:
// every rule, field by field, over maps, with regular expressions for
// wildcards. It shares the parser of rules with the engine and nothing of what
// makes the engine fast.
type naive struct {
	docs  []document
	names map[string][]string // searches per rule id
	res   map[string]*regexp.Regexp
	tax   *taxonomy
}

func newNaive(t fataler, docs []document) *naive {
	t.Helper()
	tax, err := loadTaxonomy(Options{}.taxonomy())
	if err != nil {
		t.Fatal(err)
	}
	n := &naive{docs: docs, names: map[string][]string{}, res: map[string]*regexp.Regexp{}, tax: tax}
	for _, d := range docs {
		for _, s := range d.searches {
			n.names[d.id] = append(n.names[d.id], s.name)
		}
		slices.Sort(n.names[d.id])
	}
	return n
}

func (n *naive) compile(expr string) *regexp.Regexp {
	re := n.res[expr]
	if re == nil {
		re = regexp.MustCompile(expr)
		n.res[expr] = re
	}
	return re
}

// naiveEvent is an event as maps, with what the taxonomy makes of it.
type naiveEvent struct {
	root    any
	shape   *shape
	applied []source
	have    []Logsource
	cache   map[string][]any
}

func (n *naive) event(t fataler, text []byte, from Logsource) *naiveEvent {
	t.Helper()
	e := &naiveEvent{cache: map[string][]any{}}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	if err := dec.Decode(&e.root); err != nil {
		t.Fatal(err)
	}
	for _, e.shape = range n.tax.shapes {
		s := e.shape.source
		if from.Product != "" && s.Product != "" && from.Product != s.Product || from.Service != "" && s.Service != "" && from.Service != s.Service || from.Category != "" && s.Category != "" && from.Category != s.Category {
			continue
		}
		if !slices.ContainsFunc(e.shape.has, func(p Path) bool { return len(e.at(p)) == 0 }) {
			break
		}
	}
	base := from
	if base.Product == "" {
		base.Product = e.shape.source.Product
	}
	if base.Category == "" {
		base.Category = e.shape.source.Category
	}
	if base.Service == "" {
		base.Service = e.shape.source.Service
	}
	e.have = []Logsource{base}
	for _, src := range n.tax.sources {
		ok := src.logsource.Product == base.Product
		for f, want := range src.when {
			ok = ok && slices.ContainsFunc(e.lookup(e.shape.paths(f, nil)), func(v any) bool {
				return slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, plain(v)) })
			})
		}
		if ok {
			e.applied = append(e.applied, src)
			e.have = append(e.have, src.logsource)
		}
	}
	return e
}

func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return canonicalNumber(v.String())
		}
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (e *naiveEvent) at(p Path) []any {
	if m, ok := e.root.(map[string]any); ok && len(p.Parts) > 1 {
		if v, ok := m[p.Name]; ok {
			return spread(v)
		}
	}
	level := []any{e.root}
	for _, part := range p.Parts {
		var next []any
		for _, v := range level {
			for _, v := range spread(v) {
				m, ok := v.(map[string]any)
				if !ok {
					continue
				}
				if part == "*" {
					for _, child := range m {
						next = append(next, child)
					}
				} else if child, ok := m[part]; ok {
					next = append(next, child)
				}
			}
		}
		level = next
	}
	var out []any
	for _, v := range level {
		out = append(out, spread(v)...)
	}
	return out
}

func spread(v any) (out []any) {
	list, ok := v.([]any)
	if !ok {
		return []any{v}
	}
	for _, e := range list {
		out = append(out, spread(e)...)
	}
	return out
}

func (e *naiveEvent) lookup(paths []Path) []any {
	for _, p := range paths {
		if v := e.at(p); len(v) > 0 {
			return v
		}
	}
	return nil
}

func (e *naiveEvent) field(name string) []any {
	v, ok := e.cache[name]
	if !ok {
		v = e.lookup(e.shape.paths(name, e.applied))
		e.cache[name] = v
	}
	return v
}

func leaves(v any) (out []any) {
	switch v := v.(type) {
	case map[string]any:
		for _, c := range v {
			out = append(out, leaves(c)...)
		}
	case []any:
		for _, c := range v {
			out = append(out, leaves(c)...)
		}
	default:
		out = append(out, v)
	}
	return out
}

// matches returns the ids of the rules that the event meets, sorted.
func (n *naive) matches(e *naiveEvent) (ids []string) {
	for i := range n.docs {
		d := &n.docs[i]
		if !slices.ContainsFunc(e.have, func(l Logsource) bool { return l.covers(d.logsource) }) {
			continue
		}
		searches := map[string]*search{}
		for j := range d.searches {
			searches[d.searches[j].name] = &d.searches[j]
		}
		for _, text := range d.conditions {
			x, agg, err := parseCondition(text, n.names[d.id])
			if err == nil && agg == nil && n.expr(x, searches, e) {
				ids = append(ids, d.id)
				break
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func (n *naive) expr(x *expr, searches map[string]*search, e *naiveEvent) bool {
	switch x.op {
	case opName:
		return slices.ContainsFunc(searches[x.name].alts, func(all []item) bool {
			return !slices.ContainsFunc(all, func(it item) bool { return !n.item(it, e) })
		})
	case opNot:
		return !n.expr(x.kids[0], searches, e)
	case opAnd:
		return !slices.ContainsFunc(x.kids, func(k *expr) bool { return !n.expr(k, searches, e) })
	}
	return slices.ContainsFunc(x.kids, func(k *expr) bool { return n.expr(k, searches, e) })
}

func (n *naive) item(it item, e *naiveEvent) bool {
	q, err := parseModifiers(it)
	if err != nil {
		return false
	}
	one := func(v scalar) bool { return n.value(q, v, e) }
	yes := slices.ContainsFunc(it.values, one)
	if q.all {
		yes = !slices.ContainsFunc(it.values, func(v scalar) bool { return !one(v) })
	}
	return yes != q.negated
}

func (n *naive) value(q question, want scalar, e *naiveEvent) bool {
	have := leaves(e.root)
	if q.field != "" {
		have = e.field(q.field)
	}
	some := func(f func(s string) bool) bool {
		return slices.ContainsFunc(have, func(v any) bool { return v != nil && f(plain(v)) })
	}
	switch q.kind {
	case "exists":
		return fmt.Sprint(len(have) > 0) == want.text
	case "fieldref":
		return some(func(s string) bool {
			return slices.ContainsFunc(e.field(want.text), func(v any) bool {
				o := regexp.QuoteMeta(plain(v))
				return v != nil && n.compile(around(q.position, o, q.cased)).MatchString(s)
			})
		})
	case "re":
		flags := ""
		if q.regexpFlags != "" {
			flags = "(?" + q.regexpFlags + ")"
		}
		return some(n.compile(flags + want.raw).MatchString)
	case "cidr":
		p := netip.MustParsePrefix(want.text)
		return some(func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && p.Contains(a.Unmap()) })
	case "gt", "gte", "lt", "lte":
		w, _ := strconv.ParseFloat(want.text, 64) // checked when loaded
		return some(func(s string) bool {
			f, err := strconv.ParseFloat(s, 64)
			return err == nil && (q.kind == "gt" && f > w || q.kind == "gte" && f >= w || q.kind == "lt" && f < w || q.kind == "lte" && f <= w)
		})
	}
	if want.null {
		return len(have) == 0 || slices.Contains(have, nil)
	}
	values := []string{want.text}
	if want.number {
		values = append(values, want.raw)
	}
	return slices.ContainsFunc(values, func(w string) bool {
		position := q.position
		if q.field == "" {
			position = "contains"
		}
		return some(n.compile(around(position, wildcards(w, q.windash), q.cased)).MatchString)
	})
}

func around(position, expr string, cased bool) string {
	flags := "(?is)"
	if cased {
		flags = "(?s)"
	}
	switch position {
	case "contains":
		return flags + "^.*" + expr + ".*$"
	case "startswith":
		return flags + "^" + expr + ".*$"
	case "endswith":
		return flags + "^.*" + expr + "$"
	}
	return flags + "^" + expr + "$"
}

// wildcards writes a Sigma text as a regular expression, rune by rune.
func wildcards(s string, windash bool) string {
	var b strings.Builder
	r := []rune(s)
	for i := 0; i < len(r); i++ {
		word := func(j int) bool { return j >= 0 && j < len(r) && r[j] < utf8.RuneSelf && isWord(byte(r[j])) }
		switch {
		case r[i] == '\\' && i+1 < len(r) && strings.ContainsRune(`*?\`, r[i+1]):
			i++
			b.WriteString(regexp.QuoteMeta(string(r[i])))
		case r[i] == '*':
			b.WriteString(".*")
		case r[i] == '?':
			b.WriteString(".")
		case windash && (r[i] == '-' || r[i] == '/') && !word(i-1) && word(i+1):
			b.WriteString("[-/–—―]")
		default:
			b.WriteString(regexp.QuoteMeta(string(r[i])))
		}
	}
	return b.String()
}
