package tcp

import (
	"strconv"
	"strings"

	"bartizan/internal/decoy/persona"
)

// plausible holds, per guessed protocol, what a server says to a stranger that
// it does not let in: refusals are short, valid and lead nowhere. Protocols
// without an entry get silence, as from a service that found the request odd.
func plausible(p *persona.Persona) map[string]string {
	return map[string]string{
		"http":       notFound(p),
		"http2":      "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", // RFC 9113 §6.8 GOAWAY, PROTOCOL_ERROR
		"tls":        "\x15\x03\x01\x00\x02\x02\x28",                                         // RFC 8446 §6 fatal handshake_failure
		"redis":      "-NOAUTH Authentication required.\r\n",
		"memcached":  "ERROR\r\n",
		"smtp":       "554 5.7.1 " + p.FQDN() + " Access denied\r\n",
		"ftp":        "530 Please login with USER and PASS.\r\n",
		"imap":       "A001 BAD Command unrecognized.\r\n",
		"pop3":       "-ERR Unknown command.\r\n",
		"rtsp":       "RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm=\"/\"\r\n\r\n",
		"sip":        "SIP/2.0 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
		"vnc":        "RFB 003.008\n",
		"json-rpc":   `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}` + "\n",
		"jdwp":       "JDWP-Handshake",
		"postgresql": "N",                                                                            // no TLS here (protocol 3.0 §55.2.10)
		"mqtt":       "\x20\x02\x00\x05",                                                             // MQTT 3.1.1 §3.2 CONNACK, not authorized
		"socks5":     "\x05\xff",                                                                     // RFC 1928 §3 no acceptable method
		"socks4":     "\x00\x5b\x00\x00\x00\x00\x00\x00",                                             // request rejected
		"rdp":        "\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x03\x00\x08\x00\x05\x00\x00\x00", // MS-RDPBCGR §2.2.1.2.2 negotiation failure
		"t3":         "HELO:12.2.1.3.0.false\nAS:2048\nHL:19\n\n",
		"telnet":     "\xff\xfc\x01\xff\xfc\x03\r\n" + p.Hostname + " login: ",
	}
}

func notFound(p *persona.Persona) string {
	body := "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>" +
		p.Web.Header + "</center>\r\n</body>\r\n</html>\r\n"
	return strings.Join([]string{
		"HTTP/1.1 404 Not Found", "Server: " + p.Web.Header, "Content-Type: text/html", "Content-Length: " + strconv.Itoa(len(body)),
		"Connection: close", "", body,
	}, "\r\n")
}
