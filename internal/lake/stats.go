package lake

import (
	"bytes"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// Need is what a row must fulfil to count: each of these columns has one of its values.
type Need []Equal

// Equal says that a column has one of some values. Column is its path in the files.
type Equal struct {
	Column []string `json:"column"`
	Values []string `json:"values"`
}

// Rowless says of a file whether no row of it fulfils any of the needs, as far as its statistics and Bloom filters tell.
// It reads the footer and a few other places. A file that makes no sense is left to whoever reads all of it.
func Rowless(f io.ReaderAt, size int64, any []Need) (no bool) {
	// The decoder trusts the length of the footer, and may panic on bytes that it did not write.
	if len(any) == 0 || openable(f, size) != nil {
		return false
	}
	defer func() {
		if recover() != nil {
			no = false
		}
	}()
	p, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	return err == nil && !slices.ContainsFunc(any, func(n Need) bool {
		return !slices.ContainsFunc(n, func(q Equal) bool { return lacks(p, q) })
	})
}

// lacks says that no row of a file has one of the values in a column of text. What it does not understand it does not deny.
func lacks(p *parquet.File, q Equal) bool {
	leaf, ok := p.Schema().Lookup(q.Column...)
	if !ok || leaf.MaxRepetitionLevel > 0 || leaf.Node.Type().Kind() != parquet.ByteArray {
		return false
	}
	meta := p.Metadata().RowGroups
	for i, g := range p.RowGroups() {
		st := meta[i].Columns[leaf.ColumnIndex].MetaData.Statistics
		filter := g.ColumnChunks()[leaf.ColumnIndex].BloomFilter()
		for _, v := range q.Values {
			if outside(st.MinValue, st.MaxValue, []byte(v)) {
				continue
			}
			if filter == nil {
				return false
			}
			if there, err := filter.Check(parquet.ByteArrayValue([]byte(v))); there || err != nil {
				return false
			}
		}
	}
	return true
}

// outside says that a value is not between bounds that may have been cut short. Both are nil where there are none.
func outside(least, most, v []byte) bool {
	if least == nil || most == nil {
		return false
	}
	return bytes.Compare(v, least) < 0 || bytes.Compare(v, most) > 0 && !bytes.HasPrefix(v, most)
}
