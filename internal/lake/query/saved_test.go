//go:build cgo

package query

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"bartizan/internal/ioc"
	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
)

// leastSaved is how many saved hunts there are at least.
const leastSaved = 5

// TestSaved runs each saved hunt on its own cases.
func TestSaved(t *testing.T) {
	all, err := SavedAll()
	if err != nil || len(all) < leastSaved {
		t.Fatalf("%d saved hunts, %v", len(all), err)
	}
	for _, s := range all {
		for i, c := range s.Cases {
			t.Run(fmt.Sprintf("%s/%d", s.Name, i), func(t *testing.T) { proveSaved(t, s, c) })
		}
	}
}

func proveSaved(t *testing.T, s Saved, c SavedCase) {
	l := newLake(t)
	for _, g := range c.Given {
		l.observe(string(g))
	}
	sql, params, err := s.Request(c.Params)
	if err != nil {
		t.Fatal(err)
	}
	res, err := l.ask(sql, func(r *Request) { r.Params = params })
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rows) != len(c.Expect) {
		t.Fatalf("%d rows, want %d: %s", len(res.Rows), len(c.Expect), rowsText(t, res))
	}
	if len(c.Expect) == 0 {
		t.Error("a case that expects nothing proves nothing")
	}
	for i, want := range c.Expect {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(want, &fields); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for j, col := range res.Columns {
			got[col.Name] = string(res.Rows[i][j])
		}
		for name, w := range fields {
			if got[name] != string(w) {
				t.Errorf("row %d, %s: %s, want %s", i, name, got[name], w)
			}
		}
	}
}

// observe writes one observation as the program does, in a file of its own.
func (l *testLake) observe(text string) {
	l.t.Helper()
	o := observe.Observation{Sensor: "node-1", Decoy: "decoy-1", Service: "http"}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		l.t.Fatal(err)
	}
	if o.Session.IsZero() {
		o.Session = model.NewULID(o.Time)
	}
	m := &ocsf.Mapper{MaxEvidence: 1 << 20}
	for _, c := range ocsf.Classes() {
		if c.Kind != o.Kind {
			continue
		}
		row := c.New()
		row.(ocsf.ObservationRow).FromObservation(m, &o)
		l.file(c.Name, o.Time, row)
	}
}

