// Package web is a decoy that looks like a small company's web server with the
// usual mistakes on it: files that should not be served, admin panels, an
// upload form. Everything it shows comes from the persona, so secrets in its
// lures are unique to the install and their later use names it.
package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"mime"
	"mime/multipart"
	"net"
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
	"bartizan/internal/observe/fingerprint"
)

// Config of the decoy.
type Config struct {
	TLS     bool       `yaml:"tls"`      // speak TLS with the persona's certificate
	MaxBody conf.Bytes `yaml:"max_body"` // bytes of a request body that are kept
}

// Default is plain HTTP.
func Default() Config { return Config{MaxBody: 2 << 20} }

// DefaultTLS is HTTPS.
func DefaultTLS() Config {
	c := Default()
	c.TLS = true
	return c
}

// Validate says what cannot work.
func (c Config) Validate() error {
	if c.MaxBody < 1<<10 || c.MaxBody > 10<<20 {
		return errors.New("max_body must be between 1KiB and 10MiB")
	}
	return nil
}

// New makes the decoy.
func New(c Config) (decoy.Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &service{conf: c}, nil
}

type service struct{ conf Config }

// Serve implements decoy.Service.
func (v *service) Serve(_ context.Context, s *decoy.Session) error {
	if v.conf.TLS {
		if ok, err := v.shake(s); !ok {
			return err
		}
	}
	p := s.Persona()
	st := httpd.Style{Server: p.Web.Header, Nginx: p.Web.Server == "nginx"}
	return httpd.Serve(s, int(v.conf.MaxBody), func(r *httpd.Request) (bool, error) {
		return v.answer(s, st, r)
	}, func(m *httpd.Malformed) { v.refuse(s, st, m) })
}

// shake does the TLS handshake; ok is false when there is nobody to talk to.
// Whatever the client sent is fingerprinted, also when no handshake follows.
func (v *service) shake(s *decoy.Session) (ok bool, err error) {
	head, _ := s.Peek(5)
	if len(head) < 5 || head[0] != 0x16 {
		if len(head) > 0 { // plain HTTP on the TLS port, as nginx answers it
			p := s.Persona()
			st := httpd.Style{Server: p.Web.Header, Nginx: p.Web.Server == "nginx"}
			r, rerr := httpd.Read(s, int(v.conf.MaxBody))
			if rerr == nil {
				if err := s.HTTP(r.Observation(400, "plain-on-tls", false), nil); err != nil {
					return false, err
				}
			}
			return false, st.Write(s, &httpd.Request{Proto: "HTTP/1.1", Method: "GET"}, errorPage(p, 400, true))
		}
		return false, nil
	}
	cert := s.Persona().Certificate()
	var hello []byte
	err = s.Upgrade(func(c net.Conn) (net.Conn, error) {
		tap := &tapped{Conn: c}
		t := tls.Server(tap, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true})
		_ = t.SetDeadline(time.Now().Add(15 * time.Second))
		err := t.Handshake()
		hello = tap.first
		_ = t.SetDeadline(time.Time{}) // back to the runner's limits
		return t, err
	})
	if h, herr := fingerprint.ParseClientHello(hello); herr == nil {
		s.Identify("", observe.Fingerprints{JA3: h.JA3(), JA4: h.JA4(), SNI: h.ServerName, ALPN: strings.Join(h.ALPN, ",")})
	}
	return err == nil, nil
}

// tapped keeps the first bytes a client sends: its ClientHello.
type tapped struct {
	net.Conn
	first []byte
}

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if room := 16<<10 - len(t.first); room > 0 && n > 0 {
		t.first = append(t.first, p[:min(n, room)]...)
	}
	return n, err
}

func (v *service) refuse(s *decoy.Session, st httpd.Style, m *httpd.Malformed) {
	// The interaction's first bytes tell the rest; a malformed request has no parts to report.
	_ = st.Write(s, &httpd.Request{Proto: "HTTP/1.1", Method: "GET"}, errorPage(s.Persona(), 400, false)) // the visitor may have gone
}

