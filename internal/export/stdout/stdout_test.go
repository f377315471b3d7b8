package stdout

import (
	"os"
	"path/filepath"
	"testing"

	"bartizan/internal/export"
	"bartizan/internal/export/exporttest"
)

// receiver is a file in the place of standard output; while it is away, the
// sink has one that cannot be written.
type receiver struct {
	t        *testing.T
	s        *sink
	path     string
	out, off *os.File
}

func (r *receiver) Events() [][]byte { return exporttest.Lines(r.t, r.path) }
func (r *receiver) Down()            { r.s.out = r.off }
func (r *receiver) Up()              { r.s.out = r.out }

func TestSink(t *testing.T) {
	exporttest.Run(t, exporttest.Options{}, func(t *testing.T) (export.Sink, exporttest.Receiver) {
		made, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		r := &receiver{t: t, s: made.(*sink), path: filepath.Join(t.TempDir(), "out")}
		if r.out, err = os.Create(r.path); err != nil {
			t.Fatal(err)
		}
		if r.off, err = os.Open(r.path); err != nil { // for reading only
			t.Fatal(err)
		}
		t.Cleanup(func() { r.out.Close(); r.off.Close() })
		r.Up()
		return r.s, r
	})
}
