package fingerprint

import (
	"crypto/md5" // JA3 is defined with it; nothing is protected by it
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// JA3Raw is the text that JA3 hashes: version, ciphers, extensions, groups and
// point formats in the client's order without GREASE
// (https://github.com/salesforce/ja3).
func (h *ClientHello) JA3Raw() string {
	b := make([]byte, 0, 256)
	b = strconv.AppendUint(b, uint64(h.Version), 10)
	for _, list := range [...][]uint16{h.Ciphers, h.Extensions, h.Curves} {
		b = append(b, ',')
		b = decimals(b, list)
	}
	b = append(b, ',')
	for i, f := range h.PointFormats {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(f), 10)
	}
	return string(b)
}

func decimals(b []byte, list []uint16) []byte {
	first := true
	for _, v := range list {
		if grease(v) {
			continue
		}
		if !first {
			b = append(b, '-')
		}
		first = false
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return b
}

// JA3 is the MD5 of JA3Raw as 32 hex digits.
func (h *ClientHello) JA3() string {
	sum := md5.Sum([]byte(h.JA3Raw()))
	return hex.EncodeToString(sum[:])
}

// JA4 is the fingerprint of a TLS client over TCP as
// https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md defines
// it (BSD licence): "t13d1516h2_8daaf6152771_e5627efa2ab1".
func (h *ClientHello) JA4() string {
	b := make([]byte, 0, 36)
	b = append(b, 't')
	b = append(b, h.ja4Version()...)
	if slices.Contains(h.Extensions, extServerName) {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	b = twoDigits(b, count(h.Ciphers))
	b = twoDigits(b, count(h.Extensions))
	first, last := h.ja4ALPN()
	b = append(b, first, last, '_')
	b = short(b, hexes(nil, sorted(h.Ciphers)))
	b = append(b, '_')
	exts := slices.DeleteFunc(sorted(h.Extensions), func(v uint16) bool { return v == extServerName || v == extALPN })
	text := hexes(nil, exts)
	if count(h.SignatureAlgs) > 0 {
		text = append(text, '_')
		text = hexes(text, h.SignatureAlgs)
	}
	return string(short(b, text))
}

// ja4Version is the highest version offered, in two characters.
func (h *ClientHello) ja4Version() string {
	v := uint16(0)
	for _, o := range h.SupportedVersions {
		if !grease(o) {
			v = max(v, o)
		}
	}
	if v == 0 {
		v = h.Version
	}
	switch v {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}

// ja4ALPN is the first and last character of the first protocol, of its hex
// form when one of them is not alphanumeric, or "00" when there is none.
func (h *ClientHello) ja4ALPN() (first, last byte) {
	if len(h.ALPN) == 0 || h.ALPN[0] == "" {
		return '0', '0'
	}
	p := h.ALPN[0]
	first, last = p[0], p[len(p)-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		const digits = "0123456789abcdef"
		return digits[first>>4], digits[last&0xf]
	}
	return first, last
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func count(list []uint16) (n int) {
	for _, v := range list {
		if !grease(v) {
			n++
		}
	}
	return n
}

func twoDigits(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

func sorted(list []uint16) []uint16 {
	out := slices.Clone(list)
	slices.Sort(out)
	return out
}

func hexes(b []byte, list []uint16) []byte {
	first := true
	for _, v := range list {
		if grease(v) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = hex.AppendEncode(b, []byte{byte(v >> 8), byte(v)})
	}
	return b
}

// short appends the first 12 hex digits of text's SHA-256, zeros for no text.
func short(b, text []byte) []byte {
	if len(text) == 0 {
		return append(b, "000000000000"...)
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(b, sum[:6])
}
