package lake

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"bartizan/internal/safe/thrift"
)

// sumKey is the key of a file's own SHA-256 in its metadata.
const sumKey = "bartizan.sha256"

const (
	sumLen    = 2 * sha256.Size
	magic     = "PAR1"
	maxFooter = 64 << 20 // of a file; ours have some 10 KB and 5 KB per row group
)

func noSum() string { return string(bytes.Repeat([]byte{'0'}, sumLen)) }

// errNoSum is a file that no version of this program has written.
var errNoSum = errors.New("no checksum of ours in it")

// sumPlace finds where in a footer the digits begin. In Thrift's compact protocol a
// KeyValue is key and value with their lengths, and the list of them comes behind everything
// that could hold bytes of a visitor (the statistics of columns), so the last match is ours.
func sumPlace(footer []byte) (int, error) {
	mark := append([]byte(sumKey), 0x18, sumLen) // field 2, binary; length
	i := bytes.LastIndex(footer, mark)
	if i < 0 || i+len(mark)+sumLen > len(footer) {
		return 0, errNoSum
	}
	return i + len(mark), nil
}

// stamp puts the sum into an encoded file that was made with zeros for it.
func stamp(file []byte) error {
	n := len(file)
	if n < 12 {
		return errors.New("stamp file: too short")
	}
	size := int(binary.LittleEndian.Uint32(file[n-8:]))
	if size > n-12 {
		return errors.New("stamp file: footer is longer than the file")
	}
	at, err := sumPlace(file[n-8-size : n-8])
	if err != nil {
		return fmt.Errorf("stamp file: %w", err)
	}
	sum := sha256.Sum256(file)
	hex.Encode(file[n-8-size+at:], sum[:])
	return nil
}

// readFooter reads the bytes between the data and the last eight.
func readFooter(f io.ReaderAt, size int64) ([]byte, error) {
	var head [4]byte
	var tail [8]byte
	if size < 12 {
		return nil, fmt.Errorf("%d bytes are no Parquet file", size)
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, err
	}
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	if string(head[:]) != magic || string(tail[4:]) != magic {
		return nil, errors.New("no Parquet file: the marks at its beginning and end are not there")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	if n > size-12 || n > maxFooter {
		return nil, fmt.Errorf("a footer of %d bytes in a file of %d", n, size)
	}
	footer := make([]byte, n)
	_, err := f.ReadAt(footer, size-8-n)
	return footer, err
}

// footerRoom is how much memory the lists of a footer may take: ours need some 10 MB.
const footerRoom = 1 << 30

// openable says why a file must not be opened: the decoder makes room for what lists claim to have.
func openable(f io.ReaderAt, size int64) error {
	footer, err := readFooter(f, size)
	if err != nil {
		return err
	}
	return thrift.Check(footer, footerRoom)
}

// verifySum compares a file with the sum in it.
func verifySum(f io.ReaderAt, size int64) error {
	footer, err := readFooter(f, size)
	if err != nil {
		return err
	}
	at, err := sumPlace(footer)
	if err != nil {
		return err
	}
	at64 := size - 8 - int64(len(footer)) + int64(at)
	h := sha256.New()
	parts := []io.Reader{io.NewSectionReader(f, 0, at64), bytes.NewReader([]byte(noSum())), io.NewSectionReader(f, at64+sumLen, size-at64-sumLen)}
	if _, err := io.Copy(h, io.MultiReader(parts...)); err != nil {
		return err
	}
	if want := string(footer[at : at+sumLen]); hex.EncodeToString(h.Sum(nil)) != want {
		return fmt.Errorf("its bytes are not those that were written (SHA-256 %x, written were %.64q)", h.Sum(nil), want)
	}
	return nil
}

// stampFile is stamp for a file on the disk; it tells its size.
func stampFile(f *os.File) (size int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size = st.Size()
	footer, err := readFooter(f, size)
	if err != nil {
		return 0, err
	}
	at, err := sumPlace(footer)
	if err != nil {
		return 0, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return 0, err
	}
	_, err = f.WriteAt([]byte(hex.EncodeToString(h.Sum(nil))), size-8-int64(len(footer))+int64(at))
	return size, err
}
