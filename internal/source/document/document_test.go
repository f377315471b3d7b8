package document

import (
	"reflect"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/sourcetest"
)

func newFormat(t testing.TB, c Config) source.Format {
	t.Helper()
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	trail   = `{"eventVersion":"1.08","eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","sourceIPAddress":"192.0.2.1"}`
	bridge  = `{"version":"0","detail-type":"AWS API Call via CloudTrail","detail":` + trail + `}`
	sysmon  = `{"Event":{"System":{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational"},"EventData":{"Image":"C:\\x.exe"}}}`
	eveFlow = `{"timestamp":"2026-01-02T03:04:05.1+0000","event_type":"flow","src_ip":"192.0.2.1","src_port":51234,"dest_ip":"10.0.0.1","dest_port":22,"proto":"TCP","flow":{"pkts_toserver":1,"bytes_toserver":58,"start":"2026-01-02T03:04:05.1+0000","end":"2026-01-02T03:04:06.1+0000"},"tcp":{"tcp_flags_ts":"12"}}`
	conn    = `{"ts":1700000000.5,"uid":"C1","id.orig_h":"192.0.2.1","id.orig_p":51234,"id.resp_h":"10.0.0.1","id.resp_p":22,"proto":"tcp","conn_state":"S0","orig_pkts":1,"orig_ip_bytes":44}`
	resolve = `{"version":"1.100000","query_timestamp":"2026-01-02T03:04:05Z","query_name":"example.com.","query_type":"A","srcaddr":"10.0.0.9"}`
)

func TestSuites(t *testing.T) {
	text := []string{"Feb 12 14:10:21 host sshd[1]: x", "[1,2]", "{broken", `"text"`}
	for name, c := range map[string]struct {
		conf    Config
		records []string
		foreign []string
	}{
		"cloudtrail": {CloudTrail(), []string{trail, bridge, trail}, append(text, sysmon, conn, eveFlow, resolve)},
		"winevent": {WinEvent(), []string{sysmon, `{"winlog":{"event_id":1}}`, `{"EventID":4625,"Channel":"Security","TargetUserName":"x"}`},
			append(text, trail, conn, eveFlow, resolve)},
		"eve":     {EVE(), []string{eveFlow, `{"timestamp":"x","event_type":"dns","dns":{}}`, `{"timestamp":"x","event_type":"flow"}`}, append(text, trail, conn, sysmon, resolve)},
		"zeek":    {Zeek(), []string{conn, `{"ts":1.5,"src":"10.0.0.9","trans_id":7,"rcode_name":"NXDOMAIN"}`, `{"ts":1.5,"uid":"C","query":"x"}`, `{"ts":"2026-01-02T03:04:05Z","note":"Scan::x"}`}, append(text, trail, sysmon, eveFlow, resolve)},
		"route53": {Route53(), []string{resolve, resolve, resolve}, append(text, trail, sysmon, eveFlow, conn)},
		"json":    {JSON(), []string{trail, "{}", ` {"a":{"b":[1]}}`}, text},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Case{Format: newFormat(t, c.conf), Records: c.records, Foreign: c.foreign})
		})
	}
	if _, err := New(Config{Shape: "cloudtrial"}); err == nil {
		t.Error("an unknown shape was taken")
	}
}

