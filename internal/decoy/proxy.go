package decoy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// errProxy ends a visit from a named proxy that did not say who it is for. Such
// a peer is never recorded as the visitor: it would get the blame.
var errProxy = errors.New("read proxy protocol header")

// proxyV2 is the signature of PROXY protocol version 2 (haproxy
// proxy-protocol.txt §2.2).
const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

// proxied replaces the remote address by the one a named peer reports. The
// header has to come as quickly as a proxy sends it.
func (s *Session) proxied() error {
	s.Pause(5 * time.Second)
	defer s.Pause(0)
	head, err := s.Peek(1)
	if err != nil {
		return err
	}
	var src, dst netip.AddrPort
	if head[0] == '\r' {
		src, dst, err = s.proxyBinary()
	} else {
		src, dst, err = s.proxyText()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errProxy, err)
	}
	if src.IsValid() {
		s.remote, s.local = src, dst
	}
	s.forget()
	return nil
}

func (s *Session) proxyText() (src, dst netip.AddrPort, err error) {
	// Version 1: at most 107 bytes including CRLF (§2.1).
	var line []byte
	for len(line) < 107 && !bytes.HasSuffix(line, []byte("\r\n")) {
		b, err := s.ReadByte()
		if err != nil {
			return src, dst, err
		}
		line = append(line, b)
	}
	return ParseProxyText(string(line))
}

// ParseProxyText reads a version 1 header line including its CRLF. Invalid
// addresses with a nil error mean that the proxy speaks for itself (UNKNOWN).
func ParseProxyText(line string) (src, dst netip.AddrPort, err error) {
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return src, dst, errors.New("no end of line in 107 bytes")
	}
	f := strings.Split(text, " ")
	if len(f) < 2 || f[0] != "PROXY" {
		return src, dst, errors.New("not a PROXY line")
	}
	if f[1] == "UNKNOWN" {
		return src, dst, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return src, dst, errors.New("want PROXY TCP4|TCP6 source destination port port")
	}
	if src, err = joinAddr(f[2], f[4]); err != nil {
		return src, dst, err
	}
	dst, err = joinAddr(f[3], f[5])
	if err == nil && (src.Addr().Is4() != (f[1] == "TCP4") || dst.Addr().Is4() != (f[1] == "TCP4")) {
		err = errors.New("address family does not match")
	}
	return src, dst, err
}

func joinAddr(host, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, errors.New("bad address")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, errors.New("bad port")
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

func (s *Session) proxyBinary() (src, dst netip.AddrPort, err error) {
	var head [16]byte
	if err := s.ReadFull(head[:]); err != nil {
		return src, dst, err
	}
	n := int(binary.BigEndian.Uint16(head[14:]))
	if n > 4096 {
		return src, dst, errors.New("header longer than 4096 bytes")
	}
	body := make([]byte, n)
	if err := s.ReadFull(body); err != nil {
		return src, dst, err
	}
	return ParseProxyBinary(head, body)
}

// ParseProxyBinary reads a version 2 header: its 16 fixed bytes and what
// follows. Invalid addresses with a nil error mean a LOCAL connection.
func ParseProxyBinary(head [16]byte, body []byte) (src, dst netip.AddrPort, err error) {
	if string(head[:12]) != proxyV2 || head[12]>>4 != 2 {
		return src, dst, errors.New("not a version 2 header")
	}
	if head[12]&0xf == 0 { // LOCAL: a health check of the proxy itself
		return src, dst, nil
	}
	switch head[13] {
	case 0x11: // TCP over IPv4
		if len(body) < 12 {
			return src, dst, errors.New("short IPv4 addresses")
		}
		src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[0:4])), binary.BigEndian.Uint16(body[8:]))
		dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[4:8])), binary.BigEndian.Uint16(body[10:]))
	case 0x21: // TCP over IPv6
		if len(body) < 36 {
			return src, dst, errors.New("short IPv6 addresses")
		}
		src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[0:16])).Unmap(), binary.BigEndian.Uint16(body[32:]))
		dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[16:32])).Unmap(), binary.BigEndian.Uint16(body[34:]))
	default:
		return src, dst, fmt.Errorf("unsupported transport %#x", head[13])
	}
	return src, dst, nil
}
