package capture

import (
	"encoding/binary"

	"bartizan/internal/observe"
)

// Packet is what a frame says up to the transport layer.
type Packet struct {
	Src, Dst         observe.Addr
	SrcPort, DstPort uint16
	Proto            uint8
	Flags            uint8 // TCP
	HasFlags         bool  // the flags were captured
	HasPorts         bool
	Seq, Ack         uint32 // TCP
	Length           int    // of the IP packet, in bytes
	Payload          []byte // of TCP, UDP or ICMP, as far as it was captured
	Missing          int    // bytes of the payload that were not captured
	Fragment         bool   // not the first one of a packet: no ports
	More             bool   // the first one of several
	ID               uint32 // of the fragments
	Offset           int    // of a fragment in its packet, in bytes
	PieceProto       uint8  // what the fragments of the packet say is in them
	Piece            []byte // what of the packet is in the fragment; nil when it was not captured whole
}

// Whole is the packet that a fragment is of, with everything behind its header.
func (p *Packet) Whole(body []byte) Packet {
	w := *p
	w.Fragment, w.More, w.Offset, w.Piece = false, false, 0, nil
	w.Proto, w.HasPorts, w.HasFlags, w.Payload, w.Missing = p.PieceProto, false, false, nil, 0
	w.transport(body, 0)
	return w
}

// Links lists the link types that are read.
func Links(link uint32) bool {
	switch link {
	case 0, 1, 12, 14, 101, 108, 113, 228, 229, 276:
		return true
	}
	return false
}

// Parse reads a frame. It reports false for what is no IP packet, or cut before
// it says from whom to whom.
func Parse(link uint32, b []byte) (p Packet, ok bool) {
	switch link {
	case 1:
		return ethernet(b)
	case 12, 14, 101, 228, 229:
		return ip(b)
	case 0, 108: // the address family of the host, in either order of bytes
		if len(b) < 4 {
			return p, false
		}
		return ip(b[4:])
	case 113:
		if len(b) < 16 {
			return p, false
		}
		return network(binary.BigEndian.Uint16(b[14:]), b[16:])
	case 276:
		if len(b) < 20 {
			return p, false
		}
		return network(binary.BigEndian.Uint16(b), b[20:])
	}
	return p, false
}

func ethernet(b []byte) (Packet, bool) {
	if len(b) < 14 {
		return Packet{}, false
	}
	return network(binary.BigEndian.Uint16(b[12:]), b[14:])
}

// maxTags is how many headers may stand between Ethernet and IP.
const maxTags = 8

// network goes through VLAN tags (IEEE 802.1Q), MPLS labels (RFC 3032) and
// PPPoE (RFC 2516) to IP.
func network(kind uint16, b []byte) (Packet, bool) {
	for range maxTags {
		switch kind {
		case 0x0800, 0x86dd:
			return ip(b)
		case 0x8100, 0x88a8, 0x9100:
			if len(b) < 4 {
				return Packet{}, false
			}
			kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case 0x8847, 0x8848:
			if len(b) < 4 {
				return Packet{}, false
			}
			last := b[2]&1 != 0
			if b = b[4:]; last {
				return ip(b)
			}
		case 0x8864:
			if len(b) < 8 {
				return Packet{}, false
			}
			switch binary.BigEndian.Uint16(b[6:]) {
			case 0x0021, 0x0057:
				return ip(b[8:])
			}
			return Packet{}, false
		default:
			return Packet{}, false
		}
	}
	return Packet{}, false
}

// ip reads an IP packet of either version.
func ip(b []byte) (p Packet, ok bool) {
	if len(b) < 1 {
		return p, false
	}
	switch b[0] >> 4 {
	case 4:
		return ip4(b)
	case 6:
		return ip6(b)
	}
	return p, false
}

