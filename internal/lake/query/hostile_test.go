//go:build cgo

package query

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/lake"
)

// leastRefused is how many statements the test of refusals must make.
const leastRefused = 60

// TestRefused: nothing but one SELECT is run, and no byte of the lake or outside changes.
func TestRefused(t *testing.T) {
	l := newLake(t)
	file := l.write("http", "2026-11-20", 7, "a.parquet", httpRows("2026-11-20", 7, 5))
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/secret.csv", []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BARTIZAN_TEST_SECRET", "hunter2")
	in := strings.NewReplacer("LAKE", l.dir, "FILE", file, "OUT", outside)
	statements := []string{
		"COPY (SELECT 1) TO 'LAKE/x.parquet'", "COPY (SELECT 1) TO 'FILE'", "COPY (SELECT 1) TO 'OUT/x'", "COPY http TO 'OUT/x.csv'; SELECT 1",
		"SELECT 1; COPY (SELECT 1) TO 'OUT/x.csv'", "COPY (SELECT 1) TO 'LAKE/x.csv'; SELECT 1", "SELECT 1; SELECT 2", "SELECT 1;;SELECT 2",
		"ATTACH 'LAKE/new.db'", "ATTACH 'OUT/new.db' AS x", "ATTACH ':memory:' AS x; SELECT 1", "DETACH memory", "USE memory", "EXPORT DATABASE 'OUT'", "IMPORT DATABASE 'OUT'",
		"INSTALL httpfs", "LOAD httpfs", "LOAD 'OUT/x.duckdb_extension'", "FORCE INSTALL json", "UPDATE EXTENSIONS",
		"SET enable_external_access=true", "SET lock_configuration=false", "RESET ALL", "SET GLOBAL memory_limit='100GB'", "SET temp_directory='OUT'", "SET VARIABLE x = 1",
		"PRAGMA database_list", "PRAGMA enable_external_access=1", "PRAGMA import_database('OUT')", "CALL pragma_version()", "CALL enable_logging()", "CHECKPOINT", "VACUUM", "ANALYZE",
		"CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW http AS SELECT 1", "CREATE SECRET s (TYPE s3)", "CREATE MACRO m() AS 1", "DROP VIEW http", "INSERT INTO http VALUES (1)", "UPDATE http SET path='x'",
		"DELETE FROM http", "TRUNCATE http", "ALTER TABLE http RENAME TO y", "BEGIN", "PREPARE p AS SELECT 1", "EXECUTE p", "COMMENT ON VIEW http IS 'x'",
		"EXPLAIN ANALYZE SELECT 1", "explain /* x */ analyze select 1", "EXPLAIN (ANALYZE) SELECT 1", "EXPLAIN (FORMAT json) SELECT 1", "EXPLAIN COPY (SELECT 1) TO 'OUT/x'", "EXPLAIN EXPLAIN SELECT 1",
		"SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_blob('FILE')", "SELECT * FROM read_csv('OUT/secret.csv')", "SELECT * FROM read_csv_auto('OUT/secret.csv')",
		"SELECT * FROM read_parquet('FILE')", "SELECT * FROM read_parquet('LAKE/../*/x')", "SELECT * FROM parquet_scan('FILE')", "SELECT * FROM read_json('OUT/secret.csv')", "SELECT * FROM glob('/etc/*')",
		"SELECT * FROM sniff_csv('OUT/secret.csv')", "SELECT * FROM parquet_metadata('FILE')", "SELECT * FROM duckdb_settings()", "SELECT * FROM duckdb_secrets()", "SELECT * FROM pragma_database_list()",
		"SELECT * FROM query('SELECT 1')", "SELECT * FROM query_table('http')", "SELECT * FROM json_execute_serialized_sql('{}')", "SELECT * FROM arrow_scan(1,2,3)", "SELECT * FROM which_secret('s3://x', 's3')",
		"SELECT (SELECT content FROM read_text('/etc/passwd'))", "WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x", "SELECT * FROM http WHERE path IN (SELECT content FROM read_text('/etc/passwd'))",
		"SELECT * FROM http ORDER BY (SELECT count(*) FROM read_text('/etc/passwd'))", "SELECT [x FOR x IN (SELECT list(content) FROM read_text('/etc/passwd'))]", "FROM http, LATERAL (SELECT * FROM read_text('/etc/' || path))",
		"SELECT getenv('BARTIZAN_TEST_SECRET')", "SELECT current_setting('allowed_directories')", "SELECT write_log('x')", "SELECT * FROM 'OUT/secret.csv'", "SELECT * FROM '/etc/passwd'", "SELECT * FROM 'FILE'",
		"SELECT * FROM 'LAKE/../../../../etc/passwd'", "SELECT * FROM \"LAKE/**/*.parquet\"", "SELECT * FROM duckdb_tables", "SELECT * FROM sqlite_master", "SELECT * FROM pg_catalog.pg_settings", "SELECT * FROM memory.http",
		"SELECT * FROM main.nothing", "SELECT 1e400::DOUBLE", "WITH x AS (INSERT INTO http VALUES (1) RETURNING *) SELECT * FROM x", "SELECT \x00", "DESCRIBE '/etc/passwd'", "SUMMARIZE 'OUT/secret.csv'", "MERGE INTO http USING http ON true WHEN MATCHED THEN DELETE",
	}
	if len(statements) < leastRefused {
		t.Fatalf("only %d statements", len(statements))
	}
	before, beforeOut := treeSum(t, l.dir), treeSum(t, outside)
	for _, s := range statements {
		s = in.Replace(s)
		res, err := l.ask(s)
		var e *StatementError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, answer %+v", s, err, res)
		}
	}
	if treeSum(t, l.dir) != before {
		t.Error("the lake has changed")
	}
	if treeSum(t, outside) != beforeOut {
		t.Error("the folder outside has changed")
	}
}

