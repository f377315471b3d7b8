package lake

import (
	"bytes"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// pageBytes is the size at which a column's page is compressed. Every open file
// holds one unfinished page per column, some 60.
const pageBytes = 64 << 10

// sheet is one file being encoded in memory.
type sheet[T any] struct {
	out  bytes.Buffer
	w    *parquet.GenericWriter[T]
	rows int
}

// form says how files of a class are encoded.
type form struct {
	codec    compress.Codec
	rowGroup int64
	bloom    []string // columns
}

func (l *Lake) freshForm() form { return form{codec: l.fast, rowGroup: rowGroup} }

// rowGroup is how many rows share statistics and are decoded together. It is what
// DuckDB reads with one thread.
const rowGroup = 122_880

func newSheet[T any](product string, f form) *sheet[T] {
	s := &sheet[T]{}
	s.w = parquet.NewGenericWriter[T](&s.out, options[T](product, f)...)
	return s
}

func options[T any](product string, f form) []parquet.WriterOption {
	o := []parquet.WriterOption{
		parquet.Compression(f.codec), parquet.PageBufferSize(pageBytes), parquet.MaxRowsPerRowGroup(f.rowGroup),
		parquet.KeyValueMetadata(sumKey, noSum()), parquet.CreatedBy("bartizan", product, ""),
	}
	if len(f.bloom) > 0 {
		var filters []parquet.BloomFilterColumn
		for _, leaf := range parquet.SchemaOf(new(T)).Columns() {
			for _, want := range f.bloom {
				if dotted(leaf) == want {
					filters = append(filters, parquet.SplitBlockFilter(10, leaf...))
				}
			}
		}
		o = append(o, parquet.BloomFilters(filters...))
	}
	return o
}

// dotted is a column's path without the levels that Parquet puts into lists.
func dotted(path []string) string {
	var b []byte
	for i := 0; i < len(path); i++ {
		if path[i] == "list" && i+1 < len(path) && path[i+1] == "element" {
			i++
			continue
		}
		if len(b) > 0 {
			b = append(b, '.')
		}
		b = append(b, path[i]...)
	}
	return string(b)
}

func (s *sheet[T]) write(rows []T) error {
	n, err := s.w.Write(rows)
	s.rows += n
	return err
}

// size is about how many bytes the sheet holds in memory.
func (s *sheet[T]) size() int64 { return s.w.Size() }

// seal ends the file and returns its bytes.
func (s *sheet[T]) seal() ([]byte, error) {
	if err := s.w.Close(); err != nil {
		return nil, fmt.Errorf("encode rows: %w", err)
	}
	b := s.out.Bytes()
	return b, stamp(b)
}

// The levels of compression: fresh files cost little CPU, rewritten ones little space.
func fastest() compress.Codec { return &zstd.Codec{Level: zstd.SpeedFastest} }
func smaller() compress.Codec { return &zstd.Codec{Level: zstd.SpeedDefault} }
