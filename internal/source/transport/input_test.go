package transport

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"

	"github.com/parquet-go/parquet-go"
)

// table is a container format: every Parquet file that has a column "flow".
type table struct{ lines }

func (table) Open(in *source.Input) (source.Records, error) {
	if !bytes.HasPrefix(in.Head, []byte("PAR1")) {
		return nil, source.ErrFormat
	}
	at, size, err := in.All()
	if err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(at, size)
	if err != nil {
		return nil, err
	}
	if f.Schema().Columns()[0][0] != "flow" {
		return nil, source.ErrFormat
	}
	return &rows{left: int(f.NumRows())}, nil
}

type rows struct{ left int }

func (r *rows) Next(at uint64, b *observe.LogBatch) (int, error) {
	if r.left == 0 {
		b.Flows = append(b.Flows, observe.Flow{Record: at - 1}) // what it held back
		return 0, io.EOF
	}
	r.left--
	if at == 1 {
		return 0, &source.RecordError{Why: io.ErrUnexpectedEOF, Record: []byte("x")}
	}
	b.Flows = append(b.Flows, observe.Flow{Record: at})
	return 1, nil
}

func (r *rows) Close() {}

func parquetFile[T any](t *testing.T, list []T) string {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, list); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestContainers: a container is read from a file, from gzip, from a stream;
// rows of a table that the format does not know come as JSON lines.
func TestContainers(t *testing.T) {
	type flowRow struct {
		Flow int64 `parquet:"flow"`
	}
	type other struct {
		R string `parquet:"r"`
	}
	flows := parquetFile(t, []flowRow{{1}, {2}, {3}})
	dir := t.TempDir()
	plain := write(t, filepath.Join(dir, "plain"), []byte(flows))
	packed := write(t, filepath.Join(dir, "packed"), pack(t, flows))
	for name, f := range map[string]*File{"file": {Path: plain}, "gzip": {Path: packed}, "stream": {Stream: strings.NewReader(flows)}} {
		f.Format, f.Opts = table{}, options(name)
		var got []uint64
		err := f.Run(t.Context(), func(_ context.Context, b *observe.LogBatch) error {
			for i := range b.Flows {
				got = append(got, b.Flows[i].Record)
			}
			return nil
		})
		if n := f.Counts(); err != nil || len(got) != 3 || got[1] != 2 || got[2] != 2 || n.Records != 3 || n.Malformed != 1 || n.Emitted != 3 {
			t.Errorf("%s: %v %+v %v", name, got, n, err)
		}
	}
	// A decoder that takes lines beginning with "{" sees the rows.
	f := &File{Stream: strings.NewReader(parquetFile(t, []other{{"a"}, {"b"}})), Format: table{}, Opts: source.Options{Input: "x", Format: "objects", Decoder: objects{}}}
	if err := f.Run(t.Context(), func(context.Context, *observe.LogBatch) error { return nil }); err != nil || f.Counts().Records != 2 {
		t.Errorf("rows as lines: %+v, %v", f.Counts(), err)
	}
}

type objects struct{}

func (objects) Decode(r []byte, at uint64, b *observe.LogBatch) error {
	if string(r) != `{"r":"a"}` && string(r) != `{"r":"b"}` {
		return source.ErrFormat
	}
	b.Flows = append(b.Flows, observe.Flow{Record: at})
	return nil
}
