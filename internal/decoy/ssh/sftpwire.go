package ssh

import (
	"encoding/binary"
	iofs "io/fs"

	"bartizan/internal/decoy/shell"
)

// reader takes an SFTP packet apart. Once something is missing it is bad and
// gives zeros.
type reader struct {
	b   []byte
	at  int
	bad bool
}

// kind is the packet's type.
func (r *reader) kind() byte {
	if len(r.b) == 0 {
		return 0
	}
	return r.b[0]
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b)-r.at {
		r.bad = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes is a string of the packet; it is valid until the next packet.
func (r *reader) bytes() []byte {
	n := r.uint32()
	if n > maxPacket {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

func (r *reader) string() string { return string(r.bytes()) }

// Flags of attributes.
const (
	attrSize     = 1
	attrOwner    = 2
	attrMode     = 4
	attrTimes    = 8
	attrExtended = 1 << 31
)

// attributes of a file as version 3 sends them.
type attributes struct {
	flags uint32
	size  uint64
	mode  uint32
	mtime uint32
}

func (r *reader) attrs() (a attributes) {
	a.flags = r.uint32()
	if a.flags&attrSize != 0 {
		a.size = r.uint64()
	}
	if a.flags&attrOwner != 0 {
		r.take(8)
	}
	if a.flags&attrMode != 0 {
		a.mode = r.uint32()
	}
	if a.flags&attrTimes != 0 {
		r.uint32()
		a.mtime = r.uint32()
	}
	if a.flags&attrExtended != 0 {
		for n := r.uint32(); n > 0 && !r.bad; n-- {
			r.bytes()
			r.bytes()
		}
	}
	return a
}

// attrs appends the attributes of a file.
func (v *sftp) attrs(i iofs.FileInfo) {
	owner, _ := i.Sys().(shell.Owner)
	add := func(n uint32) { v.out = binary.BigEndian.AppendUint32(v.out, n) }
	add(attrSize | attrOwner | attrMode | attrTimes)
	v.out = binary.BigEndian.AppendUint64(v.out, uint64(i.Size()))
	add(uint32(owner.UID))
	add(uint32(owner.GID))
	add(unixMode(i.Mode()))
	at := uint32(i.ModTime().Unix())
	add(at)
	add(at)
}

// unixMode is st_mode.
func unixMode(m iofs.FileMode) uint32 {
	out := uint32(m.Perm())
	switch {
	case m.IsDir():
		out |= 0o040000
	case m&iofs.ModeSymlink != 0:
		out |= 0o120000
	case m&iofs.ModeCharDevice != 0:
		out |= 0o020000
	case m&iofs.ModeDevice != 0:
		out |= 0o060000
	default:
		out |= 0o100000
	}
	for flag, bit := range map[iofs.FileMode]uint32{iofs.ModeSetuid: 0o4000, iofs.ModeSetgid: 0o2000, iofs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			out |= bit
		}
	}
	return out
}
