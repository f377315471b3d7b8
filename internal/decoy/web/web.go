// Package web is a decoy that looks like a small company's web server with the
// usual mistakes on it: files that should not be served, admin panels, an
// upload form. Everything it shows comes from the persona, so secrets in its
// lures are unique to the install and their later use names it.
//
// It serves no real file, runs nothing, relays nothing and fetches nothing.
package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"

	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/httpd"
	"bartizan/internal/observe"
)

// Config of the decoy.
type Config struct {
	TLS     bool       `yaml:"tls"`      // speak TLS with the persona's certificate
	MaxBody conf.Bytes `yaml:"max_body"` // bytes of a request body that are kept; eight times as many are read
	// AcceptLogins is the share of credentials, in percent, that a login form
	// takes. Which ones the persona decides, so an answer never changes.
	AcceptLogins int `yaml:"accept_logins"`
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
	if c.AcceptLogins < 0 || c.AcceptLogins > 100 {
		return errors.New("accept_logins is a percentage: from 0 (none) to 100")
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

type service struct {
	conf Config
	site atomic.Pointer[site] // of the persona seen last; a process plays one
}

// siteOf is what the persona's server shows, made once.
func (v *service) siteOf(s *decoy.Session) *site {
	h := v.site.Load()
	if h == nil || h.p != s.Persona() {
		h = newSite(s.Persona())
		v.site.Store(h)
	}
	return h
}

// Serve implements decoy.Service.
func (v *service) Serve(ctx context.Context, s *decoy.Session) error {
	h := v.siteOf(s)
	if v.conf.TLS {
		if ok, err := v.shake(ctx, s, h); !ok {
			return err
		}
	}
	served := 0
	return httpd.Serve(s, int(v.conf.MaxBody), func(r *httpd.Request) (bool, error) {
		served++
		return v.answer(s, h, r, served)
	}, func(m *httpd.Malformed) { v.refuse(s, h, m) })
}

// maxRequests of one connection: the default of nginx (keepalive_requests).
const maxRequests = 1000

// refuse reports a malformed request and answers it as the server does.
func (v *service) refuse(s *decoy.Session, h *site, m *httpd.Malformed) {
	r := m.Request
	if r.Target != "" {
		_ = s.HTTP(r.Observation(m.Status, "malformed", v.conf.TLS), r.Raw()) // over the limit the visit ends anyway
	} // else the first bytes of the interaction tell the rest: there is no request to report
	if r.Proto == "" {
		r.Proto = "HTTP/1.1"
	}
	_ = h.style.Write(s, r, h.errorPage(m.Status, r, s.Local().Port())) // the visitor may have gone
}

// answer reports a request and answers it.
func (v *service) answer(s *decoy.Session, h *site, r *httpd.Request, served int) (more bool, err error) {
	x := &visit{svc: v, s: s, site: h, r: r}
	page := x.respond()
	if r.TooLarge {
		page.Response = h.errorPage(413, r, s.Local().Port())
	}
	if page.Status >= 300 && page.Body == nil && page.Status != 304 {
		headers, end := page.Headers, page.Close
		page.Response = h.errorPage(page.Status, r, s.Local().Port())
		page.Headers, page.Close = headers, page.Close || end
	}
	// First the report, then the answer: who does not read it is told about too.
	if err := x.report(page); err != nil {
		return false, err
	}
	if served >= maxRequests {
		page.Close = true
	}
	return !page.Close, h.style.Write(s, r, page.Response)
}

// visit is one request while it is answered.
type visit struct {
	svc  *service
	s    *decoy.Session
	site *site
	r    *httpd.Request
	path string // without empty and dot segments

	auth     []observe.AuthAttempt
	accepted bool // one of them
	forward  *observe.Forward
}

// respond picks the answer.
func (x *visit) respond() page {
	r := x.r
	if r.Method == "CONNECT" {
		x.forward = &observe.Forward{Kind: "http-connect", Target: withPort(r.Target, "443")}
		return page{lure: "proxy", Response: httpd.Response{Status: 405, Close: true}}
	}
	if r.Authority != "" && !x.site.own(r.Authority, x.s.Local().Addr()) {
		x.forward = &observe.Forward{Kind: "http-absolute", Target: withPort(r.Authority, "80")}
		return page{lure: "proxy", Response: httpd.Response{Status: 403}}
	}
	x.credentials()
	var climbed bool
	x.path, climbed = r.Resolve()
	if x.path == "/" && r.Query == "" && r.Method == "GET" {
		return x.home()
	}
	return x.find(climbed)
}

// report tells what the request was and what it brought.
func (x *visit) report(p page) error {
	var raw []byte
	if p.interesting(x.r) {
		raw = x.r.Raw()
	}
	if err := x.s.HTTP(x.r.Observation(p.Status, p.lure, x.svc.conf.TLS), raw); err != nil {
		return err
	}
	for _, a := range x.auth {
		if err := x.s.Auth(a); err != nil {
			return err
		}
	}
	if err := x.uploads(); err != nil {
		return err
	}
	if x.forward != nil {
		return x.s.Forward(x.forward.Kind, x.forward.Target)
	}
	return x.fetches()
}

// fetches reports downloads that the request wants a command to make.
func (x *visit) fetches() error {
	const most = 16 << 10
	body := x.r.Body[:min(len(x.r.Body), most)]
	suspect := mayFetch(x.r.Target) || bytes.Contains(body, []byte("wget")) || bytes.Contains(body, []byte("curl")) || bytes.Contains(body, []byte("tftp"))
	for i := range x.r.Headers {
		v := x.r.Headers[i].Value
		suspect = suspect || !itself(v) && mayFetch(v)
	}
	if !suspect {
		return nil
	}
	var text strings.Builder
	text.WriteString(httpd.Unescape(x.r.Target, true) + "\n")
	for _, f := range x.r.Headers {
		if !itself(f.Value) {
			text.WriteString(f.Value + "\n")
		}
	}
	text.WriteString(httpd.Unescape(string(body), true))
	for _, f := range decoy.Downloads(text.String()) {
		if err := x.s.Fetch(f.URL, f.Tool); err != nil {
			return err
		}
	}
	return nil
}

// itself says whether a header is what an honest client calls itself.
func itself(v string) bool {
	return len(v) > 5 && v[4] == '/' && (strings.EqualFold(v[:4], "curl") || strings.EqualFold(v[:4], "wget"))
}

func mayFetch(s string) bool {
	return strings.Contains(s, "wget") || strings.Contains(s, "curl") || strings.Contains(s, "tftp")
}

// accepts is the login policy: a fixed share of all credentials, different for
// every persona, the same at every try.
func (x *visit) accepts(user, password string) bool {
	share := x.svc.conf.AcceptLogins
	if share == 0 || user == "" || password == "" {
		return false
	}
	sum := sha256.Sum256(append(x.site.p.Derive("web logins", 16), user+"\x00"+password...))
	return int(binary.BigEndian.Uint32(sum[:])%100) < share
}
