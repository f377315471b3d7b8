package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// tableFunctions are the only functions that may stand where a table stands: they make rows from their arguments. All
// others read files, catalogues, settings or memory, or run text as SQL.
var tableFunctions = []string{"range", "generate_series", "unnest", "json_each", "json_tree", "repeat"}

// refusedFunctions are scalar functions that do something else than compute.
var refusedFunctions = []string{"write_log", "getenv", "nextval", "currval", "current_setting", "set_config"}

// cut is a statement without its EXPLAIN.
type cut struct {
	explain bool
	bounded bool   // the answer has a size of its own: a LIMIT, or a description
	sql     string // the rest
	offset  int    // of sql in the whole, bytes
	tree    any    // what the parser made of it, once it is judged
	own     map[string]bool
}

const explain = "EXPLAIN "

// shift is what to add to a place in the statement that is run to find it in the whole.
func (c cut) shift() int {
	if c.explain {
		return c.offset - len(explain)
	}
	return c.offset
}

// splitExplain takes EXPLAIN off. EXPLAIN ANALYZE would run what it explains, and has no place here.
func splitExplain(sql string) (cut, error) {
	at := skipBlank(sql, 0)
	word, next := wordAt(sql, at)
	if !strings.EqualFold(word, "explain") {
		return cut{sql: sql}, nil
	}
	at = skipBlank(sql, next)
	word, _ = wordAt(sql, at)
	if strings.EqualFold(word, "analyze") || strings.EqualFold(word, "analyse") {
		return cut{}, refusedAt(sql, at, "EXPLAIN ANALYZE runs the statement: use EXPLAIN")
	}
	if at < len(sql) && sql[at] == '(' {
		inner, _ := wordAt(sql, skipBlank(sql, at+1))
		if !slices.Contains([]string{"select", "with", "from", "values", "table"}, strings.ToLower(inner)) && !strings.HasPrefix(sql[at:], "((") {
			return cut{}, refusedAt(sql, at, "EXPLAIN takes no options here")
		}
	}
	return cut{explain: true, sql: sql[at:], offset: at}, nil
}

// skipBlank is the index of the first byte from at that is neither space nor comment.
func skipBlank(s string, at int) int {
	for at < len(s) {
		switch {
		case strings.IndexByte(" \t\r\n\f\v", s[at]) >= 0:
			at++
		case strings.HasPrefix(s[at:], "--"):
			n := strings.IndexByte(s[at:], '\n')
			if n < 0 {
				return len(s)
			}
			at += n + 1
		case strings.HasPrefix(s[at:], "/*"):
			depth, i := 1, at+2
			for i < len(s) && depth > 0 {
				switch {
				case strings.HasPrefix(s[i:], "/*"):
					depth, i = depth+1, i+2
				case strings.HasPrefix(s[i:], "*/"):
					depth, i = depth-1, i+2
				default:
					i++
				}
			}
			at = i
		default:
			return at
		}
	}
	return at
}

func wordAt(s string, at int) (string, int) {
	end := at
	for end < len(s) && (s[end] == '_' || s[end]|0x20 >= 'a' && s[end]|0x20 <= 'z' || end > at && s[end] >= '0' && s[end] <= '9') {
		end++
	}
	return s[at:end], end
}

// words are the words of a statement in lower case, wherever they stand.
func words(sql string) map[string]bool {
	out := map[string]bool{}
	for at := 0; at < len(sql); {
		w, end := wordAt(sql, at)
		if end == at {
			at++
			continue
		}
		out[strings.ToLower(w)] = true
		at = end
	}
	return out
}

// everyName says that a statement may be about all views there are.
func everyName(words map[string]bool) bool { return words["show"] || words["information_schema"] }

// mentioned lists the views whose names occur in a statement: those, and perhaps more than those, that it reads. The
// statement is not understood here; a name in a comment costs a look at a few files and nothing else.
func mentioned(sql string) []*view {
	words := words(sql)
	var out []*view
	for _, v := range views() {
		if everyName(words) || words[v.name] || words[v.raw()] {
			out = append(out, v)
		}
	}
	return out
}

// parsed is what the engine's parser says about a statement, as JSON. Text for people is not trusted to be short.
type parsed struct {
	Error    bool              `json:"error"`
	Type     string            `json:"error_type"`
	Message  string            `json:"error_message"`
	Position string            `json:"position"`
	List     []json.RawMessage `json:"statements"`
}

// judge decides on a statement from its syntax tree: exactly one SELECT that names only views of the lake, tables it
// makes itself, and functions that compute.
func judge(whole string, c *cut, raw []byte) error {
	var p parsed
	var broken *json.SyntaxError
	if err := json.Unmarshal(raw, &p); errors.As(err, &broken) {
		return &StatementError{Refused: true, Message: "the engine's reading of it is no JSON, as when a number is beyond 1.8e308: what cannot be looked at is not run"}
	} else if err != nil {
		return fmt.Errorf("read syntax tree: %w", err)
	}
	switch {
	case p.Error && p.Type == "not implemented" && strings.HasPrefix(p.Message, "Only SELECT"):
		return &StatementError{Refused: true, Message: "only SELECT, and EXPLAIN of one, can be asked: nothing in the lake is ever changed"}
	case p.Error && p.Type == "not implemented":
		return &StatementError{Refused: true, Message: oneLine(p.Message)}
	case p.Error:
		e := &StatementError{Message: oneLine(p.Message)}
		var at int
		if _, err := fmt.Sscanf(p.Position, "%d", &at); err == nil {
			e.at(whole, at+c.offset)
		}
		return e
	case len(p.List) == 0:
		return &StatementError{Message: "no statement: for example SELECT count(*) AS n FROM signals"}
	case len(p.List) > 1:
		return &StatementError{Refused: true, Message: fmt.Sprintf("%d statements: ask one at a time", len(p.List))}
	}
	var tree any
	if err := json.Unmarshal(p.List[0], &tree); err != nil {
		return fmt.Errorf("read syntax tree: %w", err)
	}
	c.bounded = bounded(tree)
	w := walker{whole: whole, offset: c.offset, own: map[string]bool{}}
	w.names(tree)
	c.tree, c.own = tree, w.own
	return w.check(tree)
}

