package transport

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far back packed data may refer, in bytes: what RFC 8878 tells
// every reader of zstd to support, and no more memory than that for a stranger's
// file.
const maxWindow = 8 << 20

// packing is a way of packing that Decompress undoes.
type packing struct {
	name, magic string
	then        []string // one of them stands at byte 4; none: whatever does
	open        func(io.Reader) (io.Reader, func(), error)
}

func (p packing) begins(head []byte) bool {
	if !bytes.HasPrefix(head, []byte(p.magic)) {
		return false
	}
	for _, t := range p.then {
		if len(head) >= 4 && bytes.HasPrefix(head[4:], []byte(t)) {
			return true
		}
	}
	return len(p.then) == 0
}

func packings() [3]packing {
	return [...]packing{
		{"gzip", "\x1f\x8b\x08", nil, func(r io.Reader) (io.Reader, func(), error) { // RFC 1952, also several members
			z, err := gzip.NewReader(r)
			if err != nil {
				return nil, nil, err
			}
			return z, func() { _ = z.Close() }, nil // Close only repeats the error of Read
		}},
		{"zstd", "\x28\xb5\x2f\xfd", nil, func(r io.Reader) (io.Reader, func(), error) { // RFC 8878, also several frames
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
			if err != nil {
				return nil, nil, err
			}
			return z, z.Close, nil
		}},
		{"bzip2", "BZh", []string{"1AY&SY", "\x17rE8P\x90"}, func(r io.Reader) (io.Reader, func(), error) { // its first block, or the end of none
			return bzip2.NewReader(r), func() {}, nil
		}},
	}
}

// MagicLen is how many bytes Packed needs.
const MagicLen = 10

// Packed says whether what begins so is packed in a way that Decompress undoes.
func Packed(head []byte) bool {
	for _, p := range packings() {
		if p.begins(head) {
			return true
		}
	}
	return false
}

// Decompress unpacks gzip, zstd and bzip2 when the stream begins like it; done
// gives back what it holds.
func Decompress(r io.Reader) (out io.Reader, done func(), err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(MagicLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	for _, p := range packings() {
		if !p.begins(head) {
			continue
		}
		z, done, err := p.open(b)
		if err != nil {
			return nil, nil, fmt.Errorf("unpack %s: %w", p.name, err)
		}
		return &unpacking{z, p.name}, done, nil
	}
	return b, func() {}, nil
}

// unpacking says of errors what they mean for the one whose file it is.
type unpacking struct {
	r    io.Reader
	name string
}

func (u *unpacking) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	switch {
	case err == nil || err == io.EOF: //nolint:errorlint // readers are told io.EOF itself
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the %s data is cut off here (%w): what came before was read, get the whole file for the rest", u.name, err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = fmt.Errorf("unpack %s: it refers back more than %d MiB (%w): unpack it first, as in zstd -dc --long=31 FILE", u.name, maxWindow>>20, err)
	default:
		err = fmt.Errorf("unpack %s: %w; what came before was read, the rest is damaged or something else", u.name, err)
	}
	return n, err
}
