package nft

import (
	"encoding/binary"
	"net/netip"
)

// addr is an address of either family as a 128-bit number (IPv4 uses the low
// 32 bits): comparing and counting on netip.Addr costs several times as much,
// and 200,000 of these are walked at a time.
type addr struct{ hi, lo uint64 }

func (a addr) less(b addr) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a addr) compare(b addr) int {
	switch {
	case a == b:
		return 0
	case a.less(b):
		return -1
	}
	return 1
}

func (a addr) next() addr {
	a.lo++
	if a.lo == 0 {
		a.hi++
	}
	return a
}

func (a addr) prev() addr {
	if a.lo == 0 {
		a.hi--
	}
	a.lo--
	return a
}

// hostMask has a one for every address bit that a prefix of the given length
// leaves open.
func hostMask(width, bits int) addr {
	open := width - bits
	switch {
	case open <= 0:
		return addr{}
	case open < 64:
		return addr{0, 1<<open - 1}
	case open == 64:
		return addr{0, ^uint64(0)}
	case open < 128:
		return addr{1<<(open-64) - 1, ^uint64(0)}
	}
	return addr{^uint64(0), ^uint64(0)}
}

func fromAddr(a netip.Addr) addr {
	if a.Is4() {
		b := a.As4()
		return addr{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a addr) netip(width int) netip.Addr {
	if width == 32 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

// bounds returns the first and last address of a prefix.
func bounds(p netip.Prefix) (lo, hi addr) {
	width := p.Addr().BitLen()
	lo, m := fromAddr(p.Addr()), hostMask(width, p.Bits())
	lo = addr{lo.hi &^ m.hi, lo.lo &^ m.lo}
	return lo, addr{lo.hi | m.hi, lo.lo | m.lo}
}

// prefixes appends the fewest prefixes that cover lo to hi exactly.
func prefixes(out []netip.Prefix, width int, lo, hi addr) []netip.Prefix {
	for {
		bits := width
		for bits > 0 { // widen while the block starts at lo and ends before hi
			m := hostMask(width, bits-1)
			if lo.hi&m.hi != 0 || lo.lo&m.lo != 0 || hi.less(addr{lo.hi | m.hi, lo.lo | m.lo}) {
				break
			}
			bits--
		}
		out = append(out, netip.PrefixFrom(lo.netip(width), bits))
		m := hostMask(width, bits)
		end := addr{lo.hi | m.hi, lo.lo | m.lo}
		if !end.less(hi) {
			return out
		}
		lo = end.next()
	}
}