// bounded says whether a tree has a LIMIT on top, or describes a table.
func bounded(tree any) bool {
	top, _ := tree.(map[string]any)
	node, _ := top["node"].(map[string]any)
	from, _ := node["from_table"].(map[string]any)
	if text(from, "type") == "SHOW_REF" {
		return true
	}
	modifiers, _ := node["modifiers"].([]any)
	for _, x := range modifiers {
		if m, ok := x.(map[string]any); ok && strings.HasPrefix(text(m, "type"), "LIMIT") {
			return true
		}
	}
	return false
}

// limited is the statement with a LIMIT of n behind it.
func (c *cut) limited(n int) string {
	return strings.TrimRight(c.sql, " \t\r\n;") + fmt.Sprintf("\nLIMIT %d", n)
}

// walker goes through a syntax tree. own are the names of tables the statement makes itself (WITH).
type walker struct {
	whole  string
	offset int
	own    map[string]bool
}

func (w *walker) names(node any) {
	switch n := node.(type) {
	case []any:
		for _, x := range n {
			w.names(x)
		}
	case map[string]any:
		if m, ok := n["cte_map"].(map[string]any); ok {
			list, _ := m["map"].([]any)
			for _, x := range list {
				if entry, ok := x.(map[string]any); ok {
					w.own[strings.ToLower(text(entry, "key"))] = true
				}
			}
		}
		for _, x := range n {
			w.names(x)
		}
	}
}

func (w *walker) check(node any) error {
	switch n := node.(type) {
	case []any:
		for _, x := range n {
			if err := w.check(x); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := w.node(n); err != nil {
			return err
		}
		keys := make([]string, 0, len(n))
		for k := range n {
			keys = append(keys, k)
		}
		slices.Sort(keys) // the same complaint every time
		for _, k := range keys {
			if err := w.check(n[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) node(n map[string]any) error {
	at := w.offset + location(n)
	switch text(n, "type") {
	case "TABLE_FUNCTION":
		f, _ := n["function"].(map[string]any)
		name := strings.ToLower(text(f, "function_name"))
		if !slices.Contains(tableFunctions, name) {
			return refusedAt(w.whole, at, fmt.Sprintf("%s is not available: a hunt reads the lake's views (bartizan hunt --views) and nothing else", quoteName(name)))
		}
	case "FUNCTION":
		if name := strings.ToLower(text(n, "function_name")); slices.Contains(refusedFunctions, name) || strings.HasPrefix(name, "pragma_") {
			return refusedAt(w.whole, at, fmt.Sprintf("the function %s is not available", quoteName(name)))
		}
	case "BASE_TABLE":
		return w.table(n, at)
	}
	return nil
}

func (w *walker) table(n map[string]any, at int) error {
	name, schema, catalog := strings.ToLower(text(n, "table_name")), strings.ToLower(text(n, "schema_name")), strings.ToLower(text(n, "catalog_name"))
	switch {
	case catalog == "" && schema == "information_schema" && slices.Contains([]string{"tables", "columns"}, name):
		return nil
	case catalog == "" && schema == "" && (w.own[name] || viewNamed(name) != nil):
		return nil
	case catalog == "" && schema == "main" && viewNamed(name) != nil:
		return nil
	}
	if schema != "" {
		name = schema + "." + name
	}
	e := &StatementError{Message: "no view " + quoteName(name), Near: nearest(name, viewNames())}
	e.at(w.whole, at)
	return e
}

// location is where a node stands in the text, 0 when the parser does not say.
func location(n map[string]any) int {
	f, ok := n["query_location"].(float64)
	if !ok || f > MaxSQL {
		return 0
	}
	return int(f)
}

func text(n map[string]any, key string) string {
	s, _ := n[key].(string)
	return s
}

func refusedAt(sql string, at int, message string) *StatementError {
	e := &StatementError{Refused: true, Message: message}
	e.at(sql, at)
	return e
}

// at sets line and column from a byte offset.
func (e *StatementError) at(sql string, offset int) {
	offset = min(max(offset, 0), len(sql))
	before := sql[:offset]
	e.Line = strings.Count(before, "\n") + 1
	e.Column = utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// oneLine makes the engine's message one printable line of bounded length.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 400 {
		s = string(r[:399]) + "…"
	}
	return s
}

func quoteName(s string) string { return fmt.Sprintf("%.80q", s) }

// nearest is the name that differs least from s, "" when none is near.
func nearest(s string, names []string) string {
	best, least := "", max(2, len(s)/3)+1
	for _, n := range names {
		if d := distance(strings.ToLower(s), strings.ToLower(n), least); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of edits between two words, or limit when it is at least that.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