// ip4 reads RFC 791.
func ip4(b []byte) (p Packet, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	head := int(b[0]&15) * 4
	p.Length = int(binary.BigEndian.Uint16(b[2:]))
	if p.Length == 0 {
		p.Length = len(b) // left to the network card
	}
	if head < 20 || p.Length < head {
		return p, false
	}
	p.Proto = b[9]
	p.Src, p.Dst = observe.Addr4(binary.BigEndian.Uint32(b[12:])), observe.Addr4(binary.BigEndian.Uint32(b[16:]))
	frag := binary.BigEndian.Uint16(b[6:])
	p.ID = uint32(binary.BigEndian.Uint16(b[4:]))
	p.Fragment, p.More = frag&0x1fff != 0, frag&0x2000 != 0
	body, missing := within(b, head, p.Length)
	p.piece(int(frag&0x1fff)*8, body, missing)
	p.transport(body, missing)
	return p, true
}

// piece notes what a fragment brings.
func (p *Packet) piece(at int, body []byte, missing int) {
	if p.Fragment || p.More {
		p.Offset, p.PieceProto = at, p.Proto
		if missing == 0 {
			p.Piece = body
		}
	}
}

// within cuts what follows a header off padding behind the packet.
func within(b []byte, head, length int) (body []byte, missing int) {
	if length > len(b) {
		missing = length - len(b)
	} else {
		b = b[:length]
	}
	return b[min(head, len(b)):], missing
}

// ip6 reads RFC 8200 with its extension headers.
func ip6(b []byte) (p Packet, ok bool) {
	if len(b) < 40 {
		return p, false
	}
	p.Length = 40 + int(binary.BigEndian.Uint16(b[4:]))
	copy(p.Src[:], b[8:24])
	copy(p.Dst[:], b[24:40])
	next := b[6]
	if p.Length == 40 && next != 59 {
		p.Length = len(b) // a jumbogram, or left to the network card
	}
	body, missing := within(b, 40, p.Length)
	for range maxTags {
		switch next {
		case 0, 43, 60, 135, 139, 140:
			if len(body) < 2 || len(body) < 8+int(body[1])*8 {
				p.Proto = next
				return p, true
			}
			next, body = body[0], body[8+int(body[1])*8:]
		case 51:
			if len(body) < 2 || len(body) < 8+int(body[1])*4 {
				p.Proto = next
				return p, true
			}
			next, body = body[0], body[8+int(body[1])*4:]
		case 44:
			if len(body) < 8 {
				p.Proto = next
				return p, true
			}
			frag := binary.BigEndian.Uint16(body[2:])
			p.Fragment, p.More, p.ID = frag>>3 != 0, frag&1 != 0, binary.BigEndian.Uint32(body[4:])
			next, body = body[0], body[8:]
			p.Proto = next
			p.piece(int(frag&^7), body, missing)
		default:
			p.Proto = next
			p.transport(body, missing)
			return p, true
		}
	}
	p.Proto = next
	return p, true
}

// transport reads ports, and of TCP (RFC 9293 §3.1) what a flow needs.
func (p *Packet) transport(b []byte, missing int) {
	if p.Fragment {
		return
	}
	switch p.Proto {
	case observe.ProtoTCP, observe.ProtoUDP, 132, 136:
		if len(b) < 4 {
			return
		}
		p.SrcPort, p.DstPort, p.HasPorts = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), true
	}
	head := 0
	switch p.Proto {
	case observe.ProtoTCP:
		if len(b) < 14 {
			return
		}
		p.Seq, p.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		p.Flags, p.HasFlags = b[13], true
		if head = int(b[12]>>4) * 4; head < 20 {
			return
		}
	case observe.ProtoUDP:
		head = 8
	case observe.ProtoICMP, observe.ProtoICMPv6:
	default:
		return
	}
	if head > len(b) {
		return
	}
	p.Payload, p.Missing = b[head:], missing
}

// Unreachable reads the packet that an ICMP error is about (RFC 792, RFC 4443
// §3.1): the sender's own, which did not arrive.
func (p *Packet) Unreachable() (about Packet, ok bool) {
	b := p.Payload
	if len(b) < 8+20 || p.Proto == observe.ProtoICMP && b[0] != 3 || p.Proto == observe.ProtoICMPv6 && b[0] != 1 {
		return about, false
	}
	if p.Proto != observe.ProtoICMP && p.Proto != observe.ProtoICMPv6 {
		return about, false
	}
	about, ok = ip(b[8:])
	return about, ok && about.HasPorts
}