// TestNothingLeaks: what the tree walk lets through sees neither files nor the environment.
func TestNothingLeaks(t *testing.T) {
	l := newLake(t)
	l.write("http", "2026-11-20", 7, "a.parquet", httpRows("2026-11-20", 7, 5))
	secret := filepath.Join(t.TempDir(), "x.parquet")
	if _, err := l.db.Exec("COPY (SELECT 'hunter2' AS path) TO " + literal(secret) + " (FORMAT parquet)"); err != nil {
		t.Fatal(err)
	}
	// A name the statement makes itself, in another scope, lets the walk pass; the engine still reads no file outside.
	res, err := l.ask(`SELECT * FROM (WITH "` + secret + `" AS (SELECT 1) SELECT 1) a, "` + secret + `"`)
	if err == nil {
		t.Errorf("%s", rowsText(t, res))
	}
	// Symbolic links in the lake, to a file and to a folder: not looked at, and said.
	dir := filepath.Join(l.dir, "class=http", "day=2026-11-20", "hour=07")
	for from, to := range map[string]string{secret: dir + "/link.parquet", filepath.Dir(secret): filepath.Dir(dir) + "/hour=08"} {
		if err := os.Symlink(from, to); err != nil {
			t.Fatal(err)
		}
	}
	r := l.want("SELECT count(*), count(*) FILTER (path = 'hunter2') FROM http", "[[5,0]]")
	if len(r.NotLooked) != 2 {
		t.Errorf("not looked at: %+v", r.NotLooked)
	}
}

// TestContained: what takes too much ends with a clear word, and the lake is as before.
// TestFetchingTakesTime: what brings the files there has the time of the hunt and no more.
func TestFetchingTakesTime(t *testing.T) {
	l := newLake(t)
	l.write("http", "2026-11-20", 7, "a.parquet", httpRows("2026-11-20", 7, 5))
	e := l.engine()
	e.Select = func(ctx context.Context, _ lake.Filter) ([]lake.File, []lake.NotLookedAt, error) {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	_, err := e.Run(t.Context(), Request{SQL: "SELECT count(*) FROM http", Limits: Limits{Time: time.Second}})
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "no answer after 1s") {
		t.Fatal(err)
	}
}

