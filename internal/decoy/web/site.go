package web

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"html"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"bartizan/internal/decoy/httpd"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

// page is an answer and the name of the lure that gave it ("" for none). An
// error without a body gets the server's own error page.
type page struct {
	httpd.Response
	lure string
}

// interesting says whether the raw request is worth keeping: all but the plain
// reading of what every site has.
func (p *page) interesting(r *httpd.Request) bool {
	return p.lure != "" || r.Method != "GET" && r.Method != "HEAD" || len(r.Body) > 0 || len(r.Target) > 256 ||
		strings.ContainsAny(r.Target, "?%<'\"`;|$\\") || strings.Contains(r.Head(), "${") || strings.Contains(r.Head(), "() {")
}

const (
	markup = "text/html"
	plain  = "text/plain"
	js     = "application/json"
	octet  = "application/octet-stream"
)

// site is all about a persona's web server that does not change.
type site struct {
	p     *persona.Persona
	style httpd.Style
	home  page
	icon  []byte
	tls   *tls.Config // nil when the persona has no certificate
	files sync.Map    // *bait to page: what was asked for once
}

func newSite(p *persona.Persona) *site {
	h := &site{p: p, style: httpd.Style{Server: p.Web.Header, Nginx: p.Web.Server == "nginx"}}
	h.home = h.front()
	h.icon = icon(p.Derive("favicon", 3))
	if cert := p.Certificate(); len(cert.Certificate) > 0 {
		h.tls = &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, // old malware speaks nothing newer
			NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true,
		}
	}
	return h
}

// own says whether an authority is a name of this host.
func (h *site) own(authority string, local netip.Addr) bool {
	name := authority
	if n, _, err := net.SplitHostPort(authority); err == nil {
		name = n
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return a.Unmap() == local.Unmap()
	}
	name = strings.ToLower(name)
	return name == "localhost" || name == h.p.Domain || name == h.p.Hostname || strings.HasSuffix(name, "."+h.p.Domain)
}

// withPort completes an authority with a default port.
func withPort(authority, port string) string {
	if _, _, err := net.SplitHostPort(authority); err == nil {
		return authority
	}
	return net.JoinHostPort(strings.Trim(authority, "[]"), port)
}

// file answers with a static file: with validators, which do not change between
// visits. kind octet means that the server knows no type for its name.
func (h *site) file(lure, name, kind string, body []byte) page {
	at := h.p.InstalledAt.Add(time.Duration(len(name)*37) * time.Hour).UTC().Truncate(time.Second)
	tag := fmt.Sprintf(`"%x-%x"`, len(body), at.UnixMicro())
	p := page{lure: lure, Response: httpd.Response{Status: 200, Type: kind, Body: body}}
	if h.style.Nginx {
		tag = fmt.Sprintf(`"%x-%x"`, at.Unix(), len(body))
	} else if kind == octet {
		p.Type = "" // Apache says nothing about what it does not know
	}
	p.Headers = []observe.Field{{Name: "Last-Modified", Value: at.Format(httpd.Date)}, {Name: "ETag", Value: tag}, {Name: "Accept-Ranges", Value: "bytes"}}
	if kind == markup || kind == plain {
		p.Headers = append(p.Headers, observe.Field{Name: "Vary", Value: "Accept-Encoding"})
	}
	return p
}

// bait answers with a file that should not be served.
func (h *site) bait(b *bait) page {
	if p, ok := h.files.Load(b); ok {
		return p.(page)
	}
	p := h.file(b.lure, b.path, b.kind, []byte(b.body(h.p)))
	p.Headers = p.Headers[:len(p.Headers):len(p.Headers)] // shared from now on
	h.files.Store(b, p)
	return p
}

// dynamic answers with a page an application made.
func (h *site) dynamic(lure, body string, fields ...observe.Field) page {
	p := page{lure: lure, Response: httpd.Response{Status: 200, Type: "text/html; charset=UTF-8", Dynamic: true, Body: []byte(body)}}
	if h.p.Web.PHP != "" {
		p.Headers = append(p.Headers, observe.Field{Name: "X-Powered-By", Value: h.p.Web.PHP})
	}
	p.Headers = append(p.Headers, fields...)
	p.Headers = append(p.Headers, observe.Field{Name: "Vary", Value: "Accept-Encoding"})
	return p
}

// json answers with what an API says.
func (h *site) json(lure, body string) page {
	p := h.dynamic(lure, body)
	p.Type = js
	return p
}

// redirect sends the visitor elsewhere.
func redirect(lure, to string, fields ...observe.Field) page {
	return page{lure: lure, Response: httpd.Response{Status: 302, Headers: append([]observe.Field{{Name: "Location", Value: to}}, fields...)}}
}

