package query

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/lake"
)

// reference is one place where a statement reads a view, and what every row that counts there must fulfil. It never says
// more than the statement does: what is not understood is no condition.
type reference struct {
	view  *view
	from  time.Time // zero: no bound
	until time.Time // zero: no bound; a row at that very moment may count
	equal []equal
}

// equal says that a column of the files, here by its path in them, has one of some values.
type equal struct {
	leaf   []string
	values []string
}

// span is the time that all references to a class have together.
type span struct {
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// spans makes one span per class.
func spans(refs []reference) map[string]span {
	out := map[string]span{}
	for _, r := range refs {
		s, ok := out[r.view.class]
		if !ok {
			out[r.view.class] = span{r.from, r.until}
			continue
		}
		if r.from.IsZero() || !s.Since.IsZero() && r.from.Before(s.Since) {
			s.Since = r.from
		}
		if r.until.IsZero() || !s.Until.IsZero() && r.until.After(s.Until) {
			s.Until = r.until
		}
		out[r.view.class] = s
	}
	return out
}

// needs are what rows of a class must fulfil, for the classes whose references all say something.
func needs(refs []reference) map[string][]lake.Need {
	out, whole := map[string][]lake.Need{}, map[string]bool{}
	for _, r := range refs {
		var n lake.Need
		for _, q := range r.equal {
			n = append(n, lake.Equal{Column: q.leaf, Values: q.values})
		}
		out[r.view.class] = append(out[r.view.class], n)
		whole[r.view.class] = whole[r.view.class] || len(n) == 0
	}
	for class := range whole {
		if whole[class] {
			delete(out, class)
		}
	}
	return out
}

// narrower reads the conditions of a statement from its syntax tree, which judge has let pass. now is before the moment
// at which the engine takes its own, late after it.
type narrower struct {
	own    map[string]bool
	params []Param
	now    time.Time
	late   time.Time
	refs   []reference
}

// margin widens bounds by more than the rounding of any time.
const margin = time.Second

// visit goes through a tree and notes every reference to a view.
func (n *narrower) visit(node any) {
	switch x := node.(type) {
	case []any:
		for _, y := range x {
			n.visit(y)
		}
	case map[string]any:
		switch text(x, "type") {
		case "SELECT_NODE":
			n.tables(x["from_table"], conjuncts(x["where_clause"], nil), true)
			for k, y := range x {
				if k != "from_table" {
					n.visit(y)
				}
			}
			return
		case "BASE_TABLE":
			n.tables(x, nil, false)
			return
		}
		for _, y := range x {
			n.visit(y)
		}
	}
}

// tables notes the views of a FROM clause; where holds of every row that is made of them when it is an inner join, or
// only one table (alone).
func (n *narrower) tables(node any, where []map[string]any, alone bool) {
	x, _ := node.(map[string]any)
	switch kind := text(x, "type"); {
	case kind == "BASE_TABLE":
		name := strings.ToLower(text(x, "table_name"))
		v := viewNamed(name)
		if v == nil {
			return
		}
		r := reference{view: v}
		renamed, _ := x["column_name_alias"].([]any)
		if v.name == name && !n.own[name] && len(renamed) == 0 && x["sample"] == nil {
			alias := strings.ToLower(text(x, "alias"))
			if alias == "" {
				alias = name
			}
			for _, c := range where {
				n.condition(&r, c, alias, alone)
			}
		}
		n.refs = append(n.refs, r)
	case kind == "JOIN" && text(x, "join_type") == "INNER" && (text(x, "ref_type") == "REGULAR" || text(x, "ref_type") == "CROSS"):
		n.tables(x["left"], where, false)
		n.tables(x["right"], where, false)
		n.visit(x["condition"])
	default:
		n.visit(node)
	}
}

// conjuncts appends the conditions that all hold when a condition does.
func conjuncts(node any, to []map[string]any) []map[string]any {
	x, ok := node.(map[string]any)
	if !ok {
		return to
	}
	if text(x, "type") == "CONJUNCTION_AND" {
		for _, c := range list(x, "children") {
			to = conjuncts(c, to)
		}
		return to
	}
	return append(to, x)
}

func list(x map[string]any, key string) []any {
	l, _ := x[key].([]any)
	return l
}

func child(x map[string]any, key string) map[string]any {
	m, _ := x[key].(map[string]any)
	return m
}

// mirrored is the comparison with its sides exchanged.
func mirrored(op string) string {
	switch op {
	case "COMPARE_GREATERTHAN":
		return "COMPARE_LESSTHAN"
	case "COMPARE_LESSTHAN":
		return "COMPARE_GREATERTHAN"
	case "COMPARE_GREATERTHANOREQUALTO":
		return "COMPARE_LESSTHANOREQUALTO"
	case "COMPARE_LESSTHANOREQUALTO":
		return "COMPARE_GREATERTHANOREQUALTO"
	}
	return op
}

// condition takes from one condition what it says about a table.
func (n *narrower) condition(r *reference, c map[string]any, alias string, alone bool) {
	op := text(c, "type")
	switch op {
	case "COMPARE_BETWEEN":
		col, whole := columnIn(r.view, child(c, "input"), alias, alone)
		n.compare(r, col, whole, "COMPARE_GREATERTHANOREQUALTO", child(c, "lower"))
		n.compare(r, col, whole, "COMPARE_LESSTHANOREQUALTO", child(c, "upper"))
	case "COMPARE_IN":
		in := list(c, "children")
		if len(in) < 2 {
			return
		}
		first, _ := in[0].(map[string]any)
		col, whole := columnIn(r.view, first, alias, alone)
		var values []string
		for _, v := range in[1:] {
			m, _ := v.(map[string]any)
			s, ok := n.text(m)
			if !ok {
				return
			}
			values = append(values, s)
		}
		if leaf := leafOf(col); leaf != nil && !whole {
			r.equal = append(r.equal, equal{leaf, values})
		}
	case "COMPARE_EQUAL", "COMPARE_GREATERTHAN", "COMPARE_LESSTHAN", "COMPARE_GREATERTHANOREQUALTO", "COMPARE_LESSTHANOREQUALTO":
		left, right := child(c, "left"), child(c, "right")
		if col, whole := columnIn(r.view, left, alias, alone); col != nil {
			n.compare(r, col, whole, op, right)
		} else if col, whole := columnIn(r.view, right, alias, alone); col != nil {
			n.compare(r, col, whole, mirrored(op), left)
		}
	}
}

// columnIn is the column of the view that an expression is, nil for any other. whole says that it is one of whole days.
func columnIn(v *view, x map[string]any, alias string, alone bool) (c *column, whole bool) {
	if text(x, "type") == "OPERATOR_CAST" && castTo(x) == "DATE" {
		if c, _ := columnIn(v, child(x, "child"), alias, alone); c != nil && c.name == "time" {
			return c, true
		}
		return nil, false
	}
	if text(x, "type") != "COLUMN_REF" {
		return nil, false
	}
	var names []string
	for _, part := range list(x, "column_names") {
		s, _ := part.(string)
		names = append(names, strings.ToLower(s))
	}
	switch {
	case len(names) == 1 && alone:
	case len(names) == 2 && names[0] == alias:
		names = names[1:]
	default:
		return nil, false
	}
	i := slices.IndexFunc(v.columns, func(c column) bool { return c.name == names[0] })
	if i < 0 {
		return nil, false
	}
	return &v.columns[i], v.columns[i].name == "day"
}

func castTo(x map[string]any) string { return text(child(x, "cast_type"), "id") }

// compare takes what a comparison of a column with an expression says.
func (n *narrower) compare(r *reference, col *column, whole bool, op string, with map[string]any) {
	if col == nil {
		return
	}
	if col.name != "time" && col.name != "day" {
		s, ok := n.text(with)
		if leaf := leafOf(col); ok && leaf != nil && op == "COMPARE_EQUAL" {
			r.equal = append(r.equal, equal{leaf, []string{s}})
		}
		return
	}
	m, ok := n.moment(with)
	if !ok {
		return
	}
	low, high := m.low, m.high
	if whole { // the day of the column is compared, with midnights: a row counts until its day is over
		if !m.date && op != "COMPARE_GREATERTHAN" && op != "COMPARE_GREATERTHANOREQUALTO" {
			return
		}
		if op != "COMPARE_LESSTHAN" {
			high = high.Add(24 * time.Hour)
		}
		low = low.Truncate(24 * time.Hour)
	}
	low, high = low.Add(-margin), high.Add(margin)
	if op != "COMPARE_LESSTHAN" && op != "COMPARE_LESSTHANOREQUALTO" && (r.from.IsZero() || low.After(r.from)) {
		r.from = low
	}
	if op != "COMPARE_GREATERTHAN" && op != "COMPARE_GREATERTHANOREQUALTO" && (r.until.IsZero() || high.Before(r.until)) {
		r.until = high
	}
}

var bare = regexp.MustCompile(`^\{([a-z_0-9.]+)\}$`)

// leafOf is where a column of text is in the files, when the view has it as it is there.
func leafOf(c *column) []string {
	if c == nil || c.kind != "VARCHAR" {
		return nil
	}
	m := bare.FindStringSubmatch(c.expr)
	if m == nil {
		return nil
	}
	return strings.Split(m[1], ".")
}

// text is the value of a text constant, or of a parameter.
func (n *narrower) text(x map[string]any) (string, bool) {
	switch text(x, "type") {
	case "VALUE_CONSTANT":
		v := child(x, "value")
		s, ok := v["value"].(string)
		return s, ok && text(child(v, "type"), "id") == "VARCHAR"
	case "VALUE_PARAMETER":
		name := text(x, "identifier")
		i := slices.IndexFunc(n.params, func(p Param) bool { return strings.EqualFold(p.Name, name) })
		if i < 0 {
			return "", false
		}
		return n.params[i].Value, true
	}
	return "", false
}

// instant is a time that an expression is at some moment between now and late: low to high. date: it is a DATE.
type instant struct {
	low, high time.Time
	date      bool
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// moment evaluates an expression of times, as far as it is one of those people write: constants, now, intervals. All of
// them grow with now, so that their ends come of the ends of now.
func (n *narrower) moment(x map[string]any) (instant, bool) {
	if s, ok := n.text(x); ok {
		return constantTime(s)
	}
	switch text(x, "type") {
	case "COLUMN_REF":
		if names := list(x, "column_names"); len(names) == 1 {
			if s, _ := names[0].(string); strings.HasPrefix(strings.ToLower(s), "current_") { // written without parentheses
				return n.clock(strings.ToLower(s))
			}
		}
	case "OPERATOR_CAST":
		m, ok := n.moment(child(x, "child"))
		switch castTo(x) {
		case "DATE":
			return instant{day(m.low), day(m.high), true}, ok
		case "TIMESTAMP WITH TIME ZONE", "TIMESTAMP":
			m.date = false
			return m, ok
		}
	case "FUNCTION":
		return n.function(strings.ToLower(text(x, "function_name")), list(x, "children"))
	}
	return instant{}, false
}

func (n *narrower) clock(name string) (instant, bool) {
	switch name {
	case "now", "current_timestamp", "get_current_timestamp", "transaction_timestamp":
		return instant{n.now, n.late, false}, true
	case "current_date", "today":
		return instant{day(n.now), day(n.late), true}, true
	}
	return instant{}, false
}

func (n *narrower) function(name string, args []any) (instant, bool) {
	arg := func(i int) map[string]any { m, _ := args[i].(map[string]any); return m }
	switch {
	case len(args) == 0:
		return n.clock(name)
	case len(args) != 2:
		return instant{}, false
	case name == "date_trunc":
		unit, ok := n.text(arg(0))
		m, ok2 := n.moment(arg(1))
		step, known := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.ToLower(unit)]
		return instant{m.low.UTC().Truncate(step), m.high.UTC().Truncate(step), false}, ok && ok2 && known
	case name == "-" || name == "+":
		if _, text := n.text(arg(0)); text {
			return instant{}, false // of no type yet
		}
		m, ok := n.moment(arg(0))
		least, most, ok2 := n.interval(arg(1), m.date)
		if !ok || !ok2 {
			return instant{}, false
		}
		m.date = m.date && text(arg(1), "type") == "VALUE_CONSTANT"
		if name == "-" {
			least, most = -most, -least
		}
		m.low, m.high = m.low.Add(least), m.high.Add(most)
		return m, true
	}
	return instant{}, false
}

// units are the shortest and the longest time of each.
func units(name string) (least, most time.Duration) {
	const d = 24 * time.Hour
	switch strings.TrimSuffix(name, "s") {
	case "second":
		return time.Second, time.Second
	case "minute":
		return time.Minute, time.Minute
	case "hour":
		return time.Hour, time.Hour
	case "day":
		return d, d
	case "week":
		return 7 * d, 7 * d
	case "month":
		return 28 * d, 31 * d
	case "year":
		return 365 * d, 366 * d
	}
	return 0, 0
}

var intervalWords = regexp.MustCompile(`^\s*([0-9]{1,4})\s+([a-zA-Z]+)\s*$`)

// interval is how long an interval of a whole, positive number of units is. A bare number is one of days when it is added to a date.
func (n *narrower) interval(x map[string]any, date bool) (least, most time.Duration, ok bool) {
	unit, count := "", int64(0)
	switch text(x, "type") {
	case "VALUE_CONSTANT":
		if unit, count = "day", integer(x); !date {
			return 0, 0, false
		}
	case "OPERATOR_CAST":
		s, ok := n.text(child(x, "child"))
		m := intervalWords.FindStringSubmatch(s)
		if !ok || m == nil || castTo(x) != "INTERVAL" {
			return 0, 0, false
		}
		unit = strings.ToLower(m[2])
		count, _ = strconv.ParseInt(m[1], 10, 64)
	case "FUNCTION": // INTERVAL 7 DAY is to_days(7) with casts about the number
		args := list(x, "children")
		if len(args) != 1 {
			return 0, 0, false
		}
		unit, _ = strings.CutPrefix(strings.ToLower(text(x, "function_name")), "to_")
		arg, _ := args[0].(map[string]any)
		for range 4 {
			switch {
			case text(arg, "type") == "OPERATOR_CAST":
				arg = child(arg, "child")
			case text(arg, "function_name") == "trunc" && len(list(arg, "children")) == 1:
				arg, _ = list(arg, "children")[0].(map[string]any)
			}
		}
		count = integer(arg)
	}
	least, most = units(unit)
	if count <= 0 || count > 9999 || least == 0 {
		return 0, 0, false
	}
	if most > least { // a month is as long as months are: the ends of months add up to three days once
		return time.Duration(count)*least - 3*24*time.Hour, time.Duration(count)*most + 3*24*time.Hour, true
	}
	return time.Duration(count) * least, time.Duration(count) * most, true
}

// integer is the value of a constant that is a whole number, else 0.
func integer(x map[string]any) int64 {
	v := child(x, "value")
	f, ok := v["value"].(float64)
	if id := text(child(v, "type"), "id"); text(x, "type") != "VALUE_CONSTANT" || !ok || !slices.Contains([]string{"INTEGER", "BIGINT"}, id) {
		return 0
	}
	return int64(f)
}

// constantTime reads the plain ways to write a time. All others are no condition.
func constantTime(s string) (instant, bool) {
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339, "2006-01-02 15:04:05-07"} {
		if t, err := time.Parse(layout, s); err == nil {
			return instant{t, t, layout == time.DateOnly}, true
		}
	}
	return instant{}, false
}
