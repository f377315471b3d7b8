//go:build cgo

package query

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"

	footers "bartizan/internal/safe/thrift"
)

// maxFooter is how long a footer may be that is read here: ours have some 10 KB and 5 KB per row group. The engine still
// reads the file when it is longer.
const maxFooter = 8 << 20

// footerRoom is how much memory the lists of one may take.
const footerRoom = 512 << 20

// sight is what a look at a file's footer tells.
type sight struct {
	path string // below the lake
	full string
	bad  string // why it cannot be read at all
	gone bool
	form string // equal for files with equal columns; "" when the footer is not understood here, though perhaps by the engine
	miss bool   // no row of it can be in the answer
}

// look reads the footers of files, several at a time, and decides with rowless whether a file can be left out.
func look(root string, files []string, threads int, rowless func(*parquet.File) bool) []sight {
	out := make([]sight, len(files))
	var all sync.WaitGroup
	for t := range threads {
		all.Go(func() {
			for i := t; i < len(files); i += threads {
				out[i] = lookAt(root, files[i], rowless)
			}
		})
	}
	all.Wait()
	return out
}

func lookAt(root, file string, rowless func(*parquet.File) bool) (s sight) {
	s = sight{path: file, full: filepath.Join(root, file)}
	f, err := os.Open(s.full)
	if err != nil {
		s.bad, s.gone = oneLine(err.Error()), errors.Is(err, fs.ErrNotExist)
		return s
	}
	defer f.Close()
	size, footer, bad := ends(f)
	if s.bad = bad; bad != "" || footer > maxFooter {
		return s
	}
	// The decoder may panic on bytes that it did not write. What it does not understand is the engine's to judge.
	defer func() {
		if recover() != nil {
			s.form, s.miss = "", false
		}
	}()
	text := make([]byte, footer)
	if _, err := f.ReadAt(text, size-8-footer); err != nil || footers.Check(text, footerRoom) != nil {
		return s // the decoder would make room for what lists claim to have
	}
	p, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return s
	}
	s.form = formOf(p)
	s.miss = rowless != nil && rowless(p)
	return s
}

// ends looks at both ends of a file: its size, the length of its footer, and what is wrong with them.
func ends(f *os.File) (size, footer int64, bad string) {
	st, err := f.Stat()
	if err != nil {
		return 0, 0, oneLine(err.Error())
	}
	const magic, least = "PAR1", 12
	var head, tail [8]byte
	size = st.Size()
	if size < least {
		return 0, 0, fmt.Sprintf("damaged: %d bytes are no Parquet file", size)
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return 0, 0, oneLine(err.Error())
	}
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return 0, 0, oneLine(err.Error())
	}
	if string(head[:4]) != magic || string(tail[4:]) != magic {
		return 0, 0, "damaged: it does not begin and end as a Parquet file"
	}
	if footer = int64(binary.LittleEndian.Uint32(tail[:4])); footer > size-least {
		return 0, 0, "damaged: its footer is longer than the file"
	}
	return size, footer, ""
}

// formOf describes a file's columns, so that files with equal forms can be read as one table by their places.
func formOf(p *parquet.File) string {
	var b []byte
	for _, e := range p.Metadata().Schema {
		b = binary.AppendUvarint(b, uint64(len(e.Name)))
		b = append(b, e.Name...)
		kind, repeat, converted := "-", "-", "-"
		if e.Type.Valid {
			kind = e.Type.V.String()
		}
		if e.RepetitionType.Valid {
			repeat = e.RepetitionType.V.String()
		}
		if e.ConvertedType.Valid {
			converted = strconv.Itoa(int(e.ConvertedType.V))
		}
		b = fmt.Appendf(b, "\x00%s %s %s %v %v %v %v ", kind, repeat, converted, number(e.NumChildren), number(e.TypeLength), number(e.Scale), number(e.Precision))
		b = append(b, e.LogicalType.String()...)
	}
	return string(b)
}

func number(n thrift.Null[int32]) int64 {
	if !n.Valid {
		return -1
	}
	return int64(n.V)
}

// rowless says of a file whether none of the references can find a row in it, as far as its Bloom filters tell. The
// engine does not ask the filters of columns in structs.
func rowless(refs []reference) func(*parquet.File) bool {
	if len(refs) == 0 || slices.ContainsFunc(refs, func(r reference) bool { return len(r.equal) == 0 }) {
		return nil
	}
	return func(p *parquet.File) bool {
		for _, r := range refs {
			if !slices.ContainsFunc(r.equal, func(q equal) bool { return lacks(p, q) }) {
				return false
			}
		}
		return true
	}
}

// lacks says that no row of a file has one of the values in a column.
func lacks(p *parquet.File, q equal) bool {
	leaf, ok := p.Schema().Lookup(q.leaf...)
	if !ok || leaf.MaxRepetitionLevel > 0 || leaf.Node.Type().Kind() != parquet.ByteArray {
		return false
	}
	for _, g := range p.RowGroups() {
		filter := g.ColumnChunks()[leaf.ColumnIndex].BloomFilter()
		if filter == nil {
			return false
		}
		for _, v := range q.values {
			if there, err := filter.Check(parquet.ByteArrayValue([]byte(v))); there || err != nil {
				return false
			}
		}
	}
	return true
}

// maxForms is how many different forms are read side by side; of more, the engine makes one table itself, which takes it longer.
const maxForms = 8

// alike puts files of equal form together. One group with mixed set is of files whose columns have to be put together by name.
func alike(files []sight) (groups [][]string, mixed bool) {
	index := map[string]int{}
	for _, s := range files {
		i, ok := index[s.form]
		if !ok {
			i = len(groups)
			index[s.form] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], s.full)
	}
	if _, unknown := index[""]; !unknown && len(groups) <= maxForms {
		return groups, false
	}
	return [][]string{slices.Concat(groups...)}, true
}