// status answers with one of the server's error pages.
func status(lure string, code int, fields ...observe.Field) page {
	return page{lure: lure, Response: httpd.Response{Status: code, Headers: fields}}
}

// errorPage is the page the persona's server has for a status.
func (h *site) errorPage(code int, r *httpd.Request, port uint16) httpd.Response {
	w := httpd.Response{Status: code, Close: code == 400 || code == 413 || code == 414 || code == 431 || code == 505, Type: markup}
	if h.style.Nginx {
		w.Body = h.nginxPage(&w.Status, r)
		return w
	}
	reason := httpd.Reason(code)
	if code == 413 {
		reason = "Request Entity Too Large"
	}
	method := html.EscapeString(clip(r.Method, 32))
	text := map[int]string{
		301: "The document has moved.", 302: "The document has moved.",
		400: "Your browser sent a request that this server could not understand.<br />\n",
		401: "This server could not verify that you\nare authorized to access the document\nrequested.  Either you supplied the wrong\ncredentials (e.g., bad password), or your\nbrowser doesn't understand how to supply\nthe credentials required.",
		403: "You don't have permission to access this resource.",
		404: "The requested URL was not found on this server.",
		405: "The requested method " + method + " is not allowed for this URL.",
		413: "The requested resource does not allow request data with " + method + " requests, or the amount of data provided in\nthe request exceeds the capacity limit.",
		414: "The requested URL's length exceeds the capacity\nlimit for this server.<br />\n",
		431: "Your browser sent a request that this server could not understand.<br />\nSize of a request header field exceeds server limit.<br />\n",
		500: "The server encountered an internal error or\nmisconfiguration and was unable to complete\nyour request.",
		501: method + " not supported for current URL.<br />\n",
	}[code]
	w.Type = "text/html; charset=iso-8859-1"
	w.Body = []byte("<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>" + strconv.Itoa(code) + " " + reason + "</title>\n</head><body>\n<h1>" +
		reason + "</h1>\n<p>" + text + "</p>\n<hr>\n<address>" + h.p.Web.Header + " Server at " + h.nameIn(r) + " Port " + strconv.Itoa(int(port)) + "</address>\n</body></html>\n")
	return w
}

func (h *site) nginxPage(code *int, r *httpd.Request) []byte {
	reason := httpd.Reason(*code)
	note := ""
	switch *code {
	case 302:
		reason = "Found"
	case 401:
		reason = "Authorization Required"
	case 405:
		reason = "Not Allowed"
	case 414:
		reason = "Request-URI Too Large"
	case 431: // nginx has an internal code for it and says 400
		*code, reason, note = 400, "Bad Request", "<center>Request Header Or Cookie Too Large</center>\r\n"
	}
	title := strconv.Itoa(*code) + " " + reason
	if note != "" {
		title = "400 Request Header Or Cookie Too Large"
	}
	b := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + strconv.Itoa(*code) + " " + reason + "</h1></center>\r\n" + note +
		"<hr><center>" + h.p.Web.Header + "</center>\r\n</body>\r\n</html>\r\n"
	if ua := r.Header("User-Agent"); *code >= 400 && (strings.Contains(ua, "Chrome/") || strings.Contains(ua, "MSIE ")) {
		b += strings.Repeat("<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n", 6)
	}
	return []byte(b)
}

// nameIn is the name Apache would print: that of the request, made harmless.
func (h *site) nameIn(r *httpd.Request) string {
	name := r.Host
	if n, _, err := net.SplitHostPort(name); err == nil {
		name = n
	}
	if name == "" {
		name = h.p.FQDN()
	}
	return html.EscapeString(clip(name, 128))
}

// icon is a 16 by 16 picture of one colour (the BMP form of an ICO file).
func icon(rgb []byte) []byte {
	const size = 16
	pixels := 40 + size*size*4 + size*4 // header, pixels, mask
	b := []byte{0, 0, 1, 0, 1, 0, size, size, 0, 0, 1, 0, 32, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(pixels))
	b = binary.LittleEndian.AppendUint32(b, 22)
	b = binary.LittleEndian.AppendUint32(b, 40)
	b = binary.LittleEndian.AppendUint32(b, size)
	b = binary.LittleEndian.AppendUint32(b, 2*size)
	b = append(b, 1, 0, 32, 0)
	b = append(b, make([]byte, 24)...)
	for range size * size {
		b = append(b, rgb[0], rgb[1], rgb[2], 0xff)
	}
	return append(b, make([]byte, size*4)...)
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
