package sigma

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
)

// shared opens a file of the third-party data beside the repository, or skips.
func shared(t testing.TB, name string) io.Reader {
	t.Helper()
	dir := os.Getenv("BARTIZAN_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared")
	}
	f, err := os.Open(filepath.Join(dir, "data", "logs", name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NOT LOOKED AT: third-party data %s is not there (set BARTIZAN_SHARED)", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// unpack reads the rules of a tar archive into a file system in memory.
func unpack(t testing.TB, r io.Reader) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			out[h.Name] = &fstest.MapFile{Data: data}
		}
	}
}

var corpus struct {
	sync.Once
	fsys   fs.FS
	engine *Engine
	report Report
}

func sigmaHQ(t testing.TB) (*Engine, Report, fs.FS) {
	t.Helper()
	r := shared(t, "sigma-rules.tar.gz")
	corpus.Do(func() {
		corpus.fsys = unpack(t, r)
		var err error
		if corpus.engine, corpus.report, err = Load(corpus.fsys, Options{}); err != nil {
			t.Fatal(err)
		}
	})
	if corpus.engine == nil {
		t.Fatal("the rules could not be loaded in an earlier test")
	}
	return corpus.engine, corpus.report, corpus.fsys
}

type recorded struct {
	ID     string            `json:"id"`
	RuleID string            `json:"rule_id"`
	File   string            `json:"rule_file"`
	Events []json.RawMessage `json:"events"`
}

func recordings(t testing.TB) (out []recorded) {
	t.Helper()
	sc := bufio.NewScanner(shared(t, "sigma-regression.jsonl.gz"))
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var r recorded
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAccuracyRegression: every recorded attack fires the rule it was recorded
// for, and the other rules stay silent but for one in a thousand.
func TestAccuracyRegression(t *testing.T) {
	engine, report, _ := sigmaHQ(t)
	rows := recordings(t)
	run := engine.NewRunner(DefaultLimits())
	fired, cross, events := 0, 0, 0
	var doc Document
	for _, row := range rows {
		hit := false
		for _, text := range row.Events {
			events++
			if err := doc.Parse(text, Logsource{}); err != nil {
				t.Fatal(err)
			}
			for _, r := range run.Match(&doc) {
				if r.ID == row.RuleID {
					hit = true
				} else {
					cross++
				}
			}
		}
		if hit {
			fired++
		} else {
			t.Errorf("%s does not fire %s (%s)", row.ID, row.RuleID, row.File)
		}
	}
	share := float64(cross) / float64(events*(report.Rules-1))
	t.Logf("accuracy: %d of %d recorded tests fire their rule; %d events, %d rules, %d firings of other rules = %.4f %% of all pairs",
		fired, len(rows), events, report.Rules, cross, share*100)
	if len(rows) < 150 || share > 0.001 {
		t.Errorf("%d tests (want at least 150), cross-fire %.4f %% (want at most 0.1 %%)", len(rows), share*100)
	}
}

// TestAccuracyEveryRuleIsLoadedOrRefused: nothing is dropped without a word.
func TestAccuracyEveryRuleIsLoadedOrRefused(t *testing.T) {
	_, report, _ := sigmaHQ(t)
	for _, p := range report.Problems {
		if p.Line == 0 || p.File == "" {
			t.Errorf("a problem without its place: %v", p)
		}
	}
	t.Logf("accuracy: %d files, %d rules loaded, %d skipped by status, %d refused", report.Files, report.Rules, report.Skipped, len(report.Problems))
	for _, p := range report.Problems {
		t.Log(p)
	}
	if report.Files < 3000 || report.Rules+report.Skipped+len(report.Problems) != report.Files {
		t.Errorf("%d files, but %d rules, %d skipped and %d problems", report.Files, report.Rules, report.Skipped, len(report.Problems))
	}
}
