package text

import (
	"strings"

	"bartizan/internal/observe"
)

// requestChunk is how many requests are made at once: they are kept by what was
// concluded from them, so their memory is not used again.
const requestChunk = 64

// Requests makes requests in chunks, for formats of access logs. The zero value
// is ready; it is used by one goroutine.
type Requests struct {
	reqs   []observe.HTTPRequest
	fields []observe.Field
}

// New makes an empty request.
func (r *Requests) New() *observe.HTTPRequest {
	if len(r.reqs) == cap(r.reqs) {
		r.reqs = make([]observe.HTTPRequest, 0, requestChunk)
	}
	r.reqs = append(r.reqs, observe.HTTPRequest{})
	return &r.reqs[len(r.reqs)-1]
}

// Headers keeps the headers that access logs have, those that are empty or "-"
// left out.
func (r *Requests) Headers(host, referer, agent, cookie string) []observe.Field {
	const most = 4
	if cap(r.fields)-len(r.fields) < most {
		r.fields = make([]observe.Field, 0, most*requestChunk)
	}
	n := len(r.fields)
	for _, f := range [most]observe.Field{{Name: "Host", Value: host}, {Name: "Referer", Value: referer}, {Name: "User-Agent", Value: agent}, {Name: "Cookie", Value: cookie}} {
		if f.Value != "" && f.Value != "-" {
			f.Value = Cap(f.Value)
			r.fields = append(r.fields, f)
		}
	}
	return r.fields[n:len(r.fields):len(r.fields)]
}

// Cap cuts a text to what an observation may hold.
func Cap(s string) string { return s[:min(len(s), observe.MaxText)] }

// Quoted reads up to the closing quote and undoes the escapes \xHH, \", \\, \n,
// \r and \t.
func Quoted(s string) (value, rest string, ok bool) {
	plain := true
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			plain = false
			i++
		case '"':
			if plain {
				return s[:i], s[i+1:], true
			}
			return unescape(s[:i]), s[i+1:], true
		}
	}
	return "", "", false
}

func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'x':
			if i+2 < len(s) && Hex(s[i+1]) < 16 && Hex(s[i+2]) < 16 {
				b = append(b, Hex(s[i+1])<<4|Hex(s[i+2]))
				i += 2
				continue
			}
			b = append(b, '\\', 'x')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case '"', '\\':
			b = append(b, s[i])
		default:
			b = append(b, '\\', s[i])
		}
	}
	return string(b)
}

// Hex is the value of a hexadecimal digit; 16 or more when c is none.
func Hex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// Percent undoes percent-encoding once (RFC 3986 §2.1); what is none stays.
func Percent(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && Hex(s[i+1]) < 16 && Hex(s[i+2]) < 16 {
			b = append(b, Hex(s[i+1])<<4|Hex(s[i+2]))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// Absolute splits the URL of a request as load balancers log it,
// "https://host:443/path?query", into host and target. A target that is no URL
// stays as it is.
func Absolute(url string) (host, target string) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || len(scheme) > 6 || strings.ContainsAny(scheme, "/?") {
		return "", url
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		return rest, "/"
	}
	host, target = rest[:end], rest[end:]
	if target[0] == '?' {
		target = "/" + target
	}
	return host, target
}
