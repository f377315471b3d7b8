// Package capture reads packet captures for formats: the files (pcap and
// pcapng) and what their packets say up to the transport layer. It trusts no
// length: every cap is checked before memory is taken.
package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"bartizan/internal/source"
)

// Caps on a file.
const (
	MaxFrame      = 512 << 10 // captured bytes of a packet; tcpdump takes up to 262,144
	maxBlock      = MaxFrame + 4096
	maxInterfaces = 4096
)

// Frame is one packet as captured.
type Frame struct {
	Time   time.Time
	Link   uint32 // LINKTYPE_ value (tcpdump.org, "Link-layer header types")
	Data   []byte // valid until the next call
	Length int    // on the wire, in bytes
}

// File reads the packets of a capture; used by one goroutine.
type File struct {
	r      *bufio.Reader
	order  binary.ByteOrder
	ng     bool
	nano   bool   // pcap: nanoseconds, not microseconds
	link   uint32 // pcap
	ifaces []iface
	buf    []byte
	end    error // what ended it
}

// iface is an interface of a section of pcapng.
type iface struct {
	link   uint32
	snap   uint32
	units  uint64 // per second
	offset int64  // seconds
}

// Begins reports whether an input begins like a capture.
func Begins(head []byte) bool {
	if len(head) < 24 {
		return false
	}
	switch binary.LittleEndian.Uint32(head) {
	case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1:
		return true
	case blockSection:
		m := binary.LittleEndian.Uint32(head[8:])
		return m == sectionMagic || m == 0x4d3c2b1a
	}
	return false
}

// Open begins to read a capture.
func Open(r io.Reader) (*File, error) {
	f := &File{r: bufio.NewReaderSize(r, 64<<10)}
	head, err := f.r.Peek(24)
	if err != nil || !Begins(head) {
		return nil, source.ErrFormat
	}
	le := binary.LittleEndian
	switch le.Uint32(head) {
	case 0xa1b2c3d4:
		f.order = le
	case 0xd4c3b2a1:
		f.order = binary.BigEndian
	case 0xa1b23c4d:
		f.order, f.nano = le, true
	case 0x4d3cb2a1:
		f.order, f.nano = binary.BigEndian, true
	default:
		f.ng, f.order = true, le
		return f, nil
	}
	f.link = f.order.Uint32(head[20:]) & 0x0fffffff // above are the length of the FCS and reserved bits
	_, err = f.r.Discard(24)
	return f, err
}

// Errors of a record.
var (
	errCut   = errors.New("the capture ends inside a packet")
	errLarge = errors.New("a packet longer than 512 KiB, or a length that cannot be")
	errBlock = errors.New("a block whose parts do not fit its length")
	errFace  = errors.New("a packet of an interface that is not described")
)

// Next reads the next packet. io.EOF: there are no more. *source.RecordError:
// one could not be read; what follows it can, if anything does.
func (f *File) Next() (Frame, error) {
	if f.end != nil {
		return Frame{}, f.end
	}
	if f.ng {
		return f.block()
	}
	var h [16]byte
	if _, err := io.ReadFull(f.r, h[:]); err != nil {
		return Frame{}, f.stop(err, errors.Is(err, io.ErrUnexpectedEOF))
	}
	frac := int64(f.order.Uint32(h[4:]))
	if !f.nano {
		frac *= 1000
	}
	fr := Frame{Time: time.Unix(int64(f.order.Uint32(h[:])), frac).UTC(), Link: f.link, Length: int(f.order.Uint32(h[12:]))}
	n := f.order.Uint32(h[8:])
	if n > MaxFrame {
		return Frame{}, f.skip(int64(n), errLarge)
	}
	data, err := f.read(int(n))
	if err != nil {
		return Frame{}, f.stop(err, true)
	}
	fr.Data = data
	return fr, nil
}

// stop ends the file; cut: inside a record, which is reported first.
func (f *File) stop(err error, cut bool) error {
	f.end = io.EOF
	if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) { //nolint:errorlint // io.Reader promises the value itself
		f.end = fmt.Errorf("read capture: %w", err)
		return f.end
	}
	if cut {
		return &source.RecordError{Why: errCut}
	}
	return io.EOF
}

// skip passes over n bytes of a record that is not read.
func (f *File) skip(n int64, why error) error {
	if _, err := io.CopyN(io.Discard, f.r, n); err != nil {
		return f.stop(err, true)
	}
	return &source.RecordError{Why: why}
}

