//go:build cgo

package query

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// engineBuilt says whether this program has the engine.
const engineBuilt = true

// maxRetries is how often a question is asked again without the files that turned out to be damaged.
const maxRetries = 64

// serve does the order in the engine's process and returns the last reply.
func serve(ctx context.Context, o order, w *answer) reply {
	e, err := openEngine(ctx, o)
	if err != nil {
		return reply{Failed: oneLine(err.Error())}
	}
	defer e.close()
	if o.Match != nil {
		if err := e.fetch(w, nil); err != nil {
			return reply{Failed: oneLine(err.Error())}
		}
		return e.serveMatch(ctx, w)
	}
	began := time.Now()
	c, err := e.understand(ctx, o.SQL)
	if err != nil {
		return failure(err, o.SQL, 0)
	}
	n := narrower{own: c.own, params: o.Params, now: began, late: began.Add(o.Limits.Time)}
	n.visit(c.tree)
	if err := e.fetch(w, n.refs); err != nil {
		return reply{Failed: oneLine(err.Error())}
	}
	used := words(o.SQL)
	for try := 0; ; try++ {
		if err = e.makeViews(ctx, mentioned(o.SQL), used); err == nil {
			var truncated bool
			if truncated, err = e.run(ctx, c, w); err == nil {
				return reply{Done: e.done(truncated)}
			}
		}
		if try >= maxRetries || ctx.Err() != nil || !e.excludeDamaged(ctx, err) {
			return failure(err, o.SQL, c.shift())
		}
		if err := w.reset(); err != nil {
			return failure(err, "", 0)
		}
	}
}

// fetch asks for the files that some references read, and looks at their footers.
func (e *engine) fetch(w *answer, refs []reference) error {
	files, err := w.want(refs)
	if err != nil {
		return err
	}
	for class, list := range files {
		var own []reference
		for _, r := range refs {
			if r.view.class == class {
				own = append(own, r)
			}
		}
		var good []sight
		for _, s := range look(e.order.Lake, list, e.order.Limits.Threads, rowless(own)) {
			e.gone = e.gone || s.gone
			if s.bad != "" {
				e.bad = append(e.bad, Skipped{File: s.path, Reason: s.bad})
				continue
			}
			if e.looked++; !s.miss {
				good = append(good, s)
			}
		}
		e.seen[class] = good
	}
	return nil
}

// engine is DuckDB with nothing in it, open to the files of one order. control is a connection whose settings are the
// engine's own; asked is the one statements run on.
type engine struct {
	order   order
	db      *sql.DB
	control *sql.Conn
	seen    map[string][]sight // files that can have rows, by class
	looked  int                // files
	bad     []Skipped
	gone    bool     // a file was no longer there
	made    []string // views
}

func openEngine(ctx context.Context, o order) (*engine, error) {
	// Both are given from the beginning: else the engine asks the machine, in files that are shut.
	connector, err := duckdb.NewConnector(fmt.Sprintf("?threads=%d&memory_limit=%dB", o.Limits.Threads, o.Limits.Memory), nil)
	if err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	db := sql.OpenDB(connector)
	e := &engine{order: o, db: db, seen: map[string][]sight{}}
	if e.control, err = db.Conn(ctx); err != nil {
		return nil, fmt.Errorf("open engine: %w", errors.Join(err, db.Close()))
	}
	for _, s := range settings(o) {
		if _, err := e.control.ExecContext(ctx, s); err != nil {
			e.close()
			return nil, fmt.Errorf("set up engine: %s: %w", s, err)
		}
	}
	return e, nil
}

// settings close the engine from inside, as the jail does from outside; the last one locks them.
func settings(o order) []string {
	return []string{
		"SET temp_directory=''", // nothing is spilled
		"SET max_temp_directory_size='0B'",
		"SET autoinstall_known_extensions=false",
		"SET autoload_known_extensions=false",
		"SET allow_community_extensions=false",
		"SET allow_unsigned_extensions=false",
		"SET TimeZone='UTC'",
		"SET enable_progress_bar=false",
		"SET errors_as_json=true",
		"SET allowed_directories=[" + literal(strings.TrimSuffix(o.Lake, "/")+"/") + "]",
		"SET enable_external_access=false",
		"SET lock_configuration=true",
	}
}

func (e *engine) close() { _ = errors.Join(e.control.Close(), e.db.Close()) } // the process ends next

