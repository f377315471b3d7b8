package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bartizan/internal/export"
	"bartizan/internal/export/exporttest"
	"bartizan/internal/export/file"
)

// receiver is a file; while it is away, a folder has its name.
type receiver struct {
	t    *testing.T
	path string
}

func (r receiver) Events() [][]byte {
	return append(exporttest.Lines(r.t, r.path+".1"), exporttest.Lines(r.t, r.path)...)
}

func (r receiver) Down() {
	r.must(os.Rename(r.path, r.path+".1"))
	r.must(os.Mkdir(r.path, 0o700))
}

func (r receiver) Up() { r.must(os.Remove(r.path)) }

func (r receiver) must(err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

func start(t *testing.T) (export.Sink, receiver) {
	r := receiver{t, filepath.Join(t.TempDir(), "events.jsonl")}
	s, err := file.New(file.Config{Path: r.path})
	r.must(err)
	return s, r
}

func TestSink(t *testing.T) {
	exporttest.Run(t, exporttest.Options{}, func(t *testing.T) (export.Sink, exporttest.Receiver) { return start(t) })
}

// TestRotation: a file that was moved away is left alone and a new one begins.
func TestRotation(t *testing.T) {
	s, r := start(t)
	events := exporttest.Events(4)
	for i := range events {
		if _, err := s.Send(t.Context(), events[i:i+1]); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			r.must(os.Rename(r.path, r.path+".1"))
		}
	}
	r.must(s.Close())
	if a, b := len(exporttest.Lines(t, r.path+".1")), len(exporttest.Lines(t, r.path)); a != 2 || b != 2 {
		t.Errorf("%d and %d lines, want 2 and 2", a, b)
	}
	if st, err := os.Stat(r.path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// TestTornLine: what a crash tore off is removed, what is not ours is not touched.
func TestTornLine(t *testing.T) {
	long := `{"n":1,"text":"` + strings.Repeat("x", 200_000)
	for before, want := range map[string]string{
		"":                             "",
		"{\"n\":0}\n":                  "{\"n\":0}\n",
		"{\"n\":0}\n{\"n\":1,\"te":     "{\"n\":0}\n",
		"{\"n\":0}\n" + long:           "{\"n\":0}\n",
		"{\"half":                      "",
		"root:x:0:0\nno event, no end": "refused",
	} {
		s, r := start(t)
		r.must(os.WriteFile(r.path, []byte(before), 0o600))
		_, err := s.Send(t.Context(), exporttest.Events(1))
		after, rerr := os.ReadFile(r.path)
		r.must(rerr)
		r.must(s.Close())
		if want == "refused" {
			if err == nil || string(after) != before {
				t.Errorf("%.40q: %v, now %.80q", before, err, after)
			}
			continue
		}
		if err != nil || string(after) != want+string(exporttest.Events(1)[0].JSON)+"\n" {
			t.Errorf("%.40q: %v, now %.80q", before, err, after)
		}
	}
}

func TestRelativePath(t *testing.T) {
	if _, err := file.New(file.Config{Path: "events.jsonl"}); err == nil {
		t.Error("a relative path is accepted")
	}
}
