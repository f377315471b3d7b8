// Package fingerprint reads what a TLS client says first and computes the
// fingerprints by which its stack is known elsewhere: JA3 and JA4.
//
// It works on raw bytes as captured, so that a client is fingerprinted even
// when no handshake follows. It terminates no TLS and judges nothing. Of the
// JA4 family only JA4 itself (the TLS client) is free to use; the others are
// not implemented on purpose.
package fingerprint

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxHello is how many bytes of a ClientHello are looked at, record headers
// included. Real ones are below 2 KiB, with post-quantum key shares below 4.
const MaxHello = 64 << 10

// ErrShort says that the ClientHello is not complete (yet).
var ErrShort = errors.New("client hello is incomplete")

// ClientHello holds what a TLS client offered, in its own order. Everything in
// it was chosen by the client; numbers are those of the IANA TLS registries.
type ClientHello struct {
	Version           uint16 // legacy_version; SupportedVersions has the real ones of TLS 1.3
	Ciphers           []uint16
	Extensions        []uint16
	Curves            []uint16 // supported_groups
	PointFormats      []uint8
	ALPN              []string
	ServerName        string // raw bytes, not checked to be a name
	SignatureAlgs     []uint16
	SupportedVersions []uint16
}

// Numbers of the extensions that are looked into (RFC 6066, 8446, 8422, 7301).
const (
	extServerName        = 0
	extGroups            = 10
	extPointFormats      = 11
	extSignatureAlgs     = 13
	extALPN              = 16
	extSupportedVersions = 43
)

const (
	recordHandshake = 22
	helloType       = 1
	recordHeader    = 5
)

// ParseClientHello reads a ClientHello from the beginning of a TLS stream: one
// or more handshake records (RFC 8446 §5.1), which may split it anywhere. What
// follows it is ignored. It fails with ErrShort when raw ends too early, and
// with another error when raw is not a ClientHello or longer than MaxHello.
func ParseClientHello(raw []byte) (*ClientHello, error) {
	body, err := handshake(raw)
	if err != nil {
		return nil, fmt.Errorf("parse client hello: %w", err)
	}
	h := &ClientHello{}
	if err := h.parse(body); err != nil {
		return nil, fmt.Errorf("parse client hello: %w", err)
	}
	return h, nil
}

// handshake returns the body of the first handshake message, which must be a
// ClientHello.
func handshake(raw []byte) ([]byte, error) {
	var msg []byte
	for used := 0; ; {
		if want := wanted(msg); want >= 0 && len(msg) >= want {
			return msg[4:want], nil
		}
		if len(msg) > 0 && msg[0] != helloType {
			return nil, fmt.Errorf("handshake message of type %d", msg[0])
		}
		if used >= MaxHello || wanted(msg) > MaxHello {
			return nil, fmt.Errorf("longer than %d bytes", MaxHello)
		}
		rest := raw[used:]
		if len(rest) > 0 && rest[0] != recordHandshake {
			return nil, fmt.Errorf("record of type %d", rest[0])
		}
		if len(rest) > 1 && rest[1] != 3 {
			return nil, fmt.Errorf("record of version %d", rest[1])
		}
		if len(rest) < recordHeader {
			return nil, ErrShort
		}
		n := int(binary.BigEndian.Uint16(rest[3:]))
		if n == 0 {
			return nil, errors.New("empty handshake record") // RFC 8446 §5.1 forbids it
		}
		have := rest[recordHeader:min(len(rest), recordHeader+n)]
		if msg == nil {
			msg = have[:len(have):len(have)] // one record is the usual case: no copy
		} else {
			msg = append(msg, have...)
		}
		if want := wanted(msg); len(have) < n && (want < 0 || len(msg) < want) {
			if len(msg) > 0 && msg[0] != helloType {
				return nil, fmt.Errorf("handshake message of type %d", msg[0])
			}
			return nil, ErrShort
		}
		used += recordHeader + n
	}
}

// wanted is the length of the handshake message with its header, -1 while not known.
func wanted(msg []byte) int {
	if len(msg) < 4 || msg[0] != helloType {
		return -1
	}
	return 4 + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3])
}

var errTruncated = errors.New("a field is longer than what contains it")

// cursor reads fields off a byte slice; after a failure every read is empty.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) || c.bad {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) short() cursor { return cursor{b: c.take(int(c.u8())), bad: c.bad} }
func (c *cursor) long() cursor  { return cursor{b: c.take(int(c.u16())), bad: c.bad} }

func (c *cursor) list() []uint16 {
	out := make([]uint16, 0, len(c.b)/2)
	for len(c.b) >= 2 {
		out = append(out, c.u16())
	}
	c.bad = c.bad || len(c.b) > 0
	return out
}

// parse reads the body of a ClientHello (RFC 8446 §4.1.2).
func (h *ClientHello) parse(body []byte) error {
	c := cursor{b: body}
	h.Version = c.u16()
	c.take(32) // random
	c.short()  // session id
	ciphers := c.long()
	h.Ciphers = ciphers.list()
	c.short() // compression methods
	if c.bad || ciphers.bad {
		return errTruncated
	}
	if len(c.b) == 0 {
		return nil // no extensions at all: SSL 3.0 and old TLS 1.0 clients
	}
	exts := c.long()
	for len(exts.b) > 0 && !exts.bad {
		id := exts.u16()
		data := exts.long()
		if exts.bad {
			break
		}
		h.Extensions = append(h.Extensions, id)
		// A malformed body of one extension does not make the rest worthless:
		// such clients are the interesting ones.
		h.extension(id, data)
	}
	if exts.bad || c.bad {
		return errTruncated
	}
	return nil
}

func (h *ClientHello) extension(id uint16, data cursor) {
	switch id {
	case extServerName:
		if h.ServerName == "" {
			h.ServerName = serverName(data)
		}
	case extGroups:
		l := data.long()
		h.Curves = l.list()
	case extPointFormats:
		l := data.short()
		h.PointFormats = append([]uint8(nil), l.b...)
	case extSignatureAlgs:
		l := data.long()
		h.SignatureAlgs = l.list()
	case extALPN:
		h.ALPN = protocols(data)
	case extSupportedVersions:
		l := data.short()
		h.SupportedVersions = l.list()
	}
}

// serverName returns the first host_name of the list (RFC 6066 §3).
func serverName(data cursor) string {
	l := data.long()
	for len(l.b) > 0 && !l.bad {
		kind, name := l.u8(), l.long()
		if kind == 0 && !l.bad {
			return string(name.b[:min(len(name.b), maxName)])
		}
	}
	return ""
}

const (
	maxName  = 255 // bytes of a server name that are kept; DNS allows no more
	maxALPNs = 64
)

func protocols(data cursor) (out []string) {
	l := data.long()
	for len(l.b) > 0 && len(out) < maxALPNs {
		p := l.short()
		if l.bad {
			break
		}
		out = append(out, string(p.b))
	}
	return out
}

// grease says that a value is one of those that RFC 8701 reserves for clients
// to sprinkle over their lists; it says nothing about the client.
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }
