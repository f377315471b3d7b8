package lake

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// FuzzImportLine: a line is a signal that is right, an observation that is right, or an error.
func FuzzImportLine(f *testing.F) {
	for _, s := range []string{
		`{"id":"01KB2JQ4Q0Z8V4A1B2C3D4E5F6","time":"2026-11-27T09:12:01Z","kind":"auth.brute-force","class":"credential","rule":"ssh-guess","title":"guesses","actor":{"type":"ip","value":"192.0.2.7"},"address":"192.0.2.7","asset":{"kind":"service","name":"ssh"},"sensor":"edge-1","confidence":0.9,"severity":"medium","count":5}`,
		`{"kind":"auth","time":"2026-11-27T09:12:00Z","session":"01KB2JQ4Q0Z8V4A1B2C3D4E5F7","sensor":"edge-1","decoy":"ssh","service":"ssh","local":"203.0.113.7:22","remote":"192.0.2.7:40000","auth":{"method":"password","user":"root","password":"1","accepted":false}}`,
		`{"id":"01M6B8TE80RT53KQ6AN823Y1W4","time":"2026-11-01T10:00:00Z","kind":"secrets.env-file","class":"secrets","rule":"web.secrets.env","title":"asks for environment files","severity":"high","confidence":0.965,"actor":{"type":"ip","value":"198.51.100.7"},"address":"198.51.100.7","target":{"type":"service","value":"http"},"techniques":["T1552.001"],"count":1,"evidence":"GET … /.env","file":"a.log","record":3}`,
		`{"kind":"http"}`, `{"id":"x","kind":"y"}`, `{"hello":"world"}`, `[]`, `null`, `{"kind":"auth","time":"`, "\xff", `{"id":1,"kind":[]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var o observe.Observation
		var s model.Signal
		isSignal, err := parseLine(line, &o, &s)
		if err != nil {
			return
		}
		if isSignal {
			err = s.Check()
		} else {
			err = o.Check(o.Time)
		}
		if err != nil {
			t.Fatalf("taken in spite of %v", err)
		}
	})
}

// FuzzReplacement: a record names files of its own folder, or is refused.
func FuzzReplacement(f *testing.F) {
	for _, s := range []string{`{"new":"01KB2JQ4Q0Z8V4A1B2C3D4E5F6-1.parquet","old":["01KB2JQ4Q0Z8V4A1B2C3D4E5F5-0.parquet"]}`, `{"new":"../x.parquet"}`, `{"new":"a.parquet","old":["b/c.parquet"]}`,
		`{}`, `{"new":".a.parquet"}`, `[`, `{"new":"a\u0000.parquet"}`, `{"new":[]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReplacement(b)
		if err != nil {
			return
		}
		for _, name := range append(r.Old, r.New) {
			inFolder(t, name)
		}
	})
}

// FuzzSent: likewise of what has left the folder.
func FuzzSent(f *testing.F) {
	for _, s := range []string{`{"going":["a.parquet"],"there":{"b.parquet":"2026-11-27T09:12:00Z"}}`, `{"going":["../a.parquet"]}`, `{"there":{"x/y.parquet":"2026-11-27T09:12:00Z"}}`, `null`, `{"there":{"b.parquet":"never"}}`, `{"going":[""]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSent(b)
		if err != nil {
			return
		}
		for _, name := range s.Going {
			inFolder(t, name)
		}
		for name := range s.There {
			inFolder(t, name)
		}
	})
}

func inFolder(t *testing.T, name string) {
	t.Helper()
	if strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".parquet") {
		t.Fatalf("%q", name)
	}
}

// FuzzFile: bytes that are no file of ours are an error, never a panic and never taken for whole; and a look at their
// statistics leaves nothing out that it does not understand.
func FuzzFile(f *testing.F) {
	seeds, err := filepath.Glob("testdata/v1/class=*/day=*/hour=*/*.parquet")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds", err)
	}
	whole := map[string]bool{}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		whole[string(b)] = true
		f.Add(b)
		f.Add(b[:len(b)-9])
		f.Add(b[len(b)-2000:])
	}
	for _, s := range []string{"", "PAR1", "PAR1PAR1PAR1", "PAR1\x00\x00\x00\x00PAR1", "PAR1" + sumKey + "\x18\x40" + noSum() + "\x52\x00\x00\x00PAR1", "PAR1\xff\xff\xff\xffPAR1"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "01KB2JQ4Q0Z8V4A1B2C3D4E5F6-0.parquet")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := verifySum(bytes.NewReader(b), int64(len(b)))
		_, _, werr := Whole(path)
		_, cerr := CheckFile(path)
		if (sum == nil) != (werr == nil) || cerr == nil && sum != nil {
			t.Fatalf("sum %v, whole %v, check %v", sum, werr, cerr)
		}
		Rowless(bytes.NewReader(b), int64(len(b)), []Need{{{Column: []string{"src_endpoint", "ip"}, Values: []string{"192.0.2.1"}}}})
	})
}

// TestOutside: bounds that a writer has cut short never exclude a value that may be there.
func TestOutside(t *testing.T) {
	for _, c := range []struct {
		least, most, v string
		want           bool
	}{
		{"b", "d", "a", true}, {"b", "d", "b", false}, {"b", "d", "c", false}, {"b", "d", "d", false}, {"b", "d", "dz", false}, {"b", "d", "e", true},
		{"b", "d", "", true}, {"abc", "abc", "abcd", false}, {"abc", "abc", "abb", true}, {"\x00", "\xff", "x", false},
	} {
		if got := outside([]byte(c.least), []byte(c.most), []byte(c.v)); got != c.want {
			t.Errorf("%q in %q–%q: %v", c.v, c.least, c.most, got)
		}
	}
	if outside(nil, []byte("a"), []byte("b")) || outside([]byte("a"), nil, []byte("")) {
		t.Error("bounds that are not there exclude something")
	}
}
