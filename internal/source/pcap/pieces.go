package pcap

import (
	"bytes"
	"slices"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source/capture"
)

// Caps on packets that are being put together. The times are those of RFC 791
// §3.2 (15 s at least) and RFC 8200 §4.5 (60 s).
const (
	maxWhole      = 65535
	maxPiecesEach = 64
	maxUnfinished = 512
	maxPieceBytes = 8 << 20
	pieceTime     = 60 * time.Second
)

type piece struct {
	at   int
	data []byte
}

// unfinished is a packet of which pieces are missing.
type unfinished struct {
	pieces []piece
	have   int
	size   int // 0: the last piece has not come
	since  time.Time
	spoilt bool // pieces contradict each other
}

// pieces puts packets together. Pieces that overlap are dropped with their packet
// (RFC 5722): two ends may read them differently, which is what they are made for.
type pieces struct {
	all   map[fragment]*unfinished
	order []fragment
	bytes int
}

// take takes a piece; done: whole is the packet, without its header. held: it is
// kept, and the packet is read when it is whole.
func (s *pieces) take(p *capture.Packet, now time.Time) (whole []byte, done, held bool) {
	if len(p.Piece) == 0 || p.Offset+len(p.Piece) > maxWhole || p.More && len(p.Piece)%8 != 0 {
		return nil, false, false
	}
	f := fragment{p.Src, p.Dst, p.ID, p.PieceProto}
	u := s.all[f]
	if u != nil && now.Sub(u.since) > pieceTime {
		s.drop(f)
		u = nil
	}
	if u == nil {
		if s.all == nil {
			s.all = map[fragment]*unfinished{}
		}
		for len(s.all) >= maxUnfinished || s.bytes > maxPieceBytes {
			s.drop(s.order[0])
		}
		u = &unfinished{since: now}
		s.all[f] = u
		s.order = append(s.order, f)
	}
	if u.spoilt {
		return nil, false, true
	}
	for _, old := range u.pieces {
		if p.Offset < old.at+len(old.data) && old.at < p.Offset+len(p.Piece) {
			if p.Offset == old.at && bytes.Equal(p.Piece, old.data) {
				return nil, false, true // the same again
			}
			s.spoil(u)
			return nil, false, true
		}
	}
	if end := p.Offset + len(p.Piece); !p.More {
		u.size = end
	}
	if len(u.pieces) >= maxPiecesEach {
		s.spoil(u)
		return nil, false, true
	}
	u.pieces = append(u.pieces, piece{p.Offset, bytes.Clone(p.Piece)})
	u.have += len(p.Piece)
	s.bytes += len(p.Piece)
	if u.size == 0 || u.have < u.size {
		return nil, false, true
	}
	slices.SortFunc(u.pieces, func(a, b piece) int { return a.at - b.at })
	whole = make([]byte, 0, u.have)
	for _, x := range u.pieces {
		whole = append(whole, x.data...)
	}
	ok := u.have == u.size
	s.drop(f)
	return whole, ok, true
}

func (s *pieces) spoil(u *unfinished) {
	s.bytes -= u.have
	u.pieces, u.have, u.spoilt = nil, 0, true
}

func (s *pieces) drop(f fragment) {
	if u := s.all[f]; u != nil {
		s.bytes -= u.have
		delete(s.all, f)
	}
	if i := slices.Index(s.order, f); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// content is what a packet carries: of one in pieces, all of it with the last
// one, and nothing before. nil: nothing to read.
func (t *table) content(p *capture.Packet, now time.Time) *capture.Packet {
	if !p.Fragment && !p.More {
		return p
	}
	body, done, held := t.pieces.take(p, now)
	switch {
	case done:
		whole := p.Whole(body)
		// The pieces may have come in any order, and flags stand in another one than ports.
		p.SrcPort, p.DstPort, p.Flags, p.HasFlags = whole.SrcPort, whole.DstPort, whole.Flags, whole.HasFlags
		return &whole
	case held:
		return nil
	}
	return p
}

// read reads on in what a packet carries.
func (t *table) read(c *conversation, way int, p *capture.Packet, now time.Time, at uint64, b *observe.LogBatch) {
	switch {
	case p == nil:
	case p.Proto == observe.ProtoTCP && p.HasFlags:
		t.tcp(c, way, p, now, at, b)
	case p.Proto != observe.ProtoUDP || !p.HasPorts:
	case nameServer(p):
		t.datagram(c, way, p, now, at, b)
	case way == 0 && !c.heard && len(p.Payload) > 0 && p.Payload[0]&0xc0 == 0xc0 && p.Missing == 0:
		t.quic(c, p.Payload, now, at, b)
	}
}
