//go:build cgo

package query

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/lake"
)

// TestNeeds: what whoever brings the files is told about the rows that count, and that the answer stays the same.
func TestNeeds(t *testing.T) {
	l := newLake(t)
	l.write("http", "2026-11-20", 9, "a.parquet", httpRows("2026-11-20", 9, 50))
	for _, c := range []struct{ where, want string }{
		{"WHERE src_ip = '192.0.2.7'", "[[{[src_endpoint ip] [192.0.2.7]}]]"},
		{"WHERE src_ip IN ('192.0.2.7', '192.0.2.8') AND path = '/p/7'", "[[{[src_endpoint ip] [192.0.2.7 192.0.2.8]} {[http_request url path] [/p/7]}]]"},
		{"WHERE src_ip = '192.0.2.7' OR path = '/p/9'", "[]"},
		{"WHERE src_ip <> '192.0.2.7'", "[]"},
		{"WHERE NOT (src_ip = '192.0.2.7')", "[]"},
		{"", "[]"},
		{"WHERE src_ip = '192.0.2.7' AND EXISTS (SELECT 1 FROM http h WHERE h.path = '/p/9')", "[[{[src_endpoint ip] [192.0.2.7]}] [{[http_request url path] [/p/9]}]]"},
		{"WHERE src_ip = '192.0.2.7' AND (SELECT count(*) FROM http) > 0", "[]"},
	} {
		sql := "SELECT count(*) FROM http " + c.where
		plain, err := l.engine().Run(t.Context(), Request{SQL: sql})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s", plain.Rows)
		var told []lake.Need
		e := l.engine()
		e.Select = func(ctx context.Context, f lake.Filter) ([]lake.File, []lake.NotLookedAt, error) {
			told = append(told, f.Any...)
			return lake.Select(ctx, e.Lake, f)
		}
		res, err := e.Run(t.Context(), Request{SQL: sql})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(told, func(a, b lake.Need) int { return strings.Compare(fmt.Sprint(b), fmt.Sprint(a)) })
		if got := fmt.Sprint(told); got != c.want || fmt.Sprintf("%s", res.Rows) != want {
			t.Errorf("%s: told %s, want %s; %s, want %s", c.where, got, c.want, res.Rows, want)
		}
	}
}
