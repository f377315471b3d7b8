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

type decoder struct {
	zone *time.Location
	json fastjson.Parser
	reqs text.Requests
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
	line, tail, ok := text.Quoted(tail)
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
		if referer, tail, ok = text.Quoted(q); ok {
			if q, ok := strings.CutPrefix(strings.TrimPrefix(tail, " "), `"`); ok {
				agent, _, _ = text.Quoted(q)
			}
		}
	}
	h := d.reqs.New()
	requestLine(h, line)
	h.Status, h.Host = code, host
	h.Headers = d.reqs.Headers(host, referer, agent, "")
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

// word reads the next word and the blank behind it.
func word(s string) (w, rest string) {
	s = strings.TrimPrefix(s, " ")
	w, rest, _ = strings.Cut(s, " ")
	return w, rest
}
