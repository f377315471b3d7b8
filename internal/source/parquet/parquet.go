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
	"math"
	"slices"

	"bartizan/internal/safe"
	"bartizan/internal/safe/thrift"
	"bartizan/internal/source"

	"github.com/parquet-go/parquet-go"
)

// Caps on a file. AWS writes row groups of 64 to 128 MB.
const (
	MaxColumns   = 1024
	MaxGroups    = 1 << 16
	MaxChunkSize = 1 << 30 // one column of one row group, unpacked
)

const (
	maxFooter = 64 << 20
	maxRoom   = 1 << 30 // of what the footer's lists take
)

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
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > maxFooter || n > size-12 {
		return nil, errFooter
	}
	footer := make([]byte, n)
	if _, err := at.ReadAt(footer, size-8-n); err != nil {
		return nil, fmt.Errorf("open Parquet file: %w", err)
	}
	if err := thrift.Check(footer, maxRoom); err != nil {
		return nil, fmt.Errorf("open Parquet file: footer: %w", err)
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
	kinds, err := leafKinds(f)
	if err != nil {
		return nil, err
	}
	for _, g := range f.Metadata().RowGroups {
		if len(g.Columns) != len(kinds) {
			return nil, errSchema
		}
		for i, c := range g.Columns {
			if parquet.Kind(c.MetaData.Type) != kinds[i] {
				return nil, errSchema
			}
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

var errSchema = errors.New("open Parquet file: its columns are not those of its schema")

// leafKinds are the types of the columns by the schema. The library takes a
// value of one type for one of another, without a look, where the two differ.
func leafKinds(f *parquet.File) (out []parquet.Kind, err error) {
	err = safe.Recover("read schema", nil, func() error {
		for _, path := range f.Schema().Columns() {
			leaf, ok := f.Schema().Lookup(path...)
			if !ok || !leaf.Node.Leaf() {
				return errSchema
			}
			out = append(out, leaf.Node.Type().Kind())
		}
		return nil
	})
	return out, err
}

// Lines gives the rows of a file as JSON objects, one per line. Groups become
// objects, what repeats becomes a list, also inside groups that repeat; values
// that are not set are left out.
func Lines(in *source.Input) (io.Reader, error) {
	f, err := Open(in)
	if err != nil {
		return nil, err
	}
	l := &lines{groups: f.RowGroups(), root: &node{}}
	err = safe.Recover("read schema", nil, func() error {
		for i, path := range f.Schema().Columns() {
			leaf, _ := f.Schema().Lookup(path...)
			l.root.add(path, i, leaf.MaxRepetitionLevel > 0)
		}
		return nil
	})
	return l, err
}

// node is a name in a row: a group, or a column.
type node struct {
	name   string
	column int // of a leaf
	list   bool
	inner  []*node
}

// add puts a column into the tree. The groups by which the format spells lists
// ("Lists" in its specification) are left out.
func (n *node) add(path []string, column int, list bool) {
	if k := len(path); k > 2 && (path[k-2] == "list" || path[k-2] == "bag") {
		path = path[:k-2]
	}
	for _, name := range path {
		at := slices.IndexFunc(n.inner, func(x *node) bool { return x.name == name })
		if at < 0 {
			at = len(n.inner)
			n.inner = append(n.inner, &node{name: name})
		}
		n = n.inner[at]
	}
	n.column, n.list = column, list
}

type lines struct {
	groups []parquet.RowGroup
	rows   parquet.Rows
	root   *node
	buf    [64]parquet.Row
	out    bytes.Buffer
	err    error
}

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	for l.out.Len() == 0 {
		if l.err != nil {
			return 0, l.err
		}
		l.err = safe.Recover("read parquet", nil, l.fill)
		var broke *safe.PanicError
		if errors.As(l.err, &broke) {
			l.err = errors.New("the Parquet file is damaged in a way that no reader expects") // what it panicked with may quote it
		}
	}
	return l.out.Read(p)
}

func (l *lines) fill() error {
	if l.rows == nil {
		if len(l.groups) == 0 {
			return io.EOF
		}
		l.rows, l.groups = l.groups[0].Rows(), l.groups[1:]
	}
	n, err := l.rows.ReadRows(l.buf[:])
	for _, row := range l.buf[:n] {
		if e := l.row(row); e != nil {
			return e
		}
	}
	if errors.Is(err, io.EOF) || n == 0 && err == nil {
		err = l.rows.Close()
		l.rows = nil
	}
	return err
}

// row writes one row. Of its values each says itself what it is: by the schema
// alone, a damaged file would have the library take numbers for addresses.
func (l *lines) row(row parquet.Row) error {
	columns := map[int][]parquet.Value{}
	for _, v := range row {
		columns[v.Column()] = append(columns[v.Column()], v)
	}
	object, _ := l.root.object(columns)
	text, err := json.Marshal(object)
	if err != nil { // a number that is none
		text = nil
	}
	l.out.Write(append(text, '\n'))
	return nil
}

// object makes what is in a group; ok is false when nothing in it is set.
func (n *node) object(columns map[int][]parquet.Value) (out members, ok bool) {
	for _, x := range n.inner {
		var value any
		if len(x.inner) > 0 {
			inner, set := x.object(columns)
			if !set {
				continue
			}
			value = inner
		} else if value = leaf(columns[x.column], x.list); value == nil {
			continue
		}
		out = append(out, member{x.name, value})
	}
	return out, len(out) > 0
}

// leaf is what a column has in a row: a value, a list, or nil.
func leaf(values []parquet.Value, repeats bool) any {
	var list []any
	for _, v := range values {
		if x := scalar(v); x != nil {
			list = append(list, x)
		}
	}
	switch {
	case len(list) == 0:
		return nil
	case !repeats:
		return list[0]
	}
	return list
}

func scalar(v parquet.Value) any {
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return v.Int32()
	case parquet.Int64:
		return v.Int64()
	case parquet.Float:
		return finite(float64(v.Float()))
	case parquet.Double:
		return finite(v.Double())
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray())
	}
	return nil
}

// finite leaves out what JSON has no word for.
func finite(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}

// members are an object in the order of its file.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (m members) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, x := range m {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(x.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(x.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}
