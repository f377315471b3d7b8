package document

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/sourcetest"
)

const (
	zeekHead  = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
	connHead  = zeekHead + "#path\tconn\n#open\t2026-01-02-03-04-05\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tstring\tcount\tcount\tcount\tcount\tset[string]\n"
	connLine  = "1700000000.500000\tCHhAvVGS1DHFjwGM9\t192.0.2.1\t51234\t10.0.0.1\t22\ttcp\t-\t-\t-\t-\tS0\tF\tS\t1\t44\t0\t0\t(empty)"
	dnsHead   = zeekHead + "#path\tdns\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\ttrans_id\tquery\tqtype\tqtype_name\trcode\trcode_name\tAA\tanswers\tTTLs\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tcount\tstring\tcount\tstring\tcount\tstring\tbool\tvector[string]\tvector[interval]\n"
	dnsLine   = "1767323045.250000\tC\t10.0.0.9\t41000\t10.0.0.53\t53\tudp\t7\ta.example.com\t16\tTXT\t0\tNOERROR\tF\tv=1\\x2cx,v=2\t60.000000,30.000000"
	httpHead  = zeekHead + "#path\thttp\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\ttrans_depth\tmethod\thost\turi\treferrer\tversion\tuser_agent\tstatus_code\n#types\ttime\tstring\taddr\tport\taddr\tport\tcount\tstring\tstring\tstring\tstring\tstring\tstring\tcount\n"
	httpLine  = "1767323045.250000\tC\t192.0.2.1\t41000\t10.0.0.80\t80\t1\tGET\twww.example.com\t/a\\x09b?c=\"d\"\t-\t1.1\tcurl/8 \\xff\t404"
	sslHead   = zeekHead + "#path\tssl\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tversion\tcipher\tserver_name\tresumed\testablished\tja3\n#types\ttime\tstring\taddr\tport\taddr\tport\tstring\tstring\tstring\tbool\tbool\tstring\n"
	sslLine   = "1767323045.250000\tC\t192.0.2.1\t41000\t10.0.0.80\t443\tTLSv12\tX\twww.example.com\tF\tT\t771abc"
	noticeTSV = zeekHead + "#path\tnotice\n#fields\tts\tuid\tnote\tmsg\tsrc\tsuppress_for\n#types\ttime\tstring\tenum\tstring\taddr\tinterval\n"
)

func TestZeekTextSuites(t *testing.T) {
	foreign := []string{"Feb 12 14:10:21 host sshd[1]: x", trail, "2 123456789010 eni-1 192.0.2.1", "#Version: 1.0", "#fields of barley", connLine}
	for name, c := range map[string]struct{ head, line string }{
		"conn": {connHead, connLine}, "dns": {dnsHead, dnsLine}, "http": {httpHead, httpLine}, "ssl": {sslHead, sslLine},
		"notice": {noticeTSV, "1767323045.250000\t-\tScan::Port_Scan\t192.0.2.1 scanned\t192.0.2.1\t3600.000000"},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Case{Format: newFormat(t, Zeek()), Header: c.head, Records: []string{c.line, c.line, c.line}, Foreign: foreign})
		})
	}
}

