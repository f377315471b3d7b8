package front

import (
	"bytes"
	"strconv"
	"strings"
)

// plain tells whether a request whose head stands whole at the beginning of b is of the
// one kind that is served here, and how long its body is. It is stricter
// than HTTP: whatever could be read in two ways, or needs more than an answer, is left
// to net/http.
func plain(b []byte) (body int64, ok bool) {
	at := bytes.Index(b, []byte("\r\n\r\n"))
	if at < 0 {
		return 0, false
	}
	line, rest := cutLine(b[:at+2])
	if !plainLine(line) {
		return 0, false
	}
	hosts, lengths := 0, 0
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || !all(name, &inName) || !all(value, &inValue) {
			return 0, false
		}
		value = bytes.Trim(value, " \t")
		switch known(name) {
		case hop:
			return 0, false
		case connection:
			if !strings.EqualFold(string(value), "keep-alive") {
				return 0, false
			}
		case host:
			if hosts++; len(value) == 0 || !all(value, &inHost) {
				return 0, false
			}
		case length:
			lengths++
			if body, ok = size(value); !ok {
				return 0, false
			}
		}
	}
	return body, hosts == 1 && lengths == 1
}

// cutLine cuts at the first line feed; b ends with one, and with a carriage return
// before it. A carriage return or a line feed anywhere else stays in the line, where no
// rule has room for it.
func cutLine(b []byte) (line, rest []byte) {
	at := bytes.Index(b, []byte("\r\n"))
	return b[:at], b[at+2:]
}

// plainLine tells whether a first line is POST, a path, HTTP/1.1.
func plainLine(line []byte) bool {
	path, ok := bytes.CutPrefix(line, []byte("POST /"))
	if !ok {
		return false
	}
	path, ok = bytes.CutSuffix(path, []byte(" HTTP/1.1"))
	return ok && all(path, &inPath)
}

// size reads a Content-Length: digits only, and at least one byte follows.
func size(value []byte) (int64, bool) {
	if len(value) == 0 || len(value) > 10 || !all(value, &inNumber) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	return n, err == nil && n > 0
}

// kind is what a header means for whoever reads a request from a connection.
type kind int

const (
	other kind = iota
	hop        // needs more than an answer, or says in another way where the request ends
	connection
	host
	length
)

// known is the kind of a header.
func known(name []byte) kind {
	if len(name) > len("proxy-authenticate") {
		return other
	}
	var buf [len("proxy-authenticate")]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	switch string(buf[:len(name)]) {
	case "transfer-encoding", "expect", "upgrade", "trailer", "te", "proxy-connection", "http2-settings", "keep-alive":
		return hop
	case "connection":
		return connection
	case "host":
		return host
	case "content-length":
		return length
	}
	return other
}

// set is a set of bytes.
type set [256]bool

var (
	inName   = setOf("-_", '0', '9', 'A', 'Z', 'a', 'z')
	inHost   = setOf("-_.:[]", '0', '9', 'A', 'Z', 'a', 'z')
	inNumber = setOf("", '0', '9')
	inPath   = setOf("", '!', '~')
	inValue  = setOf("\t", ' ', '~')
)

// setOf has some bytes and those between pairs of others.
func setOf(some string, pairs ...byte) (s set) {
	for i := range len(some) {
		s[some[i]] = true
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		for c := pairs[i]; c <= pairs[i+1]; c++ {
			s[c] = true
		}
	}
	return s
}

// all tells whether b has bytes of a set only.
func all(b []byte, s *set) bool {
	for _, c := range b {
		if !s[c] {
			return false
		}
	}
	return true
}
