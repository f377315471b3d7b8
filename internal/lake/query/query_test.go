//go:build cgo

package query

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

// TestMain lets the test binary be the engine's process.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == ChildVerb {
		if err := RunChild(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testLake is a folder with a few rows, written by another Parquet writer than the program's.
type testLake struct {
	t   *testing.T
	dir string
	db  *sql.DB
}

func newLake(t *testing.T) *testLake {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &testLake{t: t, dir: t.TempDir(), db: db}
}

// write puts the rows of a query into a file of a partition.
func (l *testLake) write(class, day string, hour int, name, query string) string {
	l.t.Helper()
	dir := filepath.Join(l.dir, "class="+class, "day="+day, fmt.Sprintf("hour=%02d", hour))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if _, err := l.db.Exec("COPY (" + query + ") TO " + literal(file) + " (FORMAT parquet)"); err != nil {
		l.t.Fatal(err)
	}
	return file
}

// httpRows makes n requests, one a second, from 192.0.2.0–255.
func httpRows(day string, hour, n int) string {
	return fmt.Sprintf(`SELECT 3 AS activity_id, 4002 AS class_uid, TIMESTAMP_NS '%s %02d:00:00.123456789' + to_seconds(i) AS time_dt,
		{'correlation_uid': format('01ARZ3NDEKTSV4RRFFQ69G5F{:02d}', i %% 100)} AS metadata,
		{'ip': format('192.0.2.{}', i %% 256), 'port': 4000} AS src_endpoint, {'ip': '198.51.100.1', 'port': 80} AS dst_endpoint,
		{'http_method': 'GET', 'url': {'scheme': 'http', 'hostname': 'example.com', 'path': format('/p/{}', i)}, 'user_agent': 'curl/8', 'http_headers': [{'name': 'Host', 'value': 'example.com'}]} AS http_request,
		{'code': 200} AS http_response, {'sensor': 'n1', 'decoy': 'web', 'service': 'http', 'body': 'abc'::BLOB} AS unmapped FROM range(%d) t(i)`, day, hour, n)
}

func (l *testLake) engine() *Engine { return &Engine{Lake: l.dir, Stderr: os.Stderr} }

// ask runs a statement and returns the rows as one JSON text.
func (l *testLake) ask(sql string, more ...func(*Request)) (*Result, error) {
	l.t.Helper()
	req := Request{SQL: sql, Limits: Limits{Time: 30 * time.Second}}
	for _, m := range more {
		m(&req)
	}
	return l.engine().Run(l.t.Context(), req)
}

func (l *testLake) want(sql, rows string, more ...func(*Request)) *Result {
	l.t.Helper()
	res, err := l.ask(sql, more...)
	if err != nil {
		l.t.Errorf("%s: %v", sql, err)
		return &Result{}
	}
	if got := rowsText(l.t, res); got != rows {
		l.t.Errorf("%s:\n got %s\nwant %s", sql, got, rows)
	}
	return res
}

func rowsText(t *testing.T, r *Result) string {
	t.Helper()
	b, err := json.Marshal(r.Rows)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// treeSum is a hash of every name, kind, mode, time and byte below a folder.
func treeSum(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := os.Lstat(p)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, p, st.Mode(), st.Size(), st.ModTime().UnixNano())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			h.Write(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestAsk(t *testing.T) {
	l := newLake(t)
	l.write("http", "2026-11-20", 7, "a.parquet", httpRows("2026-11-20", 7, 300))
	l.want("SELECT count(*) AS n FROM http", "[[300]]")
	l.want("SELECT count(*) AS n FROM signals;", "[[0]]")
	l.want("SELECT time, src_ip, path, url, status, day, hour, headers, body, session, lure FROM http ORDER BY time LIMIT 1",
		`[["2026-11-20T07:00:00.123456Z","192.0.2.0","/p/0","http://example.com/p/0",200,"2026-11-20",7,[{"name":"Host","value":"example.com"}],"YWJj","01ARZ3NDEKTSV4RRFFQ69G5F00",null]]`)
	l.want("SELECT count(*) FROM ocsf_http WHERE src_endpoint.ip = '192.0.2.7'", "[[2]]")
	l.want("FROM http SELECT count(DISTINCT src_ip)", "[[256]]")
	l.want("SELECT path FROM http WHERE src_ip = $ip ORDER BY path", `[["/p/263"],["/p/7"]]`, func(r *Request) { r.Params = []Param{{"ip", "192.0.2.7"}} })
	res, err := l.ask("EXPLAIN SELECT * FROM http WHERE hour = 7")
	if err != nil || !strings.Contains(rowsText(t, res), "READ_PARQUET") {
		t.Errorf("EXPLAIN: %v %+v", err, res)
	}
	for _, v := range Views() {
		for _, name := range []string{v.Name, "ocsf_" + v.Class} {
			if _, err := l.ask("SELECT * FROM " + name + " LIMIT 1"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestWrongSQL(t *testing.T) {
	l := newLake(t)
	l.write("http", "2026-11-20", 7, "a.parquet", httpRows("2026-11-20", 7, 3))
	for _, c := range []struct {
		sql       string
		line, col int
		near      string
	}{
		{"SELECT *\nFORM http", 2, 6, ""},
		{"SELECT *\n FROM htp", 2, 7, "http"},
		{"SELECT pth FROM http", 1, 8, "path"},
		{"SELECT h.usr_agent\nFROM http h", 1, 8, "user_agent"},
		{"EXPLAIN SELECT\n  zime FROM http", 2, 3, "time"},
		{"SELECT cnt(*) FROM http", 1, 8, ""},
		{"", 0, 0, ""},
	} {
		_, err := l.ask(c.sql)
		var e *StatementError
		if !errors.As(err, &e) || e.Refused || e.Line != c.line || e.Column != c.col || e.Near != c.near {
			t.Errorf("%q: %v (%+v)", c.sql, err, e)
		}
	}
}