func decode(t *testing.T, c Config, record string) *observe.LogBatch {
	t.Helper()
	var b observe.LogBatch
	if err := newFormat(t, c).Decoder().Decode([]byte(record), 5, &b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestFlows(t *testing.T) {
	for name, b := range map[string]*observe.LogBatch{"eve": decode(t, EVE(), eveFlow), "zeek": decode(t, Zeek(), conn)} {
		if len(b.Flows) != 1 || len(b.Documents) != 1 {
			t.Fatalf("%s: %d flows, %d documents", name, len(b.Flows), len(b.Documents))
		}
		f := b.Flows[0]
		if f.Record != 5 || f.Src.Netip().String() != "192.0.2.1" || f.Dst.Netip().String() != "10.0.0.1" || f.SrcPort != 51234 || f.DstPort != 22 ||
			f.Proto != observe.ProtoTCP || !f.HasFlags || f.Flags != observe.FlagSYN || f.Packets != 1 || f.Bytes != 44 || f.Start == 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestQueries(t *testing.T) {
	const eve2 = `{"timestamp":"2026-01-02T03:04:05.1+0000","event_type":"dns","src_ip":"10.0.0.53","src_port":53,"dest_ip":"10.0.0.9","dest_port":41000,"proto":"UDP","dns":{"type":"answer","rrname":"A.Example.com","rrtype":"TXT","rcode":"NOERROR","answers":[{"rrname":"a.example.com","rrtype":"TXT","ttl":60,"rdata":"v=1"},{"ttl":30,"rdata":"v=2"}]}}`
	full := observe.Query{Client: observe.Addr4(10<<24 | 9), Server: observe.Addr4(10<<24 | 53), ClientPort: 41000, ServerPort: 53, Proto: observe.ProtoUDP,
		Answered: true, Spoofable: true, Time: 1767323045, Record: 5, Name: "a.example.com", Type: "TXT", RCode: "NOERROR", Answers: []string{"v=1", "v=2"}, TTL: 30}
	aws := full
	aws.Server, aws.TTL = observe.Addr{}, 0
	question := full
	question.Answered, question.RCode, question.Answers, question.TTL = false, "", nil, 0
	for name, c := range map[string]struct {
		conf   Config
		record string
		want   observe.Query
	}{
		"zeek":    {Zeek(), `{"ts":1767323045.25,"uid":"C","id.orig_h":"10.0.0.9","id.orig_p":41000,"id.resp_h":"10.0.0.53","id.resp_p":53,"proto":"udp","trans_id":7,"query":"a.example.com","qtype":16,"qtype_name":"TXT","rcode":0,"rcode_name":"NOERROR","answers":["v=1","v=2"],"TTLs":[60.0,30.0]}`, full},
		"short":   {Zeek(), `{"ts":1767323045.25,"src":"10.0.0.9","sport":41000,"dst":"10.0.0.53","dport":53,"proto":"udp","trans_id":7,"query":"a.example.com","qtype_name":"TXT","rcode_name":"NOERROR","answers":["v=1","v=2"],"ttls":[60.0,30.0]}`, full},
		"any":     {JSON(), `{"ts":1767323045.25,"src":"10.0.0.9","sport":41000,"dst":"10.0.0.53","dport":53,"proto":"udp","trans_id":7,"query":"a.example.com","qtype_name":"TXT","rcode_name":"NOERROR","answers":["v=1","v=2"],"ttls":[60.0,30.0]}`, full},
		"eve":     {EVE(), eve2, full},
		"eve ask": {EVE(), `{"timestamp":"2026-01-02T03:04:05.1+0000","event_type":"dns","src_ip":"10.0.0.9","src_port":41000,"dest_ip":"10.0.0.53","dest_port":53,"proto":"UDP","dns":{"version":3,"type":"request","queries":[{"rrname":"a.example.com","rrtype":"TXT"}]}}`, question},
		"route53": {Route53(), `{"version":"1.100000","query_timestamp":"2026-01-02T03:04:05Z","query_name":"a.example.com.","query_type":"TXT","query_class":"IN","rcode":"NOERROR","answers":[{"Rdata":"v=1","Type":"TXT","Class":"IN"},{"Rdata":"v=2","Type":"TXT","Class":"IN"}],"srcaddr":"10.0.0.9","srcport":"41000","transport":"UDP"}`, aws},
	} {
		b := decode(t, c.conf, c.record)
		if len(b.Queries) != 1 || len(b.Documents) != 1 || !reflect.DeepEqual(b.Queries[0], c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, b.Queries, c.want)
		}
	}
}

func TestEnvelope(t *testing.T) {
	d := &decode(t, CloudTrail(), bridge).Documents[0]
	if string(d.JSON().GetStringBytes("eventName")) != "GetObject" || d.Product != "aws" || d.Service != "cloudtrail" || d.Record != 5 {
		t.Errorf("%+v", d)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{trail, bridge, sysmon, eveFlow, conn, resolve, `{"ts":1e300,"uid":"x","conn_state":"S0","id.orig_h":"::1","id.resp_h":"::2","id.orig_p":-1,"duration":1e308}`} {
		f.Add([]byte(s))
	}
	var formats []source.Format
	for _, c := range []Config{CloudTrail(), WinEvent(), EVE(), Zeek(), Route53(), JSON()} {
		formats = append(formats, newFormat(f, c))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) == 0 {
			return
		}
		for _, format := range formats {
			var b observe.LogBatch
			err := format.Decoder().Decode(record, 3, &b)
			if err != nil && b.Len() != 0 {
				t.Fatalf("%d observations with %v", b.Len(), err)
			}
			for i := range b.Flows {
				if fl := &b.Flows[i]; fl.Record != 3 || fl.Src.IsZero() || fl.Dst.IsZero() {
					t.Fatalf("%+v", fl)
				}
			}
			for i := range b.Queries {
				if q := &b.Queries[i]; q.Record != 3 || q.Client.IsZero() || len(q.Answers) > observe.MaxAnswers || len(q.Name) > observe.MaxQueryName {
					t.Fatalf("%+v", q)
				}
			}
			for i := range b.Documents {
				if d := &b.Documents[i]; d.Record != 3 || d.JSON() == nil {
					t.Fatalf("%+v", d)
				}
			}
		}
	})
}
