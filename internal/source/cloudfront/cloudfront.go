// Package cloudfront reads the access logs of Amazon CloudFront (Developer
// Guide, "Access logs (standard logs)"): text with a #Fields line in any order,
// text without one in the default order, and objects of JSON. Requests become
// HTTP observations.
package cloudfront

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// Config of the format.
type Config struct {
	// Fields are the names of the fields, separated by blanks, of text that comes
	// without a #Fields line (real-time logs, "plain" files of a changed
	// selection); empty: the default of standard logs.
	Fields string `yaml:"fields"`
}

// Default configuration.
func Default() Config { return Config{} }

const defaultFields = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query " +
	"cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher " +
	"x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type " +
	"sc-content-type sc-content-len sc-range-start sc-range-end"

// New makes the format.
func New(c Config) (source.Format, error) {
	f := format{custom: c.Fields != ""}
	if c.Fields == "" {
		c.Fields = defaultFields
	}
	if f.columns = columns(c.Fields); f.columns == nil {
		return nil, errors.New("cloudfront: fields must name c-ip, cs-method, cs-uri-stem and date with time or timestamp, separated by blanks")
	}
	return f, nil
}

type format struct {
	columns []column
	custom  bool
}

// Decoder implements source.Format.
func (f format) Decoder() source.Decoder { return &decoder{columns: f.columns, known: f.custom} }

// column is what a field means to us.
type column uint8

const (
	skip column = iota
	date
	clock
	stamp
	clientIP
	clientPort
	method
	csHost
	viewerHost
	stem
	query
	status
	referer
	agent
	cookie
	protocol
	version
	bytesIn
	count
)

// columnOf reads a field's name, in the spelling of text, of JSON, or of Parquet.
func columnOf(name string) column {
	b := make([]byte, 0, 32)
	for i := 0; i < len(name) && i < 64; i++ {
		switch c := name[i]; {
		case c == '(' || c == '_' || c == '-':
			b = append(b, '-')
		case c == ')':
		case c >= 'A' && c <= 'Z':
			b = append(b, c|0x20)
		default:
			b = append(b, c)
		}
	}
	switch string(b) {
	case "date":
		return date
	case "time":
		return clock
	case "timestamp", "timestamp-ms":
		return stamp
	case "c-ip":
		return clientIP
	case "c-port":
		return clientPort
	case "cs-method":
		return method
	case "cs-host":
		return csHost
	case "x-host-header":
		return viewerHost
	case "cs-uri-stem":
		return stem
	case "cs-uri-query":
		return query
	case "sc-status":
		return status
	case "cs-referer":
		return referer
	case "cs-user-agent":
		return agent
	case "cs-cookie":
		return cookie
	case "cs-protocol":
		return protocol
	case "cs-protocol-version":
		return version
	case "cs-bytes":
		return bytesIn
	}
	return skip
}

// maxColumns is more than CloudFront has fields.
const maxColumns = 192

// columns reads the names of fields; nil when what is needed is not there.
func columns(names string) []column {
	words := strings.Fields(names)
	if len(words) > maxColumns {
		return nil
	}
	var out []column
	var seen [count]bool
	for _, w := range words {
		c := columnOf(w)
		if c != skip && seen[c] {
			c = skip
		}
		seen[c] = true
		out = append(out, c)
	}
	if !seen[clientIP] || !seen[method] || !seen[stem] || !(seen[stamp] || seen[date] && seen[clock]) {
		return nil
	}
	return out
}

type decoder struct {
	columns []column
	known   bool // columns come from a line or the configuration
	json    fastjson.Parser
	reqs    text.Requests
	values  [count]string
}

// Errors of a record.
var (
	errCount   = errors.New("number of fields does not match the #Fields line")
	errAddress = errors.New("c-ip is no address")
	errTime    = errors.New("date and time are none")
	errStatus  = errors.New("sc-status is none")
	errFields  = errors.New("the #Fields line lacks c-ip, cs-method, cs-uri-stem or the time")
)

