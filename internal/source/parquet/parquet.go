// Package parquet opens Parquet files for formats: with caps on what a file may
// make the reader hold, and, for those that know no columns of their own, as
// one JSON object per row.
package parquet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"bartizan/internal/safe"
	"bartizan/internal/source"

	"github.com/parquet-go/parquet-go"
)

// Caps on a file. AWS writes row groups of 64 to 128 MB.
const (
	MaxColumns   = 1024
	MaxGroups    = 1 << 16
	MaxChunkSize = 1 << 30 // one column of one row group, unpacked
)

const maxFooter = 64 << 20

var errFooter = errors.New("open Parquet file: it is cut, or its footer is larger than 64 MiB")

// Begins reports whether an input begins like a Parquet file.
func Begins(head []byte) bool { return bytes.HasPrefix(head, []byte("PAR1")) }

// Open reads the footer of a file. A file that would need more memory than the
// caps allow is refused; only of pages packed by other means than Snappy the
// unpacked size is what their header says.
func Open(in *source.Input) (*parquet.File, error) {
	at, size, err := in.All()
	if err != nil {
		return nil, err
	}
	var tail [8]byte // length of the footer, and the magic again
	if size < 12 {
		return nil, errFooter
	}
	if _, err := at.ReadAt(tail[:], size-8); err != nil {
		return nil, fmt.Errorf("open Parquet file: %w", err)
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > maxFooter || n > size-12 {
		return nil, errFooter
	}
	var f *parquet.File
	err = safe.Recover("open parquet", nil, func() (err error) { // the library trusts some of what it reads
		f, err = parquet.OpenFile(at, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open Parquet file: %w", err)
	}
	if len(f.Schema().Columns()) > MaxColumns || len(f.Metadata().RowGroups) > MaxGroups {
		return nil, errors.New("open Parquet file: more than 1,024 columns or 65,536 row groups")
	}
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			if m := c.MetaData; m.TotalUncompressedSize > MaxChunkSize || m.TotalUncompressedSize < 0 || m.TotalCompressedSize > size {
				return nil, errors.New("open Parquet file: a column of a row group is larger than 1 GiB, or than the file")
			}
			err := safe.Recover("check parquet", nil, func() error { return checkPages(at, size, &c.MetaData) })
			if err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// Lines gives the rows of a file as JSON objects, one per line.
func Lines(in *source.Input) (io.Reader, error) {
	f, err := Open(in)
	if err != nil {
		return nil, err
	}
	return &lines{rows: parquet.NewGenericReader[any](f), buf: make([]any, 64)}, nil
}

type lines struct {
	rows *parquet.GenericReader[any]
	buf  []any
	out  bytes.Buffer
	err  error
}

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	for l.out.Len() == 0 {
		if l.err != nil {
			return 0, l.err
		}
		l.err = safe.Recover("read parquet", nil, l.fill)
		if l.err != nil {
			_ = l.rows.Close() // there is nothing more to read
		}
	}
	return l.out.Read(p)
}

func (l *lines) fill() error {
	clear(l.buf)
	n, err := l.rows.Read(l.buf)
	enc := json.NewEncoder(&l.out)
	enc.SetEscapeHTML(false)
	for _, row := range l.buf[:n] {
		if e := enc.Encode(plain(row)); e != nil {
			l.out.WriteByte('\n')
		}
	}
	return err
}

// plain makes texts of bytes, and leaves out what is not set, as logs do.
func plain(v any) any {
	switch x := v.(type) {
	case []byte:
		return string(x)
	case map[string]any:
		for k, f := range x {
			if f == nil {
				delete(x, k)
				continue
			}
			x[k] = plain(f)
		}
		// The schema of a list is a group in a group (Parquet format, "Lists").
		if list, ok := x["list"].([]any); ok && len(x) == 1 {
			for i := range list {
				if e, ok := list[i].(map[string]any); ok && len(e) == 1 {
					for _, item := range e {
						list[i] = item
					}
				}
			}
			return list
		}
		return x
	case []any:
		for i := range x {
			x[i] = plain(x[i])
		}
		return x
	}
	return v
}