// readZeek decodes lines of text as one log.
func readZeek(t *testing.T, lines string) *observe.LogBatch {
	t.Helper()
	var b observe.LogBatch
	d := newFormat(t, Zeek()).Decoder()
	for line := range strings.SplitSeq(lines, "\n") {
		if err := d.Decode([]byte(line), 5, &b); err != nil && err != source.ErrHeader {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return &b
}

// TestZeekTextIsJSON: both forms of a record say the same.
func TestZeekTextIsJSON(t *testing.T) {
	a, b := readZeek(t, connHead+connLine+"\n#close\t2026-01-02-03-04-06"), decode(t, Zeek(), conn)
	if !reflect.DeepEqual(a.Flows, b.Flows) || len(a.Flows) != 1 {
		t.Errorf("conn:\n%+v\n%+v", a.Flows, b.Flows)
	}
	if d := a.Documents[0]; d.Product != "zeek" || d.Service != "conn" || d.JSON().Exists("duration") || d.JSON().Get("local_orig").String() != "false" ||
		d.JSON().Get("tunnel_parents").String() != "[]" {
		t.Errorf("%s/%s %s", d.Product, d.Service, d.JSON())
	}
	q := readZeek(t, dnsHead+dnsLine).Queries
	if len(q) != 1 || q[0].Name != "a.example.com" || q[0].TTL != 30 || !reflect.DeepEqual(q[0].Answers, []string{"v=1,x", "v=2"}) || q[0].RCode != "NOERROR" {
		t.Errorf("%+v", q)
	}
	e := readZeek(t, httpHead+httpLine).Events
	if len(e) != 1 || e[0].HTTP == nil || e[0].HTTP.Target != "/a\tb?c=\"d\"" || e[0].HTTP.Status != 404 || e[0].HTTP.Header("User-Agent") != "curl/8 \uFFFD" ||
		e[0].Remote.String() != "192.0.2.1:41000" || e[0].Time.UnixMilli() != 1767323045250 {
		t.Errorf("%+v", e)
	}
	e = readZeek(t, sslHead+sslLine).Events
	if len(e) != 1 || e[0].Interaction == nil || e[0].Interaction.Prints.SNI != "www.example.com" || e[0].Interaction.Prints.JA3 != "771abc" {
		t.Errorf("%+v", e)
	}
}

// TestConversation: an answered connection is two flows, and only the first
// looks like that of who began.
func TestConversation(t *testing.T) {
	f := readZeek(t, connHead+"1700000000.500000\tC\t192.0.2.1\t51234\t10.0.0.1\t22\ttcp\tssh\t2.5\t10\t20\tSF\tF\tS\t7\t440\t5\t900\t(empty)").Flows
	if len(f) != 2 || f[0].Flags != observe.FlagSYN || f[1].Src != f[0].Dst || f[1].DstPort != 51234 || f[1].Packets != 5 || f[1].Bytes != 900 || f[1].Flags&observe.FlagACK == 0 {
		t.Errorf("%+v", f)
	}
}

func TestZeekSeparators(t *testing.T) {
	b := readZeek(t, "#separator \\x7c\n#set_separator|;\n#empty_field|EMPTY\n#unset_field|NONE\n#path|x\n#fields|ts|uid|tags|note\n#types|time|string|set[string]|string\n1.5|C|a;b|NONE\n2.5|D|EMPTY|EMPTY")
	if len(b.Documents) != 2 || b.Documents[0].JSON().String() != `{"ts":1.5,"uid":"C","tags":["a","b"]}` || b.Documents[1].JSON().String() != `{"ts":2.5,"uid":"D","tags":[],"note":""}` {
		for i := range b.Documents {
			t.Error(b.Documents[i].JSON())
		}
	}
	d := newFormat(t, Zeek()).Decoder()
	var c observe.LogBatch
	for _, line := range []string{"#separator \\x09", "#fields\tts\tuid\tn", "#types\ttime\tstring\tcount"} {
		_ = d.Decode([]byte(line), 0, &c) // header lines say so by an error
	}
	for line, want := range map[string]error{"1.5\tC": errZeekFields, "1.5\tC\t1\t2": errZeekFields, "1.5\tC\tone": errZeekNumber, "1.5\tC\t0x10": errZeekNumber, "1.5\tC\t--1": errZeekNumber} {
		if err := d.Decode([]byte(line), 0, &c); err != want {
			t.Errorf("%q: %v, want %v", line, err, want)
		}
	}
}

// FuzzZeekText: whatever the header and the record, what is taken is JSON.
func FuzzZeekText(f *testing.F) {
	for _, s := range []string{connHead + connLine, dnsHead + dnsLine, httpHead + httpLine, sslHead + sslLine, "#separator ,\n#fields,ts,uid\n1,\\x22", "#fields\tts\tuid\n1\t\"\n#types\tvector[port]\n-"} {
		f.Add(s)
	}
	format := newFormat(f, Zeek())
	f.Fuzz(func(t *testing.T, log string) {
		d, ok := format.Decoder().(*zeekDecoder)
		if !ok {
			t.Fatal("another decoder")
		}
		var b observe.LogBatch
		for line := range strings.SplitSeq(log, "\n") {
			if line == "" {
				continue
			}
			before := b.Len()
			err := d.Decode([]byte(line), 3, &b)
			switch {
			case err != nil && b.Len() != before:
				t.Fatalf("%d observations with %v", b.Len()-before, err)
			case err == nil && line[0] != '{' && !json.Valid(d.out):
				t.Fatalf("not JSON: %s", d.out)
			}
		}
	})
}
