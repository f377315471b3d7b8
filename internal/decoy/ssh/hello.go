package ssh

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// hello reads the client's first packet along (RFC 4253, sections 6 and 7.1):
// its lists of algorithms tell implementations apart.
type hello struct {
	skip  int // bytes of the identification string still to come
	buf   []byte
	lists [10]string // name-lists in the order of the message
	done  bool       // nothing more to learn
	ok    bool
}

// maxHello is the longest packet an implementation must take (RFC 4253,
// section 6.1).
const maxHello = 35000

// see takes the next bytes of the stream.
func (h *hello) see(p []byte) {
	if n := min(h.skip, len(p)); n > 0 {
		h.skip -= n
		p = p[n:]
	}
	if h.done || len(p) == 0 {
		return
	}
	h.buf = append(h.buf, p[:min(len(p), 4+maxHello-len(h.buf))]...)
	if len(h.buf) < 4 {
		return
	}
	size := binary.BigEndian.Uint32(h.buf)
	if size > maxHello-4 || size < 2 {
		h.done, h.buf = true, nil
		return
	}
	if len(h.buf) < 4+int(size) {
		return
	}
	packet := h.buf[4 : 4+size]
	h.done, h.buf = true, nil
	padding := int(packet[0])
	if padding+1 < len(packet) {
		h.ok = h.parse(packet[1 : len(packet)-padding])
	}
}

// parse reads SSH_MSG_KEXINIT.
func (h *hello) parse(p []byte) bool {
	const kexInit, cookie = 20, 16
	if len(p) < 1+cookie || p[0] != kexInit {
		return false
	}
	p = p[1+cookie:]
	for i := range h.lists {
		if len(p) < 4 {
			return false
		}
		n := binary.BigEndian.Uint32(p)
		if uint64(n) > uint64(len(p)-4) {
			return false
		}
		h.lists[i] = string(p[4 : 4+n])
		p = p[4+n:]
	}
	return true
}

// hassh is the MD5 of the lists that go from client to server, as
// https://github.com/salesforce/hassh defines it; empty when there were none.
func (h *hello) hassh() string {
	if !h.ok {
		return ""
	}
	const kex, ciphers, macs, compression = 0, 2, 4, 6
	sum := md5.Sum([]byte(strings.Join([]string{h.lists[kex], h.lists[ciphers], h.lists[macs], h.lists[compression]}, ";")))
	return hex.EncodeToString(sum[:])
}
