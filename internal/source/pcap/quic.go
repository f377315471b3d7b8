package pcap

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/observe/fingerprint"
)

// The first packets of QUIC are encrypted with keys that everybody can derive
// from what they say in the open (RFC 9001 §5.2), so the name that a client asks
// for and its fingerprint can be read as in TLS. Nothing else of QUIC can.

// Caps on what is kept of a connection that has said nothing whole yet.
const (
	maxHello   = 16 << 10
	maxChunks  = 64
	maxInitial = 8 // packets that are tried
)

// quicVersion is what a version calls things and salts keys with.
type quicVersion struct {
	salt    string
	label   string // prefix of its labels
	initial byte   // type bits of its Initial packets
}

// versions are QUIC 1 (RFC 9001) and 2 (RFC 9369).
func quicVersionOf(v uint32) (quicVersion, bool) {
	switch v {
	case 1:
		return quicVersion{"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a", "quic ", 0}, true
	case 0x6b3343cf:
		return quicVersion{"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9", "quicv2 ", 1}, true
	}
	return quicVersion{}, false
}

// quicKeys open what the client sends first.
type quicKeys struct {
	aead cipher.AEAD
	head cipher.Block
	iv   [12]byte
}

// label is HKDF-Expand-Label of TLS 1.3 without a context (RFC 8446 §7.1).
func label(secret []byte, name string, n int) ([]byte, error) {
	full := "tls13 " + name
	info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len(full)))
	info = append(append(info, full...), 0)
	return hkdf.Expand(sha256.New, secret, string(info), n)
}

// newQUICKeys derives the client's Initial keys from the destination that it chose (RFC 9001 §5.2).
func newQUICKeys(v quicVersion, dcid []byte) (*quicKeys, error) {
	secret, err := hkdf.Extract(sha256.New, dcid, []byte(v.salt))
	if err != nil {
		return nil, err
	}
	var parts [4][]byte
	if parts[0], err = label(secret, "client in", 32); err != nil {
		return nil, err
	}
	for i, n := range [...]struct {
		name string
		size int
	}{{"key", 16}, {"iv", 12}, {"hp", 16}} {
		if parts[i+1], err = label(parts[0], v.label+n.name, n.size); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(parts[1])
	if err != nil {
		return nil, err
	}
	k := &quicKeys{}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	if k.head, err = aes.NewCipher(parts[3]); err != nil {
		return nil, err
	}
	copy(k.iv[:], parts[2])
	return k, nil
}

// hello is what a client has said so far.
type quicHello struct {
	keys   *quicKeys
	tried  int
	size   int
	chunks []segment // of the handshake, by offset
}

var errQUIC = errors.New("no Initial packet of QUIC")

// varint reads a number of QUIC (RFC 9000 §16).
func varint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, nil, false
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, b[n:], true
}

// initial is an Initial packet taken apart (RFC 9000 §17.2.2).
type initial struct {
	version quicVersion
	dcid    []byte
	whole   []byte // the packet
	at      int    // where its protected number begins
}

// quicInitial reads the header of an Initial packet; rest is behind the packet.
func quicInitial(b []byte) (p initial, rest []byte, ok bool) {
	if len(b) < 7 || b[0]&0xc0 != 0xc0 {
		return p, nil, false
	}
	if p.version, ok = quicVersionOf(binary.BigEndian.Uint32(b[1:])); !ok || b[0]>>4&3 != p.version.initial {
		return p, nil, false
	}
	r := b[5:]
	for i := range 2 { // destination and source
		n := int(r[0])
		if n > 20 || len(r) < 1+n+1 {
			return p, nil, false
		}
		if i == 0 {
			p.dcid = r[1 : 1+n]
		}
		r = r[1+n:]
	}
	token, r, ok := varint(r)
	if !ok || token > uint64(len(r)) {
		return p, nil, false
	}
	length, r, ok := varint(r[token:])
	if !ok || length > uint64(len(r)) || length < 20 {
		return p, nil, false
	}
	p.at = len(b) - len(r)
	p.whole = b[:p.at+int(length)]
	return p, b[p.at+int(length):], true
}

