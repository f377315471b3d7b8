package cloudfront

import (
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/sourcetest"
)

func newFormat(t testing.TB, fields string) source.Format {
	t.Helper()
	f, err := New(Config{Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var foreign = []string{
	`192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326`,
	"2 123456789010 eni-1 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
	`{"eventVersion":"1.05","eventSource":"s3.amazonaws.com","sourceIPAddress":"192.0.2.1"}`,
	"#separator \\x09",
	"#Fields: date time s-ip",
	"1521911720.865716\tC1\t10.47.1.100\t41772\t10.0.0.100\t53\tudp",
}

// tabs writes a line as its fields are read best.
func tabs(s string) string { return strings.Join(strings.Fields(s), "\t") }

var (
	standard = tabs(`2026-12-04 21:02:31 LAX1 392 192.0.2.100 GET d111111abcdef8.cloudfront.net /a%2520b/index.html 200 https://x.example/ Mozilla/5.0%20(Windows%20NT%2010.0) q=%2527 session=1 Hit SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ== www.example.com https 23 0.001 - TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 Hit HTTP/2.0 - - 11040 0.001 Hit text/html 78 - -`)
	v6       = tabs(`2026-12-04 21:02:32 LAX1 392 2001:db8::1 POST d1.cloudfront.net /wp-login.php 403 - - - - Error id== www.example.com http 23 0.001 - - - Error HTTP/1.1 - - 11040 0.001 Error - - - -`)
	gone     = tabs(`2026-12-04 21:02:33 LAX1 0 192.0.2.100 GET d1.cloudfront.net / 000 - - - - Error id== d1.cloudfront.net http 23 0.001 - - - Error HTTP/1.1 - - 11040 0.001 ClientCommError - - - -`)
)

func TestSuiteDefault(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: newFormat(t, ""), Foreign: foreign, Records: []string{standard, v6, gone}})
}

const object = `{"date":"2026-12-04","time":"21:02:31","c-ip":"192.0.2.100","cs-method":"GET","cs(Host)":"d1.cloudfront.net","cs-uri-stem":"/a%2520b","sc-status":"404","cs(User-Agent)":"curl/8%20x","cs-uri-query":"-","x-host-header":"www.example.com","cs-protocol":"https","cs-protocol-version":"HTTP/1.1","c-port":"11040"}`

func TestSuiteOrder(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: newFormat(t, ""), Foreign: foreign,
		Header: "#Version: 1.0\n#Fields: c-ip time date asn sc-status cs-uri-stem cs-uri-query cs-method cs(User-Agent)\n",
		Records: []string{
			tabs("192.0.2.1 21:02:31 2026-12-04 64496 200 / - GET curl"),
			tabs("192.0.2.1 21:02:31 2026-12-04 64496 404 /x a=b GET curl"),
			tabs("2001:db8::1 21:02:31 2026-12-04 64496 404 /x a=b HEAD curl"),
			object,
			`{"timestamp(ms)":"1796418151000","c_ip":"192.0.2.1","cs_method":"GET","cs_uri_stem":"/","sc_status":200}`,
		}})
}

func decode(t *testing.T, f source.Format, lines ...string) []observe.LogEvent {
	t.Helper()
	var b observe.LogBatch
	d := f.Decoder()
	for _, l := range lines {
		if err := d.Decode([]byte(l), 7, &b); err != nil && err != source.ErrHeader {
			t.Fatalf("%s: %v", l, err)
		}
	}
	return b.Events
}

func TestFields(t *testing.T) {
	e := decode(t, newFormat(t, ""), standard)[0]
	h := e.HTTP
	if e.Record != 7 || e.Remote.String() != "192.0.2.100:11040" || e.Time.Unix() != 1796418151 || e.Spoofable {
		t.Errorf("%+v", e)
	}
	if h.Method != "GET" || h.Target != "/a%20b/index.html?q=%27" || h.Proto != "HTTP/2.0" || h.Status != 200 || h.Host != "www.example.com" || !h.TLS ||
		h.Header("User-Agent") != "Mozilla/5.0 (Windows NT 10.0)" || h.Header("Referer") != "https://x.example/" || h.Header("Cookie") != "session=1" {
		t.Errorf("%+v", h)
	}
	e = decode(t, newFormat(t, ""), object)[0]
	if h := e.HTTP; h.Target != "/a%20b" || h.Status != 404 || h.Header("User-Agent") != "curl/8 x" || e.Time.Unix() != 1796418151 || h.Host != "www.example.com" {
		t.Errorf("%+v", h)
	}
	// Real-time logs have no line that names the fields.
	e = decode(t, newFormat(t, "timestamp c-ip sc-status cs-method cs-uri-stem"), "1796418151.123\t192.0.2.100\t200\tGET\t/")[0]
	if e.Time.UnixMilli() != 1796418151123 || e.HTTP.Target != "/" {
		t.Errorf("%+v", e)
	}
	if h := decode(t, newFormat(t, ""), gone)[0].HTTP; h.Status != 0 {
		t.Errorf("%+v", h)
	}
}

func TestBroken(t *testing.T) {
	d := newFormat(t, "").Decoder()
	var b observe.LogBatch
	if err := d.Decode([]byte("#Fields: date time c-ip cs-method cs-uri-stem sc-status"), 0, &b); err != source.ErrHeader {
		t.Fatal(err)
	}
	for line, want := range map[string]error{
		"2026-12-04 21:02:31 192.0.2.1 GET /":          errCount,
		"2026-12-04 21:02:31 192.0.2.1 GET / 200 more": errCount,
		"2026-12-04 21:02:31 192.0.2.256 GET / 200":    errAddress,
		"2026-13-04 21:02:31 192.0.2.1 GET / 200":      errTime,
		"2026-12-04 21:02:31 192.0.2.1 GET / 1200":     errStatus,
		"2026-12-04 21:02:31 192.0.2.1 GET / two":      errStatus,
	} {
		if err := d.Decode([]byte(tabs(line)), 0, &b); err != want {
			t.Errorf("%s: %v, want %v", line, err, want)
		}
	}
	if b.Len() != 0 {
		t.Errorf("broken records left %d observations", b.Len())
	}
	for _, bad := range []string{"c-ip", "date c-ip cs-method cs-uri-stem", strings.Repeat("a ", maxColumns+1)} {
		if _, err := New(Config{Fields: bad}); err == nil {
			t.Errorf("fields %.40q were taken", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("#Fields: date time c-ip cs-method cs-uri-stem"), []byte("2026-12-04\t21:02:31\t::1\tGET\t/%"))
	f.Add([]byte(standard), []byte(object))
	f.Add([]byte("#Version: 1.0"), []byte(`{"c-ip":1,"cs-method":"x","cs-uri-stem":"%zz","timestamp":1e300}`))
	format := newFormat(f, "")
	f.Fuzz(func(t *testing.T, one, two []byte) {
		d := format.Decoder()
		var b observe.LogBatch
		for _, line := range [][]byte{one, two} {
			if len(line) == 0 {
				continue
			}
			before := b.Len()
			if err := d.Decode(line, 3, &b); err != nil && b.Len() != before {
				t.Fatalf("%d observations with %v", b.Len()-before, err)
			}
		}
		for i := range b.Events {
			e := &b.Events[i]
			if e.Record != 3 || !e.Remote.Addr().IsValid() || e.Time.IsZero() || e.HTTP == nil || len(e.HTTP.Target) > observe.MaxText || e.HTTP.Status > 999 {
				t.Fatalf("%+v", e)
			}
		}
	})
}