func TestContained(t *testing.T) {
	l := newLake(t)
	l.write("http", "2026-11-20", 7, "a.parquet", httpRows("2026-11-20", 7, 5))
	before := treeSum(t, l.dir)
	for name, c := range map[string]struct {
		sql  string
		time time.Duration
		mem  int64
		says string
	}{
		"endless":   {"SELECT count(*) FROM range(10000000000000) a, range(10000000000) b", 1 * time.Second, 0, ""},
		"recursive": {"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i FROM r) SELECT count(*) FROM r", 1 * time.Second, 0, "no answer after 1s"},
		"memory":    {"SELECT x, row_number() OVER (ORDER BY x) FROM (SELECT a.range::VARCHAR || b.range::VARCHAR AS x FROM range(100000) a, range(10000) b)", 20 * time.Second, 128 << 20, "out of memory"},
		"list":      {"SELECT list(i || 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') FROM range(100000000) t(i)", 20 * time.Second, 128 << 20, "out of memory"},
		"one value": {"SELECT repeat('x', 1000000000)", 20 * time.Second, 128 << 20, "out of memory"},
		"large row": {"SELECT repeat('x', 20000000)", 20 * time.Second, 0, "a row of more than"},
	} {
		_, err := l.ask(c.sql, func(r *Request) { r.Limits = Limits{Time: c.time, Memory: c.mem} })
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	res, err := l.ask("SELECT i FROM range(1000000000) t(i)", func(r *Request) { r.Limits.Rows = 1000 })
	if err != nil || len(res.Rows) != 1000 || !res.Truncated {
		t.Fatalf("rows: %v, %+v", err, res)
	}
	res, err = l.ask("SELECT repeat('x', 1000) FROM range(1000000000)", func(r *Request) { r.Limits.Bytes = 1 << 20 })
	if err != nil || len(res.Rows) < 900 || len(res.Rows) > 1100 || !res.Truncated {
		t.Fatalf("bytes: %v, %+v", err, res)
	}
	res, err = l.ask("SELECT 1", func(r *Request) { r.Limits.Rows = 1 })
	if err != nil || res.Truncated {
		t.Errorf("exactly the limit: %v %+v", err, res)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.engine().Run(ctx, Request{SQL: "SELECT 1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if treeSum(t, l.dir) != before {
		t.Error("the lake has changed")
	}
}

// TestDamaged: a damaged file is named and left out, whatever is wrong with it; the rest is answered.
func TestDamaged(t *testing.T) {
	l := newLake(t)
	l.write("http", "2026-11-20", 7, "good.parquet", httpRows("2026-11-20", 7, 10))
	big := l.write("http", "2026-11-20", 8, "pages.parquet", httpRows("2026-11-20", 8, 50_000))
	raw, err := os.ReadFile(big)
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{
		"empty.parquet": {}, "short.parquet": []byte("PAR1"), "text.parquet": []byte("this is no Parquet file at all, is it?"), "cut.parquet": raw[:len(raw)/2],
		"footer.parquet": append(append([]byte{}, raw[:len(raw)-200]...), append(make([]byte, 192), raw[len(raw)-8:]...)...),
	}
	pages := append([]byte{}, raw...)
	for i := 1000; i < len(raw)/2; i += 7 {
		pages[i] ^= 0x55
	}
	damage["pages.parquet"] = pages
	dir := filepath.Dir(big)
	for name, b := range damage {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() != 0 {
		damage["closed.parquet"] = raw
		if err := os.WriteFile(filepath.Join(dir, "closed.parquet"), raw, 0); err != nil {
			t.Fatal(err)
		}
	}
	res := l.want("SELECT count(*), count(DISTINCT path), max(url), max(body) FROM http", `[[10,10,"http://example.com/p/9","YWJj"]]`)
	if len(res.NotLooked) != len(damage) || res.Files != 1 {
		t.Errorf("looked at %d files; not at %+v", res.Files, res.NotLooked)
	}
	for _, s := range res.NotLooked {
		if _, ok := damage[filepath.Base(s.File)]; !ok || s.Reason == "" || filepath.IsAbs(s.File) {
			t.Errorf("%+v", s)
		}
	}
	// An error that only names a file is the statement's own.
	if _, err := l.ask("SELECT error('good.parquet') FROM http"); err == nil || !strings.Contains(err.Error(), "good.parquet") {
		t.Errorf("%v", err)
	}
}

// TestOlderLake: files of different age are one view.
func TestOlderLake(t *testing.T) {
	l := newLake(t)
	l.write("http", "2025-01-01", 0, "old.parquet", `SELECT TIMESTAMP_NS '2025-01-01 00:00:00' AS time_dt, {'ip': '192.0.2.1'} AS src_endpoint, {'url': {'path': '/old'}} AS http_request`)
	l.write("http", "2026-11-20", 7, "new.parquet", httpRows("2026-11-20", 7, 1))
	l.write("http", "2027-01-01", 1, "newer.parquet", `SELECT TIMESTAMP_NS '2027-01-01 01:00:00' AS time_dt, {'ip': '192.0.2.3', 'port': 1, 'new': 5} AS src_endpoint, {'url': {'path': '/new'}} AS http_request, 1 AS extra`)
	l.want("SELECT src_ip, src_port, path, user_agent FROM http ORDER BY time", `[["192.0.2.1",null,"/old",null],["192.0.2.0",4000,"/p/0","curl/8"],["192.0.2.3",1,"/new",null]]`)
	day := func(s string) time.Time {
		d, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	r := l.want("SELECT path FROM http", `[["/p/0"]]`, func(r *Request) { r.Range = Range{day("2026-11-20T07:30:00Z"), day("2026-11-20T09:00:00Z")} })
	if r.Files != 1 {
		t.Errorf("%d files read", r.Files)
	}
	l.want("SELECT path FROM http WHERE day = '2026-11-20'", `[["/p/0"]]`)
}

// TestValues: every type keeps what it says.
func TestValues(t *testing.T) {
	l := newLake(t)
	for sql, want := range map[string]string{
		"9223372036854775807::BIGINT": "9223372036854775807", "18446744073709551615::UBIGINT": "18446744073709551615", "(-5)::TINYINT": "-5",
		"170141183460469231731687303715884105727::HUGEINT": "170141183460469231731687303715884105727", "1.50::DECIMAL(10,2)": "1.50", "(-0.05)::DECIMAL(4,2)": "-0.05", "12345678901234567890.12::DECIMAL(38,2)": "12345678901234567890.12",
		"0.1::DOUBLE": "0.1", "1e300::DOUBLE": "1e+300", "'nan'::DOUBLE": `"NaN"`, "'-inf'::FLOAT": `"-Inf"`, "true": "true", "NULL": "null", "'a\"<b>\n'": "\"a\\\"\\u003cb\\u003e\\n\"",
		"TIMESTAMPTZ '2026-11-20 10:00:00.5+02'": `"2026-11-20T08:00:00.5Z"`, "TIMESTAMP '2026-11-20 10:00:00'": `"2026-11-20T10:00:00"`, "TIMESTAMP_NS '2026-11-20 10:00:00.123456789'": `"2026-11-20T10:00:00.123456789"`, "DATE '2026-11-20'": `"2026-11-20"`, "TIME '10:00:01.25'": `"10:00:01.25"`,
		"INTERVAL '1 month 2 days 3 seconds'": `"1 months 2 days 3s"`, "'\\x00\\xff'::BLOB": `"AP8="`, "[1,2,NULL]": "[1,2,null]", "{'z': 1, 'a': [{'b': DATE '2026-11-20'}]}": `{"z":1,"a":[{"b":"2026-11-20"}]}`,
		"MAP {'k': 1.10}": `[{"key":"k","value":1.10}]`, "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID": `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, "'{\"a\":[1]}'::JSON": `{"a":[1]}`, "'a'::ENUM('a','b')": `"a"`, "'101'::BIT": `"101"`,
		"union_value(x := 5)": `{"x":5}`, "[1,2]::INTEGER[2]": "[1,2]",
	} {
		l.want("SELECT "+sql, "[["+want+"]]")
	}
}
