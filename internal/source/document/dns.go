package document

import (
	"strings"

	"bartizan/internal/observe"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// addQuery appends a question that the shape has filled but for what is the
// same for all: it is left out when it says neither who asked nor what.
func addQuery(d *observe.Document, b *observe.LogBatch, q *observe.Query, name string, answers *fastjson.Value) {
	if q.Client.IsZero() || name == "" {
		return
	}
	q.Record, q.Name = d.Record, queryName(name)
	q.Answered = q.Answered || q.RCode != ""
	q.Spoofable = q.Proto != observe.ProtoTCP
	for _, a := range answers.GetArray() {
		data := a.GetStringBytes()
		if a.Type() == fastjson.TypeObject {
			if data = a.GetStringBytes("Rdata"); data == nil {
				data = a.GetStringBytes("rdata")
			}
			if n := a.GetUint("ttl"); n > 0 && (q.TTL == 0 || uint32(n) < q.TTL) {
				q.TTL = uint32(min(n, 1<<31))
			}
		}
		if len(data) > 0 && len(q.Answers) < observe.MaxAnswers {
			q.Answers = append(q.Answers, string(data[:min(len(data), observe.MaxAnswer)]))
		}
	}
	b.Queries = append(b.Queries, *q)
}

// queryName copies a name in the form of observe.Query.
func queryName(s string) string {
	s = text.Lower(strings.Clone(s[:min(len(s), observe.MaxQueryName)]))
	if len(s) > 1 || s == "." {
		s = strings.TrimSuffix(s, ".")
	}
	return s
}

// word copies a short text in capitals, as names of types and codes are written.
func word(b []byte) string { return strings.ToUpper(string(b[:min(len(b), 32)])) }

// route53Query reads a record of AWS's resolver (Route 53 Developer Guide,
// "values that appear in resolver query logs").
func route53Query(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	q := observe.Query{Client: addr(v, "srcaddr"), ClientPort: portText(v, "srcport"), ServerPort: 53,
		Proto: proto(v.GetStringBytes("transport")), Time: stamp(v, "query_timestamp"),
		Type: word(v.GetStringBytes("query_type")), RCode: word(v.GetStringBytes("rcode"))}
	addQuery(d, b, &q, string(v.GetStringBytes("query_name")), v.Get("answers"))
}

// portText reads a port that is written as a string or as a number.
func portText(v *fastjson.Value, name string) uint16 {
	if s := v.GetStringBytes(name); s != nil {
		if n, ok := text.Int(s); ok && n <= 0xffff {
			return uint16(n)
		}
		return 0
	}
	return port(v, name)
}

// zeekQuery reads a record of dns.log (docs.zeek.org, "dns.log"), also with the
// short names src, dst, sport and dport that exports give the connection.
func zeekQuery(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	q := observe.Query{Client: addr(v, "id.orig_h"), Server: addr(v, "id.resp_h"), ClientPort: port(v, "id.orig_p"), ServerPort: port(v, "id.resp_p"),
		Proto: proto(v.GetStringBytes("proto")), Type: word(v.GetStringBytes("qtype_name")), RCode: word(v.GetStringBytes("rcode_name"))}
	if v.Exists("ts") {
		q.Time = zeekTime(v)
	}
	if q.Client.IsZero() {
		q.Client, q.Server, q.ClientPort, q.ServerPort = addr(v, "src"), addr(v, "dst"), port(v, "sport"), port(v, "dport")
	}
	for _, t := range v.GetArray("TTLs") {
		least(&q, t)
	}
	for _, t := range v.GetArray("ttls") {
		least(&q, t)
	}
	addQuery(d, b, &q, string(v.GetStringBytes("query")), v.Get("answers"))
}

func least(q *observe.Query, t *fastjson.Value) {
	if n := t.GetFloat64(); n >= 1 && (q.TTL == 0 || n < float64(q.TTL)) {
		q.TTL = uint32(min(n, 1<<31))
	}
}

// eveQuery reads Suricata's DNS events, of which version 2 names the parts of
// an answer in dns, and version 3 lists the questions (Suricata user guide
// §17.1.2.1 "Event type: DNS"). It logs question and answer as events of their
// own; both come out, and only the second is Answered.
func eveQuery(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	dns := v.Get("dns")
	if dns == nil {
		return
	}
	kind := string(dns.GetStringBytes("type"))
	reply := kind == "answer" || kind == "response"
	q := observe.Query{Client: addr(v, "src_ip"), Server: addr(v, "dest_ip"), ClientPort: port(v, "src_port"), ServerPort: port(v, "dest_port"),
		Proto: proto(v.GetStringBytes("proto")), Time: stamp(v, "timestamp"), RCode: word(dns.GetStringBytes("rcode")), Answered: reply}
	if reply && (q.ClientPort == 53 || q.ClientPort == 5353) && q.ServerPort != q.ClientPort {
		// Suricata names the sender of the packet as the source.
		q.Client, q.Server, q.ClientPort, q.ServerPort = q.Server, q.Client, q.ServerPort, q.ClientPort
	}
	if !reply {
		q.RCode = ""
	}
	name, what := dns.GetStringBytes("rrname"), dns.GetStringBytes("rrtype")
	if name == nil {
		name, what = dns.GetStringBytes("queries", "0", "rrname"), dns.GetStringBytes("queries", "0", "rrtype")
	}
	q.Type = word(what)
	addQuery(d, b, &q, string(name), dns.Get("answers"))
}
