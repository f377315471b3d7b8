package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bartizan/internal/safe"
	"bartizan/internal/source"
)

// MaxSpool is how much of a stream is kept in a temporary file for a format
// that needs random access, in bytes.
const MaxSpool = 8 << 30

// input prepares what containers look at. file is the file that src reads from
// its beginning, when it is one and not compressed. drop removes what was made.
func input(src io.Reader, file *os.File) (in *source.Input, drop func(), err error) {
	b := bufio.NewReaderSize(src, 64<<10)
	head, err := b.Peek(source.HeadLen)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) && len(head) == 0 {
		return nil, nil, err
	}
	in = &source.Input{Head: append([]byte(nil), head...), Stream: b}
	var at io.ReaderAt
	var size int64
	release := func() {}
	in.All = func() (io.ReaderAt, int64, error) {
		if at != nil {
			return at, size, nil
		}
		if file != nil {
			var magic [4]byte // of a file that is compressed, src reads something else
			st, err := file.Stat()
			n, _ := file.ReadAt(magic[:], 0)
			if err == nil && st.Mode().IsRegular() && string(magic[:n]) == string(head[:min(n, len(head))]) {
				at, size = file, st.Size()
				return at, size, nil
			}
		}
		f, n, err := spool(b)
		if err != nil {
			return nil, 0, err
		}
		release = func() { _ = f.Close() } // it has no name any more
		at, size = f, n
		return at, size, nil
	}
	return in, func() { release() }, nil
}

// spool copies a stream to a file without a name.
func spool(r io.Reader) (*os.File, int64, error) {
	f, err := os.CreateTemp("", "bartizan-spool-*")
	if err != nil {
		return nil, 0, fmt.Errorf("make a temporary file in %s (TMPDIR chooses another folder): %w", filepath.Clean(os.TempDir()), err)
	}
	err = os.Remove(f.Name())
	var n int64
	if err == nil {
		n, err = io.Copy(f, safe.CappedReader(r, MaxSpool, "compressed or streamed Parquet file"))
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("copy to a temporary file: %w", err), f.Close())
	}
	return f, n, nil
}