// open takes the protection off (RFC 9001 §5.3, §5.4) and returns the frames.
func (k *quicKeys) open(p initial) ([]byte, error) {
	head := append([]byte(nil), p.whole[:p.at+4]...)
	var mask [16]byte
	k.head.Encrypt(mask[:], p.whole[p.at+4:p.at+20])
	head[0] ^= mask[0] & 0x0f
	n := int(head[0]&3) + 1
	var number uint64
	for i := range n {
		head[p.at+i] ^= mask[1+i]
		number = number<<8 | uint64(head[p.at+i])
	}
	nonce := k.iv
	for i := range 8 {
		nonce[4+i] ^= byte(number >> (56 - 8*i))
	}
	return k.aead.Open(nil, nonce[:], p.whole[p.at+n:], head[:p.at+n])
}

// frames takes the pieces of the handshake out of a packet (RFC 9000 §19); it
// stops at a frame that has no business in an Initial packet.
func (h *quicHello) frames(b []byte) error {
	for len(b) > 0 {
		kind, rest, ok := varint(b)
		if !ok {
			return errQUIC
		}
		b = rest
		switch kind {
		case 0, 1: // padding, ping
		case 2, 3:
			if b, ok = acknowledgement(b, kind == 3); !ok {
				return errQUIC
			}
		case 6:
			at, r, ok1 := varint(b)
			n, r, ok2 := varint(r)
			if !ok1 || !ok2 || n > uint64(len(r)) || at+n > maxHello || len(h.chunks) >= maxChunks {
				return errQUIC
			}
			h.chunks = append(h.chunks, segment{uint32(at), r[:n]})
			b = r[n:]
		default:
			return nil
		}
	}
	return nil
}

// acknowledgement passes over an ACK frame.
func acknowledgement(b []byte, counts bool) ([]byte, bool) {
	var v [4]uint64 // largest, delay, ranges, first range
	for i := range v {
		var ok bool
		if v[i], b, ok = varint(b); !ok {
			return nil, false
		}
	}
	n := v[2] * 2
	if counts {
		n += 3
	}
	if n > 256 {
		return nil, false
	}
	for range n {
		var ok bool
		if _, b, ok = varint(b); !ok {
			return nil, false
		}
	}
	return b, true
}

// message is the handshake from its beginning as far as it goes on, written as
// records of TLS.
func (h *quicHello) message() []byte {
	slices.SortStableFunc(h.chunks, func(a, b segment) int { return int(a.seq) - int(b.seq) })
	var text []byte
	for _, c := range h.chunks {
		switch from := int(c.seq); {
		case from > len(text):
			return record(text)
		case from+len(c.data) > len(text):
			text = append(text, c.data[len(text)-from:]...)
		}
	}
	return record(text)
}

const recordHead = 5

func record(text []byte) []byte {
	return append([]byte{22, 3, 1, byte(len(text) >> 8), byte(len(text))}, text...) // maxHello fits into one
}

// quic reads what a client says first over QUIC.
func (t *table) quic(c *conversation, data []byte, now time.Time, at uint64, b *observe.LogBatch) {
	h := c.hello
	for len(data) > 0 {
		p, rest, ok := quicInitial(data)
		if !ok {
			break // another packet behind the first, or the handshake went on
		}
		data = rest
		if h == nil {
			keys, err := newQUICKeys(p.version, p.dcid)
			if err != nil {
				return
			}
			h = &quicHello{keys: keys}
			c.hello = h
		}
		if h.tried++; h.tried > maxInitial {
			t.forget(c)
			return
		}
		text, err := h.keys.open(p)
		if err != nil || t.kept+len(text) > maxStreams || h.frames(text) != nil {
			t.forget(c)
			return
		}
		h.size += len(text)
		t.kept += len(text)
	}
	if h == nil || len(h.chunks) == 0 {
		return
	}
	text := h.message()
	if len(text) == recordHead {
		return // its beginning has not come
	}
	hello, err := fingerprint.ParseClientHello(text)
	if errors.Is(err, fingerprint.ErrShort) {
		return
	}
	t.forget(c)
	if err != nil {
		return
	}
	i := &observe.Interaction{Protocol: "quic", Prints: observe.Fingerprints{JA4: "q" + hello.JA4()[1:], SNI: printable(hello.ServerName)}}
	if len(hello.ALPN) > 0 {
		i.Prints.ALPN = printable(hello.ALPN[0])
	}
	c.add(b, observe.KindInteraction, "quic", now, at, c.proven).Interaction = i
}

// forget gives back what is kept of a client's first words, for good.
func (t *table) forget(c *conversation) {
	if c.hello != nil {
		t.kept -= c.hello.size
	}
	c.hello, c.heard = nil, true
}
