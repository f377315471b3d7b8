package access

import (
	"strconv"
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// object reads an access log entry written as JSON. It is one when it holds a
// client's address, a status, and a method with a path or a request line.
func (d *decoder) object(line []byte, at uint64, b *observe.LogBatch) error {
	v, err := d.json.ParseBytes(line)
	if err != nil {
		return source.ErrFormat
	}
	var e entry
	if r := v.Get("request"); r != nil && r.Type() == fastjson.TypeObject {
		e = caddy(v, r)
	} else {
		e = flat(v)
	}
	addr, ok := text.Addr(e.client)
	if !ok || e.status < 100 || e.status > 999 || e.time.IsZero() || (e.line == "" && (e.method == "" || e.target == "")) {
		return source.ErrFormat
	}
	h := d.reqs.New()
	if e.line != "" && e.method == "" {
		requestLine(h, e.line)
	} else {
		h.Method, h.Target, h.Proto = e.method, e.target[:min(len(e.target), observe.MaxText)], e.proto
	}
	h.Status, h.Host = e.status, e.host
	h.Headers = d.reqs.Headers(e.host, e.referer, e.agent, "")
	b.Add(at, e.time, observe.KindHTTP, "http", addr, 0).HTTP = h
	return nil
}

// entry is what is taken from a JSON entry.
type entry struct {
	client, method, target, proto, line, host, referer, agent string

	status int
	time   time.Time
}

// caddy reads {"ts":…,"status":…,"request":{"client_ip":…,"method":…,"uri":…}}.
func caddy(v, r *fastjson.Value) entry {
	return entry{
		client: first(r, "client_ip", "remote_ip"), method: first(r, "method"), target: first(r, "uri"),
		proto: first(r, "proto"), host: first(r, "host"), agent: header(r, "User-Agent"), referer: header(r, "Referer"),
		status: status(v.Get("status")), time: clock(v, "ts", "time", "timestamp"),
	}
}

func header(r *fastjson.Value, name string) string {
	h := r.Get("headers", name)
	if h == nil {
		h = r.Get("headers", strings.ToLower(name))
	}
	if h != nil && h.Type() == fastjson.TypeArray {
		h = h.Get("0")
	}
	return str(h)
}

// flat reads the names that nginx, Apache, Traefik and common shippers use.
func flat(v *fastjson.Value) entry {
	e := entry{
		client: first(v, "ClientHost", "remote_addr", "remote_ip", "client_ip", "clientip", "client", "ip", "remoteIP", "remoteAddr", "source_ip", "http_x_real_ip"),
		method: first(v, "RequestMethod", "request_method", "method", "verb", "http_method"),
		target: first(v, "RequestPath", "request_uri", "uri", "path", "url"),
		proto:  first(v, "RequestProtocol", "server_protocol", "protocol", "proto", "http_version"),
		line:   first(v, "request"),
		host:   first(v, "RequestHost", "http_host", "host", "server_name", "vhost"),
		agent:  first(v, "request_User-Agent", "http_user_agent", "user_agent", "userAgent", "agent", "http_user-agent"),
		status: 0,
		time:   clock(v, "StartUTC", "time_iso8601", "time_local", "@timestamp", "timestamp", "time", "ts", "msec"),
	}
	e.referer = first(v, "request_Referer", "http_referer", "http_referrer", "referer", "referrer")
	for _, name := range [...]string{"DownstreamStatus", "status", "response", "status_code", "response_status"} {
		if e.status == 0 {
			e.status = status(v.Get(name))
		}
	}
	if q := first(v, "query", "query_string", "args"); q != "" && q != "-" && e.target != "" && !strings.Contains(e.target, "?") {
		e.target += "?" + strings.TrimPrefix(q, "?")
	}
	return e
}

func first(v *fastjson.Value, names ...string) string {
	for _, n := range names {
		if s := str(v.Get(n)); s != "" {
			return s
		}
	}
	return ""
}

// str copies a string out of the parser's memory.
func str(v *fastjson.Value) string {
	if v == nil || v.Type() != fastjson.TypeString {
		return ""
	}
	return string(v.GetStringBytes())
}

func status(v *fastjson.Value) int {
	if v == nil {
		return 0
	}
	switch v.Type() {
	case fastjson.TypeNumber:
		return v.GetInt()
	case fastjson.TypeString:
		n, _ := text.Int(v.GetStringBytes())
		return n
	}
	return 0
}

// clock reads the first field that is a time.
func clock(v *fastjson.Value, names ...string) time.Time {
	for _, n := range names {
		f := v.Get(n)
		if f == nil {
			continue
		}
		switch f.Type() {
		case fastjson.TypeNumber:
			if t, ok := text.Unix(f.GetFloat64()); ok {
				return t
			}
		case fastjson.TypeString:
			s := string(f.GetStringBytes())
			if t, ok := text.RFC3339(s); ok {
				return t
			}
			if t, ok := text.CLF([]byte(strings.Trim(s, "[]"))); ok {
				return t
			}
			if x, err := strconv.ParseFloat(s, 64); err == nil {
				if t, ok := text.Unix(x); ok {
					return t
				}
			}
		}
	}
	return time.Time{}
}
