package decoy

import "bytes"

// GuessProtocol names the protocol a client speaks from its first bytes, or ""
// when they fit none. It looks at shapes that public protocol documents fix;
// what comes after the first 257 bytes, the length of the longest SOCKS5
// greeting, makes no difference.
func GuessProtocol(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	b = b[:min(len(b), guessMost)]
	if i := bytes.IndexByte(b, ' '); i > 0 && i <= 8 && looksHTTP(b, i) {
		return "http"
	}
	for _, p := range textShapes {
		if len(b) >= len(p.prefix) && bytes.EqualFold(b[:len(p.prefix)], []byte(p.prefix)) {
			return p.name
		}
	}
	return guessBinary(b)
}

const guessMost = 257

// Protocols lists every name GuessProtocol knows, sorted.
func Protocols() []string {
	return []string{"adb", "ftp", "giop", "http", "http2", "imap", "java-serialized", "jdwp", "json-rpc", "ldap", "memcached",
		"mongodb", "mqtt", "mssql", "pop3", "postgresql", "rdp", "redis", "rmi", "rtsp", "sip", "smb", "smtp", "socks4", "socks5",
		"ssh", "sslv2", "t3", "telnet", "tls", "vnc"}
}

type shape struct{ prefix, name string }

// textShapes are matched without case, in this order.
var textShapes = []shape{
	{"SSH-", "ssh"}, {"RTSP/", "rtsp"}, {"EHLO ", "smtp"}, {"HELO ", "smtp"}, {"MAIL FROM", "smtp"},
	{"USER ", "ftp"}, {"JDWP-Handshake", "jdwp"}, {"stats\r\n", "memcached"}, {"version\r\n", "memcached"},
	{"PING\r\n", "redis"}, {"INFO\r\n", "redis"}, {"CNXN", "adb"}, {"GIOP", "giop"}, {"PRI * HTTP/2.0", "http2"},
	{"RFB 003", "vnc"}, {"A001 ", "imap"}, {"CAPA\r\n", "pop3"}, {"{\"id\"", "json-rpc"}, {"{\"method\"", "json-rpc"},
}

func looksHTTP(b []byte, space int) bool {
	switch m := string(b[:space]); m {
	case "GET", "POST", "HEAD", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH", "PROPFIND", "SEARCH":
		return true
	case "OPTIONS":
		return !bytes.Contains(b[:min(len(b), 256)], []byte("RTSP/")) && !bytes.Contains(b[:min(len(b), 256)], []byte("SIP/"))
	}
	return false
}

func guessBinary(b []byte) string {
	has := func(off int, want ...byte) bool {
		return len(b) >= off+len(want) && bytes.Equal(b[off:off+len(want)], want)
	}
	switch {
	case has(0, 'O', 'P', 'T', 'I', 'O', 'N', 'S', ' ') && bytes.Contains(b[:min(len(b), 256)], []byte("SIP/")):
		return "sip"
	case has(0, 'O', 'P', 'T', 'I', 'O', 'N', 'S', ' '):
		return "rtsp"
	case has(0, 0x16, 0x03) && len(b) > 5 && b[5] == 1:
		return "tls" // RFC 8446 §5.1: handshake record with a ClientHello
	case b[0] == '*' && len(b) > 2 && b[1] >= '0' && b[1] <= '9':
		return "redis" // RESP array
	case has(0, 0x03, 0x00) && has(5, 0xe0):
		return "rdp" // TPKT with X.224 connection request
	case has(4, 0xff, 'S', 'M', 'B') || has(4, 0xfe, 'S', 'M', 'B'):
		return "smb"
	case has(4, 0x00, 0x03, 0x00, 0x00) && has(8, 'u', 's', 'e', 'r'):
		return "postgresql" // startup message, protocol 3.0
	case has(0, 0x00, 0x00, 0x00, 0x08, 0x04, 0xd2, 0x16, 0x2f):
		return "postgresql" // SSLRequest
	case has(0, 0x12, 0x01) || has(0, 0x10, 0x01):
		return "mssql" // TDS prelogin or login
	case len(b) >= 16 && (has(12, 0xd4, 0x07, 0, 0) || has(12, 0xdd, 0x07, 0, 0)):
		return "mongodb" // OP_QUERY, OP_MSG
	case has(0, 0x05) && len(b) >= 3 && int(b[1]) == len(b)-2:
		return "socks5" // RFC 1928 §3
	case has(0, 0x04, 0x01) && len(b) >= 9:
		return "socks4"
	case b[0] == 0x10 && bytes.Contains(b[:min(len(b), 16)], []byte("MQTT")):
		return "mqtt"
	case has(0, 0xff) && len(b) > 1 && b[1] >= 0xfa:
		return "telnet" // IAC
	case has(0, 0x80) && len(b) > 3 && b[2] == 1:
		return "sslv2"
	case b[0] == 0x30 && bytes.IndexByte(b[:min(len(b), 16)], 0x60) > 0:
		return "ldap"
	case has(0, 'J', 'R', 'M', 'I'):
		return "rmi"
	case has(0, 0xac, 0xed):
		return "java-serialized"
	case has(0, 't', '3', ' '):
		return "t3"
	}
	return ""
}
