// Package access reads access logs of web servers: the Common and Combined Log
// Formats of nginx, Apache and Traefik (also behind a virtual host's name or a
// syslog prefix), access logs written as JSON (Caddy, Traefik, and the usual
// field names of nginx and Apache), and failed logins in the error logs of
// nginx and Apache.
package access

import (
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// Config of the format.
type Config struct {
	// Zone is where the clock of error logs stands, which name no zone ("UTC").
	Zone string `yaml:"zone"`
}

// Default configuration.
func Default() Config { return Config{Zone: "UTC"} }

// New makes the format.
func New(c Config) (source.Format, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, err
	}
	return format{zone}, nil
}

type format struct{ zone *time.Location }

// Decoder implements source.Format.
func (f format) Decoder() source.Decoder { return &decoder{zone: f.zone} }

// chunk is how many requests are made at once: they are kept by what was
// concluded from them, so their memory is not used again.
const chunk = 64

type decoder struct {
	zone   *time.Location
	json   fastjson.Parser
	reqs   []observe.HTTPRequest
	fields []observe.Field
}

// Decode implements source.Decoder.
func (d *decoder) Decode(line []byte, at uint64, b *observe.LogBatch) error {
	if line[0] == '{' {
		return d.object(line, at, b)
	}
	s := string(line)
	if d.combined(s, at, b) {
		return nil
	}
	if err := d.errorLog(s, at, b); err == nil {
		return nil
	}
	// nginx and haproxy can log through syslog: "… nginx[2869]: ADDR - - […".
	head := s[:min(len(s), 160)]
	for i := 0; ; {
		k := strings.Index(head[i:], ": ")
		if k < 0 {
			return source.ErrFormat
		}
		i += k + 2
		if d.combined(s[i:], at, b) {
			return nil
		}
	}
}

func (d *decoder) request() *observe.HTTPRequest {
	if len(d.reqs) == cap(d.reqs) {
		d.reqs = make([]observe.HTTPRequest, 0, chunk)
	}
	d.reqs = append(d.reqs, observe.HTTPRequest{})
	return &d.reqs[len(d.reqs)-1]
}

// headers keeps up to three headers in one piece of memory.
func (d *decoder) headers(host, referer, agent string) []observe.Field {
	if cap(d.fields)-len(d.fields) < 3 {
		d.fields = make([]observe.Field, 0, 3*chunk)
	}
	n := len(d.fields)
	add := func(name, v string) {
		if v != "" && v != "-" {
			d.fields = append(d.fields, observe.Field{Name: name, Value: v[:min(len(v), observe.MaxText)]})
		}
	}
	add("Host", host)
	add("Referer", referer)
	add("User-Agent", agent)
	return d.fields[n:len(d.fields):len(d.fields)]
}

// combined reads a line of the Common or Combined Log Format.
func (d *decoder) combined(s string, at uint64, b *observe.LogBatch) bool {
	open := strings.Index(s, " [")
	if open < 0 || open > 512 || len(s) < open+30 || s[open+28] != ']' {
		return false
	}
	t, ok := text.CLF([]byte(s[open+2 : open+28]))
	if !ok {
		return false
	}
	// ADDR ident user, where user may hold blanks; before it perhaps the name
	// of the virtual host.
	first, rest, _ := strings.Cut(s[:open], " ")
	host := ""
	addr, ok := text.Addr(first)
	if !ok {
		host = first
		first, _, _ = strings.Cut(rest, " ")
		if addr, ok = text.Addr(strings.TrimSuffix(first, ",")); !ok {
			return false
		}
	}
	tail, ok := strings.CutPrefix(s[open+29:], ` "`)
	if !ok {
		return false
	}
	line, tail, ok := quoted(tail)
	if !ok {
		return false
	}
	status, tail := word(tail)
	code, ok := text.Int([]byte(status))
	if !ok || code > 999 {
		return false
	}
	_, tail = word(tail) // bytes sent
	referer, agent := "", ""
	if q, ok := strings.CutPrefix(tail, `"`); ok {
		if referer, tail, ok = quoted(q); ok {
			if q, ok := strings.CutPrefix(strings.TrimPrefix(tail, " "), `"`); ok {
				agent, _, _ = quoted(q)
			}
		}
	}
	h := d.request()
	requestLine(h, line)
	h.Status, h.Host = code, host
	h.Headers = d.headers(host, referer, agent)
	b.Add(at, t, observe.KindHTTP, "http", addr, 0).HTTP = h
	return true
}

// requestLine splits "GET /x HTTP/1.1". What is no HTTP stays whole in Target.
func requestLine(h *observe.HTTPRequest, line string) {
	line = line[:min(len(line), observe.MaxText)]
	method, rest, ok := strings.Cut(line, " ")
	i := strings.LastIndexByte(rest, ' ')
	if !ok || len(method) > 32 || i < 0 || !strings.HasPrefix(rest[i+1:], "HTTP/") {
		if ok && len(method) <= 16 && strings.ToUpper(method) == method && strings.HasPrefix(rest, "/") {
			h.Method, h.Target = method, rest // HTTP/0.9, or cut
			return
		}
		h.Target = line
		return
	}
	h.Method, h.Target, h.Proto = method, rest[:i], rest[i+1:]
}

// quoted reads up to the closing quote and undoes the escapes of nginx and
// Apache (\xHH, \", \\, \n, \t).
func quoted(s string) (value, rest string, ok bool) {
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
			if i+2 < len(s) && hex(s[i+1]) < 16 && hex(s[i+2]) < 16 {
				b = append(b, hex(s[i+1])<<4|hex(s[i+2]))
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

func hex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// word reads the next word and the blank behind it.
func word(s string) (w, rest string) {
	s = strings.TrimPrefix(s, " ")
	w, rest, _ = strings.Cut(s, " ")
	return w, rest
}
