package parquet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Caps on a page. Writers aim at 1 MB or 20,000 values.
const (
	maxPage   = 64 << 20 // bytes, packed or not
	maxValues = 4 << 20
)

var errPage = errors.New("open Parquet file: a page is larger than 64 MiB or 4 M values, or not where the footer has it")

// checkPages reads the headers of all pages of a column chunk. The library
// makes room for what a header claims before it looks at the data, so a few
// bytes could ask for gigabytes.
func checkPages(at io.ReaderAt, size int64, c *format.ColumnMetaData) error {
	pos := c.DataPageOffset
	if d := c.DictionaryPageOffset; d > 0 && d < pos {
		pos = d
	}
	end := pos + c.TotalCompressedSize
	if pos < 4 || end < pos || end > size {
		return errPage
	}
	var protocol thrift.CompactProtocol
	buf := bufio.NewReaderSize(nil, 512)
	values := int64(0)
	for pos < end {
		count := &counter{r: io.NewSectionReader(at, pos, end-pos)}
		buf.Reset(count)
		var h format.PageHeader
		if err := thrift.NewDecoder(protocol.NewReader(buf)).Decode(&h); err != nil {
			if values >= c.NumValues {
				return nil // what is behind the last page is not read
			}
			return fmt.Errorf("open Parquet file: header of a page: %w", err)
		}
		n := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
		if h.CompressedPageSize < 0 || h.CompressedPageSize > maxPage || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage || n < 0 || n > maxValues {
			return errPage
		}
		if h.Type != format.DictionaryPage {
			values += int64(n)
		}
		pos += count.n - int64(buf.Buffered())
		if c.Codec == format.Snappy && !claims(at, pos+levels(&h)) {
			return errPage
		}
		pos += int64(h.CompressedPageSize)
	}
	return nil
}

// claims reports whether data packed by Snappy, which says again how large it
// is and is believed, stays within the cap.
func claims(at io.ReaderAt, pos int64) bool {
	var b [binary.MaxVarintLen64]byte
	n, _ := at.ReadAt(b[:], pos) // at the end there may be fewer
	long, k := binary.Uvarint(b[:n])
	return k <= 0 || long <= maxPage
}

// levels is how many bytes before the packed data are not packed.
func levels(h *format.PageHeader) int64 {
	if h.Type != format.DataPageV2 {
		return 0
	}
	n := int64(h.DataPageHeaderV2.V.RepetitionLevelsByteLength) + int64(h.DataPageHeaderV2.V.DefinitionLevelsByteLength)
	return min(max(n, 0), maxPage)
}

// counter counts what is read. A header that goes on behind the end is broken off with a
// panic, which Open recovers: the library takes the end for numbers where it skips a list of
// DOUBLE, as many as the list claims, and lists in lists multiply.
type counter struct {
	r    io.Reader
	n    int64
	ends int // reads behind the end
}

// maxEnds is far more than a header that is only cut off needs.
const maxEnds = 100

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil {
		if c.ends++; c.ends > maxEnds {
			panic(errPage)
		}
	}
	return n, err
}