// answer reports a request and answers it.
func (v *service) answer(s *decoy.Session, st httpd.Style, r *httpd.Request) (more bool, err error) {
	if r.Method == "CONNECT" || strings.Contains(cutTo(r.Target, 8), "://") {
		return v.proxy(s, st, r)
	}
	page := find(s.Persona(), r)
	v.credentials(s, r)
	if err := v.uploads(s, r); err != nil {
		return false, err
	}
	var raw []byte
	if page.lure != "" || len(r.Body) > 0 || len(r.Target) > 256 {
		raw = r.Raw()
	}
	if err := s.HTTP(r.Observation(page.Status, page.lure, v.conf.TLS), raw); err != nil {
		return false, err
	}
	return true, st.Write(s, r, page.Response)
}

// proxy records a wish to be relayed and refuses it as a plain web server does.
func (v *service) proxy(s *decoy.Session, st httpd.Style, r *httpd.Request) (bool, error) {
	kind, target := "http-absolute", r.Target
	status := 404
	if r.Method == "CONNECT" {
		kind, status = "http-connect", 405
	} else if own(s, r.Target) {
		kind = ""
	}
	if kind != "" {
		if err := s.Forward(kind, target); err != nil {
			return false, err
		}
	}
	if err := s.HTTP(r.Observation(status, "", v.conf.TLS), nil); err != nil {
		return false, err
	}
	return true, st.Write(s, r, errorPage(s.Persona(), status, false))
}

// own tells whether an absolute target is this very host, which is legal.
func own(s *decoy.Session, target string) bool {
	_, rest, _ := strings.Cut(target, "://")
	host, _, _ := strings.Cut(rest, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap() == s.Local().Addr().Unmap()
}

// credentials reports what a visitor offers to get in with. Nothing opens.
func (v *service) credentials(s *decoy.Session, r *httpd.Request) {
	if scheme, value, ok := strings.Cut(r.Header("Authorization"), " "); ok {
		switch strings.ToLower(scheme) {
		case "basic":
			if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err == nil {
				user, pass, _ := strings.Cut(string(b), ":")
				_ = s.Auth(observe.AuthAttempt{Method: "basic", User: user, Password: pass}) // over a limit the next report ends the visit
			}
		case "bearer":
			_ = s.Auth(observe.AuthAttempt{Method: "token", Key: observe.KeyID(value)})
		}
	}
	if r.Method != "POST" || !loginPath(r.Path) {
		return
	}
	f := r.Form()
	user, pass := first(f, "log", "username", "user", "email", "login", "pma_username", "usr", "name", "userName"), first(f, "pwd", "password", "pass", "passwd", "pma_password", "psw")
	if user != "" || pass != "" {
		_ = s.Auth(observe.AuthAttempt{Method: "form", User: user, Password: pass})
	}
}

func first(f map[string][]string, names ...string) string {
	for _, n := range names {
		if v := f[n]; len(v) > 0 && v[0] != "" {
			return v[0]
		}
	}
	return ""
}

// uploads reports files of a form and bodies that are files by themselves.
func (v *service) uploads(s *decoy.Session, r *httpd.Request) error {
	if len(r.Body) == 0 || r.Method != "POST" && r.Method != "PUT" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(r.Header("Content-Type"))
	if err == nil && kind == "multipart/form-data" && params["boundary"] != "" {
		form := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"])
		for range 16 {
			part, err := form.NextRawPart()
			if err != nil {
				return nil // the rest is no form
			}
			name := part.FileName()
			var content bytes.Buffer
			_, _ = content.ReadFrom(part) // what was cut off is reported as far as it came
			if name == "" {
				continue
			}
			if err := s.File(observe.FileEvent{Path: name, How: "http-upload", Size: int64(content.Len()), Capped: r.Cut}, content.Bytes()); err != nil {
				return err
			}
		}
		return nil
	}
	t := decoy.FileType(r.Body)
	if r.Method == "PUT" || t == "elf" || t == "pe" || t == "php" || t == "java" || t == "zip" {
		return s.File(observe.FileEvent{Path: r.Path, How: "http-upload", Size: r.BodyLen, Type: t, Capped: r.Cut}, r.Body)
	}
	return nil
}

func cutTo(s string, n int) string { return s[:min(len(s), n)] }
