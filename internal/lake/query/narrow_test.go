//go:build cgo

package query

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/observe"
)

// referencesOf reads a statement as the engine's process does.
func referencesOf(t *testing.T, e *engine, sql string, now time.Time, params ...Param) []reference {
	t.Helper()
	c, err := e.understand(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	n := narrower{own: c.own, params: params, now: now, late: now.Add(time.Minute)}
	n.visit(c.tree)
	return n.refs
}

func parser(t *testing.T) *engine {
	t.Helper()
	req := Request{}
	if err := checkRequest(&req); err != nil {
		t.Fatal(err)
	}
	e, err := openEngine(t.Context(), order{Lake: t.TempDir(), Limits: req.Limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

// TestNarrow: what a statement says about time becomes the time that is read, and nothing that it does not say.
func TestNarrow(t *testing.T) {
	e := parser(t)
	now := time.Date(2026, 11, 27, 10, 30, 0, 0, time.UTC)
	const all = "– –"
	for _, c := range []struct{ sql, want string }{ // since and until of http, to the minute
		{"SELECT 1 FROM http", all},
		{"SELECT 1 FROM http WHERE time >= '2026-11-20'", "11-20T00:00 –"},
		{"SELECT 1 FROM http WHERE time > TIMESTAMPTZ '2026-11-20 03:00:00+02:00'", "11-20T01:00 –"},
		{"SELECT 1 FROM http WHERE '2026-11-20T03:00:00Z' > time", "– 11-20T03:00"},
		{"SELECT 1 FROM http WHERE http.time = $at", "11-21T07:00 11-21T07:00"},
		{"SELECT 1 FROM http AS h WHERE h.time BETWEEN DATE '2026-11-20' AND '2026-11-21' AND status = 404", "11-20T00:00 11-21T00:00"},
		{"SELECT 1 FROM http WHERE time > '2026-11-20' AND (time < '2026-11-22' AND time > '2026-11-19')", "11-20T00:00 11-22T00:00"},
		{"SELECT 1 FROM http WHERE time > now() - INTERVAL 2 HOUR", "11-27T08:30 –"},
		{"SELECT 1 FROM http WHERE time > current_timestamp - INTERVAL '2 days' AND time < now()", "11-25T10:30 11-27T10:31"},
		{"SELECT 1 FROM http WHERE time >= current_date - 7", "11-20T00:00 –"},
		{"SELECT 1 FROM http WHERE time >= date_trunc('hour', now()) - INTERVAL 1 WEEK", "11-20T10:00 –"},
		{"SELECT 1 FROM http WHERE time::DATE = '2026-11-20'", "11-20T00:00 11-21T00:00"},
		{"SELECT 1 FROM http WHERE CAST(time AS DATE) <= current_date - 1", "– 11-27T00:00"},
		{"SELECT 1 FROM http WHERE day > DATE '2026-11-20' AND day < DATE '2026-11-22'", "11-20T00:00 11-22T00:00"},
		{"SELECT 1 FROM http WHERE time > now() - INTERVAL 1 MONTH", "10-24T10:30 –"}, // never less than a month
		{"EXPLAIN SELECT 1 FROM http WHERE time > '2026-11-20'", "11-20T00:00 –"},
		{"SELECT 1 FROM http h JOIN logins l ON h.src_ip = l.src_ip WHERE h.time > '2026-11-20' AND l.time > '2026-11-22'", "11-20T00:00 –"},
		{"SELECT (SELECT count(*) FROM http WHERE time > '2026-11-20')", "11-20T00:00 –"},
		{"WITH x AS (SELECT * FROM http WHERE time > '2026-11-20') SELECT 1 FROM x WHERE time < '2026-11-22'", "11-20T00:00 –"},
		{"SELECT 1 FROM http WHERE time > '2026-11-20' UNION ALL SELECT 1 FROM http WHERE time < '2026-11-25' AND time > '2026-11-19'", "11-19T00:00 –"},
		// What must not narrow.
		{"SELECT 1 FROM http WHERE time > '2026-11-20' OR status = 404", all},
		{"SELECT 1 FROM http WHERE NOT (time > '2026-11-20')", "– 11-20T00:00"}, // the parser turns it round
		{"SELECT 1 FROM http WHERE time <> '2026-11-20'", all},
		{"SELECT 1 FROM http WHERE (time > '2026-11-20') IS NOT TRUE", all},
		{"SELECT count(*) FILTER (WHERE time > '2026-11-20') FROM http", all},
		{"SELECT 1 FROM logins l LEFT JOIN http h ON h.src_ip = l.src_ip WHERE h.time > '2026-11-20' OR h.time IS NULL", all},
		{"SELECT 1 FROM http POSITIONAL JOIN logins WHERE http.time > '2026-11-20'", all},
		{"SELECT 1 FROM http AS h(time, x) WHERE h.time > '2026-11-20'", all},
		{"SELECT 1 FROM http h JOIN logins l ON h.time > '2026-11-20'", all},
		{"SELECT 1 FROM http TABLESAMPLE 10% WHERE time > '2026-11-20'", all},
		{"SELECT 1 FROM http, (SELECT 1 FROM http WHERE time > '2026-11-20')", all},
		{"WITH http AS (SELECT * FROM http) SELECT 1 FROM http WHERE time > '2026-11-20'", all},
		{"SELECT 1 FROM ocsf_http WHERE time_dt > '2026-11-20'", all},
		{"SELECT 1 FROM http WHERE time > now() - to_seconds(random() * 1e9)", all},
		{"SELECT 1 FROM http WHERE time > (SELECT max(time) FROM signals)", all},
		{"SELECT 1 FROM http WHERE date_trunc('day', time) > '2026-11-20'", all},
		{"SELECT 1 FROM http WHERE time > 'yesterday'", all},
		{"SELECT 1 FROM http WHERE time > '2026-11-20' - INTERVAL 1 DAY", all},
	} {
		need, ok := spans(referencesOf(t, e, c.sql, now, Param{"at", "2026-11-21 07:00:00"}))["http"]
		if !ok {
			t.Errorf("%s: no reference to http", c.sql)
		}
		short := func(t time.Time, off time.Duration) string {
			if t.IsZero() {
				return "–"
			}
			return t.Add(off).UTC().Format("01-02T15:04")
		}
		if got := short(need.Since, margin) + " " + short(need.Until, -margin); got != c.want {
			t.Errorf("%s: reads %s, want %s", c.sql, got, c.want)
		}
	}
}

// TestNarrowAnswers: a narrowed question has the answer that it has without, and files outside are not opened.
func TestNarrowAnswers(t *testing.T) {
	l := newLake(t)
	for i := range 12 {
		day := fmt.Sprintf("2026-11-%02d", 20+i/4)
		l.write("http", day, i%4*6, "a.parquet", httpRows(day, i%4*6, 50))
	}
	damaged := filepath.Join(l.dir, "class=http", "day=2026-11-25", "hour=00", "a.parquet")
	if err := os.MkdirAll(filepath.Dir(damaged), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, []byte("PAR1 not at all PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	times := []string{"'2026-11-20 06:00:00'", "TIMESTAMPTZ '2026-11-21 00:00:20Z'", "DATE '2026-11-22'", "'2026-11-22 18:00:49.2'", "DATE '2026-11-20' + 1", "DATE '2026-11-23' - INTERVAL 30 HOUR"}
	var conditions []string
	for range 12 {
		c := fmt.Sprintf("%s %s %s", []string{"time", "time", "time::DATE", "day"}[r.IntN(4)], []string{"<", "<=", "=", ">", ">="}[r.IntN(5)], times[r.IntN(len(times))])
		if r.IntN(3) == 0 {
			c += " AND time BETWEEN " + times[r.IntN(len(times))] + " AND " + times[r.IntN(len(times))]
		}
		if r.IntN(3) == 0 {
			c += " AND src_ip IN ('192.0.2.3', '192.0.2.7')"
		}
		conditions = append(conditions, c)
	}
	res, err := l.ask("SELECT count(*) FILTER (" + strings.Join(conditions, "), count(*) FILTER (") + ") FROM http")
	if err != nil || res.Files != 12 || len(res.NotLooked) != 1 {
		t.Fatalf("%v, %d files, not looked at %v: the damaged file should be found by who looks at all", err, res.Files, res.NotLooked)
	}
	fewer := 0
	for i, c := range conditions {
		got := l.want("SELECT count(*) FROM http WHERE "+c, "[["+string(res.Rows[0][i])+"]]")
		if got.Files < 12 {
			fewer++
		}
	}
	if fewer < len(conditions)/2 {
		t.Errorf("only %d of %d questions looked at fewer files", fewer, len(conditions))
	}
	if res := l.want("SELECT count(*) FROM http WHERE time >= '2026-11-22 06:00:00' AND time < '2026-11-22 18:00:00'", "[[100]]"); res.Files != 2 && res.Files != 3 || len(res.NotLooked) > 0 {
		t.Errorf("looked at %d files, not at %v: it should look at two hours, and the one that begins at the end", res.Files, res.NotLooked)
	}
}

// TestNarrowFilters: the Bloom filters of compacted files keep those out that cannot have a value, and only those.
func TestNarrowFilters(t *testing.T) {
	dir := t.TempDir()
	l, err := lake.Open(dir, lake.Options{Product: "test"})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for i := range 8 {
		var list []observe.Observation
		for j := range 40 {
			o := observe.Observation{Kind: observe.KindHTTP, Time: start.Add(time.Duration(i)*time.Hour + time.Duration(j)*time.Second), Sensor: "s", Decoy: "d", Service: "http",
				Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)}), 1000), Local: netip.MustParseAddrPort("192.0.2.1:80"),
				HTTP: &observe.HTTPRequest{Method: "GET", Target: fmt.Sprintf("/%d", j), Host: "example.com", Proto: "HTTP/1.1", Status: 200}}
			o.Session[15] = byte(i)
			list = append(list, o)
		}
		l.Observations(list)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	ask := func(sql, want string, params ...Param) {
		t.Helper()
		res, err := (&Engine{Lake: dir, Stderr: os.Stderr}).Run(t.Context(), Request{SQL: sql, Params: params})
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if got := rowsText(t, res); got != want || res.Files != 8 {
			t.Errorf("%s: %s in %d files, want %s in 8", sql, got, res.Files, want)
		}
	}
	questions := func() {
		ask("SELECT count(*) FROM http WHERE src_ip = '10.0.3.9'", "[[1]]")
		ask("SELECT count(*) FROM http WHERE src_ip IN ('10.0.3.9', '10.0.5.1', '10.0.77.1') AND path = $p", "[[1]]", Param{"p", "/1"})
		ask("SELECT count(*) FROM http WHERE src_ip = '10.9.9.9'", "[[0]]")
		ask("SELECT count(*) FROM http WHERE src_ip = '10.0.3.9' OR path = '/7'", "[[9]]")
	}
	questions()
	if _, err := lake.Compact(t.Context(), dir, lake.Compaction{All: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	questions()
	files, _, err := lake.Select(t.Context(), dir, lake.Filter{Classes: []string{"http"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path())
	}
	refs := referencesOf(t, parser(t), "SELECT 1 FROM http WHERE src_ip = '10.0.3.9' AND status = 200", time.Now())
	kept := 0
	for _, s := range look(dir, names, 2, rowless(refs)) {
		if s.form == "" || s.bad != "" {
			t.Errorf("the lake's own file is not understood: %+v", s)
		}
		if !s.miss {
			kept++
		}
	}
	if kept < 1 || kept > 3 { // one has it; a filter is wrong about one in a hundred
		t.Errorf("%d of %d files are read for an address that one has", kept, len(names))
	}
	if rowless(referencesOf(t, parser(t), "SELECT 1 FROM http WHERE src_ip = '10.0.3.9' OR status = 200", time.Now())) != nil {
		t.Error("an alternative narrows")
	}
}