// read reads n bytes into memory that is used again.
func (f *File) read(n int) ([]byte, error) {
	if cap(f.buf) < n {
		f.buf = make([]byte, max(n, 4096))
	}
	b := f.buf[:n]
	if k, err := io.ReadFull(f.r, b); err != nil {
		if k == 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// Blocks of pcapng (draft-ietf-opsawg-pcapng §4).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	sectionMagic   = 0x1a2b3c4d
)

// block reads blocks up to the next packet.
func (f *File) block() (Frame, error) {
	for {
		head, err := f.r.Peek(12)
		if err != nil {
			if len(head) == 0 {
				return Frame{}, f.stop(err, false)
			}
			return Frame{}, f.stop(err, true)
		}
		if binary.LittleEndian.Uint32(head) == blockSection {
			// The order of bytes is that of the section.
			switch binary.LittleEndian.Uint32(head[8:]) {
			case sectionMagic:
				f.order = binary.LittleEndian
			case 0x4d3c2b1a:
				f.order = binary.BigEndian
			default:
				return Frame{}, f.stop(io.ErrUnexpectedEOF, true)
			}
			f.ifaces = f.ifaces[:0]
		}
		kind, total := f.order.Uint32(head), f.order.Uint32(head[4:])
		if total < 12 || total%4 != 0 {
			return Frame{}, f.stop(io.ErrUnexpectedEOF, true) // where the next one begins is not known
		}
		packet := kind == blockEnhanced || kind == blockSimple || kind == blockPacket
		if total > maxBlock {
			err := f.skip(int64(total), errLarge)
			if packet || f.end != nil {
				return Frame{}, err
			}
			continue
		}
		b, err := f.read(int(total))
		if err != nil {
			return Frame{}, f.stop(err, true)
		}
		body := b[8 : total-4]
		if packet {
			return f.packet(kind, body)
		}
		if kind == blockInterface && len(body) >= 8 && len(f.ifaces) < maxInterfaces {
			f.ifaces = append(f.ifaces, f.face(body))
		}
	}
}

// face reads an interface description (§4.2).
func (f *File) face(b []byte) iface {
	i := iface{link: uint32(f.order.Uint16(b)), snap: f.order.Uint32(b[4:]), units: 1e6}
	for o := b[8:]; len(o) >= 4; {
		code, n := f.order.Uint16(o), int(f.order.Uint16(o[2:]))
		o = o[4:]
		if code == 0 || n > len(o) {
			break
		}
		switch {
		case code == 9 && n >= 1: // if_tsresol
			if e := o[0] & 0x7f; o[0]&0x80 != 0 && e < 63 {
				i.units = 1 << e
			} else if o[0]&0x80 == 0 && e <= 18 {
				i.units = 1
				for range e {
					i.units *= 10
				}
			}
		case code == 14 && n >= 8: // if_tsoffset
			i.offset = int64(f.order.Uint64(o))
		}
		o = o[min(len(o), (n+3)&^3):]
	}
	return i
}

// packet reads the body of a block with a packet (§4.3, §4.4, appendix A).
func (f *File) packet(kind uint32, b []byte) (Frame, error) {
	bad := func(why error) (Frame, error) { return Frame{}, &source.RecordError{Why: why} }
	var n, face uint32
	var stamp uint64
	var fr Frame
	switch {
	case kind == blockSimple && len(b) >= 4:
		n = f.order.Uint32(b)
		fr.Length = int(n)
		b = b[4:]
		if len(f.ifaces) > 0 && f.ifaces[0].snap > 0 {
			n = min(n, f.ifaces[0].snap)
		}
		n = min(n, uint32(len(b)))
	case kind != blockSimple && len(b) >= 20:
		if face = f.order.Uint32(b); kind == blockPacket {
			face = uint32(f.order.Uint16(b))
		}
		stamp = uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
		n, fr.Length = f.order.Uint32(b[12:]), int(f.order.Uint32(b[16:]))
		b = b[20:]
	default:
		return bad(errBlock)
	}
	if uint64(n) > uint64(len(b)) {
		return bad(errBlock)
	}
	if uint64(face) >= uint64(len(f.ifaces)) {
		return bad(errFace)
	}
	i := &f.ifaces[face]
	fr.Link, fr.Data = i.link, b[:n]
	if stamp > 0 {
		sec, rest := stamp/i.units, stamp%i.units
		frac := float64(rest) / float64(i.units) * 1e9
		if sec < 1<<40 && i.offset < 1<<40 && i.offset > -1<<40 {
			fr.Time = time.Unix(int64(sec)+i.offset, int64(frac)).UTC()
		}
	}
	return fr, nil
}
