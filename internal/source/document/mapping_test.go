package document

import (
	"fmt"
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source/sourcetest"
)

func mapped(fields string) Config {
	c := JSON()
	c.Fields = map[string]string{}
	for pair := range strings.SplitSeq(fields, " ") {
		name, path, _ := strings.Cut(pair, "=")
		c.Fields[name] = path
	}
	return c
}

const (
	flowMap  = "time=start end=stop src=net.client dst=net.server proto=net.proto bytes=out.0 packets=out.1 reply_bytes=in.bytes reply_packets=in.packets action=verdict"
	flowJSON = `{"start":1700000000,"stop":"2023-11-14T22:13:30Z","net":{"client":"192.0.2.1:51234","server":"[2001:db8::1]:443","proto":"TCP"},"out":[120,"3"],"in":{"bytes":900,"packets":4},"verdict":"Denied"}`
	dnsMap   = "time=t src=c query=dns.question.name query_type=dns.question.type rcode=rc answers=a"
	dnsJSON  = `{"t":"2026-01-02T03:04:05Z","c":"10.0.0.9","dns.question.name":"A.Example.com.","rc":"nxdomain","dns":{"question":{"type":"txt"}},"a":["x"]}`
	webMap   = "time=t src=c src_port=p method=m url=u status=s user_agent=ua service=svc"
	webJSON  = `{"t":1767323045123,"c":"192.0.2.1","p":"4000","m":"GET","u":"https://www.example.com/a?b=c","s":"404","ua":"curl","svc":"shop"}`
	userMap  = "time=t src=c user=u outcome=ok"
	userJSON = `{"t":"02/Jan/2026:03:04:05 +0000","c":"192.0.2.1","u":"ann","ok":false}`
)

func TestMappingSuites(t *testing.T) {
	text := []string{"Feb 12 14:10:21 host sshd[1]: x", "[1,2]", "{broken"}
	for fields, record := range map[string]string{flowMap: flowJSON, dnsMap: dnsJSON, webMap: webJSON, userMap: userJSON} {
		sourcetest.Run(t, sourcetest.Case{Format: newFormat(t, mapped(fields)), Records: []string{record, record, "{}"}, Foreign: text})
	}
}

func TestMapping(t *testing.T) {
	f := decode(t, mapped(flowMap), flowJSON).Flows
	if len(f) != 2 || f[0].Src.Netip().String() != "192.0.2.1" || f[0].SrcPort != 51234 || f[0].Dst.Netip().String() != "2001:db8::1" || f[0].DstPort != 443 || f[0].Proto != observe.ProtoTCP ||
		f[0].Bytes != 120 || f[0].Packets != 3 || f[0].Start != 1700000000 || f[0].End != 1700000010 || f[0].Action != observe.FlowReject || f[1].Bytes != 900 || f[1].DstPort != 51234 {
		t.Errorf("%+v", f)
	}
	q := decode(t, mapped(dnsMap), dnsJSON).Queries
	if len(q) != 1 || q[0].Name != "a.example.com" || q[0].Type != "TXT" || q[0].RCode != "NXDOMAIN" || !q[0].Answered || fmt.Sprint(q[0].Answers) != "[x]" || q[0].Time != 1767323045 {
		t.Errorf("%+v", q)
	}
	e := decode(t, mapped(webMap), webJSON).Events
	if len(e) != 1 || e[0].HTTP == nil || e[0].HTTP.Target != "/a?b=c" || e[0].HTTP.Host != "www.example.com" || e[0].HTTP.Status != 404 || e[0].Remote.String() != "192.0.2.1:4000" ||
		e[0].Service != "shop" || e[0].Time.UnixMilli() != 1767323045123 {
		t.Errorf("%+v", e)
	}
	e = decode(t, mapped(userMap), userJSON).Events
	if len(e) != 1 || e[0].Auth == nil || e[0].Auth.User != "ann" || e[0].Auth.Accepted {
		t.Errorf("%+v", e)
	}
	// What is not there, or is none, leaves a document for rules.
	for _, record := range []string{`{"t":"x","c":"192.0.2.1","u":"ann","ok":false}`, `{"t":1767323045,"c":"nobody","u":"ann","ok":false}`, `{"t":1767323045,"c":"192.0.2.1","u":"ann","ok":"perhaps"}`} {
		if b := decode(t, mapped(userMap), record); len(b.Events) != 0 || len(b.Documents) != 1 {
			t.Errorf("%s: %+v", record, b.Events)
		}
	}
}

func TestMappingMistakes(t *testing.T) {
	for fields, want := range map[string]string{
		"sorce=a time=t":                 `nearest known: src`,
		"src=a":                          "src and time are needed",
		"src=a time=t":                   "one of dst",
		"src=a time=t user=u":            "user and outcome",
		"src=a..b time=t dst=d":          "a path",
		"src= time=t dst=d":              "a path",
		"src=a time=t dst=d xyzzyzzyz=a": "unknown name",
	} {
		if _, err := New(mapped(fields)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", fields, err)
		}
	}
	c := Zeek()
	c.Fields = mapped(userMap).Fields
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "for type json") {
		t.Errorf("fields of zeek: %v", err)
	}
}

func FuzzMapping(f *testing.F) {
	for _, s := range []string{flowJSON, dnsJSON, webJSON, userJSON, `{"t":1e300,"c":[],"u":{}}`, `{"start":"","net":{"client":"::1%x:5"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) == 0 {
			return
		}
		for _, fields := range []string{flowMap, dnsMap, webMap, userMap} {
			var b observe.LogBatch
			if err := newFormat(t, mapped(fields)).Decoder().Decode(record, 3, &b); err != nil && b.Len() != 0 {
				t.Fatalf("%d observations with %v", b.Len(), err)
			}
			for i := range b.Events {
				if e := &b.Events[i]; e.Record != 3 || !e.Remote.Addr().IsValid() || e.Time.IsZero() || (e.HTTP == nil) == (e.Auth == nil) {
					t.Fatalf("%+v", e)
				}
			}
			for i := range b.Flows {
				if fl := &b.Flows[i]; fl.Record != 3 || fl.Src.IsZero() || fl.Dst.IsZero() {
					t.Fatalf("%+v", fl)
				}
			}
		}
	})
}