func (l *testLake) file(class string, at time.Time, row any) {
	l.t.Helper()
	dir := filepath.Join(l.dir, "class="+class, at.UTC().Format("day=2006-01-02/hour=15"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	f, err := os.CreateTemp(dir, "*.parquet")
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	w := parquet.NewWriter(f, parquet.SchemaOf(row), parquet.Compression(&parquet.Zstd))
	if err := w.Write(row); err != nil {
		l.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		l.t.Fatal(err)
	}
}

// TestEveryClassHasAView, and every column of it is found in the rows of the class.
func TestEveryClassHasAView(t *testing.T) {
	l := newLake(t)
	for _, c := range ocsf.Classes() {
		v := viewNamed("ocsf_" + c.Name)
		if v == nil {
			t.Errorf("no view for class %s: one entry in catalogue.go", c.Name)
			continue
		}
		l.file(c.Name, time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC), c.New())
		paths := map[string]bool{"day": true, "hour": true}
		for _, col := range parquet.SchemaOf(c.New()).Columns() {
			for i := range col {
				paths[strings.Join(col[:i+1], ".")] = true
			}
		}
		for _, col := range v.columns {
			for _, p := range placeholder.FindAllString(col.expr, -1) {
				if !paths[strings.Trim(p, "{}")] {
					t.Errorf("%s.%s: class %s has no %s", v.name, col.name, c.Name, p)
				}
			}
		}
	}
	for _, v := range Views() {
		l.want("SELECT max(hour), any_value(t) IS NOT NULL FROM "+v.Name+" t", "[[7,true]]")
	}
}

func TestMatch(t *testing.T) {
	l := newLake(t)
	for _, o := range []string{
		`{"kind":"http","time":"2026-11-20T07:00:00Z","remote":"192.0.2.77:4000","session":"01KAGH1ZZ0000000000000000A","http":{"method":"GET","target":"/x?y=1","proto":"HTTP/1.1","host":"Evil.Example.com:8080","headers":[{"name":"User-Agent","value":"zgrab/0.x"}],"status":404},"evidence":[{"what":"request","data":"YWJj","size":3}]}`,
		`{"kind":"http","time":"2026-11-21T07:00:00Z","remote":"192.0.2.77:4000","http":{"method":"GET","target":"/","proto":"HTTP/1.1","host":"notevil.example.com","status":404}}`,
		`{"kind":"fetch","time":"2026-11-20T07:00:00Z","remote":"[2001:db8:1:2:3::4]:4000","fetch":{"url":"HTTP://203.0.113.9/x.sh","tool":"wget"}}`,
		`{"kind":"forward","time":"2026-11-20T07:00:00Z","remote":"198.51.100.1:4000","forward":{"kind":"socks5","target":"mail.bad.example:25"}}`,
		`{"kind":"file","time":"2026-11-20T07:00:00Z","remote":"198.51.100.1:4000","file":{"path":"/tmp/x","how":"scp","size":1,"sha256":"` + strings.Repeat("ab", 32) + `","sha1":"` + strings.Repeat("cd", 20) + `","md5":"` + strings.Repeat("ef", 16) + `"}}`,
		`{"kind":"interaction","time":"2026-11-20T07:00:00Z","remote":"198.51.100.1:4000","interaction":{"ended":true,"prints":{"hassh":"` + strings.Repeat("c", 32) + `","ja4":"t13d1516h2_8daaf6152771_b186095e22b6"}}}`,
		`{"kind":"auth","time":"2026-11-20T07:00:00Z","remote":"198.51.100.1:4000","auth":{"method":"token","user":"","key":"` + observe.KeyID("sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD") + `"}}`,
	} {
		l.observe(o)
	}
	list, err := ioc.Read(strings.NewReader(strings.Join([]string{"192.0.2.0/24", "evil.example.com", "http://203.0.113.9/x.sh", "203.0.113.9", "2001:db8:1:2::99", "bad.example",
		strings.Repeat("AB", 32), "hassh:" + strings.Repeat("c", 32), "t13d1516h2_8daaf6152771_b186095e22b6", "access-key:sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD", "user-agent:zgrab/0.x",
		"http://evil.example.com:8080/x?y=1", "10.9.8.7", "nowhere.example", "http://other/x", strings.Repeat("CD", 20), strings.Repeat("ef", 16)}, "\n")))
	if err != nil || len(list.Problems) > 0 {
		t.Fatalf("%v %+v", err, list)
	}
	res, err := l.engine().Match(t.Context(), list.Indicators, Range{}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, m := range res.Matches {
		got[fmt.Sprintf("%d %s.%s", m.Indicator, m.View, m.Column)] = m.Count
	}
	want := map[string]int64{"0 http.src_ip": 2, "1 http.host": 1, "1 http.url": 1, "2 downloads.url": 1, "3 downloads.url": 1, "3 downloads.host": 1, "4 downloads.src_ip": 1, "5 forwards.target": 1, "6 files.sha256": 1,
		"7 interactions.hassh": 1, "8 interactions.ja4": 1, "9 logins.key": 1, "10 http.user_agent": 1, "11 http.url": 1, "15 files.sha1": 1, "16 files.md5": 1}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d, want %d", k, got[k], n)
		}
		delete(got, k)
	}
	if len(got) > 0 {
		t.Errorf("too much: %v", got)
	}
	for _, m := range res.Matches {
		if m.Indicator == 10 && (len(m.Sessions) != 1 || m.Sessions[0] != "01KAGH1ZZ0000000000000000A" || len(m.Evidence) != 1 || m.First.Format(time.RFC3339) != "2026-11-20T07:00:00Z") {
			t.Errorf("%+v", m)
		}
	}
}