// understand parses the statement without preparing any of it, and refuses what is not one harmless SELECT.
func (e *engine) understand(ctx context.Context, whole string) (cut, error) {
	c, err := splitExplain(whole)
	if err != nil {
		return c, err
	}
	if strings.IndexByte(whole, 0) >= 0 {
		return c, &StatementError{Message: "a zero byte in the statement"}
	}
	tree, err := e.parse(ctx, c.sql)
	if err != nil {
		return c, err
	}
	if err := judge(whole, &c, tree); err != nil || c.bounded || c.explain {
		return c, err
	}
	// The engine keeps a whole answer in memory: what would be cut is not made.
	limited := cut{sql: c.limited(e.order.Limits.Rows + 1)}
	if tree, err = e.parse(ctx, limited.sql); err == nil && judge(limited.sql, &limited, tree) == nil {
		c.sql = limited.sql
	}
	return c, err
}

// parse makes the syntax tree, in JSON, of text that is SELECT statements, and an error in the same form of all others.
// It binds the text as a value: none of it is prepared.
func (e *engine) parse(ctx context.Context, text string) ([]byte, error) {
	var tree string
	if err := e.control.QueryRowContext(ctx, "SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", text).Scan(&tree); err != nil {
		return nil, err
	}
	return []byte(tree), nil
}

// makeViews makes the views over the files that are not known to be bad, as far as they are used by name; with used nil
// those with readable columns.
func (e *engine) makeViews(ctx context.Context, want []*view, used map[string]bool) error {
	for _, name := range e.made {
		if _, err := e.control.ExecContext(ctx, "DROP VIEW IF EXISTS "+ident(name)); err != nil {
			return err
		}
	}
	e.made = nil
	for _, v := range want {
		groups, mixed := alike(e.files(v.class))
		var make []string
		if used == nil || used[v.name] || everyName(used) {
			s, err := e.viewSQL(ctx, v, groups, mixed)
			if err != nil {
				return err
			}
			make = append(make, s)
			e.made = append(e.made, v.name)
		}
		if used[v.raw()] || everyName(used) {
			make = append(make, "CREATE VIEW "+ident(v.raw())+" AS "+rawSQL(groups, mixed))
			e.made = append(e.made, v.raw())
		}
		for _, s := range make {
			if _, err := e.control.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("make view %s: %w", v.name, err)
			}
		}
	}
	return nil
}

// viewSQL makes a view over groups of files with equal columns: the engine then looks at one of each group only.
func (e *engine) viewSQL(ctx context.Context, v *view, groups [][]string, mixed bool) (string, error) {
	var parts []part
	for _, files := range groups {
		first := files[:1]
		if mixed {
			first = files
		}
		have, err := e.shapeOf(ctx, relation(first, mixed))
		if err != nil {
			return "", err
		}
		parts = append(parts, part{relation(files, mixed), have})
	}
	return v.sql(parts), nil
}

func rawSQL(groups [][]string, mixed bool) string {
	if len(groups) == 0 {
		return "SELECT NULL::TIMESTAMPTZ AS time_dt WHERE false"
	}
	return "SELECT * EXCLUDE (class) REPLACE (day::VARCHAR::DATE AS day, hour::VARCHAR::INTEGER AS hour) FROM " +
		relation(slices.Concat(groups...), mixed || len(groups) > 1)
}

// files are those of a class that are not known to be bad.
func (e *engine) files(class string) []sight {
	return slices.DeleteFunc(slices.Clone(e.seen[class]), func(s sight) bool {
		return slices.ContainsFunc(e.bad, func(b Skipped) bool { return b.File == s.path })
	})
}

// relation reads files as one table; mixed files, whatever their columns, which takes a look at each of them first.
func relation(files []string, mixed bool) string {
	quoted := make([]string, len(files))
	for i, f := range files {
		quoted[i] = literal(f)
	}
	by := ""
	if mixed {
		by = ", union_by_name=true"
	}
	return "read_parquet([" + strings.Join(quoted, ", ") + "]" + by + ", hive_partitioning=true, hive_types={'day': DATE, 'hour': INTEGER})"
}

// shapeOf asks which columns and fields a relation has.
func (e *engine) shapeOf(ctx context.Context, source string) (shape, error) {
	have := shape{}
	err := e.control.Raw(func(c any) error {
		stmt, err := prepare(ctx, c, "SELECT * FROM "+source+" LIMIT 0")
		if err != nil {
			return err
		}
		defer stmt.Close()
		n, err := stmt.ColumnCount()
		if err != nil {
			return err
		}
		for i := range n {
			name, err := stmt.ColumnName(i)
			if err != nil {
				return err
			}
			info, err := stmt.ColumnTypeInfo(i)
			if err != nil {
				return err
			}
			have.add(strings.ToLower(name), info)
		}
		return nil
	})
	return have, err
}

