// Package alb reads the access logs of AWS load balancers: Application (Elastic
// Load Balancing user guide, "Access logs for your Application Load Balancer"),
// Classic, and the TLS listeners of Network Load Balancers. Requests become
// HTTP observations; fields that AWS adds at the end are skipped.
package alb

import (
	"errors"
	"net/netip"
	"strings"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"
)

// Config of the format; it has no options.
type Config struct{}

// Default configuration.
func Default() Config { return Config{} }

// New makes the format.
func New(Config) (source.Format, error) { return format{}, nil }

type format struct{}

// Decoder implements source.Format.
func (format) Decoder() source.Decoder { return &decoder{} }

// maxFields is more than any of the logs has.
const maxFields = 64

type decoder struct {
	reqs   text.Requests
	fields [maxFields]string
}

// Errors of a record.
var (
	errFields = errors.New("fewer fields than the log of a load balancer has, or a quote without its end")
	errClient = errors.New("the client is no address with a port")
	errTime   = errors.New("the time is none")
	errStatus = errors.New("the status code is none")
)

// Decode implements source.Decoder.
func (d *decoder) Decode(line []byte, at uint64, b *observe.LogBatch) error {
	s := string(line)
	kind, rest, _ := strings.Cut(s, " ")
	switch kind {
	case "http", "https", "h2", "grpcs", "ws", "wss":
		return d.application(kind, rest, at, b)
	case "tls":
		return d.network(rest, at, b)
	}
	if len(kind) > 20 && kind[4] == '-' && kind[10] == 'T' {
		return d.classic(s, at, b)
	}
	return source.ErrFormat
}

// split cuts a line at blanks, quoted fields kept together.
func (d *decoder) split(s string) ([]string, bool) {
	n := 0
	for s != "" && n < maxFields {
		if s[0] == '"' {
			v, rest, ok := text.Quoted(s[1:])
			if !ok {
				return nil, false
			}
			// A list is written as "a","b": its first is enough.
			_, s, _ = strings.Cut(rest, " ")
			d.fields[n] = v
		} else {
			d.fields[n], s, _ = strings.Cut(s, " ")
		}
		n++
	}
	return d.fields[:n], true
}

// Positions in the log of an Application Load Balancer, the type left out; its
// first version of 2016 ended with traceID.
const (
	appTime = iota
	appName
	appClient
	appTarget
	_ // request_processing_time
	_ // target_processing_time
	_ // response_processing_time
	appStatus
	_ // target_status_code
	appReceived
	appSent
	appRequest
	appAgent
	_ // ssl_cipher
	appProtocol
	_ // target_group_arn
	appTrace
	appDomain
)

func (d *decoder) application(kind, s string, at uint64, b *observe.LogBatch) error {
	f, ok := d.split(s)
	if !ok || len(f) <= appTrace {
		return errFields
	}
	domain := ""
	if len(f) > appDomain {
		domain = f[appDomain]
	}
	secure := kind != "http" && kind != "ws"
	return d.request(request{time: f[appTime], client: f[appClient], target: f[appTarget], status: f[appStatus],
		line: f[appRequest], agent: f[appAgent], host: domain, secure: secure}, at, b)
}

// classic reads the log of a Classic Load Balancer, whose TCP listeners have no
// request.
func (d *decoder) classic(s string, at uint64, b *observe.LogBatch) error {
	const (
		when, client, target, status, line, agent, cipher = 0, 2, 3, 7, 11, 12, 13
		least                                             = line + 1
	)
	f, ok := d.split(s)
	if !ok || len(f) < least {
		return source.ErrFormat
	}
	if _, ok := endpoint(f[client]); !ok {
		return source.ErrFormat // other logs begin with a time as well
	}
	r := request{time: f[when], client: f[client], target: f[target], status: f[status], line: f[line]}
	if len(f) > cipher {
		r.agent, r.secure = f[agent], f[cipher] != "-"
	}
	return d.request(r, at, b)
}

// request is what the logs have in common, as written.
type request struct {
	time, client, target, status, line, agent, host string

	secure bool
}

func (d *decoder) request(r request, at uint64, b *observe.LogBatch) error {
	client, ok := endpoint(r.client)
	if !ok {
		return errClient
	}
	when, ok := text.RFC3339(r.time)
	if !ok {
		return errTime
	}
	status := 0
	if r.status != "-" {
		if status, ok = text.Int([]byte(r.status)); !ok || status > 999 {
			return errStatus
		}
	}
	method, rest, _ := strings.Cut(r.line, " ")
	if strings.Trim(r.line, "- ") == "" {
		return nil // a connection without a request
	}
	h := d.reqs.New()
	url := rest
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		url, h.Proto = rest[:i], strings.TrimSpace(rest[i+1:])
	}
	// Of what was no HTTP the method is "-".
	if method != "-" && len(method) <= 32 {
		h.Method = method
	}
	h.Host, h.Target = text.Absolute(text.Cap(url))
	if r.host != "" && r.host != "-" {
		h.Host = text.Cap(r.host)
	}
	h.Status, h.TLS = status, r.secure
	if h.Proto == "-" || len(h.Proto) > 16 {
		h.Proto = ""
	}
	h.Headers = d.reqs.Headers(h.Host, "", r.agent, "")
	o := b.Add(at, when, observe.KindHTTP, "http", client.Addr(), client.Port())
	o.HTTP = h
	if target, ok := endpoint(r.target); ok {
		o.Local = target
	}
	return nil
}

// network reads the log of a TLS listener: who connected, for which name.
func (d *decoder) network(s string, at uint64, b *observe.LogBatch) error {
	const (
		when, client, target, took, received, sent = 1, 4, 5, 6, 8, 9

		domain, alpn = 16, 17
		created      = 20
	)
	f, ok := d.split(s)
	if !ok || len(f) <= domain {
		return errFields
	}
	remote, ok := endpoint(f[client])
	if !ok {
		return errClient
	}
	t, ok := text.RFC3339(f[when])
	if !ok {
		return errTime
	}
	i := &observe.Interaction{Ended: true, Protocol: "tls"}
	if ms, ok := text.Int([]byte(f[took])); ok {
		i.Duration = float64(ms) / 1000
	}
	i.BytesIn, i.BytesOut = size(f[received]), size(f[sent])
	if f[domain] != "-" {
		i.Prints.SNI = text.Cap(f[domain])
	}
	if len(f) > alpn && f[alpn] != "-" {
		i.Prints.ALPN = text.Cap(f[alpn])
	}
	if len(f) > created {
		if c, ok := text.RFC3339(f[created]); ok {
			t = c
		}
	}
	o := b.Add(at, t, observe.KindInteraction, "tls", remote.Addr(), remote.Port())
	o.Interaction = i
	if target, ok := endpoint(f[target]); ok {
		o.Local = target
	}
	return nil
}

// endpoint reads ADDRESS:PORT; IPv6 stands in brackets, or without them as
// older logs have it.
func endpoint(s string) (netip.AddrPort, bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return netip.AddrPort{}, false
	}
	a, ok := text.Addr(s[:i])
	port, good := text.Int([]byte(s[i+1:]))
	if !ok || !good || port > 0xffff {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(port)), true
}

// size reads a number of bytes of up to 15 digits; 0 when it is none.
func size(s string) (n int64) {
	if len(s) > 15 {
		return 0
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n
}
