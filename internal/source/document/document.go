// Package document reads logs whose records are JSON objects: CloudTrail,
// Windows events, Suricata EVE, Zeek (also as text), Route 53 resolver queries,
// or any other.
// Every record becomes a document that rules look at; connections of Suricata
// and Zeek become flows as well, and what they and Route 53 say of DNS queries.
package document

import (
	"fmt"
	"strings"

	"bartizan/internal/observe"
	"bartizan/internal/observe/jsonview"
	"bartizan/internal/source"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// Config of the format.
type Config struct {
	// Shape says which records are taken: cloudtrail, winevent, eve, zeek,
	// route53, or json for every object.
	Shape string `yaml:"shape"`
	// Product, Category and Service name the log source for rules, in the words
	// of Sigma; empty: recognised by the rules' taxonomy.
	Product  string `yaml:"product"`
	Category string `yaml:"category"`
	Service  string `yaml:"service"`
	// Fields says, for the shape json, where in a record what stands: a name
	// (src, dst, time, …) and the path of the field, as "src: client.ip".
	Fields map[string]string `yaml:"fields"`
}

// CloudTrail is what AWS records of calls to its API.
func CloudTrail() Config { return Config{Shape: "cloudtrail", Product: "aws", Service: "cloudtrail"} }

// WinEvent is Windows events as exported to JSON (evtx_dump, winlogbeat, …).
func WinEvent() Config { return Config{Shape: "winevent", Product: "windows"} }

// EVE is Suricata's log.
func EVE() Config { return Config{Shape: "eve"} }

// Zeek is Zeek's logs, written as JSON or as text.
func Zeek() Config { return Config{Shape: "zeek", Product: "zeek"} }

// Route53 is the query log of AWS's resolver.
func Route53() Config { return Config{Shape: "route53", Product: "aws", Service: "route53"} }

// JSON is every object.
func JSON() Config { return Config{Shape: "json"} }

// New makes the format.
func New(c Config) (source.Format, error) {
	shapes := map[string]shape{"cloudtrail": cloudTrail(), "winevent": winEvent, "eve": eve, "zeek": zeek, "route53": route53, "json": any1}
	s, ok := shapes[c.Shape]
	if !ok {
		return nil, fmt.Errorf("document format: unknown shape %.40q: one of cloudtrail, winevent, eve, zeek, route53, json", c.Shape)
	}
	if len(c.Fields) > 0 {
		if c.Shape != "json" {
			return nil, fmt.Errorf("document format: fields are for type json, not for %s, which knows its own", c.Shape)
		}
		m, err := newMapping(c.Fields)
		if err != nil {
			return nil, fmt.Errorf("document format: %w", err)
		}
		s = m.read
	}
	return format{conf: c, shape: s}, nil
}

// shape says whether a document is of the format and adds what else it says.
type shape func(d *observe.Document, b *observe.LogBatch) bool

type format struct {
	conf  Config
	shape shape
}

// Decoder implements source.Format.
func (f format) Decoder() source.Decoder {
	if f.conf.Shape == "zeek" {
		return newZeekDecoder(f)
	}
	return f
}

// Decode implements source.Decoder.
func (f format) Decode(record []byte, at uint64, b *observe.LogBatch) error {
	if record[0] != '{' && record[0] != ' ' && record[0] != '\t' {
		return source.ErrFormat
	}
	n := len(b.Documents)
	d, err := b.AddDocument(at, record)
	if err != nil {
		return err
	}
	flows, events, queries := len(b.Flows), len(b.Events), len(b.Queries)
	if !f.shape(d, b) {
		b.Documents = b.Documents[:n]
		b.Flows, b.Events, b.Queries = b.Flows[:flows], b.Events[:events], b.Queries[:queries]
		return source.ErrFormat
	}
	d.Product, d.Category, d.Service = f.conf.Product, f.conf.Category, f.conf.Service
	return nil
}

// any1 takes every object; questions to name servers in the words of the
// formats above are understood in it as well.
func any1(d *observe.Document, b *observe.LogBatch) bool {
	_ = zeek(d, b) || eve(d, b) || route53(d, b)
	return true
}

// cloudTrail takes records (CloudTrail User Guide, "record contents"), also in
// the envelope of EventBridge.
func cloudTrail() shape {
	envelope := jsonview.NewPath("detail-type")
	var known []jsonview.Path
	for _, name := range [...]string{"eventName", "eventSource", "eventTime", "eventVersion", "eventType", "awsRegion", "userIdentity"} {
		known = append(known, jsonview.NewPath(name))
	}
	name := jsonview.NewPath("eventName")
	return func(d *observe.Document, b *observe.LogBatch) bool {
		v := d.View()
		if there, _ := v.Has(&envelope); there {
			d.Narrow("detail")
		}
		n, named := 0, false // exports leave fields out
		for i := range known {
			there, text := v.Has(&known[i])
			if there {
				n++
			}
			named = named || text && i < 2
		}
		if n < 3 || !named {
			return false
		}
		if what, found := v.Find(&name); found == jsonview.Unsure || string(what) == "ConsoleLogin" {
			consoleLogin(d, b)
		}
		return true
	}
}

// consoleLogin reads a sign-in to the console of AWS as an attempt with a
// password (CloudTrail User Guide, "sign-in events").
func consoleLogin(d *observe.Document, b *observe.LogBatch) {
	v := d.JSON()
	outcome := string(v.GetStringBytes("responseElements", "ConsoleLogin"))
	client, ok := text.Addr(string(v.GetStringBytes("sourceIPAddress")))
	when, timed := text.RFC3339(string(v.GetStringBytes("eventTime")))
	if string(v.GetStringBytes("eventName")) != "ConsoleLogin" || outcome == "" || !ok || !timed {
		return
	}
	user := string(v.GetStringBytes("userIdentity", "userName"))
	if strings.HasPrefix(user, "HIDDEN_") { // a name that does not exist may be a password
		user = ""
	}
	b.Add(d.Record, when, observe.KindAuth, "aws-console", client, 0).Auth = &observe.AuthAttempt{Method: "password", User: user[:min(len(user), 128)], Accepted: outcome == "Success"}
}

func isText(v *fastjson.Value, path ...string) bool {
	f := v.Get(path...)
	return f != nil && f.Type() == fastjson.TypeString
}

// winEvent takes {"Event":{"System":…}} and the flat forms of winlogbeat,
// nxlog and others, which name the event's number and channel or provider.
func winEvent(d *observe.Document, _ *observe.LogBatch) bool {
	v := d.JSON()
	if v.Exists("Event", "System") || v.Exists("winlog", "event_id") {
		return true
	}
	return (v.Exists("EventID") || v.Exists("EventId") || v.Exists("event_id")) &&
		(v.Exists("Channel") || v.Exists("Provider_Name") || v.Exists("SourceName") || v.Exists("provider_name") || v.Exists("channel") || v.Exists("ProviderGuid"))
}

// route53 takes records of the resolver's query log (Route 53 Developer Guide,
// "values that appear in resolver query logs").
func route53(d *observe.Document, b *observe.LogBatch) bool {
	v := d.JSON()
	if !isText(v, "query_name") || !isText(v, "query_timestamp") || !isText(v, "srcaddr") {
		return false
	}
	route53Query(d, b)
	return true
}

// eve takes Suricata's events (Suricata user guide §17.1.2, "EVE JSON format").
func eve(d *observe.Document, b *observe.LogBatch) bool {
	v := d.JSON()
	if !isText(v, "event_type") || !isText(v, "timestamp") {
		return false
	}
	kind := string(v.GetStringBytes("event_type"))
	switch kind {
	case "dns":
		eveQuery(d, b)
	case "http":
		eveHTTP(d, b)
	case "tls":
		eveTLS(d, b)
	}
	if kind != "flow" || !v.Exists("flow") {
		return true
	}
	f := observe.Flow{Record: d.Record, Proto: proto(v.GetStringBytes("proto")),
		Src: addr(v, "src_ip"), Dst: addr(v, "dest_ip"), SrcPort: port(v, "src_port"), DstPort: port(v, "dest_port"),
		Packets: v.GetUint64("flow", "pkts_toserver"), Bytes: v.GetUint64("flow", "bytes_toserver"),
		Start: stamp(v, "flow", "start"), End: stamp(v, "flow", "end")}
	if f.Src.IsZero() || f.Dst.IsZero() {
		return true
	}
	if flags := v.GetStringBytes("tcp", "tcp_flags_ts"); len(flags) == 2 && f.Proto == observe.ProtoTCP {
		// Suricata sees the handshake's end as well, which would look like an answer here.
		f.Flags, f.HasFlags = hexByte(flags)&^observe.FlagACK, true
	}
	f.Bytes = ipBytes(f.Bytes, f.Packets)
	packets := v.GetUint64("flow", "pkts_toclient")
	addConversation(b, f, packets, ipBytes(v.GetUint64("flow", "bytes_toclient"), packets))
	return true
}

// addConversation appends both directions of a connection, as flow logs have
// them: that of who began, and the answer when there was one.
func addConversation(b *observe.LogBatch, f observe.Flow, packets, octets uint64) {
	b.Flows = append(b.Flows, f)
	if packets == 0 {
		return
	}
	f.Src, f.Dst, f.SrcPort, f.DstPort = f.Dst, f.Src, f.DstPort, f.SrcPort
	f.Packets, f.Bytes = packets, octets
	if f.HasFlags {
		f.Flags |= observe.FlagSYN | observe.FlagACK // not the side that began
	}
	b.Flows = append(b.Flows, f)
}

// ipBytes takes the Ethernet headers off, which Suricata counts.
func ipBytes(n, packets uint64) uint64 {
	const ethernet = 14
	if packets > n/ethernet {
		return n
	}
	return n - ethernet*packets
}

// zeek takes records of Zeek's logs as JSON (docs.zeek.org, "Zeek log formats").
func zeek(d *observe.Document, b *observe.LogBatch) bool {
	v := d.JSON()
	if v.Exists("trans_id") && (isText(v, "query") || isText(v, "src") || isText(v, "id.orig_h")) { // an answer may lack its question
		zeekQuery(d, b)
		return true
	}
	if !v.Exists("ts") || !(isText(v, "uid") || isText(v, "id.orig_h") || isText(v, "fuid") || isText(v, "note") || isText(v, "host")) {
		return false
	}
	switch {
	case v.Exists("conn_state"):
	case v.Exists("trans_depth"): // only in http.log, and in smtp.log, which has no method
		zeekHTTP(d, b)
	case v.Exists("cipher") && v.Exists("established"), v.Exists("server_name") && v.Exists("resumed"):
		zeekTLS(d, b)
	}
	state := v.GetStringBytes("conn_state")
	if len(state) == 0 || !isText(v, "id.orig_h") {
		return true
	}
	f := observe.Flow{Record: d.Record, Proto: proto(v.GetStringBytes("proto")),
		Src: addr(v, "id.orig_h"), Dst: addr(v, "id.resp_h"), SrcPort: port(v, "id.orig_p"), DstPort: port(v, "id.resp_p"),
		Packets: v.GetUint64("orig_pkts"), Bytes: v.GetUint64("orig_ip_bytes"), Start: zeekTime(v)}
	f.End = f.Start + int64(min(v.GetFloat64("duration"), 1e9))
	switch string(state) { // base/protocols/conn: refused, unanswered, half open
	case "REJ", "RSTRH", "SH":
		f.Action = observe.FlowReject
	}
	if f.Proto == observe.ProtoTCP && string(state) != "OTH" {
		f.HasFlags, f.Flags = true, observe.FlagSYN // the originator is who began
	}
	if !f.Src.IsZero() && !f.Dst.IsZero() {
		addConversation(b, f, v.GetUint64("resp_pkts"), v.GetUint64("resp_ip_bytes"))
	}
	return true
}

func zeekTime(v *fastjson.Value) int64 {
	ts := v.Get("ts")
	if ts.Type() == fastjson.TypeString {
		return stamp(v, "ts")
	}
	t, ok := text.Unix(ts.GetFloat64())
	if !ok {
		return 0
	}
	return t.Unix()
}

func stamp(v *fastjson.Value, path ...string) int64 {
	t, ok := text.RFC3339(string(v.GetStringBytes(path...)))
	if !ok {
		return 0
	}
	return t.Unix()
}

func addr(v *fastjson.Value, name string) observe.Addr {
	a, _ := text.Addr(string(v.GetStringBytes(name)))
	return observe.AddrOf(a)
}

func port(v *fastjson.Value, name string) uint16 {
	if n := v.GetInt(name); n >= 0 && n <= 0xffff {
		return uint16(n)
	}
	return 0
}

func proto(name []byte) uint8 {
	switch strings.ToLower(string(name)) {
	case "tcp":
		return observe.ProtoTCP
	case "udp":
		return observe.ProtoUDP
	case "icmp":
		return observe.ProtoICMP
	case "ipv6-icmp", "icmpv6":
		return observe.ProtoICMPv6
	}
	return 0
}

func hexByte(b []byte) (v uint8) {
	for _, c := range b {
		v <<= 4
		switch {
		case c >= '0' && c <= '9':
			v |= c - '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v |= c | 0x20 - 'a' + 10
		}
	}
	return v
}
