//go:build cgo

package query

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// serveMatch looks through every column that indicators are compared with, view by view: first its different values,
// compared here; then, for those that matched, the rows.
func (e *engine) serveMatch(ctx context.Context, w *answer) reply {
	m := newMatcher(e.order.Match.Indicators)
	for _, v := range matchable() {
		if len(e.seen[v.class]) == 0 {
			continue
		}
		for try := 0; ; try++ {
			found, err := e.matchView(ctx, v, m)
			if err == nil {
				if err := sendMatches(w, found); err != nil {
					return reply{Failed: err.Error()}
				}
				break
			}
			if try >= maxRetries || ctx.Err() != nil || !e.excludeDamaged(ctx, err) {
				return failure(fmt.Errorf("view %s: %w", v.name, err), "", 0)
			}
		}
	}
	return reply{Done: e.done(false)}
}

func sendMatches(w *answer, found []Match) error {
	for part := range slices.Chunk(found, matchFrame) {
		if err := w.send(reply{Matches: part}); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) matchView(ctx context.Context, v *view, m *matcher) (out []Match, err error) {
	if err := e.makeViews(ctx, []*view{v}, nil); err != nil {
		return nil, err
	}
	for _, c := range v.columns {
		if c.entity == "" || !m.wants(c.entity) {
			continue
		}
		pairs, err := e.matchValues(ctx, v, c, m)
		if err != nil || len(pairs) == 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		found, err := e.matchRows(ctx, v, c, pairs)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// pair says that a value of the lake belongs to an indicator.
type pair struct {
	value     string
	indicator int
}

// items is the view with one row for each value of the column, which is named item: more than one where it is a list.
func (c *column) items(v *view) string {
	value := ident(c.name)
	if strings.HasSuffix(c.kind, "[]") {
		value = "unnest(" + value + ")"
	}
	return "(SELECT *, " + value + " AS item FROM " + v.name + ")"
}

func (e *engine) matchValues(ctx context.Context, v *view, c column, m *matcher) (pairs []pair, err error) {
	var hits []int
	query := "SELECT DISTINCT item FROM " + c.items(v) + " WHERE item IS NOT NULL"
	err = e.each(ctx, query, func(row []driver.Value) error {
		s, ok := row[0].(string)
		if !ok {
			return fmt.Errorf("BUG: column %s.%s is %T", v.name, c.name, row[0])
		}
		hits = m.find(hits[:0], c.entity, s)
		slices.Sort(hits)
		for _, i := range slices.Compact(hits) {
			pairs = append(pairs, pair{s, i})
		}
		return nil
	})
	return pairs, err
}

// matchRows counts and describes the rows with the matched values.
func (e *engine) matchRows(ctx context.Context, v *view, c column, pairs []pair) (out []Match, err error) {
	for _, s := range []string{"DROP TABLE IF EXISTS matched", "CREATE TABLE matched(value VARCHAR, indicator BIGINT)"} {
		if _, err := e.control.ExecContext(ctx, s); err != nil {
			return nil, err
		}
	}
	err = e.control.Raw(func(conn any) error {
		dc, ok := conn.(driver.Conn)
		if !ok {
			return fmt.Errorf("BUG: a connection of type %T", conn)
		}
		a, err := duckdb.NewAppenderFromConn(dc, "", "matched")
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if err := a.AppendRow(p.value, int64(p.indicator)); err != nil {
				return errors.Join(err, a.Close())
			}
		}
		return a.Close()
	})
	if err != nil {
		return nil, err
	}
	session, evidence := "NULL::VARCHAR", "NULL::VARCHAR"
	for _, have := range v.columns {
		switch {
		case have.name == "session":
			session = "v.session"
		case have.name == "evidence" && strings.Contains(have.kind, "sha256"):
			evidence = "v.evidence[1].sha256"
		case have.name == "evidence":
			evidence = "v.evidence[1].blob"
		}
	}
	// max(x, n) and max_by(x, y, n) keep n, not all.
	query := fmt.Sprintf(`SELECT m.indicator, min(m.value), count(*), min(v.time), max(v.time), max_by(%s, v.time, %d), max_by(%s, v.time, %d)
		FROM %s v JOIN matched m ON v.item = m.value GROUP BY m.indicator ORDER BY m.indicator`, session, 4*maxNamed, evidence, 4*maxNamed, c.items(v))
	err = e.each(ctx, query, func(row []driver.Value) error {
		n, ok1 := row[0].(int64)
		value, ok2 := row[1].(string)
		count, ok3 := row[2].(int64)
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("BUG: a match of types %T %T %T", row[0], row[1], row[2])
		}
		first, _ := row[3].(time.Time)
		last, _ := row[4].(time.Time)
		out = append(out, Match{Indicator: int(n), View: v.name, Column: c.name, Value: short(value), Count: count, First: first, Last: last,
			Sessions: named(row[5]), Evidence: named(row[6])})
		return nil
	})
	return out, err
}

// short cuts a value that is only shown.
func short(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:199]) + "…"
	}
	return s
}

// named are the first different texts of a list.
func named(v driver.Value) (out []string) {
	list, _ := v.([]any)
	for _, x := range list {
		if s, ok := x.(string); ok && s != "" && !slices.Contains(out, s) && len(out) < maxNamed {
			out = append(out, s)
		}
	}
	return out
}

// each runs a statement of the engine's own and calls fn for each row; the row is overwritten by the next.
func (e *engine) each(ctx context.Context, query string, fn func([]driver.Value) error) error {
	return e.control.Raw(func(conn any) error {
		stmt, err := prepare(ctx, conn, query)
		if err != nil {
			return err
		}
		defer stmt.Close()
		rows, err := stmt.QueryContext(ctx, nil)
		if err != nil {
			return err
		}
		dest := make([]driver.Value, len(rows.Columns()))
		for {
			if err := rows.Next(dest); errors.Is(err, io.EOF) {
				return rows.Close()
			} else if err != nil {
				return errors.Join(err, rows.Close())
			}
			if err := fn(dest); err != nil {
				return errors.Join(err, rows.Close())
			}
		}
	})
}
