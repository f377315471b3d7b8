package query

import (
	"regexp"
	"strings"
	"sync"

	"bartizan/internal/model"
)

// view is a flat table over one class of the lake.
type view struct {
	name, class, doc string
	columns          []column
}

// column says how a view's column is made: expr is SQL in which {a.b} stands for a column, or field of a struct, of the
// Parquet files. When one of those is missing in every file, the column is NULL.
type column struct {
	name, kind, expr, doc string
	entity                model.EntityType // what an indicator list is compared with; "" = not compared
}

// View describes a view for people and programs.
type View struct {
	Name    string       `json:"name"`
	Doc     string       `json:"doc"`
	Class   string       `json:"class"` // of the lake; the view ocsf_<class> has its columns under their OCSF names
	Columns []ViewColumn `json:"columns"`
}

// ViewColumn is a column of a view.
type ViewColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Doc  string `json:"doc,omitempty"`
}

// Views lists the views, in the order of the catalogue.
func Views() []View {
	var out []View
	for _, v := range views() {
		d := View{Name: v.name, Doc: v.doc, Class: v.class}
		for _, c := range v.columns {
			d.Columns = append(d.Columns, ViewColumn{Name: c.name, Type: c.kind, Doc: c.doc})
		}
		out = append(out, d)
	}
	return out
}

var views = sync.OnceValue(all)

func viewNamed(name string) *view {
	for _, v := range views() {
		if v.name == name || v.raw() == name {
			return v
		}
	}
	return nil
}

func viewNames() []string {
	var out []string
	for _, v := range views() {
		out = append(out, v.name)
	}
	return out
}

// raw is the name of the view with the columns as they are stored.
func (v *view) raw() string { return "ocsf_" + v.class }

var placeholder = regexp.MustCompile(`\{[a-z_0-9.]+\}`)

// shape is what the files of a class have: the paths of their columns and of the fields in structs, in lower case.
type shape map[string]bool

// part is a relation that reads files with equal columns, and what these are.
type part struct {
	source string
	have   shape
}

// sql makes the view from what reads the files.
func (v *view) sql(parts []part) string {
	if len(parts) == 0 {
		return "CREATE VIEW " + v.name + " AS " + v.rows(shape{}) + " WHERE false"
	}
	var b strings.Builder
	b.WriteString("CREATE VIEW " + v.name + " AS ")
	for i, p := range parts {
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		b.WriteString(v.rows(p.have) + " FROM " + p.source + " AS src")
	}
	return b.String()
}

func (v *view) rows(have shape) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range v.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + c.sql(have) + ")::" + c.kind + " AS " + ident(c.name))
	}
	return b.String()
}

// sql is the column's expression over src; what no file has is NULL.
func (c *column) sql(have shape) string {
	found := false
	s := placeholder.ReplaceAllStringFunc(c.expr, func(p string) string {
		path := p[1 : len(p)-1]
		if !have[path] {
			return "NULL"
		}
		found = true
		parts := strings.Split(path, ".")
		for i := range parts {
			parts[i] = ident(parts[i])
		}
		return "src." + strings.Join(parts, ".")
	})
	if !found {
		return "NULL"
	}
	return s
}

func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Available says whether this program has the engine (see ErrNoEngine).
func Available() bool { return engineBuilt }
