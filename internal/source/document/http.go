package document

import (
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// zeekHTTP reads a record of http.log as a request (docs.zeek.org, "http.log").
func zeekHTTP(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	h := &observe.HTTPRequest{Method: shortText(v, "method"), Target: long(v, "uri"), Host: long(v, "host"), Status: status(v.Get("status_code"))}
	if n := shortText(v, "version"); n != "" {
		h.Proto = "HTTP/" + n
	}
	if h.Method == "" && h.Target == "" {
		return // an answer without its request
	}
	h.Headers = headers(h.Host, long(v, "referrer"), long(v, "user_agent"))
	addHTTP(d, b, h, zeekClock(v), v, "id.orig_h", "id.orig_p")
}

// eveHTTP reads an event of type http (Suricata user guide §17.1.2.3).
func eveHTTP(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	e := v.Get("http")
	if e == nil {
		return
	}
	h := &observe.HTTPRequest{Method: shortText(e, "http_method"), Target: long(e, "url"), Host: long(e, "hostname"),
		Proto: shortText(e, "protocol"), Status: status(e.Get("status"))}
	if h.Method == "" && h.Target == "" {
		return
	}
	h.Headers = headers(h.Host, long(e, "http_refer"), long(e, "http_user_agent"))
	when, ok := text.RFC3339(string(v.GetStringBytes("timestamp")))
	if ok {
		addHTTP(d, b, h, when, v, "src_ip", "src_port")
	}
}

// addHTTP appends a request when it has a client and a time.
func addHTTP(d *observe.Document, b *observe.LogBatch, h *observe.HTTPRequest, t time.Time, v *fastjson.Value, address, number string) {
	client, ok := text.Addr(string(v.GetStringBytes(address)))
	if ok && !t.IsZero() {
		b.Add(d.Record, t, observe.KindHTTP, "http", client, port(v, number)).HTTP = h
	}
}

// zeekTLS reads a record of ssl.log: the name asked for, and the fingerprints
// where a package of Zeek's adds them.
func zeekTLS(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	client, ok := text.Addr(string(v.GetStringBytes("id.orig_h")))
	t := zeekClock(v)
	if !ok || t.IsZero() {
		return
	}
	i := &observe.Interaction{Ended: true, Protocol: "tls", Prints: observe.Fingerprints{SNI: long(v, "server_name"),
		JA3: shortText(v, "ja3"), JA4: shortText(v, "ja4"), ALPN: shortText(v, "next_protocol")}}
	b.Add(d.Record, t, observe.KindInteraction, "tls", client, port(v, "id.orig_p")).Interaction = i
}

// eveTLS reads an event of type tls (Suricata user guide §17.1.2.5).
func eveTLS(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	client, ok := text.Addr(string(v.GetStringBytes("src_ip")))
	t, good := text.RFC3339(string(v.GetStringBytes("timestamp")))
	if !ok || !good {
		return
	}
	i := &observe.Interaction{Ended: true, Protocol: "tls", Prints: observe.Fingerprints{SNI: long(v, "tls", "sni"),
		JA3: shortText(v, "tls", "ja3", "hash"), JA4: shortText(v, "tls", "ja4")}}
	b.Add(d.Record, t, observe.KindInteraction, "tls", client, port(v, "src_port")).Interaction = i
}

func headers(host, referer, agent string) (out []observe.Field) {
	for _, f := range [...]observe.Field{{Name: "Host", Value: host}, {Name: "Referer", Value: referer}, {Name: "User-Agent", Value: agent}} {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

func long(v *fastjson.Value, path ...string) string {
	return text.Cap(string(v.GetStringBytes(path...)))
}

// shortText copies a text of a few words.
func shortText(v *fastjson.Value, path ...string) string {
	s := v.GetStringBytes(path...)
	return string(s[:min(len(s), 128)])
}

func status(v *fastjson.Value) int {
	if v == nil {
		return 0
	}
	n := 0
	switch v.Type() {
	case fastjson.TypeNumber:
		n = v.GetInt()
	case fastjson.TypeString:
		n, _ = text.Int(v.GetStringBytes())
	}
	if n < 0 || n > 999 {
		return 0
	}
	return n
}

// zeekClock reads ts to the microsecond; zero when it is none.
func zeekClock(v *fastjson.Value) time.Time {
	ts := v.Get("ts")
	if ts == nil {
		return time.Time{}
	}
	var t time.Time
	switch ts.Type() {
	case fastjson.TypeNumber:
		t, _ = text.Unix(ts.GetFloat64())
	case fastjson.TypeString:
		t, _ = text.RFC3339(string(ts.GetStringBytes()))
	}
	return t
}