func (s shape) add(path string, info duckdb.TypeInfo) {
	s[path] = true
	if d, ok := info.Details().(*duckdb.StructDetails); ok {
		for _, f := range d.Entries {
			s.add(path+"."+strings.ToLower(f.Name()), f.Info())
		}
	}
}

func prepare(ctx context.Context, conn any, query string) (*duckdb.Stmt, error) {
	c, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("BUG: a connection of type %T", conn)
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	stmt, ok := s.(*duckdb.Stmt)
	if !ok {
		return nil, fmt.Errorf("BUG: a statement of type %T", s)
	}
	return stmt, nil
}

// run asks the one statement and sends its rows.
func (e *engine) run(ctx context.Context, c cut, w *answer) (truncated bool, err error) {
	query := c.sql
	if c.explain {
		query = explain + query
	}
	err = e.control.Raw(func(conn any) error {
		stmt, err := prepare(ctx, conn, query)
		if err != nil {
			return err
		}
		defer stmt.Close()
		kind, err := stmt.StatementType()
		if err != nil {
			return err
		}
		if kind != duckdb.STATEMENT_TYPE_SELECT && (kind != duckdb.STATEMENT_TYPE_EXPLAIN || !c.explain) {
			return &StatementError{Refused: true, Message: "only SELECT, and EXPLAIN of one, can be asked"}
		}
		args, err := bindings(stmt, e.order.Params)
		if err != nil {
			return err
		}
		rows, err := stmt.QueryContext(ctx, args)
		if err != nil {
			return err
		}
		truncated, err = e.send(stmt, rows, w)
		return errors.Join(err, rows.Close())
	})
	return truncated, err
}

// bindings gives each parameter of the statement its value, by name.
func bindings(stmt *duckdb.Stmt, params []Param) ([]driver.NamedValue, error) {
	var args []driver.NamedValue
	used := map[string]bool{}
	for i := 1; i <= stmt.NumInput(); i++ {
		name, err := stmt.ParamName(i)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(params, func(p Param) bool { return strings.EqualFold(p.Name, name) })
		if at < 0 {
			return nil, &StatementError{Message: fmt.Sprintf("no value for the parameter $%s: give --param %s=VALUE", name, name)}
		}
		used[strings.ToLower(name)] = true
		args = append(args, driver.NamedValue{Name: name, Ordinal: i, Value: params[at].Value})
	}
	for _, p := range params {
		if !used[strings.ToLower(p.Name)] {
			return nil, &StatementError{Message: fmt.Sprintf("the statement has no parameter $%s", oneLine(p.Name))}
		}
	}
	return args, nil
}

// send writes the rows of an answer.
func (e *engine) send(stmt *duckdb.Stmt, rows driver.Rows, w *answer) (truncated bool, err error) {
	cols, infos, err := columnsOf(stmt, rows)
	if err != nil {
		return false, err
	}
	if err := w.send(reply{Columns: cols}); err != nil {
		return false, err
	}
	dest := make([]driver.Value, len(cols))
	for {
		if err := rows.Next(dest); errors.Is(err, io.EOF) {
			return false, w.flush()
		} else if err != nil {
			return false, err
		}
		cells := make([]json.RawMessage, len(cols))
		for i := range cells {
			cells[i] = appendValue(nil, dest[i], infos[i])
		}
		more, err := w.row(cells, e.order.Limits)
		if err != nil {
			return false, err
		}
		if !more {
			truncated = !errors.Is(rows.Next(dest), io.EOF)
			return truncated, w.flush()
		}
	}
}

func columnsOf(stmt *duckdb.Stmt, rows driver.Rows) ([]Column, []duckdb.TypeInfo, error) {
	names := rows.Columns()
	cols, infos := make([]Column, len(names)), make([]duckdb.TypeInfo, len(names))
	named, _ := rows.(driver.RowsColumnTypeDatabaseTypeName)
	for i, name := range names {
		cols[i].Name = name
		if info, err := stmt.ColumnTypeInfo(i); err == nil { // not known where a parameter has no type of its own
			infos[i] = info
		}
		if named != nil {
			cols[i].Type = named.ColumnTypeDatabaseTypeName(i)
		}
	}
	return cols, infos, nil
}

func (e *engine) done(truncated bool) *done {
	d := &done{Truncated: truncated, NotLooked: e.bad, Gone: e.gone, Files: e.looked}
	for _, b := range e.bad { // found out only when it was read
		for _, list := range e.seen {
			if slices.ContainsFunc(list, func(s sight) bool { return s.path == b.File }) {
				d.Files--
			}
		}
	}
	return d
}