// Decode implements source.Decoder.
func (d *decoder) Decode(line []byte, at uint64, b *observe.LogBatch) error {
	switch line[0] {
	case '{':
		return d.object(line, at, b)
	case '#':
		return d.directive(line)
	}
	if bytes.IndexByte(line, '\t') < 0 {
		return source.ErrFormat
	}
	d.values = [count]string{}
	rest, more := string(line), true
	for _, c := range d.columns {
		if !more {
			return d.wrong(errCount)
		}
		var v string
		v, rest, more = strings.Cut(rest, "\t")
		d.values[c] = text.Percent(v)
	}
	if more && d.known {
		return errCount
	}
	return d.wrong(d.record(at, b))
}

// directive reads a line of the W3C extended log format (w3.org/TR/WD-logfile).
func (d *decoder) directive(line []byte) error {
	if bytes.HasPrefix(line, []byte("#Version:")) {
		return source.ErrHeader
	}
	names, ok := bytes.CutPrefix(line[:min(len(line), 16<<10)], []byte("#Fields:"))
	if !ok {
		return source.ErrFormat
	}
	c := columns(string(names))
	if c == nil {
		return errFields
	}
	d.columns, d.known = c, true
	return source.ErrHeader
}

// wrong keeps "not ours at all" apart from "ours and broken" as long as nothing
// said what to expect.
func (d *decoder) wrong(err error) error {
	if err == nil || d.known {
		return err
	}
	return source.ErrFormat
}

// object reads a record of the output format "json"; its values are not encoded
// otherwise than those of text.
func (d *decoder) object(line []byte, at uint64, b *observe.LogBatch) error {
	v, err := d.json.ParseBytes(line)
	if err != nil || !v.Exists("c-ip") && !v.Exists("c_ip") {
		return source.ErrFormat
	}
	d.values = [count]string{}
	v.GetObject().Visit(func(key []byte, f *fastjson.Value) {
		c := columnOf(string(key[:min(len(key), 64)]))
		switch f.Type() {
		case fastjson.TypeString:
			d.values[c] = text.Percent(string(f.GetStringBytes()))
		case fastjson.TypeNumber:
			d.values[c] = string(f.MarshalTo(nil))
		}
	})
	if d.values[method] == "" || d.values[stem] == "" {
		return source.ErrFormat
	}
	return d.record(at, b)
}

// record makes the observation of the values.
func (d *decoder) record(at uint64, b *observe.LogBatch) error {
	f := &d.values
	addr, ok := text.Addr(f[clientIP])
	if !ok {
		return errAddress
	}
	when, ok := d.time()
	if !ok {
		return errTime
	}
	// "000": the viewer closed the connection before the answer.
	code, ok := text.Int([]byte(f[status]))
	if !ok && f[status] != "" && f[status] != "-" || code > 999 {
		return errStatus
	}
	h := d.reqs.New()
	h.Method = f[method][:min(len(f[method]), 32)]
	h.Target = f[stem]
	if q := f[query]; q != "" && q != "-" {
		h.Target += "?" + q
	}
	h.Target, h.Status = text.Cap(h.Target), code
	h.Host = f[viewerHost]
	if h.Host == "" || h.Host == "-" {
		h.Host = f[csHost]
	}
	h.Host = text.Cap(h.Host)
	if len(f[version]) <= 16 && f[version] != "-" {
		h.Proto = f[version]
	}
	h.TLS = f[protocol] == "https" || f[protocol] == "wss"
	h.Headers = d.reqs.Headers(h.Host, f[referer], f[agent], f[cookie])
	port, ok := text.Int([]byte(f[clientPort]))
	if !ok || port > 0xffff {
		port = 0
	}
	b.Add(at, when, observe.KindHTTP, "http", addr, uint16(port)).HTTP = h
	return nil
}

func (d *decoder) time() (time.Time, bool) {
	if s := d.values[date]; s != "" {
		return text.RFC3339(s + "T" + d.values[clock] + "Z")
	}
	return text.Seconds(d.values[stamp])
}
