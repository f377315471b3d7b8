package web

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
	"bartizan/internal/observe/fingerprint"
)

// Bounds of a handshake.
const (
	maxHello      = 18 << 10 // a record with its header, and a little of the next
	handshakeTime = 15 * time.Second
)

// shake does the TLS handshake; ok is false when there is nobody to talk to.
// Whatever the client sent is fingerprinted, also when no handshake follows.
func (v *service) shake(ctx context.Context, s *decoy.Session, h *site) (ok bool, err error) {
	if h.tls == nil {
		return false, errors.New("the persona has no certificate")
	}
	head, err := s.Peek(1)
	if err != nil {
		return false, nil
	}
	if head[0] != 0x16 { // not a handshake record (RFC 8446 §5.1)
		return false, v.plain(s, h)
	}
	tap := &tapped{}
	err = s.Upgrade(func(c net.Conn) (net.Conn, error) {
		tap.Conn = c
		t := tls.Server(tap, h.tls)
		_ = t.SetDeadline(time.Now().Add(handshakeTime)) // fails only on a closed connection, as the handshake then does
		err := t.HandshakeContext(ctx)
		_ = t.SetDeadline(time.Time{}) // back to the runner's limits
		return t, err
	})
	if hello, bad := fingerprint.ParseClientHello(tap.first); bad == nil {
		s.Identify("", observe.Fingerprints{JA3: hello.JA3(), JA4: hello.JA4(), SNI: hello.ServerName, ALPN: strings.Join(hello.ALPN, ",")})
	}
	tap.done, tap.first = true, nil
	return err == nil, nil
}

// plainOnTLS makes the error pages of both servers say what is wrong.
var plainOnTLS = strings.NewReplacer(
	"<title>400 Bad Request</title></head>\r\n", "<title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n",
	"</h1></center>\r\n", "</h1></center>\r\n<center>The plain HTTP request was sent to HTTPS port</center>\r\n",
	"could not understand.<br />\n", "could not understand.<br />\nReason: You're speaking plain HTTP to an SSL-enabled server port.<br />\n Instead use the HTTPS scheme to access this URL, please.<br />\n",
)

// plain answers plain HTTP on the TLS port.
func (v *service) plain(s *decoy.Session, h *site) error {
	r, err := httpd.Read(s, int(v.conf.MaxBody))
	if m, bad := errors.AsType[*httpd.Malformed](err); bad {
		v.refuse(s, h, m)
		return nil
	}
	if err != nil {
		return nil // the visitor left
	}
	if err := s.HTTP(r.Observation(400, "plain-on-tls", false), nil); err != nil {
		return nil // the visitor used up its share
	}
	page := h.errorPage(400, r, s.Local().Port())
	page.Body = []byte(plainOnTLS.Replace(string(page.Body)))
	if r.Proto == "" {
		r.Proto = "HTTP/1.0"
	}
	page.Close = true
	return h.style.Write(s, r, page)
}

// tapped keeps the first bytes a client sends: its ClientHello.
type tapped struct {
	net.Conn
	first []byte
	done  bool
}

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if room := maxHello - len(t.first); !t.done && room > 0 && n > 0 {
		t.first = append(t.first, p[:min(n, room)]...)
	}
	return n, err
}
